"""Resampling by time stamps: cubic splines through the source's own samples, never integer skipping."""

from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion

CHUNK = 8192
"""Frames resampled at once; bounds the memory that spline coefficients take."""

MARGIN = 32
"""Source samples beyond a chunk on either side; a cubic spline forgets a far sample by a factor of 3.7 a sample."""


def frame_times(duration: float, fps: float) -> np.ndarray:
    """Times k / fps from 0 to the last that does not pass `duration`, shape (nframe,) [s]."""
    return np.arange(int(np.floor(duration * fps + 1e-6)) + 1) / fps


def resample(motion: SourceMotion, fps: float) -> SourceMotion:
    """Give a motion another frame rate; its fingers are left out (see `resample_rotations`).

    At the source's own times the source's own values come back. No low-pass filter is applied: motion capture is
    filtered before release.

    Args:
        motion: Source, at least two frames.
        fps: Wanted frame rate.
    """
    if fps == motion.fps:
        return replace(motion, hand_rotvec=None)
    source_times = np.arange(motion.nframe) / motion.fps
    times = np.minimum(frame_times(motion.duration, fps), source_times[-1])
    return replace(
        motion,
        rotvec=resample_rotations(motion.rotvec, source_times, times),
        hand_rotvec=None,
        trans=CubicSpline(source_times, motion.trans)(times),
        fps=fps,
    )


def resample_rotations(rotvec: np.ndarray, source_times: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Follow rotations between samples through a cubic spline of their quaternions, normalised after.

    Args:
        rotvec: Axis-angles, shape (nsample, njoint, 3) [rad].
        source_times: Their times, evenly spaced, shape (nsample,) [s].
        times: Wanted times within the source's, ascending, shape (nframe,) [s].

    Returns:
        Axis-angles, shape (nframe, njoint, 3) [rad]; to fourth order in the source's time step.
    """
    out = np.empty((len(times), *rotvec.shape[1:]))
    for low in range(0, len(times), CHUNK):
        part = slice(low, min(low + CHUNK, len(times)))
        first = max(int(np.searchsorted(source_times, times[part][0])) - MARGIN, 0)
        last = int(np.searchsorted(source_times, times[part][-1])) + MARGIN
        spline = CubicSpline(source_times[first:last], continuous_quats(rotvec[first:last]))
        quat = spline(times[part])
        out[part] = Rotation.from_quat(quat.reshape(-1, 4)).as_rotvec().reshape(len(quat), -1, 3)
    return out


def continuous_quats(rotvec: np.ndarray) -> np.ndarray:
    """Quaternions xyzw whose sign does not flip over time; axis-angles (n, njoint, 3) -> (n, njoint, 4)."""
    quat = Rotation.from_rotvec(np.array(rotvec.reshape(-1, 3))).as_quat().reshape(*rotvec.shape[:2], 4)
    flips = np.sum(quat[1:] * quat[:-1], axis=-1) < 0
    sign = np.where(np.cumsum(flips, axis=0) % 2, -1.0, 1.0)
    quat[1:] *= sign[..., None]
    return quat
