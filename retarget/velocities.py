"""Velocities from configurations, as `mj_differentiatePos` takes them, for all frames at once."""

import numpy as np
from scipy.spatial.transform import Rotation


def velocities(qpos: np.ndarray, fps: float) -> np.ndarray:
    """Central differences over two steps, one-sided at the ends.

    The free root's angular velocity is, as in MuJoCo, in the frame of the earlier of the two configurations.

    Args:
        qpos: Configurations of a model whose first joint is free and whose others have one coordinate, shape (nframe,
            nq).
        fps: Frames a second.

    Returns:
        Velocities, shape (nframe, nq - 1).
    """
    frames = np.arange(len(qpos))
    before, after = np.maximum(frames - 1, 0), np.minimum(frames + 1, len(qpos) - 1)
    step = ((after - before) / fps)[:, None]
    earlier = Rotation.from_quat(qpos[before, 3:7], scalar_first=True)
    later = Rotation.from_quat(qpos[after, 3:7], scalar_first=True)
    turn = (earlier.inv() * later).as_rotvec()
    linear = qpos[after, :3] - qpos[before, :3]
    return np.concatenate([linear, turn, qpos[after, 7:] - qpos[before, 7:]], axis=1) / step
