"""A skeleton of the SMPL family that carries markers: positions, derivatives, and the table's prior.

Unknowns of a frame: position of the pelvis and the rotation of each joint but the toes. What markers leave open, such
as which of the three joints of the spine bends, is decided by the prior of the rotations. Unknowns of the subject: the
size of each part of the body, left and right alike, and the offset of each marker in its segment.
"""

from dataclasses import dataclass

import numpy as np

from musclemap.skeletons.smpl.joints import BODY_NAMES, BODY_PARENTS
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.neutral_pose import neutral_turns, turn_segments

from .marker_sets import Place

INDEX = {name: joint for joint, name in enumerate(BODY_NAMES)}

PARTS = ("pelvis", "thigh", "shank", "foot", "trunk", "shoulder", "upper_arm", "forearm", "head")
"""Parts of the body with a size of their own, relative to the mean adult."""

_PART_OF_BONE = {
    "hip": "pelvis", "knee": "thigh", "ankle": "shank", "foot": "foot", "spine1": "trunk", "spine2": "trunk",
    "spine3": "trunk", "neck": "trunk", "collar": "trunk", "head": "head", "shoulder": "shoulder",
    "elbow": "upper_arm", "wrist": "forearm",
}  # fmt: skip
"""Part that a joint's bone from the joint above belongs to."""

_PART_OF_SEGMENT = {
    "pelvis": "pelvis", "hip": "thigh", "knee": "shank", "ankle": "foot", "spine3": "trunk", "collar": "shoulder",
    "shoulder": "upper_arm", "elbow": "forearm", "wrist": "forearm", "head": "head",
}  # fmt: skip
"""Part that the offsets of a segment's markers scale with."""

def _limb(name: str) -> str:
    """Name of a joint without its side."""
    return name.rpartition("_")[2]


_FREE = 3.0
_SPREADS = {
    "pelvis": (np.inf, np.inf, np.inf), "hip": (_FREE, 1.0, 1.0), "knee": (_FREE, 0.1, 0.1), "ankle": (1.0, 0.4, 0.4),
    "spine1": (0.3, 0.3, 0.3), "spine2": (0.3, 0.3, 0.3), "spine3": (0.3, 0.3, 0.3), "neck": (0.4, 0.4, 0.4),
    "head": (0.4, 0.4, 0.4), "collar": (0.2, 0.2, 0.2), "shoulder": (_FREE, _FREE, _FREE),
    "elbow": (1.5, _FREE, 1.0), "wrist": (0.4, 0.7, 0.7),
}  # fmt: skip
"""Standard deviation of the rotations about the axes of the neutral pose [rad]: x to the left, y up, z forward.

They decide only what markers leave open. Knees are hinges but for a few degrees. The axis of an elbow is mostly left
to the markers beside it."""


TURNED = tuple(joint for joint, name in enumerate(BODY_NAMES) if _limb(name) in _SPREADS)
"""Joints whose rotations are unknowns: all but the toes'."""

NTURN = len(TURNED)
TURN_SPREAD = np.array([_SPREADS[_limb(BODY_NAMES[joint])] for joint in TURNED])
"""Shape (nturn, 3) [rad]."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A subject.

    Attributes:
        sizes: Size of each of `PARTS` relative to the mean adult, shape (npart,).
        offsets: Offset of each marker from the joint of its segment, in the segment's axes, shape (nmarker, 3) [m].
    """

    sizes: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Poses:
    """Poses of the skeleton.

    Attributes:
        root: Position of the pelvis, shape (nframe, 3) [m].
        turn: Rotation of each of `TURNED` relative to the joint above, from the neutral pose, shape (nframe, nturn, 3,
            3).
    """

    root: np.ndarray
    turn: np.ndarray

    def __getitem__(self, frames: np.ndarray | slice) -> "Poses":
        """The poses of some frames."""
        return Poses(root=self.root[frames], turn=self.turn[frames])


class MarkerBody:
    """The mean adult with the markers of a recording.

    Args:
        places: Place of each marker, shape (nmarker,).

    Attributes:
        carrier: Joint whose segment carries each marker, shape (nmarker,).
        table: Offset of each marker from that joint in the rest pose of the mean adult, shape (nmarker, 3) [m].
        spread: Standard deviation of the offsets, shape (nmarker,) [m].
        part: Index of the part that each marker's offset scales with, shape (nmarker,).
        turns: Rotation of each joint's segment from the neutral to the rest pose, shape (22, 3, 3).
        below: Whether a joint moves a marker, shape (22, nmarker).
        pairs: Indices in `TURNED` of each joint that moves markers, paired with itself and with every joint above it,
            shape (2, npair).
    """

    def __init__(self, places: tuple[Place, ...]) -> None:
        joints = mean_joints()
        turns = self.turns = neutral_turns(joints)
        neutral = turn_segments(joints, np.swapaxes(turns, 1, 2))
        self.carrier = np.array([INDEX[place.segment] for place in places])
        start = neutral[[INDEX[place.start] for place in places]]
        end = neutral[[INDEX[place.end] for place in places]]
        share = np.array([place.share for place in places])[:, None]
        point = start + share * (end - start) + np.array([place.offset for place in places])
        self.table = (turns[self.carrier] @ (point - neutral[self.carrier])[..., None])[..., 0]
        self.spread = np.array([place.spread for place in places])
        self.part = np.array([PARTS.index(_PART_OF_SEGMENT[_limb(place.segment)]) for place in places])
        self.below = np.array([[_moves(joint, carrier) for carrier in self.carrier] for joint in range(22)])
        moving = [k for k, joint in enumerate(TURNED) if self.below[joint].any()]
        self.pairs = np.array([(k, h) for k in moving for h in moving if _moves(TURNED[h], TURNED[k])], int).T
        self._bones = joints - joints[[max(parent, 0) for parent in BODY_PARENTS]]
        self._bone_part = [PARTS.index(_PART_OF_BONE[_limb(name)]) for name in BODY_NAMES[1:]]

    def start_shape(self, size: float) -> Shape:
        """The mean adult scaled to a size."""
        return Shape(sizes=np.full(len(PARTS), size), offsets=size * self.table)

    def rest_joints(self, sizes: np.ndarray) -> np.ndarray:
        """Rest positions of the joints, shape (22, 3) [m]; the pelvis is at the origin."""
        rest = np.zeros((22, 3))
        for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
            rest[joint] = rest[parent] + sizes[self._bone_part[joint - 1]] * self._bones[joint]
        return rest

    def joints(self, poses: Poses, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions [m] and orientations of the joints, shapes (nframe, 22, 3) and (nframe, 22, 3, 3)."""
        rest, local = self.rest_joints(sizes), self.local_rotations(poses.turn)
        xpos, xmat = np.empty((len(local), 22, 3)), np.empty_like(local)
        xpos[:, 0], xmat[:, 0] = poses.root, local[:, 0]
        for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
            xmat[:, joint] = xmat[:, parent] @ local[:, joint]
            xpos[:, joint] = xpos[:, parent] + xmat[:, parent] @ (rest[joint] - rest[parent])
        return xpos, xmat

    def local_rotations(self, turn: np.ndarray) -> np.ndarray:
        """Rotations of the 22 joints from the rest pose, shape (nframe, 22, 3, 3), from those of `TURNED`."""
        local = np.tile(np.eye(3), (len(turn), 22, 1, 1))
        local[:, TURNED] = turn
        above = self.turns[[max(parent, 0) for parent in BODY_PARENTS]]
        return above @ local @ self.turns.swapaxes(1, 2)

    def markers(self, xpos: np.ndarray, xmat: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Positions of the markers, shape (nframe, nmarker, 3) [m], from those of the joints."""
        return xpos[:, self.carrier] + (xmat[:, self.carrier] @ offsets[..., None])[..., 0]

    def pose_derivatives(self, xpos: np.ndarray, xmat: np.ndarray, pos: np.ndarray) -> np.ndarray:
        """Derivatives of the markers by the unknowns of their frame, shape (nframe, nmarker, 3, 3 + 3 nturn).

        Rotations change by a small rotation d on their right, in the axes of the neutral pose: a joint at x, whose
        segment has these axes in the directions R, moves a marker at p by (R d) x (p - x).

        Args:
            xpos: Positions of the joints, shape (nframe, 22, 3) [m].
            xmat: Orientations of the joints, shape (nframe, 22, 3, 3).
            pos: Positions of the markers, shape (nframe, nmarker, 3) [m].
        """
        result = np.zeros((*pos.shape, 3 + 3 * NTURN))
        result[..., :3] = np.eye(3)
        axes = self.axes(xmat)
        for k, joint in enumerate(TURNED):
            moved = np.flatnonzero(self.below[joint])
            arm = pos[:, moved] - xpos[:, joint, None]
            result[:, moved, :, 3 + 3 * k : 6 + 3 * k] = -cross_matrix(arm) @ axes[:, k, None]
        return result

    def axes(self, xmat: np.ndarray) -> np.ndarray:
        """Directions of the axes of the neutral pose at the joints of `TURNED`, shape (nframe, nturn, 3, 3)."""
        return xmat[:, TURNED] @ self.turns[list(TURNED)]

    def size_derivatives(self, xmat: np.ndarray) -> np.ndarray:
        """Derivatives of the markers by the sizes, shape (nframe, nmarker, 3, npart); by its offset, a marker's is the
        orientation of its carrier."""
        result = np.zeros((len(xmat), len(self.carrier), 3, len(PARTS)))
        for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
            moved = np.flatnonzero(self.below[joint])
            of_part = result[..., self._bone_part[joint - 1]]
            of_part[:, moved] += (xmat[:, parent] @ self._bones[joint])[:, None]
        return result


def cross_matrix(vector: np.ndarray) -> np.ndarray:
    """Matrices of the cross products with vectors (..., 3) on the left, shape (..., 3, 3)."""
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*vector.shape, 3)


def _moves(joint: int, carrier: int) -> bool:
    while carrier >= 0:
        if carrier == joint:
            return True
        carrier = BODY_PARENTS[carrier]
    return False
