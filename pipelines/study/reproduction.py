"""A study's figures against those expected of it, each within its tolerance and in the direction that matters."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from musclemap.datasets.atomic_file import write_atomically
from musclemap.errors import FileError, SettingsError
from musclemap.files import read_json_object, shown

from .study import QUANTITIES, Direction

LONGEST = 1 << 20
"""Bytes of a file of expectations."""

VERDICTS = ("within", "beyond", "missing", "unexpected")
"""Within the tolerance; beyond it; no finite number was found; no number was expected. Only the first is good."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What a quantity should be.

    Attributes:
        value: Expected.
        direction: "at_most", "at_least" or "both": which side of the value has a limit.
        absolute: Tolerance in the quantity's unit, or None.
        relative: Tolerance as part of the value, or None. Exactly one of the two is given.

    Raises:
        SettingsError: One of them cannot be used.
    """

    value: float
    direction: Direction
    absolute: float | None = None
    relative: float | None = None

    def __post_init__(self) -> None:
        given = [tolerance for tolerance in (self.absolute, self.relative) if tolerance is not None]
        if len(given) != 1:
            raise SettingsError("a tolerance is absolute or relative, one of the two")
        for number in (self.value, *given):
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                raise SettingsError(f"{shown(number)} is no finite number")
        if given[0] < 0:
            raise SettingsError(f"a tolerance is 0 or more, not {given[0]}")
        if self.direction not in get_args(Direction):
            raise SettingsError(f"a direction is one of {', '.join(get_args(Direction))}, not {shown(self.direction)}")

    @property
    def slack(self) -> float:
        """The tolerance in the quantity's unit."""
        return self.absolute if self.absolute is not None else (self.relative or 0.0) * abs(self.value)

    def met_by(self, result: float) -> bool:
        """Whether a number is finite and no worse than the tolerance allows."""
        low = -math.inf if self.direction == "at_most" else self.value - self.slack
        high = math.inf if self.direction == "at_least" else self.value + self.slack
        return math.isfinite(result) and low <= result <= high


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A quantity as it was found beside what was expected; `verdict` is one of `VERDICTS`."""

    name: str
    result: float | None
    expected: Expectation | None
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A study against its expectations: one row a quantity, in the order of `QUANTITIES`."""

    study: str
    rows: tuple[Compared, ...]

    @property
    def deviations(self) -> tuple[Compared, ...]:
        """Rows that are not within their tolerance."""
        return tuple(row for row in self.rows if row.verdict != "within")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        rows = [asdict(row) for row in self.rows]
        return {"study": self.study, "reproduced": not self.deviations, "quantities": rows}


def compare(study: str, figures: Mapping[str, float], expected: Mapping[str, Expectation]) -> Comparison:
    """Compare every quantity that was found or expected.

    Args:
        study: Name of the study.
        figures: From `study_figures`.
        expected: From `read_expectations`.
    """
    order = [quantity.name for quantity in QUANTITIES]
    names = sorted({*figures, *expected}, key=lambda name: (order.index(name) if name in order else len(order), name))
    rows = []
    for name in names:
        result, requested = figures.get(name, math.nan), expected.get(name)
        if requested is None:
            verdict = "unexpected"
        elif not math.isfinite(result):
            verdict = "missing"
        else:
            verdict = "within" if requested.met_by(result) else "beyond"
        rows.append(
            Compared(name=name, result=result if math.isfinite(result) else None, expected=requested, verdict=verdict)
        )
    return Comparison(study=study, rows=tuple(rows))


def read_expectations(path: Path) -> dict[str, Expectation]:
    """Read the numbers of a file such as expected/builtin.json.

    Raises:
        SettingsError: There is no such file, or it cannot be read or used.
    """
    if not path.is_file():
        raise SettingsError(f"there are no expectations at {path}")
    try:
        stored = read_json_object(path, limit=LONGEST).get("quantities")
    except FileError as error:
        raise SettingsError(f"{path} holds no quantities by name: {error}") from error
    if not isinstance(stored, dict) or not all(isinstance(values, dict) for values in stored.values()):
        raise SettingsError(f"{path} holds no quantities by name, each with its value and direction")
    known = {field.name for field in fields(Expectation)}
    result = {}
    for name, values in stored.items():
        if not {"value", "direction"} <= values.keys() <= known:
            raise SettingsError(f"{path}: {shown(name)} has {shown([*values])}; known are {', '.join(sorted(known))}")
        try:
            result[name] = Expectation(**values)
        except SettingsError as error:
            raise SettingsError(f"{path}: {name}: {error}") from error
    return result


def write_expectations(path: Path, study: str, figures: Mapping[str, float], *, made_with: Mapping[str, Any]) -> None:
    """Make what was found the expectation. Tolerances and directions of a file that is there already stay.

    Args:
        path: File to write.
        study: Name of the study.
        figures: From `study_figures`.
        made_with: Command, processor and versions, for its reader.

    Raises:
        SettingsError: A figure is missing, or the file that is there cannot be read.
    """
    lost = [name for name, value in figures.items() if not math.isfinite(value)]
    if lost:
        raise SettingsError(f"nothing was written, as {len(lost)} figures are missing: {', '.join(lost)}")
    before = read_expectations(path) if path.is_file() else {}
    fresh = {
        quantity.name: Expectation(
            value=figures[quantity.name], direction=quantity.direction, absolute=quantity.absolute,
            relative=quantity.relative,
        )
        for quantity in QUANTITIES
    }  # fmt: skip
    kept = {name: replace(before.get(name, one), value=one.value) for name, one in fresh.items()}
    quantities = {
        name: {key: value for key, value in asdict(one).items() if value is not None} for name, one in kept.items()
    }
    head = {"study": study, "made_with": dict(made_with)}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in quantities.items())
    text = json.dumps(head, indent=1).removesuffix("\n}") + f',\n "quantities": {{\n{lines}\n }}\n}}\n'
    write_atomically(path, text.encode())
