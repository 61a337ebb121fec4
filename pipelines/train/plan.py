"""What a training run will do, decided before it starts."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.imitation.errors import TrainingError
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.engines import engine_kind, has_cuda
from musclemap.imitation.policy.training_clips import clip_facts
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.imitation.task.reference import Library, make_library
from musclemap.pipelines.device import told_memory
from musclemap.settings import to_dict

ALGORITHMS = ("ppo", "world-model")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run will do, told before it starts.

    Attributes:
        body: The body.
        library: The clips.
        clips: The same as they were read.
        config: Settings, with the number of worlds decided.
        engine: Kind of physics: "warp" or "mujoco".
        device: Where networks are computed, in words.
        algorithm: How it is learned.
    """

    body: SimulationBody
    library: Library
    clips: tuple[tuple[str, Clip], ...]
    config: TrainConfig
    engine: str
    device: str
    algorithm: str

    @property
    def seconds(self) -> float:
        """Duration of all clips [s]."""
        return float(np.sum(np.asarray(self.library.reference.length) - 1)) / self.body.control_fps

    @property
    def facts(self) -> dict[str, Any]:
        """What the run is; it resumes only where this is the same."""
        return {
            "algorithm": self.algorithm,
            "body": {"name": self.body.name, "sha256": self.body.sha256},
            "clips": clip_facts(self.clips),
            "config": to_dict(self.config),
            "engine": self.engine,
        }


def plan_training(
    clips: Sequence[tuple[str, Clip]], config: TrainConfig, *, engine: str = "auto", algorithm: str = "ppo"
) -> Plan:
    """Decide what to train on what.

    Args:
        clips: Name and clip, of one body.
        config: Settings.
        engine: "warp", "mujoco", or "auto" for Warp where there is a GPU.
        algorithm: One of `ALGORITHMS`.

    Raises:
        TrainingError: No clip can be learned from, clips are of several bodies or of another version, or the algorithm
            is unknown.
        TargetError: There is no such body.
    """
    if algorithm not in ALGORITHMS:
        raise TrainingError(f"there is no algorithm {algorithm!r}; there are: {', '.join(ALGORITHMS)}")
    if not clips:
        raise TrainingError("no clip can be learned from: all are infeasible or damaged, as their reasons tell")
    names = sorted({clip.model for _, clip in clips})
    if len(names) > 1:
        raise TrainingError(f"the clips are of several bodies: {', '.join(names)}; choose one's with --include")
    body = load_simulation_body(names[0], config.physics)
    with told_memory(f"{len(clips)} clips", "the number of clips: --include, --split or --limit"):
        library = make_library(
            clips, body, resting=config.task.resting_excitation, look_ahead=max(config.task.future_steps)
        )
    kind = engine_kind(engine)
    config = config if config.num_envs else replace(config, num_envs=_usual_worlds(body, kind, algorithm))
    used = set(library.names)
    return Plan(
        body=body,
        library=library,
        clips=tuple((name, clip) for name, clip in clips if name in used),
        config=config,
        engine=kind,
        device=_device_words(),
        algorithm=algorithm,
    )


def _usual_worlds(body: SimulationBody, engine: str, algorithm: str) -> int:
    """8192 on a GPU, as published for PPO; on a processor enough to keep its cores busy and some variety."""
    if engine == "warp" and has_cuda():
        return 8192 if algorithm == "ppo" else 4096
    return 16 if body.model.nu > 100 else 64


def _device_words() -> str:
    device = jax.devices()[0]
    return platform.processor() or platform.machine() if device.platform == "cpu" else str(device.device_kind)
