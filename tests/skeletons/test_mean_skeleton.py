"""The mean skeleton is a plausible adult in an exact T-pose."""

import numpy as np

from musclemap.skeletons.smpl.joints import BODY_NAMES, BODY_PARENTS
from musclemap.skeletons.smpl.mean_skeleton import FRACTION_OF_STATURE, STATURE, mean_joints

AT = {name: joint for joint, name in enumerate(BODY_NAMES)}


def bone(joints: np.ndarray, name: str) -> float:
    joint = AT[name]
    return float(np.linalg.norm(joints[joint] - joints[BODY_PARENTS[joint]]))


def test_left_and_right_are_exact_mirror_images() -> None:
    joints = mean_joints()
    for name, joint in AT.items():
        mirrored = AT[name.replace("left_", "?").replace("right_", "left_").replace("?", "right_")]
        np.testing.assert_array_equal(joints[mirrored], joints[joint] * (-1.0, 1.0, 1.0))


def test_limbs_have_the_tables_lengths() -> None:
    joints = mean_joints()
    table = {"left_knee": "thigh", "left_ankle": "shank", "right_elbow": "upper_arm", "right_wrist": "forearm"}
    for name, segment in table.items():
        np.testing.assert_allclose(bone(joints, name), FRACTION_OF_STATURE[segment] * STATURE, rtol=1e-12)


def test_pose_is_a_t_pose() -> None:
    joints = mean_joints()
    assert np.all(joints[[AT["left_shoulder"], AT["left_elbow"]], 1] == joints[AT["left_wrist"], 1])
    assert joints[AT["left_wrist"], 0] > joints[AT["left_elbow"], 0] > joints[AT["left_shoulder"], 0] > 0
    toes = joints[AT["left_foot"]] - joints[AT["left_ankle"]]
    assert toes[0] == 0.0
    assert toes[1] < 0.0 < toes[2]
    assert joints[AT["left_hip"], 1] < joints[AT["pelvis"], 1]
    assert 0.0 < joints[AT["left_ankle"], 0] - joints[AT["left_hip"], 0] < 0.05
    np.testing.assert_allclose(joints[AT["pelvis"]], (0.0, -0.24, 0.03), atol=1e-12)


def test_tables_that_were_made_apart_agree_on_the_stature() -> None:
    """Adding de Leva's levels from the ground up must end at the vertex; nothing forces it to."""
    joints = mean_joints()
    ground = joints[AT["left_ankle"], 1] - FRACTION_OF_STATURE["ankle_height"] * STATURE
    vertex = joints[AT["head"], 1] + FRACTION_OF_STATURE["tragion_to_vertex"] * STATURE
    assert abs(vertex - ground - STATURE) < 0.02


def test_each_call_returns_its_own_array() -> None:
    mean_joints()[:] = 0.0
    assert np.any(mean_joints() != 0.0)
