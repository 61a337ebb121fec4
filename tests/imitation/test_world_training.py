"""Training through a world model: a resumed run equals an uninterrupted one, and the model learns."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from musclemap.errors import SettingsError
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.physics.terrain import TerrainConfig
from musclemap.imitation.policy.policy_file import load_policy
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.reference import Library, make_library
from musclemap.imitation.task.task import Task
from musclemap.imitation.task.task_config import TaskConfig
from musclemap.imitation.world_model.replay import sample_windows
from musclemap.imitation.world_model.tendons import TendonConfig
from musclemap.imitation.world_model.world_config import WorldModelConfig
from musclemap.imitation.world_model.world_model import ModelConfig, WorldModel, change_std
from musclemap.imitation.world_model.world_trainer import WorldTrainer, WorldTrainState
from musclemap.pipelines.train.plan import TrainingPlan, plan_training
from musclemap.pipelines.train.training import StopCondition, train

from ..support.pages import explained

DYNAMICS = ModelConfig(
    variant="plain", hidden=(32, 32), batch_size=32, gradient_steps=4,
    tendons=TendonConfig(num_samples=200, gradient_steps=20, hidden=8),
)  # fmt: skip
CONFIG = WorldModelConfig(
    num_steps=4, buffer_size=800, learning_starts=20, batch_size=16, gradient_steps=2, hidden=(16,), dynamics=DYNAMICS,
    horizons=(4, 8), sweep_fraction=0.2,
)  # fmt: skip
NWORLD = 10
ITERATION = NWORLD * CONFIG.num_steps


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    config = TrainConfig(num_envs=NWORLD, world_model=replace(CONFIG, dynamics=replace(DYNAMICS, variant="grey")))
    return plan_training(arm_clips(2, 1.0), config, engine="mujoco", algorithm="world-model")


@pytest.fixture(scope="module")
def library(arm: SimulationBody) -> Library:
    return make_library(arm_clips(3, 1.0), arm, resting=0.1)


def make_trainer(arm: SimulationBody, library: Library, config: WorldModelConfig = CONFIG) -> WorldTrainer:
    return WorldTrainer(
        MujocoEngine(arm, NWORLD), Task(arm), library, WorldModel(arm, config.dynamics, None), config
    )  # fmt: skip


@pytest.fixture(scope="module")
def trainer(arm: SimulationBody, library: Library) -> WorldTrainer:
    """With `CONFIG`; compiled once."""
    return make_trainer(arm, library)


@pytest.fixture(scope="module")
def first_state(trainer: WorldTrainer) -> Callable[[], WorldTrainState]:
    """Copies of the state after one iteration; iterating overwrites the replay buffer of the state it starts from."""
    state, _ = trainer.iterate(trainer.init(0))
    return lambda: jax.tree.map(jnp.copy, state)


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, plan: TrainingPlan) -> None:
    """The replay buffer is not on disk, so the uninterrupted run also clears it after `buffer_reset_interval` steps."""
    learning = replace(plan.config.world_model, buffer_reset_interval=2 * ITERATION)
    plan = replace(plan, config=replace(plan.config, world_model=learning))
    run = lambda name, n, **more: train(  # noqa: E731
        plan, tmp_path / name, until=StopCondition(steps=n * ITERATION), tensorboard=False, **more
    )
    whole = run("whole", 4)
    assert (tmp_path / "whole/checkpoints/2").is_dir()
    run("parts", 2)
    parts = run("parts", 4, resume=True)
    assert whole.steps == parts.steps == 4 * ITERATION
    assert whole.policy.read_bytes() == parts.policy.read_bytes()
    assert load_policy(parts.policy).facts["algorithm"] == "world-model"


@pytest.mark.slow
def test_the_checkpoint_interval_changes_nothing(tmp_path: Path, plan: TrainingPlan) -> None:
    run = lambda name, **more: train(  # noqa: E731
        plan, tmp_path / name, until=StopCondition(steps=3 * ITERATION), tensorboard=False, **more
    )
    assert run("often", save_seconds=0.0).policy.read_bytes() == run("once").policy.read_bytes()


def test_a_run_reports_on_its_model(tmp_path: Path, plan: TrainingPlan) -> None:
    messages: list[str] = []
    done = train(
        plan, tmp_path, until=StopCondition(steps=3 * ITERATION), on_message=messages.append, tensorboard=False
    )
    assert {"model_loss", "model_error_mm_8", "imagined_reward", "sweep_reward", "horizon"} <= set(done.figures)
    assert explained("training.md", "world-model.md") >= {re.sub(r"_\d+$", "", name) for name in done.figures}
    assert any("errors of fitted tendons: length" in line for line in messages)
    assert list(tmp_path.glob("tendons-SmallArm-*.safetensors"))
    fit = json.loads((tmp_path / "muscles.json").read_text())
    assert set(fit["elbow_flexor"]) == {"length_mm", "arm_mm", "arm_size_mm"}


@pytest.mark.slow
def test_the_model_learns_to_predict_the_worlds(arm: SimulationBody, library: Library) -> None:
    """In held-out worlds, its open-loop error is far below that of constant velocities."""
    config = replace(
        CONFIG,
        buffer_size=8000,
        batch_size=4,
        gradient_steps=1,
        dynamics=replace(DYNAMICS, hidden=(64, 64), batch_size=128, gradient_steps=60),
    )
    trainer = make_trainer(arm, library, config)
    state = trainer.init(0)
    for _ in range(30):
        state, _ = trainer.iterate(state)
    assert state.replay is not None
    model, dynamics = trainer._model, state.learner.dynamics
    window = sample_windows(state.replay, jax.random.PRNGKey(7), 200, 8, max_failure_share=0.5, held_out=-1)
    result = model.predict(dynamics, window.start, window.ctrl)
    mean_error = lambda velocity: float(  # noqa: E731
        jnp.sum(jnp.abs(velocity - window.true.velocity).mean(-1) * window.valid) / jnp.sum(window.valid)
    )
    assert mean_error(result.velocity) < 0.5 * mean_error(
        jnp.broadcast_to(window.start.velocity, result.velocity.shape)
    )
    assert float(change_std(dynamics).min()) > 0.01


def test_horizons_grow_as_the_model_improves_and_never_shrink(
    trainer: WorldTrainer, first_state: Callable[[], WorldTrainState]
) -> None:
    state = first_state()
    replay = state.replay
    assert replay is not None
    assert int(state.learner.horizon) == 0

    def horizon_after(error: list[float]) -> int:
        learner = state.learner._replace(error=jnp.array(error))
        return int(trainer._learner.evaluate_model(learner, replay, jax.random.PRNGKey(0), held_out=1)[0].horizon)

    assert horizon_after([0.01, 1.0]) == 0
    assert horizon_after([0.01, 0.01]) == 1
    warm_started = trainer.warm_start(state, state.learner._replace(horizon=jnp.array(1, jnp.int32)))
    assert int(warm_started.learner.horizon) == 0  # a run on other clips starts with the shortest horizon
    long_horizon = state.learner._replace(horizon=jnp.array(1, jnp.int32), error=jnp.array([1.0, 1.0]))
    assert int(trainer._learner.evaluate_model(long_horizon, replay, jax.random.PRNGKey(0), held_out=1)[0].horizon) == 1


def test_sweepers_track_every_clip_from_its_first_frame(arm: SimulationBody, library: Library) -> None:
    task_config = TaskConfig(max_landmark_error=10.0)
    trainer = WorldTrainer(
        MujocoEngine(arm, NWORLD), Task(arm, task_config), library, WorldModel(arm, DYNAMICS, None),
        replace(CONFIG, learning_starts=10**6),
    )  # fmt: skip
    state = trainer.init(0)
    visited: set[tuple[int, int]] = set()
    for _ in range(80):  # 320 steps: three clips of 100
        worlds = state.worlds.task
        assert (worlds.start_frame[:2] == 0).all()
        visited |= {(w, int(worlds.clip[w])) for w in range(2)}
        state, _ = trainer.iterate(state)
    assert visited == {(w, clip) for w in range(2) for clip in range(3)}
    assert (np.asarray(state.worlds.task.start_frame[2:]) > 0).any()


def test_excitations_of_real_worlds_have_correlated_noise(arm: SimulationBody, library: Library) -> None:
    """The noise has the configured standard deviation and correlation, except for sweepers.

    The averaged policy acts.
    """
    trainer = make_trainer(arm, library, replace(CONFIG, exploration_noise=0.02))
    state = trainer.init(0)
    policy = jax.tree.map(lambda x: x + 1.0, state.learner.policy)  # this policy does not act
    acting, worlds, noise, visited = state.learner._replace(policy=policy), state.worlds, state.noise, []
    for k in range(3000):
        worlds = worlds._replace(key=jax.random.PRNGKey(k))
        noise = trainer._act(acting, worlds, noise)[0]
        visited.append(np.asarray(noise))
    noise, ctrl, _ = trainer._act(acting, worlds, noise)
    expected = trainer._learner.act(state.learner, worlds.obs)
    np.testing.assert_allclose(ctrl[:2], expected[:2], atol=1e-5)
    np.testing.assert_allclose(ctrl[2:], expected[2:] + noise[2:], atol=1e-5)
    run = np.stack(visited)[100:]
    assert run.std() == pytest.approx(0.02, rel=0.05)
    assert np.mean(run[1:] * run[:-1]) / np.mean(run**2) == pytest.approx(0.9, abs=0.01)


def test_the_acting_policy_is_an_average_over_gradient_steps(arm: SimulationBody, library: Library) -> None:
    trainer = make_trainer(arm, library, replace(CONFIG, gradient_steps=1, policy_ema_decay=0.75, target_ema_decay=0.5))
    state, _ = trainer.iterate(trainer.init(0))  # one gradient step: the average was initially the policy itself
    old, new = trainer.init(0).learner, state.learner
    for share, averaged, current, before in (
        (0.75, new.average, new.policy, old.policy), (0.5, new.target, new.value, old.value)
    ):  # fmt: skip
        for a, b, c in zip(*map(jax.tree.leaves, (averaged, current, before)), strict=True):
            np.testing.assert_allclose(a, share * c + (1 - share) * b, atol=1e-6)
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (new.average, new.policy)), strict=True))
    assert trainer.policy(state)[0] is new.average


def test_effort_counts_once_tracking_is_good_and_windows_grow_with_the_horizon(
    trainer: WorldTrainer, library: Library, first_state: Callable[[], WorldTrainState], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = first_state()
    assert state.replay is not None
    share = lambda tracking: float(  # noqa: E731
        trainer._improve_policy(
            state.learner._replace(tracking=jnp.array(tracking)), library.reference, state.replay,
            jax.random.PRNGKey(0), nstep=4,
        )[1]["effort_share"]
    )  # fmt: skip
    assert [round(share(t), 3) for t in (0.0, 0.8, 0.85, 0.9, 1.0)] == [0.0, 0.0, 0.5, 1.0, 1.0]
    windows: list[int] = []
    fit = trainer._fit_model

    def spy(*args: Any, window: int, held_out: int) -> Any:
        windows.append(window)
        return fit(*args, window=window, held_out=held_out)

    monkeypatch.setattr(trainer, "_fit_model", spy)
    for horizon in (0, 1):
        other = first_state()
        trainer.iterate(other._replace(learner=other.learner._replace(horizon=jnp.array(horizon, jnp.int32))))
    assert windows == [8, 16]


def test_clips_without_activations_start_with_those_that_tracked_them(arm: SimulationBody) -> None:
    clips = [(name, replace(clip, activation=None, activation_residual=None)) for name, clip in arm_clips(2, 1.0)]
    library = make_library(clips, arm, resting=0.1)
    trainer = WorldTrainer(
        MujocoEngine(arm, NWORLD), Task(arm, TaskConfig(max_landmark_error=10.0)), library,
        WorldModel(arm, DYNAMICS, None), replace(CONFIG, learning_starts=10**6),
    )  # fmt: skip
    state = trainer.init(0)
    for _ in range(40):
        state, _ = trainer.iterate(state)
    changed = np.asarray(state.act != library.reference.act).any(axis=1)
    assert 0 < changed.sum() < changed.size
    other = make_trainer(arm, make_library(arm_clips(2, 1.0), arm, resting=0.1))
    assert other.init(0).act.shape[0] == 0  # clips with activations keep them


def test_unsupported_tasks_are_rejected(arm: SimulationBody, library: Library) -> None:
    model = WorldModel(arm, DYNAMICS, None)
    with pytest.raises(SettingsError, match="only flat ground and no latency"):
        WorldTrainer(MujocoEngine(arm, 2), Task(arm, TaskConfig(latency_steps=1)), library, model, CONFIG)
    rough = load_simulation_body("MyoFullBody", PhysicsConfig(terrain=TerrainConfig(kind="rough")))
    with pytest.raises(SettingsError, match="flat ground"):
        WorldTrainer(MujocoEngine(arm, 2), Task(rough), library, model, CONFIG)
    with pytest.raises(SettingsError, match="takes one of rigid, grey, plain"):
        ModelConfig(variant="pink")  # pyright: ignore[reportArgumentType]
    with pytest.raises(SettingsError, match="each larger than the last"):
        WorldModelConfig(horizons=(16, 8))
