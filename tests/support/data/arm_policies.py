"""Policies for tests: untrained networks with a normaliser that has seen data."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp

from musclemap.datasets.clip import Clip
from musclemap.imitation.physics.bodies import load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.policy.policy_file import write_policy
from musclemap.imitation.policy.training_clips import dataset_facts
from musclemap.imitation.ppo.normaliser import update_normaliser
from musclemap.imitation.ppo.ppo import PPO, LearnerState, PPOConfig
from musclemap.imitation.task.task import Task
from musclemap.imitation.task.task_config import TaskConfig

HIDDEN = (24, 16)


def untrained(task: Task, *, seed: int = 0, scale: float = 1.0) -> tuple[PPO, LearnerState]:
    """A learner whose policy's last layer is scaled by `scale`, so that its actions are noticeable."""
    ppo = PPO(task.nobs, task.body.model.nu, PPOConfig(hidden=HIDDEN))
    first, second = jax.random.split(jax.random.PRNGKey(seed))
    learner = ppo.init(first)
    obs = 2.0 * jax.random.normal(second, (50, task.nobs)) + 0.3
    policy = dict(learner.params["policy"])
    last = f"w{len(HIDDEN)}"
    policy[last] = policy[last] * scale
    policy["b0"] = policy["b0"] + jnp.linspace(-1.0, 1.0, HIDDEN[0])
    params = {**learner.params, "policy": policy}
    return ppo, learner._replace(params=params, normaliser=update_normaliser(learner.normaliser, obs))


def save_untrained(
    path: Path, clips: Sequence[tuple[str, Clip]] = (), *, body: str = "SmallArm", scale: float = 1.0,
    config: TaskConfig | None = None,
) -> tuple[PPO, LearnerState]:  # fmt: skip
    """Write an untrained policy that claims to have learned from `clips`."""
    physics = PhysicsConfig()
    task = Task(load_simulation_body(body, physics), config or TaskConfig())
    ppo, learner = untrained(task, scale=scale)
    write_policy(
        path, task=task, physics=physics, params=learner.params["policy"], normaliser=learner.normaliser,
        algorithm="ppo", steps=12_000, dataset=dataset_facts(clips),
    )  # fmt: skip
    return ppo, learner
