"""A policy and a data set to figures: what it tracks of clips it has learned from, and of those it has not."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.errors import SettingsError
from musclemap.imitation.errors import PolicyError
from musclemap.imitation.eval.evaluation import ClipEvaluation, evaluate
from musclemap.imitation.eval.scores import totals
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engines import engine_kind, has_cuda, make_engine
from musclemap.imitation.physics.terrain import TerrainConfig
from musclemap.imitation.policy.policy import Policy, compile_policy
from musclemap.imitation.policy.policy_file import POLICY, body_of, load_policy
from musclemap.imitation.policy.training_clips import TrainingClips
from musclemap.imitation.task.reference import make_library
from musclemap.pipelines.device import told_memory

from .dataset import Chosen
from .simulation_room import room_for

GPU_WORLDS, CPU_WORLDS = 512, 8
"""Most worlds at a time: on a processor so few that hardly any idles while the longest clip ends."""

GROUPS = {"held_out": False, "training": True, "unknown": None}
"""Groups of clips, and whether the policy has learned from them, as far as its file tells."""


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Which clips are recorded, for curves and films.

    Attributes:
        worst: How many, the worst first.
        seconds: Besides, clips of this duration in all for a film [s], one at least; those that the policy has not
            learned from come first, otherwise the data set's order holds. 0 for no film.
    """

    worst: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A clip, what came of it, and whether the policy has learned from it; None where its file does not tell."""

    clip: Clip
    result: ClipEvaluation
    learned: bool | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What came of an evaluation.

    Attributes:
        path: The policy's file.
        policy: The policy.
        body: What it moved.
        engine: "warp" or "mujoco".
        clips: The clips, in the data set's order.
        film: Names of the clips that were recorded for a film, in its order.
        left_out: Clips that could not be used, each with the reason.
        seconds: Time that it took [s].
    """

    path: Path
    policy: Policy
    body: SimulationBody
    engine: str
    clips: tuple[Judged, ...]
    film: tuple[str, ...]
    left_out: Mapping[str, str]
    seconds: float

    @property
    def tracked(self) -> bool:
        """Whether every clip was tracked to its end."""
        return all(judged.result.score.success for judged in self.clips)

    @property
    def totals(self) -> dict[str, dict[str, Any]]:
        """Totals over `all` clips, and over each of `GROUPS` that has some."""
        groups = {name: [j for j in self.clips if j.learned is learned] for name, learned in GROUPS.items()}
        there = {name: clips for name, clips in groups.items() if clips}
        return {name: totals([j.result.score for j in clips]) for name, clips in {"all": self.clips, **there}.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        group = {learned: name for name, learned in GROUPS.items()}
        terrain = self.policy.physics.terrain.kind if self.body.ground is not None else "flat"
        return {
            "policy": str(self.path),
            "steps": self.policy.facts["steps"],
            "algorithm": self.policy.facts["algorithm"],
            "body": self.body.name,
            "engine": self.engine,
            "ground": terrain,
            "seconds": self.seconds,
            "totals": self.totals,
            "clips": [{**j.result.score.to_dict(), "group": group[j.learned]} for j in self.clips],
            "left_out": dict(self.left_out),
        }


def find_policy(source: Path) -> Path:
    """The file of a policy, given itself or the folder of its run.

    Raises:
        PolicyError: There is none.
    """
    path = source / POLICY if source.is_dir() else source
    if not path.is_file():
        raise PolicyError(f"there is no policy at {path}; mm-train writes one whenever it saves")
    return path


def evaluate_policy(
    path: Path,
    chosen: Chosen,
    *,
    engine: str = "auto",
    num_envs: int | None = None,
    held_out: bool = False,
    trained_ground: bool = False,
    to_end: bool = True,
    keep: Keep = Keep(),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Track every clip once; see `musclemap.imitation.eval.evaluation` for the protocol.

    Args:
        path: The policy's file.
        chosen: The clips.
        engine: "warp", "mujoco", or "auto" for Warp where there is a GPU.
        num_envs: Clips that are tracked at a time; None for a number that suits the machine.
        held_out: Leave out clips that the policy has learned from.
        trained_ground: On the ground that it was trained on, and not on flat ground as published.
        to_end: Simulate a clip to its end after a failure.
        keep: What is recorded.
        progress: Called after each clip with the number done and that of all.

    Raises:
        PolicyError: The file is no policy, or of another version of the body.
        TrainingError: No clip can be tracked.
        SettingsError: All were learned from and held-out ones were asked for, or the engine is not there.
        DeviceMemoryError: Memory does not suffice.
    """
    started = time.monotonic()
    policy = load_policy(path)
    flat = policy if trained_ground else replace(policy, physics=replace(policy.physics, terrain=TerrainConfig()))
    body = body_of(flat)
    training_clips = TrainingClips(policy.facts["dataset"])
    left_out, clips = dict(chosen.left_out), list(chosen.clips)
    if held_out:
        clips = [(name, clip) for name, clip in clips if not training_clips.contains(clip)]
        if not clips:
            raise SettingsError(f"the policy has learned from all {len(chosen.clips)} clips; none is held out")
    if not clips:
        message = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:5])
        raise SettingsError(f"there is no clip to track: {message}")
    kind, by_name = engine_kind(engine), dict(clips)
    nworld = min(num_envs or (GPU_WORLDS if kind == "warp" and has_cuda() else CPU_WORLDS), len(clips))
    with told_memory(f"{len(clips)} clips and {nworld} worlds", "--num-envs, or --limit"):
        library = make_library(
            clips, body, resting=policy.task.resting_excitation, look_ahead=max(policy.task.future_steps)
        )
        room = room_for(body, library.reference, policy.physics, kind=kind)
        worlds = make_engine(body, min(nworld, len(library.names)), kind=kind, **room)
        film = _for_film([(name, by_name[name]) for name in library.names], training_clips, seconds=keep.seconds)
        kept = _Kept(keep.worst, film)
        act = compile_policy(policy)
        for one in evaluate(worlds, policy.task, library, act, to_end=to_end, keep=kept, progress=progress):
            kept.take(one)
    judged = [
        Judged(clip=by_name[n], result=kept.result[n], learned=training_clips.contains(by_name[n]))
        for n in library.names
    ]
    return Evaluation(
        path=path,
        policy=policy,
        body=body,
        engine=kind,
        clips=tuple(judged),
        film=film,
        left_out=left_out | dict(library.left_out),
        seconds=time.monotonic() - started,
    )


def _for_film(clips: Sequence[tuple[str, Clip]], training_clips: TrainingClips, *, seconds: float) -> tuple[str, ...]:
    ordered = sorted(clips, key=lambda item: bool(training_clips.contains(item[1])))
    ends = np.cumsum([clip.duration for _, clip in ordered])
    count = max(int((ends <= seconds).sum()), 1) if seconds else 0
    return tuple(name for name, _ in ordered[:count])


class _Kept:
    """Clips that are done; recordings of those that are no longer among the worst are let go."""

    def __init__(self, worst: int, film: Sequence[str]) -> None:
        self._worst, self._film = worst, set(film)
        self.result: dict[str, ClipEvaluation] = {}

    def __contains__(self, name: object) -> bool:
        return bool(self._worst) or name in self._film

    def take(self, one: ClipEvaluation) -> None:
        """Take a clip that is done."""
        self.result[one.score.name] = one
        held = [f for f in self.result.values() if f.recording is not None]
        for other in worst_first(held)[self._worst :]:
            if other.score.name not in self._film:
                self.result[other.score.name] = replace(other, recording=None)


def worst_first(result: Sequence[ClipEvaluation]) -> list[ClipEvaluation]:
    """Those that were lost, the earliest first, then those with the largest landmark error."""
    error = lambda one: one.score.metrics.get("relative_landmark_error", np.inf)  # noqa: E731
    return sorted(result, key=lambda one: (one.score.coverage, -error(one), one.score.name))
