"""Plan of a training run: body, clips, settings and devices, determined before it starts."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.track_file import StoredTrack
from musclemap.files import shown
from musclemap.imitation.errors import TrainingError
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body, physics_for_clips
from musclemap.imitation.physics.engines import engine_kind, has_cuda
from musclemap.imitation.policy.training_clips import clip_facts
from musclemap.imitation.ppo.ppo_config import default_minibatch_size
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.imitation.task.reference import Library, make_library
from musclemap.pipelines.device import explain_memory_error
from musclemap.settings import to_dict

from .recorded_episodes import EpisodeFolder, find_episodes

ALGORITHMS = ("ppo", "world-model", "dagger")


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """Plan of a training run.

    Attributes:
        body: The body.
        library: The clips, prepared for training.
        clips: Name and original clip, for every clip in the library.
        config: Settings, with the number of worlds and the size of PPO's minibatches filled in.
        engine: Physics engine: "warp" or "mujoco".
        device: Description of the device that computes the networks.
        algorithm: One of `ALGORITHMS`.
        episodes: Recorded episodes for the replay buffer; None for none.
        tracks: Tracks that the regulator of DAgger holds to, by clip; see `pipelines.track.teacher_tracks`.
    """

    body: SimulationBody
    library: Library
    clips: tuple[tuple[str, Clip], ...]
    config: TrainConfig
    engine: str
    device: str
    algorithm: str
    episodes: EpisodeFolder | None = None
    tracks: Mapping[str, StoredTrack] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Total duration of all clips [s]."""
        return float(np.sum(np.asarray(self.library.reference.length) - 1)) / self.body.control_fps

    @property
    def facts(self) -> dict[str, Any]:
        """Facts that identify the run; a run resumes only if they match."""
        facts = {
            "algorithm": self.algorithm,
            "body": {"name": self.body.name, "sha256": self.body.sha256},
            "clips": clip_facts(self.clips),
            "config": to_dict(self.config),
            "engine": self.engine,
        }
        if self.tracks:
            facts["tracks"] = {name: track.qpos_sha256 for name, track in self.tracks.items()}
        return facts if self.episodes is None else facts | {"episodes": self.episodes.facts}


def plan_training(
    clips: Sequence[tuple[str, Clip]], config: TrainConfig, *, engine: str = "auto", algorithm: str = "ppo",
    episodes: Path | None = None,
) -> TrainingPlan:  # fmt: skip
    """Plan a training run.

    Args:
        clips: Name and clip, all of the same body.
        config: Settings.
        engine: "warp", "mujoco", or "auto" for Warp if there is a GPU.
        algorithm: One of `ALGORITHMS`.
        episodes: Folder of recorded episodes for the replay buffer of a world model.

    Raises:
        TrainingError: If no clip is usable, the clips are of several bodies or of another version of the body, the
            algorithm is unknown or has no replay buffer, or there are no episodes in the folder.
        TargetError: If the body does not exist.
    """
    if algorithm not in ALGORITHMS:
        raise TrainingError(f"unknown algorithm {shown(algorithm)}; known: {', '.join(ALGORITHMS)}")
    if episodes is not None and algorithm != "world-model":
        raise TrainingError(f"recorded episodes fill the replay buffer of a world model; {algorithm} has none")
    if not clips:
        raise TrainingError("no clip can be learned from: all are infeasible or damaged; see their reasons")
    names = sorted({clip.model for _, clip in clips})
    if len(names) > 1:
        raise TrainingError(
            f"the clips are of several bodies: {', '.join(names)}; select those of one body with --include"
        )
    config = replace(config, physics=physics_for_clips(clips, config.physics))
    body = load_simulation_body(names[0], config.physics)
    with explain_memory_error(f"{len(clips)} clips", "the number of clips: --include, --split or --limit"):
        library = make_library(
            clips, body, resting=config.task.resting_excitation, look_ahead=max(config.task.future_steps)
        )
    kind = engine_kind(engine)
    config = config if config.num_envs else replace(config, num_envs=_default_num_envs(body, kind, algorithm))
    if not config.ppo.minibatch_size:
        minibatch_size = default_minibatch_size(config.num_envs * config.ppo.num_steps)
        config = replace(config, ppo=replace(config.ppo, minibatch_size=minibatch_size))
    used = set(library.names)
    return TrainingPlan(
        body=body,
        library=library,
        clips=tuple((name, clip) for name, clip in clips if name in used),
        config=config,
        engine=kind,
        device=_device_description(),
        algorithm=algorithm,
        episodes=None if episodes is None else find_episodes(episodes),
    )


def _default_num_envs(body: SimulationBody, engine: str, algorithm: str) -> int:
    """Default number of worlds: 8192 on a GPU, as published for PPO; on a CPU enough to keep its cores busy."""
    if algorithm == "dagger":
        return 20  # the controller, not the physics, takes the time; evaluation needs ten starts of each kind
    if engine == "warp" and has_cuda():
        return 8192 if algorithm == "ppo" else 4096
    return 16 if body.model.nu > 100 else 64


def _device_description() -> str:
    device = jax.devices()[0]
    return platform.processor() or platform.machine() if device.platform == "cpu" else str(device.device_kind)
