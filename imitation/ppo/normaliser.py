"""Running mean and spread of observations. Taken in between updates only, so that an update sees one scale."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

FARTHEST = 10.0
"""Normalised values are kept within this."""

LEAST = 1e-4
"""Smallest spread that a value is divided by."""


class Normaliser(NamedTuple):
    """Mean and variance, shape (n,), and how many values they are of."""

    mean: Array
    var: Array
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride]


def make_normaliser(width: int) -> Normaliser:
    """Knows nothing: leaves values as they are."""
    return Normaliser(jnp.zeros(width), jnp.ones(width), jnp.zeros(()))


def take_in(old: Normaliser, values: Array, weight: Array | None = None) -> Normaliser:
    """Add values, shape (count, n); those of weight 0 are passed over. Chan, Golub & LeVeque 1983, Am Stat 37."""
    weight = jnp.ones(len(values)) if weight is None else weight
    number = jnp.sum(weight)
    safe = jnp.maximum(number, 1.0)
    values = jnp.where(weight[:, None] > 0, values, 0.0)
    mean = jnp.sum(values * weight[:, None], axis=0) / safe
    var = jnp.sum((values - mean) ** 2 * weight[:, None], axis=0) / safe
    total = jnp.maximum(old.count + number, 1.0)
    delta = mean - old.mean
    new_mean = old.mean + delta * number / total
    spread = old.var * old.count + var * number + delta**2 * old.count * number / total
    return Normaliser(new_mean, jnp.where(old.count + number > 0, spread / total, old.var), old.count + number)


def normalise(known: Normaliser, values: Array) -> Array:
    """Values of mean 0 and spread 1, within `FARTHEST`."""
    return jnp.clip((values - known.mean) / jnp.sqrt(known.var + LEAST**2), -FARTHEST, FARTHEST)
