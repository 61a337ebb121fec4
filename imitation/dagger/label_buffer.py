"""Labels of all rounds, on the device."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class LabelledSteps(NamedTuple):
    """Observations with the teacher's labels; shapes lead with (n,).

    Attributes:
        obs: Observations, not normalised.
        activation: Activations that the teacher chose, shape (n, nu).
        effect: Effects of activations, shape (n, ndirection, nu) float16, see `Labels`.
        row: Row of the frame among those of all clips, shape (n,).
        valid: Whether there is a label.
    """

    obs: Array
    activation: Array
    effect: Array
    row: Array
    valid: Array


class LabelBuffer(NamedTuple):
    """Ring buffer of labelled steps.

    Attributes:
        steps: Labelled steps, shapes lead with (capacity,).
        position: Row that the next step is written to.
        filled: Number of rows that hold a step.
    """

    steps: LabelledSteps
    position: Array
    filled: Array


def make_label_buffer(capacity: int, nobs: int, nu: int, ndirection: int) -> LabelBuffer:
    """Make an empty buffer."""
    steps = LabelledSteps(
        obs=jnp.zeros((capacity, nobs)),
        activation=jnp.zeros((capacity, nu)),
        effect=jnp.zeros((capacity, ndirection, nu), jnp.float16),
        row=jnp.zeros(capacity, jnp.int32),
        valid=jnp.zeros(capacity, bool),
    )
    return LabelBuffer(steps, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def add_labels(buffer: LabelBuffer, new: LabelledSteps) -> LabelBuffer:
    """Add steps in place of the oldest; their number must divide the capacity."""
    capacity, count = len(buffer.steps.valid), len(new.valid)
    write = lambda old, rows: jax.lax.dynamic_update_slice_in_dim(old, rows, buffer.position, 0)  # noqa: E731
    return LabelBuffer(
        steps=jax.tree.map(write, buffer.steps, new),
        position=(buffer.position + count) % capacity,
        filled=jnp.minimum(buffer.filled + count, capacity),
    )
