"""Policies put to the test: every clip from its first frame to its last, without noise, many clips at once.

The protocol is the published one (MuscleMimic, arXiv 2603.25544): a clip starts in the reference's own state and fails
where the landmarks, relative to the root, are on average more than 0.3 m off, or the root more than 0.5 m. A failure
ends nothing: the body is simulated to the clip's end, unless asked otherwise, and `scores` counts what came before and
what came after apart.
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
from musclemap.imitation.task.measures import Measures, measure
from musclemap.imitation.task.reference import Library, Reference
from musclemap.imitation.task.task import Task, TaskConfig, TaskState
from musclemap.imitation.task.worlds import choose

from .scores import ClipScore, score_clip

LANDMARK_LIMIT, ROOT_LIMIT = 0.3, 0.5
"""Distances at which a clip counts as failed [m]."""

Act = Callable[[Any], Any]
"""Excitations, shape (nworld, nu), for observations, shape (nworld, nobs): such as a `Policy`, compiled or not."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """What happened in a clip.

    Attributes:
        curves: Figures of every step that was simulated, shapes (nsimulated,).
        qpos: Configurations from the clip's first frame on, shape (nsimulated + 1, nq).
        act: Activations, shape (nsimulated + 1, nu).
    """

    curves: Measures
    qpos: np.ndarray
    act: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """A clip's score, and what happened in it where that was to be kept."""

    score: ClipScore
    recording: Recording | None


@dataclass(eq=False)
class _Run:
    """A clip under way in a world."""

    clip: int
    steps: int
    rows: list[np.ndarray] = field(default_factory=list)
    states: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)


def judged_by(config: TaskConfig) -> TaskConfig:
    """Settings of a policy's task, changed to those that every policy is judged by: no delays, no pushes."""
    return replace(
        config, max_landmark_error=LANDMARK_LIMIT, max_root_error=ROOT_LIMIT, latency_steps=0, push_interval=0.0,
        episode_steps=2**30,
    )  # fmt: skip


def evaluate(
    engine: Engine, config: TaskConfig, library: Library, act: Act, *, to_end: bool = True,
    keep: Container[str] = (), progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Evaluated]:  # fmt: skip
    """Track every clip of a library once.

    Args:
        engine: Physics; a world takes the next clip when it is done with one.
        config: The task that the policy was trained for: what it sees, and the resting excitation.
        library: Clips, of the engine's body.
        act: The policy.
        to_end: Go on after a failure, to the clip's end.
        keep: Names of the clips whose recording is wanted.
        progress: Called after every clip with the number done and that of all.

    Yields:
        Clips as they are done, in no fixed order.
    """
    worlds = _Worlds(engine, judged_by(config), library.reference)
    length = np.asarray(library.reference.length)
    waiting = deque(np.argsort(-length, kind="stable").tolist())  # the longest first: few worlds idle in the end
    runs: list[_Run | None] = [None] * engine.nworld
    done = 0
    while waiting or any(runs):
        for world, run in enumerate(runs):
            if run is None and waiting:
                clip = waiting.popleft()
                runs[world] = _Run(clip=clip, steps=int(length[clip]) - 1)
                worlds.place(world, clip)
        worlds.begin()
        kept = [run is not None and library.names[run.clip] in keep for run in runs]
        worlds.note(runs, kept, first=True)
        rows = worlds.step(act)
        worlds.note(runs, kept)
        for world, run in enumerate(runs):
            if run is None:
                continue
            run.rows.append(rows[world])
            curves = Measures(*rows[world])
            if len(run.rows) == run.steps or curves.bad or (curves.failed and not to_end):
                runs[world], done = None, done + 1
                worlds.leave(world)
                yield _evaluated(run, library.names[run.clip], kept=kept[world])
                progress(done, len(length))


def _evaluated(run: _Run, name: str, *, kept: bool) -> Evaluated:
    curves = Measures(*np.stack(run.rows, axis=1))
    score = score_clip(name, curves, steps=run.steps, root_limit=ROOT_LIMIT)
    if not kept:
        return Evaluated(score=score, recording=None)
    qpos, activation = (np.stack(parts) for parts in zip(*run.states, strict=True))
    return Evaluated(score=score, recording=Recording(curves=curves, qpos=qpos, act=activation))


_State = tuple[PhysicsState, SensorData, TaskState]


class _Worlds:
    """State of all worlds on the device. Those without a clip go on with the last they had, and nobody looks."""

    def __init__(self, engine: Engine, config: TaskConfig, reference: Reference) -> None:
        self._engine, self._reference = engine, reference
        self._start, self._restart, self._see, self._judge = _programs(engine.body, config)
        self._clip = np.zeros(engine.nworld, np.int32)
        self._fresh = np.zeros(engine.nworld, bool)
        self._state = jax.device_put(self._start(reference, self._clip), engine.device)

    def place(self, world: int, clip: int) -> None:
        """Let a world begin a clip."""
        self._clip[world], self._fresh[world] = clip, True

    def leave(self, world: int) -> None:
        """Let a world without a clip begin its last again: its physics may be bad."""
        self._fresh[world] = True

    def begin(self) -> None:
        """Set what was asked for since the last step to its clip's first frame."""
        if self._fresh.any():
            self._state = self._restart(self._reference, self._state, self._clip, self._fresh)
            self._fresh = np.zeros_like(self._fresh)

    def note(self, runs: Sequence[_Run | None], kept: Sequence[bool], *, first: bool = False) -> None:
        """Write down the states of worlds that are to be kept; with `first`, of those that have none yet."""
        ref = [(w, run) for w, run in enumerate(runs) if run is not None and kept[w] and not (first and run.states)]
        if ref:
            physics = self._state[0]
            qpos, act = np.asarray(physics.qpos), np.asarray(physics.act)
            for world, run in ref:
                run.states.append((qpos[world].copy(), act[world].copy()))  # not the whole of all worlds

    def step(self, act: Act) -> np.ndarray:
        """Let the policy see and act; give the figures of every world, shape (nworld, nmeasure)."""
        ctrl = jnp.asarray(act(self._see(self._reference, self._state)), jnp.float32)
        physics, reading = self._engine.step(self._state[0], ctrl)
        self._state, rows = self._judge(self._reference, self._state[2], physics, reading, ctrl)
        return np.asarray(rows)


@lru_cache(maxsize=4)
def _programs(body: SimulationBody, config: TaskConfig) -> tuple[Callable[..., Any], ...]:
    """Compiled once for a body and a task: start worlds, restart some, what they see, what a step led to."""
    task = Task(body, config)

    def start(reference: Reference, clip: Array) -> _State:
        physics, state = task.begin(reference, clip, jnp.zeros_like(clip), jax.random.PRNGKey(0))
        return physics, task.first_reading(reference, state), state

    def restart(reference: Reference, state: _State, clip: Array, fresh: Array) -> _State:
        return choose(fresh, start(reference, clip), state)

    def see(reference: Reference, state: _State) -> Array:
        return jnp.nan_to_num(task.observe(reference, *state))

    def judge(
        reference: Reference, before: TaskState, physics: PhysicsState, reading: SensorData, ctrl: Array
    ) -> tuple[_State, Array]:
        state = task.advance(before._replace(excitation=ctrl))
        outcome = task.judge(reference, physics, reading, state, before.excitation)
        ref = task.ref(reference, state, state.frame)
        figures = measure(body, physics, reading, ref, ctrl, outcome)
        return (physics, reading, state), jnp.stack([value.astype(jnp.float32) for value in figures], axis=1)

    return tuple(jax.jit(program) for program in (start, restart, see, judge))
