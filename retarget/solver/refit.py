"""Refits with self-collision terms: which clips need one, and whether its result replaces the first fit."""

from dataclasses import replace
from typing import Any

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.manifest import VERDICTS

REFIT_METRICS = ("self_penetration_mm", "floor_penetration_mm")
"""Rules whose violation triggers a refit."""

_RECORDED_METRICS = (*REFIT_METRICS, "landmark_error_mm", "foot_error_mm")


def needs_refit(clip: Clip) -> bool:
    """Return whether the clip breaks a rule that triggers a refit."""
    return any(reason["rule"] in REFIT_METRICS for reason in clip.reasons)


def accept_refit(before: Clip, after: Clip) -> Clip:
    """Choose between a clip and its refit, and record the choice in the metrics.

    The refit is accepted if its verdict is no worse and its total penetration, of self-collision and floor, is smaller.
    The metrics of the returned clip gain `refitted` (1 if the refit was accepted, otherwise 0) and `refit_moved_mm`
    (largest displacement of a landmark, 0 if not accepted). An accepted refit also has `refit_verdict_before`, and
    metrics of the first fit as `refit_NAME_before_mm`.

    Args:
        before: Clip of the first fit, with its verdict.
        after: Clip of the refit, with its verdict.
    """
    depth = [sum(max(clip.metrics[name], 0.0) for name in REFIT_METRICS) for clip in (before, after)]
    accepted = VERDICTS.index(after.verdict) <= VERDICTS.index(before.verdict) and depth[1] < depth[0]
    metrics: dict[str, Any] = {"refitted": float(accepted), "refit_moved_mm": 0.0}
    if accepted:
        distance = np.linalg.norm(after.landmark_pos - before.landmark_pos, axis=2)
        metrics["refit_moved_mm"] = 1e3 * float(distance.max())
        metrics |= {f"refit_{name.removesuffix('_mm')}_before_mm": before.metrics[name] for name in _RECORDED_METRICS}
        metrics["refit_verdict_before"] = before.verdict
    clip = after if accepted else before
    return replace(clip, metrics={**clip.metrics, **metrics})
