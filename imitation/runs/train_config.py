"""Settings of a training run, all in one tree: what `mm-train --set` changes and a run's folder keeps."""

from dataclasses import field
from typing import Annotated

from pydantic import Field

from musclemap.imitation.dagger.dagger_config import DaggerConfig
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.physics.world_settings import RandomisationConfig
from musclemap.imitation.ppo.ppo_config import PPOConfig
from musclemap.imitation.task.task_config import TaskConfig
from musclemap.imitation.world_model.world_config import WorldModelConfig
from musclemap.settings import Seed, settings


@settings
class TrainConfig:
    """Settings of a run.

    Attributes:
        num_envs: Worlds simulated in parallel; 0 chooses a number that suits body and device.
        gpus: GPUs that MuJoCo Warp's worlds are spread over; 0 for all of the machine.
        seed: Seed of networks, episodes and noise.
        physics: The simulation.
        task: The tracking task.
        ppo: Proximal policy optimisation.
        world_model: Learning through a model of the body's dynamics.
        dagger: Imitation of the tracking controller.
        randomisation: How much the worlds' bodies differ.
    """

    num_envs: Annotated[int, Field(ge=0, le=1_000_000)] = 0  # at most a hundred times as many as fill a GPU
    gpus: Annotated[int, Field(ge=0, le=1024)] = 0
    seed: Seed = 0
    physics: PhysicsConfig = field(default_factory=PhysicsConfig)
    task: TaskConfig = field(default_factory=TaskConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
    dagger: DaggerConfig = field(default_factory=DaggerConfig)
    randomisation: RandomisationConfig = field(default_factory=RandomisationConfig)
