"""What a second fit with limbs kept apart made of a clip: whether it is better, and what it changed."""

from dataclasses import replace
from typing import Any

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.manifest import VERDICTS

REPAIRED = ("self_penetration_mm", "floor_penetration_mm")
"""Rules that a repair answers."""

_TOLD = (*REPAIRED, "landmark_error_mm", "foot_error_mm")


def needs_refit(clip: Clip) -> bool:
    """Whether the clip breaks a rule that a repair answers."""
    return any(reason["rule"] in REPAIRED for reason in clip.reasons)


def accept_refit(before: Clip, after: Clip) -> Clip:
    """Choose between a clip and its repair, and tell in its metrics what was done.

    The repair is kept if its verdict is no worse and the parts that were inside each other, or below the floor, are so
    less deeply. Metrics: `repaired` (1 where it is kept), `repair_moved_mm` (the furthest that a landmark moved, 0
    where it is not kept), and for figures of the clip before it their names with `_before_mm`.

    Args:
        before: The clip as it was fitted, judged.
        after: The same fitted again, judged.
    """
    depth = [sum(max(clip.metrics[name], 0.0) for name in REPAIRED) for clip in (before, after)]
    kept = VERDICTS.index(after.verdict) <= VERDICTS.index(before.verdict) and depth[1] < depth[0]
    message: dict[str, Any] = {"repaired": float(kept), "repair_moved_mm": 0.0}
    if kept:
        moved = np.linalg.norm(after.landmark_pos - before.landmark_pos, axis=2)
        message["repair_moved_mm"] = 1e3 * float(moved.max())
        message |= {f"repair_{name.removesuffix('_mm')}_before_mm": before.metrics[name] for name in _TOLD}
        message["repair_verdict_before"] = before.verdict
    clip = after if kept else before
    return replace(clip, metrics={**clip.metrics, **message})
