"""The neutral pose: straight limbs, no twist, and rotations that mean the same from either pose."""

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.skeletons.smpl.joints import BODY_NAMES, BODY_PARENTS
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.neutral_pose import neutral_turns, turn_segments
from musclemap.skeletons.smpl.source_kinematics import source_fk

INDEX = {name: joint for joint, name in enumerate(BODY_NAMES)}
FLIP = np.array([-1.0, 1.0, 1.0])


def neutral(joints: np.ndarray) -> np.ndarray:
    return turn_segments(joints, np.swapaxes(neutral_turns(joints), 1, 2))


def bones(joints: np.ndarray) -> np.ndarray:
    return joints[1:] - joints[list(BODY_PARENTS[1:])]


def test_limbs_are_straight_and_as_long_as_before() -> None:
    rest = mean_joints()
    joints = neutral(rest)
    np.testing.assert_allclose(np.linalg.norm(bones(joints), axis=1), np.linalg.norm(bones(rest), axis=1), rtol=1e-12)
    np.testing.assert_allclose(neutral_turns(joints), np.tile(np.eye(3), (22, 1, 1)), atol=1e-7)
    for side in ("left", "right"):
        hip, knee, ankle, foot = (joints[INDEX[f"{side}_{part}"]] for part in ("hip", "knee", "ankle", "foot"))
        np.testing.assert_allclose(np.stack([knee, ankle])[:, [0, 2]] - hip[[0, 2]], 0.0, atol=1e-12)
        np.testing.assert_allclose(foot[0] - ankle[0], 0.0, atol=1e-12)
        shoulder, elbow, wrist = (joints[INDEX[f"{side}_{part}"]] for part in ("shoulder", "elbow", "wrist"))
        np.testing.assert_allclose(np.stack([elbow, wrist])[:, 1:] - shoulder[1:], 0.0, atol=1e-12)
    np.testing.assert_array_equal(joints[:3], rest[:3])


def test_turns_have_no_twist_and_mirror_each_other() -> None:
    turns = neutral_turns(mean_joints())
    axis = Rotation.from_matrix(turns).as_rotvec()
    for name, joint in INDEX.items():
        part = name.partition("_")[2]
        if part in ("hip", "knee"):
            assert abs(axis[joint, 1]) < 1e-12, "a leg's segment turns about its own length"
        if part in ("ankle", "foot"):
            np.testing.assert_allclose(axis[joint, [0, 2]], 0.0, atol=1e-12)
        if part in ("shoulder", "elbow"):
            assert abs(axis[joint, 0]) < 1e-12
        if name.startswith("left"):
            right = turns[INDEX[name.replace("left", "right")]]
            np.testing.assert_array_equal(right, turns[joint] * FLIP * FLIP[:, None])


def test_a_rotation_from_the_rest_pose_means_the_same_as_one_from_the_neutral_pose() -> None:
    rng = np.random.default_rng(3)
    rest = mean_joints()
    turns, joints = neutral_turns(rest), neutral(rest)
    rotation = Rotation.from_rotvec(rng.normal(scale=0.5, size=(22, 3))).as_matrix()
    parents = [max(parent, 0) for parent in BODY_PARENTS]
    converted = turns[parents] @ rotation @ np.swapaxes(turns, 1, 2)
    poses = [Rotation.from_matrix(r).as_rotvec()[None] for r in (rotation, converted)]
    from_neutral, from_rest = (source_fk(p, np.zeros((1, 3)), j)[0] for p, j in zip(poses, (joints, rest), strict=True))
    np.testing.assert_allclose(from_rest, from_neutral, atol=1e-12)


def test_a_bone_without_length_is_not_turned() -> None:
    joints = mean_joints()
    joints[INDEX["left_wrist"]] = joints[INDEX["left_elbow"]]
    np.testing.assert_array_equal(neutral_turns(joints)[INDEX["left_elbow"]], np.eye(3))
