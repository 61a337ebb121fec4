"""Mirror symmetry: swapped names of joints and landmarks, and the reflection across the median plane x = 0."""

import numpy as np

from musclemap.skeletons.bodies.myofullbody import LANDMARK_NAMES
from musclemap.skeletons.reduced import ReducedCoordinates

FLIP = np.array([-1.0, 1.0, 1.0])


def other_side(name: str) -> str:
    """Swap the side of a name, such as `knee_angle_r` for `knee_angle_l`; names without a side stay unchanged."""
    return name[:-1] + {"r": "l", "l": "r"}[name[-1]] if name[-2:] in ("_r", "_l") else name


LANDMARK_TWIN = [LANDMARK_NAMES.index(other_side(name)) for name in LANDMARK_NAMES]


def joint_twin(reduced: ReducedCoordinates) -> list[int]:
    """Index of the mirrored joint of each independent joint."""
    return [reduced.joint_names.index(other_side(name)) for name in reduced.joint_names]
