"""Where the camera of a page stands at first: in narrow windows the panel covers the lower part of the scene."""

import math

import numpy as np

from musclemap.pipelines.rendering.camera import CameraPath

NARROW = 0.85
"""Width of a window over its height, below which the panel lies over the lower part of the scene."""

FREE = 0.4
"""Part of a narrow window's height above the panel. The panel takes at most 60 %."""


def stand(path: CameraPath, *, aspect: float, back: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Position of the camera and the point it looks at, for the first frame of a motion.

    Args:
        path: Camera that shows the motion in the whole window.
        aspect: Width of the window over its height.
        back: How much farther the camera stands, as for two bodies side by side [m].

    Returns:
        Two points [m], shape (3,), world frame. In a narrow window the body appears smaller, in the free part.
    """
    _, up, forward = path.axes()
    eye, lookat = path.eye(0) - back * forward, path.lookat[0]
    if aspect >= NARROW:
        return eye, lookat
    eye = lookat + (eye - lookat) / FREE
    height = 2.0 * math.tan(math.radians(path.fovy_deg) / 2.0) * float(np.linalg.norm(eye - lookat))
    return eye, lookat - 0.5 * (1.0 - FREE) * height * up
