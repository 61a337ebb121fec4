"""A data set to a policy: everything put together, run until time or steps are up, and kept in a run's folder."""

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
from musclemap.pipelines.device import told_memory

from .learners import learned_by, make_trainer
from .plan import Plan

LOG_SECONDS = 5.0
"""Time between two lines of figures [s]."""

SAVE_SECONDS = 300.0
"""Time between two checkpoints [s]."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Figures of a run at one moment; `final` is set on the last."""

    figures: Mapping[str, float]
    final: bool = False


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a run.

    Attributes:
        policy: File of the policy.
        policy_steps: Control steps of the policy in it: more than `steps` where the run resumed from an older
            checkpoint and has not caught up.
        steps: Control steps made in all.
        seconds: Time spent in all [s], over all sittings.
        why: Why it ended: "time", "steps" or "interrupted".
        figures: The last.
    """

    policy: Path
    policy_steps: int
    steps: int
    seconds: float
    why: str
    figures: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Until:
    """When a run ends.

    Attributes:
        seconds: Time of this sitting [s], compilation included; None for no limit.
        steps: Control steps in all; None for no limit.
        asked: Asked between iterations whether to end.
    """

    seconds: float | None = None
    steps: int | None = None
    asked: Callable[[], bool] = field(default=lambda: False)


def train(
    plan: Plan,
    run: Path,
    *,
    until: Until,
    resume: bool = False,
    tensorboard: bool = True,
    track: str | None = None,
    progress: Callable[[Moment], None] = lambda moment: None,
    on_message: Callable[[str], None] = lambda text: None,
    on_warning: Callable[[str], None] | None = None,
    save_seconds: float = SAVE_SECONDS,
    fits: Path | None = None,
    start: Path | None = None,
) -> Trained:
    """Train until time or steps are up, or it is asked to end; then, and now and then before, all is saved.

    Args:
        plan: From `plan_training`.
        run: Folder of the run.
        until: When to end.
        resume: Resume the run that is in the folder.
        tensorboard: Write event files too.
        track: "wandb" or "trackio" to send figures there, or None.
        progress: Called with figures every few seconds.
        on_message: Called with sentences for the user.
        on_warning: Called with those about what is damaged, lost or kept; `on_message` if None.
        save_seconds: Time between checkpoints [s].
        fits: Where lengths of muscles that were fitted are kept for other runs, as well as in the run's folder, which
            comes first: a run resumes on another machine with the muscles that it had.
        start: Folder of another run; what it has learned is what this one begins with.

    Raises:
        TrainingError: The folder holds another run, or one that cannot be resumed; or the run to start from is another
            body's or algorithm's, or damaged.
        DeviceMemoryError: Memory does not suffice.
        SettingsError: `track` is unknown or not installed.
    """
    facts, on_warning = plan.facts, on_warning or on_message
    if resume and start is not None:
        raise TrainingError("a run that is resumed begins with nothing else: leave one of the two out")
    with open_run(run, facts, resume=resume) as (folder, notes), ExitStack() as stack, _memory(plan):
        for note in notes:
            on_warning(note)
        logs: list[Log] = []
        requested = [lambda: JsonLines(folder.root)]
        requested += [lambda: TensorBoard(folder.root)] if tensorboard else []
        requested += [lambda: Service(track, folder.root, facts)] if track is not None else []
        for make in requested:
            logs.append(make())
            stack.callback(logs[-1].close)
        sitting = _Sitting(plan, folder, logs, progress, on_message, on_warning, fits)
        return sitting.run(until, resume=resume, start=start, save_seconds=save_seconds)


class _Sitting:
    """One call of `train`: what is under way between its start and its end."""

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        logs: Sequence[Log],
        progress: Callable[[Moment], None],
        on_message: Callable[[str], None],
        on_warning: Callable[[str], None],
        fits: Path | None,
    ) -> None:
        self._plan, self._folder, self._logs, self._progress, self._on_message = (
            plan,
            folder,
            logs,
            progress,
            on_message,
        )
        self._on_warning, self._last_warning = on_warning, ""
        self._earlier = folder.earlier()
        config = plan.config
        self._started = time.monotonic()
        self._task = Task(plan.body, config.task)
        self._trainer: Any = make_trainer(
            plan, self._task, folder, [folder.root, *([fits] if fits else [])], on_message
        )
        self._before = 0.0
        self._figures: dict[str, float] = {}
        self._mark = (self._started, 0)

    def run(self, until: Until, *, resume: bool, start: Path | None, save_seconds: float) -> Trained:
        state: Any = self._trainer.init(self._plan.config.seed)
        if resume and self._folder.checkpoints.latest() is not None:
            state = self._resumed(state)
        elif start is not None:
            state = self._started_from(start, state)
        steps = self._steps(state)
        self._figures = {"iteration": int(state.iterations), "steps": steps, "seconds": self._seconds()}
        self._mark = (time.monotonic(), self._steps(state))
        logged = saved = time.monotonic()
        why, first = self._why(state, until), True
        if why == "steps":
            self._on_message(f"the run has {steps:,} steps already, as many as it is to have; nothing is left to do")
        while not why:
            state, update = self._trainer.iterate(state)
            now = time.monotonic()
            why = self._why(state, until)
            if first or why or now - logged >= LOG_SECONDS:
                state, logged = self._log(state, update, first=first), now
            resets_replay = self._trainer.resets_replay(state)
            if resets_replay:
                state = self._trainer.to_checkpoint(state)  # frees the replay buffer before another is made
                state = self._trainer.from_checkpoint(state)
            if resets_replay or now - saved >= save_seconds:
                self._save(state)
                saved = time.monotonic()
            first = False
        self._save(state)
        self._progress(Moment(figures=self._figures, final=True))
        return Trained(
            policy=self._folder.policy, policy_steps=self._folder.policy_steps() or 0, steps=self._steps(state),
            seconds=self._seconds(), why=why, figures=self._figures,
        )  # fmt: skip

    def _resumed(self, state: Any) -> Any:
        """The state of the newest checkpoint that can be read; newer ones stay, and their loss is reported."""
        state = self._trainer.to_checkpoint(state)  # frees the replay buffer before another is made
        restored = self._folder.checkpoints.restore(state)
        state, self._before = self._trainer.from_checkpoint(restored.tree), restored.seconds
        steps = self._steps(state)
        for number, why in restored.damaged.items():
            kept = self._folder.checkpoints.set_aside(number)
            lost = number * self._trainer.steps_per_iteration - steps
            self._on_warning(
                f"the checkpoint after {steps + lost:,} steps is damaged ({why}); it is kept as {kept.name}, and "
                f"{lost:,} steps are made again"
            )
        self._on_message(f"resuming after {steps:,} steps")
        return state

    def _started_from(self, start: Path, state: Any) -> Any:
        """A state that begins with what another run has learned."""
        try:
            learner, dataset = learned_by(start, self._plan, self._task, state.learner, on_warning=self._on_warning)
        except TrainingError:
            self._folder.discard_run()
            raise
        state = self._trainer.warm_start(state, learner)
        self._folder.save_earlier(dataset)
        self._earlier = dataset
        self._save(state)  # whatever happens before the next checkpoint, what was learned before is not lost
        self._on_message(f"beginning with what {start} has learned")
        return state

    def _steps(self, state: Any) -> int:
        return int(state.iterations) * self._trainer.steps_per_iteration

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def _why(self, state: Any, until: Until) -> str:
        if until.asked():
            return "interrupted"
        if until.steps is not None and self._steps(state) >= until.steps:
            return "steps"
        if until.seconds is not None and time.monotonic() - self._started >= until.seconds:
            return "time"
        return ""

    def _log(self, state: Any, update: Mapping[str, Any], *, first: bool) -> Any:
        """Write figures of the time since the last line; the sums start again from 0."""
        stats, update = jax.device_get((state.worlds.stats, dict(update)))
        now, steps = time.monotonic(), self._steps(state)
        since, before = self._mark
        figures = {
            "iteration": int(state.iterations), "steps": steps, "seconds": round(self._seconds(), 2),
            "steps_per_second": (steps - before) / max(now - since, 1e-9), **stats_figures(stats),
            **{name: float(value) for name, value in update.items()},
        }  # fmt: skip
        self._mark = (now, steps)
        self._figures = figures
        for log in self._logs:
            log.write(figures)
        self._progress(Moment(figures=figures))
        if first:
            self._on_message(f"the first iteration took {now - since:.0f} s, most of it to compile")
        nan_guard = jax.device_get(state.worlds.nan_guard)
        if nan_guard.triggered:
            clip = self._plan.library.names[int(nan_guard.clip)]
            path = self._folder.save_nan_dump(nan_guard, iteration=int(state.iterations), clip=clip)
            self._on_message(
                f"physics went bad in {figures['bad']:.0f} worlds, which were reset; one state is saved in {path}"
            )
        if figures["overflow"]:
            self._on_message(
                f"contacts or constraints found no room in {figures['overflow']:.0f} steps of worlds; fewer touch than "
                "should: set physics.nconmax and physics.njmax higher"
            )
        return state._replace(worlds=clear_stats(state.worlds))

    def _save(self, state: Any) -> None:
        """Write a checkpoint, and the policy if the one in the folder has no more steps."""
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
        """What the policy has learned from, in this run and before it."""
        facts = dataset_facts(self._plan.clips)
        return facts if self._earlier is None else with_earlier(facts, self._earlier)


def stats_figures(stats: RolloutStats) -> dict[str, float]:
    """Means by name, from sums; NaN for what did not happen."""
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


def _memory(plan: Plan) -> AbstractContextManager[None]:
    """Says which number to lower where memory does not suffice."""
    config = plan.config
    if plan.algorithm == "ppo":
        what, lower = f"rollouts of {config.ppo.num_steps} steps", "ppo.num_steps, or ppo.minibatch_size"
    else:
        what = f"{config.world_model.buffer_size:,} remembered steps"
        lower = "world_model.buffer_size, or world_model.batch_size, or world_model.dynamics.batch_size"
    return told_memory(f"{config.num_envs} worlds and {what}", f"--num-envs, or {lower}")
