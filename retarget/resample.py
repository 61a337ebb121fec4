"""Resampling by time stamps: cubic splines through the source's own samples, never integer skipping."""

from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion


def frame_times(duration: float, fps: float) -> np.ndarray:
    """Times k / fps from 0 to the last that does not pass `duration`, shape (nframe,) [s]."""
    return np.arange(int(np.floor(duration * fps + 1e-6)) + 1) / fps


def resample(motion: SourceMotion, fps: float) -> SourceMotion:
    """Give a motion another frame rate.

    Rotations run through a cubic spline of their quaternions, signs made continuous, and are normalised after; between
    samples a fraction of a radian apart this follows the rotation to fourth order in the step. At the source's own
    times the source's own values come back. No low-pass filter is applied: mocap is filtered before release.

    Args:
        motion: Source, at least two frames.
        fps: Wanted frame rate.
    """
    if fps == motion.fps:
        return motion
    source_times = np.arange(motion.nframe) / motion.fps
    times = np.minimum(frame_times(motion.duration, fps), source_times[-1])
    hand = motion.hand_rotvec
    return replace(
        motion,
        rotvec=_resample_rotations(motion.rotvec, source_times, times),
        hand_rotvec=None if hand is None else _resample_rotations(hand, source_times, times),
        trans=CubicSpline(source_times, motion.trans)(times),
        fps=fps,
    )


def continuous_quats(rotvec: np.ndarray) -> np.ndarray:
    """Quaternions xyzw whose sign does not flip over time, shape (nframe, njoint, 4)."""
    quat = Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_quat().reshape(*rotvec.shape[:2], 4)
    flips = np.sum(quat[1:] * quat[:-1], axis=-1) < 0
    sign = np.where(np.cumsum(flips, axis=0) % 2, -1.0, 1.0)
    quat[1:] *= sign[..., None]
    return quat


def _resample_rotations(rotvec: np.ndarray, source_times: np.ndarray, times: np.ndarray) -> np.ndarray:
    quat = CubicSpline(source_times, continuous_quats(rotvec))(times)
    return Rotation.from_quat(quat.reshape(-1, 4)).as_rotvec().reshape(len(times), -1, 3)
