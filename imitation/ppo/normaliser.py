"""Running mean and variance of observations, updated only between policy updates: each update uses fixed values."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

MAX_ABS = 10.0
"""Normalised values are clipped to this absolute value."""

MIN_STD = 1e-4
"""Smallest standard deviation by which a value is divided."""


class Normaliser(NamedTuple):
    """Mean and variance, shape (n,), and the number of values behind them."""

    mean: Array
    var: Array
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride]


def make_normaliser(width: int) -> Normaliser:
    """Initial normaliser, which leaves values unchanged."""
    return Normaliser(jnp.zeros(width), jnp.ones(width), jnp.zeros(()))


def update_normaliser(normaliser: Normaliser, values: Array, weight: Array | None = None) -> Normaliser:
    """Add values, shape (count, n), ignoring those of weight 0. Method: Chan, Golub & LeVeque 1983, Am Stat 37."""
    weight = jnp.ones(len(values)) if weight is None else weight
    weight_sum = jnp.sum(weight)
    divisor = jnp.maximum(weight_sum, 1.0)
    values = jnp.where(weight[:, None] > 0, values, 0.0)
    mean = jnp.sum(values * weight[:, None], axis=0) / divisor
    var = jnp.sum((values - mean) ** 2 * weight[:, None], axis=0) / divisor
    total = jnp.maximum(normaliser.count + weight_sum, 1.0)
    delta = mean - normaliser.mean
    new_mean = normaliser.mean + delta * weight_sum / total
    sum_of_squares = normaliser.var * normaliser.count + var * weight_sum
    sum_of_squares = sum_of_squares + delta**2 * normaliser.count * weight_sum / total
    count = normaliser.count + weight_sum
    return Normaliser(new_mean, jnp.where(count > 0, sum_of_squares / total, normaliser.var), count)


def normalise(normaliser: Normaliser, values: Array) -> Array:
    """Scale values to mean 0 and standard deviation 1, clipped to `MAX_ABS`."""
    return jnp.clip((values - normaliser.mean) / jnp.sqrt(normaliser.var + MIN_STD**2), -MAX_ABS, MAX_ABS)
