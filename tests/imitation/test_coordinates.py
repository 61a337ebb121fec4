"""Independent coordinates in JAX: the same configurations, steps and landmarks as MuJoCo's."""

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
from musclemap.imitation.world_model.coordinates import Coordinates


@pytest.fixture(scope="module")
def walk(human: SimulationBody, walk_clip: Clip) -> Reference:
    return make_library([("walk", walk_clip)], human, resting=0.1).reference


def drawn(coordinates: Coordinates, count: int) -> tuple[jax.Array, jax.Array]:
    """Configurations all over the ranges, turned anyhow, at speeds of some rad/s."""
    rng = np.random.default_rng(3)
    joints = rng.uniform(coordinates.lower, coordinates.upper, (count, coordinates.njoint))
    quat = rng.standard_normal((count, 4))
    root = np.concatenate([rng.normal(0, 1, (count, 3)), quat / np.linalg.norm(quat, axis=1, keepdims=True)], axis=1)
    q = np.concatenate([root, joints], axis=1) if coordinates.free else joints
    velocity = rng.normal(0, 2, (count, coordinates.nvelocity))
    return jnp.asarray(q, jnp.float32), jnp.asarray(velocity, jnp.float32)


def test_widths(human: SimulationBody, arm: SimulationBody) -> None:
    assert (Coordinates(human).nconfiguration, Coordinates(human).nvelocity) == (38, 37)
    free = load_simulation_body("MyoFullBody", PhysicsConfig(hands="free"))
    assert (Coordinates(free).nconfiguration, Coordinates(free).nvelocity) == (78, 77)
    assert (Coordinates(arm).nconfiguration, Coordinates(arm).nvelocity, Coordinates(arm).free) == (2, 2, False)


def test_what_is_given_is_taken_back_and_lies_on_the_couplings(human: SimulationBody) -> None:
    at = Coordinates(human)
    configuration, velocity = drawn(at, 8)
    qpos, qvel = at.give(configuration, velocity)
    for result, want in zip(at.take(qpos, qvel), (configuration, velocity), strict=True):
        np.testing.assert_allclose(result, want, atol=1e-6)
    data = mujoco.MjData(human.model)
    for q, v in zip(np.asarray(qpos, np.float64), np.asarray(qvel, np.float64), strict=True):
        data.qpos, data.qvel = q, v
        mujoco.mj_forward(human.model, data)
        coupled = data.efc_type == mujoco.mjtConstraint.mjCNSTR_EQUALITY
        np.testing.assert_allclose(data.efc_pos[coupled], 0.0, atol=2e-5)
        np.testing.assert_allclose(data.efc_vel[coupled], 0.0, atol=1e-4)  # driven joints move as their drivers do


def test_a_clip_lies_in_independent_coordinates(human: SimulationBody, walk: Reference) -> None:
    at = Coordinates(human)
    qpos, qvel = at.give(*at.take(walk.qpos, walk.qvel))
    np.testing.assert_allclose(qpos, walk.qpos, atol=2e-5)
    np.testing.assert_allclose(qvel[1:-1], walk.qvel[1:-1], atol=5e-2)  # a clip's are differences of configurations


@pytest.mark.parametrize("name", ["arm", "human"])
def test_landmarks_and_their_velocities_are_mujocos(name: str, request: pytest.FixtureRequest) -> None:
    body: SimulationBody = request.getfixturevalue(name)
    at = Coordinates(body)
    q, velocity = drawn(at, 6)
    qpos, qvel = at.give(q, velocity)
    moving = jax.jit(at.landmarks)(q, velocity)
    data, speed = mujoco.MjData(body.model), np.zeros(6)
    for k in range(6):
        data.qpos, data.qvel = np.asarray(qpos[k], np.float64), np.asarray(qvel[k], np.float64)
        mujoco.mj_kinematics(body.model, data)
        mujoco.mj_comPos(body.model, data)
        mujoco.mj_comVel(body.model, data)
        for mark, number in enumerate(body.landmark_ids):
            mujoco.mj_objectVelocity(body.model, data, mujoco.mjtObj.mjOBJ_XBODY, number, speed, 0)
            np.testing.assert_allclose(moving.xpos[k, mark], data.xpos[number], atol=1e-5)
            np.testing.assert_allclose(moving.linvel[k, mark], speed[3:], atol=2e-4)


def test_a_step_is_mujocos_when_velocities_change_evenly(human: SimulationBody) -> None:
    """Five semi-implicit steps, each by the velocity at its end."""
    at = Coordinates(human)
    q, before = drawn(at, 4)
    after = before + jnp.asarray(np.random.default_rng(0).normal(0, 0.3, before.shape), jnp.float32)
    result = at.integrate(q, before, after)
    want = np.asarray(q, np.float64)
    for k in range(len(want)):
        for step in range(1, 6):
            v = np.asarray(before[k] + (after[k] - before[k]) * step / 5, np.float64)
            want[k, :3] += 0.002 * v[:3]
            mujoco.mju_quatIntegrate(want[k, 3:7], v[3:6], 0.002)
            want[k, 7:] += 0.002 * v[6:]
    np.testing.assert_allclose(result, want, atol=2e-6)


def test_what_the_dynamics_see_does_not_depend_on_heading_and_place(human: SimulationBody) -> None:
    at = Coordinates(human)
    q, velocity = drawn(at, 5)
    turn = jnp.array([np.cos(0.4), 0.0, 0.0, np.sin(0.4)])
    spin = np.array([[np.cos(0.8), -np.sin(0.8), 0], [np.sin(0.8), np.cos(0.8), 0], [0, 0, 1]])
    moved = jnp.concatenate([q[:, :3] @ spin.T + np.array([4.0, -1.0, 0.0]),
                             multiply(turn, q[:, 3:7]), q[:, 7:]], axis=1)  # fmt: skip
    turned = jnp.concatenate([velocity[:, :3] @ spin.T, velocity[:, 3:]], axis=1)
    np.testing.assert_allclose(at.seen(moved, turned), at.seen(q, velocity), atol=2e-5)
    change = jnp.asarray(np.random.default_rng(1).normal(0, 1, velocity.shape), jnp.float32)
    here, there = at.changed(q, velocity, change), at.changed(moved, turned, change)
    np.testing.assert_allclose(here[:, :3] @ spin.T, there[:, :3], atol=1e-5)
    np.testing.assert_allclose(at.change(q, velocity, here), change, atol=1e-5)
