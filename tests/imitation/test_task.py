"""The tracking task: the reference's own state is the best there is, and turning the world changes nothing."""

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
from musclemap.imitation.task.reward import PUBLISHED_MOST, RewardConfig
from musclemap.imitation.task.task import Task, TaskConfig, TaskState


@pytest.fixture(scope="module")
def walk(human: SimulationBody, walk_clip: Clip) -> Reference:
    return make_library([("walk", walk_clip)], human, resting=0.1).reference


@pytest.fixture(scope="module")
def arm_library(arm: SimulationBody) -> Library:
    return make_library(arm_clips(3, 1.5), arm, resting=0.1)


def at(task: Task, reference: Reference, frames: list[int]) -> tuple[PhysicsState, TaskState, SensorData]:
    """Worlds in the reference's own state."""
    clip = jnp.zeros(len(frames), jnp.int32)
    physics, state = task.begin(reference, clip, jnp.array(frames, jnp.int32), jax.random.PRNGKey(0))
    return physics, state, task.first_reading(reference, state)


def test_training_bodies_have_the_published_sizes(human: SimulationBody, arm: SimulationBody) -> None:
    assert (human.model.nq, human.model.nv, human.model.nu) == (89, 88, 354)
    assert len(human.joint_ids) == 31
    free = load_simulation_body("MyoFullBody", PhysicsConfig(hands="free"))
    assert (free.model.nq, free.model.nv, free.model.nu) == (129, 128, 416)
    assert (arm.model.nq, arm.model.nu, arm.free, arm.contact_geoms) == (2, 6, False, ())
    assert human.control_fps == arm.control_fps == 100.0
    assert human.model.nsensor == 0
    with pytest.raises(TargetError, match="MyoFullBody, SmallArm"):
        load_simulation_body("MyoLegs")


def test_locked_hands_leave_the_other_muscles_as_they_are(human: SimulationBody) -> None:
    free = load_simulation_body("MyoFullBody", PhysicsConfig(hands="free"))
    same = [free.muscle_names.index(name) for name in human.muscle_names]
    for field in ("actuator_gainprm", "actuator_biasprm", "actuator_lengthrange", "actuator_dynprm"):
        np.testing.assert_array_equal(getattr(human.model, field), getattr(free.model, field)[same])
    assert not {"FDS5", "LU_RB2_left"} & set(human.muscle_names)
    assert {"ECRL", "FCU_left", "soleus_r"} <= set(human.muscle_names)


def test_the_reference_itself_gets_the_whole_published_reward(human: SimulationBody, walk: Reference) -> None:
    task = Task(human)
    physics, state, reading = at(task, walk, [0, 100, 250])
    outcome = task.judge(walk, physics, reading, state, state.excitation)
    np.testing.assert_allclose(outcome.published, PUBLISHED_MOST, rtol=1e-3)
    np.testing.assert_allclose(outcome.landmark_error, 0.0, atol=1e-5)
    assert not outcome.failed.any()


def test_every_deviation_costs_reward(human: SimulationBody, walk: Reference) -> None:
    """The reward at the reference is the maximum: no small change of configuration or speed gains anything."""
    task = Task(human, TaskConfig(reward=RewardConfig(effort=0.0, action_rate=0.0)))
    physics, state, reading = at(task, walk, [100])
    assert walk.contact[100].any()  # a foot is on the ground
    best = float(task.judge(walk, physics, reading, state, state.excitation).reward[0])
    assert best == pytest.approx(1.0, abs=1e-4)

    def moved(step: jax.Array) -> jax.Array:
        q = physics.qpos.at[:, 7:].add(step[: human.model.nq - 7])
        v = physics.qvel + step[: human.model.nv]
        shifted = reading._replace(xpos=reading.xpos + step[:51].reshape(1, 17, 3))
        return task.judge(walk, physics._replace(qpos=q, qvel=v), shifted, state, state.excitation).reward[0]

    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-2, 0.1):
        for _ in range(5):
            assert float(moved(jnp.asarray(size * rng.standard_normal(human.model.nv), jnp.float32))) < best
    for size in (0.0, 0.05):
        gradient = jax.grad(moved)(jnp.full(human.model.nv, size))
        assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 1e-3


def test_the_learning_reward_still_slopes_far_away(human: SimulationBody, walk: Reference) -> None:
    task = Task(human)
    physics, state, reading = at(task, walk, [100])
    far = lambda d: task.judge(  # noqa: E731
        walk, physics._replace(qpos=physics.qpos.at[:, 0].add(d)), reading, state, state.excitation
    )
    near, further = far(0.3), far(0.4)
    assert float(near.reward[0] - further.reward[0]) > 1e-3  # the published term, exp(-10 d^2 / 3), has 0.04 left


def test_observations_do_not_depend_on_where_or_which_way_one_walks(human: SimulationBody, walk: Reference) -> None:
    """Turned about the vertical and moved over the ground, body and reference together look the same."""
    task = Task(human)
    angle, shift = 1.1, jnp.array([3.0, -2.0, 0.0])
    turn = jnp.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)])
    spin = lambda v: rotate(turn, v)  # noqa: E731
    qpos = jnp.concatenate(
        [spin(walk.qpos[:, :3]) + shift, multiply(turn, walk.qpos[:, 3:7]), walk.qpos[:, 7:]], axis=1
    )
    turned = walk._replace(
        qpos=qpos, qvel=walk.qvel.at[:, :3].set(spin(walk.qvel[:, :3])), xpos=spin(walk.xpos) + shift,
        xquat=multiply(turn, walk.xquat), linvel=spin(walk.linvel), angvel=spin(walk.angvel),
    )  # fmt: skip
    seen = []
    for reference in (walk, turned):
        physics, state, reading = at(task, reference, [20, 200])
        later = task.advance(task.advance(state))  # the body is behind its reference, so the anchor error is not zero
        seen.append(task.observe(reference, physics, reading, later))
    assert seen[0].shape == (2, task.nobs)
    np.testing.assert_allclose(seen[0], seen[1], atol=2e-4)


def test_the_drift_of_the_root_is_seen(human: SimulationBody, walk: Reference) -> None:
    task = Task(human)
    physics, state, reading = at(task, walk, [50])
    names = list(observation.layout(human))
    widths = np.cumsum([0, *observation.layout(human).values()])
    part = slice(widths[names.index("anchor_pos")], widths[names.index("anchor_pos") + 1])
    drifted = physics._replace(qpos=physics.qpos.at[:, 0].add(0.2))
    seen = task.observe(walk, drifted, reading, state)[0, part]
    assert float(jnp.linalg.norm(seen)) == pytest.approx(0.2, abs=1e-4)


def test_excitations_reach_both_ends_and_have_slope_everywhere(arm: SimulationBody) -> None:
    task = Task(arm, TaskConfig(resting_excitation=0.1))
    assert float(task.excitation(jnp.zeros(1))[0]) == pytest.approx(0.1)
    wide = task.excitation(jnp.array([-12.0, 12.0]))
    assert float(wide[0]) < 1e-4
    assert float(wide[1]) > 0.999
    assert (jax.vmap(jax.grad(lambda a: task.excitation(a)))(jnp.linspace(-4.0, 4.0, 9)) > 1e-3).all()


def test_episodes_begin_with_the_activations_of_the_clip(arm: SimulationBody, arm_library: Library) -> None:
    task = Task(arm)
    clips = arm_clips(3, 1.5)
    physics, _ = task.begin(
        arm_library.reference, jnp.array([1, 2]), jnp.array([10, 20]), jax.random.PRNGKey(0)
    )  # fmt: skip
    assert clips[1][1].activation is not None
    np.testing.assert_allclose(physics.act[0], clips[1][1].activation[10], atol=1e-6)
    assert float(physics.act.max()) > 0.0


def test_the_end_of_a_clip_is_no_failure(arm: SimulationBody, arm_library: Library) -> None:
    task = Task(arm, TaskConfig(episode_length=40))
    length = int(arm_library.reference.length[0])
    physics, state, reading = at(task, arm_library.reference, [length - 1, 50, 60])
    state = state._replace(first=jnp.array([100, 10, 30]))
    outcome = task.judge(arm_library.reference, physics, reading, state, state.excitation)
    assert outcome.cut.tolist() == [True, True, False]  # the clip is over; the episode's time is up; neither
    assert not outcome.failed.any()


def test_who_leaves_the_reference_fails_and_gets_nothing(arm: SimulationBody, arm_library: Library) -> None:
    task = Task(arm)
    physics, state, reading = at(task, arm_library.reference, [5, 5, 5])
    away = reading.xpos.at[0, 1:].add(jnp.array([0.31, 0.0, 0.0]))
    reading = reading._replace(xpos=away, bad=jnp.array([False, True, False]))
    outcome = task.judge(arm_library.reference, physics, reading, state, state.excitation)
    assert outcome.failed.tolist() == [True, True, False]
    assert outcome.reward[:2].tolist() == outcome.published[:2].tolist() == [0.0, 0.0]
    assert float(outcome.reward[2]) > 0.9


def test_excitations_that_come_late_come_in_order(arm: SimulationBody, arm_library: Library) -> None:
    task = Task(arm, TaskConfig(latency_steps=3))
    _, state, _ = at(task, arm_library.reference, [0, 0, 0])
    state = state._replace(delay=jnp.array([0, 1, 3]))
    came = []
    for step in range(6):
        arrived, state = task.delayed(state, jnp.full((3, 6), float(step)))
        came.append(arrived[:, 0])
    np.testing.assert_array_equal(np.array(came)[3:, 0], [3, 4, 5])
    np.testing.assert_array_equal(np.array(came)[3:, 1], [2, 3, 4])
    np.testing.assert_array_equal(np.array(came)[3:, 2], [0, 1, 2])


def test_pushes_change_the_roots_speed_as_often_as_asked(human: SimulationBody, walk: Reference) -> None:
    task = Task(human, TaskConfig(push_interval=0.1, push_speed=0.5))
    physics, _, _ = at(task, walk, [10] * 2000)
    change = np.asarray(task.push(physics, jax.random.PRNGKey(3)).qvel - physics.qvel)
    assert (change[:, 2:] == 0).all()
    assert np.abs(change).max() <= 0.5
    assert (np.abs(change).max(axis=1) > 0).mean() == pytest.approx(0.1, abs=0.03)
    still = Task(human).push(physics, jax.random.PRNGKey(3))
    np.testing.assert_array_equal(still.qvel, physics.qvel)


def test_clips_that_cannot_be_used_are_told(arm: SimulationBody, human: SimulationBody, walk_clip: Clip) -> None:
    short = [("short", arm_clips(1, 0.2)[0][1]), *arm_clips(1, 1.0)]
    library = make_library(short, arm, resting=0.1)
    assert library.names == ("arm_000",)
    assert "21 frames" in library.left_out["short"]
    assert max(TaskConfig().future_steps) == LOOK_AHEAD  # what is taken where no task is at hand
    assert make_library(short, arm, resting=0.1, look_ahead=19).names == ("short", "arm_000")
    assert not make_library(short[:1], arm, resting=0.1, look_ahead=19).left_out
    with pytest.raises(TrainingError, match="it has 101 frames; the look-ahead needs 102"):
        make_library(short[1:], arm, resting=0.1, look_ahead=100)
    with pytest.raises(TrainingError, match="no clip can be learned from: short"):
        make_library(short[:1], arm, resting=0.1)
    with pytest.raises(TrainingError, match="a clip of MyoFullBody, not of SmallArm"):
        make_library([("walk", walk_clip)], arm, resting=0.1)
    from dataclasses import replace

    other = replace(walk_clip, model_sha256="0" * 64)
    with pytest.raises(TrainingError, match="another version of MyoFullBody"):
        make_library([("walk", other)], human, resting=0.1)


def test_settings_that_make_no_sense_are_refused() -> None:
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
    flat = heading(q)
    np.testing.assert_allclose(jnp.linalg.norm(flat, axis=1), 1.0, atol=1e-5)
    swing = multiply(conjugate(flat), q)
    np.testing.assert_allclose(swing[:, 3], 0.0, atol=1e-5)  # no twist is left
    small = jnp.array([[np.cos(0.01), np.sin(0.01), 0.0, 0.0]])
    assert float(squared_angle(small, jnp.array([[1.0, 0.0, 0.0, 0.0]]))[0]) == pytest.approx(4e-4, rel=0.05)


def test_an_arm_has_a_clip_file(tmp_path: Path, arm: SimulationBody) -> None:
    from musclemap.datasets.clip import read_clip, write_clip

    name, clip = arm_clips(1, 1.0)[0]
    write_clip(tmp_path / "a.h5", clip)
    again = make_library([(name, read_clip(tmp_path / "a.h5"))], arm, resting=0.1)
    np.testing.assert_allclose(again.reference.qpos, clip.qpos, atol=1e-6)
