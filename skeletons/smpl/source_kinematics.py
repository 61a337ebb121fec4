"""Forward kinematics of the source skeleton, vectorised over frames, in float64."""

import numpy as np
from scipy.spatial.transform import Rotation

from .joints import BODY_NAMES, BODY_PARENTS


def source_fk(rotvec: np.ndarray, trans: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the world poses of the 22 common joints.

    The pelvis is at `trans + joints[0]`; the SMPL family does not rotate that first offset.

    Args:
        rotvec: Axis-angle of every joint relative to its parent, shape (nframe, 22, 3) [rad].
        trans: Translation, shape (nframe, 3) [m].
        joints: Rest positions in the T-pose, shape (22, 3) [m].

    Returns:
        Joint positions, shape (nframe, 22, 3) [m], and rotation matrices, shape (nframe, 22, 3, 3), both world frame.
    """
    local = Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_matrix().reshape(*rotvec.shape, 3)
    xmat = np.empty_like(local)
    xpos = np.empty(rotvec.shape)
    xmat[:, 0] = local[:, 0]
    xpos[:, 0] = trans + joints[0]
    for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
        xmat[:, joint] = xmat[:, parent] @ local[:, joint]
        xpos[:, joint] = xpos[:, parent] + xmat[:, parent] @ (joints[joint] - joints[parent])
    return xpos, xmat


def leg_length(joints: np.ndarray) -> float:
    """Length from hip to knee to ankle of a rest skeleton (22, 3), mean of both sides [m]."""
    bones = [
        (f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    start, end = ([BODY_NAMES.index(name) for name in names] for names in zip(*bones, strict=True))
    return 0.5 * float(np.linalg.norm(joints[end] - joints[start], axis=1).sum())
