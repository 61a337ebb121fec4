"""Where episodes begin: seconds of clips that are often failed come more often, all of them now and then."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

UNIFORM = 0.1
"""Share of episodes that begin anywhere."""

FORGET = 0.999
"""What is kept of old outcomes each time new ones are taken in, by the hundred of worlds."""

BEFORE = 1.0
"""A failure also counts for the second before it, from where it came."""


class Sampler(NamedTuple):
    """Outcomes of every second of every clip.

    Attributes:
        clip: Clip of each second, shape (nsecond,).
        first: Its first frame, shape (nsecond,).
        frames: How many frames of it an episode can begin at, shape (nsecond,).
        offset: Number of each clip's first second, shape (nclip,).
        failed: Failures, fading, shape (nsecond,).
        passed: Times it was gone through, fading, shape (nsecond,).
    """

    clip: Array
    first: Array
    frames: Array
    offset: Array
    failed: Array
    passed: Array


def make_sampler(length: np.ndarray, *, fps: float) -> Sampler:
    """A sampler that knows nothing yet.

    Args:
        length: Frames of each clip, shape (nclip,).
        fps: Frames a second.
    """
    size = round(fps)
    clip, first, frames, offset = [], [], [], []
    for k, n in enumerate(length):
        offset.append(len(clip))
        for low in range(0, int(n) - 1, size):
            clip.append(k)
            first.append(low)
            frames.append(min(size, int(n) - 1 - low))  # the last frame has nothing after it
    zeros = jnp.zeros(len(clip))
    ints = (jnp.asarray(np.array(values), jnp.int32) for values in (clip, first, frames, offset))
    return Sampler(*ints, failed=zeros, passed=zeros)


def probabilities(sampler: Sampler) -> Array:
    """Chance of each second, shape (nsecond,)."""
    rate = (sampler.failed + 1.0) / (sampler.passed + 2.0)
    weight = rate * sampler.frames
    even = sampler.frames / jnp.sum(sampler.frames)
    return (1.0 - UNIFORM) * weight / jnp.sum(weight) + UNIFORM * even


def draw(sampler: Sampler, key: Array, count: int) -> tuple[Array, Array]:
    """Clips and frames to begin at, shapes (count,)."""
    which, where = jax.random.split(key)
    upto = jnp.cumsum(probabilities(sampler))
    second = jnp.searchsorted(upto, jax.random.uniform(which, (count,)) * upto[-1], side="right")
    second = jnp.minimum(second, len(upto) - 1)  # rounding
    inside = jax.random.uniform(where, (count,)) * sampler.frames[second]
    return sampler.clip[second], sampler.first[second] + inside.astype(jnp.int32)


def take_in(
    sampler: Sampler, clip: Array, frame: Array, failed: Array, *, fps: float, shortfall: Array | None = None
) -> Sampler:  # fmt: skip
    """Learn from worlds at their present frames.

    Args:
        sampler: What is known.
        clip: Clip of each world, shape (nworld,).
        frame: Its frame.
        failed: Whether it failed there.
        fps: Frames a second.
        shortfall: What each lacked there of the best reward, 0 to 1: seconds that are tracked badly count as failed in
            part. None where failures alone count.
    """
    size = round(fps)
    last = jnp.concatenate([sampler.offset[1:], jnp.array([len(sampler.clip)])])[clip] - 1
    here = jnp.minimum(sampler.offset[clip] + frame // size, last)
    earlier = jnp.maximum(here - round(BEFORE), sampler.offset[clip])
    keep = FORGET ** (len(clip) / 100.0)
    fell = failed.astype(jnp.float32)
    bad = fell if shortfall is None else jnp.where(failed, 1.0, shortfall / size)
    lost = sampler.failed.at[here].add(bad).at[earlier].add(jnp.where(earlier < here, fell, 0.0))
    share = 1.0 / size  # a second that is gone through whole counts once
    passed = (
        sampler.passed.at[here].add(jnp.where(failed, 1.0, share)).at[earlier].add(jnp.where(earlier < here, fell, 0.0))
    )
    return sampler._replace(failed=lost * keep, passed=passed * keep)
