"""Motion of a source's own skeleton as rotations of the SMPL family, in metres and with z up."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.skeletons.smpl.joints import BODY_PARENTS, HAND_NAMES

from .bvh_kinematics import BvhKinematics
from .bvh_text import Bvh
from .calibration import AXIS_CHILD, Calibration, shortest_turn, unit

FRAMES_PER_CHUNK = 4096
"""Frames computed at once; bounds the memory."""

WRISTS = {"left": 20, "right": 21}


@dataclass(frozen=True, kw_only=True)
class OwnMotion:
    """Arrays of a `SourceMotion`.

    Attributes:
        rotvec: Axis-angles, shape (nframe, 22, 3) [rad].
        trans: Translation, shape (nframe, 3) [m]; that of the pelvis, as the rest pelvis is at the origin.
        hand_rotvec: Axis-angles of the fingers, shape (nframe, 30, 3) [rad], or None.
        rest_joints: Rest positions, shape (22, 3) [m].
    """

    rotvec: np.ndarray
    trans: np.ndarray
    hand_rotvec: np.ndarray | None
    rest_joints: np.ndarray


def own_motion(
    bvh: Bvh, index: Mapping[str, int], calibration: Calibration, *, to_world: np.ndarray, metres: float
) -> OwnMotion:
    """Convert a motion.

    Bones have the directions that they have in the file, and constant lengths: their means, where the file changes
    them.

    Args:
        bvh: The file.
        index: Index of the file's joint by name of the SMPL family's.
        calibration: That of the skeleton.
        to_world: Rotation from the file's axes to a world with z up, shape (3, 3).
        metres: Length of the file's unit [m].
    """
    kinematics, nframe = BvhKinematics(bvh), len(bvh.values)
    rotvec, trans = np.empty((nframe, 22, 3)), np.empty((nframe, 3))
    fingers = _Fingers(index, calibration) if calibration.posed[1] else None
    hands = np.zeros((nframe, 30, 3)) if fingers is not None and fingers.present else None
    for low in range(0, nframe, FRAMES_PER_CHUNK):
        part = slice(low, min(low + FRAMES_PER_CHUNK, nframe))
        xpos, xmat = kinematics.world(part)
        points = calibration.points(xpos, xmat)
        segments = xmat[:, calibration.turned_by] @ calibration.to_joint
        _align(segments, points, calibration.rest_joints)
        rotvec[part, 0] = Rotation.from_matrix(to_world @ segments[:, 0]).as_rotvec()
        for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
            local = segments[:, parent].swapaxes(1, 2) @ segments[:, joint]
            rotvec[part, joint] = Rotation.from_matrix(local).as_rotvec()
        trans[part] = metres * points[:, 0] @ to_world.T
        if hands is not None and fingers is not None:
            hands[part] = fingers.rotvec(xmat)
    return OwnMotion(rotvec=rotvec, trans=trans, hand_rotvec=hands, rest_joints=metres * calibration.rest_joints)


def _align(segments: np.ndarray, points: np.ndarray, rest: np.ndarray) -> None:
    """Turn segments, shape (nframe, 22, 3, 3), by the smallest rotation that gives their bones the right directions.

    Most are right already. Joints with positions of their own, and spines of more than three joints, need it.
    """
    for joint, child in AXIS_CHILD.items():
        bone = unit(rest[child] - rest[joint])
        ref = unit(points[:, child] - points[:, joint])
        off = np.linalg.norm(np.cross(segments[:, joint] @ bone, ref), axis=1) > 1e-9
        if bone.any() and off.any():
            turn = shortest_turn(segments[off, joint] @ bone, ref[off])
            segments[off, joint] = turn @ segments[off, joint]


class _Fingers:
    """Rotations of the fingers relative to the joint before, in the axes of the hand; flat in the zero pose."""

    def __init__(self, index: Mapping[str, int], calibration: Calibration) -> None:
        self._joints: list[tuple[int, int, int, np.ndarray]] = []  # column, joint before, joint, axes of the hand
        for side, wrist in WRISTS.items():
            hand = calibration.to_joint[wrist]
            before = calibration.turned_by[wrist]
            for k, name in enumerate(HAND_NAMES[side]):
                start = before if k % 3 == 0 else index.get(HAND_NAMES[side][k - 1])
                if name in index and start is not None:
                    self._joints.append((k + 15 * (side == "right"), start, index[name], hand))

    @property
    def present(self) -> bool:
        """Whether the skeleton has fingers."""
        return bool(self._joints)

    def rotvec(self, xmat: np.ndarray) -> np.ndarray:
        """Axis-angles of the fingers, shape (nframe, 30, 3), from the rotations of the file's joints."""
        result = np.zeros((len(xmat), 30, 3))
        for column, before, joint, hand in self._joints:
            local = hand.T @ xmat[:, before].swapaxes(1, 2) @ xmat[:, joint] @ hand
            result[:, column] = Rotation.from_matrix(local).as_rotvec()
        return result
