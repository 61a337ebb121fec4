"""Reduced coordinates in JAX: the same configurations, steps and landmarks as in MuJoCo."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.task.frames import multiply
from musclemap.imitation.task.reference import Reference, make_library
from musclemap.imitation.world_model.coordinates import WorldModelCoordinates


@pytest.fixture(scope="module")
def walk(human: SimulationBody, walk_clip: Clip) -> Reference:
    return make_library([("walk", walk_clip)], human, resting=0.1).reference


def sample(coordinates: WorldModelCoordinates, count: int) -> tuple[jax.Array, jax.Array]:
    """Random configurations over the whole joint ranges with any orientation, and velocities of some rad/s."""
    rng = np.random.default_rng(3)
    joints = rng.uniform(coordinates.lower, coordinates.upper, (count, coordinates.njoint))
    quat = rng.standard_normal((count, 4))
    root = np.concatenate([rng.normal(0, 1, (count, 3)), quat / np.linalg.norm(quat, axis=1, keepdims=True)], axis=1)
    q = np.concatenate([root, joints], axis=1) if coordinates.free else joints
    velocity = rng.normal(0, 2, (count, coordinates.nvelocity))
    return jnp.asarray(q, jnp.float32), jnp.asarray(velocity, jnp.float32)


def test_widths(human: SimulationBody, arm: SimulationBody) -> None:
    assert (WorldModelCoordinates(human).nconfiguration, WorldModelCoordinates(human).nvelocity) == (38, 37)
    free = load_simulation_body("MyoFullBody", PhysicsConfig(hands="free"))
    assert (WorldModelCoordinates(free).nconfiguration, WorldModelCoordinates(free).nvelocity) == (78, 77)
    assert (
        WorldModelCoordinates(arm).nconfiguration,
        WorldModelCoordinates(arm).nvelocity,
        WorldModelCoordinates(arm).free,
    ) == (2, 2, False)


def test_reduce_inverts_expand_and_the_couplings_hold(human: SimulationBody) -> None:
    coordinates = WorldModelCoordinates(human)
    configuration, velocity = sample(coordinates, 8)
    qpos, qvel = coordinates.expand(configuration, velocity)
    for result, expected in zip(coordinates.reduce(qpos, qvel), (configuration, velocity), strict=True):
        np.testing.assert_allclose(result, expected, atol=1e-6)
    data = mujoco.MjData(human.model)
    for q, v in zip(np.asarray(qpos, np.float64), np.asarray(qvel, np.float64), strict=True):
        data.qpos, data.qvel = q, v
        mujoco.mj_forward(human.model, data)
        coupled = data.efc_type == mujoco.mjtConstraint.mjCNSTR_EQUALITY
        np.testing.assert_allclose(data.efc_pos[coupled], 0.0, atol=2e-5)
        np.testing.assert_allclose(data.efc_vel[coupled], 0.0, atol=1e-4)  # driven joints follow their drivers


def test_a_clip_is_representable_in_reduced_coordinates(human: SimulationBody, walk: Reference) -> None:
    coordinates = WorldModelCoordinates(human)
    qpos, qvel = coordinates.expand(*coordinates.reduce(walk.qpos, walk.qvel))
    np.testing.assert_allclose(qpos, walk.qpos, atol=2e-5)
    np.testing.assert_allclose(qvel[1:-1], walk.qvel[1:-1], atol=5e-2)  # a clip's velocities are finite differences


@pytest.mark.parametrize("name", ["arm", "human"])
def test_landmark_motion_matches_mujoco(name: str, request: pytest.FixtureRequest) -> None:
    body: SimulationBody = request.getfixturevalue(name)
    coordinates = WorldModelCoordinates(body)
    q, velocity = sample(coordinates, 6)
    qpos, qvel = coordinates.expand(q, velocity)
    motion = jax.jit(coordinates.landmarks)(q, velocity)
    data, speed = mujoco.MjData(body.model), np.zeros(6)
    for k in range(6):
        data.qpos, data.qvel = np.asarray(qpos[k], np.float64), np.asarray(qvel[k], np.float64)
        mujoco.mj_kinematics(body.model, data)
        mujoco.mj_comPos(body.model, data)
        mujoco.mj_comVel(body.model, data)
        for landmark, number in enumerate(body.landmark_ids):
            mujoco.mj_objectVelocity(body.model, data, mujoco.mjtObj.mjOBJ_XBODY, number, speed, 0)
            np.testing.assert_allclose(motion.xpos[k, landmark], data.xpos[number], atol=1e-5)
            np.testing.assert_allclose(motion.linvel[k, landmark], speed[3:], atol=2e-4)


def test_integration_of_linearly_changing_velocities_matches_mujoco(human: SimulationBody) -> None:
    """Five semi-implicit steps, each with its final velocity."""
    coordinates = WorldModelCoordinates(human)
    q, before = sample(coordinates, 4)
    after = before + jnp.asarray(np.random.default_rng(0).normal(0, 0.3, before.shape), jnp.float32)
    result = coordinates.integrate(q, before, after)
    expected = np.asarray(q, np.float64)
    for k in range(len(expected)):
        for step in range(1, 6):
            v = np.asarray(before[k] + (after[k] - before[k]) * step / 5, np.float64)
            expected[k, :3] += 0.002 * v[:3]
            mujoco.mju_quatIntegrate(expected[k, 3:7], v[3:6], 0.002)
            expected[k, 7:] += 0.002 * v[6:]
    np.testing.assert_allclose(result, expected, atol=2e-6)


def test_dynamics_features_do_not_depend_on_heading_and_position(human: SimulationBody) -> None:
    coordinates = WorldModelCoordinates(human)
    q, velocity = sample(coordinates, 5)
    turn = jnp.array([np.cos(0.4), 0.0, 0.0, np.sin(0.4)])
    rotation = np.array([[np.cos(0.8), -np.sin(0.8), 0], [np.sin(0.8), np.cos(0.8), 0], [0, 0, 1]])
    moved = jnp.concatenate([q[:, :3] @ rotation.T + np.array([4.0, -1.0, 0.0]),
                             multiply(turn, q[:, 3:7]), q[:, 7:]], axis=1)  # fmt: skip
    turned = jnp.concatenate([velocity[:, :3] @ rotation.T, velocity[:, 3:]], axis=1)
    np.testing.assert_allclose(
        coordinates.dynamics_features(moved, turned), coordinates.dynamics_features(q, velocity), atol=2e-5
    )
    change = jnp.asarray(np.random.default_rng(1).normal(0, 1, velocity.shape), jnp.float32)
    changed, changed_in_moved = (
        coordinates.apply_velocity_change(q, velocity, change),
        coordinates.apply_velocity_change(moved, turned, change),
    )
    np.testing.assert_allclose(changed[:, :3] @ rotation.T, changed_in_moved[:, :3], atol=1e-5)
    np.testing.assert_allclose(coordinates.velocity_change(q, velocity, changed), change, atol=1e-5)
