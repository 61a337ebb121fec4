"""Trainers put together: physics, task and algorithm of a plan; and what another run has learned, to begin with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from musclemap.files import shown
from musclemap.imitation.errors import PolicyError, TrainingError
from musclemap.imitation.physics.engines import make_engine
from musclemap.imitation.physics.randomisation import draw_variants
from musclemap.imitation.policy.policy_file import POLICY, body_facts, load_policy
from musclemap.imitation.ppo.ppo import PPO
from musclemap.imitation.ppo.trainer import Trainer
from musclemap.imitation.runs.checkpoints import Checkpoints
from musclemap.imitation.runs.run_folder import RunFolder
from musclemap.imitation.task import observation
from musclemap.imitation.task.task import Task
from musclemap.imitation.world_model.tendon_files import load_or_fit
from musclemap.imitation.world_model.tendons import Tendons
from musclemap.imitation.world_model.world_model import WorldModel
from musclemap.imitation.world_model.world_trainer import WorldTrainer, check_supported

from .plan import Plan
from .simulation_room import room_for

AnyTrainer = Trainer | WorldTrainer


def make_trainer(
    plan: Plan, task: Task, folder: RunFolder, fits: Sequence[Path], on_message: Callable[[str], None]
) -> AnyTrainer:
    """Make the trainer that a plan asks for.

    Args:
        plan: What to train on what.
        task: Of the plan's body.
        folder: Of the run, where it is written down how well muscles are known.
        fits: Folders that fitted lengths of muscles are taken from, the first that has them, and kept in.
        on_message: Called with sentences for the user.

    Raises:
        SettingsError: The algorithm cannot do what the settings ask for.
    """
    body, config = plan.body, plan.config
    variants = draw_variants(config.randomisation, body, config.num_envs, config.seed)
    room = room_for(body, plan.library.reference, config.physics, kind=plan.engine)
    imagines = plan.algorithm == "world-model"
    if imagines:
        check_supported(task)  # before minutes are spent on muscles
    gpus = config.gpus or 1 if imagines else config.gpus
    engine = make_engine(body, config.num_envs, kind=plan.engine, variants=variants, gpus=gpus, **room)
    if not imagines:
        return Trainer(engine, task, plan.library.reference, PPO(task.nobs, body.model.nu, config.ppo))
    dynamics = config.world_model.dynamics
    tendons = load_or_fit(body, dynamics.tendons, *fits, on_message=on_message) if dynamics.variant == "grey" else None
    if tendons is not None:
        on_message(tendon_line(tendons))
        folder.save_tendon_errors(tendons.error.by_muscle(body.muscle_names))
    model = WorldModel(body, dynamics, tendons)
    return WorldTrainer(engine, task, plan.library, model, config.world_model)


def tendon_line(tendons: Tendons) -> str:
    """How well lengths of muscles are fitted, in a sentence."""
    length, arm = 1000.0 * tendons.error.length, 1000.0 * tendons.error.arm
    return (
        f"lengths of muscles are known to {np.median(length):.2f} mm (median; worst {length.max():.1f}), moment arms "
        f"to {np.median(arm):.2f} mm (worst {arm.max():.1f}), torques to {100 * tendons.torque_error:.1f} %"
    )


def learned_by(
    run: Path, plan: Plan, task: Task, like: Any, *, on_warning: Callable[[str], None]
) -> tuple[Any, dict[str, Any]]:
    """What another run has learned, to begin a new one with.

    Args:
        run: Its folder.
        plan: Of the new run.
        task: Of the new run.
        like: What the new run would begin with.
        on_warning: Called with sentences about checkpoints that are damaged.

    Returns:
        The same as `like`, learned; and what it was learned from, as the policy's file tells.

    Raises:
        TrainingError: The other run is of another body, algorithm, observation or size of networks, or has no policy or
            checkpoint yet, or they are damaged.
    """
    try:
        policy = load_policy(run / POLICY)
    except PolicyError as error:
        raise TrainingError(f"{run} is no run to begin with: {error}") from error
    facts = policy.facts
    layout = list(map(list, observation.layout(task.body, task.config.future_steps).items()))
    requested = {"algorithm": plan.algorithm, "body": body_facts(task.body, plan.config.physics), "observation": layout}
    result = {name: facts[name] for name in requested}
    physics, resting = plan.config.physics, task.config.resting_excitation
    requested |= {"timestep": physics.timestep, "nsubstep": physics.nsubstep, "resting excitation": resting}
    result |= {"timestep": policy.physics.timestep, "nsubstep": policy.physics.nsubstep}
    result |= {"resting excitation": policy.task.resting_excitation}
    for name, value in requested.items():
        if result[name] != value:
            difference = f": {shown(result[name])}, not {value!r}" if not isinstance(value, dict | list) else ""
            raise TrainingError(f"{run} has learned with another {name}{difference}")
    try:
        restored = Checkpoints(run / "checkpoints").restore_learner(like)
    except TrainingError as error:
        raise TrainingError(f"{run} is no run to begin with: {error}") from error
    for number, why in restored.damaged.items():
        on_warning(f"checkpoint {number} of {run} is damaged ({why}); the run begins with checkpoint {restored.number}")
    return restored.tree, dict(facts["dataset"])
