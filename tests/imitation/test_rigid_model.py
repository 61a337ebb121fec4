"""Computed dynamics of the world model: the same equation of motion, constraints and control steps as in MuJoCo."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from musclemap.errors import SettingsError
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.task.frames import heading
from musclemap.imitation.world_model.constraints import FloorContacts, JointLimits
from musclemap.imitation.world_model.coordinates import Mirror, ModelState, WorldModelCoordinates
from musclemap.imitation.world_model.rigid_body import RigidBody, RigidBodyTerms
from musclemap.imitation.world_model.rigid_step import RigidDynamics, solve_positive
from musclemap.imitation.world_model.tendons import TendonConfig, TendonError, Tendons, TendonWeights, fit_tendons
from musclemap.imitation.world_model.world_model import Dynamics, ModelConfig, WorldModel, change_std

WIDTH = 2


def no_muscles(body: SimulationBody) -> Tendons:
    """Muscles that cross no joint."""
    nu, njoint = body.model.nu, len(body.joint_ids)
    weights = TendonWeights(
        *map(jnp.zeros, ((nu, WIDTH, 1), (nu, WIDTH), (nu, WIDTH, WIDTH), (nu, WIDTH), (nu, WIDTH), nu))
    )
    zero = np.zeros(nu)
    return Tendons(
        joints=np.zeros((nu, 1), np.int32), mask=np.zeros((nu, 1)), middle=np.zeros(njoint), half=np.ones(njoint),
        mean=np.ones(nu), scale=np.ones(nu), weights=weights, error=TendonError(zero, zero, zero), torque_error=0.0,
    )  # fmt: skip


def sample(coordinates: WorldModelCoordinates, count: int, *, centre: float = 1.0) -> tuple[jax.Array, jax.Array]:
    """Random states with joints in the inner part of their ranges, of relative width `centre`, with any orientation."""
    rng = np.random.default_rng(5)
    middle, half = 0.5 * (coordinates.lower + coordinates.upper), 0.5 * (coordinates.upper - coordinates.lower)
    joints = middle + centre * half * rng.uniform(-1, 1, (count, coordinates.njoint))
    quat = rng.standard_normal((count, 4))
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    root = np.concatenate([rng.normal(0, 1, (count, 3)), quat], axis=1)
    q = np.concatenate([root, joints], axis=1) if coordinates.free else joints
    return jnp.asarray(q, jnp.float32), jnp.asarray(rng.normal(0, 1, (count, coordinates.nvelocity)), jnp.float32)


def full_per_reduced(
    coordinates: WorldModelCoordinates, terms: RigidBodyTerms, quat: jax.Array, q: jax.Array, k: int
) -> np.ndarray:
    """MuJoCo's velocities per unit velocity in the axes of the heading frame, shape (nv, nvelocity)."""
    reduced, nroot = coordinates.reduced, coordinates.nvelocity - coordinates.njoint
    matrix = np.zeros((reduced.model.nv, coordinates.nvelocity))
    matrix[reduced.moved_dof, nroot + reduced.moved_driver] = terms.slope[k]
    if coordinates.free:
        rotation = np.zeros((2, 9))
        mujoco.mju_quat2Mat(rotation[0], np.asarray(heading(q[k, 3:7]), np.float64))
        mujoco.mju_quat2Mat(rotation[1], np.asarray(quat[k], np.float64))
        matrix[:3, :3], matrix[3:6, 3:6] = rotation[0].reshape(3, 3), rotation[1].reshape(3, 3).T
    return matrix


@pytest.mark.parametrize("name", ["arm", "human"])
def test_mass_matrix_and_bias_force_match_mujoco(name: str, request: pytest.FixtureRequest) -> None:
    body: SimulationBody = request.getfixturevalue(name)
    coordinates, model = WorldModelCoordinates(body), body.model
    rigid = RigidBody(body, coordinates.reduced, FloorContacts(body).bodies)
    q, velocity = sample(coordinates, 4)
    quat, turned = rigid.in_heading_frame(q, velocity) if body.free else (q, velocity)
    terms = jax.jit(rigid.terms)(quat, coordinates.joints(q), turned)
    qpos, qvel = (np.asarray(array, np.float64) for array in coordinates.expand(q, velocity))
    slope = lambda joints: coordinates.reduced.moved_joints(np.asarray(joints, np.float64))[1]  # noqa: E731
    rates, step = np.asarray(coordinates.joint_velocities(velocity), np.float64), 1e-4
    joints = np.asarray(coordinates.joints(q), np.float64)
    slope_rate = (slope(joints + step * rates) - slope(joints - step * rates)) / (2 * step)
    data, mass = mujoco.MjData(model), np.zeros((model.nv, model.nv))
    for k in range(len(q)):
        data.qpos, data.qvel = qpos[k], qvel[k]
        mujoco.mj_forward(model, data)
        mujoco.mj_fullM(model, data, mass)
        full = full_per_reduced(coordinates, terms, quat, q, k)
        expected = full.T @ mass @ full
        size = np.sqrt(np.diag(expected))
        np.testing.assert_allclose(terms.mass[k] / np.outer(size, size), expected / np.outer(size, size), atol=5e-5)
        curved = np.zeros(model.nv)
        curved[coordinates.reduced.moved_dof] = slope_rate[k] * rates[k, coordinates.reduced.moved_driver]
        bias = full.T @ (data.qfrc_bias + mass @ curved)
        np.testing.assert_allclose(terms.bias[k], bias, atol=2e-4 * np.abs(bias).max())


def test_the_mass_matrix_does_not_depend_on_the_batch(human: SimulationBody) -> None:
    """A product of two axes over a large batch was once wrong: XLA's CPU backend returned indefinite matrices."""
    coordinates = WorldModelCoordinates(human)
    rigid = RigidBody(human, coordinates.reduced, np.zeros(0, int))
    q, velocity = sample(coordinates, 512)
    mass = jax.jit(lambda q, v: rigid.terms(q[:, 3:7], coordinates.joints(q), v).mass)
    parts = jnp.concatenate([mass(q[k : k + 64], velocity[k : k + 64]) for k in range(0, 512, 64)])
    np.testing.assert_allclose(mass(q, velocity), parts, atol=1e-4)


def mujoco_step(body: SimulationBody, qpos: np.ndarray, qvel: np.ndarray, *disable: int) -> tuple[np.ndarray, ...]:
    """One control step of MuJoCo without muscles and with features disabled."""
    model = body.model
    flags = model.opt.disableflags
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_ACTUATION) | sum(map(int, disable))
    data, results = mujoco.MjData(model), []
    for row, rates in zip(qpos, qvel, strict=True):
        mujoco.mj_resetData(model, data)
        data.qpos, data.qvel = row, rates
        for _ in range(body.nsubstep):
            mujoco.mj_step(model, data)
        results.append((data.qpos.copy(), data.qvel.copy()))
    model.opt.disableflags = flags
    return tuple(np.stack(part) for part in zip(*results, strict=True))


def computed_step(body: SimulationBody, q: jax.Array, velocity: jax.Array, *, linear: bool = False) -> ModelState:
    """One control step without muscles."""
    coordinates = WorldModelCoordinates(body)
    dynamics = RigidDynamics(body, coordinates, no_muscles(body))

    @jax.jit
    def step(q: jax.Array, velocity: jax.Array) -> ModelState:
        rest = jnp.zeros((len(q), body.model.nu))
        terms = dynamics.prepare(q, velocity, linear=linear)
        return dynamics.step(terms, q, rest, rest, jnp.zeros_like(velocity))

    return step(q, velocity)


def test_a_falling_body_moves_as_in_mujoco(human: SimulationBody) -> None:
    """In the air, joints within their ranges. MuJoCo's couplings are soft, so the light links of its shoulders lag."""
    coordinates = WorldModelCoordinates(human)
    q, velocity = sample(coordinates, 8, centre=0.6)
    q = q.at[:, 2].set(5.0)
    result = computed_step(human, q, velocity)
    qpos, qvel = (np.asarray(array, np.float64) for array in coordinates.expand(q, velocity))
    after = mujoco_step(human, qpos, qvel, int(mujoco.mjtDisableBit.mjDSBL_CONTACT))
    expected = coordinates.reduce(*(jnp.asarray(array, jnp.float32) for array in after))
    arm_joints = ("elv_angle", "shoulder", "elbow", "pro_sup", "deviation", "flexion_")
    legs_and_trunk = [k for k, n in enumerate(coordinates.reduced.joint_names) if not n.startswith(arm_joints)]
    columns = np.array([*range(6), *(6 + k for k in legs_and_trunk)])
    change, error = (
        np.asarray(difference)[:, columns] for difference in (expected[1] - velocity, result.velocity - expected[1])
    )
    assert np.sqrt(np.mean(error**2)) < 0.1 * np.sqrt(np.mean(change**2))
    np.testing.assert_allclose(result.q[:, :3], expected[0][:, :3], atol=3e-4)


def test_the_small_arm_moves_as_in_mujoco_also_at_its_limits(arm: SimulationBody) -> None:
    """It has no couplings, so nothing but the terms that are constant during a step differs."""
    coordinates = WorldModelCoordinates(arm)
    q, velocity = sample(coordinates, 16, centre=1.05)
    result = computed_step(arm, q, velocity)
    qpos, qvel = (np.asarray(array, np.float64) for array in coordinates.expand(q, velocity))
    expected_qpos, expected_qvel = mujoco_step(arm, qpos, qvel)
    change = np.sqrt(np.mean((expected_qvel - qvel) ** 2))
    assert np.sqrt(np.mean((result.velocity - expected_qvel) ** 2)) < 0.02 * change
    np.testing.assert_allclose(result.q, expected_qpos, atol=5e-4)


def test_limits_and_contacts_are_mujocos_constraint_rows(human: SimulationBody) -> None:
    """Weight and target of every active row, in a posture with knees beyond their limit and soles below the ground."""
    coordinates, model = WorldModelCoordinates(human), human.model
    reduced, floor, limits = coordinates.reduced, FloorContacts(human), JointLimits(coordinates.reduced)
    q, velocity = sample(coordinates, 1, centre=0.1)
    standing = np.array([0.0, 0.0, 0.93, 1.0, 0.0, 0.0, 0.0])
    inside = 0.05 * (coordinates.upper - coordinates.lower)
    joints = np.clip(np.zeros(coordinates.njoint), coordinates.lower + inside, coordinates.upper - inside)
    joints[list(reduced.joint_names).index("knee_angle_r")] = -0.02
    q = jnp.asarray(np.concatenate([standing, joints]), jnp.float32)[None]
    qpos, qvel = (np.asarray(array, np.float64) for array in coordinates.expand(q, velocity))
    data = mujoco.MjData(model)
    data.qpos, data.qvel = qpos[0], qvel[0]
    mujoco.mj_forward(model, data)
    value, slope = reduced.moved_joints(coordinates.joints(q))
    rates = slope * coordinates.joint_velocities(velocity)[:, reduced.moved_driver]
    weight, target, _ = limits.rows(value[:, limits.column], rates[:, limits.column])
    limited = data.efc_type == mujoco.mjtConstraint.mjCNSTR_LIMIT_JOINT
    rows = [int(np.flatnonzero(reduced.moved[limits.column] == j)[0]) for j in data.efc_id[limited]]
    np.testing.assert_allclose(weight[0, rows], data.efc_D[limited], rtol=1e-2)
    np.testing.assert_allclose(target[0, rows], data.efc_aref[limited], rtol=1e-2, atol=0.05)
    assert int((weight > 0).sum()) == limited.sum() > 0

    rigid = RigidBody(human, reduced, floor.bodies)
    quat, turned = rigid.in_heading_frame(q, velocity)
    terms = rigid.terms(quat, coordinates.joints(q), turned)
    points = floor.points(terms.point_pos, terms.point_rot, q[:, 2])
    twist = jnp.einsum("nbid,nd->nbi", terms.jacobian, turned)
    motion = jnp.einsum("npij,pb,nbj->npi", points.motion, floor.carrier, twist)
    weight, target = floor.rows(points.height, motion)
    feet = [c for c in data.contact if set(c.geom) & {g for part in human.contact_geoms for g in part} and 0 in c.geom]
    assert int((weight > 0).sum()) == len(feet) > 4
    active = np.flatnonzero(weight[0, :, 0] > 0)
    order = active[np.argsort(points.height[0, active])]
    for point, contact in zip(order, sorted(feet, key=lambda c: c.dist), strict=True):
        row = slice(contact.efc_address, contact.efc_address + 4)
        assert points.height[0, point] == pytest.approx(contact.dist, abs=1e-5)
        np.testing.assert_allclose(weight[0, point, 0], data.efc_D[row], rtol=2e-2)
        # MuJoCo turns the tangential directions of ellipsoids otherwise.
        split = normal_and_tangential
        np.testing.assert_allclose(split(target[0, point]), split(data.efc_aref[row]), rtol=2e-2, atol=0.5)


def normal_and_tangential(edges: jax.Array | np.ndarray) -> tuple[float, float]:
    """Normal part, and size of the tangential part, of values at the four edges of a pyramid."""
    values = np.asarray(edges, np.float64)
    return values.mean(), float(np.hypot(values[0] - values[1], values[2] - values[3]) / 2)


def with_random_network(model: WorldModel) -> Dynamics:
    """Parameters whose network predicts something."""
    dynamics = model.init(jax.random.PRNGKey(0))
    width = dynamics.params["w1"].shape
    params = dynamics.params | {"w1": 0.3 * jax.random.normal(jax.random.PRNGKey(1), width)}
    return dynamics._replace(params=params)


def test_a_mirrored_state_has_the_mirrored_correction(human: SimulationBody) -> None:
    model = WorldModel(human, ModelConfig(variant="rigid", hidden=(16,)), no_muscles(human))
    dynamics, mirror = with_random_network(model), Mirror(model.coordinates.reduced)
    q, velocity = sample(model.coordinates, 5, centre=0.5)
    torque = jax.random.normal(jax.random.PRNGKey(2), (5, model.coordinates.njoint))
    features = jnp.concatenate([model.coordinates.dynamics_features(q, velocity), torque], axis=1)
    mirrored = features[:, mirror.feature_twin] * mirror.feature_sign
    np.testing.assert_allclose(mirrored[:, mirror.feature_twin] * mirror.feature_sign, features)
    correction, other = model.correction(dynamics, features), model.correction(dynamics, mirrored)
    np.testing.assert_allclose(other, correction[:, mirror.velocity_twin] * mirror.velocity_sign, atol=1e-5)
    assert float(jnp.abs(correction).max()) > 0.01


def test_a_mirrored_state_makes_the_mirrored_step(human: SimulationBody) -> None:
    """The body's own sides differ by fractions of a millimetre."""
    coordinates, mirror = WorldModelCoordinates(human), Mirror(WorldModelCoordinates(human).reduced)
    q, velocity = sample(coordinates, 6, centre=0.5)
    q = q.at[:, 2].set(5.0).at[:, :2].set(0.0)
    flip = jnp.array([1.0, 1.0, -1.0, -1.0])  # a rotation axis is an axial vector
    joints = mirror.velocity_twin[6:] - 6
    other_q = jnp.concatenate(
        [q[:, :3] * jnp.array([-1.0, 1.0, 1.0]), q[:, 3:7] * flip, q[:, 7:][:, joints] * mirror.velocity_sign[6:]],
        axis=1,
    )
    result = computed_step(human, q, velocity)
    other = computed_step(human, other_q, velocity[:, mirror.velocity_twin] * mirror.velocity_sign)
    change = np.asarray(result.velocity - velocity)
    error = np.asarray(other.velocity)[:, mirror.velocity_twin] * mirror.velocity_sign - np.asarray(result.velocity)
    assert np.sqrt(np.mean(error**2)) < 0.05 * np.sqrt(np.mean(change**2))


def test_an_untrained_model_predicts_the_computed_step(human: SimulationBody) -> None:
    tendons = no_muscles(human)
    model = WorldModel(human, ModelConfig(variant="rigid", hidden=(16,)), tendons)
    q, velocity = sample(model.coordinates, 3, centre=0.5)
    state, rest = ModelState(q, velocity, jnp.zeros((3, human.model.nu))), jnp.zeros((3, human.model.nu))
    result = jax.jit(model.step)(model.init(jax.random.PRNGKey(0)), state, rest)
    expected = computed_step(human, q, velocity)
    np.testing.assert_allclose(result.q, expected.q, atol=1e-5)
    np.testing.assert_allclose(result.velocity, expected.velocity, atol=1e-3)


def test_gradients_are_finite_and_the_linear_ones_similar(human: SimulationBody) -> None:
    """On the ground, beyond limits, and at rest."""
    model = WorldModel(human, ModelConfig(variant="rigid", hidden=(16,)), no_muscles(human))
    dynamics = with_random_network(model)
    q, velocity = sample(model.coordinates, 4, centre=1.1)
    standing = jnp.array([0.0, 0.0, 0.94, 1.0, 0.0, 0.0, 0.0])
    q = q.at[:2, :7].set(standing).at[0, 7:].set(0.0)
    velocity = velocity.at[0].set(0.0)
    rest = jnp.zeros((4, human.model.nu))

    def size(dynamics: Dynamics, q: jax.Array, velocity: jax.Array, linear: bool) -> jax.Array:
        state = model.step(dynamics, ModelState(q, velocity, rest), rest, linear=linear)
        return jnp.sum(state.velocity**2) + jnp.sum(state.q**2)

    gradient = jax.jit(jax.grad(size, argnums=(0, 1, 2), allow_int=True), static_argnums=3)
    exact, linear = gradient(dynamics, q, velocity, False), gradient(dynamics, q, velocity, True)
    for leaf in jax.tree.leaves((exact[0].params, exact[1:], linear[0].params, linear[1:])):
        assert np.isfinite(leaf).all()
    for name, weight in exact[0].params.items():  # the network of one step does not act through the approximation
        np.testing.assert_allclose(linear[0].params[name], weight, rtol=1e-3, atol=1e-3 * float(jnp.abs(weight).max()))


def test_the_derivative_of_a_solution() -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 4, 4))
    matrix, rhs = jnp.asarray(root @ root.transpose(0, 2, 1) + 4 * np.eye(4)), jnp.asarray(rng.standard_normal((3, 4)))
    np.testing.assert_allclose(jnp.einsum("nij,nj->ni", matrix, solve_positive(matrix, rhs)), rhs, rtol=1e-5, atol=1e-5)
    loss = lambda solve: lambda m, r: jnp.sum(solve(m, r) ** 3)  # noqa: E731
    result = jax.grad(loss(solve_positive), argnums=(0, 1))(matrix, rhs)
    general = lambda m, r: jnp.linalg.solve(m, r[..., None])[..., 0]  # noqa: E731
    for a, b in zip(result, jax.grad(loss(general), argnums=(0, 1))(matrix, rhs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_short_fit_corrects_what_is_not_computed(arm: SimulationBody) -> None:
    """The true arm has twice the damping of the model."""
    tendons = fit_tendons(arm, TendonConfig(num_samples=300, gradient_steps=50, hidden=4))
    model = WorldModel(arm, ModelConfig(variant="rigid", hidden=(32,), learning_rate=3e-3), tendons)
    truth = RigidDynamics(arm, model.coordinates, tendons)
    truth._damping = 2.0 * truth._damping
    q, velocity = sample(model.coordinates, 256, centre=0.8)
    act = ctrl = jnp.full((256, arm.model.nu), 0.2)
    after = truth.step(truth.prepare(q, velocity), q, act, ctrl, jnp.zeros_like(velocity))
    start, true = ModelState(q, velocity, act), ModelState(after.q[None], after.velocity[None], act[None])
    valid = jnp.ones((1, 256))
    dynamics = model.update_normalisers(
        model.init(jax.random.PRNGKey(0)), start, ctrl, ModelState(after.q, after.velocity, act), valid[0]
    )

    @jax.jit
    def descend(dynamics: Dynamics) -> tuple[Dynamics, jax.Array]:
        loss = lambda params: model.loss(dynamics._replace(params=params), start, ctrl[None], true, valid)  # noqa: E731
        value, grad = jax.value_and_grad(loss)(dynamics.params)
        return dynamics._replace(params=jax.tree.map(lambda p, g: p - 0.1 * g, dynamics.params, grad)), value

    losses = []
    for _ in range(60):
        dynamics, value = descend(dynamics)
        losses.append(float(value))
    assert losses[-1] < 0.5 * losses[0]
    assert change_std(dynamics).shape == (2,)


def test_a_rigid_model_needs_muscle_lengths(arm: SimulationBody) -> None:
    with pytest.raises(SettingsError, match="rigid and grey models need fitted muscle lengths"):
        WorldModel(arm, ModelConfig(variant="rigid"), None)
    with pytest.raises(SettingsError, match="a plain one must not have them"):
        WorldModel(arm, replace(ModelConfig(), variant="plain"), no_muscles(arm))
