"""Proportions that only motion shows: constant offsets of joints that the fit of the T-pose cannot see.

The target's shoulders ride on a girdle that moves with the arm, its knees roll, its head has no neck. Whatever of
that is constant over a clip is a difference of build between subject and target, not of motion. After the anchor
frames are solved, each such landmark's mean miss, in the frame of the source bone that carries it, becomes part of its
offset, the same on both sides (as marker offsets are in inverse kinematics, Wu et al. 2013, simultaneous tracking and
calibration). Pelvis, hips, wrists and feet keep theirs: they decide where the body is and what it touches.
"""

import numpy as np

from musclemap.skeletons.body import TargetBody

from .landmark_targets import MotionTargets

_DOUBT = 5.0
"""Anchor frames' worth of evidence for no offset at all."""


def mean_miss(body: TargetBody, targets: MotionTargets, frames: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """Mean of reached minus wanted of each landmark in its carrier's frame, mirror-symmetric.

    Args:
        body: Target.
        targets: Of the clip.
        frames: Frames of the clip that were solved, shape (n,).
        reached: Landmarks there, shape (n, nlandmark, 3) [m].

    Returns:
        Offsets in the source's rest frame, x to the left, shape (nlandmark, 3) [m]; zero for landmarks
        that are not free.
    """
    names, place = body.fit.calibrated, body.landmark_names.index
    free = [place(name) for name in names]
    gap = np.einsum("nfji,nfj->nfi", targets.carrier_rot[frames], (reached - targets.pos[frames])[:, free])
    mean = gap.sum(axis=0) / (len(frames) + _DOUBT)
    offset = np.zeros((body.nlandmark, 3))
    for k, name in enumerate(names):
        twin = name[:-1] + {"r": "l", "l": "r"}[name[-1]] if name[-2] == "_" else name
        offset[place(name)] = 0.5 * (mean[k] + mean[names.index(twin)] * [-1.0, 1.0, 1.0])
    return offset


def limited(offset: np.ndarray, limit: float) -> np.ndarray:
    """Shorten offsets to at most `limit` [m]."""
    norm = np.linalg.norm(offset, axis=1, keepdims=True)
    return offset * np.minimum(1.0, limit / np.maximum(norm, 1e-9))


def moved(body: TargetBody, targets: MotionTargets, offset: np.ndarray) -> np.ndarray:
    """Shift landmarks by offsets in their carriers' frames; an arm goes where its shoulder goes.

    Returns:
        Landmark positions, shape (nframe, nlandmark, 3) [m].
    """
    pos, place = targets.pos.copy(), body.landmark_names.index
    for k, name in enumerate(body.fit.calibrated):
        shift = targets.carrier_rot[:, k] @ offset[place(name)]
        pos[:, place(name)] += shift
        for other, carrier in body.fit.carried_by.items():
            if carrier == name:
                pos[:, place(other)] += shift
    return pos
