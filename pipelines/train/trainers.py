"""Construction of trainers from a plan."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from musclemap.imitation.dagger.dagger_trainer import DaggerTrainer
from musclemap.imitation.dagger.dagger_trainer import check_supported as check_supported_by_dagger
from musclemap.imitation.dagger.label_pool import LabelPool
from musclemap.imitation.physics.engines import make_engine
from musclemap.imitation.physics.randomisation import draw_variants
from musclemap.imitation.ppo.ppo import PPO
from musclemap.imitation.ppo.trainer import Trainer
from musclemap.imitation.regulator.regulate import regulate
from musclemap.imitation.runs.run_folder import RunFolder
from musclemap.imitation.task.reference import refuse_moving_base
from musclemap.imitation.task.task import Task
from musclemap.imitation.world_model.tendon_files import load_or_fit
from musclemap.imitation.world_model.tendons import Tendons
from musclemap.imitation.world_model.world_model import WorldModel
from musclemap.imitation.world_model.world_trainer import WorldTrainer, check_supported

from .physics_setup import buffer_arguments
from .plan import TrainingPlan
from .recorded_episodes import load_episodes

AnyTrainer = Trainer | WorldTrainer | DaggerTrainer


def make_trainer(
    plan: TrainingPlan, task: Task, folder: RunFolder, cache: Path | None, on_message: Callable[[str], None]
) -> AnyTrainer:
    """Make the trainer for a plan.

    Args:
        plan: The plan.
        task: Task with the plan's body.
        folder: Folder of the run, where fitted tendon lengths and their errors are saved.
        cache: Folder in which fitted tendon lengths and linear models of clips are kept for other runs.
        on_message: Called with messages for the user.

    Raises:
        SettingsError: If the algorithm does not support the settings.
    """
    body, config = plan.body, plan.config
    variants = draw_variants(config.randomisation, body, config.num_envs, config.seed)
    buffers = buffer_arguments(body, plan.library.reference, config.physics, kind=plan.engine)
    uses_world_model = plan.algorithm == "world-model"
    if uses_world_model:
        check_supported(task)  # before minutes are spent on fitting tendon lengths
        refuse_moving_base(plan.library, "a world model")
    if plan.algorithm == "dagger":
        check_supported_by_dagger(task)
    gpus = config.gpus or (0 if plan.algorithm == "ppo" else 1)
    engine = make_engine(body, config.num_envs, kind=plan.engine, variants=variants, gpus=gpus, **buffers)
    if plan.algorithm == "dagger":
        return DaggerTrainer(engine, task, plan.library, _label_pool(plan, cache, on_message), config.dagger)
    if not uses_world_model:
        return Trainer(engine, task, plan.library.reference, PPO(task.nobs, body.model.nu, config.ppo))
    dynamics = config.world_model.dynamics
    tendon_folders = [folder.root, *([cache] if cache else [])]
    tendons = (
        None
        if dynamics.variant == "plain"
        else load_or_fit(body, dynamics.tendons, *tendon_folders, on_message=on_message)
    )
    if tendons is not None:
        on_message(tendon_fit_summary(tendons))
        folder.save_tendon_errors(tendons.error.by_muscle(body.muscle_names))
    model = WorldModel(body, dynamics, tendons)
    episodes = [] if plan.episodes is None else load_episodes(plan.episodes, body, on_message=on_message)
    return WorldTrainer(engine, task, plan.library, model, config.world_model, episodes)


def _label_pool(plan: TrainingPlan, cache: Path | None, on_message: Callable[[str], None]) -> LabelPool:
    """The teacher of the clips, in their order in the library."""
    config, by_name = plan.config.dagger, dict(plan.clips)
    clips = [(name, by_name[name]) for name in plan.library.names]
    physics, regulated = plan.config.physics, []
    if config.teacher == "regulator":
        regulated = regulate(
            plan.body,
            physics,
            clips,
            config.tracking,
            config.regulator,
            tracks=plan.tracks,
            workers=config.workers,
            cache=cache,
            on_message=on_message,
        )
    return LabelPool(
        plan.body,
        physics,
        [clip for _, clip in clips],
        config.tracking,
        regulated=regulated,
        workers=config.workers,
        ndirection=config.directions,
        power=config.direction_power,
    )


def tendon_fit_summary(tendons: Tendons) -> str:
    """Sentence about the errors of fitted tendon lengths."""
    length, arm = 1000.0 * tendons.error.length, 1000.0 * tendons.error.arm
    return (
        f"errors of fitted tendons: length {np.median(length):.2f} mm (median; worst {length.max():.1f}), moment arm "
        f"{np.median(arm):.2f} mm (worst {arm.max():.1f}), torque {100 * tendons.torque_error:.1f} %"
    )
