"""Targets of the fit: independent of the subject's heading and head, and exact in the T-pose."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.targets import landmark_targets as module
from musclemap.retarget.targets.landmark_targets import MotionTargets, build_targets, heading_of
from musclemap.retarget.targets.proportions import Proportions, fit_proportions
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.bodies.myofullbody import LANDMARK_NAMES, SOURCE_TO_TARGET
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints

from ..support.neutral import neutral_rotvec
from ..support.target_facts import FOOT_LANDMARKS, ORIENTED


@pytest.fixture(scope="module")
def fitted(body: TargetBody) -> Proportions:
    return fit_proportions(body, mean_joints())


@pytest.fixture(scope="module")
def walk() -> SourceMotion:
    return synthesise("walk_1.2", fps=100.0, seconds=2.0)


def targets_of(motion: SourceMotion, proportions: Proportions) -> MotionTargets:
    return build_targets(load_body(), motion, proportions, RetargetConfig(), source_joints=mean_joints())


def move(motion: SourceMotion, turn: Rotation, shift: np.ndarray) -> SourceMotion:
    """The motion rotated and shifted; trans compensates for J0, the pelvis's rest position, which does not rotate."""
    j0, rotvec = mean_joints()[0], motion.rotvec.copy()
    rotvec[:, 0] = (turn * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    return replace(motion, rotvec=rotvec, trans=turn.apply(motion.trans + j0) - j0 + shift)


@pytest.mark.parametrize("degrees", [0, 90, 173, 180, -179, 187])
def test_heading_is_the_rotation_about_the_vertical(degrees: float) -> None:
    facing = Rotation.from_euler("z", degrees, degrees=True) * Rotation.from_matrix(SOURCE_TO_TARGET)
    on_one_side = facing * Rotation.from_euler("z", 90, degrees=True)  # left axis up: the forward axis decides
    for pelvis in (facing, on_one_side):
        result = Rotation.from_euler("z", heading_of(pelvis.as_matrix()))
        assert (result * Rotation.from_euler("z", -degrees, degrees=True)).magnitude() < 1e-12


@pytest.mark.parametrize("degrees", [90, 174, 180, -173])
def test_targets_do_not_depend_on_the_heading(walk: SourceMotion, fitted: Proportions, degrees: float) -> None:
    """Fault 2: near the heading opposite to the model's, the predecessor finds a wrong branch."""
    original = targets_of(walk, fitted)
    turn, shift = Rotation.from_euler("z", degrees, degrees=True), np.array([3.0, -7.0, 0.0])
    moved = targets_of(move(walk, turn, shift), fitted)
    for name in ("pos", "anchor"):
        np.testing.assert_allclose(getattr(moved, name), getattr(original, name), atol=1e-9, err_msg=name)
    for name in ("rot", "carrier_rot"):
        np.testing.assert_allclose(getattr(moved, name), getattr(original, name), atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(moved.contact, original.contact)
    turn_between = Rotation.from_euler("z", moved.heading - original.heading)
    assert (turn_between * turn.inv()).magnitude() < 1e-9
    first_pos = turn.apply(original.origin / original.stance.scale) + shift
    np.testing.assert_allclose(moved.origin, moved.stance.scale * first_pos, atol=1e-9)


def test_a_source_in_its_t_pose_has_the_targets_t_pose_as_target(
    body: TargetBody, fitted: Proportions, walk: SourceMotion
) -> None:
    """Positions relative to the pelvis, and orientations; the feet are also moved to the floor."""
    rotvec = np.tile(neutral_rotvec(fitted.turns), (50, 1, 1))
    rotvec[:, 0] = Rotation.from_matrix(SOURCE_TO_TARGET).as_rotvec()
    t_pose = replace(walk, rotvec=rotvec, trans=np.tile([0.0, 0.0, 0.9], (50, 1)), hand_rotvec=None)
    result = targets_of(t_pose, fitted)
    data = mujoco.MjData(body.symmetric_model)
    data.qpos[:] = body.reduced.expand(fitted.t_pose[None])[0]
    mujoco.mj_kinematics(body.symmetric_model, data)
    pos = data.xpos[body.landmark_ids]
    foot = np.isin(LANDMARK_NAMES, FOOT_LANDMARKS)
    error = np.linalg.norm((result.pos[7] - result.pos[7, 0]) - (pos - pos[0]), axis=1)
    assert error[~foot].max() < 1e-6
    assert error[foot].max() < 4e-3  # soles that are not quite level are moved to the floor
    np.testing.assert_allclose(result.rot[7], data.xmat[body.landmark_ids[ORIENTED]].reshape(-1, 3, 3), atol=1e-6)
    assert result.contact.min() == 1.0
    np.testing.assert_allclose(result.anchor[..., 2], 0.0, atol=1e-12)


def test_turning_the_head_changes_no_target(walk: SourceMotion, fitted: Proportions) -> None:
    """The target has no neck. In the predecessor, turning the head by 40 degrees twists the trunk by 15."""
    rotvec = walk.rotvec.copy()
    for name in ("neck", "head"):
        rotvec[:, BODY_NAMES.index(name)] += [0.0, np.deg2rad(30.0), 0.1]
    original, moved = targets_of(walk, fitted), targets_of(replace(walk, rotvec=rotvec), fitted)
    np.testing.assert_array_equal(original.pos, moved.pos)
    np.testing.assert_array_equal(original.rot, moved.rot)


def test_targets_of_standing_feet_do_not_move(walk: SourceMotion, fitted: Proportions) -> None:
    """The source drifts sideways at 12 cm/s; while heel and toe are in contact, ankle and toe targets stay still."""
    drift = np.arange(walk.nframe)[:, None] / walk.fps * [0.0, 0.12, 0.0]
    result = targets_of(replace(walk, trans=walk.trans + drift), fitted)
    assert result.stance_speed > 0.1
    for side, heel, toe in (("l", 0, 1), ("r", 2, 3)):
        standing = (result.contact[:, heel] == 1.0) & (result.contact[:, toe] == 1.0)
        pairs = standing[1:] & standing[:-1]
        assert pairs.sum() > 20
        for name in (f"talus_{side}", f"toes_{side}"):
            speed = np.linalg.norm(np.diff(result.pos[:, LANDMARK_NAMES.index(name)], axis=0), axis=1) * result.fps
            assert speed[pairs].max() < 0.12
            assert np.median(speed[pairs]) < 0.03
    assert result.stance.floor != 0.0
    assert np.all(result.floor == 0.0)


def test_chunks_do_not_change_the_targets(
    monkeypatch: pytest.MonkeyPatch, walk: SourceMotion, fitted: Proportions
) -> None:
    expected = targets_of(walk, fitted)
    monkeypatch.setattr(module, "FRAMES_PER_CHUNK", 37)
    result = targets_of(walk, fitted)
    for name in ("pos", "rot", "carrier_rot", "anchor", "contact"):
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name), err_msg=name)
