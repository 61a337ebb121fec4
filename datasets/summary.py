"""Outcome of a conversion, for programs and for people."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from musclemap.reason_codes import ReasonCode

from .manifest import STATUSES, ManifestEntry
from .motion import SourceWarning

_PLANNED = ("planned_frames", "planned_seconds", "planned_bytes")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Outcome of a conversion.

    Attributes:
        out: The output folder.
        entries: One entry per selected source, sorted by name. In a dry run, those known without converting.
        kept: Sources whose clip was already present and up to date.
        readings: In a dry run, how each source was read that would be converted, see `SourceMotion.reading`.
        planned_frames: Frames that their clips would have.
        planned_bytes: Size of their files.
        missing: Members of the requested group that were not found.
        warnings: Warnings about sources that were used although some of their data is doubtful.
        problems: Sentences about damage in the manifest of earlier runs.
        seconds: Duration of the run [s].
        stopped: Why the run ended early, or empty.
    """

    out: Path
    entries: tuple[ManifestEntry, ...]
    kept: frozenset[str] = frozenset()
    readings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    planned_frames: int = 0
    planned_bytes: int = 0
    missing: tuple[str, ...] = ()
    warnings: Mapping[str, tuple[SourceWarning, ...]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    seconds: float = 0.0
    stopped: str = ""

    @property
    def planned(self) -> tuple[str, ...]:
        """Sources that a run without `dry_run` would convert."""
        return tuple(self.readings)

    @property
    def planned_seconds(self) -> float:
        """Duration of their motion [s]."""
        return float(sum(reading["seconds"] for reading in self.readings.values()))

    @property
    def counts(self) -> dict[str, int]:
        """Number of sources of each status; "kept" ones also count as "ok"."""
        counted = Counter(entry.status for entry in self.entries)
        return {status: counted[status] for status in STATUSES} | {"kept": len(self.kept)}

    @property
    def nframe(self) -> int:
        """Number of frames of the clips written in this run."""
        return sum(entry.nframe for entry in self.entries if entry.source not in self.kept)

    @property
    def complete(self) -> bool:
        """Whether every source that was processed has its clip; a static trial needs none."""
        return not self.failures

    @property
    def failures(self) -> tuple[ManifestEntry, ...]:
        """Entries of the sources without a clip that should have one."""
        return tuple(e for e in self.entries if e.status != "ok" and e.code is not ReasonCode.STATIC_TRIAL)

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain values, ready for JSON."""
        plain = {key: getattr(self, key) for key in ("counts", "nframe", "seconds", "stopped", *_PLANNED)}
        lists = {key: list(getattr(self, key)) for key in ("planned", "missing", "problems")}
        lists |= {"kept": sorted(self.kept), "entries": [asdict(entry) for entry in self.entries]}
        warnings = {name: [warning.text for warning in those] for name, those in self.warnings.items()}
        readings = {name: dict(reading) for name, reading in self.readings.items()}
        return {"out": str(self.out), **plain, **lists, "readings": readings, "warnings": warnings}
