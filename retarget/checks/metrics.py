"""What a finished clip is measured by: C MuJoCo's kinematics on the stored configurations, nothing of the solver's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.retarget.resample import CHUNK
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.couplings import couplings

DEEP = 0.005
"""Penetration that counts a frame as under the floor [m]."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where the body really is in every frame.

    Attributes:
        landmark_pos: Shape (nframe, nlandmark, 3) [m], float32 as stored.
        landmark_quat: Orientations of the bodies of the landmarks in `TargetBody.oriented`, shape (nframe, noriented,
            4), float32.
        contact_pos: Heels and toes, shape (nframe, 4, 3) [m].
        clearance: Lowest point of each foot's colliding geoms over z = 0, right then left, shape (nframe, 2) [m].
    """

    landmark_pos: np.ndarray
    landmark_quat: np.ndarray
    contact_pos: np.ndarray
    clearance: np.ndarray


def measure_geometry(body: TargetBody, qpos: np.ndarray) -> Geometry:
    """Run C kinematics over all frames.

    Args:
        body: Target.
        qpos: Full configurations, shape (nframe, nq).
    """
    model = body.kinematic_model
    data = mujoco.MjData(model)
    points = list(body.sole.contact)
    ids, offsets = np.array([p.body for p in points]), np.array([p.offset for p in points])
    geoms = body.foot_geoms
    landmarks = np.empty((len(qpos), body.nlandmark, 3), np.float32)
    oriented = np.asarray(body.landmark_ids)[body.oriented]
    quats = np.empty((len(qpos), len(oriented), 4), np.float32)
    contacts, clearance = np.empty((len(qpos), len(points), 3)), np.empty((len(qpos), 2))
    for t, q in enumerate(qpos):
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        landmarks[t], quats[t] = data.xpos[body.landmark_ids], data.xquat[oriented]
        xmat = data.xmat.reshape(-1, 3, 3)
        contacts[t] = data.xpos[ids] + (xmat[ids] @ offsets[..., None])[..., 0]
        centre = data.xpos[geoms.body, 2] + np.sum(xmat[geoms.body, 2] * geoms.pos, axis=1)
        up = (xmat[geoms.body, 2][:, None] @ geoms.rot)[:, 0]  # the vertical in each geom's frame
        low = centre - geoms.reach(up)
        clearance[t] = low[: len(low) // 2].min(), low[len(low) // 2 :].min()
    return Geometry(landmark_pos=landmarks, landmark_quat=quats, contact_pos=contacts, clearance=clearance)


class _Extremes(NamedTuple):
    limit: float
    driven_limit: float
    coupling: float
    step: np.ndarray  # largest change of each joint from frame to frame, shape (njnt - 1,)


def _extremes(body: TargetBody, qpos: np.ndarray) -> _Extremes:
    """Largest excess over the fit's ranges, over driven joints' declared ranges, coupling residual, and steps.

    A stretch of frames at a time, so that nothing as large as the configurations is made.
    """
    reduced, model = body.reduced_hands, body.model
    driven = [c.driven for c in couplings(model) if model.jnt_limited[c.driven]]
    lower, upper = model.jnt_range[driven].T
    result = _Extremes(0.0, 0.0, 0.0, np.zeros(model.njnt - 1))
    for low in range(0, len(qpos), CHUNK):
        part = qpos[max(low - 1, 0) : low + CHUNK].astype(np.float64)
        own, held = part[:, reduced.qposadr], part[:, model.jnt_qposadr[driven]]
        result = _Extremes(
            max(result.limit, float(np.maximum(reduced.lower - own, own - reduced.upper).max())),
            max(result.driven_limit, float(np.maximum(lower - held, held - upper).max())),
            max(result.coupling, float(reduced.coupling_residual(part).max())),
            np.maximum(result.step, np.abs(np.diff(part[:, 7:], axis=0)).max(axis=0, initial=0.0)),
        )
    return result


def _by_stretch(measure: Callable[[slice], np.ndarray], nframe: int) -> np.ndarray:
    """Join what a measure gives for stretches of frames."""
    return np.concatenate([measure(slice(low, low + CHUNK)) for low in range(0, nframe, CHUNK)])


def peak_acceleration(height: np.ndarray, fps: float) -> float:
    """Largest second difference of a height, shape (nframe,) [m] -> [m/s^2]; 0 for fewer than three frames."""
    return float(np.abs(np.diff(height, 2)).max() * fps**2) if len(height) > 2 else 0.0


def orientation_error(target: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """Angle between orientations [rad].

    Args:
        target: Matrices, shape (nframe, n, 3, 3).
        reached: Quaternions, w first, shape (nframe, n, 4).

    Returns:
        Shape (nframe, n).
    """
    ref = Rotation.from_matrix(target.reshape(-1, 3, 3))
    result = Rotation.from_quat(reached.reshape(-1, 4), scalar_first=True)
    return (ref.inv() * result).magnitude().reshape(reached.shape[:2])


def clip_metrics(
    body: TargetBody,
    qpos: np.ndarray,
    geometry: Geometry,
    *,
    target_pos: np.ndarray,
    target_rot: np.ndarray,
    root_height: np.ndarray,
    contact: np.ndarray,
    ground: np.ndarray,
    fps: float,
) -> dict[str, float | str]:
    """Measure one clip.

    Args:
        body: Target.
        qpos: Configurations as stored, shape (nframe, nq).
        geometry: From `measure_geometry`.
        target_pos: Landmarks asked for, shape (nframe, nlandmark, 3) [m].
        target_rot: Orientations asked for, of the landmarks in `TargetBody.oriented`, shape (nframe, noriented, 3, 3).
        root_height: Height of the source's root, scaled, shape (nframe,) [m].
        contact: Shape (nframe, 4) bool.
        ground: Floor under right and left foot, shape (nframe, 2) [m].
        fps: Frames a second.

    Returns:
        Figures by name, the unit at the end of the name.
    """
    gap = lambda part: np.linalg.norm(geometry.landmark_pos[part] - target_pos[part], axis=2)  # noqa: E731
    error = _by_stretch(gap, len(qpos))
    turn = lambda part: np.degrees(orientation_error(target_rot[part], geometry.landmark_quat[part]))  # noqa: E731
    turned = _by_stretch(turn, len(qpos))
    most_turned = int(turned.mean(axis=0).argmax())
    names = body.landmark_names
    feet = [names.index(name) for name in body.fit.along_foot]
    worst = int(error.mean(axis=0).argmax())
    depth = np.maximum(ground - geometry.clearance, 0.0).max(axis=1)
    speed = np.linalg.norm(np.gradient(geometry.contact_pos, 1 / fps, axis=0), axis=2)
    result = _extremes(body, qpos)
    hinge = body.model.jnt_type[1:] == mujoco.mjtJoint.mjJNT_HINGE
    quickest = int(np.where(hinge, result.step, 0.0).argmax())
    source_peak, peak = peak_acceleration(root_height, fps), peak_acceleration(qpos[:, 2], fps)
    return {
        "landmark_error_mm": float(error.mean() * 1e3),
        "landmark_error_p95_mm": float(np.percentile(error.mean(axis=1), 95) * 1e3),
        "landmark_error_max_mm": float(error.max() * 1e3),
        "worst_landmark": names[worst],
        "worst_landmark_error_mm": float(error[:, worst].mean() * 1e3),
        "orientation_error_deg": float(turned.mean()),
        "orientation_error_p95_deg": float(np.percentile(turned.mean(axis=1), 95)),
        "worst_orientation": names[body.oriented[most_turned]],
        "worst_orientation_error_deg": float(turned[:, most_turned].mean()),
        "foot_error_mm": float(error[:, feet].mean() * 1e3),
        "limit_excess_rad": result.limit,
        "driven_limit_excess_rad": result.driven_limit,
        "coupling_residual_rad": result.coupling,
        "floor_depth_max_mm": float(depth.max() * 1e3),
        "floor_depth_p99_mm": float(np.percentile(depth, 99) * 1e3),
        "floor_deep_fraction": float((depth > DEEP).mean()),
        "stance_speed_m_s": float(speed[contact].mean()) if contact.any() else 0.0,
        "stance_fraction": float(contact.any(axis=1).mean()),
        "root_peak_acceleration_m_s2": peak,
        "source_root_peak_acceleration_m_s2": source_peak,
        "joint_step_max_deg": float(np.rad2deg(result.step[quickest]) * fps / 100.0),
        "joint_step_max_name": body.model.joint(quickest + 1).name,
    }
