"""The tracking task: the reference earns the best reward, and observations are invariant to position and heading."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.errors import SettingsError, TargetError
from musclemap.imitation.errors import TrainingError
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.physics.engine import PhysicsState, SensorData
from musclemap.imitation.task import observation
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.frames import conjugate, heading, multiply, rotate, squared_angle
from musclemap.imitation.task.reference import LOOK_AHEAD, Library, Reference, make_library
from musclemap.imitation.task.reward import MAX_PUBLISHED_REWARD
from musclemap.imitation.task.task import Task, TaskState
from musclemap.imitation.task.task_config import RewardConfig, TaskConfig


@pytest.fixture(scope="module")
def walk(human: SimulationBody, walk_clip: Clip) -> Reference:
    return make_library([("walk", walk_clip)], human, resting=0.1).reference


@pytest.fixture(scope="module")
def arm_library(arm: SimulationBody) -> Library:
    return make_library(arm_clips(3, 1.5), arm, resting=0.1)


def at_reference(task: Task, reference: Reference, frames: list[int]) -> tuple[PhysicsState, TaskState, SensorData]:
    """Worlds in the reference state."""
    clip = jnp.zeros(len(frames), jnp.int32)
    physics, state = task.reset(reference, clip, jnp.array(frames, jnp.int32), jax.random.PRNGKey(0))
    return physics, state, task.initial_sensors(reference, state)


def test_simulation_bodies_have_the_published_sizes(human: SimulationBody, arm: SimulationBody) -> None:
    assert (human.model.nq, human.model.nv, human.model.nu) == (89, 88, 354)
    assert len(human.joint_ids) == 31
    free = load_simulation_body("MyoFullBody", PhysicsConfig(hands="free"))
    assert (free.model.nq, free.model.nv, free.model.nu) == (129, 128, 416)
    assert (arm.model.nq, arm.model.nu, arm.free, arm.contact_geoms) == (2, 6, False, ())
    assert human.control_fps == arm.control_fps == 100.0
    assert human.model.nsensor == 0
    with pytest.raises(TargetError, match="MyoFullBody, MyoBimanualArm, SmallArm"):
        load_simulation_body("MyoLegs")


def test_locked_hands_do_not_change_the_other_muscles(human: SimulationBody) -> None:
    free = load_simulation_body("MyoFullBody", PhysicsConfig(hands="free"))
    indices = [free.muscle_names.index(name) for name in human.muscle_names]
    for field in ("actuator_gainprm", "actuator_biasprm", "actuator_lengthrange", "actuator_dynprm"):
        np.testing.assert_array_equal(getattr(human.model, field), getattr(free.model, field)[indices])
    assert not {"FDS5", "LU_RB2_left"} & set(human.muscle_names)
    assert {"ECRL", "FCU_left", "soleus_r"} <= set(human.muscle_names)


def test_the_reference_gets_the_full_published_reward(human: SimulationBody, walk: Reference) -> None:
    task = Task(human)
    physics, state, sensors = at_reference(task, walk, [0, 100, 250])
    step_result = task.evaluate_step(walk, physics, sensors, state, state.excitation)
    np.testing.assert_allclose(step_result.published, MAX_PUBLISHED_REWARD, rtol=1e-3)
    np.testing.assert_allclose(step_result.landmark_error, 0.0, atol=1e-5)
    assert not step_result.terminated.any()


def test_every_deviation_reduces_the_reward(human: SimulationBody, walk: Reference) -> None:
    """The reward is maximal at the reference: no small change of configuration or velocity increases it."""
    task = Task(human, TaskConfig(reward=RewardConfig(effort=0.0, action_rate=0.0)))
    physics, state, sensors = at_reference(task, walk, [100])
    assert walk.contact[100].any()  # a foot is on the ground
    best = float(task.evaluate_step(walk, physics, sensors, state, state.excitation).reward[0])
    assert best == pytest.approx(1.0, abs=1e-4)

    def perturbed_reward(step: jax.Array) -> jax.Array:
        q = physics.qpos.at[:, 7:].add(step[: human.model.nq - 7])
        v = physics.qvel + step[: human.model.nv]
        shifted = sensors._replace(xpos=sensors.xpos + step[:51].reshape(1, 17, 3))
        return task.evaluate_step(walk, physics._replace(qpos=q, qvel=v), shifted, state, state.excitation).reward[0]

    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-2, 0.1):
        for _ in range(5):
            assert float(perturbed_reward(jnp.asarray(size * rng.standard_normal(human.model.nv), jnp.float32))) < best
    for size in (0.0, 0.05):
        gradient = jax.grad(perturbed_reward)(jnp.full(human.model.nv, size))
        assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 1e-3


def test_the_training_reward_has_a_gradient_far_from_the_reference(human: SimulationBody, walk: Reference) -> None:
    task = Task(human)
    physics, state, sensors = at_reference(task, walk, [100])
    result_at_distance = lambda d: task.evaluate_step(  # noqa: E731
        walk, physics._replace(qpos=physics.qpos.at[:, 0].add(d)), sensors, state, state.excitation
    )
    near, further = result_at_distance(0.3), result_at_distance(0.4)
    assert float(near.reward[0] - further.reward[0]) > 1e-3  # the published term, exp(-10 d^2 / 3), is down to 0.04


def test_observations_do_not_depend_on_position_and_heading(human: SimulationBody, walk: Reference) -> None:
    """Body and reference rotated about the vertical and shifted over the ground give the same observation."""
    task = Task(human)
    angle, shift = 1.1, jnp.array([3.0, -2.0, 0.0])
    turn = jnp.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)])
    rotate_all = lambda v: rotate(turn, v)  # noqa: E731
    qpos = jnp.concatenate(
        [rotate_all(walk.qpos[:, :3]) + shift, multiply(turn, walk.qpos[:, 3:7]), walk.qpos[:, 7:]], axis=1
    )
    rotated = walk._replace(
        qpos=qpos, qvel=walk.qvel.at[:, :3].set(rotate_all(walk.qvel[:, :3])),
        xpos=rotate_all(walk.xpos) + shift, xquat=multiply(turn, walk.xquat),
        linvel=rotate_all(walk.linvel), angvel=rotate_all(walk.angvel),
    )  # fmt: skip
    observations = []
    for reference in (walk, rotated):
        physics, state, sensors = at_reference(task, reference, [20, 200])
        next_state = task.advance(task.advance(state))  # the body lags behind, so the anchor error is not zero
        observations.append(task.observe(reference, physics, sensors, next_state))
    assert observations[0].shape == (2, task.nobs)
    np.testing.assert_allclose(observations[0], observations[1], atol=2e-4)


def test_root_drift_is_observed(human: SimulationBody, walk: Reference) -> None:
    task = Task(human)
    physics, state, sensors = at_reference(task, walk, [50])
    names = list(observation.layout(human))
    widths = np.cumsum([0, *observation.layout(human).values()])
    part = slice(widths[names.index("anchor_pos")], widths[names.index("anchor_pos") + 1])
    drifted = physics._replace(qpos=physics.qpos.at[:, 0].add(0.2))
    observations = task.observe(walk, drifted, sensors, state)[0, part]
    assert float(jnp.linalg.norm(observations)) == pytest.approx(0.2, abs=1e-4)


def test_excitations_reach_both_ends_and_have_a_gradient_everywhere(arm: SimulationBody) -> None:
    task = Task(arm, TaskConfig(resting_excitation=0.1))
    assert float(task.excitation(jnp.zeros(1))[0]) == pytest.approx(0.1)
    extremes = task.excitation(jnp.array([-12.0, 12.0]))
    assert float(extremes[0]) < 1e-4
    assert float(extremes[1]) > 0.999
    assert (jax.vmap(jax.grad(lambda a: task.excitation(a)))(jnp.linspace(-4.0, 4.0, 9)) > 1e-3).all()


def test_episodes_start_with_the_activations_of_the_clip(arm: SimulationBody, arm_library: Library) -> None:
    task = Task(arm)
    clips = arm_clips(3, 1.5)
    physics, _ = task.reset(
        arm_library.reference, jnp.array([1, 2]), jnp.array([10, 20]), jax.random.PRNGKey(0)
    )  # fmt: skip
    assert clips[1][1].activation is not None
    np.testing.assert_allclose(physics.act[0], clips[1][1].activation[10], atol=1e-6)
    assert float(physics.act.max()) > 0.0


def test_the_end_of_a_clip_is_a_truncation(arm: SimulationBody, arm_library: Library) -> None:
    task = Task(arm, TaskConfig(episode_length=40))
    length = int(arm_library.reference.length[0])
    physics, state, sensors = at_reference(task, arm_library.reference, [length - 1, 50, 60])
    state = state._replace(start_frame=jnp.array([100, 10, 30]))
    step_result = task.evaluate_step(arm_library.reference, physics, sensors, state, state.excitation)
    assert step_result.truncated.tolist() == [True, True, False]  # end of the clip; time limit; neither
    assert not step_result.terminated.any()


def test_straying_from_the_reference_terminates_without_reward(arm: SimulationBody, arm_library: Library) -> None:
    task = Task(arm)
    physics, state, sensors = at_reference(task, arm_library.reference, [5, 5, 5])
    displaced = sensors.xpos.at[0, 1:].add(jnp.array([0.31, 0.0, 0.0]))
    sensors = sensors._replace(xpos=displaced, bad=jnp.array([False, True, False]))
    step_result = task.evaluate_step(arm_library.reference, physics, sensors, state, state.excitation)
    assert step_result.terminated.tolist() == [True, True, False]
    assert step_result.reward[:2].tolist() == step_result.published[:2].tolist() == [0.0, 0.0]
    assert float(step_result.reward[2]) > 0.9


def test_delayed_excitations_keep_their_order(arm: SimulationBody, arm_library: Library) -> None:
    task = Task(arm, TaskConfig(latency_steps=3))
    _, state, _ = at_reference(task, arm_library.reference, [0, 0, 0])
    state = state._replace(delay=jnp.array([0, 1, 3]))
    arrivals = []
    for step in range(6):
        arriving, state = task.apply_latency(state, jnp.full((3, 6), float(step)))
        arrivals.append(arriving[:, 0])
    np.testing.assert_array_equal(np.array(arrivals)[3:, 0], [3, 4, 5])
    np.testing.assert_array_equal(np.array(arrivals)[3:, 1], [2, 3, 4])
    np.testing.assert_array_equal(np.array(arrivals)[3:, 2], [0, 1, 2])


def test_pushes_change_the_root_velocity_at_the_configured_rate(human: SimulationBody, walk: Reference) -> None:
    task = Task(human, TaskConfig(push_interval=0.1, push_speed=0.5))
    physics, _, _ = at_reference(task, walk, [10] * 2000)
    change = np.asarray(task.push(physics, jax.random.PRNGKey(3)).qvel - physics.qvel)
    assert (change[:, 2:] == 0).all()
    assert np.abs(change).max() <= 0.5
    assert (np.abs(change).max(axis=1) > 0).mean() == pytest.approx(0.1, abs=0.03)
    unpushed = Task(human).push(physics, jax.random.PRNGKey(3))
    np.testing.assert_array_equal(unpushed.qvel, physics.qvel)


def test_unusable_clips_are_reported(arm: SimulationBody, human: SimulationBody, walk_clip: Clip) -> None:
    short = [("short", arm_clips(1, 0.2)[0][1]), *arm_clips(1, 1.0)]
    library = make_library(short, arm, resting=0.1)
    assert library.names == ("arm_000",)
    assert "21 frames" in library.left_out["short"]
    assert max(TaskConfig().future_steps) == LOOK_AHEAD  # the default without a task
    assert make_library(short, arm, resting=0.1, look_ahead=19).names == ("short", "arm_000")
    assert not make_library(short[:1], arm, resting=0.1, look_ahead=19).left_out
    with pytest.raises(TrainingError, match="it has 101 frames; the look-ahead needs 102"):
        make_library(short[1:], arm, resting=0.1, look_ahead=100)
    with pytest.raises(TrainingError, match="no clip can be learned from: short"):
        make_library(short[:1], arm, resting=0.1)
    with pytest.raises(TrainingError, match="a clip of MyoFullBody, not of SmallArm"):
        make_library([("walk", walk_clip)], arm, resting=0.1)
    from dataclasses import replace

    other_version = replace(walk_clip, model_sha256="0" * 64)
    with pytest.raises(TrainingError, match="another version of MyoFullBody"):
        make_library([("walk", other_version)], human, resting=0.1)


def test_invalid_settings_are_rejected() -> None:
    for make in (
        lambda: TaskConfig(future_steps=()), lambda: TaskConfig(resting_excitation=1.0),
        lambda: TaskConfig(latency_steps=-1), lambda: RewardConfig(joint=-0.1), lambda: RewardConfig(root_scale=0.0),
        lambda: PhysicsConfig(nsubstep=0),
    ):  # fmt: skip
        with pytest.raises(SettingsError):
            make()


def test_rotations() -> None:
    rng = np.random.default_rng(1)
    q = rng.standard_normal((20, 4))
    q = jnp.asarray(q / np.linalg.norm(q, axis=1, keepdims=True), jnp.float32)
    v = jnp.asarray(rng.standard_normal((20, 3)), jnp.float32)
    np.testing.assert_allclose(rotate(conjugate(q), rotate(q, v)), v, atol=1e-5)
    np.testing.assert_allclose(rotate(multiply(q, q[::-1]), v), rotate(q, rotate(q[::-1], v)), atol=1e-5)
    heading_quat = heading(q)
    np.testing.assert_allclose(jnp.linalg.norm(heading_quat, axis=1), 1.0, atol=1e-5)
    swing = multiply(conjugate(heading_quat), q)
    np.testing.assert_allclose(swing[:, 3], 0.0, atol=1e-5)  # no twist remains
    small = jnp.array([[np.cos(0.01), np.sin(0.01), 0.0, 0.0]])
    assert float(squared_angle(small, jnp.array([[1.0, 0.0, 0.0, 0.0]]))[0]) == pytest.approx(4e-4, rel=0.05)


def test_clips_of_the_arm_round_trip_through_files(tmp_path: Path, arm: SimulationBody) -> None:
    from musclemap.datasets.clip import read_clip, write_clip

    name, clip = arm_clips(1, 1.0)[0]
    write_clip(tmp_path / "a.h5", clip)
    library = make_library([(name, read_clip(tmp_path / "a.h5"))], arm, resting=0.1)
    np.testing.assert_allclose(library.reference.qpos, clip.qpos, atol=1e-6)
