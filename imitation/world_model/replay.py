"""Replay buffer on the device: the latest control steps of all worlds, and windows and states sampled from it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .coordinates import ModelState


class Transitions(NamedTuple):
    """Control steps; arrays lead with (nstep, nworld).

    Attributes:
        q: Reduced configuration before the step.
        velocity: Reduced velocity before the step.
        act: Activations before the step.
        prev_excitation: Excitations requested in the previous step.
        ctrl: Excitations of the step.
        next_q: Reduced configuration after the step.
        next_velocity: Reduced velocity after the step.
        clip: Tracked clip.
        frame: Frame that the state before the step should match.
        contiguous: Whether the next row continues from this step, without a reset or a push.
        terminated: Whether the step exceeded a termination limit.
        valid: Whether the physics was good.
    """

    q: Array
    velocity: Array
    act: Array
    prev_excitation: Array
    ctrl: Array
    next_q: Array
    next_velocity: Array
    clip: Array
    frame: Array
    contiguous: Array
    terminated: Array
    valid: Array


class ReplayBuffer(NamedTuple):
    """A ring buffer whose rows each hold one control step of all worlds.

    Attributes:
        steps: The rows; arrays lead with (nrow, nworld).
        cursor: Row to write next.
        filled: Number of rows in use.
    """

    steps: Transitions
    cursor: Array
    filled: Array

    @property
    def nrow(self) -> int:
        """Capacity in rows."""
        return self.steps.clip.shape[0]

    @property
    def nworld(self) -> int:
        """Number of worlds in a row."""
        return self.steps.clip.shape[1]


class Window(NamedTuple):
    """Sequences of control steps from the buffer.

    Attributes:
        start: Initial states, (n, ...).
        ctrl: Excitations, shape (nstep, n, nu).
        true: States after each step; arrays lead with (nstep, n), without activations (shape (nstep, n, 0)).
        valid: 1 for steps that belong to the window, shape (nstep, n).
    """

    start: ModelState
    ctrl: Array
    true: ModelState
    valid: Array


class ImaginationStart(NamedTuple):
    """Initial states of imagined rollouts, (n, ...), with their episode state."""

    state: ModelState
    prev_excitation: Array
    clip: Array
    frame: Array


def make_replay_buffer(like: Transitions, nrow: int) -> ReplayBuffer:
    """Create an empty buffer.

    Args:
        like: Transitions with the shapes to store; arrays lead with (nstep, nworld), and nstep must divide `nrow`.
        nrow: Capacity in rows.
    """
    storage = jax.tree.map(lambda array: jnp.zeros((nrow, *array.shape[1:]), array.dtype), like)
    return ReplayBuffer(storage, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def write_transitions(replay: ReplayBuffer, steps: Transitions) -> ReplayBuffer:
    """Overwrite the oldest rows. Invalid steps are stored without motion, so that no number is too large."""
    count = len(steps.clip)
    valid = steps.valid[..., None]
    clean = jax.tree.map(
        jnp.nan_to_num,
        steps._replace(
            next_q=jnp.where(valid, steps.next_q, steps.q),
            next_velocity=jnp.where(valid, steps.next_velocity, steps.velocity),
        ),
    )
    update = lambda storage, new: jax.lax.dynamic_update_slice_in_dim(storage, new, replay.cursor, axis=0)  # noqa: E731
    return ReplayBuffer(
        jax.tree.map(update, replay.steps, clean),
        (replay.cursor + count) % replay.nrow,
        jnp.minimum(replay.filled + count, replay.nrow),
    )


def sample_windows(
    replay: ReplayBuffer, key: Array, count: int, nstep: int, *, max_failure_share: float, held_out: int = 0
) -> Window:
    """Sample windows that start anywhere in the buffer.

    Args:
        replay: The buffer.
        key: Random key.
        count: Number of windows.
        nstep: Steps per window; a shorter window is padded with invalid steps.
        max_failure_share: Largest share of windows that contain a termination.
        held_out: Number of worlds, the last ones, to exclude; if negative, the only ones to sample from.
    """
    steps = replay.steps
    written = (jnp.arange(replay.nrow) < replay.filled)[:, None]
    usable = written & steps.valid & _in_split(replay.nworld, held_out)[None]
    contiguous = _contiguous(replay)
    has_failure, continues = jnp.zeros_like(usable), jnp.ones_like(usable)
    for k in range(nstep):
        has_failure = has_failure | (continues & jnp.roll(steps.terminated, -k, axis=0))
        continues = continues & jnp.roll(contiguous, -k, axis=0)
    nfailure, nsuccess = jnp.sum(usable & has_failure), jnp.sum(usable & ~has_failure)
    max_weight = max_failure_share / (1.0 - max_failure_share) * nsuccess if max_failure_share < 1 else jnp.inf
    max_weight = jnp.where(nsuccess > 0, max_weight, nfailure)  # without other windows, only failures can be sampled
    failure_weight = jnp.minimum(1.0, max_weight / jnp.maximum(nfailure, 1))
    weight = jnp.where(usable, jnp.where(has_failure, failure_weight, 1.0), 0.0).ravel()
    cumulative = jnp.cumsum(weight)
    index = jnp.searchsorted(cumulative, jax.random.uniform(key, (count,)) * cumulative[-1], side="right")
    row, world = jnp.divmod(jnp.minimum(index, len(cumulative) - 1), replay.nworld)
    rows = (row + jnp.arange(nstep)[:, None]) % replay.nrow
    gather = lambda array: array[rows, world]  # noqa: E731
    valid, continues = [], jnp.ones(count, bool)
    for k in range(nstep):
        valid.append(continues & gather(steps.valid)[k])
        continues = valid[-1] & gather(contiguous)[k]
    return Window(
        start=ModelState(steps.q[row, world], steps.velocity[row, world], steps.act[row, world]),
        ctrl=gather(steps.ctrl),
        true=ModelState(gather(steps.next_q), gather(steps.next_velocity), jnp.zeros((nstep, count, 0))),
        valid=jnp.stack(valid).astype(jnp.float32),
    )


def sample_imagination_starts(replay: ReplayBuffer, key: Array, count: int) -> ImaginationStart:
    """Sample states from the buffer uniformly."""
    row_key, world_key = jax.random.split(key)
    row = jax.random.randint(row_key, (count,), 0, jnp.maximum(replay.filled, 1))
    world = jax.random.randint(world_key, (count,), 0, replay.nworld)
    steps = replay.steps
    state = ModelState(steps.q[row, world], steps.velocity[row, world], steps.act[row, world])
    return ImaginationStart(state, steps.prev_excitation[row, world], steps.clip[row, world], steps.frame[row, world])


def _in_split(nworld: int, held_out: int) -> Array:
    worlds = jnp.arange(nworld)
    return worlds >= nworld + held_out if held_out < 0 else worlds < nworld - held_out


def _contiguous(replay: ReplayBuffer) -> Array:
    """Rows that the next row continues; the newest row has no successor yet."""
    newest = (replay.cursor - 1) % replay.nrow
    return replay.steps.contiguous & (jnp.arange(replay.nrow) != newest)[:, None]
