"""Roughness of a fit: the part of its motion that is faster than human movement.

Contacts, the floor and joint limits begin and end to act within a frame or two. Each time the fit bends sharply, where
its source does not, and the acceleration of a leg needs a moment at the hip that nobody produces.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.retarget.source_filter import low_pass
from musclemap.skeletons.reduced import NROOT


def roughness(q: np.ndarray, impact: np.ndarray, fps: float, cutoff: float) -> np.ndarray:
    """Difference between configurations and the same configurations after a low-pass filter with zero phase.

    It is zero around free fall and landing, which are faster than the rest of a motion.

    Args:
        q: Configurations, shape (nframe, 7 + njoint).
        impact: Weight of free fall and landing, 0 to 1, shape (nframe,).
        fps: Frame rate [Hz].
        cutoff: Cutoff frequency [Hz]; 0 for no roughness.

    Returns:
        Difference, shape (nframe, 6 + njoint): position and rotation of the root, world frame, and joints [m, rad].
    """
    rough = np.zeros((len(q), q.shape[1] - 1))
    if cutoff <= 0.0 or len(q) < 4:
        return rough
    quat = q[:, 3:NROOT]
    turns = np.where(np.sum(quat[1:] * quat[:-1], axis=1) < 0.0, -1.0, 1.0)
    quat = quat * np.concatenate([[1.0], np.cumprod(turns)])[:, None]
    smooth = Rotation.from_quat(low_pass(quat, fps, cutoff), scalar_first=True)
    rough[:, :3] = q[:, :3] - low_pass(q[:, :3], fps, cutoff)
    rough[:, 3:6] = (Rotation.from_quat(quat, scalar_first=True) * smooth.inv()).as_rotvec()
    rough[:, 6:] = q[:, NROOT:] - low_pass(q[:, NROOT:], fps, cutoff)
    return rough * (1.0 - impact)[:, None]
