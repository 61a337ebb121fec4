"""Toes that no marker or coordinate shows: the floor bends them."""

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import BALL_HEIGHT

TOE_JOINTS = (BODY_NAMES.index("left_foot"), BODY_NAMES.index("right_foot"))

TOE_LENGTH = 0.065
"""Distance of the tip of the toes from the ball of the foot in the mean adult [m], as in the built-in motions."""

MOST_BENT_TOES = np.deg2rad(60.0)
"""Largest extension of the toes [rad]; about that of push-off."""

LIFTED = (0.02, 0.03)
"""Height of the ball of the foot above standing up to which toes lie flat, and from which only their tip is on the
floor, in the mean adult [m]. In CMU 02_01 toes are level within 5 degrees up to 18 mm, and pitched down by 22 to 36 at
25 to 37 mm, where their tip touches the floor."""

LOWEST_SHARE = 5.0
"""Percentile of the heights of the balls of the feet at which they are on the floor."""


def toe_rotations(xpos: np.ndarray, xmat: np.ndarray, turns: np.ndarray, *, size: float, level: bool) -> np.ndarray:
    """Rotations of both toe joints from the rest pose, for toes that are still in `xmat`.

    With the ball at height h above the floor and the sole pitched down by p, the lower edge of the tip is at
    h - b cos p - t sin p, where b is the height of the ball and t the length of the toes. Toes bend up as far as is
    needed to keep it above the floor, and, if asked for, until they are level while the ball is hardly lifted.

    Args:
        xpos: Positions of the joints in a world with z up, shape (nframe, 22, 3) [m].
        xmat: Orientations of the joints, shape (nframe, 22, 3, 3).
        turns: Rotation of each joint's segment from the neutral to the rest pose, shape (22, 3, 3).
        size: Size of the body relative to the mean adult.
        level: Whether toes lie flat until the ball is lifted by `LIFTED`.

    Returns:
        Rotations of the left and the right toes, shape (nframe, 2, 3, 3).
    """
    height, edge = BALL_HEIGHT * size, np.hypot(BALL_HEIGHT, TOE_LENGTH) * size
    ball = xpos[:, TOE_JOINTS, 2]
    lifted = ball - np.percentile(ball, LOWEST_SHARE)
    result = np.empty((len(xpos), 2, 3, 3))
    for side, joint in enumerate(TOE_JOINTS):
        forward = xmat[:, joint] @ turns[joint][:, 2]
        pitch = -np.arcsin(np.clip(forward[:, 2], -1.0, 1.0))
        on_tip = np.arcsin(np.clip((lifted[:, side] + height) / edge, -1.0, 1.0)) - np.arctan2(BALL_HEIGHT, TOE_LENGTH)
        angle = pitch - on_tip
        if level:
            share = np.clip((LIFTED[1] - lifted[:, side] / size) / (LIFTED[1] - LIFTED[0]), 0.0, 1.0)
            angle = np.maximum(angle, share * pitch)
        angle = -np.clip(angle, 0.0, MOST_BENT_TOES)
        bend = Rotation.from_rotvec(angle[:, None] * np.array([1.0, 0.0, 0.0])).as_matrix()
        result[:, side] = turns[joint] @ bend @ turns[joint].T
    return result
