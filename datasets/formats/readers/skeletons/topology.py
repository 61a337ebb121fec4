"""Guesses which joint is which in a skeleton with unknown names, from its topology, lengths and movement.

The pelvis carries three long branches. The two that are most alike are the legs; the third is the trunk, up to the
joint that carries two branches that are most alike, the arms. Left and right follow from where feet and knees point.
"""

from itertools import combinations, pairwise

import numpy as np

from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.smpl.mean_skeleton import FRACTION_OF_STATURE

from .bvh_kinematics import BvhKinematics
from .bvh_text import Bvh
from .families import spine_joints
from .joint_map import JointMap

SAMPLE = 200
"""Frames looked at, evenly spaced."""

LONG_BRANCH = 0.4
"""A branch of the pelvis is a leg or the trunk if it is this long relative to the longest."""

_ARM_TO_THIGH = (
    FRACTION_OF_STATURE["upper_arm"] / FRACTION_OF_STATURE["thigh"],
    FRACTION_OF_STATURE["forearm"] / FRACTION_OF_STATURE["thigh"],
)


def guess_joints(bvh: Bvh) -> JointMap:
    """Map a skeleton by topology and position.

    Raises:
        SourceError: If the skeleton has no joint with two legs and a trunk, or its trunk no two arms
            ("unknown_skeleton").
    """
    skeleton = _Skeleton(bvh)
    pelvis, legs, trunk = skeleton.pelvis()
    spine, arms, neck = skeleton.trunk(trunk)
    hips = [skeleton.longest_pair(leg) for leg in legs]
    thigh = np.mean([skeleton.length[leg[k + 1]] for leg, k in zip(legs, hips, strict=True)])
    shoulders = [skeleton.arm_start(arm, float(thigh)) for arm in arms]
    sides = skeleton.sides(pelvis, [leg[k:] for leg, k in zip(legs, hips, strict=True)])
    reached = [skeleton.mean_side(arm[k], sides) for arm, k in zip(arms, shoulders, strict=True)]
    joints = {"pelvis": pelvis}
    names = ("left", "right") if sides.legs_start_left else ("right", "left")
    for side, leg, k in zip(names, legs, hips, strict=True):
        joints |= {f"{side}_{part}": joint for part, joint in zip(("hip", "knee", "ankle", "foot"), leg[k:])}  # noqa: B905
    names = ("left", "right") if reached[0] > reached[1] else ("right", "left")
    for side, arm, k in zip(names, arms, shoulders, strict=True):
        joints |= {f"{side}_{part}": joint for part, joint in zip(("shoulder", "elbow", "wrist"), arm[k:])}  # noqa: B905
        if k:
            joints[f"{side}_collar"] = arm[k - 1]
    if neck:
        joints |= {"neck": neck[0], "head": neck[-1]} if len(neck) > 1 else {"head": neck[0]}
    named = {key: bvh.names[joint] for key, joint in joints.items()}
    return JointMap(family="guess", joints=named | spine_joints([bvh.names[joint] for joint in spine]))


class _Sides:
    """Where left is.

    Attributes:
        left: Direction to the subject's left in each sampled frame, shape (nsample, 3).
        middle: Positions of the pelvis, shape (nsample, 3).
        legs_start_left: Whether the first leg is the left one.
    """

    def __init__(self, left: np.ndarray, middle: np.ndarray, first_hip: np.ndarray) -> None:
        self.left, self.middle = left, middle
        self.legs_start_left = bool(np.sum((first_hip - middle) * left) > 0.0)


class _Skeleton:
    """Branches of a skeleton: lists of joints, each the longest way down from its first joint."""

    def __init__(self, bvh: Bvh) -> None:
        self._bvh = bvh
        njoint = len(bvh.names)
        self._children: list[list[int]] = [[] for _ in range(njoint)]
        for joint, parent in enumerate(bvh.parents):
            if parent >= 0:
                self._children[parent].append(joint)
        self.length = np.linalg.norm(bvh.offsets, axis=1)
        self.length[0] = 0.0
        self._reach = np.nan_to_num(np.linalg.norm(bvh.ends, axis=1))
        for joint in range(njoint - 1, 0, -1):  # each joint comes after the one above
            parent = bvh.parents[joint]
            self._reach[parent] = max(self._reach[parent], self.length[joint] + self._reach[joint])
        frames = np.unique(np.linspace(0, len(bvh.values) - 1, min(SAMPLE, len(bvh.values))).astype(int))
        self._xpos, self._xmat = BvhKinematics(bvh).world(frames)

    def _branch(self, joint: int) -> list[int]:
        """The longest way down."""
        way = [joint]
        while self._children[way[-1]]:
            way.append(max(self._children[way[-1]], key=lambda child: self.length[child] + self._reach[child]))
        return way

    def _total(self, joint: int) -> float:
        return float(self.length[joint] + self._reach[joint])

    def _most_alike(self, joints: list[int]) -> tuple[int, int]:
        """The two branches of most equal lengths, joint by joint."""

        def difference(pair: tuple[int, int]) -> float:
            first, second = (self.length[self._branch(joint)] for joint in pair)
            n = max(len(first), len(second))
            padded = [np.pad(lengths, (0, n - len(lengths))) for lengths in (first, second)]
            return float(np.abs(padded[0] - padded[1]).sum() / max(first.sum() + second.sum(), 1e-12))

        return min(combinations(joints, 2), key=difference)

    def pelvis(self) -> tuple[int, list[list[int]], list[int]]:
        """The pelvis, its legs, and the trunk."""
        for joint, children in enumerate(self._children):
            longest = max(map(self._total, children), default=0.0)
            long = [child for child in children if self._total(child) > LONG_BRANCH * longest]
            if len(long) >= 3:
                legs = self._most_alike(long)
                rest = [child for child in long if child not in legs]
                ways = [self._branch(leg) for leg in legs]
                if min(map(len, ways)) >= 3:
                    return joint, ways, [joint, *self._branch(max(rest, key=self._total))]
        raise SourceError(
            ReasonCode.UNKNOWN_SKELETON,
            "the names of the joints are of no known family, and no joint carries two legs and a trunk; "
            "expected a whole person, or a joint map",
        )

    def trunk(self, way: list[int]) -> tuple[list[int], list[list[int]], list[int]]:
        """Joints of the spine, the two arms, and the neck with the head, from the way down the trunk."""
        for k, joint in enumerate(way[1:], start=1):
            children = self._children[joint]
            arms = [child for child in children if len(self._branch(child)) >= 3]
            if len(arms) >= 2:
                pair = self._most_alike(arms)
                others = [child for child in children if child not in pair]
                neck = self._branch(max(others, key=self._total))[:3] if others else []
                return way[1 : k + 1], [self._branch(arm) for arm in pair], neck[:2]
        raise SourceError(
            ReasonCode.UNKNOWN_SKELETON,
            "the names of the joints are of no known family, and no joint of the trunk carries two arms; "
            "expected a whole person, or a joint map",
        )

    def longest_pair(self, way: list[int]) -> int:
        """Position of the hip in the way down a leg: thigh and shank are its longest two bones in a row."""
        bones = self.length[way[1:]]
        return int(np.argmax([a + b for a, b in pairwise(bones)]))

    def arm_start(self, way: list[int], thigh: float) -> int:
        """Position of the shoulder in the way down an arm: where two bones in a row are as long as those of an arm."""
        bones = np.maximum(self.length[way[1:]], 1e-9 * max(thigh, 1e-9))
        misfit = [
            abs(np.log(a / (_ARM_TO_THIGH[0] * thigh))) + abs(np.log(b / (_ARM_TO_THIGH[1] * thigh)))
            for a, b in pairwise(bones)
        ]
        return int(np.argmin(misfit))

    def sides(self, pelvis: int, legs: list[list[int]]) -> _Sides:
        """Where left is, from legs that start with the hip: feet and knees point forwards."""
        middle = np.mean([self._xpos[:, leg[0]] for leg in legs], axis=0)
        forward = np.zeros_like(middle)
        for hip, knee, ankle, *_ in legs:
            toe = self._branch(ankle)[1:2]
            tip = np.nan_to_num(self._bvh.ends[ankle])
            foot = self._xpos[:, toe[0]] - self._xpos[:, ankle] if toe else self._xmat[:, ankle] @ tip
            forward += foot + self._xpos[:, knee] - 0.5 * (self._xpos[:, hip] + self._xpos[:, ankle])
        ankles = np.mean([self._xpos[:, leg[2]] for leg in legs], axis=0)
        return _Sides(np.cross(middle - ankles, forward), middle, self._xpos[:, legs[0][0]])

    def mean_side(self, joint: int, sides: _Sides) -> float:
        """How far a joint is to the left."""
        return float(np.sum((self._xpos[:, joint] - sides.middle) * sides.left))
