"""Badges of a clip: what the conversion did to its motion, and doubts about its source."""

from collections.abc import Sequence
from typing import Any

from musclemap.datasets.clip_schema import MAX_FRAMES
from musclemap.datasets.manifest import ManifestEntry
from musclemap.pipelines.track.track_folder import ListedTrack

TONES = ("doubt", "change", "result")
"""Doubts about the source, changes of the motion, and results of other commands."""

_CHANGES = (
    ("filtered", "filter_moved_joints_mm", 0.05, "noise was removed; a joint moved by up to {:.1f} mm"),
    ("moved", "dynamics_moved_mm", 0.05, "moved by {:.1f} mm on average so that ground forces explain the motion"),
    ("refitted", "refitted", 0.5, "fitted again against self-collision"),
    ("refit refused", "refit_rejected_moved_mm", 0.0, "a refit against self-collision would have moved it {:.0f} mm"),
    ("feet moved", "foot_shift_mm", 20.0, "a standing foot was moved by {:.0f} mm to hold it still"),
    ("treadmill", "treadmill_speed_m_s", 0.0, "recorded on a treadmill at {:.2f} m/s"),
    ("repeated frames", "repeated_source_fraction", 0.0, "repeated frames of the source were replaced"),
)
"""Badge, its metric, the value that the metric must exceed, and what happened. 0.05 mm would be shown as 0.1; 20 mm is
more than foot contacts of optical recordings need (`foot_shift_mm` of the built-in walks is 6)."""


def badges(entry: ManifestEntry, track: ListedTrack | None = None) -> list[tuple[str, str, str]]:
    """Badges of a source: text, tone (one of `TONES`) and explanation.

    Args:
        entry: Its manifest entry. Every code of its warnings is a badge.
        track: Line of its track in the list of `mm-track`, if it has one.
    """
    found = [(str(w.get("code", "")).replace("_", " "), "doubt", str(w.get("text", ""))) for w in entry.warnings]
    known = {text for text, _, _ in found}
    for text, metric, limit, meaning in _CHANGES:
        value = entry.metrics.get(metric)
        if isinstance(value, int | float) and limit < value < 1e9 and text not in known:
            found.append((text, "change", meaning.format(value)))
    if entry.metrics.get("forces") == "measured":
        found.append(("measured forces", "change", "ground forces are those of force plates"))
    return [badge for badge in found if badge[0]] + ([] if track is None else [_tracked(track, entry.seconds)])


def _tracked(track: ListedTrack, seconds: float) -> tuple[str, str, str]:
    if track.verdict == "tracked":
        return "muscles follow", "result", "mm-track found excitations that follow the clip to its end"
    frames, total = track.metrics.get("frames"), track.metrics.get("frames_total")
    when = "before the end"
    if isinstance(frames, int) and isinstance(total, int) and 0 < frames <= total < MAX_FRAMES:
        when = f"at {seconds * (frames - 1) / total:.2f} of {seconds:.1f} s"
    return "muscles lose it", "result", f"mm-track lost the clip {when}: {track.failure}"


def badge_table(rows: Sequence[Sequence[tuple[str, str, str]]]) -> tuple[list[list[str]], list[list[list[Any]]]]:
    """Store equal badges of many rows once.

    Returns:
        Text and tone of every badge, and by row the index of each of its badges with its explanation.
    """
    kinds = {badge[:2]: None for row in rows for badge in row}
    index = {kind: k for k, kind in enumerate(kinds)}
    return [list(kind) for kind in kinds], [[[index[b[:2]], b[2]] for b in row] for row in rows]
