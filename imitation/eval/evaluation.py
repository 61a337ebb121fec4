"""Evaluation of policies: every clip is tracked from its first frame to its last, without noise, many clips at a time.

The protocol is the published one (MuscleMimic, arXiv 2603.25544): a clip starts in the reference state and fails if
the landmarks, relative to the root, are on average more than 0.3 m from the reference, or the root more than 0.5 m. By
default the simulation continues after a failure to the clip's end, and `scores` separates the frames before and after.
"""

from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import Engine, PhysicsState, SensorData
from musclemap.imitation.task.reference import Library, Reference
from musclemap.imitation.task.step_metrics import StepMetrics, step_metrics
from musclemap.imitation.task.task import Task, TaskState
from musclemap.imitation.task.task_config import TaskConfig
from musclemap.imitation.task.worlds import select_worlds

from .limits import LANDMARK_LIMIT, ROOT_LIMIT
from .scores import ClipScore, score_clip

PolicyFunction = Callable[[Any], Any]
"""Maps observations, shape (nworld, nobs), to excitations, shape (nworld, nu), like a `Policy`, compiled or not."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """Metrics and states of a tracked clip.

    Attributes:
        step_metrics: Metrics of every simulated step, shapes (nsimulated,).
        qpos: Configurations, starting with the clip's first frame, shape (nsimulated + 1, nq).
        qvel: Velocities, shape (nsimulated + 1, nv).
        act: Activations, shape (nsimulated + 1, nu).
    """

    step_metrics: StepMetrics
    qpos: np.ndarray
    qvel: np.ndarray
    act: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipEvaluation:
    """Score of a clip, with its recording if one was requested."""

    score: ClipScore
    recording: Recording | None


@dataclass(eq=False)
class _ActiveClip:
    """A clip that a world is tracking."""

    clip: int
    steps: int
    rows: list[np.ndarray] = field(default_factory=list)
    states: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)


def evaluation_config(config: TaskConfig) -> TaskConfig:
    """Replace the task settings that every policy is evaluated with: limits, no latency, no pushes."""
    return replace(
        config, max_landmark_error=LANDMARK_LIMIT, max_root_error=ROOT_LIMIT, latency_steps=0, push_interval=0.0,
        episode_length=2**30,
    )  # fmt: skip


def evaluate(
    engine: Engine, config: TaskConfig, library: Library, act: PolicyFunction, *, to_end: bool = True,
    keep: Container[str] = (), progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[ClipEvaluation]:  # fmt: skip
    """Track every clip of a library once.

    Args:
        engine: Physics; a world starts the next clip as soon as it finishes one.
        config: Task that the policy was trained for; it defines the observation and the resting excitation.
        library: Clips for the engine's body.
        act: The policy.
        to_end: Continue after a failure to the clip's end.
        keep: Names of the clips to record.
        progress: Called after every clip with the number of finished clips and of all clips.

    Yields:
        Clips in the order in which they finish.
    """
    worlds = _EvaluationWorlds(engine, evaluation_config(config), library.reference)
    length = np.asarray(library.reference.length)
    queue = deque(np.argsort(-length, kind="stable").tolist())  # longest first, so that few worlds idle at the end
    active: list[_ActiveClip | None] = [None] * engine.nworld
    done = 0
    while queue or any(active):
        for world, clip_run in enumerate(active):
            if clip_run is None and queue:
                clip = queue.popleft()
                active[world] = _ActiveClip(clip=clip, steps=int(length[clip]) - 1)
                worlds.assign(world, clip)
        worlds.reset_assigned()
        recorded = [clip_run is not None and library.names[clip_run.clip] in keep for clip_run in active]
        worlds.record(active, recorded, first=True)
        rows = worlds.step(act)
        worlds.record(active, recorded)
        for world, clip_run in enumerate(active):
            if clip_run is None:
                continue
            clip_run.rows.append(rows[world])
            metrics = StepMetrics(*rows[world])
            if len(clip_run.rows) == clip_run.steps or metrics.bad or (metrics.terminated and not to_end):
                active[world], done = None, done + 1
                worlds.release(world)
                yield _clip_evaluation(clip_run, library.names[clip_run.clip], recorded=recorded[world])
                progress(done, len(length))


def _clip_evaluation(clip_run: _ActiveClip, name: str, *, recorded: bool) -> ClipEvaluation:
    metrics = StepMetrics(*np.stack(clip_run.rows, axis=1))
    score = score_clip(name, metrics, steps=clip_run.steps, root_limit=ROOT_LIMIT)
    if not recorded:
        return ClipEvaluation(score=score, recording=None)
    qpos, qvel, act = (np.stack(parts) for parts in zip(*clip_run.states, strict=True))
    return ClipEvaluation(score=score, recording=Recording(step_metrics=metrics, qpos=qpos, qvel=qvel, act=act))


_State = tuple[PhysicsState, SensorData, TaskState]


class _EvaluationWorlds:
    """State of all worlds on the device. Worlds without a clip keep tracking their last one, unobserved."""

    def __init__(self, engine: Engine, config: TaskConfig, reference: Reference) -> None:
        self._engine, self._reference = engine, reference
        self._reset, self._reset_some, self._observe, self._evaluate_step, self._base = _programs(engine.body, config)
        self._clip = np.zeros(engine.nworld, np.int32)
        self._needs_reset = np.zeros(engine.nworld, bool)
        self._state = jax.device_put(self._reset(reference, self._clip), engine.device)

    def assign(self, world: int, clip: int) -> None:
        """Assign a clip to a world."""
        self._clip[world], self._needs_reset[world] = clip, True

    def release(self, world: int) -> None:
        """Restart the last clip of a world without a new one, because its physics may be bad."""
        self._needs_reset[world] = True

    def reset_assigned(self) -> None:
        """Reset the worlds that were assigned or released since the last step."""
        if self._needs_reset.any():
            self._state = self._reset_some(self._reference, self._state, self._clip, self._needs_reset)
            self._needs_reset = np.zeros_like(self._needs_reset)

    def record(self, active: Sequence[_ActiveClip | None], recorded: Sequence[bool], *, first: bool = False) -> None:
        """Store the states of the worlds to be recorded; with `first`, only of those that have none yet."""
        selected = [
            (world, clip_run)
            for world, clip_run in enumerate(active)
            if clip_run is not None and recorded[world] and not (first and clip_run.states)
        ]
        if selected:
            physics = self._state[0]
            states = [np.asarray(values) for values in (physics.qpos, physics.qvel, physics.act)]
            for world, clip_run in selected:
                # Views would keep the arrays of all worlds alive.
                qpos, qvel, act = (values[world].copy() for values in states)
                clip_run.states.append((qpos, qvel, act))

    def step(self, act: PolicyFunction) -> np.ndarray:
        """Advance all worlds by one step of the policy; return their metrics, shape (nworld, nmetric)."""
        ctrl = jnp.asarray(act(self._observe(self._reference, self._state)), jnp.float32)
        base = self._base(self._reference, self._state[2])
        physics, sensors = self._engine.step(self._state[0], ctrl, base)
        self._state, rows = self._evaluate_step(self._reference, self._state[2], physics, sensors, ctrl)
        return np.asarray(rows)


@lru_cache(maxsize=4)
def _programs(body: SimulationBody, config: TaskConfig) -> tuple[Callable[..., Any], ...]:
    """Functions compiled once per body and task: reset all worlds, reset some, observe, evaluate a step, the base."""
    task = Task(body, config)

    def reset(reference: Reference, clip: Array) -> _State:
        physics, state = task.reset(reference, clip, jnp.zeros_like(clip), jax.random.PRNGKey(0))
        return physics, task.initial_sensors(reference, state), state

    def reset_some(reference: Reference, state: _State, clip: Array, needs_reset: Array) -> _State:
        return select_worlds(needs_reset, reset(reference, clip), state)

    def observe(reference: Reference, state: _State) -> Array:
        return jnp.nan_to_num(task.observe(reference, *state))

    def evaluate_step(
        reference: Reference, before: TaskState, physics: PhysicsState, sensors: SensorData, ctrl: Array
    ) -> tuple[_State, Array]:
        state = task.advance(before._replace(excitation=ctrl))
        result = task.evaluate_step(reference, physics, sensors, state, before.excitation)
        ref = task.ref(reference, state, state.frame)
        metrics = step_metrics(body, physics, sensors, ref, ctrl, result)
        return (physics, sensors, state), jnp.stack([value.astype(jnp.float32) for value in metrics], axis=1)

    return tuple(jax.jit(program) for program in (reset, reset_some, observe, evaluate_step, task.base))
