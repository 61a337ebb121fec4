"""Sampling of episode starts: seconds of clips that often fail are sampled more often; all are sampled at times."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

UNIFORM_SHARE = 0.1
"""Share of episodes whose start is sampled uniformly."""

DECAY = 0.999
"""Decay factor of old results per update, for each hundred worlds."""

LEAD_SECONDS = 1.0
"""A failure also counts for the second this long before it [s], where its cause may lie."""


class Sampler(NamedTuple):
    """Tracking results for every second of every clip.

    Attributes:
        clip: Clip of each second, shape (nsecond,).
        first: First frame of each second, shape (nsecond,).
        frames: Number of frames of each second at which an episode can start, shape (nsecond,).
        offset: Index of each clip's first second, shape (nclip,).
        failures: Decayed failure count of each second, shape (nsecond,).
        visits: Decayed visit count of each second, shape (nsecond,).
    """

    clip: Array
    first: Array
    frames: Array
    offset: Array
    failures: Array
    visits: Array


def make_sampler(length: np.ndarray, *, fps: float) -> Sampler:
    """Create a sampler without any results.

    Args:
        length: Number of frames of each clip, shape (nclip,).
        fps: Frames per second.
    """
    frames_per_second = round(fps)
    clip, first, frames, offset = [], [], [], []
    for k, n in enumerate(length):
        offset.append(len(clip))
        for low in range(0, int(n) - 1, frames_per_second):
            clip.append(k)
            first.append(low)
            frames.append(min(frames_per_second, int(n) - 1 - low))  # no frame follows the last one
    zeros = jnp.zeros(len(clip))
    ints = (jnp.asarray(np.array(values), jnp.int32) for values in (clip, first, frames, offset))
    return Sampler(*ints, failures=zeros, visits=zeros)


def probabilities(sampler: Sampler) -> Array:
    """Probability of each second, shape (nsecond,)."""
    rate = (sampler.failures + 1.0) / (sampler.visits + 2.0)
    weight = rate * sampler.frames
    uniform = sampler.frames / jnp.sum(sampler.frames)
    return (1.0 - UNIFORM_SHARE) * weight / jnp.sum(weight) + UNIFORM_SHARE * uniform


def sample_starts(sampler: Sampler, key: Array, count: int) -> tuple[Array, Array]:
    """Sample clips and frames at which episodes start, shapes (count,)."""
    second_key, frame_key = jax.random.split(key)
    cumulative = jnp.cumsum(probabilities(sampler))
    second = jnp.searchsorted(cumulative, jax.random.uniform(second_key, (count,)) * cumulative[-1], side="right")
    second = jnp.minimum(second, len(cumulative) - 1)  # guards against rounding
    offset_in_second = jax.random.uniform(frame_key, (count,)) * sampler.frames[second]
    return sampler.clip[second], sampler.first[second] + offset_in_second.astype(jnp.int32)


def update_sampler(
    sampler: Sampler, clip: Array, frame: Array, terminated: Array, *, fps: float, shortfall: Array | None = None
) -> Sampler:  # fmt: skip
    """Record the results of all worlds at their current frames.

    Args:
        sampler: Previous results.
        clip: Clip of each world, shape (nworld,).
        frame: Current frame of each world.
        terminated: Whether each world's episode terminated at this frame.
        fps: Frames per second.
        shortfall: Missing reward of each world, 0 to 1; poorly tracked seconds then count as partial failures. If None,
            only terminations count.
    """
    frames_per_second = round(fps)
    last = jnp.concatenate([sampler.offset[1:], jnp.array([len(sampler.clip)])])[clip] - 1
    current = jnp.minimum(sampler.offset[clip] + frame // frames_per_second, last)
    earlier = jnp.maximum(current - round(LEAD_SECONDS), sampler.offset[clip])
    decay = DECAY ** (len(clip) / 100.0)
    failure = terminated.astype(jnp.float32)
    failure_weight = failure if shortfall is None else jnp.where(terminated, 1.0, shortfall / frames_per_second)
    earlier_failure = jnp.where(earlier < current, failure, 0.0)
    failures = sampler.failures.at[current].add(failure_weight).at[earlier].add(earlier_failure)
    visit = 1.0 / frames_per_second  # a complete pass through a second counts once
    visits = sampler.visits.at[current].add(jnp.where(terminated, 1.0, visit)).at[earlier].add(earlier_failure)
    return sampler._replace(failures=failures * decay, visits=visits * decay)
