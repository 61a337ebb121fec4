"""Physics of the checks: MuJoCo C against its inverse dynamics, MuJoCo Warp against MuJoCo C; static optimisation."""

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.optimize import lsq_linear

from musclemap.datasets.clip import Clip
from musclemap.retarget.checks.inverse_dynamics import (
    GRAVITY,
    GroundReactionSolver,
    filtered_motion,
)
from musclemap.retarget.checks.muscle_optimisation import MuscleOptimizer, muscle_demand
from musclemap.retarget.checks.physics_checks import FramePhysics, MujocoPhysics
from musclemap.retarget.checks.validator import UNFILTERED_CUTOFF, Validator
from musclemap.retarget.checks.warp_physics import WarpPhysics
from musclemap.retarget.config import ValidationConfig
from musclemap.retarget.forces.bounded_least_squares import bounded_least_squares
from musclemap.retarget.forces.required_forces import required_forces
from musclemap.retarget.forces.roll_over import roll_over
from musclemap.skeletons.body import TargetBody

from ..support.configurations import on_the_ground, standing

FRAMES = slice(90, 114)


def motion(clip: Clip) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    qvel, qacc = filtered_motion(clip.qpos, clip.fps, UNFILTERED_CUTOFF)
    return clip.qpos[FRAMES].astype(np.float64), qvel[FRAMES], qacc[FRAMES]


@pytest.fixture(scope="module")
def physics(body: TargetBody, walk_clip: Clip) -> FramePhysics:
    return MujocoPhysics(body).evaluate(*motion(walk_clip), muscles=True)


def test_forces_equal_those_of_mujocos_inverse_dynamics(
    body: TargetBody, walk_clip: Clip, physics: FramePhysics
) -> None:
    qpos, qvel, qacc = motion(walk_clip)
    model, data = body.model, mujoco.MjData(body.model)
    slope = np.zeros(model.nv)
    for t in (0, 7, 23):
        data.qpos[:], data.qvel[:], data.qacc[:] = qpos[t], qvel[t], qacc[t]
        mujoco.mj_inverse(model, data)
        force = data.qfrc_inverse + data.qfrc_constraint  # force required without constraints
        np.testing.assert_allclose(physics.wrench[t, :3], force[:3], atol=1e-6)
        torque_w = data.xmat[model.jnt_bodyid[0]].reshape(3, 3) @ force[3:6]
        np.testing.assert_allclose(physics.wrench[t, 3:], torque_w, atol=1e-6)
        # Virtual work of the independent knee, with its driven joints moving.
        q = body.reduced.reduce(qpos[t : t + 1]).repeat(2, axis=0)
        k = body.reduced.index("knee_angle_r")
        q[:, 7 + k] += [-1e-5, 1e-5]
        around = body.reduced.expand(q)
        mujoco.mj_differentiatePos(model, slope, 2e-5, around[0], around[1])
        assert physics.torque[t, k] == pytest.approx(slope @ force, abs=1e-3)


def test_moment_arms_are_derivatives_of_muscle_lengths(
    body: TargetBody, walk_clip: Clip, physics: FramePhysics
) -> None:
    """By central differences of independent joints, with their driven joints moving."""
    assert physics.muscles is not None
    qpos, step = motion(walk_clip)[0], 1e-4
    for name in ("knee_angle_r", "shoulder_elv_l", "flex_extension", "ankle_angle_r"):
        k = body.reduced.index(name)
        q = body.reduced.reduce(qpos[5:6]).repeat(2, axis=0)
        q[:, 7 + k] += [-step, step]
        zero = np.zeros((2, body.model.nv))
        around = MujocoPhysics(body, threads=1).evaluate(body.reduced.expand(q), zero, zero).muscle_length
        slope = (around[1].astype(float) - around[0]) / (2 * step)
        np.testing.assert_allclose(physics.muscles.moment[5, :, k], slope, atol=5e-4)


def test_threads_and_chunks_do_not_change_the_results(body: TargetBody, walk_clip: Clip) -> None:
    parts = [np.tile(a, (30, 1)) for a in motion(walk_clip)]  # more frames than one thread evaluates at a time
    one, two = (MujocoPhysics(body, threads=n).evaluate(*parts) for n in (1, 3))
    for name in ("lowest", "muscle_length", "wrench", "torque", "contact_frame", "contact_dist"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_warp_agrees_with_mujoco_c(body: TargetBody, walk_clip: Clip, capfd: pytest.CaptureFixture[str]) -> None:
    """On the CPU, with self-collisions and a batch size that does not divide the number of frames."""
    qpos, qvel, qacc = motion(walk_clip)
    q = body.reduced.reduce(qpos)
    for side in "rl":  # thighs overlap
        for name, angle in (("hip_flexion", 0.2), ("hip_adduction", 0.5), ("hip_rotation", 0.0), ("knee_angle", 0.2)):
            q[3:6, 7 + body.reduced.index(f"{name}_{side}")] = angle
    qpos = body.reduced.expand(q)
    by_c = MujocoPhysics(body).evaluate(qpos, qvel, qacc, muscles=True)
    engine = WarpPhysics(body, nworld=9, device="cpu")
    by_warp = engine.evaluate(qpos, qvel, qacc, muscles=True)
    assert capfd.readouterr().out == ""  # commands print JSON to stdout
    assert by_c.muscles is not None
    assert by_warp.muscles is not None
    np.testing.assert_allclose(by_warp.lowest, by_c.lowest, atol=1e-4)
    np.testing.assert_allclose(by_warp.muscle_length, by_c.muscle_length, atol=1e-4)
    np.testing.assert_allclose(by_warp.wrench, by_c.wrench, atol=0.01 * np.abs(by_c.wrench).max())
    np.testing.assert_allclose(by_warp.torque, by_c.torque, atol=0.01 * np.abs(by_c.torque).max())
    np.testing.assert_allclose(by_warp.muscles.active, by_c.muscles.active, rtol=0.01, atol=0.5)
    np.testing.assert_allclose(by_warp.muscles.passive, by_c.muscles.passive, rtol=0.01, atol=0.5)
    np.testing.assert_allclose(by_warp.muscles.moment, by_c.muscles.moment, atol=1e-4)
    assert len(by_c.contact_dist)

    def deepest(physics: FramePhysics) -> dict[tuple[int, int, int], float]:
        contacts = zip(physics.contact_frame, physics.contact_geoms, physics.contact_dist, strict=True)
        return {(int(t), int(a), int(b)): float(d) for t, (a, b), d in contacts if d < -1e-4}

    a, b = deepest(by_c), deepest(by_warp)
    assert a.keys() == b.keys()
    assert max(abs(a[key] - b[key]) for key in a) < 1e-4
    assert not by_warp.overflow.any()

    part = walk_clip.frames(FRAMES)
    metrics_c, metrics_warp = (
        Validator(body, ValidationConfig(), physics=p).check(part).metrics for p in (None, engine)
    )
    assert metrics_c.keys() == metrics_warp.keys()
    for name, value in metrics_c.items():
        tolerance = 0.1 if name.endswith("_mm") else 1e-4  # 0.1 mm or 0.1 mrad
        assert metrics_warp[name] == pytest.approx(value, rel=0.01, abs=tolerance), name


def test_warp_reports_overflow_of_contacts(body: TargetBody, walk_clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musclemap.retarget.checks.warp_physics.CONTACTS_PER_WORLD", 2)
    qpos, qvel, qacc = motion(walk_clip)
    q = body.reduced.reduce(qpos)
    q[:, 2] -= 0.2
    qpos = body.reduced.expand(q)
    assert WarpPhysics(body, nworld=9, device="cpu").evaluate(qpos[:9], qvel[:9], qacc[:9]).overflow.any()


@pytest.mark.parametrize(("rows", "columns", "upper"), [(6, 128, np.inf), (31, 416, 1.0)])
def test_bounded_least_squares_against_scipy(rows: int, columns: int, upper: float) -> None:
    rng = np.random.default_rng(rows)
    a = (
        rng.normal(size=(8, rows, columns))
        * (rng.random((8, rows, columns)) < 0.3)
        * rng.uniform(1, 50, (8, 1, columns))
    )
    b = rng.normal(size=(8, rows)) * rng.choice([1.0, 100.0, 3000.0], (8, 1))
    single = jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)
    x = np.asarray(bounded_least_squares(*single, weight=1.0, upper=upper), np.float64)
    assert (x >= 0).all()
    assert (x <= upper).all()
    for k in range(8):
        cost = lambda v, k=k: 0.5 * v @ v + 0.5 * np.sum((a[k] @ v - b[k]) ** 2)  # noqa: E731
        stacked, expected = np.vstack([a[k], np.eye(columns)]), np.concatenate([b[k], np.zeros(columns)])
        best = lsq_linear(stacked, expected, bounds=(0.0, upper), tol=1e-12).x
        assert cost(x[k]) <= 1.002 * cost(best) + 1e-6


def test_the_ground_carries_a_standing_body(body: TargetBody) -> None:
    """The ground carries all of the weight, and the joints feel it; without contact it carries nothing."""
    q = np.tile(standing(body.reduced), (5, 1))
    for name in ("hip_flexion_r", "hip_flexion_l", "knee_angle_r", "knee_angle_l"):
        q[:, 7 + body.reduced.index(name)] = 0.0  # in balance
    qpos = on_the_ground(body, q)
    zero = np.zeros((5, body.model.nv))
    physics, required = MujocoPhysics(body).evaluate(qpos, zero, zero), required_forces(body, qpos, 100.0)
    solver = GroundReactionSolver(body, friction=0.8, force_weight=100.0)
    load = np.zeros((5, len(body.support_parts)))
    load[:, :2] = 1.0
    rolling = roll_over(body.support, required.points, load > 0, required.com, 100.0)
    ground = solver(physics, qpos, required.points, load, rolling)
    weight = body.mass * GRAVITY
    np.testing.assert_allclose(ground.force.sum(axis=1)[:, 2], weight, rtol=0.01)
    assert np.linalg.norm(ground.residual_force, axis=1).max() < 0.02 * weight
    airborne = solver(physics, qpos, required.points, np.zeros_like(load), rolling)
    np.testing.assert_allclose(airborne.residual_force, physics.wrench[:, :3])
    np.testing.assert_array_equal(airborne.torque, physics.torque)
    # Virtual work: turning the right ankle moves the point at which the ground pushes.
    ankle, model = body.reduced.index("ankle_angle_r"), body.kinematic_model
    data, places = mujoco.MjData(model), []
    for turn in (-1e-4, 1e-4):
        turned = q[:1].copy()
        turned[:, :3] = qpos[:1, :3]
        turned[:, 7 + ankle] += turn
        data.qpos[:] = body.reduced.expand(turned)[0]
        mujoco.mj_kinematics(model, data)
        foot = model.body("calcn_r").id
        places.append((data.xpos[foot].copy(), data.xmat[foot].reshape(3, 3).copy()))
    (before, rot_before), (after, rot_after) = places
    middle = 0.5 * (before + after)
    point = ground.centre[0, 1] - middle
    velocity = ((after + rot_after @ rot_before.T @ point) - (before + point)) / 2e-4
    moment = airborne.torque[0, ankle] - ground.torque[0, ankle]
    assert moment == pytest.approx(velocity @ ground.force[0, 1], rel=0.05, abs=1.0)


def test_activations_reproduce_the_torques(body: TargetBody, physics: FramePhysics) -> None:
    """Torques of known activations are reproduced with no larger sum of squares; excessive torques leave a residual."""
    muscles = physics.muscles
    assert muscles is not None
    rng = np.random.default_rng(0)
    constant = np.where(rng.random(body.model.nu) < 0.3, rng.random(body.model.nu) * 0.5, 0.0)
    activation = np.tile(constant, (len(muscles.active), 1))  # constant, thus reachable
    force = muscles.passive + muscles.active * activation
    torque = np.einsum("tij,ti->tj", muscles.moment, force)
    optimizer = MuscleOptimizer(body.model, cost="activation")
    optimization = optimizer(muscle_demand(muscles, torque), fps=100.0)
    assert np.abs(optimization.residual).max() < 0.5
    assert (optimization.activation**2).sum() <= 1.02 * (activation**2).sum()
    knee = body.reduced.index("knee_angle_r")
    torque[:, knee] -= 5000.0
    assert optimizer(muscle_demand(muscles, torque), fps=100.0).residual[:, knee].max() < -1000.0
