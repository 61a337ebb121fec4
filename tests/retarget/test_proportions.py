"""Proportions: exact in the T-pose, converged and symmetric."""

from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import mujoco
import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from musclemap.retarget.targets import proportions as module
from musclemap.retarget.targets.proportions import Proportions, fit_proportions
from musclemap.skeletons.bodies.myofullbody import CONTACT_NAMES, LANDMARK_NAMES, LANDMARKS, SOURCE_TO_TARGET
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT
from musclemap.skeletons.smpl.body_model import BodyModel, load_body_model
from musclemap.skeletons.smpl.joints import BODY_NAMES, SMPLH_PARENTS
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import leg_length, source_fk

from ..support.data.body_model_files import SyntheticModel, write_npz
from ..support.data.smpl_names import FAMILY_NAMES
from ..support.mirror import FLIP, LANDMARK_TWIN
from ..support.neutral import neutral_rotvec

LIMB_OF = {"hip": "femur", "knee": "tibia", "ankle": "talus", "foot": "toes", "shoulder": "humerus", "elbow": "ulna",
           "wrist": "lunate"}  # fmt: skip
"""By limb joint of the source: the target's body whose origin corresponds to it."""

LIMBS = [k for k, name in enumerate(BODY_NAMES) if name.split("_")[-1] in LIMB_OF]
ARRAYS = ("joints", "landmark_offset", "landmark_rot", "contact_offset")


@pytest.fixture(scope="module")
def fitted(body: TargetBody) -> Proportions:
    return fit_proportions(body, mean_joints())


def kinematics_of(body: TargetBody, model: mujoco.MjModel, proportions: Proportions) -> mujoco.MjData:
    data = mujoco.MjData(model)
    data.qpos[:] = body.reduced.expand(proportions.t_pose[None])[0]
    mujoco.mj_kinematics(model, data)
    return data


def t_pose_targets(proportions: Proportions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets of a source upright in its T-pose: landmarks [m], their orientations, and contact points [m].

    Each segment is turned back from the rest pose.
    """
    rotvec = neutral_rotvec(proportions.turns)[None]
    rotvec[0, 0] = Rotation.from_matrix(SOURCE_TO_TARGET).as_rotvec()
    pos, mat = source_fk(rotvec, -proportions.joints[:1], proportions.joints)
    carrier = [BODY_NAMES.index(landmark.carrier) for landmark in LANDMARKS]
    oriented = [BODY_NAMES.index(landmark.orientation or landmark.carrier) for landmark in LANDMARKS]
    feet = [BODY_NAMES.index(name) for name in ("left_ankle", "left_foot", "right_ankle", "right_foot")]
    landmarks = pos[0, carrier] + np.einsum("lij,lj->li", mat[0, carrier], proportions.landmark_offset)
    contacts = pos[0, feet] + np.einsum("lij,lj->li", mat[0, feet], proportions.contact_offset)
    return landmarks, mat[0, oriented] @ proportions.landmark_rot, contacts


def check_t_pose(body: TargetBody, proportions: Proportions) -> None:
    """Check that the T-pose meets every target, its couplings and its joint limits."""
    landmarks, rot, contacts = t_pose_targets(proportions)
    data = kinematics_of(body, body.symmetric_model, proportions)
    np.testing.assert_allclose(landmarks, data.xpos[body.landmark_ids], rtol=0, atol=1e-6)
    np.testing.assert_allclose(rot, data.xmat[body.landmark_ids].reshape(-1, 3, 3), rtol=0, atol=1e-6)
    positions = [data.xpos[p.body] + data.xmat[p.body].reshape(3, 3) @ np.asarray(p.offset) for p in body.points[17:21]]
    np.testing.assert_allclose(contacts, positions, rtol=0, atol=1e-6)
    real = kinematics_of(body, body.model, proportions)
    assert np.linalg.norm(landmarks - real.xpos[body.landmark_ids], axis=1).max() < 1.3e-3
    assert body.reduced.coupling_residual(body.reduced.expand(proportions.t_pose[None]))[0] < 1e-12
    assert np.all(proportions.t_pose[NROOT:] >= body.reduced.lower)
    assert np.all(proportions.t_pose[NROOT:] <= body.reduced.upper)


def test_every_target_is_met_in_the_t_pose(body: TargetBody, fitted: Proportions) -> None:
    """Fitted to a T-pose that violates the couplings, as published, each arm is wrong by 38.6 mm."""
    check_t_pose(body, fitted)


def test_the_t_pose_is_a_t_pose(body: TargetBody, fitted: Proportions) -> None:
    """Arms level and sideways, elbows and knees straight, trunk upright, soles level, palms down, facing -y."""
    pos = dict(zip(LANDMARK_NAMES, t_pose_targets(fitted)[0], strict=True))
    for side, sign in (("r", -1.0), ("l", 1.0)):
        arm, leg = pos[f"lunate_{side}"] - pos[f"humerus_{side}"], pos[f"talus_{side}"] - pos[f"femur_{side}"]
        assert arm[0] * sign > 0.99 * np.linalg.norm(arm)
        assert -leg[2] > 0.99 * np.linalg.norm(leg)
        assert (pos[f"toes_{side}"] - pos[f"talus_{side}"])[1] < -0.1
        for joint in ("elbow_flex", "knee_angle"):
            assert fitted.t_pose[NROOT + body.reduced.index(f"{joint}_{side}")] < 0.1
        for joint in ("hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle", "subtalar_angle"):
            assert abs(fitted.t_pose[NROOT + body.reduced.index(f"{joint}_{side}")]) < np.deg2rad(1.0), joint
    assert 2.0 * np.linalg.norm(fitted.t_pose[4:NROOT]) < np.deg2rad(1.0), "the pelvis is upright"
    trunk = pos["head"] - pos["pelvis"]
    assert trunk[2] > 0.98 * np.linalg.norm(trunk)
    assert np.ptp(t_pose_targets(fitted)[2][:, 2]) < 5e-3
    data = kinematics_of(body, body.symmetric_model, fitted)
    for side, sign in (("r", 1.0), ("l", -1.0)):
        hand = [body.model.body(f"{name}_{side}").id for name in ("lunate", "secondmc", "fifthmc")]
        lunate, second, fifth = data.xpos[hand]
        palm = sign * np.cross(second - lunate, fifth - lunate)
        assert -palm[2] > 0.999 * np.linalg.norm(palm)
        joint = body.model.joint(f"elbow_flex_{side}").id
        swing = np.cross(data.xaxis[joint], lunate - data.xanchor[joint])  # the wrist's direction in flexion
        assert -swing[1] > 0.999 * np.linalg.norm(swing)


def test_limb_bones_have_the_targets_lengths(body: TargetBody, fitted: Proportions) -> None:
    data = kinematics_of(body, body.symmetric_model, fitted)
    positions = dict(zip(LANDMARK_NAMES, data.xpos[body.landmark_ids], strict=True))
    joint: dict[str, np.ndarray] = dict(zip(BODY_NAMES, fitted.joints, strict=True))
    for word, side in (("left", "l"), ("right", "r")):
        for chain in (("hip", "knee", "ankle", "foot"), ("shoulder", "elbow", "wrist")):
            for a, b in pairwise(chain):
                source = np.linalg.norm(joint[f"{word}_{a}"] - joint[f"{word}_{b}"])
                target = np.linalg.norm(positions[f"{LIMB_OF[a]}_{side}"] - positions[f"{LIMB_OF[b]}_{side}"])
                assert source == pytest.approx(target, abs=1e-9)
    assert 0.75 < leg_length(fitted.joints) < 0.90
    assert fitted.rms < 0.035


def mirrored_joints() -> list[int]:
    """Index of each source joint's twin on the other side."""
    swap = {"left": "right", "right": "left"}
    parts = [name.partition("_") for name in BODY_NAMES]
    return [BODY_NAMES.index(swap.get(side, side) + rest + part) for side, rest, part in parts]


def test_sides_are_mirror_images(fitted: Proportions) -> None:
    np.testing.assert_allclose(fitted.joints, fitted.joints[mirrored_joints()] * FLIP, atol=1e-8)
    np.testing.assert_allclose(fitted.landmark_offset, fitted.landmark_offset[LANDMARK_TWIN] * FLIP, atol=1e-8)
    assert CONTACT_NAMES == ("left_heel", "left_toe", "right_heel", "right_toe")
    np.testing.assert_allclose(fitted.contact_offset[:2], fitted.contact_offset[2:] * FLIP, atol=1e-8)


def check_converged(
    monkeypatch: pytest.MonkeyPatch, body: TargetBody, fitted: Proportions, joints: np.ndarray, model: BodyModel | None
) -> None:
    """Check that the gradient is zero, and that perturbed starts lead to the same solution."""
    assert fitted.optimality < 1e-6
    rng = np.random.default_rng(90)

    def from_perturbed_start(residual, x0, *, bounds, **options):
        start = np.clip(x0 + rng.normal(0, 0.15, x0.shape), bounds[0] + 1e-6, bounds[1] - 1e-6)
        return least_squares(residual, start, bounds=bounds, **options)

    monkeypatch.setattr(module, "least_squares", from_perturbed_start)
    for _ in range(3):
        again = fit_proportions(body, joints, body_model=model)
        assert again.optimality < 1e-6
        for name in ARRAYS:
            np.testing.assert_allclose(getattr(again, name), getattr(fitted, name), rtol=0, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(again.t_pose, fitted.t_pose, rtol=0, atol=1e-5)


def test_fit_converges_from_perturbed_starts(
    monkeypatch: pytest.MonkeyPatch, body: TargetBody, fitted: Proportions
) -> None:
    check_converged(monkeypatch, body, fitted, mean_joints(), None)
    assert fitted.iterations < 50


def test_only_the_directions_of_source_bones_matter(body: TargetBody, fitted: Proportions) -> None:
    """Smaller, shifted and short-legged subjects get the same bone lengths: the target's."""
    joints = mean_joints()
    short_legged = joints.copy()
    for side in ("left", "right"):
        hip = BODY_NAMES.index(f"{side}_hip")
        for name in ("knee", "ankle", "foot"):
            k = BODY_NAMES.index(f"{side}_{name}")
            short_legged[k] = joints[hip] + 0.8 * (joints[k] - joints[hip])
    for source in (0.7 * joints, short_legged, joints + np.array([0.3, -0.2, 0.1])):
        refitted = fit_proportions(body, source)
        np.testing.assert_allclose(refitted.joints[LIMBS], fitted.joints[LIMBS], atol=1e-3)
        np.testing.assert_allclose(refitted.joints, fitted.joints, atol=6e-3)  # the back is determined only loosely
        np.testing.assert_allclose(refitted.contact_offset, fitted.contact_offset, atol=1e-3)


def test_leg_length_is_the_mean_of_both_legs() -> None:
    joints = np.zeros((22, 3))
    joints[BODY_NAMES.index("left_knee"), 1] = joints[BODY_NAMES.index("left_ankle"), 1] = -0.4
    joints[BODY_NAMES.index("left_ankle"), 2] = 0.3
    joints[BODY_NAMES.index("right_knee"), 0] = joints[BODY_NAMES.index("right_ankle"), 0] = 0.5
    assert leg_length(joints) == pytest.approx(0.5 * (0.4 + 0.3 + 0.5))


BETAS = np.array([3.0, -2.0, 2.5])
"""Shape of the synthetic subject: far from the mean, like that of many real subjects."""


@pytest.fixture(scope="module")
def subject(fitted: Proportions, tmp_path_factory: pytest.TempPathFactory) -> BodyModel:
    """Body model, written to a file and read back, whose limbs have the target's lengths for the shape BETAS.

    Its bones have the directions of the mean skeleton. Its shape directions lengthen legs, arms and back by 1 to 3 cm
    each.
    """
    names, parents = list(FAMILY_NAMES["smplh"]), SMPLH_PARENTS
    dirs = np.zeros((len(names), 3, 3))
    for k, name in enumerate(names):
        part = name.split("_")[-1]
        sign = 1.0 if name.startswith("left") else -1.0
        if part in ("knee", "ankle", "foot"):
            dirs[k, 1, 0] = -0.012 * (1 if part == "knee" else 2)
        if part in ("elbow", "wrist"):
            dirs[k, 0, 1] = sign * 0.012 * (1 if part == "elbow" else 2)
        if part in ("spine2", "spine3", "neck", "head", "collar", "shoulder", "elbow", "wrist"):
            dirs[k, 1, 2] = 0.012
    joints, mean = np.zeros((52, 3)), mean_joints()
    joints[:22] = fitted.joints + np.array([0.0, -0.24, 0.03])
    for k, name in enumerate(BODY_NAMES):
        parent = parents[k]
        if name.split("_")[-1] in ("knee", "ankle", "foot", "elbow", "wrist"):
            length = np.linalg.norm(fitted.joints[k] - fitted.joints[parent])
            along = mean[k] - mean[parent]
            joints[k] = joints[parent] + length * along / np.linalg.norm(along)
    for k in range(22, len(names)):  # fingers coincide with the wrist
        joints[k], dirs[k] = joints[parents[k]], dirs[parents[k]]
    model = SyntheticModel(family="smplh", template=joints - dirs @ BETAS, dirs=dirs, regressor=np.eye(len(names)))
    path = Path(tmp_path_factory.mktemp("models"), "male", "model.npz")
    write_npz(path, model, gender="male")
    return load_body_model(path)


@pytest.fixture(scope="module")
def fitted_shape(body: TargetBody, subject: BodyModel) -> Proportions:
    return fit_proportions(body, subject.joint_template[:22], body_model=subject)


def test_the_shape_of_a_body_model_is_recovered(body: TargetBody, fitted_shape: Proportions) -> None:
    assert fitted_shape.betas is not None
    np.testing.assert_allclose(fitted_shape.betas, BETAS, atol=0.6)  # 7 mm; 1 % of the body's size makes up for it
    check_t_pose(body, fitted_shape)


def test_the_shape_fit_converges(
    monkeypatch: pytest.MonkeyPatch, body: TargetBody, subject: BodyModel, fitted_shape: Proportions
) -> None:
    check_converged(monkeypatch, body, fitted_shape, subject.joint_template[:22], subject)


def limb_error(model: BodyModel, shape: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Limb joints for a size and shape minus the expected ones, relative to the pelvis, shape (nlimb, 3) [m]."""
    joints = shape[0] * model.joint_template[:22] + model.joint_dirs[:22] @ shape[1:]
    return (joints - joints[0])[LIMBS] - (expected - expected[0])[LIMBS]


def test_500_steps_of_adam_do_not_recover_the_shape(subject: BodyModel, fitted_shape: Proportions) -> None:
    """Fault 8: in 500 steps of 1e-3 a coefficient changes by at most 0.5, however far its solution is."""
    assert fitted_shape.betas is not None
    result = np.array([1.0, *fitted_shape.betas])

    def error(shape: np.ndarray) -> np.ndarray:
        return limb_error(subject, shape, subject.joint_template[:22] + subject.joint_dirs[:22] @ BETAS)

    def rms(shape: np.ndarray) -> float:
        return float(np.sqrt(np.mean(np.sum(error(shape) ** 2, axis=1))))

    shape, first_moment, second_moment = np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(4), np.zeros(4)
    jacobian = np.stack([error(shape + unit) - error(shape) for unit in np.eye(4)])  # the error is linear in the shape
    for step in range(1, 501):
        gradient = 2.0 * np.einsum("kij,ij->k", jacobian, error(shape))
        first_moment, second_moment = 0.9 * first_moment + 0.1 * gradient, 0.999 * second_moment + 0.001 * gradient**2
        shape = shape - 1e-3 * (first_moment / (1 - 0.9**step)) / (np.sqrt(second_moment / (1 - 0.999**step)) + 1e-8)
    size = least_squares(lambda size: error(size[0] * result).ravel(), [1.0]).x[0]
    assert rms(shape) > 0.010
    assert rms(size * result) < 0.003


def test_the_docstring_describes_every_field() -> None:
    described = {line.split(":")[0].strip() for line in (Proportions.__doc__ or "").splitlines()}
    assert {field.name for field in fields(Proportions)} <= described
