"""Metrics of a finished clip, from its evaluation on the full body and the targets of the fit."""

from collections.abc import Callable

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.retarget.resample import FRAMES_PER_CHUNK
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT

from .evaluation import Evaluation

DEEP_PENETRATION = 0.005
"""A frame with more penetration than this counts as deep below the floor [m]."""


def largest_steps(qpos: np.ndarray, *, nroot: int) -> np.ndarray:
    """Largest change between two frames of every joint except a free root, shape (nq - nroot,) [rad or m].

    Works in chunks of frames, so that no temporary is as large as the configurations.

    Args:
        qpos: Configurations, shape (nframe, nq).
        nroot: Columns of the root, 7 or 0.
    """
    largest = np.zeros(qpos.shape[1] - nroot)
    for low in range(0, len(qpos), FRAMES_PER_CHUNK):
        part = qpos[max(low - 1, 0) : low + FRAMES_PER_CHUNK, nroot:].astype(np.float64)
        largest = np.maximum(largest, np.abs(np.diff(part, axis=0)).max(axis=0, initial=0.0))
    return largest


def _in_chunks(measure: Callable[[slice], np.ndarray], nframe: int) -> np.ndarray:
    """Evaluate a function of a slice of frames in chunks, and concatenate the results."""
    return np.concatenate([measure(slice(low, low + FRAMES_PER_CHUNK)) for low in range(0, nframe, FRAMES_PER_CHUNK)])


def _largest(values: np.ndarray) -> float:
    return float(values.max(initial=0.0))


def peak_acceleration(height: np.ndarray, fps: float) -> float:
    """Largest vertical acceleration of a height, shape (nframe,) [m] -> [m/s^2]; 0 for fewer than three frames."""
    return float(np.abs(np.diff(height, 2)).max() * fps**2) if len(height) > 2 else 0.0


def orientation_error(target: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """Angles between target and reached orientations.

    Args:
        target: Matrices, shape (nframe, n, 3, 3).
        reached: Quaternions wxyz, shape (nframe, n, 4).

    Returns:
        Angles, shape (nframe, n) [rad].
    """
    ref = Rotation.from_matrix(target.reshape(-1, 3, 3))
    result = Rotation.from_quat(reached.reshape(-1, 4), scalar_first=True)
    return (ref.inv() * result).magnitude().reshape(reached.shape[:2])


def clip_metrics(
    body: TargetBody,
    qpos: np.ndarray,
    evaluation: Evaluation,
    *,
    target_pos: np.ndarray,
    target_rot: np.ndarray,
    root_height: np.ndarray,
    contact: np.ndarray,
    ground: np.ndarray,
    fps: float,
) -> dict[str, float | str]:
    """Compute the kinematic metrics of one clip.

    Args:
        body: Target body.
        qpos: Configurations as stored, shape (nframe, nq).
        evaluation: Kinematics of these configurations.
        target_pos: Target positions of the landmarks, shape (nframe, nlandmark, 3) [m].
        target_rot: Target orientations of the landmarks in `TargetBody.oriented`, shape (nframe, noriented, 3, 3).
        root_height: Height of the source's root, scaled, shape (nframe,) [m].
        contact: Contacts of heels and toes, shape (nframe, 4) bool.
        ground: Height of the floor under the right and the left foot, shape (nframe, 2) [m].
        fps: Frame rate [Hz].

    Returns:
        Metrics by name; names end in their unit. Those of a free root and of feet are left out for bodies without.
    """
    distance = lambda part: np.linalg.norm(evaluation.landmark_pos[part] - target_pos[part], axis=2)  # noqa: E731
    error = _in_chunks(distance, len(qpos))
    angle = lambda part: np.degrees(orientation_error(target_rot[part], evaluation.landmark_quat[part]))  # noqa: E731
    rotation_error = _in_chunks(angle, len(qpos))
    worst_oriented = int(rotation_error.mean(axis=0).argmax())
    names = body.landmark_names
    worst = int(error.mean(axis=0).argmax())
    step, first = largest_steps(qpos, nroot=NROOT if body.free else 0), int(body.free)
    hinge = body.model.jnt_type[first:] == mujoco.mjtJoint.mjJNT_HINGE
    fastest = int(np.where(hinge, step, 0.0).argmax())
    metrics: dict[str, float | str] = {
        "landmark_error_mm": float(error.mean() * 1e3),
        "landmark_error_p95_mm": float(np.percentile(error.mean(axis=1), 95) * 1e3),
        "landmark_error_max_mm": float(error.max() * 1e3),
        "worst_landmark": names[worst],
        "worst_landmark_error_mm": float(error[:, worst].mean() * 1e3),
        "orientation_error_deg": float(rotation_error.mean()),
        "orientation_error_p95_deg": float(np.percentile(rotation_error.mean(axis=1), 95)),
        "worst_orientation": names[body.oriented[worst_oriented]],
        "worst_orientation_error_deg": float(rotation_error[:, worst_oriented].mean()),
        "limit_excess_rad": _largest(evaluation.limit_excess),
        "driven_limit_excess_rad": _largest(evaluation.driven_limit_excess),
        "coupling_residual_rad": _largest(evaluation.coupling_residual),
        "joint_step_max_deg": float(np.rad2deg(step[fastest]) * fps / 100.0),
        "joint_step_max_name": body.model.joint(fastest + first).name,
    }
    if body.free:
        metrics["root_peak_acceleration_m_s2"] = peak_acceleration(qpos[:, 2], fps)
        metrics["source_root_peak_acceleration_m_s2"] = peak_acceleration(root_height, fps)
    if not body.contact_parts:
        return metrics
    feet = [names.index(name) for name in body.fit.along_foot]
    depth = np.maximum(ground - evaluation.clearance, 0.0).max(axis=1)
    speed = np.linalg.norm(np.gradient(evaluation.contact_pos, 1 / fps, axis=0), axis=2)
    return metrics | {
        "foot_error_mm": float(error[:, feet].mean() * 1e3),
        "floor_depth_max_mm": float(depth.max() * 1e3),
        "floor_depth_p99_mm": float(np.percentile(depth, 99) * 1e3),
        "floor_deep_fraction": float((depth > DEEP_PENETRATION).mean()),
        "stance_speed_m_s": float(speed[contact].mean()) if contact.any() else 0.0,
        "contact_fraction": float(contact.any(axis=1).mean()),
    }
