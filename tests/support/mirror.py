"""Left for right: names of the target's joints and landmarks, and the reflection across its median plane x = 0."""

import numpy as np

from musclemap.skeletons.bodies.myofullbody import LANDMARK_NAMES
from musclemap.skeletons.reduced import ReducedCoordinates

FLIP = np.array([-1.0, 1.0, 1.0])


def other_side(name: str) -> str:
    """`knee_angle_l` for `knee_angle_r`, and a name of no side for itself."""
    return name[:-1] + {"r": "l", "l": "r"}[name[-1]] if name[-2:] in ("_r", "_l") else name


LANDMARK_TWIN = [LANDMARK_NAMES.index(other_side(name)) for name in LANDMARK_NAMES]


def joint_twin(reduced: ReducedCoordinates) -> list[int]:
    """Position of each independent joint's namesake on the other side."""
    return [reduced.joint_names.index(other_side(name)) for name in reduced.joint_names]
