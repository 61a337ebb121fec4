"""Zero poses of skeletons, as rotations of the segments from the SMPL rest pose, in SMPL axes, shape (22, 3, 3)."""

from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.neutral_pose import neutral_turns

INDEX = {name: joint for joint, name in enumerate(BODY_NAMES)}
_SIDES = (("left", 1.0), ("right", -1.0))


def t_pose() -> np.ndarray:
    """Straight legs, level arms, feet straight ahead."""
    return np.swapaxes(neutral_turns(mean_joints()), 1, 2)


def arms_down(degrees: float) -> np.ndarray:
    """The T-pose with arms lowered: 45 degrees are an A-pose, 90 hanging arms."""
    return _turned(("shoulder", "elbow", "wrist"), -degrees)


def legs_apart(degrees: float) -> np.ndarray:
    """The T-pose with legs spread and feet that slope with them, as in CMU's files (20 degrees)."""
    return _turned(("hip", "knee", "ankle", "foot"), degrees)


def one_line() -> np.ndarray:
    """All bones of trunk and limbs point up, as in LAFAN1's files; limbs are twisted besides."""
    joints, zero = mean_joints(), np.tile(np.eye(3), (22, 1, 1))
    for side, _ in _SIDES:
        zero[INDEX[f"{side}_collar"]] = _up(np.eye(3), joints, f"{side}_collar", f"{side}_shoulder")
        for bones, twist in ((("hip", "knee", "ankle"), 70.0), (("shoulder", "elbow", "wrist"), -40.0)):
            above = np.eye(3)
            for start, end in pairwise(bones):
                above = zero[INDEX[f"{side}_{start}"]] = _up(above, joints, f"{side}_{start}", f"{side}_{end}")
            zero[INDEX[f"{side}_{bones[2]}"]] = above
            for part in bones:
                zero[INDEX[f"{side}_{part}"]] = _about("y", twist) @ zero[INDEX[f"{side}_{part}"]]
        foot = _up(np.eye(3), joints, f"{side}_ankle", f"{side}_foot")
        zero[INDEX[f"{side}_ankle"]] = zero[INDEX[f"{side}_foot"]] = foot
    return zero


def _turned(parts: tuple[str, ...], degrees: float) -> np.ndarray:
    zero = t_pose()
    for side, sign in _SIDES:
        for part in parts:
            zero[INDEX[f"{side}_{part}"]] = _about("z", sign * degrees) @ zero[INDEX[f"{side}_{part}"]]
    return zero


def _about(axis: str, degrees: float) -> np.ndarray:
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


def _up(above: np.ndarray, joints: np.ndarray, start: str, end: str) -> np.ndarray:
    """The orientation of the segment above, turned by the smallest rotation that makes a bone point up."""
    bone = above @ (joints[INDEX[end]] - joints[INDEX[start]])
    axis = np.cross(bone, [0.0, 1.0, 0.0])
    angle = np.arctan2(np.linalg.norm(axis), bone[1])
    return Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix() @ above
