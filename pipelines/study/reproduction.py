"""Comparison of a study's quantities with expected values, each with a tolerance and a direction."""

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

MAX_BYTES = 1 << 20
"""Largest size of a file of expectations [bytes]."""

VERDICTS = ("within", "beyond", "missing", "unexpected")
"""Within the tolerance; beyond it; no finite value was measured; no value was expected. Only the first is a success."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """Expected value of a quantity.

    Attributes:
        value: Expected value.
        direction: "at_most", "at_least" or "both": which deviations from the value count.
        absolute: Tolerance in the quantity's unit, or None.
        relative: Tolerance as a fraction of the value, or None. Exactly one of the two tolerances is given.

    Raises:
        SettingsError: If an attribute is invalid.
    """

    value: float
    direction: Direction
    absolute: float | None = None
    relative: float | None = None

    def __post_init__(self) -> None:
        given = [tolerance for tolerance in (self.absolute, self.relative) if tolerance is not None]
        if len(given) != 1:
            raise SettingsError("give exactly one tolerance, absolute or relative")
        for number in (self.value, *given):
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                raise SettingsError(f"{shown(number)} is not a finite number")
        if given[0] < 0:
            raise SettingsError(f"a tolerance must be 0 or more, not {given[0]}")
        if self.direction not in get_args(Direction):
            raise SettingsError(
                f"a direction must be one of {', '.join(get_args(Direction))}, not {shown(self.direction)}"
            )

    @property
    def tolerance(self) -> float:
        """The tolerance in the quantity's unit."""
        return self.absolute if self.absolute is not None else (self.relative or 0.0) * abs(self.value)

    def accepts(self, result: float) -> bool:
        """Whether a value is finite and within the tolerance."""
        low = -math.inf if self.direction == "at_most" else self.value - self.tolerance
        high = math.inf if self.direction == "at_least" else self.value + self.tolerance
        return math.isfinite(result) and low <= result <= high


@dataclass(frozen=True, kw_only=True)
class ComparedQuantity:
    """Measured and expected value of a quantity; `verdict` is one of `VERDICTS`."""

    name: str
    result: float | None
    expected: Expectation | None
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Comparison of a study with its expectations: one row per quantity, in the order of `QUANTITIES`."""

    study: str
    rows: tuple[ComparedQuantity, ...]

    @property
    def deviations(self) -> tuple[ComparedQuantity, ...]:
        """Rows whose verdict is not "within"."""
        return tuple(row for row in self.rows if row.verdict != "within")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        rows = [asdict(row) for row in self.rows]
        return {"study": self.study, "reproduced": not self.deviations, "quantities": rows}


def compare(study: str, figures: Mapping[str, float], expected: Mapping[str, Expectation]) -> Comparison:
    """Compare every quantity that was measured or expected.

    Args:
        study: Name of the study.
        figures: From `study_figures`.
        expected: From `read_expectations`.
    """
    order = [quantity.name for quantity in QUANTITIES]
    names = sorted({*figures, *expected}, key=lambda name: (order.index(name) if name in order else len(order), name))
    rows = []
    for name in names:
        result, expectation = figures.get(name, math.nan), expected.get(name)
        if expectation is None:
            verdict = "unexpected"
        elif not math.isfinite(result):
            verdict = "missing"
        else:
            verdict = "within" if expectation.accepts(result) else "beyond"
        rows.append(
            ComparedQuantity(
                name=name, result=result if math.isfinite(result) else None, expected=expectation, verdict=verdict
            )
        )
    return Comparison(study=study, rows=tuple(rows))


def read_expectations(path: Path) -> dict[str, Expectation]:
    """Read a file of expected values, such as expected/builtin.json.

    Raises:
        SettingsError: If the file does not exist, cannot be read or is invalid.
    """
    if not path.is_file():
        raise SettingsError(f"there are no expectations at {path}")
    try:
        stored = read_json_object(path, limit=MAX_BYTES).get("quantities")
    except FileError as error:
        raise SettingsError(f"{path} holds no quantities by name: {error}") from error
    if not isinstance(stored, dict) or not all(isinstance(values, dict) for values in stored.values()):
        raise SettingsError(f"{path} holds no quantities by name, each with its value and direction")
    known = {field.name for field in fields(Expectation)}
    expectations = {}
    for name, values in stored.items():
        if not {"value", "direction"} <= values.keys() <= known:
            raise SettingsError(f"{path}: {shown(name)} has {shown([*values])}; known are {', '.join(sorted(known))}")
        try:
            expectations[name] = Expectation(**values)
        except SettingsError as error:
            raise SettingsError(f"{path}: {name}: {error}") from error
    return expectations


def write_expectations(path: Path, study: str, figures: Mapping[str, float], *, made_with: Mapping[str, Any]) -> None:
    """Write measured values as the new expectations. Tolerances and directions of an existing file are kept.

    Args:
        path: File to write.
        study: Name of the study.
        figures: From `study_figures`.
        made_with: Command, processor and versions, recorded for readers.

    Raises:
        SettingsError: If a figure is missing, or the existing file cannot be read.
    """
    missing = [name for name, value in figures.items() if not math.isfinite(value)]
    if missing:
        raise SettingsError(f"nothing was written because {len(missing)} figures are missing: {', '.join(missing)}")
    existing = read_expectations(path) if path.is_file() else {}
    defaults = {
        quantity.name: Expectation(
            value=figures[quantity.name], direction=quantity.direction, absolute=quantity.absolute,
            relative=quantity.relative,
        )
        for quantity in QUANTITIES
    }  # fmt: skip
    updated = {name: replace(existing.get(name, new), value=new.value) for name, new in defaults.items()}
    quantities = {
        name: {key: value for key, value in asdict(expectation).items() if value is not None}
        for name, expectation in updated.items()
    }
    head = {"study": study, "made_with": dict(made_with)}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in quantities.items())
    text = json.dumps(head, indent=1).removesuffix("\n}") + f',\n "quantities": {{\n{lines}\n }}\n}}\n'
    write_atomically(path, text.encode())
