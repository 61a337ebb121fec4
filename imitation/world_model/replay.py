"""What worlds went through lately, on the device: a ring of control steps, and windows and states drawn from it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .world_model import ModelState


class Steps(NamedTuple):
    """Control steps, arrays lead with (nstep, nworld).

    Attributes:
        q: In independent coordinates, before the step.
        velocity: The same.
        act: Activations before it.
        before: Excitations asked for in the step before.
        ctrl: Excitations of the step.
        next_q: After it.
        next_velocity: After it.
        clip: Clip that was tracked.
        frame: Frame that the state before should match.
        chained: The next row goes on where this one ended: no new beginning and no push between.
        failed: The limits were broken by the step.
        fine: The physics was good.
    """

    q: Array
    velocity: Array
    act: Array
    before: Array
    ctrl: Array
    next_q: Array
    next_velocity: Array
    clip: Array
    frame: Array
    chained: Array
    failed: Array
    fine: Array


class Replay(NamedTuple):
    """A ring of rows, each a control step of all worlds.

    Attributes:
        steps: The rows, arrays lead with (nrow, nworld).
        at: Row that is written next.
        filled: Rows that hold something.
    """

    steps: Steps
    at: Array
    filled: Array

    @property
    def nrow(self) -> int:
        """Rows there is room for."""
        return self.steps.clip.shape[0]

    @property
    def nworld(self) -> int:
        """Worlds of a row."""
        return self.steps.clip.shape[1]


class Window(NamedTuple):
    """Windows of the ring.

    Attributes:
        start: States they begin with, (n, ...).
        ctrl: Excitations, shape (nstep, n, nu).
        true: States after each step, arrays lead with (nstep, n); activations are left out (shape (nstep, n, 0)).
        valid: 1 where a step belongs to the window, shape (nstep, n).
    """

    start: ModelState
    ctrl: Array
    true: ModelState
    valid: Array


class Start(NamedTuple):
    """States to imagine from, (n, ...), with what the task has to know of them."""

    state: ModelState
    before: Array
    clip: Array
    frame: Array


def make_replay(like: Steps, nrow: int) -> Replay:
    """An empty ring.

    Args:
        like: Steps whose shapes it takes; arrays lead with (nstep, nworld), and nstep has to divide `nrow`.
        nrow: Rows.
    """
    room = jax.tree.map(lambda array: jnp.zeros((nrow, *array.shape[1:]), array.dtype), like)
    return Replay(room, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def write(replay: Replay, steps: Steps) -> Replay:
    """Put in steps in the place of the oldest; those that are not fine lead nowhere, so that no number is too large."""
    count = len(steps.clip)
    fine = steps.fine[..., None]
    clean = jax.tree.map(
        jnp.nan_to_num,
        steps._replace(
            next_q=jnp.where(fine, steps.next_q, steps.q),
            next_velocity=jnp.where(fine, steps.next_velocity, steps.velocity),
        ),
    )
    put = lambda room, new: jax.lax.dynamic_update_slice_in_dim(room, new, replay.at, axis=0)  # noqa: E731
    return Replay(
        jax.tree.map(put, replay.steps, clean),
        (replay.at + count) % replay.nrow,
        jnp.minimum(replay.filled + count, replay.nrow),
    )


def draw_windows(replay: Replay, key: Array, count: int, nstep: int, *, failures: float, held: int = 0) -> Window:
    """Windows that begin anywhere.

    Args:
        replay: The ring.
        key: Random key.
        count: Windows.
        nstep: Steps of each; a window that breaks off earlier is filled up with steps that are not valid.
        failures: Largest share of windows with a failure within.
        held: The last worlds of each row that are not drawn from, or, where negative, the only ones that are.
    """
    steps = replay.steps
    written = (jnp.arange(replay.nrow) < replay.filled)[:, None]
    usable = written & steps.fine & _not_held(replay.nworld, held)[None]
    chained = _chained(replay)
    fails, going = jnp.zeros_like(usable), jnp.ones_like(usable)
    for k in range(nstep):
        fails = fails | (going & jnp.roll(steps.failed, -k, axis=0))
        going = going & jnp.roll(chained, -k, axis=0)
    bad, good = jnp.sum(usable & fails), jnp.sum(usable & ~fails)
    most = failures / (1.0 - failures) * good if failures < 1 else jnp.inf
    most = jnp.where(good > 0, most, bad)  # where there is nothing else, failures are all that can be drawn
    less = jnp.minimum(1.0, most / jnp.maximum(bad, 1))
    weight = jnp.where(usable, jnp.where(fails, less, 1.0), 0.0).ravel()
    total = jnp.cumsum(weight)
    chosen = jnp.searchsorted(total, jax.random.uniform(key, (count,)) * total[-1], side="right")
    row, world = jnp.divmod(jnp.minimum(chosen, len(total) - 1), replay.nworld)
    rows = (row + jnp.arange(nstep)[:, None]) % replay.nrow
    take = lambda array: array[rows, world]  # noqa: E731
    valid, going = [], jnp.ones(count, bool)
    for k in range(nstep):
        valid.append(going & take(steps.fine)[k])
        going = valid[-1] & take(chained)[k]
    return Window(
        start=ModelState(steps.q[row, world], steps.velocity[row, world], steps.act[row, world]),
        ctrl=take(steps.ctrl),
        true=ModelState(take(steps.next_q), take(steps.next_velocity), jnp.zeros((nstep, count, 0))),
        valid=jnp.stack(valid).astype(jnp.float32),
    )


def draw_starts(replay: Replay, key: Array, count: int) -> Start:
    """States that worlds were in, any as likely as any other."""
    which, where = jax.random.split(key)
    row = jax.random.randint(which, (count,), 0, jnp.maximum(replay.filled, 1))
    world = jax.random.randint(where, (count,), 0, replay.nworld)
    steps = replay.steps
    state = ModelState(steps.q[row, world], steps.velocity[row, world], steps.act[row, world])
    return Start(state, steps.before[row, world], steps.clip[row, world], steps.frame[row, world])


def _not_held(nworld: int, held: int) -> Array:
    worlds = jnp.arange(nworld)
    return worlds >= nworld + held if held < 0 else worlds < nworld - held


def _chained(replay: Replay) -> Array:
    """Rows that the next one goes on from; the newest has none yet."""
    newest = (replay.at - 1) % replay.nrow
    return replay.steps.chained & (jnp.arange(replay.nrow) != newest)[:, None]
