"""Figures of a finished clip, from its evaluation on the real body and what it was asked to do."""

from collections.abc import Callable

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.retarget.resample import CHUNK
from musclemap.skeletons.body import TargetBody

from .evaluation import Evaluation

DEEP = 0.005
"""Penetration that counts a frame as under the floor [m]."""


def largest_steps(qpos: np.ndarray) -> np.ndarray:
    """Largest change of every joint but the root from frame to frame, shape (nq - 7,) [rad or m].

    A chunk of frames at a time, so that nothing as large as the configurations is made.
    """
    largest = np.zeros(qpos.shape[1] - 7)
    for low in range(0, len(qpos), CHUNK):
        part = qpos[max(low - 1, 0) : low + CHUNK, 7:].astype(np.float64)
        largest = np.maximum(largest, np.abs(np.diff(part, axis=0)).max(axis=0, initial=0.0))
    return largest


def _by_stretch(measure: Callable[[slice], np.ndarray], nframe: int) -> np.ndarray:
    """Join what a measure gives for stretches of frames."""
    return np.concatenate([measure(slice(low, low + CHUNK)) for low in range(0, nframe, CHUNK)])


def _largest(values: np.ndarray) -> float:
    return float(values.max(initial=0.0))


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
    evaluation: Evaluation,
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
        evaluation: Of these configurations.
        target_pos: Landmarks asked for, shape (nframe, nlandmark, 3) [m].
        target_rot: Orientations asked for, of the landmarks in `TargetBody.oriented`, shape (nframe, noriented, 3, 3).
        root_height: Height of the source's root, scaled, shape (nframe,) [m].
        contact: Shape (nframe, 4) bool.
        ground: Floor under right and left foot, shape (nframe, 2) [m].
        fps: Frames a second.

    Returns:
        Figures by name, the unit at the end of the name.
    """
    gap = lambda part: np.linalg.norm(evaluation.landmark_pos[part] - target_pos[part], axis=2)  # noqa: E731
    error = _by_stretch(gap, len(qpos))
    turn = lambda part: np.degrees(orientation_error(target_rot[part], evaluation.landmark_quat[part]))  # noqa: E731
    turned = _by_stretch(turn, len(qpos))
    most_turned = int(turned.mean(axis=0).argmax())
    names = body.landmark_names
    feet = [names.index(name) for name in body.fit.along_foot]
    worst = int(error.mean(axis=0).argmax())
    depth = np.maximum(ground - evaluation.clearance, 0.0).max(axis=1)
    speed = np.linalg.norm(np.gradient(evaluation.contact_pos, 1 / fps, axis=0), axis=2)
    step = largest_steps(qpos)
    hinge = body.model.jnt_type[1:] == mujoco.mjtJoint.mjJNT_HINGE
    quickest = int(np.where(hinge, step, 0.0).argmax())
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
        "limit_excess_rad": _largest(evaluation.limit_excess),
        "driven_limit_excess_rad": _largest(evaluation.driven_limit_excess),
        "coupling_residual_rad": _largest(evaluation.coupling_residual),
        "floor_depth_max_mm": float(depth.max() * 1e3),
        "floor_depth_p99_mm": float(np.percentile(depth, 99) * 1e3),
        "floor_deep_fraction": float((depth > DEEP).mean()),
        "stance_speed_m_s": float(speed[contact].mean()) if contact.any() else 0.0,
        "stance_fraction": float(contact.any(axis=1).mean()),
        "root_peak_acceleration_m_s2": peak,
        "source_root_peak_acceleration_m_s2": source_peak,
        "joint_step_max_deg": float(np.rad2deg(step[quickest]) * fps / 100.0),
        "joint_step_max_name": body.model.joint(quickest + 1).name,
    }
