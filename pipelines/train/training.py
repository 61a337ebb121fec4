"""Training of a policy until a stop condition is met, with logs, checkpoints and the policy in the run's folder."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax

from musclemap import __version__
from musclemap.imitation.errors import TrainingError
from musclemap.imitation.policy.training_clips import dataset_facts, with_earlier
from musclemap.imitation.runs.logs import JsonLines, Log, Service, TensorBoard
from musclemap.imitation.runs.run_folder import RunFolder, open_run
from musclemap.imitation.task.task import Task
from musclemap.imitation.task.worlds import RolloutStats, clear_stats
from musclemap.pipelines.device import explain_memory_error

from .plan import TrainingPlan
from .trainers import make_trainer
from .warm_start import warm_start as begin_at

LOG_SECONDS = 5.0
"""Time between two log entries [s]."""

SAVE_SECONDS = 300.0
"""Time between two checkpoints [s]."""


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """Figures of a run at one point in time; `final` is True for the last ones."""

    figures: Mapping[str, float]
    final: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """Result of a training run.

    Attributes:
        policy: File of the policy.
        policy_steps: Control steps of the policy in that file. Larger than `steps` if the run resumed from an older
            checkpoint and has not caught up.
        steps: Total number of control steps.
        seconds: Total time [s], over all sessions of the run.
        stop_reason: Why the run ended: "time", "steps" or "interrupted".
        figures: The last figures.
    """

    policy: Path
    policy_steps: int
    steps: int
    seconds: float
    stop_reason: str
    figures: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class StopCondition:
    """When to stop a run.

    Attributes:
        seconds: Time limit of this session [s], including compilation; None for no limit.
        steps: Limit of the total number of control steps; None for no limit.
        stop_requested: Polled between iterations; the run stops once it returns True.
    """

    seconds: float | None = None
    steps: int | None = None
    stop_requested: Callable[[], bool] = field(default=lambda: False)


def train(
    plan: TrainingPlan,
    run: Path,
    *,
    until: StopCondition,
    resume: bool = False,
    tensorboard: bool = True,
    track: str | None = None,
    progress: Callable[[TrainingProgress], None] = lambda moment: None,
    on_message: Callable[[str], None] = lambda text: None,
    on_warning: Callable[[str], None] | None = None,
    save_seconds: float = SAVE_SECONDS,
    cache: Path | None = None,
    warm_start: Path | None = None,
) -> TrainingResult:
    """Train until a stop condition is met. Saves checkpoints and the policy at the end and at regular intervals.

    Args:
        plan: From `plan_training`.
        run: Folder of the run.
        until: When to stop.
        resume: Resume the run in the folder.
        tensorboard: Write TensorBoard event files, too.
        track: "wandb" or "trackio" to send figures to that service, or None.
        progress: Called with figures every few seconds.
        on_message: Called with messages for the user.
        on_warning: Called with messages about damaged or missing files, and about time that was too short; None calls
            `on_message`.
        save_seconds: Time between checkpoints [s].
        cache: Folder in which fitted tendon lengths and linear models of clips are kept for other runs. Tendons in the
            run's own folder take precedence, so that a run resumes on another machine with the same muscles.
        warm_start: Folder of another run, or a policy file, at which this run begins; see `warm_start.warm_start`.

    Raises:
        TrainingError: If the folder holds another run or one that cannot be resumed, or the run for the warm start is
            damaged or has another body, observation or network size.
        DeviceMemoryError: If the device has too little memory.
        SettingsError: If `track` is unknown or not installed.
    """
    facts, on_warning = plan.facts, on_warning or on_message
    if resume and warm_start is not None:
        raise TrainingError("a resumed run cannot start from another run: give only one of the two")
    with open_run(run, facts, resume=resume) as (folder, notes), ExitStack() as stack, _explain_memory_error(plan):
        for note in notes:
            on_warning(note)
        logs: list[Log] = []
        openers = [lambda: JsonLines(folder.root)]
        openers += [lambda: TensorBoard(folder.root)] if tensorboard else []
        openers += [lambda: Service(track, folder.root, facts)] if track is not None else []
        for open_log in openers:
            logs.append(open_log())
            stack.callback(logs[-1].close)
        session = _TrainingSession(plan, folder, logs, progress, on_message, on_warning, cache)
        stack.callback(session.close)
        return session.run(until, resume=resume, warm_start=warm_start, save_seconds=save_seconds)


class _TrainingSession:
    """State of one call of `train`."""

    def __init__(
        self,
        plan: TrainingPlan,
        folder: RunFolder,
        logs: Sequence[Log],
        progress: Callable[[TrainingProgress], None],
        on_message: Callable[[str], None],
        on_warning: Callable[[str], None],
        cache: Path | None,
    ) -> None:
        self._plan, self._folder, self._logs, self._progress = plan, folder, logs, progress
        self._on_message, self._on_warning, self._last_warning = on_message, on_warning, ""
        self._earlier = folder.earlier()
        config = plan.config
        self._started = time.monotonic()
        self._task = Task(plan.body, config.task)
        self._trainer: Any = make_trainer(plan, self._task, folder, cache, on_message)
        self._earlier_seconds = 0.0
        self._figures: dict[str, float] = {}
        self._last_log = (self._started, 0)

    def run(
        self, until: StopCondition, *, resume: bool, warm_start: Path | None, save_seconds: float
    ) -> TrainingResult:
        state: Any = self._trainer.init(self._plan.config.seed)
        if resume and self._folder.checkpoints.latest() is not None:
            state = self._restore(state)
        elif warm_start is not None:
            state = self._warm_start(warm_start, state)
        steps, earlier = self._steps(state), int(state.iterations)
        self._figures = {"iteration": earlier, "steps": steps, "seconds": self._seconds()}
        self._last_log = (time.monotonic(), self._steps(state))
        logged = saved = time.monotonic()
        stop_reason, first = self._stop_reason(state, until), True
        if stop_reason == "steps":
            self._on_message(f"the run already has {steps:,} steps and has reached its limit; nothing is left to do")
        while not stop_reason:
            state, update = self._trainer.iterate(state)
            now = time.monotonic()
            stop_reason = self._stop_reason(state, until)
            if first or stop_reason or now - logged >= LOG_SECONDS:
                state, logged = self._log(state, update, first=first), now
            resets_replay = self._trainer.resets_replay(state)
            if resets_replay:
                state = self._trainer.to_checkpoint(state)  # frees the replay buffer before a new one is allocated
                state = self._trainer.from_checkpoint(state)
            if resets_replay or now - saved >= save_seconds:
                self._save(state)
                saved = time.monotonic()
            first = False
        if stop_reason == "time" and until.seconds and int(state.iterations) <= earlier + 1:
            self._on_warning(
                "the time limit left room for compilation and next to no training; the same command with --resume goes "
                "on, with a part of the programs compiled"
            )
        self._save(state)
        self._progress(TrainingProgress(figures=self._figures, final=True))
        return TrainingResult(
            policy=self._folder.policy, policy_steps=self._folder.policy_steps() or 0, steps=self._steps(state),
            seconds=self._seconds(), stop_reason=stop_reason, figures=self._figures,
        )  # fmt: skip

    def close(self) -> None:
        """End the trainer's processes."""
        self._trainer.close()

    def _restore(self, state: Any) -> Any:
        """Restore the newest readable checkpoint. Damaged newer ones are renamed, not deleted, and reported."""
        if self._earlier is not None:  # the state of a run that began at a policy may include that policy
            state = self._trainer.warm_start(state, state.learner)
        state = self._trainer.to_checkpoint(state)  # frees the replay buffer before a new one is allocated
        restored = self._folder.checkpoints.restore(state)
        state, self._earlier_seconds = self._trainer.from_checkpoint(restored.tree), restored.seconds
        steps = self._steps(state)
        for number, fault in restored.damaged.items():
            backup = self._folder.checkpoints.set_aside(number)
            lost = self._trainer.steps_after(number) - steps
            self._on_warning(
                f"the checkpoint after {steps + lost:,} steps is damaged ({fault}); it is kept as {backup.name}, and "
                f"{lost:,} steps are repeated"
            )
        self._on_message(f"resuming after {steps:,} steps")
        return state

    def _warm_start(self, run: Path, state: Any) -> Any:
        """Initialise the networks from another run."""
        try:
            state, dataset = begin_at(
                run, self._plan, self._task, self._trainer, state, on_message=self._on_message,
                on_warning=self._on_warning,
            )  # fmt: skip
        except TrainingError:
            self._folder.discard_run()
            raise
        self._folder.save_earlier(dataset)
        self._earlier = dataset
        self._save(state)  # so that the initial networks survive a crash before the next checkpoint
        return state

    def _steps(self, state: Any) -> int:
        return self._trainer.steps_after(int(state.iterations))

    def _seconds(self) -> float:
        return self._earlier_seconds + time.monotonic() - self._started

    def _stop_reason(self, state: Any, until: StopCondition) -> str:
        if until.stop_requested():
            return "interrupted"
        if until.steps is not None and self._steps(state) >= until.steps:
            return "steps"
        if until.seconds is not None and time.monotonic() - self._started >= until.seconds:
            return "time"
        return ""

    def _log(self, state: Any, update: Mapping[str, Any], *, first: bool) -> Any:
        """Log figures of the time since the last entry; return the state with its statistics reset to 0."""
        stats, update = jax.device_get((state.worlds.stats, dict(update)))
        now, steps = time.monotonic(), self._steps(state)
        last_time, last_steps = self._last_log
        figures = {
            "iteration": int(state.iterations), "steps": steps, "seconds": round(self._seconds(), 2),
            "steps_per_second": (steps - last_steps) / max(now - last_time, 1e-9), **stats_figures(stats),
            **{name: float(value) for name, value in update.items()},
        }  # fmt: skip
        self._last_log = (now, steps)
        self._figures = figures
        for log in self._logs:
            log.write(figures)
        self._progress(TrainingProgress(figures=figures))
        if first:
            self._on_message(f"the first iteration took {now - last_time:.0f} s, mostly for compilation")
        nan_guard = jax.device_get(state.worlds.nan_guard)
        if nan_guard.triggered:
            clip = self._plan.library.names[int(nan_guard.clip)]
            path = self._folder.save_nan_dump(nan_guard, iteration=int(state.iterations), clip=clip)
            self._on_message(
                f"the physics diverged in {figures['bad']:.0f} worlds, which were reset; one state is saved in {path}"
            )
        if figures["overflow"]:
            self._on_message(
                f"the contact or constraint buffers overflowed in {figures['overflow']:.0f} world steps, so contacts "
                "are missing: raise physics.nconmax and physics.njmax"
            )
        return state._replace(worlds=clear_stats(state.worlds))

    def _save(self, state: Any) -> None:
        """Write a checkpoint, and the policy unless the one in the folder has more steps."""
        self._folder.checkpoints.save(self._trainer.to_checkpoint(state), seconds=self._seconds(), software=__version__)
        params, normaliser = self._trainer.policy(state)
        warning = self._folder.save_policy(
            task=self._task,
            physics=self._plan.config.physics,
            params=params,
            normaliser=normaliser,
            algorithm=self._plan.algorithm,
            steps=self._steps(state),
            dataset=self._dataset(),
        )
        if warning and warning != self._last_warning:
            self._on_warning(warning)
        self._last_warning = warning

    def _dataset(self) -> dict[str, Any]:
        """Clips that the policy was trained on, in this run and in runs that it started from."""
        facts = dataset_facts(self._plan.clips)
        return facts if self._earlier is None else with_earlier(facts, self._earlier)


def stats_figures(stats: RolloutStats) -> dict[str, float]:
    """Mean values by name, from sums; NaN if there is nothing to average."""
    mean = lambda total, count: float(total) / float(count) if count else float("nan")  # noqa: E731
    steps, episodes = stats.steps, stats.episodes
    return {
        "reward": mean(stats.reward, steps),
        "published_reward": mean(stats.published, steps),
        "landmark_error_mm": 1000.0 * mean(stats.landmark_error, steps),
        "root_error_mm": 1000.0 * mean(stats.root_error, steps),
        "excitation": mean(stats.excitation, steps),
        "episodes": float(episodes),
        "terminated": mean(stats.terminated, episodes),
        "episode_steps": mean(stats.length, episodes),
        "coverage": mean(stats.coverage, episodes),
        "bad": float(stats.bad),
        "overflow": float(stats.overflow),
    }


def _explain_memory_error(plan: TrainingPlan) -> AbstractContextManager[None]:
    """Turn an out-of-memory error into one that says which settings to lower."""
    config = plan.config
    if plan.algorithm == "ppo":
        what, lower = f"rollouts of {config.ppo.num_steps} steps", "ppo.num_steps, or ppo.minibatch_size"
    elif plan.algorithm == "dagger":
        what = f"{config.dagger.buffer_size:,} labels"
        lower = "dagger.buffer_size, or dagger.directions, or dagger.batch_size"
    else:
        what = f"{config.world_model.buffer_size:,} steps in the replay buffer"
        lower = "world_model.buffer_size, or world_model.batch_size, or world_model.dynamics.batch_size"
    return explain_memory_error(f"{config.num_envs} worlds and {what}", f"--num-envs, or {lower}")
