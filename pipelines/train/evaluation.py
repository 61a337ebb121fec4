"""Evaluation of a policy on the clips that it was trained on and on held-out clips."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.errors import SettingsError
from musclemap.imitation.errors import PolicyError
from musclemap.imitation.eval.evaluation import ClipEvaluation, evaluate
from musclemap.imitation.eval.scores import ClipScore, totals
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engines import engine_kind, has_cuda, make_engine
from musclemap.imitation.physics.world_settings import TerrainConfig
from musclemap.imitation.policy.file_limits import POLICY
from musclemap.imitation.policy.policy import Policy, compile_policy
from musclemap.imitation.policy.policy_file import body_of, load_policy
from musclemap.imitation.policy.training_clips import TrainingClips
from musclemap.imitation.task.reference import make_library
from musclemap.pipelines.device import explain_memory_error

from .dataset import ClipSelection
from .physics_setup import buffer_arguments

GPU_WORLDS, CPU_WORLDS = 512, 8
"""Largest number of worlds: on a CPU so few that hardly any is idle while the longest clip finishes."""

GROUPS = {"held_out": False, "training": True, "unknown": None}
"""Groups of clips, by whether the policy was trained on them; None if its file does not record that."""


@dataclass(frozen=True, kw_only=True)
class RecordingOptions:
    """Which clips to record, for curves and films.

    Attributes:
        worst: Number of worst clips to record.
        seconds: Total duration of additional clips for a film [s], at least one clip; 0 for no film. Held-out clips
            come first; otherwise the order is that of the data set.
    """

    worst: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluatedClip:
    """A clip, its result, and whether the policy was trained on it; None if the policy's file does not record that."""

    clip: Clip
    result: ClipEvaluation
    trained_on: bool | None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PolicyEvaluation:
    """Result of an evaluation.

    Attributes:
        path: File of the policy.
        policy: The policy.
        body: The simulated body.
        engine: "warp" or "mujoco".
        clips: Results of the clips, in the order of the data set.
        film: Names of the clips that were recorded for a film, in the film's order.
        left_out: Clips that could not be used, each with the reason.
        seconds: Duration of the evaluation [s].
        untrained: Scores of an untrained policy by clip, up to its failure; empty if it was not evaluated.
    """

    path: Path
    policy: Policy
    body: SimulationBody
    engine: str
    clips: tuple[EvaluatedClip, ...]
    film: tuple[str, ...]
    left_out: Mapping[str, str]
    seconds: float
    untrained: Mapping[str, ClipScore] = field(default_factory=dict)

    def __repr__(self) -> str:
        done, mean = self.totals["all"], self.totals["all"]["mean"]
        error = f", relative landmark error {1e3 * e:.1f} mm" if (e := mean.get("relative_landmark_error")) else ""
        return f"<PolicyEvaluation {self.path}: {done['tracked']} of {done['clips']} clips tracked{error}>"

    @property
    def tracked(self) -> bool:
        """Whether every clip was tracked to its end."""
        return all(clip.result.score.success for clip in self.clips)

    @property
    def totals(self) -> dict[str, dict[str, Any]]:
        """Totals over `all` clips, and over each of `GROUPS` that is not empty."""
        groups = {name: [c for c in self.clips if c.trained_on is trained_on] for name, trained_on in GROUPS.items()}
        nonempty = {name: clips for name, clips in groups.items() if clips}
        return {
            name: totals([c.result.score for c in clips]) for name, clips in {"all": self.clips, **nonempty}.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        group = {trained_on: name for name, trained_on in GROUPS.items()}
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
            "clips": [{**c.result.score.to_dict(), "group": group[c.trained_on]} for c in self.clips],
            "left_out": dict(self.left_out),
        }


def find_policy(source: Path) -> Path:
    """Return the file of a policy, given the file itself or the folder of its run.

    Raises:
        PolicyError: If there is no policy.
    """
    path = source / POLICY if source.is_dir() else source
    if not path.is_file():
        raise PolicyError(f"there is no policy at {path}; mm-train writes one with every checkpoint")
    return path


def evaluate_policy(
    path: Path,
    selection: ClipSelection,
    *,
    engine: str = "auto",
    num_envs: int | None = None,
    held_out: bool = False,
    trained_ground: bool = False,
    to_end: bool = True,
    baseline: bool = False,
    recording: RecordingOptions = RecordingOptions(),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PolicyEvaluation:
    """Track every clip once; `musclemap.imitation.eval.evaluation` describes the protocol.

    Args:
        path: File of the policy.
        selection: The clips.
        engine: "warp", "mujoco", or "auto" for Warp if there is a GPU.
        num_envs: Number of clips tracked simultaneously; None for a number that suits the machine.
        held_out: Leave out clips that the policy was trained on.
        trained_ground: Use the ground that the policy was trained on, instead of flat ground as in publications.
        to_end: Simulate each clip to its end, even after a failure.
        baseline: Evaluate an untrained policy too, each clip up to its failure, which comes soon.
        recording: Which clips to record.
        progress: Called after each clip with the number of finished clips and the total.

    Raises:
        PolicyError: If the file is not a policy, or the policy is for another version of the body.
        TrainingError: If no clip can be tracked.
        SettingsError: If `held_out` is set and the policy was trained on all clips, or the engine is not available.
        DeviceMemoryError: If the device has too little memory.
    """
    started = time.monotonic()
    policy = load_policy(path)
    flat = policy if trained_ground else replace(policy, physics=replace(policy.physics, terrain=TerrainConfig()))
    body = body_of(flat)
    training_clips = TrainingClips(policy.facts["dataset"])
    clips = _clips_to_track(selection, training_clips, held_out=held_out)
    kind, by_name = engine_kind(engine), dict(clips)
    nworld = min(num_envs or (GPU_WORLDS if kind == "warp" and has_cuda() else CPU_WORLDS), len(clips))
    with explain_memory_error(f"{len(clips)} clips and {nworld} worlds", "--num-envs, or --limit"):
        library = make_library(
            clips, body, resting=policy.task.resting_excitation, look_ahead=max(policy.task.future_steps)
        )
        buffers = buffer_arguments(body, library.reference, policy.physics, kind=kind)
        worlds = make_engine(body, min(nworld, len(library.names)), kind=kind, **buffers)
        film = _clips_for_film(
            [(name, by_name[name]) for name in library.names], training_clips, seconds=recording.seconds
        )
        results = _ResultStore(recording.worst, film)
        act = compile_policy(policy)
        for result in evaluate(worlds, policy.task, library, act, to_end=to_end, keep=results, progress=progress):
            results.add(result)
        untrained = {}
        if baseline:
            at_rest = compile_policy(_untrained(policy))
            judged = evaluate(worlds, policy.task, library, at_rest, to_end=False)
            untrained = {result.score.name: result.score for result in judged}
    evaluated = [
        EvaluatedClip(clip=by_name[n], result=results.by_name[n], trained_on=training_clips.contains(by_name[n]))
        for n in library.names
    ]
    return PolicyEvaluation(
        path=path,
        policy=policy,
        body=body,
        engine=kind,
        clips=tuple(evaluated),
        film=film,
        left_out={**selection.left_out, **library.left_out},
        seconds=time.monotonic() - started,
        untrained=untrained,
    )


def _untrained(policy: Policy) -> Policy:
    """The policy with actions of zero, as those of a new network are on average: all muscles at rest."""
    weights, biases = ([*layers[:-1], np.zeros_like(layers[-1])] for layers in (policy.weights, policy.biases))
    return replace(policy, weights=tuple(weights), biases=tuple(biases))


def _clips_to_track(
    selection: ClipSelection, training_clips: TrainingClips, *, held_out: bool
) -> list[tuple[str, Clip]]:
    clips = list(selection.clips)
    if held_out:
        clips = [(name, clip) for name, clip in clips if not training_clips.contains(clip)]
        if not clips:
            raise SettingsError(f"the policy was trained on all {len(selection.clips)} clips; none is held out")
    if not clips:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(selection.left_out.items())[:5])
        raise SettingsError(f"there is no clip to track: {reasons}")
    return clips


def _clips_for_film(
    clips: Sequence[tuple[str, Clip]], training_clips: TrainingClips, *, seconds: float
) -> tuple[str, ...]:
    """Names of clips for a film of at most a duration, held-out clips first; at least one clip."""
    ordered = sorted(clips, key=lambda item: bool(training_clips.contains(item[1])))
    ends = np.cumsum([clip.duration for _, clip in ordered])
    count = max(int((ends <= seconds).sum()), 1) if seconds else 0
    return tuple(name for name, _ in ordered[:count])


class _ResultStore:
    """Results of finished clips. Drops recordings of clips that are no longer among the worst."""

    def __init__(self, worst: int, film: Sequence[str]) -> None:
        self._worst, self._film = worst, set(film)
        self.by_name: dict[str, ClipEvaluation] = {}

    def __contains__(self, name: object) -> bool:
        """Whether to record a clip."""
        return bool(self._worst) or name in self._film

    def add(self, result: ClipEvaluation) -> None:
        """Add the result of a finished clip."""
        self.by_name[result.score.name] = result
        recorded = [each for each in self.by_name.values() if each.recording is not None]
        for better in worst_first(recorded)[self._worst :]:
            if better.score.name not in self._film:
                self.by_name[better.score.name] = replace(better, recording=None)


def worst_first(results: Sequence[ClipEvaluation]) -> list[ClipEvaluation]:
    """Sort results: failures first, the earliest at the top, then by decreasing landmark error."""
    error = lambda result: result.score.metrics.get("relative_landmark_error", np.inf)  # noqa: E731
    return sorted(results, key=lambda result: (result.score.coverage, -error(result), result.score.name))
