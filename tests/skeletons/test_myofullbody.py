"""MyoFullBody: landmarks from one table, mirrored geometry, and soles that are the feet's lowest points."""

import copy
from dataclasses import astuple

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.errors import TargetError
from musclemap.skeletons.bare_tree import bare_tree
from musclemap.skeletons.bodies.myofullbody import (
    CONTACT_NAMES,
    FINGER_JOINTS,
    LANDMARK_NAMES,
    LANDMARKS,
    SOURCE_TO_TARGET,
)
from musclemap.skeletons.body import SIDES, TargetBody
from musclemap.skeletons.model_hash import model_hash
from musclemap.skeletons.reduced import NROOT
from musclemap.skeletons.smpl.joints import BODY_NAMES, BODY_PARENTS
from musclemap.skeletons.soles import find_sole
from musclemap.skeletons.tree import BodyPoint

from ..support.configurations import random_configurations, standing
from ..support.mirror import FLIP, LANDMARK_TWIN, joint_twin
from ..support.target_facts import FOOT_LANDMARKS

LITERATURE = {"pelvis", "lumbar1", "head"} | {
    f"{part}_{side}" for part in ("humerus", "ulna", "lunate", "femur", "tibia", "talus", "toes") for side in "rl"
}


def landmarks(body: TargetBody, model: mujoco.MjModel, q: np.ndarray) -> np.ndarray:
    """Landmarks by C MuJoCo, shape (nframe, 17, 3) [m]."""
    data, out = mujoco.MjData(model), []
    for qpos in body.reduced.expand(q):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        out.append(data.xpos[body.landmark_ids].copy())
    return np.array(out)


def mirrored(body: TargetBody, q: np.ndarray) -> np.ndarray:
    """Configurations reflected in the plane x = 0: sides are exchanged, lateral bends and turns change sign."""
    sign = np.where(np.isin(body.reduced.joint_names, ("lat_bending", "axial_rotation")), -1.0, 1.0)
    root = q[:, :NROOT] * [-1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0]
    return np.concatenate([root, q[:, NROOT:][:, joint_twin(body.reduced)] * sign], axis=1)


def foot_configurations(body: TargetBody, nframe: int, *, seed: int, tilt_deg: float) -> np.ndarray:
    """Standing with the body tilted by up to an angle; ankle, subtalar and toe joints anywhere in their ranges."""
    rng = np.random.default_rng(seed)
    q = np.tile(standing(body.reduced), (nframe, 1))
    tilt = np.deg2rad(tilt_deg) * np.sqrt(rng.uniform(size=nframe))
    about = rng.uniform(0, 2 * np.pi, nframe)
    lean = Rotation.from_rotvec(tilt[:, None] * np.stack([np.cos(about), np.sin(about), 0 * about], axis=1))
    turn = Rotation.from_rotvec(rng.uniform(-np.pi, np.pi, (nframe, 1)) * [0.0, 0.0, 1.0])
    q[:, 3:NROOT] = (lean * turn).as_quat(scalar_first=True)
    for name in ("knee_angle", "ankle_angle", "subtalar_angle", "mtp_angle"):
        for side in SIDES:
            k = body.reduced.index(f"{name}_{side}")
            high = 0.3 if name == "knee_angle" else body.reduced.upper[k]
            q[:, NROOT + k] = rng.uniform(body.reduced.lower[k], high, nframe)
    return q


def world(data: mujoco.MjData, point: BodyPoint) -> np.ndarray:
    return data.xpos[point.body] + data.xmat[point.body].reshape(3, 3) @ np.asarray(point.offset)


def lowest_geoms(body: TargetBody, data: mujoco.MjData) -> dict[str, float]:
    """Distance of every foot's lowest colliding geom to the floor by MuJoCo's collision routine [m]."""
    model, lowest = body.model, {}
    floor = model.geom("floor").id
    for side in SIDES:
        bodies = [model.body(f"{name}_{side}").id for name in ("talus", "calcn", "toes")]
        geoms = [g for g in range(model.ngeom) if model.geom_bodyid[g] in bodies and model.geom_contype[g]]
        assert len(geoms) == 5
        lowest[side] = min(mujoco.mj_geomDistance(model, data, floor, g, 10.0, None) for g in geoms)
    return lowest


def test_landmarks_are_the_seventeen_of_the_literature(body: TargetBody) -> None:
    assert len(LANDMARK_NAMES) == 17
    assert set(LANDMARK_NAMES) == LITERATURE
    assert set(FOOT_LANDMARKS) <= set(LANDMARK_NAMES)
    assert [body.model.body(int(b)).name for b in body.landmark_ids] == list(LANDMARK_NAMES)


def test_sides_are_consistent() -> None:
    swap = {"left": "right", "right": "left"}
    for landmark, twin in zip(LANDMARKS, (LANDMARKS[k] for k in LANDMARK_TWIN), strict=True):
        for joint, other in zip(astuple(landmark)[1:], astuple(twin)[1:], strict=True):
            side, _, part = (joint or "").partition("_")
            assert other == (f"{swap[side]}_{part}" if side in swap else joint)


def test_landmarks_move_with_the_bone_before_their_joint() -> None:
    """The carrier is the joint's parent, so that the offset from it rotates with the bone."""
    for landmark in LANDMARKS:
        joint, carrier = BODY_NAMES.index(landmark.joint), BODY_NAMES.index(landmark.carrier)
        if landmark.name not in ("pelvis", "head"):
            assert BODY_PARENTS[joint] == carrier
        assert landmark.orientation is None or landmark.orientation in BODY_NAMES


def test_finger_joints_exist_and_are_forty(body: TargetBody) -> None:
    names = {body.model.joint(j).name for j in range(body.model.njnt)}
    assert set(FINGER_JOINTS) <= names
    assert len(set(FINGER_JOINTS)) == 40
    hand = {body.model.body(f"{name}_{s}").id for s in SIDES for name in ("lunate", "capitate")}

    def in_hand(b: int) -> bool:
        return b != 0 and (b in hand or in_hand(int(body.model.body_parentid[b])))

    below_wrist = {n for n in names if in_hand(int(body.model.body_parentid[body.model.joint(n).bodyid[0]]))}
    assert below_wrist == set(FINGER_JOINTS)


def test_source_axes_map_to_the_targets(body: TargetBody) -> None:
    """The source's rest frame has x left, y up, z forward; at its default root the target faces -y."""
    q = standing(body.reduced)[None].copy()
    pos = dict(zip(LANDMARK_NAMES, landmarks(body, body.model, q)[0], strict=True))
    left, up, forward = SOURCE_TO_TARGET.T
    assert np.linalg.det(SOURCE_TO_TARGET) == pytest.approx(1.0)
    assert (pos["humerus_l"] - pos["humerus_r"]) @ left > 0.25
    assert (pos["head"] - pos["pelvis"]) @ up > 0.4
    assert (pos["toes_l"] - pos["talus_l"]) @ forward > 0.1


def test_sides_of_the_real_body_are_mirror_images_to_millimetres(body: TargetBody) -> None:
    random = random_configurations(body.reduced, 50, seed=20)
    for q, bound in ((standing(body.reduced)[None], 1.5e-3), (random, 2.5e-3)):
        pos, mirrored_pos = landmarks(body, body.model, q), landmarks(body, body.model, mirrored(body, q))
        assert np.linalg.norm(pos - mirrored_pos[:, LANDMARK_TWIN] * FLIP, axis=2).max() < bound


def test_sides_of_the_symmetric_body_are_mirror_images_exactly(body: TargetBody) -> None:
    model, q = body.symmetric_model, random_configurations(body.reduced, 50, seed=21)
    pos, mirrored_pos = landmarks(body, model, q), landmarks(body, model, mirrored(body, q))
    assert np.linalg.norm(pos - mirrored_pos[:, LANDMARK_TWIN] * FLIP, axis=2).max() < 1e-12
    shift = np.linalg.norm(pos - landmarks(body, body.model, q), axis=2)
    assert shift.mean() < 0.5e-3
    assert shift.max() < 1.3e-3


def test_points_of_the_solver_are_mirror_images_exactly(body: TargetBody) -> None:
    model, q = body.symmetric_model, standing(body.reduced)
    data = mujoco.MjData(model)
    data.qpos[:] = body.reduced.expand(q[None])[0]
    mujoco.mj_kinematics(model, data)
    pos = np.array([world(data, point) for point in body.points])
    contact, sphere = pos[17:21], pos[21:]
    half = len(sphere) // 2
    np.testing.assert_allclose(contact[:2], contact[2:] * FLIP, atol=1e-12)
    distance = np.linalg.norm(sphere[:half, None] - sphere[None, half:] * FLIP, axis=2)
    twin = distance.argmin(axis=1)  # a capsule's ends come in any order
    assert sorted(twin) == list(range(half))
    assert distance.min(axis=1).max() < 1e-12
    np.testing.assert_array_equal(body.sole.radius[:half], body.sole.radius[half:][twin])
    names = [body.model.body(point.body).name for point in body.points[21:]]
    assert all(name.endswith("_r") for name in names[:half])
    assert all(name.endswith("_l") for name in names[half:])


def test_spheres_reach_as_low_as_the_feet(body: TargetBody) -> None:
    """Against MuJoCo's distances of all colliding geoms with ellipsoids: tiptoe, heel, edge, tilt of 60 degrees."""
    data, centre, half = mujoco.MjData(body.model), body.sole.centre, len(body.sole.centre) // 2
    gaps = []
    for qpos in body.reduced.expand(foot_configurations(body, 300, seed=22, tilt_deg=60.0)):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(body.model, data)
        bottom = np.array([world(data, p)[2] for p in centre]) - body.sole.radius
        lowest = lowest_geoms(body, data)
        gaps += [bottom[:half].min() - lowest["r"], bottom[half:].min() - lowest["l"]]
    assert min(gaps) > -1e-6  # no sphere is outside the foot
    assert max(gaps) < 2e-3


def test_solvers_spheres_are_the_feet_to_a_millimetre(body: TargetBody) -> None:
    """The solver's spheres are those of the symmetric body, whose feet differ by about a millimetre."""
    real, symmetric = mujoco.MjData(body.model), mujoco.MjData(body.symmetric_model)
    for qpos in body.reduced.expand(foot_configurations(body, 20, seed=23, tilt_deg=30.0)):
        for model, data in ((body.model, real), (body.symmetric_model, symmetric)):
            data.qpos[:] = qpos
            mujoco.mj_kinematics(model, data)
        for point, solver in zip([*body.sole.contact, *body.sole.centre], body.points[17:], strict=True):
            assert np.linalg.norm(world(real, point) - world(symmetric, solver)) < 1.2e-3


def test_contact_points_lie_under_heel_and_toes(body: TargetBody) -> None:
    """On a flat foot all four touch the ground: heels behind the ankles, toe points ahead of the balls."""
    q = standing(body.reduced)
    q[NROOT:] = body.reduced.rest
    data = mujoco.MjData(body.model)
    data.qpos[:] = body.reduced.expand(q[None])[0]
    mujoco.mj_kinematics(body.model, data)
    lowest = lowest_geoms(body, data)
    forward = SOURCE_TO_TARGET[:, 2]
    for name, point in zip(CONTACT_NAMES, body.sole.contact, strict=True):
        word, part = name.split("_")
        side, pos = word[0], world(data, point)
        assert body.model.body(point.body).name == {"heel": f"calcn_{side}", "toe": f"toes_{side}"}[part]
        assert pos[2] == pytest.approx(lowest[side], abs=4e-3)
        joint = data.xpos[body.model.body({"heel": f"talus_{side}", "toe": f"toes_{side}"}[part]).id]
        assert (pos - joint) @ forward < -0.02 if part == "heel" else (pos - joint) @ forward > 0.0
        assert abs((pos - joint)[0]) < 0.03


def test_foot_geoms_reach_as_low_as_mujoco_says(body: TargetBody) -> None:
    data, geoms = mujoco.MjData(body.model), body.foot_geoms
    half = len(geoms.body) // 2
    for qpos in body.reduced.expand(random_configurations(body.reduced, 30, seed=24)):
        data.qpos[:] = qpos
        data.qpos[2] = 3.0
        mujoco.mj_kinematics(body.model, data)
        frame = data.xmat[geoms.body].reshape(-1, 3, 3)
        height = data.xpos[geoms.body, 2] + np.einsum("gj,gj->g", frame[:, 2], geoms.pos)
        bottom = height - geoms.reach(np.einsum("gi,gij->gj", frame[:, 2], geoms.rot))
        lowest = lowest_geoms(body, data)
        assert bottom[:half].min() == pytest.approx(lowest["r"], abs=1e-6)
        assert bottom[half:].min() == pytest.approx(lowest["l"], abs=1e-6)


def test_bare_tree_keeps_the_kinematics_and_inertia(body: TargetBody) -> None:
    """Same ids, poses, couplings, limits and centre of mass as the full model; without fingers, 40 joints fewer."""
    full, bare = body.model, body.kinematic_model
    assert (bare.nq, bare.nv, bare.nbody, bare.njnt) == (full.nq, full.nv, full.nbody, full.njnt)
    assert bare.ngeom == bare.nsite == bare.ntendon == bare.nu == 0
    for name in ("jnt_type", "jnt_limited", "jnt_qposadr", "body_parentid"):
        np.testing.assert_array_equal(getattr(bare, name), getattr(full, name), err_msg=name)
    limited = full.jnt_limited.astype(bool)
    np.testing.assert_allclose(bare.jnt_range[limited], full.jnt_range[limited], atol=1e-12)
    np.testing.assert_allclose(bare.qpos0[NROOT:], full.qpos0[NROOT:], atol=1e-12)
    ours, theirs = mujoco.MjData(bare), mujoco.MjData(full)
    for qpos in body.reduced_hands.expand(random_configurations(body.reduced_hands, 5, seed=25)):
        for model, data in ((bare, ours), (full, theirs)):
            data.qpos[:] = qpos
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_makeConstraint(model, data)
        np.testing.assert_allclose(ours.xpos, theirs.xpos, atol=1e-12)
        np.testing.assert_allclose(ours.xmat, theirs.xmat, atol=1e-12)
        np.testing.assert_allclose(ours.subtree_com[1], theirs.subtree_com[1], atol=1e-9)
        assert ours.ne == 51
        assert np.abs(ours.efc_pos[: ours.ne]).max() < 1e-12
    fingerless = bare_tree(full, without=frozenset(FINGER_JOINTS))
    assert (fingerless.nq, fingerless.nv, fingerless.neq) == (89, 88, 51)


@pytest.mark.parametrize("array", ["jnt_range", "eq_data", "body_pos", "geom_size", "actuator_gainprm"])
def test_hash_depends_on_the_body(body: TargetBody, array: str) -> None:
    other = copy.copy(body.model)
    assert model_hash(other) == body.sha256
    assert len(body.sha256) == 64
    getattr(other, array)[5, 0] += 1e-9
    assert model_hash(other) != body.sha256


def test_foot_of_another_shape_is_refused(body: TargetBody) -> None:
    other = copy.copy(body.model)
    other.geom_type[other.geom("r_foot_col1").id] = mujoco.mjtGeom.mjGEOM_BOX
    with pytest.raises(TargetError, match=r"r_foot_col1.* is neither capsule nor ellipsoid"):
        find_sole(other, body.contact_parts)
