"""A skeleton of the SMPL family that carries markers: positions, derivatives, and the table's prior.

Unknowns of a frame: position of the pelvis and one rotation for each group of joints. Joints of a group turn alike: no
marker tells the three joints of the spine apart, nor neck and head. Unknowns of the subject: the size
of each part of the body, left and right alike, and the offset of each marker in its segment.
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

_FREE = 3.0
_SPREADS = {
    "pelvis": (np.inf, np.inf, np.inf), "hip": (_FREE, 1.0, 1.0), "knee": (_FREE, 0.1, 0.1), "ankle": (1.0, 0.4, 0.4),
    "spine": (0.3, 0.3, 0.3), "neck": (0.4, 0.4, 0.4), "collar": (0.2, 0.2, 0.2), "shoulder": (_FREE, _FREE, _FREE),
    "elbow": (1.5, _FREE, 1.0), "wrist": (0.4, 0.7, 0.7),
}  # fmt: skip
"""Standard deviation of the rotations about the axes of the neutral pose [rad]: x to the left, y up, z forward.

They decide only what markers leave open. Knees are hinges but for a few degrees. The axis of an elbow is mostly left
to the markers beside it."""


def _groups() -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Part of the name and joints of each group."""
    groups = [("pelvis", (INDEX["pelvis"],)), *(("spine", (INDEX[f"spine{k}"],)) for k in (1, 2, 3)),
              ("neck", (INDEX["neck"], INDEX["head"]))]  # fmt: skip
    limbs = ("hip", "knee", "ankle", "collar", "shoulder", "elbow", "wrist")
    return (*groups, *((part, (INDEX[f"{side}_{part}"],)) for side in ("left", "right") for part in limbs))


GROUPS = _groups()
NGROUP = len(GROUPS)
GROUP_SPREAD = np.array([_SPREADS[part] for part, _ in GROUPS])
"""Shape (ngroup, 3) [rad]."""

FIRST_JOINT = np.array([joints[0] for _, joints in GROUPS])
"""One joint of each group, shape (ngroup,)."""


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
        turn: Rotation of each group's joints relative to the joint above, from the neutral pose, shape (nframe, ngroup,
            3, 3).
    """

    root: np.ndarray
    turn: np.ndarray

    def __getitem__(self, frames: np.ndarray | slice) -> "Poses":
        """The poses of some frames."""
        return Poses(root=self.root[frames], turn=self.turn[frames])


@dataclass(frozen=True, kw_only=True)
class Region:
    """Markers that depend on the same unknowns of a frame.

    Attributes:
        markers: Indices of the markers, shape (n,).
        groups: Indices of the groups of joints that move them.
        columns: Unknowns of their frame: the position of the pelvis, and the rotations of these groups.
    """

    markers: np.ndarray
    groups: tuple[int, ...]
    columns: np.ndarray


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
        regions: All markers, by the limb or the trunk that carries them: a limb's do not move with the others.
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
        self.regions = tuple(self._region(part) for part in _parts(self.below) if part.any())
        self._bones = joints - joints[[max(parent, 0) for parent in BODY_PARENTS]]
        self._bone_part = [PARTS.index(_PART_OF_BONE[_limb(name)]) for name in BODY_NAMES[1:]]

    def _region(self, members: np.ndarray) -> Region:
        """Region of the markers of a mask (nmarker,)."""
        groups = tuple(k for k, (_, joints) in enumerate(GROUPS) if self.below[list(joints)][:, members].any())
        rotations = [3 + 3 * group + axis for group in groups for axis in range(3)]
        return Region(markers=np.flatnonzero(members), groups=groups, columns=np.array([0, 1, 2, *rotations]))

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
        """Rotations of the 22 joints from the rest pose, shape (nframe, 22, 3, 3), from those of the groups."""
        local = np.tile(np.eye(3), (len(turn), 22, 1, 1))
        for group, (_, joints) in enumerate(GROUPS):
            local[:, list(joints)] = turn[:, group, None]
        above = self.turns[[max(parent, 0) for parent in BODY_PARENTS]]
        return above @ local @ self.turns.swapaxes(1, 2)

    def markers(self, xpos: np.ndarray, xmat: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Positions of the markers, shape (nframe, nmarker, 3) [m], from those of the joints."""
        return xpos[:, self.carrier] + (xmat[:, self.carrier] @ offsets[..., None])[..., 0]

    def pose_derivatives(
        self, xpos: np.ndarray, xmat: np.ndarray, pos: np.ndarray, region: Region | None = None
    ) -> np.ndarray:
        """Derivatives of the markers by the unknowns of their frame, shape (nframe, nmarker, 3, 3 + 3 ngroup).

        Rotations change by a small rotation d on their right, in the axes of the neutral pose: a joint at x, whose
        segment has these axes in the directions R, moves a marker at p by (R d) x (p - x).

        Args:
            xpos: Positions of the joints, shape (nframe, 22, 3) [m].
            xmat: Orientations of the joints, shape (nframe, 22, 3, 3).
            pos: Positions of all markers, shape (nframe, nmarker, 3) [m].
            region: Markers and unknowns to compute, in its order; all if None.
        """
        markers = np.arange(pos.shape[1]) if region is None else region.markers
        groups = range(NGROUP) if region is None else region.groups
        result = np.zeros((len(pos), len(markers), 3, 3 + 3 * len(groups)))
        result[..., :3] = np.eye(3)
        for k, group in enumerate(groups):
            columns = slice(3 + 3 * k, 6 + 3 * k)
            for joint in GROUPS[group][1]:
                moved = np.flatnonzero(self.below[joint, markers])
                arm = pos[:, markers[moved]] - xpos[:, joint, None]
                result[:, moved, :, columns] += _cross((xmat[:, joint] @ self.turns[joint])[:, None], arm)
        return result

    def shape_derivatives(self, xmat: np.ndarray) -> np.ndarray:
        """Derivatives of the markers by sizes and offsets, shape (nframe, nmarker, 3, npart + 3 nmarker)."""
        nmarker, npart = len(self.carrier), len(PARTS)
        result = np.zeros((len(xmat), nmarker, 3, npart + 3 * nmarker))
        for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
            moved = np.flatnonzero(self.below[joint])
            of_part = result[..., self._bone_part[joint - 1]]
            of_part[:, moved] += (xmat[:, parent] @ self._bones[joint])[:, None]
        for marker in range(nmarker):
            columns = slice(npart + 3 * marker, npart + 3 * marker + 3)
            result[:, marker, :, columns] = xmat[:, self.carrier[marker]]
        return result


def _cross(axes: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """Cross products of the columns of rotations (..., 3, 3) with vectors (..., 3), as columns."""
    x, y, z = np.moveaxis(arm[..., None], -2, 0)
    first, second, third = np.moveaxis(axes, -2, 0)
    return np.stack([second * z - third * y, third * x - first * z, first * y - second * x], axis=-2)


def _parts(below: np.ndarray) -> list[np.ndarray]:
    """Masks of the markers of each limb, and of those of no limb, shape (nmarker,) each."""
    limbs = [below[INDEX[f"{side}_{part}"]] for side in ("left", "right") for part in ("hip", "collar")]
    return [*limbs, ~np.any(limbs, axis=0)]


def _limb(name: str) -> str:
    """Name of a joint without its side."""
    return name.rpartition("_")[2]


def _moves(joint: int, carrier: int) -> bool:
    while carrier >= 0:
        if carrier == joint:
            return True
        carrier = BODY_PARENTS[carrier]
    return False
