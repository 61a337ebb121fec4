"""Warm start: a run that begins at the policy of another run, whichever algorithm trained it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from musclemap.files import shown
from musclemap.imitation.errors import PolicyError, TrainingError
from musclemap.imitation.policy.file_limits import POLICY
from musclemap.imitation.policy.policy import Policy
from musclemap.imitation.policy.policy_file import body_facts, load_policy
from musclemap.imitation.ppo.networks import NORM_EPSILON
from musclemap.imitation.ppo.normaliser import MAX_ABS, MIN_STD, Normaliser
from musclemap.imitation.runs.checkpoints import Checkpoints
from musclemap.imitation.task import observation
from musclemap.imitation.task.task import Task

from .plan import TrainingPlan


def warm_start(
    start: Path, plan: TrainingPlan, task: Task, trainer: Any, state: Any, *, on_message: Callable[[str], None],
    on_warning: Callable[[str], None],
) -> tuple[Any, dict[str, Any]]:  # fmt: skip
    """Begin at the policy of another run.

    The folder of a run of the same algorithm also provides its other networks, such as PPO's critic. From another
    algorithm, or from a file, only the policy is used.

    Args:
        start: Folder of the other run, or a policy file.
        plan: Plan of the new run.
        task: Task of the new run.
        trainer: Trainer of the new run.
        state: Its initial state.
        on_message: Called with messages for the user.
        on_warning: Called with messages about damaged checkpoints.

    Returns:
        The new run's state, and the clips that the policy was trained on, as recorded in its file.

    Raises:
        TrainingError: If the policy has another body, observation or network size, or anything is missing or damaged.
    """
    try:
        policy = load_policy(start if start.is_file() else start / POLICY)
    except PolicyError as error:
        raise TrainingError(f"cannot start from {start}: {error}") from error
    _check_same_task(start, policy, plan, task)
    algorithm, dataset = policy.facts["algorithm"], dict(policy.facts["dataset"])
    if algorithm != plan.algorithm or start.is_file():
        params, normaliser = _networks(start, policy, plan, trainer.policy(state)[0])
        on_message(f"starting from the policy of {start}, trained by {shown(algorithm)}")
        return trainer.warm_start_policy(state, params, normaliser), dataset
    try:
        restored = Checkpoints(start / "checkpoints").restore_learner(trainer.learned_like(state))
    except TrainingError as error:
        raise TrainingError(f"cannot start from {start}: {error}") from error
    for number, fault in restored.damaged.items():
        on_warning(f"checkpoint {number} of {start} is damaged ({fault}); starting from checkpoint {restored.number}")
    on_message(f"starting from the networks of {start}")
    return trainer.warm_start(state, restored.tree), dataset


def _check_same_task(start: Path, policy: Policy, plan: TrainingPlan, task: Task) -> None:
    """Refuse a policy of another body, observation or meaning of actions."""
    facts, physics = policy.facts, plan.config.physics
    layout = list(map(list, observation.layout(task.body, task.config.future_steps).items()))
    requested = {
        "body": body_facts(task.body, physics), "observation": layout, "timestep": physics.timestep,
        "nsubstep": physics.nsubstep, "resting excitation": task.config.resting_excitation,
        "norm_epsilon": NORM_EPSILON, "largest normalised observation": MAX_ABS, "smallest standard deviation": MIN_STD,
    }  # fmt: skip
    recorded = {
        "body": facts["body"], "observation": facts["observation"], "timestep": policy.physics.timestep,
        "nsubstep": policy.physics.nsubstep, "resting excitation": policy.task.resting_excitation,
        "norm_epsilon": policy.norm_epsilon, "largest normalised observation": policy.max_abs_obs,
        "smallest standard deviation": policy.min_std,
    }  # fmt: skip
    for name, value in requested.items():
        if recorded[name] != value:
            difference = f": {shown(recorded[name])}, not {value!r}" if not isinstance(value, dict | list) else ""
            raise TrainingError(f"{start} was trained with another {name}{difference}")


def _networks(start: Path, policy: Policy, plan: TrainingPlan, like: Any) -> tuple[dict[str, Any], Normaliser]:
    """Network and normaliser of a policy, as arrays of JAX.

    Raises:
        TrainingError: If the network has other shapes than `like`.
    """
    params = {f"w{k}": jnp.asarray(weight) for k, weight in enumerate(policy.weights)}
    params |= {f"b{k}": jnp.asarray(bias) for k, bias in enumerate(policy.biases)}
    if {name: array.shape for name, array in params.items()} != {name: array.shape for name, array in like.items()}:
        hidden = [len(bias) for bias in policy.biases[:-1]]
        own = [len(like[f"b{k}"]) for k in range(len(like) // 2 - 1)]
        setting = f"{plan.algorithm.replace('-', '_')}.hidden"
        raise TrainingError(f"the policy of {start} has hidden layers of {hidden}, not {own}: set {setting}={hidden}")
    count = jnp.asarray(policy.count, jnp.float32)
    return params, Normaliser(jnp.asarray(policy.mean), jnp.asarray(policy.var), count)
