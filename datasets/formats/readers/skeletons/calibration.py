"""Calibration of a skeleton: what a rotation of each of its joints means in the SMPL family's rest pose.

A joint's rotation in a file refers to the skeleton's own zero pose: a T-pose, an A-pose, hanging arms, or (LAFAN1) all
bones in one line, which is no pose of a person. Rotations of the SMPL family refer to its rest pose. For each segment a
constant rotation C, from the SMPL axes (x to the left, y up, z forward) to the joint's own axes, is found such that
S C is the segment's rotation if S is the joint's. C turns the bone from its SMPL rest direction to its offset in the
file, so that bones keep their directions exactly. The twist about the bone is what remains to be chosen:

- Where the zero pose is one that a body can take, the segment is turned there from the SMPL rest pose by the smallest
  rotation, which has no twist: shank after thigh, forearm after upper arm.
- Elsewhere thigh and upper arm are twisted such that the axis about which knee and elbow bend in the motion is the
  anatomical one.
- Where nothing bends, and for other segments, the twist relative to the segment above is zero in the mean over frames.
"""

from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.formats.readers.axes import UPRIGHT
from musclemap.skeletons.smpl.joints import BODY_NAMES, BODY_PARENTS
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.neutral_pose import neutral_turns
from musclemap.skeletons.smpl.source_kinematics import leg_length

from .bvh_kinematics import BvhKinematics
from .bvh_text import Bvh

INDEX = {name: joint for joint, name in enumerate(BODY_NAMES)}

AXIS_CHILD = {
    INDEX[f"{side}_{joint}"]: INDEX[f"{side}_{end}"]
    for side in ("left", "right")
    for joint, end in (("hip", "knee"), ("knee", "ankle"), ("ankle", "foot"), ("collar", "shoulder"),
                       ("shoulder", "elbow"), ("elbow", "wrist"))
} | {INDEX["spine1"]: INDEX["spine2"], INDEX["spine2"]: INDEX["spine3"]}  # fmt: skip
"""Joint at the other end of each joint's bone."""

_TRUNK = {
    INDEX[joint]: (INDEX[start], INDEX[end])
    for joint, start, end in (
        ("spine1", "spine1", "spine2"), ("spine2", "spine2", "spine3"), ("spine3", "spine3", "neck"),
        ("neck", "neck", "head"), ("head", "neck", "head"),
    )
}  # fmt: skip
"""Ends of the bone that shows whether the trunk is straight at a joint."""

LIMB_BONES = tuple(
    INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("knee", "ankle", "elbow", "wrist")
)
"""Joints whose bones get the SMPL rest directions in the rest pose."""

SAMPLE = 500
"""Frames that a calibration looks at, evenly spaced."""

LEAST_BEND = 0.4
"""Sine of the angle from which a bent knee or elbow shows its axis; 24 degrees."""

SPREAD = np.deg2rad(8.0)
"""Slope of the shanks in the zero pose [rad] from which legs count as spread and feet slope with them; with less, legs
are straight and soles are level."""

ALIGNED = np.deg2rad(15.0)
"""Angle between trunk and an axis of the file in the zero pose [rad] up to which the body is upright along the axis."""

BALL_SHARE = 0.65
"""Distance of the ball from the ankle relative to the tip of the toes (D&C and ANSUR, as in `mean_skeleton.py`)."""

POSED, CROSSED, AHEAD, FOLDED = 0.5, -0.3, 0.3, -0.2
"""Cosines that tell a zero pose that a body can take: thighs down, collars sideways, trunk up; arms no further across
the body, feet this far ahead, knees and elbows no more bent."""

TIP = 0.7
"""Cosine of the angle between shank and foot from which an End Site is no tip of a foot but a stump."""

LOW_PERCENTILE, LOW = 5.0, 0.01
"""Percentile of an ankle's heights that counts as its lowest, and the distance above it, relative to the length of the
legs, within which the foot is level: 8 mm in an adult; the heel rises by 50 mm before the toes leave the ground."""

_LEFT, _UP, _FORWARD = np.eye(3)


class Calibration:
    """How the joints of a skeleton move the SMPL family's 22.

    Args:
        bvh: The file.
        index: Index of the file's joint by name of the SMPL family's, with all required ones.

    Attributes:
        turned_by: File's joint whose rotation each joint takes, shape (22,).
        to_joint: Rotation C from SMPL axes to that joint's axes, shape (22, 3, 3).
        rest_joints: Rest positions, shape (22, 3), in the file's unit; the pelvis is at the origin.
        posed: Whether the zero pose of the legs, and of the arms, is one that a body can take.
        up: Mean direction of trunk and legs in the motion, upwards, shape (3,), in the file's axes; not of unit length:
            1 if the body stays upright.
        pelvis: Mean position of the pelvis in the motion, shape (3,), in the file's axes and unit.
        body: Axes of the body in the zero pose as columns: left, up, forward; shape (3, 3), in the file's axes.
    """

    def __init__(self, bvh: Bvh, index: Mapping[str, int]) -> None:
        self._rest = bvh.rest
        self._canon = mean_joints()
        self.turned_by, self._held_by, self._offset = _placed(bvh, index, self._rest)
        kinematics = BvhKinematics(bvh)
        frames = np.unique(np.linspace(0, len(bvh.values) - 1, min(SAMPLE, len(bvh.values))).astype(int))
        xpos, xmat = kinematics.world(frames)
        self._xpos = self.points(xpos, xmat)
        self._turn = xmat[:, self.turned_by]
        self._footless = {INDEX[f"{side}_ankle"] for side in ("left", "right") if not _shows_foot(bvh, index, side)}
        self.body = self._body_axes()
        trunk = unit(self._xpos[:, INDEX["neck"]] - self._hips())
        legs = unit(self._hips() - self._xpos[:, [INDEX["left_ankle"], INDEX["right_ankle"]]].mean(axis=1))
        self.up = 0.5 * (trunk + legs).mean(axis=0)
        self.pelvis = self._xpos[:, 0].mean(axis=0)
        self.to_joint = np.tile(self.body, (22, 1, 1))
        self._legs_posed = self._arms_posed = True
        for joint, name in enumerate(BODY_NAMES):
            self.to_joint[joint] = self._calibrate(joint, name)
        self.posed = (self._legs_posed, self._arms_posed)
        self.rest_joints = self._rest_joints()

    def points(self, xpos: np.ndarray, xmat: np.ndarray) -> np.ndarray:
        """Positions of the 22 joints, shape (nframe, 22, 3), from the poses of the file's joints."""
        return xpos[:, self._held_by] + np.einsum("tjik,jk->tji", xmat[:, self._held_by], self._offset)

    def _hips(self) -> np.ndarray:
        return self._xpos[:, [INDEX["left_hip"], INDEX["right_hip"]]].mean(axis=1)

    def _zero(self, joint: int) -> np.ndarray:
        """Position of a joint in the zero pose, in the file's axes."""
        return self._rest[self._held_by[joint]] + self._offset[joint]

    def _bone(self, joint: int) -> np.ndarray:
        """Offset of the end of a joint's bone in the joint's axes."""
        return self._zero(AXIS_CHILD[joint]) - self._zero(joint)

    def _body_axes(self) -> np.ndarray:
        """Axes of the body in the zero pose as columns: left, up, forward.

        Up is the trunk's direction, or its mean in the motion if the zero pose of the trunk is another; and the file's
        own axis if that is near, because programs align the zero pose with it and necks are not just above the hips.
        """
        left = self._zero(INDEX["left_hip"]) - self._zero(INDEX["right_hip"])
        up = self._zero(INDEX["neck"]) - 0.5 * (self._zero(INDEX["left_hip"]) + self._zero(INDEX["right_hip"]))
        moved = self._xpos[:, INDEX["neck"]] - self._hips()
        mean = np.einsum("tki,tk->i", self._turn[:, 0], moved) / len(moved)
        if unit(up) @ unit(mean) < POSED:
            up = mean
        axis = np.zeros(3)
        axis[np.argmax(np.abs(up))] = np.sign(up[np.argmax(np.abs(up))])
        if unit(up) @ axis > np.cos(ALIGNED):
            up = axis
        left = unit(left)
        up = unit(up - (up @ left) * left)
        return np.column_stack([left, up, np.cross(left, up)])

    def _calibrate(self, joint: int, name: str) -> np.ndarray:
        side = 1.0 if name.startswith("left") else -1.0
        part = name.rpartition("_")[2]
        parent = BODY_PARENTS[joint]
        if parent < 0:
            return self.body
        above = self.to_joint[parent]
        if part in ("foot", "wrist") or self.turned_by[joint] == self.turned_by[parent]:
            return above
        if joint in _TRUNK:
            return self._trunk(joint)
        bone = self.body.T @ unit(self._bone(joint))
        if part == "hip":
            posed = -bone @ _UP > POSED
            self._legs_posed &= bool(posed)
            return self.body @ self._shortest(joint, bone) if posed else self._by_hinge(joint, _LEFT)
        if part == "shoulder":
            posed = self._arms_posed and side * bone @ _LEFT > CROSSED and bone @ _UP < POSED
            self._arms_posed &= bool(posed)
            return self.body @ self._shortest(joint, bone) if posed else self._by_hinge(joint, -side * _UP)
        if part == "collar":
            posed = side * bone @ _LEFT > POSED
            self._arms_posed &= bool(posed)
            return self.body if posed else self._by_mean(joint)
        if part == "ankle":
            if joint in self._footless and not self._legs_posed:
                return self._foot_from_motion(joint)
            return self._foot(joint, bone) if self._legs_posed and bone @ _FORWARD > AHEAD else self._by_mean(joint)
        if part == "knee" and self._legs_posed and -bone @ _UP > np.cos(SPREAD):
            return self.body @ self._shortest(joint, bone)  # as `neutral_pose.py` turns a straight leg
        straight = above.T @ unit(self._bone(joint))  # knee or elbow: from the segment above
        if straight @ self._direction(joint) < FOLDED:
            return self._by_mean(joint)
        return above @ self._shortest(joint, straight)

    def _direction(self, joint: int) -> np.ndarray:
        """Direction of a joint's bone in the SMPL rest pose."""
        return unit(self._canon[AXIS_CHILD[joint]] - self._canon[joint])

    def _shortest(self, joint: int, end: np.ndarray) -> np.ndarray:
        return shortest_turn(self._direction(joint), end)

    def _trunk(self, joint: int) -> np.ndarray:
        """The body's axes for a trunk that is straight in the zero pose, otherwise the mean of the motion."""
        start, end = _TRUNK[joint]
        bone = self._zero(end) - self._zero(start)
        if not bone.any() or unit(bone) @ self.body[:, 1] > POSED:
            return self.body
        return self._mean_turn(joint)

    def _mean_turn(self, joint: int) -> np.ndarray:
        """Rotation C for which the segment has, in the mean over frames, the orientation of the one above.

        Arms hang in the mean, and swing forwards from there without twist.
        """
        above = self._turn[:, BODY_PARENTS[joint]] @ self.to_joint[BODY_PARENTS[joint]]
        if joint in (INDEX["left_shoulder"], INDEX["right_shoulder"]):
            above = above @ shortest_turn(self._direction(joint), -_UP)
        return _nearest_rotation(np.einsum("tki,tkj->ij", self._turn[:, joint], above))

    def _by_mean(self, joint: int) -> np.ndarray:
        """The mean orientation of the motion, with the bone in its place."""
        mean = self._mean_turn(joint)
        return shortest_turn(mean @ self._direction(joint), unit(self._bone(joint))) @ mean

    def _by_hinge(self, joint: int, axis: np.ndarray) -> np.ndarray:
        """The orientation in which the joint at the bone's end bends about `axis`, given in SMPL axes."""
        middle, end = AXIS_CHILD[joint], AXIS_CHILD[AXIS_CHILD[joint]]
        first = unit(self._xpos[:, middle] - self._xpos[:, joint])
        normal = np.cross(first, unit(self._xpos[:, end] - self._xpos[:, middle]))
        bent = np.linalg.norm(normal, axis=1) > LEAST_BEND
        local = np.einsum("tki,tk->i", self._turn[bent, joint], normal[bent])
        if np.linalg.norm(local) < 0.5 * np.linalg.norm(normal[bent], axis=1).sum() or not bent.any():
            return self._by_mean(joint)
        return _frame(unit(self._bone(joint)), local) @ _frame(self._direction(joint), axis).T

    def _foot(self, joint: int, bone: np.ndarray) -> np.ndarray:
        """The foot of a zero pose with feet on the ground: turned about the vertical, and with a leg that is spread.

        Its slope from ankle to ball is kept, as ankles and balls have their own heights in every skeleton.
        """
        shank = self.body.T @ unit(self._bone(BODY_PARENTS[joint]))
        angle = np.arctan2(shank[0], -shank[1])
        spread = Rotation.from_euler("z", angle if abs(angle) > SPREAD else 0.0).as_matrix()
        along, straight = spread.T @ bone, self._direction(joint)
        heading = np.arctan2(along[0], along[2]) - np.arctan2(straight[0], straight[2])
        return self.body @ spread @ Rotation.from_euler("y", heading).as_matrix()

    def _foot_from_motion(self, joint: int) -> np.ndarray:
        """The foot of a file that shows none, neither by a joint nor by its zero pose; also places its ball.

        It is level while the ankle is as low as it gets and points where the shank does; without an upright motion it
        has the shank's mean orientation.
        """
        result = self._mean_turn(joint)
        height = self._xpos[:, joint] @ unit(self.up)
        low = height < np.percentile(height, LOW_PERCENTILE) + LOW * leg_length(self._xpos[0])
        if np.linalg.norm(self.up) > UPRIGHT:
            up = unit(self.up) if np.abs(self.up).max() < UPRIGHT else np.round(unit(self.up))
            forward = (self._turn[low, BODY_PARENTS[joint]] @ self.to_joint[BODY_PARENTS[joint]])[..., 2]
            forward = unit(forward - (forward @ up)[:, None] * up)
            level = np.stack([np.cross(up, forward), np.broadcast_to(up, forward.shape), forward], axis=2)
            straight = level @ neutral_turns(self._canon)[joint].T  # the rest pose turns feet outwards
            result = _nearest_rotation(np.einsum("tki,tkj->ij", self._turn[low, joint], straight))
        ball = AXIS_CHILD[joint]
        shank = np.linalg.norm(self._bone(BODY_PARENTS[joint]))
        canon = [self._canon[end] - self._canon[start] for start, end in ((BODY_PARENTS[joint], joint), (joint, ball))]
        offset = result @ canon[1] * shank / np.linalg.norm(canon[0])
        self._offset[ball] = self._offset[joint] + offset
        self._xpos[:, ball] = self._xpos[:, joint] + self._turn[:, joint] @ offset
        return result

    def _rest_joints(self) -> np.ndarray:
        """The skeleton in the SMPL rest pose: limbs in its directions, everything else as in the motion's mean."""
        rest = np.zeros((22, 3))
        for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
            segment = self._turn[:, parent] @ self.to_joint[parent]
            moved = self._xpos[:, joint] - self._xpos[:, parent]
            offset = np.einsum("tki,tk->i", segment, moved) / len(moved)
            if joint in LIMB_BONES:
                offset = np.linalg.norm(moved, axis=1).mean() * self._direction(parent)
            rest[joint] = rest[parent] + offset
        return rest


def _placed(bvh: Bvh, index: Mapping[str, int], rest: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place the 22 joints on the file's: missing ones lie on a bone and turn with the joint above.

    Returns:
        File's joint that turns each, and that carries each, shape (22,), and offsets in its axes, shape (22, 3).
    """
    turned, held, offset = np.zeros(22, int), np.zeros(22, int), np.zeros((22, 3))
    shoulders = 0.5 * (rest[index["left_shoulder"]] + rest[index["right_shoulder"]])
    chest = rest[index["neck"]] if "neck" in index else shoulders
    for joint, name in enumerate(BODY_NAMES):
        if name in index:
            turned[joint] = held[joint] = index[name]
            continue
        parent = BODY_PARENTS[joint]
        turned[joint] = held[joint] = carrier = turned[parent]
        start = rest[held[parent]] + offset[parent]
        side, part = name.partition("_")[0], name.rpartition("_")[2]
        if part in ("spine1", "spine2", "spine3"):
            later = [key for key in ("spine2", "spine3") if key in index and key > part]
            remaining = int(later[0][-1] if later else 4) - int(part[-1]) + 1
            point = start + ((rest[index[later[0]]] if later else chest) - start) / remaining
        elif part == "neck":
            point = shoulders
        elif part == "collar":
            point = start + 0.25 * (rest[index[f"{side}_shoulder"]] - start)
        elif part == "foot":
            point = start + _ball(bvh.ends[carrier], rest, index, side)
        else:  # the head
            tip = bvh.ends[carrier]
            trunk = chest - rest[index["pelvis"]]
            point = start + (0.5 * tip if np.isfinite(tip).all() and tip.any() else 0.2 * trunk)
        offset[joint] = point - rest[carrier]
    return turned, held, offset


def _nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotation closest to a matrix, shape (3, 3)."""
    u, _, v = np.linalg.svd(matrix)
    return u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v


def _shows_foot(bvh: Bvh, index: Mapping[str, int], side: str) -> bool:
    """Whether a file shows where a foot points: by a joint of the toes, or an End Site that is no stump."""
    ankle = index[f"{side}_ankle"]
    return f"{side}_foot" in index or _is_tip(bvh.ends[ankle], bvh.rest[ankle] - bvh.rest[index[f"{side}_knee"]])


def _is_tip(end: np.ndarray, shank: np.ndarray) -> bool:
    """Whether the End Site of an ankle is the tip of a foot; if it continues the shank, it is that of a stump."""
    return bool(np.isfinite(end).all() and end.any() and unit(end) @ unit(shank) < TIP)


def _ball(end: np.ndarray, rest: np.ndarray, index: Mapping[str, int], side: str) -> np.ndarray:
    """Ball of a foot that has only an ankle, relative to it, in the zero pose.

    It is on the way to the End Site, unless there is none or it continues the shank. Then it is that of the mean
    skeleton, in the size of the shank.
    """
    shank = rest[index[f"{side}_ankle"]] - rest[index[f"{side}_knee"]]
    if _is_tip(end, shank):
        return BALL_SHARE * end
    left = rest[index["left_hip"]] - rest[index["right_hip"]]
    forward = unit(np.cross(left, -shank))
    axes = np.column_stack([np.cross(-unit(shank), forward), -unit(shank), forward])
    knee, ankle, ball = mean_joints()[[INDEX[f"{side}_{part}"] for part in ("knee", "ankle", "foot")]]
    return axes @ (ball - ankle) * np.linalg.norm(shank) / np.linalg.norm(ankle - knee)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors along the last axis; a zero vector stays zero."""
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norm > 0.0, norm, 1.0)


def shortest_turn(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Smallest rotation from one unit vector to another, shape (..., 3, 3); any half-turn between opposite ones."""
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, np.sum(start * end, axis=-1, keepdims=True))
    sideways = np.cross(start, np.where(np.abs(start[..., :1]) < 0.9, _LEFT, _UP))
    axis = np.where(sine > 1e-12, axis / np.maximum(sine, 1e-12), unit(sideways))
    return Rotation.from_rotvec((angle * axis).reshape(-1, 3)).as_matrix().reshape(*axis.shape, 3)


def _frame(along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Orthonormal axes as columns, shape (3, 3): the first along a unit vector, the second close to another."""
    second = unit(across - (across @ along) * along)
    return np.column_stack([along, second, np.cross(along, second)])
