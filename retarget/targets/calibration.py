"""Calibration: constant landmark offsets that the fit of the T-pose cannot determine.

The target differs from the source skeleton: its shoulder girdle moves with the arm, its knees roll, its head has no
neck. The part of the resulting error that is constant over a clip is a difference in proportions, not in motion. After
the anchor frames are solved, the mean residual of each such landmark, in the frame of the source bone that carries it,
is added to its offset, symmetrically for both sides (compare the marker offsets of simultaneous tracking and
calibration, Wu et al. 2013). Pelvis, hips, wrists and feet are not calibrated: they determine the position of the body
and its contacts.
"""

import numpy as np

from musclemap.skeletons.body import TargetBody

from .landmark_targets import MotionTargets

_PRIOR_FRAMES = 5.0
"""Weight of the prior that there is no offset, in anchor frames."""


def mean_residual(body: TargetBody, targets: MotionTargets, frames: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """Mean of reached minus target position of each landmark in its carrier's frame, mirror-symmetric.

    Args:
        body: Target body.
        targets: Targets of the clip.
        frames: Frames of the clip that were solved, shape (n,).
        reached: Landmark positions in these frames, shape (n, nlandmark, 3) [m].

    Returns:
        Offsets in the source's rest frame, x to the left, shape (nlandmark, 3) [m]; zero for landmarks that are not
        calibrated.
    """
    names, index = body.fit.calibrated, body.landmark_names.index
    calibrated = [index(name) for name in names]
    residual = np.einsum("nfji,nfj->nfi", targets.carrier_rot[frames], (reached - targets.pos[frames])[:, calibrated])
    mean = residual.sum(axis=0) / (len(frames) + _PRIOR_FRAMES)
    offset = np.zeros((body.nlandmark, 3))
    for k, name in enumerate(names):
        twin = name[:-1] + {"r": "l", "l": "r"}[name[-1]] if name[-2] == "_" else name
        offset[index(name)] = 0.5 * (mean[k] + mean[names.index(twin)] * [-1.0, 1.0, 1.0])
    return offset


def limit_offsets(offset: np.ndarray, limit: float) -> np.ndarray:
    """Shorten offsets to at most `limit` [m]."""
    norm = np.linalg.norm(offset, axis=1, keepdims=True)
    return offset * np.minimum(1.0, limit / np.maximum(norm, 1e-9))


def apply_offsets(body: TargetBody, targets: MotionTargets, offset: np.ndarray) -> np.ndarray:
    """Shift the target positions of landmarks by offsets; the landmarks of an arm move with its shoulder.

    Args:
        body: Target body.
        targets: Targets of the clip.
        offset: Offsets in the frames of the landmarks' carriers, shape (nlandmark, 3) [m].

    Returns:
        Landmark positions, shape (nframe, nlandmark, 3) [m].
    """
    pos, index = targets.pos.copy(), body.landmark_names.index
    for k, name in enumerate(body.fit.calibrated):
        shift = targets.carrier_rot[:, k] @ offset[index(name)]
        pos[:, index(name)] += shift
        for distal, carrier in body.fit.carried_by.items():
            if carrier == name:
                pos[:, index(distal)] += shift
    return pos
