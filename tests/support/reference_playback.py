"""The reference put through the judge: what a body would earn that follows a clip exactly, without any physics."""

from typing import NamedTuple

import jax
import numpy as np

from musclemap.imitation.physics.engine import Engine
from musclemap.imitation.task.reference import Reference
from musclemap.imitation.task.task import Outcome, Task


class Played(NamedTuple):
    """What every frame of a clip would earn but the first, and the excitations that were taken for it.

    Attributes:
        outcome: Of every frame, shapes (nframe - 1,).
        excitation: The clip's activations, which stand for them, shape (nframe - 1, nu).
        before: Those of the frame before.
    """

    outcome: Outcome
    excitation: np.ndarray
    before: np.ndarray


def play_back(engine: Engine, task: Task, reference: Reference, *, clip: int) -> Played:
    """Set a body to every frame of a clip, read its landmarks by the engine's own kinematics, and judge it.

    It earns all that can be earned for tracking, but for rounding, or else the reference, the body and the judge do not
    fit together.

    Args:
        engine: Reads states; of the task's body.
        task: The judge.
        reference: Frames.
        clip: Number of the clip.
    """
    begin, judge = jax.jit(task.begin), jax.jit(task.judge)
    frames = np.arange(1, int(reference.length[clip]))
    parts = []
    for low in range(0, len(frames), engine.nworld):
        some = np.resize(frames[low : low + engine.nworld], engine.nworld)  # the last part is filled up by repetition
        which = np.full(engine.nworld, clip)
        physics, state = begin(reference, which, some, jax.random.PRNGKey(0))
        earlier, _ = begin(reference, which, some - 1, jax.random.PRNGKey(0))
        before = earlier.act
        outcome = judge(reference, physics, engine.read(physics), state, before)
        parts.append(Played(*jax.device_get((outcome, physics.act, before))))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays)[: len(frames)], *parts)
