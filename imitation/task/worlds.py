"""Many worlds that track clips: a control step of all of them, and a new beginning for those whose episode ended.

A step is three calls: what to do, the engine's physics, what came of it. Nothing comes back to the host between them.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from musclemap.imitation.physics.engine import PhysicsState, SensorData

from . import sampler as sampling
from .reference import Reference
from .sampler import Sampler
from .task import Outcome, Task, TaskState

TreeT = TypeVar("TreeT")


@dataclass(frozen=True, kw_only=True)
class ResetConfig:
    """Where episodes begin.

    Attributes:
        sweepers: The first so many worlds go through the clips in turn, each from frame 0.
        by_return: Whether seconds of clips come more often the less reward they gave, not only where they were failed.
    """

    sweepers: int = 0
    by_return: bool = False


USUAL = ResetConfig()


class Tally(NamedTuple):
    """Sums over steps and over episodes that ended; for the log, started anew each time it is written.

    Attributes:
        steps: Control steps.
        reward: Rewards to learn from.
        published: Published rewards.
        landmark_error: Landmark errors [m].
        root_error: Root errors [m].
        excitation: Mean excitations.
        episodes: Episodes that ended.
        failed: Of these, failed.
        length: Steps of the episodes that ended.
        coverage: Of each of these the share of the frames before it that it went through.
        bad: Worlds whose physics went bad.
        overflow: Worlds in which contacts or constraints found no room.
    """

    steps: Array
    reward: Array
    published: Array
    landmark_error: Array
    root_error: Array
    excitation: Array
    episodes: Array
    failed: Array
    length: Array
    coverage: Array
    bad: Array
    overflow: Array


class NanGuard(NamedTuple):
    """The last world whose physics went bad: its state before, what it was told to do, and where it was."""

    seen: Array
    physics: PhysicsState
    ctrl: Array
    clip: Array
    frame: Array


class Worlds(NamedTuple):
    """State of all worlds, and all that the next step depends on besides the policy."""

    physics: PhysicsState
    task: TaskState
    reading: SensorData
    obs: Array
    sampler: Sampler
    tally: Tally
    nan_guard: NanGuard
    key: Array


def no_tally() -> Tally:
    """Sums of nothing."""
    return Tally(*(jnp.zeros(()) for _ in Tally._fields))


@jax.jit
def without_tally(worlds: Worlds) -> Worlds:
    """The same, with nothing added up and no suspect; compiled, so that arrays stay on the device that they lie on."""
    return worlds._replace(tally=no_tally(), nan_guard=worlds.nan_guard._replace(seen=jnp.zeros((), bool)))


def begin(
    task: Task, reference: Reference, sampler: Sampler, key: Array, nworld: int, beginnings: ResetConfig = USUAL
) -> Worlds:  # fmt: skip
    """Worlds at the start of their first episodes."""
    key, where, delays = jax.random.split(key, 3)
    nclip = len(reference.length)
    clip, frame = _beginning(sampler, where, jnp.arange(nworld) - beginnings.sweepers, nclip, beginnings)
    physics, state = task.begin(reference, clip, frame, delays)
    reading = task.first_reading(reference, state)
    one = jax.tree.map(lambda array: jnp.zeros_like(array[0]), (physics, state.excitation, clip, frame))
    return Worlds(
        physics=physics,
        task=state,
        reading=reading,
        obs=task.observe(reference, physics, reading, state),
        sampler=sampler,
        tally=no_tally(),
        nan_guard=NanGuard(jnp.zeros((), bool), *one),
        key=key,
    )


def choose(which: Array, new: TreeT, old: TreeT) -> TreeT:
    """Take some worlds' rows from one tree of arrays and the others' from another of the same shapes.

    Args:
        which: Worlds whose rows come from `new`, shape (nworld,) bool.
        new: Arrays that lead with (nworld,).
        old: The same.
    """
    pick = lambda a, b: jnp.where(which.reshape(-1, *(1,) * (b.ndim - 1)), a, b)  # noqa: E731
    return jax.tree.map(pick, new, old)


def command(task: Task, worlds: Worlds, action: Array) -> Array:
    """Excitations that arrive at the muscles in this step, shape (nworld, nu)."""
    return task.delayed(worlds.task, task.excitation(action))[0]


def _beginning(
    sampler: Sampler, key: Array, last: Array, nclip: int, beginnings: ResetConfig
) -> tuple[Array, Array]:  # fmt: skip
    """Clip and frame to begin at; `last` is the clip that each world had before, shape (nworld,)."""
    clip, frame = sampling.draw(sampler, key, len(last))
    if not beginnings.sweepers:
        return clip, frame
    sweeps = jnp.arange(len(last)) < beginnings.sweepers
    return jnp.where(sweeps, (last + beginnings.sweepers) % nclip, clip), jnp.where(sweeps, 0, frame)


def post_step(
    task: Task,
    reference: Reference,
    worlds: Worlds,
    action: Array,
    physics: PhysicsState,
    reading: SensorData,
    beginnings: ResetConfig = USUAL,
) -> tuple[Worlds, Outcome, Array]:
    """Judge a step that the engine has made, and start ended episodes anew.

    Args:
        task: The task.
        reference: Frames.
        worlds: Before the step.
        action: What the policy wanted, shape (nworld, nu).
        physics: After the step, which was made with `command`.
        reading: Of the same moment.
        beginnings: Where new episodes begin.

    Returns:
        Worlds to go on with; what came of the step; and what was seen at its end, before anything was started anew.
    """
    ctrl, state = task.delayed(worlds.task, task.excitation(action))
    state = task.advance(state)
    outcome = task.judge(reference, physics, reading, state, worlds.task.excitation)
    ended = outcome.failed | outcome.cut
    last_obs = jnp.nan_to_num(task.observe(reference, physics, reading, state))

    key, where, delays, kicks = jax.random.split(worlds.key, 4)
    clip, frame = _beginning(worlds.sampler, where, state.clip, len(reference.length), beginnings)
    fresh_physics, fresh_state = task.begin(reference, clip, frame, delays)
    fresh_reading = task.first_reading(reference, fresh_state)
    pushed = task.push(physics, kicks)
    next_physics, next_state, next_reading = choose(
        ended, (fresh_physics, fresh_state, fresh_reading), (pushed, state, reading)
    )
    obs = jnp.where(ended[:, None], task.observe(reference, next_physics, next_reading, next_state), last_obs)
    fps = task.body.control_fps
    shortfall = 1.0 - outcome.reward if beginnings.by_return else None
    return (
        Worlds(
            physics=next_physics,
            task=next_state,
            reading=next_reading,
            obs=obs,
            sampler=sampling.take_in(
                worlds.sampler, state.clip, state.frame, outcome.failed, fps=fps, shortfall=shortfall
            ),
            tally=_add(worlds.tally, reference, outcome, state, reading, ctrl),
            nan_guard=_suspect(worlds, reading, ctrl),
            key=key,
        ),
        outcome,
        last_obs,
    )


def _add(
    tally: Tally, reference: Reference, outcome: Outcome, state: TaskState, reading: SensorData, ctrl: Array
) -> Tally:
    ended = outcome.failed | outcome.cut
    steps = state.frame - state.first
    possible = reference.length[state.clip] - 1 - state.first
    reached = jnp.where(outcome.cut, 1.0, steps / jnp.maximum(possible, 1))
    fine = ~reading.bad
    one = Tally(
        steps=jnp.ones_like(outcome.reward),
        reward=outcome.reward,
        published=outcome.published,
        landmark_error=jnp.where(fine, outcome.landmark_error, 0.0),
        root_error=jnp.where(fine, outcome.root_error, 0.0),
        excitation=jnp.mean(ctrl, axis=-1),
        episodes=ended,
        failed=outcome.failed,
        length=jnp.where(ended, steps, 0),
        coverage=jnp.where(ended, reached, 0.0),
        bad=reading.bad,
        overflow=reading.overflow,
    )
    return jax.tree.map(lambda total, value: total + jnp.sum(value.astype(jnp.float32)), tally, one)


def _suspect(worlds: Worlds, reading: SensorData, ctrl: Array) -> NanGuard:
    which = jnp.argmax(reading.bad)
    result = NanGuard(
        reading.bad[which],
        jax.tree.map(lambda array: array[which], worlds.physics),
        ctrl[which],
        worlds.task.clip[which],
        worlds.task.frame[which],
    )
    old = worlds.nan_guard
    kept = jax.tree.map(lambda new, earlier: jnp.where(result.seen, new, earlier), result, old)
    return kept._replace(seen=old.seen | result.seen)
