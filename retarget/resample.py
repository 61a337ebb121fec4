"""Resampling by time stamps: cubic splines through the source's samples; frames are never just skipped."""

from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion

FRAMES_PER_CHUNK = 8192
"""Frames of a clip processed at once outside the solver (resampling, kinematics, metrics); bounds the memory."""

CHUNK_MARGIN = 32
"""Source samples added to either side of a chunk. The influence of a sample on a cubic spline falls by a factor of 3.7
per sample."""


def frame_times(duration: float, fps: float) -> np.ndarray:
    """Times k / fps from 0 up to `duration`, shape (nframe,) [s]."""
    return np.arange(int(np.floor(duration * fps + 1e-6)) + 1) / fps


def resample(motion: SourceMotion, fps: float) -> SourceMotion:
    """Resample a motion to another frame rate, without its fingers (resample those with `resample_rotations`).

    At the times of the source's samples the result equals the source. Noise is removed before, by `filter_source`.

    Args:
        motion: Source of at least two frames.
        fps: New frame rate [Hz].
    """
    if fps == motion.fps:
        return replace(motion, hand_rotvec=None)
    source_times = np.arange(motion.nframe) / motion.fps
    times = np.minimum(frame_times(motion.duration, fps), source_times[-1])
    angles = motion.angles
    return replace(
        motion,
        rotvec=resample_rotations(motion.rotvec, source_times, times),
        hand_rotvec=None,
        trans=CubicSpline(source_times, motion.trans)(times),
        angles=None if angles is None else replace(angles, values=CubicSpline(source_times, angles.values)(times)),
        fps=fps,
    )


def resample_rotations(rotvec: np.ndarray, source_times: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Interpolate rotations by a cubic spline of their quaternions, normalised afterwards.

    Args:
        rotvec: Axis-angles, shape (nsample, njoint, 3) [rad].
        source_times: Times of the samples, evenly spaced, shape (nsample,) [s].
        times: Times to interpolate at, ascending and within `source_times`, shape (nframe,) [s].

    Returns:
        Axis-angles, shape (nframe, njoint, 3) [rad]; fourth-order accurate in the source's time step.
    """
    out = np.empty((len(times), *rotvec.shape[1:]))
    for low in range(0, len(times), FRAMES_PER_CHUNK):
        part = slice(low, min(low + FRAMES_PER_CHUNK, len(times)))
        first = max(int(np.searchsorted(source_times, times[part][0])) - CHUNK_MARGIN, 0)
        last = int(np.searchsorted(source_times, times[part][-1])) + CHUNK_MARGIN
        spline = CubicSpline(source_times[first:last], continuous_quats(rotvec[first:last]))
        quat = spline(times[part])
        out[part] = Rotation.from_quat(quat.reshape(-1, 4)).as_rotvec().reshape(len(quat), -1, 3)
    return out


def continuous_quats(rotvec: np.ndarray) -> np.ndarray:
    """Convert axis-angles (n, njoint, 3) to quaternions xyzw (n, njoint, 4) whose sign does not flip over time."""
    quat = Rotation.from_rotvec(np.array(rotvec.reshape(-1, 3))).as_quat().reshape(*rotvec.shape[:2], 4)
    flips = np.sum(quat[1:] * quat[:-1], axis=-1) < 0
    sign = np.where(np.cumsum(flips, axis=0) % 2, -1.0, 1.0)
    quat[1:] *= sign[..., None]
    return quat
