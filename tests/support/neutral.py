"""Rotations that put a source in its neutral pose."""

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.skeletons.smpl.joints import BODY_PARENTS


def neutral_rotvec(turns: np.ndarray) -> np.ndarray:
    """Axis-angles from the rest pose that turn every segment back, shape (22, 3) [rad]; `turns` as `neutral_turns`."""
    parents = [max(parent, 0) for parent in BODY_PARENTS]
    return Rotation.from_matrix(turns[parents] @ np.swapaxes(turns, 1, 2)).as_rotvec()
