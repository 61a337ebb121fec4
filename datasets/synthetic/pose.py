"""Conversion of anatomical angles to SMPL rotations, and inverse kinematics of the legs, for the built-in motions.

Angles and rotations start from the neutral pose of the mean skeleton, with straight legs and level arms; only
`to_amass` converts them to rotations from the rest pose. Axes are x to the subject's left, y up, z forward. Left limbs
are computed; right limbs are their mirror images. The first dimension of arrays is the frame; R(n) means rotation
matrices of shape (n, 3, 3).
"""

from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.skeletons.smpl.joints import BODY_NAMES, BODY_PARENTS
from musclemap.skeletons.smpl.mean_skeleton import (
    ANKLE_FROM_HEEL,
    BALL_HEIGHT,
    FRACTION_OF_STATURE,
    STATURE,
    mean_joints,
)
from musclemap.skeletons.smpl.neutral_pose import neutral_turns, turn_segments

INDEX = {name: joint for joint, name in enumerate(BODY_NAMES)}
TURNS = neutral_turns(mean_joints())
"""Rotation of each joint's segment from the neutral pose to the rest pose, shape (22, 3, 3)."""

JOINTS = turn_segments(mean_joints(), np.swapaxes(TURNS, 1, 2))
"""The mean skeleton in its neutral pose, shape (22, 3) [m]."""

_WORLD_OF_BODY = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""From body axes to the z-up world of AMASS: forward to x, left to y, up to z."""


def _offset(child: str, parent: str) -> np.ndarray:
    return JOINTS[INDEX[child]] - JOINTS[INDEX[parent]]


HIP = _offset("left_hip", "pelvis")
THIGH = _offset("left_knee", "left_hip")
SHANK = _offset("left_ankle", "left_knee")

BALL = _offset("left_foot", "left_ankle") - np.array([0.0, BALL_HEIGHT, 0.0])
HEEL = np.array([0.0, BALL[1], 0.015 - ANKLE_FROM_HEEL * FRACTION_OF_STATURE["foot"] * STATURE])
TOE = np.array([0.0, 0.0, 0.065])
"""Points of the left sole [m]: ball and heel relative to the ankle, toe relative to the ball.

The heel is round; its contact point is 15 mm ahead of its end. That of the big toe's tip is 65 mm ahead of the ball, a
rounded value.
"""

HANGING = np.deg2rad(77.0)
"""Angle between an arm in the T-pose and one hanging at the side, clear of the hip [rad]."""


def turn(axis: str, angle: np.ndarray | float) -> np.ndarray:
    """Rotation about one axis, R(n) for angles of shape (n,) [rad]."""
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.zeros((*np.shape(angle), 3, 3))
    k = "xyz".index(axis)
    i, j = (k + 1) % 3, (k + 2) % 3
    matrix[..., k, k] = 1.0
    matrix[..., i, i] = matrix[..., j, j] = c
    matrix[..., j, i], matrix[..., i, j] = s, -s
    return matrix


def mirrored(rotation: np.ndarray) -> np.ndarray:
    """Mirror rotations left to right, R(n)."""
    flip = np.array([-1.0, 1.0, 1.0])
    return rotation * flip[:, None] * flip


def hip(flexion: np.ndarray, adduction: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Left hip, R(n): flexion about the pelvis, adduction, then inward rotation about the thigh [rad]."""
    return turn("x", -flexion) @ turn("z", -adduction) @ turn("y", -rotation)


def ankle(dorsiflexion: np.ndarray, inversion: np.ndarray) -> np.ndarray:
    """Left ankle, R(n): dorsiflexion, then inversion, which turns the sole to the midline [rad]."""
    return turn("x", -dorsiflexion) @ turn("z", -inversion)


def arm(flexion: np.ndarray, abduction: np.ndarray, elbow: np.ndarray) -> dict[str, np.ndarray]:
    """Left shoulder and elbow, R(n) each.

    Args:
        flexion: Forward swing of the arm, 0 at the side, shape (n,) [rad].
        abduction: Sideways lift, 0 straight down and pi/2 in the T-pose, shape (n,) [rad].
        elbow: Elbow flexion, shape (n,) [rad].
    """
    return {"shoulder": turn("x", -flexion) @ turn("z", abduction - np.pi / 2), "elbow": turn("y", -elbow)}


def spine(pelvis: np.ndarray, thorax: np.ndarray, head: np.ndarray) -> dict[str, np.ndarray]:
    """Distribute the rotation from pelvis to thorax over three joints, and that from thorax to head over two.

    Args:
        pelvis: Orientation in body axes, R(n).
        thorax: Orientation in body axes, R(n).
        head: Orientation in body axes, R(n).
    """
    third, half = _part(pelvis, thorax, 3), _part(thorax, head, 2)
    return {"spine1": third, "spine2": third, "spine3": third, "neck": half, "head": half}


def _part(start: np.ndarray, end: np.ndarray, parts: int) -> np.ndarray:
    whole = Rotation.from_matrix(np.swapaxes(start, -1, -2) @ end).as_rotvec()
    return Rotation.from_rotvec(whole / parts).as_matrix()


def leg_to(hip_pos: np.ndarray, pelvis: np.ndarray, ankle_pos: np.ndarray, foot: np.ndarray) -> dict[str, np.ndarray]:
    """Inverse kinematics of the left leg in closed form: puts ankle and foot at a given position and orientation.

    The knee is a hinge about x, and its angle determines the distance between hip and ankle: with the thigh and the
    shank along (x, y, 0) in the neutral pose, |hip - ankle|^2 = (x1 + x2)^2 + y1^2 + y2^2 + 2 y1 y2 cos(knee). The
    remaining freedom is a rotation about the line from hip to ankle; it brings the knee's axis as close as possible to
    the foot's lateral axis.

    Args:
        hip_pos: Hip, shape (n, 3) [m].
        pelvis: Orientation of the pelvis, R(n).
        ankle_pos: Target of the ankle, shape (n, 3) [m]. If it is out of reach, the straight leg points at it.
        foot: Orientation of the foot, R(n).

    Returns:
        Rotations of hip, knee and ankle relative to their parents, R(n) each.
    """
    line = ankle_pos - hip_pos
    across = THIGH[0] + SHANK[0]
    cosine = (np.sum(line**2, axis=-1) - across**2 - THIGH[1] ** 2 - SHANK[1] ** 2) / (2 * THIGH[1] * SHANK[1])
    knee = turn("x", np.arccos(np.clip(cosine, -1.0, 1.0)))
    rest = _frame(THIGH + knee @ SHANK, np.broadcast_to([1.0, 0.0, 0.0], line.shape))
    thigh = _frame(line, foot[..., :, 0]) @ np.swapaxes(rest, -1, -2)
    return {"hip": np.swapaxes(pelvis, -1, -2) @ thigh, "knee": knee, "ankle": np.swapaxes(thigh @ knee, -1, -2) @ foot}


def _frame(along: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Orthonormal axes as columns, R(n): the first along one vector, the second as close as possible to another."""
    first = along / np.linalg.norm(along, axis=-1, keepdims=True)
    second = side - np.sum(side * first, axis=-1, keepdims=True) * first
    second /= np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def to_amass(
    pelvis_pos: np.ndarray, pelvis: np.ndarray, rotations: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Convert a motion to AMASS's conventions: z-up world, and the translation without the pelvis's rest offset.

    Args:
        pelvis_pos: Position of the pelvis in body axes, shape (n, 3) [m].
        pelvis: Orientation of the pelvis in body axes, R(n).
        rotations: Rotations of other joints relative to their parents, from the neutral pose, R(n), by name; omitted
            ones stay neutral.

    Returns:
        Axis-angles, shape (n, 22, 3) [rad], and translation, shape (n, 3) [m].
    """
    rotvec = np.empty((len(pelvis_pos), len(BODY_NAMES), 3))
    rotvec[:, 0] = Rotation.from_matrix(_WORLD_OF_BODY @ pelvis).as_rotvec()
    for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
        neutral = rotations.get(BODY_NAMES[joint], np.eye(3))
        rotvec[:, joint] = Rotation.from_matrix(TURNS[parent] @ neutral @ TURNS[joint].T).as_rotvec()
    return rotvec, pelvis_pos @ _WORLD_OF_BODY.T - JOINTS[0]


def both_sides(left: Mapping[str, np.ndarray], right_as_left: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Name the joints of two limbs, of which the right one was computed as if it were a left one."""
    named = {f"left_{part}": rotation for part, rotation in left.items()}
    return named | {f"right_{part}": mirrored(rotation) for part, rotation in right_as_left.items()}
