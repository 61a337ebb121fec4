"""Checks of a whole clip against the ground: residuals by frame, times without support, stance and double support.

Residuals are judged by their worst frames, as Hicks et al. 2015 (J Biomech Eng 137:020905) recommend: the force below
5 % of the external force, the moment below 1 % of the height times that force. A mean over the clip would let anybody
sit on air who stands long enough before and after.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.intervals import runs
from musclemap.retarget.forces.contact_forces import TORQUE_LENGTH
from musclemap.skeletons.body import TargetBody

from .inverse_dynamics import GRAVITY, GroundReaction

NEEDED_BW, MISSING_BW = 0.5, 0.3
"""A body is unsupported while it needs more than the first vertical force and misses more than the second: residual
force and residual moment at `TORQUE_LENGTH` together [body weights]. Feet ahead of a body that sits on air could bear
its weight, but not without a moment; over a seat 0.45 m behind them 0.45 is missing, and the solver trades force for
moment. Ordinary recordings miss more than 0.3 for at most 0.25 s, when a contact is found late."""

MIN_UNSUPPORTED_SECONDS = 0.1
"""Residuals of longer times without support are not judged as residuals: the missing support is one fault [s]."""

MAX_GAP_SECONDS = 0.05
"""Shorter interruptions do not end a time without support [s]."""

FEET = ("left_foot", "right_foot")
"""Support parts whose strikes make strides."""

WALKING_SPEEDS = (0.5, 2.0)
"""Speeds at which people walk [m/s]."""

STANCE_RANGE = (0.55, 0.70)
"""Stance as a fraction of the stride at these speeds: 62 % at 1.4 m/s, more at lower and less at higher speeds (Perry &
Burnfield 2010, Gait Analysis, chapter 1)."""

STRIDE_SECONDS = (0.6, 2.5)
"""Shortest and longest stride of walking [s]."""

MIN_STRIDES = 2
"""A clip counts as walking from this number of strides of each foot."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A metric of a whole clip, with its value in every frame, shape (nframe,), or None."""

    value: float
    series: np.ndarray | None = None


def stature(body: TargetBody) -> float:
    """Height of the body in its rest configuration, from its geoms [m]."""
    model, data = body.model, mujoco.MjData(body.model)
    data.qpos[:] = body.reduced.base
    mujoco.mj_kinematics(model, data)
    ids = np.flatnonzero((model.geom_bodyid > 0) & (model.geom_type != mujoco.mjtGeom.mjGEOM_PLANE))
    up = data.geom_xmat[ids].reshape(-1, 3, 3)[:, 2]
    middle = data.geom_xpos[ids, 2] + np.sum(up * model.geom_aabb[ids, :3], axis=1)
    reach = np.sum(np.abs(up) * model.geom_aabb[ids, 3:], axis=1)
    return float((middle + reach).max() - (middle - reach).min())


def residual_checks(ground: GroundReaction, inner: np.ndarray, *, weight: float, height: float) -> dict[str, Measured]:
    """Peaks and 99th percentiles of the residual force [body weights] and moment [body weights times height].

    Args:
        ground: Ground reaction of the whole clip.
        inner: Frames to judge, shape (nframe,) bool.
        weight: Body weight [N].
        height: Height of the body [m].
    """
    force = np.linalg.norm(ground.residual_force, axis=1) / weight * inner
    moment = np.linalg.norm(ground.residual_torque, axis=1) / (weight * height) * inner
    result = {}
    for name, series in (("residual_force_{}_bw", force), ("residual_moment_{}_bw_height", moment)):
        result[name.format("p99")] = Measured(value=_percentile(series[inner], 99), series=series)
        result[name.format("peak")] = Measured(value=float(series.max(initial=0.0)), series=series)
    return result


def unsupported_check(ground: GroundReaction, inner: np.ndarray, *, weight: float, fps: float) -> Measured:
    """Longest time in which the body needs support and nothing bears it [s].

    Args:
        ground: Ground reaction of the whole clip.
        inner: Frames far enough from the ends for the filter, shape (nframe,) bool.
        weight: Body weight [N].
        fps: Frame rate [Hz].

    Returns:
        The longest time; the series has in each frame the length of its own time without support, 0 with support.
    """
    needed = ground.required_force[:, 2] / weight
    missing = (
        np.linalg.norm(np.hstack([ground.residual_force, ground.residual_torque / TORQUE_LENGTH]), axis=1) / weight
    )
    joined = (needed > NEEDED_BW) & (missing > MISSING_BW) & inner
    for start, stop in runs(~joined):
        if start > 0 and stop < len(joined) and stop - start < MAX_GAP_SECONDS * fps:
            joined[start:stop] = True
    seconds = np.zeros(len(joined))
    for start, stop in runs(joined):
        seconds[start:stop] = (stop - start) / fps
    return Measured(value=float(seconds.max(initial=0.0)), series=seconds)


def gait_checks(feet: np.ndarray, root_pos: np.ndarray, fps: float) -> dict[str, Measured]:
    """Mean speed, and for walking stance and double support as fractions of the stride.

    A clip is walking if it is as fast as people walk, both feet have at least `MIN_STRIDES` strides, and their strikes
    alternate. `stance_deviation` says how far the stance lies outside `STANCE_RANGE`.

    Args:
        feet: Whether the left and the right foot bear, shape (nframe, 2) bool.
        root_pos: Position of the root, shape (nframe, 3) [m].
        fps: Frame rate [Hz].
    """
    travel = np.linalg.norm(np.diff(root_pos[:, :2].astype(np.float64), axis=0), axis=1).sum()
    speed = float(travel * fps / max(len(root_pos) - 1, 1))
    result = {"speed_m_s": Measured(value=speed)}
    strikes = [np.flatnonzero(np.diff(foot.astype(np.int8)) == 1) + 1 for foot in feet.T]
    if not WALKING_SPEEDS[0] <= speed <= WALKING_SPEEDS[1] or min(map(len, strikes)) <= MIN_STRIDES:
        return result
    order = np.concatenate([np.full(len(s), k) for k, s in enumerate(strikes)])[np.argsort(np.concatenate(strikes))]
    length = np.concatenate([np.diff(s) for s in strikes]) / fps
    if (np.diff(order) == 0).any() or length.min() < STRIDE_SECONDS[0] or length.max() > STRIDE_SECONDS[1]:
        return result
    stance = float(np.mean([feet[s[0] : s[-1], k].mean() for k, s in enumerate(strikes)]))
    both = float(np.mean([feet[s[0] : s[-1]].all(axis=1).mean() for s in strikes]))
    outside = max(STANCE_RANGE[0] - stance, stance - STANCE_RANGE[1], 0.0)
    return result | {
        "stance_fraction": Measured(value=stance),
        "double_support_fraction": Measured(value=both),
        "stance_deviation": Measured(value=outside),
    }


def ground_checks(
    body: TargetBody,
    ground: GroundReaction,
    *,
    bearing: np.ndarray,
    root_pos: np.ndarray,
    inner: np.ndarray,
    fps: float,
) -> dict[str, Measured]:
    """All checks of this module by metric.

    Args:
        body: Target body.
        ground: Ground reaction of the whole clip.
        bearing: Whether each of the body's support parts bears, shape (nframe, npart) bool.
        root_pos: Position of the root, shape (nframe, 3) [m].
        inner: Frames far enough from the ends for the filter, shape (nframe,) bool.
        fps: Frame rate [Hz].
    """
    weight = body.mass * GRAVITY
    feet = [k for k, name in enumerate(body.support_names) if name in FEET]
    unsupported = unsupported_check(ground, inner, weight=weight, fps=fps)
    assert unsupported.series is not None
    supported = inner & (unsupported.series <= MIN_UNSUPPORTED_SECONDS)
    return {
        **residual_checks(ground, supported, weight=weight, height=stature(body)),
        "unsupported_s": unsupported,
        **(gait_checks(bearing[:, feet], root_pos, fps) if len(feet) == len(FEET) else {}),
    }


def _percentile(values: np.ndarray, percent: float) -> float:
    return float(np.percentile(values, percent)) if len(values) else 0.0
