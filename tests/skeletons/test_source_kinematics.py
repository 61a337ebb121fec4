"""The source skeleton: consistent names and parents, and kinematics against plain matrix products."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.skeletons.smpl.joints import (
    BODY_NAMES,
    BODY_PARENTS,
    FAMILY_PARENTS,
    FIRST_HAND_JOINT,
    HAND_NAMES,
)
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk

from ..support.data.smpl_names import FAMILY_NAMES


def swapped(name: str) -> str:
    return name.replace("left", "#").replace("right", "left").replace("#", "right")


@pytest.mark.parametrize(("family", "njoint"), [("smpl", 24), ("smplh", 52), ("smplx", 55)])
def test_families_share_the_body_and_are_symmetric(family: str, njoint: int) -> None:
    names, parents = FAMILY_NAMES[family], FAMILY_PARENTS[family]
    assert len(names) == len(parents) == len(set(names)) == njoint
    assert names[:22] == BODY_NAMES
    assert parents[:22] == BODY_PARENTS
    assert parents[0] == -1
    assert all(0 <= parent < joint for joint, parent in enumerate(parents) if joint)
    for joint, parent in enumerate(parents[1:], start=1):
        assert names[parents[names.index(swapped(names[joint]))]] == swapped(names[parent])


@pytest.mark.parametrize("family", ["smplh", "smplx"])
def test_fingers_are_attached_to_their_wrists(family: str) -> None:
    names, parents, first = FAMILY_NAMES[family], FAMILY_PARENTS[family], FIRST_HAND_JOINT[family]
    for side, start in (("left", first), ("right", first + 15)):
        assert names[start : start + 15] == HAND_NAMES[side]
        for k in range(start, start + 15):
            number = int(names[k][-1])
            assert names[parents[k]] == (f"{side}_wrist" if number == 1 else f"{names[k][:-1]}{number - 1}")


def test_joints_match_a_chain_of_matrices() -> None:
    """Homogeneous transforms multiplied along each path from the root; the pelvis at trans + J0, J0 not rotated."""
    rng = np.random.default_rng(110)
    rotvec, trans = rng.normal(0, 1.0, (4, 22, 3)), rng.normal(size=(4, 3))
    joints = mean_joints() + rng.normal(0, 0.02, (22, 3))
    pos, mat = source_fk(rotvec, trans, joints)
    for frame in range(4):
        for joint in range(22):
            path, k = [], joint
            while k >= 0:
                path.append(k)
                k = BODY_PARENTS[k]
            total = np.eye(4)
            for k in reversed(path):
                local = np.eye(4)
                local[:3, :3] = Rotation.from_rotvec(rotvec[frame, k]).as_matrix()
                local[:3, 3] = trans[frame] + joints[0] if k == 0 else joints[k] - joints[BODY_PARENTS[k]]
                total = total @ local
            np.testing.assert_allclose(pos[frame, joint], total[:3, 3], atol=1e-13)
            np.testing.assert_allclose(mat[frame, joint], total[:3, :3], atol=1e-13)


def test_no_rotation_is_the_rest_skeleton() -> None:
    joints = mean_joints()
    pos, mat = source_fk(np.zeros((2, 22, 3)), np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]), joints)
    np.testing.assert_allclose(pos, joints + np.array([0.0, 0.0, 0.0, 1.0, 2.0, 3.0]).reshape(2, 1, 3), atol=1e-15)
    np.testing.assert_array_equal(mat, np.broadcast_to(np.eye(3), mat.shape))
