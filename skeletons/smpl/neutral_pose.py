"""The neutral pose of a skeleton of the SMPL family: straight vertical legs, level arms, feet straight ahead.

Rotations in files of the family start from the rest pose of the body model, in which no limb is quite straight: thighs
slope outwards, shanks inwards and backwards, feet point outwards. Anatomical angles start from the neutral pose. Each
segment is turned from one to the other by the smallest rotation that aligns its bone, so without a twist.

With `turn` of a segment and of its parent, a joint's rotation R from the neutral pose and R' from the rest pose are
related by R' = turn_parent R turn^T: both give all bones the same directions in the world.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from .joints import BODY_NAMES, BODY_PARENTS

_INDEX = {name: joint for joint, name in enumerate(BODY_NAMES)}
_BONES = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}
"""Joint at the other end of each segment, which is named after its own joint."""


def neutral_turns(joints: np.ndarray, neutral: np.ndarray | None = None) -> np.ndarray:
    """Rotations of the segments from the neutral pose to a rest pose.

    Args:
        joints: Rest positions of the common joints, shape (22, 3) [m], order BODY_NAMES; x to the subject's left, y up,
            z forward.
        neutral: Positions in the neutral pose, shape (22, 3) [m], for a skeleton whose bones are not quite straight in
            it; exactly vertical legs and level arms if None. Feet point straight ahead in any case.

    Returns:
        One rotation per joint, of the segment that turns with it, shape (22, 3, 3); the identity for the trunk. Feet
        and toes turn only about the vertical, and a hand turns with its forearm.
    """
    turns = np.tile(np.eye(3), (len(BODY_NAMES), 1, 1))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        at = {part: _INDEX[f"{side}_{part}"] for part in ("hip", "knee", "ankle", "foot", "shoulder", "elbow", "wrist")}
        for part, end in _BONES.items():
            start = np.array([0.0, -1.0, 0.0] if part in ("hip", "knee") else [sign, 0.0, 0.0])
            if neutral is not None:
                start = neutral[at[end]] - neutral[at[part]]
            turns[at[part]] = _smallest_turn(start, joints[at[end]] - joints[at[part]])
        along = (joints[at["foot"]] - joints[at["ankle"]]) * [1.0, 0.0, 1.0]
        turns[at["ankle"]] = turns[at["foot"]] = _smallest_turn(np.array([0.0, 0.0, 1.0]), along)
        turns[at["wrist"]] = turns[at["elbow"]]
    return turns


def turn_segments(joints: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Turn each segment of a skeleton about its joint.

    Args:
        joints: Positions, shape (22, 3, ...) [m].
        turns: Rotation of each joint's segment in the frame of the positions, shape (22, 3, 3).

    Returns:
        Positions of the same shape; the root stays where it is.
    """
    turned = np.array(joints, np.float64)
    for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
        turned[joint] = turned[parent] + np.tensordot(turns[parent], joints[joint] - joints[parent], axes=1)
    return turned


def _smallest_turn(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotation from one direction to another, shape (3, 3); the identity if one is zero."""
    axis = np.cross(start, end)
    norm = np.linalg.norm(axis)
    if norm == 0.0:
        return np.eye(3)
    return Rotation.from_rotvec(axis / norm * np.arctan2(norm, start @ end)).as_matrix()
