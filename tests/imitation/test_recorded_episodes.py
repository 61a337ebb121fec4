"""Recorded episodes: files, rows of a replay buffer, and training that begins with them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

from musclemap.cli.train import app
from musclemap.imitation.errors import TrainingError
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import PhysicsState
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.reference import Library, make_library
from musclemap.imitation.task.task import Task
from musclemap.imitation.world_model.episode_files import Episodes, read_episodes, write_episodes
from musclemap.imitation.world_model.recorded_steps import recorded_transitions
from musclemap.imitation.world_model.replay import Transitions
from musclemap.imitation.world_model.world_config import WorldModelConfig, WorldStartConfig
from musclemap.imitation.world_model.world_model import ModelConfig, WorldModel
from musclemap.imitation.world_model.world_trainer import WorldTrainer

from ..support.data.arm_dataset import write_dataset

NSTEP, NWORLD = 12, 6
DYNAMICS = ModelConfig(hidden=(16,), variant="plain", batch_size=16, gradient_steps=2)
CONFIG = WorldModelConfig(
    num_steps=4, buffer_size=600, learning_starts=48, batch_size=16, gradient_steps=2, hidden=(16,), dynamics=DYNAMICS,
    horizons=(4,), sweep_fraction=0.2, start=WorldStartConfig(critic_iterations=2),
)  # fmt: skip


@pytest.fixture(scope="module")
def library(arm: SimulationBody) -> Library:
    return make_library(arm_clips(2, 1.0), arm, resting=0.1)


@pytest.fixture(scope="module")
def episodes(arm: SimulationBody, library: Library) -> Episodes:
    """Six simulated episodes of random excitations; the fifth is short and fails, the last is of an unknown clip."""
    rng, reference = np.random.default_rng(0), library.reference
    frame = rng.integers(0, 60, NWORLD) + np.arange(NSTEP)[:, None]
    clip = np.arange(NWORLD) % 2
    row = np.asarray(reference.start)[clip] + frame[0]
    zeros = jnp.zeros((NWORLD, arm.model.nv))
    state = PhysicsState(reference.qpos[row], reference.qvel[row], reference.act[row], zeros)
    engine, states = MujocoEngine(arm, NWORLD), [state]
    ctrl = rng.random((NSTEP, NWORLD, arm.model.nu)).astype(np.float32)
    for k in range(NSTEP):
        states.append(engine.step(states[-1], jnp.asarray(ctrl[k]))[0])
    names = [library.names[index] for index in clip]
    return Episodes(
        qpos=np.stack([np.asarray(state.qpos) for state in states]),
        qvel=np.stack([np.asarray(state.qvel) for state in states]),
        act=np.stack([np.asarray(state.act) for state in states]),
        ctrl=ctrl, frame=frame, clip=(*names[:-1], "elsewhere.h5"), length=np.array([12, 12, 12, 12, 7, 12]),
        terminated=np.arange(NWORLD) == 4,
    )  # fmt: skip


def transitions(episodes: Episodes, arm: SimulationBody, library: Library, *, nworld: int = 5) -> Transitions:
    model = WorldModel(arm, DYNAMICS, None)
    return recorded_transitions([episodes], model, library, nworld=nworld, nrow=100, multiple=1)


def test_episodes_round_trip(episodes: Episodes, arm: SimulationBody, tmp_path: Path) -> None:
    write_episodes(tmp_path / "a.npz", episodes, arm)
    result = read_episodes(tmp_path / "a.npz", arm)
    assert result.clip == episodes.clip
    for name in ("qpos", "qvel", "act", "ctrl", "frame", "length", "terminated"):
        np.testing.assert_array_equal(getattr(result, name), getattr(episodes, name))
    before = (tmp_path / "a.npz").read_bytes()
    write_episodes(tmp_path / "a.npz", episodes, arm)
    assert (tmp_path / "a.npz").read_bytes() == before


REFUSED: dict[str, tuple[Callable[[dict[str, np.ndarray]], object], str]] = {
    "format": (lambda stored: stored.update(format=np.array("other")), "has the format 'other'"),
    "body": (lambda stored: stored.update(body=np.array("0" * 64)), "of another body than SmallArm"),
    "missing": (lambda stored: stored.pop("act"), "no act; the file has"),
    "width": (lambda stored: stored.update(qpos=stored["qpos"][..., :1]), "qpos has shape"),
    "finite": (lambda stored: stored["qvel"].__setitem__((3, 2, 1), np.nan), "qvel is not finite"),
    "range": (lambda stored: stored["ctrl"].__setitem__((0, 0, 0), 1.5), "ctrl has values outside 0 to 1"),
    "length": (lambda stored: stored["length"].__setitem__(0, 13), "length has values outside 0 to 12"),
    "names": (lambda stored: stored.update(clip=np.arange(6)), "not a list of names"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_unsuitable_files_are_refused(episodes: Episodes, arm: SimulationBody, tmp_path: Path, what: str) -> None:
    change, message = REFUSED[what]
    write_episodes(tmp_path / "a.npz", episodes, arm)
    with np.load(tmp_path / "a.npz") as file:
        stored = {name: np.array(file[name]) for name in file.files}
    change(stored)
    np.savez(tmp_path / "a.npz", **stored)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TrainingError, match=message):
        read_episodes(tmp_path / "a.npz", arm)


def test_steps_become_rows_that_continue_within_an_episode(
    episodes: Episodes, arm: SimulationBody, library: Library
) -> None:
    steps = transitions(episodes, arm, library)
    assert steps.clip.shape == (11, 5)  # 4 episodes of 12 steps and one of 7
    np.testing.assert_array_equal(steps.q[0, 0], episodes.qpos[0, 0])
    np.testing.assert_array_equal(steps.ctrl[10, 0], episodes.ctrl[10, 0])
    np.testing.assert_array_equal(steps.ctrl[0, 1], episodes.ctrl[11, 0])
    np.testing.assert_array_equal(steps.q[1, 1], episodes.qpos[0, 1])
    np.testing.assert_array_equal(steps.prev_excitation[1, 1], episodes.act[0, 1])
    np.testing.assert_array_equal(steps.prev_excitation[1, 0], steps.ctrl[0, 0])
    assert int(np.sum(steps.terminated)) == 1
    assert steps.terminated[10, 4]
    assert not steps.contiguous[10].any()
    continues = steps.contiguous[:-1]
    assert int(continues.sum()) == 5 * 10 - 4  # four ends of episodes lie within the sequences
    for name, next_name in (("q", "next_q"), ("velocity", "next_velocity")):
        np.testing.assert_array_equal(getattr(steps, name)[1:][continues], getattr(steps, next_name)[:-1][continues])
    assert (steps.frame[1:] == steps.frame[:-1] + 1)[continues].all()


def test_steps_beyond_the_end_of_a_clip_are_left_out(episodes: Episodes, arm: SimulationBody, library: Library) -> None:
    late = replace(episodes, frame=episodes.frame + 95 - episodes.frame[0])  # clips have 101 frames
    steps = transitions(late, arm, library, nworld=1)
    assert len(steps.clip) == 5 * 5
    assert int(steps.frame.max()) == 99
    with pytest.raises(TrainingError, match="have 0 steps of this run's clips; 1 worlds need at least 1"):
        transitions(replace(episodes, clip=("x",) * NWORLD), arm, library, nworld=1)


def test_learning_begins_with_recorded_episodes(episodes: Episodes, arm: SimulationBody, library: Library) -> None:
    model = WorldModel(arm, DYNAMICS, None)
    trainer = WorldTrainer(MujocoEngine(arm, 4), Task(arm), library, model, CONFIG, [episodes])
    state = trainer.init(0)
    assert state.replay is not None
    assert int(state.replay.filled) == 12  # of 13 rows of 4 worlds, the multiple of num_steps
    assert float(state.learner.dynamics.change.count) == 48.0
    again = trainer.from_checkpoint(trainer.to_checkpoint(state)).replay
    assert again is not None
    jax.tree.map(np.testing.assert_array_equal, again, state.replay)
    seen: list[set[str]] = []
    for _ in range(3):
        state, metrics = trainer.iterate(state)
        seen.append(set(metrics))
    assert "model_loss" in seen[0]
    assert ["imagined_reward" in names for names in seen] == [False, False, True]  # 48 steps observed


def test_model_and_value_are_fitted_before_a_given_policy_changes(
    episodes: Episodes, arm: SimulationBody, library: Library
) -> None:
    model = WorldModel(arm, DYNAMICS, None)
    trainer = WorldTrainer(MujocoEngine(arm, 4), Task(arm), library, model, CONFIG, [episodes])
    state = trainer.init(0)
    given = jax.tree.map(lambda array: array + 0.01, state.learner.policy)
    normaliser = state.learner.normaliser._replace(count=jnp.asarray(7.0))
    state = trainer.warm_start_policy(state, given, normaliser)
    values = [state.learner.value["w0"]]
    for iteration in range(3):
        state, metrics = trainer.iterate(state)
        assert "imagined_reward" in metrics
        values.append(state.learner.value["w0"])
        assert not np.array_equal(values[-1], values[-2])
        policy, current = trainer.policy(state)
        same = all(np.array_equal(policy[name], given[name]) for name in given)
        assert same == (iteration < 2)
        assert (float(current.count) == 7.0) == (iteration < 2)


def test_the_command_fills_the_replay_buffer_and_resumes(
    episodes: Episodes, arm: SimulationBody, tmp_path: Path
) -> None:
    write_dataset(tmp_path / "arm", arm_clips(2, 1.0))
    names = tuple(f"{name}.h5" for name, _ in arm_clips(2, 1.0))
    recorded = tmp_path / "recorded"
    write_episodes(recorded / "a.npz", replace(episodes, clip=names * 3), arm)
    settings = [
        "world_model.num_steps=4", "world_model.hidden=[8]", "world_model.buffer_size=600",
        "world_model.learning_starts=32", "world_model.batch_size=8", "world_model.gradient_steps=1",
        "world_model.horizons=[4]", "world_model.dynamics.variant=plain", "world_model.dynamics.hidden=[8]",
        "world_model.dynamics.batch_size=8", "world_model.dynamics.gradient_steps=1",
    ]  # fmt: skip
    small = [part for setting in settings for part in ("--set", setting)]
    call = ["--dataset", str(tmp_path / "arm"), "--run", str(tmp_path / "run"), "--no-tensorboard"]
    first = [*call, "--algo", "world-model", "--num-envs", "4", "--engine", "mujoco", *small]
    done = CliRunner().invoke(app, [*first, "--episodes", str(recorded), "--max-steps", "16"])
    assert done.exit_code == 0, done.output
    assert f"67 recorded steps in 1 file of {recorded}" in done.stderr
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert list(facts["episodes"]["files"]) == ["a.npz"]
    more = CliRunner().invoke(app, [*call, "--resume", "--max-steps", "32"])
    assert more.exit_code == 0, more.output
    assert "67 recorded steps" in more.stderr
    moved = tmp_path / "moved"
    recorded.rename(moved)
    for options, message in (
        (["--resume"], "there are no recorded episodes in"),
        (["--resume", "--algo", "ppo", "--episodes", str(moved)], "ppo has none"),
    ):
        refused = CliRunner().invoke(app, [*call, *options, "--max-steps", "48"])
        assert refused.exit_code == 2
        assert message in refused.stderr
    elsewhere = CliRunner().invoke(app, [*call, "--resume", "--max-steps", "48", "--episodes", str(moved)])
    assert elsewhere.exit_code == 0, elsewhere.output
    write_episodes(moved / "a.npz", episodes, arm)
    changed = CliRunner().invoke(app, [*call, "--resume", "--max-steps", "64"])
    assert changed.exit_code == 2
    assert "episodes.files.a.npz was" in changed.stderr
