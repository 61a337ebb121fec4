"""Runs that begin at a given policy: of another algorithm or a file, resumed, and held at it."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from musclemap.imitation.errors import TrainingError
from musclemap.imitation.policy.policy import Policy
from musclemap.imitation.policy.policy_file import load_policy
from musclemap.imitation.ppo.ppo import PPOConfig
from musclemap.imitation.ppo.ppo_config import StartConfig
from musclemap.imitation.runs.checkpoints import Checkpoints
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.world_model.world_config import WorldModelConfig
from musclemap.imitation.world_model.world_model import ModelConfig
from musclemap.pipelines.train.plan import TrainingPlan, plan_training
from musclemap.pipelines.train.training import StopCondition, TrainingResult, train

START = StartConfig(critic_rollouts=2, kl_fade_steps=150)
WORLD_MODEL = WorldModelConfig(hidden=(16, 16), dynamics=ModelConfig(variant="plain", hidden=(8,)), buffer_size=2000)
CONFIG = TrainConfig(
    num_envs=6, ppo=PPOConfig(hidden=(16, 16), num_steps=8, start=START), world_model=WORLD_MODEL
)  # fmt: skip
ITERATION = 6 * 8


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    return plan_training(arm_clips(2, 1.0), CONFIG, engine="mujoco")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory, plan: TrainingPlan) -> Path:
    """Folder of a run of the other algorithm."""
    folder = tmp_path_factory.mktemp("student")
    run(replace(plan, algorithm="world-model"), folder, iterations=2)
    return folder


def run(plan: TrainingPlan, folder: Path, *, iterations: int, **options: object) -> TrainingResult:
    until = StopCondition(steps=iterations * ITERATION) if iterations else StopCondition(seconds=0.0)
    return train(plan, folder, until=until, tensorboard=False, **options)  # pyright: ignore[reportArgumentType]


def with_start(plan: TrainingPlan, **changes: object) -> TrainingPlan:
    start = replace(plan.config.ppo.start, **changes)  # pyright: ignore[reportArgumentType]
    return replace(plan, config=replace(plan.config, ppo=replace(plan.config.ppo, start=start)))


def assert_same_policy(one: Policy, two: Policy) -> None:
    for name in ("weights", "biases"):
        jax.tree.map(np.testing.assert_array_equal, getattr(one, name), getattr(two, name))
    for name in ("mean", "var", "count"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_the_actor_is_the_other_algorithms_policy_until_the_critic_is_fitted(
    plan: TrainingPlan, student: Path, tmp_path: Path
) -> None:
    old = load_policy(student / "policy.safetensors")
    assert old.facts["algorithm"] == "world-model"
    for iterations in (0, 2, 3):
        result = run(plan, tmp_path / str(iterations), iterations=iterations, warm_start=student)
        new = load_policy(result.policy)
        assert new.facts["algorithm"] == "ppo"
        assert new.facts["dataset"]["earlier"]["nclip"] == 2
        if iterations < 3:
            assert_same_policy(old, new)
        else:
            assert not np.array_equal(old.weights[0], new.weights[0])
            assert old.count == new.count  # the normaliser is constant until the weight has faded


def test_an_interrupted_run_that_began_at_a_policy_equals_an_uninterrupted_one(
    plan: TrainingPlan, student: Path, tmp_path: Path
) -> None:
    whole = run(plan, tmp_path / "whole", iterations=8, warm_start=student)
    run(plan, tmp_path / "parts", iterations=1, warm_start=student)  # while the critic is fitted
    run(plan, tmp_path / "parts", iterations=4, resume=True)  # while the coefficient falls
    parts = run(plan, tmp_path / "parts", iterations=8, resume=True)
    assert whole.policy.read_bytes() == parts.policy.read_bytes()
    for name in ("start_kl", "start_kl_coef"):
        assert whole.figures[name] == parts.figures[name]
    assert whole.figures["start_kl_coef"] == 0.0


def test_a_large_coefficient_holds_the_policy(plan: TrainingPlan, student: Path, tmp_path: Path) -> None:
    moved = {}
    for coef in (0.0, 1e4):
        held = with_start(plan, critic_rollouts=0, kl_coef=coef, kl_fade_steps=10**9)
        moved[coef] = run(held, tmp_path / f"{coef:g}", iterations=20, warm_start=student).figures["start_kl"]
    assert moved[1e4] < 0.05 * moved[0.0]


def test_a_run_of_ppo_provides_its_critic_and_its_noise(plan: TrainingPlan, tmp_path: Path) -> None:
    quiet = replace(plan, config=replace(CONFIG, ppo=replace(CONFIG.ppo, init_noise_std=0.1)))
    first = run(quiet, tmp_path / "first", iterations=2)
    assert first.figures["noise"] == pytest.approx(0.1, rel=0.05)
    second = run(plan, tmp_path / "second", iterations=1, warm_start=tmp_path / "first")
    assert second.figures["noise"] == pytest.approx(first.figures["noise"], rel=1e-6)
    saved = [Checkpoints(tmp_path / name / "checkpoints") for name in ("first", "second")]
    assert [each.latest() for each in saved] == [2, 1]
    only_policy = run(plan, tmp_path / "third", iterations=1, warm_start=first.policy)
    assert only_policy.figures["noise"] == pytest.approx(0.2, rel=1e-6)
    assert only_policy.figures["value_loss"] != second.figures["value_loss"]


def test_a_world_model_begins_at_a_policy_of_ppo(plan: TrainingPlan, tmp_path: Path) -> None:
    first = run(plan, tmp_path / "first", iterations=2)
    world = replace(plan, algorithm="world-model")
    old = load_policy(first.policy)
    started = run(world, tmp_path / "second", iterations=0, warm_start=tmp_path / "first")
    assert_same_policy(old, load_policy(started.policy))
    resumed = run(world, tmp_path / "second", iterations=1, resume=True)
    assert load_policy(resumed.policy).facts["dataset"]["earlier"]["nclip"] == 2


DAMAGES: dict[str, tuple[Callable[[TrainingPlan], TrainingPlan], str]] = {
    "size": (
        lambda plan: replace(plan, config=replace(CONFIG, ppo=replace(CONFIG.ppo, hidden=(16,)))),
        r"has hidden layers of \[16, 16\], not \[16\]: set ppo.hidden=\[16, 16\]",
    ),
    "timestep": (
        lambda plan: plan_training(
            arm_clips(2, 1.0),
            replace(CONFIG, physics=replace(CONFIG.physics, timestep=0.001, nsubstep=10)),
            engine="mujoco",
        ),
        "trained with another timestep: 0.002, not 0.001",
    ),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_an_unsuitable_policy_is_refused_and_leaves_no_run(
    plan: TrainingPlan, student: Path, tmp_path: Path, what: str
) -> None:
    change, message = DAMAGES[what]
    with pytest.raises(TrainingError, match=message):
        run(change(plan), tmp_path / "run", iterations=0, warm_start=student)
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_policy_file_is_enough(plan: TrainingPlan, student: Path, tmp_path: Path) -> None:
    alone = tmp_path / "student.safetensors"
    shutil.copy(student / "policy.safetensors", alone)
    messages: list[str] = []
    result = run(plan, tmp_path / "run", iterations=0, warm_start=alone, on_message=messages.append)
    assert_same_policy(load_policy(alone), load_policy(result.policy))
    assert f"starting from the policy of {alone}, trained by 'world-model'" in messages
