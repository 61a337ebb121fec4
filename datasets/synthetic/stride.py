"""One stride of steady walking: the motion closest to the tables of normal gait whose feet do not slide on the floor.

Mean joint angles of many people, played back on one skeleton, make its feet slide and sink. One stride is therefore
solved for: joint angles of a leg and the pelvis at `NSAMPLE` instants, with the other leg as the mirror image half a
stride later, minimise

    sum ((angle - table) / spread)^2 + (slip of the foot on the ground / tolerance)^2 + (roughness of the deviation)^2

by Gauss-Newton. The deviation from the tables is thus measured in standard deviations among healthy people, and the
feet's error in fractions of a millimetre. The solution is added to uniform progress, so the mean speed is exact.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import sparse
from scipy.interpolate import CubicSpline
from scipy.sparse.linalg import spsolve

from . import gait_tables
from .pose import BALL, HEEL, HIP, SHANK, THIGH, TOE, ankle, hip, turn

NSAMPLE = 120
"""Number of instants of a stride; even, so that half a stride is a whole number of them."""

LEG = ("hip_flexion", "hip_adduction", "hip_rotation", "knee_flexion", "ankle_dorsiflexion", "ankle_inversion")
PELVIS = ("x", "y", "z", "pelvis_list", "pelvis_advance", "pelvis_tilt")
MIRROR = np.array([-1.0, 1.0, 1.0, -1.0, -1.0, 1.0])
"""Signs of the pelvis's coordinates in the mirror image, which is the pelvis's state half a stride later."""

SLIP_TOLERANCE = 2e-4  # of contact points on the floor [m]
TILT_TOLERANCE = 2e-3  # of the foot's lateral axis [rad]
CLEARANCE_TOLERANCE = 1e-3  # of points in swing above the floor [m]
ROUGHNESS_TOLERANCE = 0.02  # third difference over neighbouring instants, in spreads
PELVIS_SPREAD = {"x": 0.014, "y": 0.007, "z": 0.006}  # sway and rise: Orendurff et al. 2004; progress: ours [m]
SURGE = 0.006
"""Amplitude of the pelvis's deviation from uniform progress at an ordinary step length [m]; slowest in mid-stance.
Ours: it keeps the fore-aft ground reaction force near 0.2 body weights, as force plates measure it (Winter 2009)."""
LOOSENING = (100.0, 30.0, 10.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""Factor on the feet's tolerances in each iteration. With the final tolerances from the start, the iteration converges
to another, distant solution, which lowers the heel again before toe-off."""


@dataclass(frozen=True, kw_only=True)
class Stride:
    """One stride from left heel strike to left heel strike.

    Attributes:
        speed: Walking speed [m/s].
        period: Duration [s].
        leg: Angles of the left leg in the order LEG, as a periodic function of the fraction of the stride [rad].
        pelvis: Coordinates in the order PELVIS, periodic [m, rad]; z is relative to uniform progress.
        residual: Largest remaining slip of a foot on the ground [m].
    """

    speed: float
    period: float
    leg: CubicSpline
    pelvis: CubicSpline
    residual: float


def pelvis_frame(pelvis: np.ndarray) -> np.ndarray:
    """Orientation of the pelvis, R(n), from its coordinates in the order PELVIS."""
    side_up, advance, tilt = pelvis[:, 3:].T
    return turn("y", -advance) @ turn("x", tilt) @ turn("z", side_up)


def foot_pose(leg: np.ndarray, pelvis: np.ndarray, progress: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position of the left ankle, shape (n, 3) [m], and orientation of its foot, R(n)."""
    frame = pelvis_frame(pelvis)
    thigh = frame @ hip(leg[:, 0], leg[:, 1], leg[:, 2])
    shank = thigh @ turn("x", leg[:, 3])
    ahead = np.stack([0.0 * progress, 0.0 * progress, progress], axis=-1)
    return pelvis[:, :3] + ahead + frame @ HIP + thigh @ THIGH + shank @ SHANK, shank @ ankle(leg[:, 4], leg[:, 5])


def toe_bend(foot: np.ndarray, *, phase: np.ndarray, stance: float) -> np.ndarray:
    """Upward bend of the toes [rad]: flat on the floor while the heel rises, then on their tips, and soon straight."""
    pitch = np.arcsin(np.clip(-foot[:, 1, 2], 0.0, 1.0))
    duration = gait_tables.ON_TOES + gait_tables.TOES_STRAIGHT
    progress = np.clip((phase - stance + gait_tables.ON_TOES) / duration, 0.0, 1.0)
    return pitch * 0.5 * (1.0 + np.cos(np.pi * progress))


def _tables(speed: float, phase: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reference for the solution: leg and pelvis, shape (n, 6) each, scaled with the step length.

    Legs and pelvis turn wider in proportion to the step length; the knee's flexion grows with its square root.
    """
    reach = gait_tables.reach(speed)
    scale = {"hip_flexion": reach, "knee_flexion": np.sqrt(reach), "pelvis_list": reach, "pelvis_advance": reach}
    known = {name: scale.get(name, 1.0) * gait_tables.curve(name, phase=phase)
             for name in (*LEG, *PELVIS) if name in gait_tables.KEY_POINTS}  # fmt: skip
    known["hip_rotation"] = np.full_like(phase, -gait_tables.TOE_OUT)
    angle = 2 * np.pi * (phase - gait_tables.MIDSTANCE)
    known["x"] = gait_tables.sway(speed) / 2 * np.cos(angle)
    known["y"] = gait_tables.rise(speed) / 2 * np.cos(2 * angle)
    known["z"] = -SURGE * reach * np.sin(2 * angle)
    zero = np.zeros_like(phase)
    leg, pelvis = (np.stack([known.get(name, zero) for name in names], axis=-1) for names in (LEG, PELVIS))
    ankle_pos, foot = foot_pose(leg, pelvis, speed * gait_tables.stride_time(speed) * phase)
    heel = ankle_pos + foot @ HEEL
    flat = (phase >= gait_tables.FOOT_FLAT) & (phase < gait_tables.HEEL_OFF)
    # height and position that keep the flat foot on the floor on average
    pelvis[:, 1:3] -= np.mean(heel[flat, 1:], axis=0)
    return leg, pelvis


def _misfit(leg: np.ndarray, pelvis: np.ndarray, *, phase: np.ndarray, speed: float) -> np.ndarray:
    """Slip, tilt and clearance of the left foot, each over its tolerance, shape (n, 14)."""
    period, stance = gait_tables.stride_time(speed), gait_tables.stance_part(speed)
    ankle_pos, foot = foot_pose(leg, pelvis, speed * period * phase)
    heel, ball = ankle_pos + foot @ HEEL, ankle_pos + foot @ BALL
    toe = ball + (foot @ turn("x", -toe_bend(foot, phase=phase, stance=stance))) @ TOE
    yaw = turn("y", gait_tables.TOE_OUT)
    origin = np.array([gait_tables.STEP_WIDTH / 2, 0.0, 0.0])
    on_heel = (phase < gait_tables.HEEL_OFF)[:, None]
    on_ball = ((phase >= gait_tables.FOOT_FLAT) & (phase <= stance - gait_tables.ON_TOES))[:, None]
    on_toe = ((phase >= stance - gait_tables.ON_TOES) & (phase <= stance))[:, None]
    standing = on_heel | on_ball | on_toe
    swing = np.clip((phase - stance) / (1.0 - stance), 0.0, 1.0)
    floor = gait_tables.TOE_CLEARANCE * np.clip(np.minimum(swing, 1.0 - swing) / 0.25, 0.0, 1.0)
    penetration = np.minimum(0.0, np.stack([heel[:, 1], ball[:, 1], toe[:, 1]], axis=-1) - floor[:, None])
    return np.concatenate(
        [
            on_heel * (heel - origin) / SLIP_TOLERANCE,
            on_ball * (ball - origin - yaw @ (BALL - HEEL)) / SLIP_TOLERANCE,
            on_toe * (toe - origin - yaw @ (BALL + TOE - HEEL)) / SLIP_TOLERANCE,
            standing * (foot[:, :, 0] - yaw[:, 0])[:, 1:] / TILT_TOLERANCE,
            penetration / CLEARANCE_TOLERANCE,
        ],
        axis=1,
    )


def _roughness() -> sparse.csr_matrix:
    """Third difference around the stride, shape (NSAMPLE, NSAMPLE)."""
    difference = np.roll(np.eye(NSAMPLE), 1, axis=1) - np.eye(NSAMPLE)
    return sparse.csr_matrix(np.linalg.matrix_power(difference, 3))


@cache
def solve_stride(speed: float) -> Stride:
    """Solve for one stride at a speed [m/s]; results are cached."""
    half, phase = NSAMPLE // 2, np.arange(NSAMPLE) / NSAMPLE
    leg_table, pelvis_table = _tables(speed, phase)
    spread = np.array(
        [np.deg2rad(gait_tables.SPREAD[name]) if name in gait_tables.SPREAD else PELVIS_SPREAD[name]
         for name in (*LEG, *PELVIS)]
    )  # fmt: skip
    table = np.concatenate([leg_table, pelvis_table], axis=1) / spread

    # Unknowns are deviations from the tables in spreads: of the leg at each instant, of the pelvis over half a stride.
    mirror = sparse.vstack([sparse.kron(sparse.eye(half), sparse.diags(signs)) for signs in (np.ones(6), MIRROR)])
    leg_part, pelvis_part = (sparse.kron(sparse.eye(NSAMPLE), np.eye(12)[:, six]) for six in (slice(6), slice(6, 12)))
    expand = sparse.hstack([leg_part, pelvis_part @ mirror]).tocsr()  # to the order (instant, leg and pelvis)
    prior = sparse.vstack([sparse.eye(12 * NSAMPLE), sparse.kron(_roughness(), sparse.eye(12)) / ROUGHNESS_TOLERANCE])
    prior_normal = (expand.T @ prior.T @ prior @ expand).tocsr()

    def misfit(deviation: np.ndarray) -> np.ndarray:
        state = (table + deviation.reshape(NSAMPLE, 12)) * spread
        return _misfit(state[:, :6], state[:, 6:], phase=phase, speed=speed)

    unknown = np.zeros(6 * NSAMPLE + 6 * half)
    for loosening in LOOSENING:
        deviation = expand @ unknown
        residual = misfit(deviation) / loosening
        jacobian = np.empty((*residual.shape, 12))
        for k in range(12):
            perturbed = deviation.reshape(NSAMPLE, 12).copy()
            perturbed[:, k] += 1e-6
            jacobian[:, :, k] = (misfit(perturbed.ravel()) / loosening - residual) / 1e-6
        blocks = sparse.block_diag(list(jacobian), format="csr") @ expand
        gradient = blocks.T @ residual.ravel() + prior_normal @ unknown
        step = spsolve((blocks.T @ blocks + prior_normal).tocsc(), -gradient)
        unknown = unknown + step
    deviation = expand @ unknown
    state = (table + deviation.reshape(NSAMPLE, 12)) * spread
    knots = np.append(phase, 1.0)
    closed = np.concatenate([state, state[:1]])
    return Stride(
        speed=speed,
        period=gait_tables.stride_time(speed),
        leg=CubicSpline(knots, closed[:, :6], bc_type="periodic"),
        pelvis=CubicSpline(knots, closed[:, 6:], bc_type="periodic"),
        residual=float(np.max(np.abs(misfit(deviation)[:, :9])) * SLIP_TOLERANCE),
    )
