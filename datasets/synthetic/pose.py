"""From anatomical angles to SMPL rotations, and the legs' kinematics, for the built-in motions.

Frames are those of the rest pose: x to the subject's left, y up, z forward. Left limbs are computed; right limbs are
their mirror images. Arrays have frames first; R(n) stands for rotation matrices of shape (n, 3, 3).
"""

from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import (
    ANKLE_FROM_HEEL,
    BALL_HEIGHT,
    FRACTION_OF_STATURE,
    STATURE,
    mean_joints,
)

INDEX = {name: joint for joint, name in enumerate(BODY_NAMES)}
JOINTS = mean_joints()

_WORLD_OF_BODY = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""Body axes to the world of AMASS, z up: forward to x, left to y, up to z."""


def _offset(child: str, parent: str) -> np.ndarray:
    return JOINTS[INDEX[child]] - JOINTS[INDEX[parent]]


HIP = _offset("left_hip", "pelvis")
THIGH = _offset("left_knee", "left_hip")
SHANK = _offset("left_ankle", "left_knee")

BALL = _offset("left_foot", "left_ankle") - np.array([0.0, BALL_HEIGHT, 0.0])
HEEL = np.array([0.0, BALL[1], 0.015 - ANKLE_FROM_HEEL * FRACTION_OF_STATURE["foot"] * STATURE])
TOE = np.array([0.0, 0.0, 0.065])
"""Points of the left sole [m]: ball and heel seen from the ankle, toe from the ball.

The heel, which is round, bears 15 mm ahead of its end. The big toe's tip bears 65 mm ahead of the ball, a round figure.
"""

HANGING = np.deg2rad(77.0)
"""How far an arm turns down from the T-pose to hang at the side, clear of the hip [rad]."""


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
    """The mirror image of rotations, left for right, R(n)."""
    flip = np.array([-1.0, 1.0, 1.0])
    return rotation * flip[:, None] * flip


def hip(flexion: np.ndarray, adduction: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Left hip, R(n): flexion about the pelvis, adduction, then inward rotation about the thigh [rad]."""
    return turn("x", -flexion) @ turn("z", -adduction) @ turn("y", -rotation)


def ankle(dorsiflexion: np.ndarray, inversion: np.ndarray) -> np.ndarray:
    """Left ankle, R(n): dorsiflexion, then inversion, the sole to the midline [rad]."""
    return turn("x", -dorsiflexion) @ turn("z", -inversion)


def arm(flexion: np.ndarray, abduction: np.ndarray, elbow: np.ndarray) -> dict[str, np.ndarray]:
    """Left shoulder and elbow, R(n) each.

    Args:
        flexion: Forward swing of the arm, 0 at the side, shape (n,) [rad].
        abduction: Sideways lift, 0 straight down and a quarter turn in the T-pose, shape (n,) [rad].
        elbow: Elbow flexion, shape (n,) [rad].
    """
    return {"shoulder": turn("x", -flexion) @ turn("z", abduction - np.pi / 2), "elbow": turn("y", -elbow)}


def spine(pelvis: np.ndarray, thorax: np.ndarray, head: np.ndarray) -> dict[str, np.ndarray]:
    """Share the turn from pelvis to thorax among three joints, and that from thorax to head between two.

    Args:
        pelvis: Orientation against the room, R(n); so are `thorax` and `head`.
    """
    third, half = _part(pelvis, thorax, 3), _part(thorax, head, 2)
    return {"spine1": third, "spine2": third, "spine3": third, "neck": half, "head": half}


def _part(start: np.ndarray, end: np.ndarray, parts: int) -> np.ndarray:
    whole = Rotation.from_matrix(np.swapaxes(start, -1, -2) @ end).as_rotvec()
    return Rotation.from_rotvec(whole / parts).as_matrix()


def leg_to(hip_pos: np.ndarray, pelvis: np.ndarray, ankle_pos: np.ndarray, foot: np.ndarray) -> dict[str, np.ndarray]:
    """Place the left ankle at a point with the foot at an orientation: the leg's closed-form inverse kinematics.

    The knee is a hinge about x, and its angle gives the distance of hip and ankle: with the thigh and the shank along
    (x, y, 0) at rest, |hip - ankle|^2 = (x1 + x2)^2 + y1^2 + y2^2 + 2 y1 y2 cos(knee). What is left free is a turn
    about the line from hip to ankle; the knee's axis is put as near as can be to the foot's lateral axis.

    Args:
        hip_pos: Hip, shape (n, 3) [m].
        pelvis: Orientation of the pelvis, R(n).
        ankle_pos: Where the ankle shall be, shape (n, 3) [m]. Beyond the leg's length, the leg points there straight.
        foot: Orientation of the foot, R(n).

    Returns:
        Rotations of hip, knee and ankle against their parents, R(n) each.
    """
    line = ankle_pos - hip_pos
    across = THIGH[0] + SHANK[0]
    cosine = (np.sum(line**2, axis=-1) - across**2 - THIGH[1] ** 2 - SHANK[1] ** 2) / (2 * THIGH[1] * SHANK[1])
    knee = turn("x", np.arccos(np.clip(cosine, -1.0, 1.0)))
    rest = _frame(THIGH + knee @ SHANK, np.broadcast_to([1.0, 0.0, 0.0], line.shape))
    thigh = _frame(line, foot[..., :, 0]) @ np.swapaxes(rest, -1, -2)
    return {"hip": np.swapaxes(pelvis, -1, -2) @ thigh, "knee": knee, "ankle": np.swapaxes(thigh @ knee, -1, -2) @ foot}


def _frame(along: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Orthonormal axes as columns, R(n): the first along a vector, the second as near to another as can be."""
    first = along / np.linalg.norm(along, axis=-1, keepdims=True)
    second = side - np.sum(side * first, axis=-1, keepdims=True) * first
    second /= np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def to_amass(
    pelvis_pos: np.ndarray, pelvis: np.ndarray, rotations: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Pack a motion as AMASS does: the world turned z up, and the translation without the pelvis's rest offset.

    Args:
        pelvis_pos: Pelvis in body axes, shape (n, 3) [m].
        pelvis: Its orientation in body axes, R(n).
        rotations: Rotations of other joints against their parents, R(n), by name; those left out stay at rest.

    Returns:
        Axis-angles, shape (n, 22, 3) [rad], and translation, shape (n, 3) [m].
    """
    rotvec = np.zeros((len(pelvis_pos), len(BODY_NAMES), 3))
    for name, rotation in {"pelvis": _WORLD_OF_BODY @ pelvis, **rotations}.items():
        rotvec[:, INDEX[name]] = Rotation.from_matrix(rotation).as_rotvec()
    return rotvec, pelvis_pos @ _WORLD_OF_BODY.T - JOINTS[0]


def both_sides(left: Mapping[str, np.ndarray], right_as_left: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Name the joints of two limbs of which the right one was computed as if it were a left one."""
    named = {f"left_{part}": rotation for part, rotation in left.items()}
    return named | {f"right_{part}": mirrored(rotation) for part, rotation in right_as_left.items()}
