"""The manifest of a conversion: one JSON line for every source file."""

import codecs
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import count
from pathlib import Path
from typing import Any, Self

import numpy as np

from musclemap.errors import FileError, SettingsError
from musclemap.files import open_regular, parse_json, shown
from musclemap.reason_codes import ReasonCode

from .atomic_file import write_atomically
from .clip_schema import (
    MAX_FRAMES,
    MAX_TEXT,
    VERDICTS,
    check_count,
    check_metrics,
    check_range,
    check_reasons,
    check_text,
    check_warnings,
)

STATUSES = ("ok", "rejected", "failed")

MAX_MANIFEST = 2**30
"""Largest manifest or journal that is read [B]: some 350,000 clips at 3 kB per line."""

MAX_LINE = 2**24
"""Longest line [B]; a clip with many reasons has 20 kB."""

MAX_PATH = 4096
"""Characters of a path."""

MAX_SECONDS = 1e7
"""Longest motion that an entry may state [s]."""

MAX_PROBLEMS = 1000
"""Number of damaged lines that are listed individually."""

_CODES = frozenset(ReasonCode)

_SHA256 = re.compile(r"[0-9a-f]{64}")


def strict_json(value: object) -> str:
    """Encode a value as JSON on one line, always the same text for the same value: sorted keys, ASCII, no NaN.

    A number that is not finite becomes null. Arrays and numpy scalars become lists and numbers.

    Raises:
        SettingsError: If part of the value has no JSON form; the message names its type.
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
    """Outcome of one source file.

    Attributes:
        source: POSIX path below the input root.
        clip: POSIX path of the clip below the output folder, or None without a clip.
        source_sha256: Hash of the source file, or None if it could not be read.
        clip_sha256: Hash of the clip, or None.
        status: "ok"; "rejected", the source cannot be used; or "failed", the conversion broke.
        code: Code of the reason if not ok; None if ok, and in lines of versions before 0.2.
        reason: The reason for people: the code and a sentence; empty if ok.
        nframe: Frames of the clip.
        seconds: Duration of the motion [s].
        verdict: "feasible", "warn", "infeasible", or None without a clip.
        metrics: Metrics of the clip, by name.
        reasons: Rules that the clip breaks, as in the clip: rule, value, limit, frames.
        warnings: Doubts about the source, and what was done to it: code and text of each.
    """

    source: str
    clip: str | None = None
    source_sha256: str | None = None
    clip_sha256: str | None = None
    status: str
    code: ReasonCode | None = None
    reason: str = ""
    nframe: int = 0
    seconds: float = 0.0
    verdict: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    reasons: Sequence[Mapping[str, Any]] = ()
    warnings: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        try:
            self._check()
        except FileError as error:
            raise SettingsError(str(error)) from error
        if self.code is not None:
            object.__setattr__(self, "code", ReasonCode(self.code))
        object.__setattr__(self, "reason", _storable(self.reason))
        object.__setattr__(self, "reasons", tuple(self.reasons))
        object.__setattr__(self, "warnings", tuple(self.warnings))

    def _check(self) -> None:
        check_text(self.source, MAX_PATH, where="source", is_name=True)
        if not self.source:
            raise FileError("source must be a path, not ''")
        if self.clip is not None:
            check_text(self.clip, MAX_PATH, where="clip", is_name=True)
        for key in ("source_sha256", "clip_sha256"):
            value = getattr(self, key)
            if value not in (None, "") and not (isinstance(value, str) and _SHA256.fullmatch(value)):
                raise FileError(f"{key} is {shown(value)}, not 64 hexadecimal digits")
        if self.status not in STATUSES:
            raise FileError(f"status must be one of {', '.join(STATUSES)}, not {shown(self.status)}")
        if self.verdict is not None and self.verdict not in VERDICTS:
            raise FileError(f"verdict must be None or one of {', '.join(VERDICTS)}, not {shown(self.verdict)}")
        if self.code is not None and not (isinstance(self.code, str) and self.code in _CODES):
            raise FileError(f"code is {shown(self.code)}, not one of ReasonCode")
        if not isinstance(self.reason, str):
            raise FileError(f"reason is {shown(self.reason)}, not text")
        check_count(self.nframe, MAX_FRAMES, where="nframe")
        check_range(self.seconds, 0.0, MAX_SECONDS, where="seconds")
        if not isinstance(self.metrics, Mapping):
            raise FileError(f"metrics must be a mapping, not {shown(self.metrics)}")
        check_metrics(self.metrics)
        check_reasons(self.reasons)
        check_warnings(self.warnings)

    def to_line(self) -> bytes:
        """The entry as one line of the manifest, with its newline."""
        items = (f"{strict_json(f.name)}: {strict_json(getattr(self, f.name))}" for f in fields(self))
        return f"{{{', '.join(items)}}}\n".encode()

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Parse one line; keys that this version does not know are ignored.

        Raises:
            SettingsError: If the line is not an entry; the message gives the reason.
        """
        try:
            stored = parse_json(line, limit=MAX_LINE)
        except FileError as error:
            raise SettingsError(str(error)) from error
        if not isinstance(stored, dict):
            raise SettingsError("it is not a JSON object")
        absent = {"source", "status"} - stored.keys()
        if absent:
            raise SettingsError(f"no {' and no '.join(sorted(absent))}; it has: {shown(', '.join(sorted(stored)))}")
        return cls(**{f.name: stored[f.name] for f in fields(cls) if f.name in stored})


def _storable(reason: str) -> str:
    """Make a reason readable again: shorten it, and replace halves of surrogate pairs."""
    cut = reason if len(reason) <= MAX_TEXT else f"{reason[: MAX_TEXT - 3]}..."
    try:
        cut.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return cut.encode("utf-8", "replace").decode("utf-8")
    return cut


@dataclass(frozen=True, kw_only=True)
class DamagedLine:
    """One or several unusable lines: the place and the fault, which together form a sentence."""

    where: str
    fault: str

    def __str__(self) -> str:
        return f"{self.where} {self.fault}"


def read_lines(path: Path) -> tuple[list[ManifestEntry], tuple[DamagedLine, ...]]:
    """Every intact entry of a manifest or journal in file order, and the damaged lines.

    Only the first `MAX_PROBLEMS` damaged lines are listed; the rest are counted.

    Raises:
        SettingsError: If the file is a pipe, a device, a folder, too large, or unreadable.
    """
    entries = list[ManifestEntry]()
    damaged, unnamed = list[DamagedLine](), 0
    try:
        for number, line in _lines(path):
            try:
                entries.append(ManifestEntry.from_line(line))
            except SettingsError as error:
                unnamed += len(damaged) >= MAX_PROBLEMS
                if len(damaged) < MAX_PROBLEMS:
                    fault = f"is damaged and was skipped: {error}"
                    damaged.append(DamagedLine(where=f"{path.name} line {number}", fault=fault))
    except FileError as error:
        raise SettingsError(str(error)) from error
    if unnamed:
        damaged.append(DamagedLine(where=path.name, fault=f"has {unnamed} more damaged lines, which were skipped"))
    return entries, tuple(damaged)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Entries of a manifest.

    Attributes:
        entries: Entries sorted by source, one per source.
        damaged: Lines that could not be read; never written back.
    """

    entries: tuple[ManifestEntry, ...] = ()
    damaged: tuple[DamagedLine, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each damaged line."""
        return tuple(map(str, self.damaged))

    def __post_init__(self) -> None:
        counted = Counter(entry.source for entry in self.entries)
        twice = sorted(source for source, n in counted.items() if n > 1)
        if twice:
            raise SettingsError(f"a manifest has one line per source; these have more: {', '.join(twice[:5])}")
        object.__setattr__(self, "entries", tuple(sorted(self.entries, key=lambda entry: entry.source)))

    @classmethod
    def read(cls, path: Path, *, missing_ok: bool = False) -> Self:
        """Read a manifest.

        Damaged lines are listed in `damaged`; the last entry of a repeated source counts.

        Raises:
            SettingsError: If the file does not exist and `missing_ok` is false, or if it is a pipe, a device, a folder,
                too large, or unreadable. With `missing_ok` a missing file gives an empty manifest.
        """
        if not os.path.lexists(path):
            if missing_ok:
                return cls()
            raise SettingsError(f"there is no manifest at {path}")
        entries, damaged = read_lines(path)
        return cls(entries=tuple({entry.source: entry for entry in entries}.values()), damaged=damaged)

    def write(self, path: Path) -> None:
        """Replace the file at `path` atomically."""
        write_atomically(path, b"".join(entry.to_line() for entry in self.entries))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers; of a line over the limit, a part that is still over the limit.

    Raises:
        FileError: If the file is not regular, too large, or unreadable.
    """
    with open_regular(path, limit=MAX_MANIFEST) as file:
        for number in count(1):
            line = file.readline(MAX_LINE + 1)
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(MAX_LINE)
            if not line:
                return
            if line.strip():
                yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
