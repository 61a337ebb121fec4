"""Motion of the base that a fixed body is attached to, and what it does to the body.

The model's world is a frame that moves with the base. In it, a mass feels gravity from a changing direction, and the
forces of a frame that accelerates and turns.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

GRAVITY = np.array([0.0, 0.0, -9.81])
"""Acceleration by gravity, world frame [m/s^2]."""

STILL = np.array([GRAVITY, np.zeros(3), np.zeros(3), np.zeros(3)])
"""Motion of an upright base at rest, shape (4, 3); the rows are those of a clip's `base_motion`."""


class BasePath(NamedTuple):
    """Path of a base: origins of the root body (nframe, 3) [m], and axes of the model's world (nframe, 3, 3)."""

    pos: np.ndarray
    rot: np.ndarray


def base_motion(path: BasePath, fps: float) -> np.ndarray:
    """Differentiate the path of a base; the ends repeat their neighbours' accelerations.

    Args:
        path: Path in a frame whose z is up, of at least three frames.
        fps: Frame rate [Hz].

    Returns:
        As a clip's `base_motion`, shape (nframe, 4, 3): acceleration by gravity, acceleration of the origin [m/s^2],
        angular velocity [rad/s] and angular acceleration [rad/s^2], in the axes of the model's world.
    """
    rot = Rotation.from_matrix(path.rot)
    turn = (rot[:-1].inv() * rot[1:]).as_rotvec()  # in the axes of both frames, which leave the turn as it is
    inner = np.diff(path.pos, 2, axis=0) * fps**2
    to_base = rot.inv()
    rate = np.concatenate([turn[:1], 0.5 * (turn[1:] + turn[:-1]), turn[-1:]]) * fps
    angular = np.diff(turn, axis=0) * fps**2
    return np.stack(
        [
            to_base.apply(np.tile(GRAVITY, (len(path.pos), 1))),
            to_base.apply(np.concatenate([inner[:1], inner, inner[-1:]])),
            rate,
            np.concatenate([angular[:1], angular, angular[-1:]]),
        ],
        axis=1,
    )
