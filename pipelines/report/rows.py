"""One row of the page's table for every source, and how bad each is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from musclemap.datasets.manifest import ManifestEntry
from musclemap.retarget.checks.verdict import RULES, Rule

STATES = ("failed", "unreadable", "rejected", "infeasible", "warn", "feasible")
"""What can come of a source, the worst first: a status, or a verdict where there is a clip that can be read."""

MAX_RANGES = 200
"""Ranges of frames kept of one reason; what is beyond is counted."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A source in the table.

    Attributes:
        entry: Line of the manifest.
        state: One of `STATES`.
        reason: Why there is no clip to show, or "".
        broken: Names of the rules broken, in the order of the reasons.
        severity: See `severity`.
        file: Name of the file with its curves below the page's folder, or "".
        pictures: Whether it has pictures.
    """

    entry: ManifestEntry
    state: str
    reason: str = ""
    broken: tuple[str, ...] = ()
    severity: float = 0.0
    file: str = ""
    pictures: bool = False


def number(value: Any) -> float | None:
    """The value if it is a finite number, else None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond all floats
        return None


def severity(metrics: Mapping[str, Any], *, rules: Sequence[Rule] = RULES) -> float:
    """How many times its limit for a warning the worst metric of a clip is; 0 where no rule has a figure."""
    ratios = [
        value / measure.warn
        for rule in rules
        for measure in rule.measures
        if measure.warn > 0 and (value := number(metrics.get(measure.metric))) is not None
    ]
    return max(ratios, default=0.0)


def broken_rules(metrics: Mapping[str, Any], *, rules: Sequence[Rule] = RULES) -> tuple[str, ...]:
    """Rules that a clip's figures break, for a clip that cannot itself be asked."""
    broken = (rule.broken(lambda metric: number(metrics.get(metric)) or 0.0) for rule in rules)
    return tuple(measure.metric for measure in broken if measure is not None)


def worst_first(entries: Sequence[ManifestEntry], *, rules: Sequence[Rule] = RULES) -> list[ManifestEntry]:
    """Those that have a clip, the worst verdict first, within a verdict the furthest beyond a limit first."""
    clips = [entry for entry in entries if entry.status == "ok" and entry.clip]
    how_bad = {entry.source: severity(entry.metrics, rules=rules) for entry in clips}
    return sorted(clips, key=lambda e: (STATES.index(e.verdict or "feasible"), -how_bad[e.source], e.source))


def plain_reasons(reasons: Sequence[Mapping[str, Any]], *, nframe: int) -> list[dict[str, Any]]:
    """Reasons of a clip as the page needs them: figures or None, frames as ranges [start, stop) inside the clip, and
    words about what is at fault where there are any.

    Ranges that are not two whole numbers are dropped and counted in `lost`, with those beyond `MAX_RANGES`.
    """
    plain = []
    for reason in reasons:
        given = reason.get("frames")
        given = list(given) if isinstance(given, list | tuple) else []
        ranges = [cut for pair in given if (cut := _cut(pair, nframe=nframe)) is not None]
        plain.append(
            {
                "rule": str(reason.get("rule", "")),
                "value": number(reason.get("value")),
                "limit": number(reason.get("limit")),
                "frames": ranges[:MAX_RANGES],
                "at": str(reason.get("at", "")),
                "lost": len(given) - len(ranges[:MAX_RANGES]),
            }
        )
    return plain


def _cut(pair: object, *, nframe: int) -> list[int] | None:
    if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(type(end) is int for end in pair)):
        return None
    start, stop = max(int(pair[0]), 0), min(int(pair[1]), nframe)
    return [start, stop] if start < stop else None
