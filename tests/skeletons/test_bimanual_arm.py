"""MyoBimanualArm: MyoFullBody's arms, bone by bone, on a chest that is fixed to the model's world."""

import mujoco
import numpy as np
import pytest

from musclemap.cli.options.shared import BODY_NAMES
from musclemap.retarget.config import BodyConfig
from musclemap.skeletons.bodies import BODIES, BODY_OPTIONS, load_body, load_body_version
from musclemap.skeletons.bodies.bimanual_arm import CORRECTIONS, LANDMARKS
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.couplings import couplings


@pytest.fixture(scope="module")
def arms() -> TargetBody:
    return load_body("MyoBimanualArm")


def test_sizes_are_the_published_ones(arms: TargetBody) -> None:
    model = arms.model
    assert (model.nq, model.nv, model.nu) == (76, 76, 126)
    assert len(couplings(model)) == 22
    assert arms.reduced_hands.njoint == 54
    assert arms.reduced.njoint == 54 - len(arms.finger_joints) == 14
    assert not arms.free
    assert arms.contact_parts == arms.support_parts == ()


def test_joints_and_muscles_are_those_of_the_whole_body(arms: TargetBody, body: TargetBody) -> None:
    """Names, ranges, damping, armature and muscles; masses and inertias of every bone of the arms."""
    part, whole = arms.model, body.model
    for j in range(part.njnt):
        k = whole.joint(part.joint(j).name).id
        a, b = part.jnt_dofadr[j], whole.jnt_dofadr[k]
        np.testing.assert_array_equal(part.jnt_range[j], whole.jnt_range[k])
        np.testing.assert_allclose(part.jnt_axis[j], whole.jnt_axis[k], atol=1e-12)
        assert part.dof_damping[a] == whole.dof_damping[b]
        assert part.dof_armature[a] == whole.dof_armature[b]
    for i in range(part.nu):
        k = whole.actuator(part.actuator(i).name).id
        np.testing.assert_allclose(part.actuator_gainprm[i], whole.actuator_gainprm[k])
        np.testing.assert_allclose(part.actuator_lengthrange[i], whole.actuator_lengthrange[k])
    for k in range(part.body("clavicle_r").id, part.nbody):
        other = whole.body(part.body(k).name).id
        np.testing.assert_allclose(part.body_mass[k], whole.body_mass[other])
        np.testing.assert_allclose(part.body_inertia[k], whole.body_inertia[other])


def test_arms_lie_as_in_the_whole_body(arms: TargetBody, body: TargetBody) -> None:
    """Relative to the thorax, in configurations anywhere in the ranges of all joints of the arms."""
    rng = np.random.default_rng(0)
    reduced = arms.reduced_hands
    joints = rng.uniform(reduced.lower, reduced.upper, (20, reduced.njoint))
    qpos = reduced.expand(np.hstack([np.tile(np.eye(1, 7, 3), (20, 1)), joints]))
    columns = [body.model.jnt_qposadr[body.model.joint(name).id] for name in arms.joint_names]
    whole_qpos = np.tile(body.reduced.base, (20, 1))
    whole_qpos[:, columns] = qpos
    names = arms.landmark_names
    np.testing.assert_allclose(
        relative_to_thorax(arms.model, qpos, names), relative_to_thorax(body.model, whole_qpos, names), atol=1e-9
    )


def relative_to_thorax(model: mujoco.MjModel, qpos: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Origins of bodies in the thorax's frame, shape (nframe, nbody, 3) [m]."""
    data, thorax, ids = mujoco.MjData(model), model.body("thorax").id, [model.body(name).id for name in names]
    out = []
    for q in qpos:
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        out.append((data.xpos[ids] - data.xpos[thorax]) @ data.xmat[thorax].reshape(3, 3))
    return np.array(out)


def test_every_landmark_is_a_body_and_sides_match(arms: TargetBody) -> None:
    names = arms.landmark_names
    assert names[0] == "thorax"
    assert len(names) == len(set(names)) == len(LANDMARKS) == 1 + 2 * (3 + 15)
    assert {n[:-2] for n in names if n.endswith("_r")} == {n[:-2] for n in names if n.endswith("_l")}
    assert (arms.landmark_ids > 0).all()


def test_corrections_are_applied_and_can_be_left_out(arms: TargetBody) -> None:
    released = load_body("MyoBimanualArm", published=True)
    assert arms.corrections == CORRECTIONS
    assert released.model.body("humphant_r").inertia.tolist() == [1.0, 1.0, 1.0]
    assert arms.model.body("humphant_r").inertia.max() == pytest.approx(1e-4)
    assert not np.any(arms.model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE)
    assert np.any(released.model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE)
    assert load_body_version(arms.name, released.sha256).sha256 == released.sha256 != arms.sha256


def test_the_root_body_has_the_axes_of_the_world(arms: TargetBody) -> None:
    """A clip's base motion refers to the root body's origin, in the world's axes."""
    np.testing.assert_array_equal(arms.model.body_quat[1], [1.0, 0.0, 0.0, 0.0])


def test_options_name_bodies() -> None:
    """The command's options and the settings list the same ones."""
    assert set(BODY_OPTIONS.values()) <= set(BODIES)
    assert tuple(BODY_OPTIONS) == BODY_NAMES
    for option in BODY_OPTIONS:
        assert BodyConfig(name=option).name == option  # type: ignore[arg-type]
