"""Rows of the table of sources, and the severity of each source."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from musclemap.datasets.manifest import ManifestEntry
from musclemap.retarget.checks.reason_text import reason_text
from musclemap.retarget.checks.verdict import RULES, Rule

from .findings.headline import Outcome

STATES = ("failed", "unreadable", "rejected", "infeasible", "warn", "feasible")
"""Results of a source, the worst first: its status, or the verdict of its clip if that can be read."""

MAX_RANGES = 200
"""Maximum number of frame ranges per reason; the rest are counted."""


@dataclass(frozen=True, kw_only=True)
class SourceRow:
    """Row of a source in the table.

    Attributes:
        entry: Entry of the manifest.
        state: One of `STATES`.
        reason: Reason why no clip can be shown, or "".
        broken: Names of the broken rules, in the order of the reasons.
        severity: See `severity`.
        file: Name of the file with its curves in the folder of the page, or "".
        pictures: Whether it has pictures.
        cause: Why its motion cannot be followed, or why there is no clip; "" otherwise.
        kind: Kind of the cause, to count alike causes.
        with_muscles: Whether its muscles were checked.
        landmark_names: Landmarks of the clip.
        thumbnail: See `stick_figure.thumbnail`; "" without a clip.
        badges: See `findings.badges`.
        settings: Settings and versions that made the clip, as JSON.
    """

    entry: ManifestEntry
    state: str
    reason: str = ""
    broken: tuple[str, ...] = ()
    severity: float = 0.0
    file: str = ""
    pictures: bool = False
    cause: str = ""
    kind: str = ""
    with_muscles: bool = False
    landmark_names: tuple[str, ...] = ()
    thumbnail: str = ""
    badges: tuple[tuple[str, str, str], ...] = ()
    settings: str = ""

    @property
    def outcome(self) -> Outcome:
        """The row for the headline."""
        return Outcome(
            source=self.entry.source, state=self.state, cause=self.cause, kind=self.kind, with_muscles=self.with_muscles
        )


def number(value: Any) -> float | None:
    """Return a value as a float if it is a finite number, else None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer beyond the range of floats
        return None


def severity(metrics: Mapping[str, Any], *, rules: Sequence[Rule] = RULES) -> float:
    """Largest ratio of a metric to its warning limit; 0 if no rule has a value."""
    ratios = [
        value / measure.warn
        for rule in rules
        for measure in rule.measures
        if measure.warn > 0 and (value := number(metrics.get(measure.metric))) is not None
    ]
    return max(ratios, default=0.0)


def broken_rules(metrics: Mapping[str, Any], *, rules: Sequence[Rule] = RULES) -> tuple[str, ...]:
    """Rules that the metrics of the manifest break, for a clip that cannot be read."""
    broken = (rule.broken(lambda metric: number(metrics.get(metric)) or 0.0) for rule in rules)
    return tuple(measure.metric for measure in broken if measure is not None)


def worst_first(entries: Sequence[ManifestEntry], *, rules: Sequence[Rule] = RULES) -> list[ManifestEntry]:
    """Entries with a clip, sorted by verdict and then by severity, the worst first."""
    clips = [entry for entry in entries if entry.status == "ok" and entry.clip]
    severities = {entry.source: severity(entry.metrics, rules=rules) for entry in clips}
    return sorted(clips, key=lambda e: (STATES.index(e.verdict or "feasible"), -severities[e.source], e.source))


def plain_reasons(reasons: Sequence[Mapping[str, Any]], *, nframe: int, fps: float = 100.0) -> list[dict[str, Any]]:
    """Convert the reasons of a clip to plain values for the page.

    Values that are not finite numbers become None; frames become ranges [start, stop) within the clip. Malformed ranges
    and those beyond `MAX_RANGES` are dropped and counted in `dropped`. `text` is the reason in words.
    """
    plain = []
    for reason in reasons:
        given = reason.get("frames")
        given = list(given) if isinstance(given, list | tuple) else []
        ranges = [clipped for pair in given if (clipped := _clip_range(pair, nframe=nframe)) is not None]
        plain.append(
            {
                "rule": str(reason.get("rule", "")),
                "value": number(reason.get("value")),
                "limit": number(reason.get("limit")),
                "frames": ranges[:MAX_RANGES],
                "at": str(reason.get("at", "")),
                "text": reason_text({**reason, "frames": ranges}, fps=fps),
                "dropped": len(given) - len(ranges[:MAX_RANGES]),
            }
        )
    return plain


def _clip_range(pair: object, *, nframe: int) -> list[int] | None:
    if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(type(end) is int for end in pair)):
        return None
    start, stop = max(int(pair[0]), 0), min(int(pair[1]), nframe)
    return [start, stop] if start < stop else None
