"""The mean skeleton is a plausible adult in the rest pose of the SMPL family."""

import numpy as np
import pytest

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


def direction(joints: np.ndarray, start: str, end: str) -> np.ndarray:
    along = joints[INDEX[end]] - joints[INDEX[start]]
    return along / np.linalg.norm(along)


def test_directions_are_those_of_the_family() -> None:
    """Angles of the left side in degrees: in the frontal plane from x and y, in the sagittal one from y and z."""
    joints = mean_joints()
    degrees = lambda a, b: float(np.rad2deg(np.arctan2(a, b)))  # noqa: E731
    thigh, shank = direction(joints, "left_hip", "left_knee"), direction(joints, "left_knee", "left_ankle")
    foot, upper_arm = direction(joints, "left_ankle", "left_foot"), direction(joints, "left_shoulder", "left_elbow")
    forearm = direction(joints, "left_elbow", "left_wrist")
    assert degrees(thigh[0], -thigh[1]) == pytest.approx(5.7)
    assert thigh[2] == 0.0
    assert degrees(-shank[0], -shank[1]) == pytest.approx(2.0)
    assert degrees(-shank[2], -shank[1]) == pytest.approx(5.5)
    assert degrees(foot[0], foot[2]) == pytest.approx(13.0)
    assert foot[1] < 0.0
    assert degrees(-upper_arm[1], upper_arm[0]) == pytest.approx(3.0)
    np.testing.assert_allclose(forearm, (1.0, 0.0, 0.0), atol=1e-12)
    assert joints[INDEX["left_hip"], 1] < joints[INDEX["pelvis"], 1]
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
