"""Settings of a training run, all in one tree: what `mm-train --set` changes and a run's folder keeps."""

from dataclasses import dataclass, field

from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.physics.randomisation import RandomisationConfig
from musclemap.imitation.ppo.ppo import PPOConfig
from musclemap.imitation.task.task import TaskConfig
from musclemap.imitation.world_model.world_config import WorldModelConfig
from musclemap.setting_checks import check_at_most, check_not_below_0, check_seed


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a run.

    Attributes:
        num_envs: Worlds that are simulated at a time; 0 for a number that suits body and device.
        gpus: GPUs that worlds are spread over with MuJoCo Warp; 0 for all that the machine has.
        seed: Another number gives other networks, episodes and noise.
        physics: The simulation.
        task: What is to be done.
        ppo: How it is learned by proximal policy optimisation.
        world_model: How it is learned through a model of the body's dynamics.
        randomisation: How much the worlds' bodies differ.
    """

    num_envs: int = 0
    gpus: int = 0
    seed: int = 0
    physics: PhysicsConfig = field(default_factory=PhysicsConfig)
    task: TaskConfig = field(default_factory=TaskConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
    randomisation: RandomisationConfig = field(default_factory=RandomisationConfig)

    def __post_init__(self) -> None:
        check_not_below_0("", self, "num_envs", "gpus")
        check_at_most("", self, num_envs=1_000_000, gpus=1024)  # worlds: a hundred times what fills a GPU
        check_seed("", self, "seed")
