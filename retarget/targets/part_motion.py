"""Lowest points of the parts of the body but the feet, moved by the source's bones."""

import numpy as np

from musclemap.skeletons.body import TargetBody

from .proportions import Proportions


def part_motion(
    body: TargetBody, proportions: Proportions, xpos: np.ndarray, xmat: np.ndarray, fps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find the lowest point of every part, and the velocity of the ellipsoid that it is on.

    Args:
        body: Target body.
        proportions: Fitted skeleton with the support points on the source's bones.
        xpos: Joints of the source in consecutive frames, shape (nframe, 22, 3) [m].
        xmat: Orientations of their segments, shape (nframe, 22, 3, 3).
        fps: Frame rate [Hz].

    Returns:
        Positions [m] and velocities [m/s], shapes (nframe, npart - 2, 3).
    """
    support, bones = body.support, proportions.support_bone
    rot = xmat[:, bones]
    centre = xpos[:, bones] + np.einsum("tbij,bj->tbi", rot, proportions.support_offset)
    points = support.lowest(centre, rot, proportions.support_rot)
    speed = np.gradient(centre, 1.0 / fps, axis=0) if len(centre) > 1 else np.zeros_like(centre)
    frames = np.arange(len(points))
    pos, velocity = np.empty((2, len(points), support.nother, 3))
    for part in range(support.nother):
        own = np.flatnonzero(support.part == part + 2)
        lowest = own[points[:, own, 2].argmin(axis=1)]
        pos[:, part], velocity[:, part] = points[frames, lowest], speed[frames, lowest]
    return pos, velocity
