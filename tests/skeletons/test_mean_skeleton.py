"""The mean skeleton is a plausible adult in an exact T-pose."""

import numpy as np

from musclemap.skeletons.smpl.joints import BODY_NAMES, BODY_PARENTS
from musclemap.skeletons.smpl.mean_skeleton import FRACTION_OF_STATURE, STATURE, mean_joints

INDEX = {name: joint for joint, name in enumerate(BODY_NAMES)}


def bone(joints: np.ndarray, name: str) -> float:
    joint = INDEX[name]
    return float(np.linalg.norm(joints[joint] - joints[BODY_PARENTS[joint]]))


def test_left_and_right_are_exact_mirror_images() -> None:
    joints = mean_joints()
    for name, joint in INDEX.items():
        mirrored = INDEX[name.replace("left_", "?").replace("right_", "left_").replace("?", "right_")]
        np.testing.assert_array_equal(joints[mirrored], joints[joint] * (-1.0, 1.0, 1.0))


def test_limbs_have_the_lengths_of_the_tables() -> None:
    joints = mean_joints()
    table = {"left_knee": "thigh", "left_ankle": "shank", "right_elbow": "upper_arm", "right_wrist": "forearm"}
    for name, segment in table.items():
        np.testing.assert_allclose(bone(joints, name), FRACTION_OF_STATURE[segment] * STATURE, rtol=1e-12)


def test_pose_is_a_t_pose() -> None:
    joints = mean_joints()
    assert np.all(joints[[INDEX["left_shoulder"], INDEX["left_elbow"]], 1] == joints[INDEX["left_wrist"], 1])
    assert joints[INDEX["left_wrist"], 0] > joints[INDEX["left_elbow"], 0] > joints[INDEX["left_shoulder"], 0] > 0
    toes = joints[INDEX["left_foot"]] - joints[INDEX["left_ankle"]]
    assert toes[0] == 0.0
    assert toes[1] < 0.0 < toes[2]
    assert joints[INDEX["left_hip"], 1] < joints[INDEX["pelvis"], 1]
    assert 0.0 < joints[INDEX["left_ankle"], 0] - joints[INDEX["left_hip"], 0] < 0.05
    np.testing.assert_allclose(joints[INDEX["pelvis"]], (0.0, -0.24, 0.03), atol=1e-12)


def test_independent_tables_agree_on_the_stature() -> None:
    """De Leva's levels, added from the ground up, must end at the vertex; nothing enforces this."""
    joints = mean_joints()
    ground = joints[INDEX["left_ankle"], 1] - FRACTION_OF_STATURE["ankle_height"] * STATURE
    vertex = joints[INDEX["head"], 1] + FRACTION_OF_STATURE["tragion_to_vertex"] * STATURE
    assert abs(vertex - ground - STATURE) < 0.02


def test_each_call_returns_its_own_array() -> None:
    mean_joints()[:] = 0.0
    assert np.any(mean_joints() != 0.0)
