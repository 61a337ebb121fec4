"""Velocities from configurations, the definition of `mj_differentiatePos` applied to all frames at once."""

import numpy as np
from scipy.spatial.transform import Rotation


def velocities(qpos: np.ndarray, fps: float, *, free: bool = True) -> np.ndarray:
    """Differentiate configurations: central differences over two steps, one-sided at the ends.

    As in MuJoCo, the angular velocity of a free root is in the frame of the earlier of the two configurations.

    Args:
        qpos: Configurations of a model whose joints have one coordinate each, but for a free root, shape (nframe, nq).
        fps: Frame rate [Hz].
        free: Whether the first joint is a free root.

    Returns:
        Velocities, shape (nframe, nv).
    """
    frames = np.arange(len(qpos))
    before, after = np.maximum(frames - 1, 0), np.minimum(frames + 1, len(qpos) - 1)
    duration = ((after - before) / fps)[:, None]
    if not free:
        return (qpos[after] - qpos[before]) / duration
    earlier = Rotation.from_quat(qpos[before, 3:7], scalar_first=True)
    later = Rotation.from_quat(qpos[after, 3:7], scalar_first=True)
    rotvec = (earlier.inv() * later).as_rotvec()
    linear = qpos[after, :3] - qpos[before, :3]
    return np.concatenate([linear, rotvec, qpos[after, 7:] - qpos[before, 7:]], axis=1) / duration
