"""Refits with self-collision terms: which clips need one, how much of it is used, and whether it replaces a first fit.

A refit may not distort the recording: it is used only around the frames with collisions, and it is refused if a
landmark moves too far or a joint steps.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import convolve1d, maximum_filter1d, minimum_filter1d

from musclemap.datasets.clip import Clip
from musclemap.datasets.manifest import VERDICTS
from musclemap.retarget.checks.metrics import largest_steps
from musclemap.retarget.checks.verdict import MAX_REFIT_MOVE_MM, MAX_STEP_INCREASE_DEG, RULES, Rule, judge

REFIT_METRICS = ("self_penetration_mm", "floor_penetration_mm")
"""Rules whose violation triggers a refit."""


ORDINARY_STEP_DEG = 4.0
"""Step of a joint in 10 ms that is no fault, as of the swinging knee in walking (Winter 2009) [deg]."""

RAMP_SECONDS = 0.3
"""Time in which a clip changes from the first fit to the refit, before and after the frames with collisions [s]."""

AIM = 0.9
"""Share of `MAX_REFIT_MOVE_MM` to which displacements are scaled, because landmarks do not move in proportion,
and because the dynamics of the clip are refined afterwards."""

_RECORDED_METRICS = (*REFIT_METRICS, "landmark_error_mm", "foot_error_mm")


def needs_refit(clip: Clip) -> bool:
    """Return whether the clip breaks a rule that triggers a refit."""
    return any(reason["rule"] in REFIT_METRICS for reason in clip.reasons)


def refit_share(clip: Clip, moved: np.ndarray) -> np.ndarray:
    """Share of the refit in every frame: 0 away from collisions, at most 1 around them, with smooth ramps.

    Where the refit moves landmarks too far, the share scales its displacement down to the limit.

    Args:
        clip: Clip of the first fit, with the reasons that trigger the refit.
        moved: Largest displacement of a landmark by the refit, shape (nframe,) [m].

    Returns:
        Shares, 0 to 1, shape (nframe,).
    """
    colliding = np.zeros(clip.nframe)
    for reason in clip.reasons:
        if reason["rule"] in REFIT_METRICS:
            for start, stop in reason["frames"] or [[0, clip.nframe]]:
                colliding[start:stop] = 1.0
    half = max(1, round(0.5 * RAMP_SECONDS * clip.fps))
    limit = np.minimum(1.0, 1e-3 * AIM * MAX_REFIT_MOVE_MM / np.maximum(moved, 1e-9))
    share = minimum_filter1d(maximum_filter1d(colliding, 4 * half + 1) * limit, 2 * half + 1, mode="nearest")
    window = np.hanning(2 * half + 3)[1:-1]
    return convolve1d(share, window / window.sum(), mode="nearest")


def blend(first: np.ndarray, refit: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Blend reduced configurations; joints stay within limits that hold for both.

    Args:
        first: Configurations of the first fit, shape (nframe, 7 + njoint).
        refit: Configurations of the refit, shape (nframe, 7 + njoint).
        share: Share of the refit, 0 to 1, shape (nframe,).
    """
    refit = refit.copy()
    refit[:, 3:7] *= np.where(np.sum(first[:, 3:7] * refit[:, 3:7], axis=1) < 0.0, -1.0, 1.0)[:, None]
    result = first + share[:, None] * (refit - first)
    result[:, 3:7] /= np.linalg.norm(result[:, 3:7], axis=1, keepdims=True)
    return result


def accept_refit(before: Clip, after: Clip, *, rules: Sequence[Rule] = RULES) -> Clip:
    """Choose between a clip and its refit, and record the choice in the metrics.

    The refit is accepted if its verdict is no worse, its total penetration, of self-collision and floor, is smaller, no
    landmark moves by more than `MAX_REFIT_MOVE_MM`, and no joint steps further than before. If a refit that is better
    is refused for its displacement or a step, the clip of the first fit gains a reason that says so.

    The metrics of the returned clip gain `refitted` (1 if the refit was accepted, otherwise 0) and `refit_moved_mm`
    (largest displacement of a landmark, 0 if not accepted). An accepted refit also has `refit_verdict_before`, and
    metrics of the first fit as `refit_NAME_before_mm`. A refused one that is better has `refit_rejected_moved_mm` and
    `refit_rejected_step_deg` (by how much the largest step of a joint in 10 ms grows, or exceeds
    `ORDINARY_STEP_DEG`, whichever is less).

    Args:
        before: Clip of the first fit, with its verdict.
        after: Clip of the refit, with its verdict.
        rules: Rules with their thresholds.
    """
    depth = [sum(max(clip.metrics.get(name, 0.0), 0.0) for name in REFIT_METRICS) for clip in (before, after)]
    metrics: dict[str, Any] = {"refitted": 0.0, "refit_moved_mm": 0.0}
    if VERDICTS.index(after.verdict) > VERDICTS.index(before.verdict) or depth[1] >= depth[0]:
        return replace(before, metrics={**before.metrics, **metrics})
    distance = 1e3 * np.linalg.norm(after.landmark_pos - before.landmark_pos, axis=2)
    old, new = (np.rad2deg(largest_steps(clip.qpos, nroot=clip.nroot)) * clip.fps / 100.0 for clip in (before, after))
    allowed = np.maximum(old, ORDINARY_STEP_DEG)
    increase = new - allowed
    if distance.max() > MAX_REFIT_MOVE_MM or increase.max(initial=0.0) > MAX_STEP_INCREASE_DEG:
        rejected = _rejected(before, after, distance, allowed, rules=rules)
        return replace(rejected, metrics={**rejected.metrics, **metrics})
    metrics |= {"refitted": 1.0, "refit_moved_mm": float(distance.max()), "refit_verdict_before": before.verdict}
    recorded = [name for name in _RECORDED_METRICS if name in before.metrics]
    metrics |= {f"refit_{name.removesuffix('_mm')}_before_mm": before.metrics[name] for name in recorded}
    return replace(after, metrics={**after.metrics, **metrics})


def _rejected(before: Clip, after: Clip, distance: np.ndarray, allowed: np.ndarray, *, rules: Sequence[Rule]) -> Clip:
    """The first fit with a reason why its refit was refused.

    Args:
        before: Clip of the first fit.
        after: Clip of the refit.
        distance: Displacement of the landmarks, shape (nframe, nlandmark) [mm].
        allowed: Largest step of each joint in 10 ms that is no fault, shape (nq - nroot,) [deg].
        rules: Rules with their thresholds.
    """
    joint = int((largest_steps(after.qpos, nroot=after.nroot) - np.deg2rad(allowed) * 100.0 / after.fps).argmax())
    angle = np.rad2deg(after.qpos[:, after.nroot + joint].astype(np.float64))
    increase = np.maximum(np.abs(np.diff(angle, prepend=angle[0])) * after.fps / 100.0 - allowed[joint], 0.0)
    metrics = {
        "refit_rejected_moved_mm": float(distance.max()),
        "refit_rejected_step_deg": float(increase.max()),
    }
    verdict, reasons = judge(
        metrics,
        series={"refit_rejected_moved_mm": distance.max(axis=1), "refit_rejected_step_deg": increase},
        details={
            "refit_rejected_moved_mm": before.landmark_names[int(distance.max(axis=0).argmax())],
            "refit_rejected_step_deg": before.joint_names[joint + (before.nroot > 0)],
        },
        rules=rules,
    )
    return replace(
        before,
        metrics={**before.metrics, **metrics},
        verdict=max(before.verdict, verdict, key=VERDICTS.index),
        reasons=(*before.reasons, *reasons),
    )
