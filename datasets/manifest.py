"""The manifest of a conversion: one JSON line for every source file."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from musclemap.skeletons.errors import SettingsError

from .atomic_file import write_atomically

STATUSES = ("ok", "rejected", "failed")
VERDICTS = ("feasible", "warn", "infeasible")


def strict_json(value: object) -> str:
    """JSON on one line, the same text for the same value: sorted keys, ASCII, floats in full, no NaN.

    A number that is not finite becomes null. Arrays and numpy scalars become lists and numbers.

    Raises:
        SettingsError: Something has no JSON form; the message names its type.
    """
    return json.dumps(_plain(value), sort_keys=True, allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise SettingsError(f"a JSON key must be a string, not {key!r} of type {type(key).__name__}")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise SettingsError(f"{value!r} of type {type(value).__name__} has no JSON form")


@dataclass(frozen=True, kw_only=True)
class ManifestEntry:
    """What became of one source file.

    Attributes:
        source: POSIX path below the input root.
        clip: POSIX path of the clip below the output folder, or None when there is none.
        source_sha256: Hash of the source file, or None when it could not be read.
        clip_sha256: Hash of the clip, or None.
        status: "ok"; "rejected", the source cannot be used; or "failed", the conversion broke.
        reason: Why it is not ok: a short stable code, then what was found; empty when ok.
        nframe: Frames of the clip.
        seconds: Duration of the motion [s].
        verdict: "feasible", "warn", "infeasible", or None without a clip.
        metrics: Figures of the clip, by name.
        reasons: Rules that the clip breaks, as they stand in the clip: rule, value, limit, frames.
    """

    source: str
    clip: str | None = None
    source_sha256: str | None = None
    clip_sha256: str | None = None
    status: str
    reason: str = ""
    nframe: int = 0
    seconds: float = 0.0
    verdict: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    reasons: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.source, str) or not self.source:
            raise SettingsError(f"source must be a path, not {self.source!r}")
        if self.status not in STATUSES:
            raise SettingsError(f"status must be one of {', '.join(STATUSES)}, not {self.status!r}")
        if self.verdict is not None and self.verdict not in VERDICTS:
            raise SettingsError(f"verdict must be None or one of {', '.join(VERDICTS)}, not {self.verdict!r}")
        if not isinstance(self.metrics, Mapping):
            raise SettingsError(f"metrics must be a mapping, not {type(self.metrics).__name__}")
        if not isinstance(self.reasons, list | tuple) or not all(isinstance(one, Mapping) for one in self.reasons):
            raise SettingsError("reasons must be mappings")
        object.__setattr__(self, "reasons", tuple(self.reasons))

    def to_line(self) -> bytes:
        """The entry as one line of the manifest, with its newline."""
        items = (f"{strict_json(f.name)}: {strict_json(getattr(self, f.name))}" for f in fields(self))
        return f"{{{', '.join(items)}}}\n".encode()

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read one line; keys that this version does not know are passed over.

        Raises:
            SettingsError: The line is no entry; the message says why.
        """
        try:
            stored = json.loads(line, parse_constant=lambda _: None)
        except ValueError as error:
            raise SettingsError(f"no complete JSON: {error}") from error
        if not isinstance(stored, dict):
            raise SettingsError("no JSON object")
        absent = {"source", "status"} - stored.keys()
        if absent:
            raise SettingsError(f"no {' and no '.join(sorted(absent))}; there are: {', '.join(sorted(stored))}")
        return cls(**{f.name: stored[f.name] for f in fields(cls) if f.name in stored})


def read_lines(path: Path) -> tuple[list[ManifestEntry], tuple[str, ...]]:
    """Every whole line of a manifest or journal in its order, and one sentence for each that is damaged."""
    entries = []
    problems = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            entries.append(ManifestEntry.from_line(line))
        except SettingsError as error:
            problems.append(f"{path.name} line {number} is damaged and was passed over: {error}")
    return entries, tuple(problems)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The lines of a manifest.

    Attributes:
        entries: Sorted by source, one a source.
        problems: One sentence for each line that could not be used when it was read; never written back.
    """

    entries: tuple[ManifestEntry, ...] = ()
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = Counter(entry.source for entry in self.entries)
        twice = sorted(source for source, n in count.items() if n > 1)
        if twice:
            raise SettingsError(f"a manifest has one line a source; these have more: {', '.join(twice[:5])}")
        object.__setattr__(self, "entries", tuple(sorted(self.entries, key=lambda entry: entry.source)))

    @classmethod
    def read(cls, path: Path, *, missing_ok: bool = False) -> Self:
        """Read a manifest.

        Damaged lines are named in `problems`; of a repeated source the last line counts.

        Raises:
            SettingsError: There is no such file, unless `missing_ok`: then the manifest is empty.
        """
        if not path.is_file():
            if missing_ok:
                return cls()
            raise SettingsError(f"there is no manifest at {path}")
        lines, problems = read_lines(path)
        return cls(entries=tuple({entry.source: entry for entry in lines}.values()), problems=problems)

    def write(self, path: Path) -> None:
        """Replace the file at `path` in one step."""
        write_atomically(path, b"".join(entry.to_line() for entry in self.entries))
