"""Evaluation of the reference itself: the reward of a body that follows a clip exactly, without any physics."""

from typing import NamedTuple

import jax
import numpy as np

from musclemap.imitation.physics.engine import Engine
from musclemap.imitation.task.reference import Reference
from musclemap.imitation.task.task import StepResult, Task


class ReferencePlayback(NamedTuple):
    """Step results and excitations for all frames of a clip except the first.

    Attributes:
        step_result: Results, shapes (nframe - 1,).
        excitation: The clip's activations, which serve as excitations, shape (nframe - 1, nu).
        prev_excitation: Those of the previous frame, shape (nframe - 1, nu).
    """

    step_result: StepResult
    excitation: np.ndarray
    prev_excitation: np.ndarray


def play_back_reference(engine: Engine, task: Task, reference: Reference, *, clip: int) -> ReferencePlayback:
    """Set a body to every frame of a clip, compute its landmarks with the engine's kinematics, and evaluate the result.

    The body earns the full tracking reward, up to rounding; if not, reference, body and task are inconsistent.

    Args:
        engine: Engine that computes the sensor data; of the task's body.
        task: The task.
        reference: Frames.
        clip: Index of the clip.
    """
    reset, evaluate_step = jax.jit(task.reset), jax.jit(task.evaluate_step)
    frames = np.arange(1, int(reference.length[clip]))
    parts = []
    for start in range(0, len(frames), engine.nworld):
        frame = np.resize(frames[start : start + engine.nworld], engine.nworld)  # fills the last batch by repetition
        clips = np.full(engine.nworld, clip)
        physics, state = reset(reference, clips, frame, jax.random.PRNGKey(0))
        previous, _ = reset(reference, clips, frame - 1, jax.random.PRNGKey(0))
        prev_excitation = previous.act
        step_result = evaluate_step(reference, physics, engine.read(physics), state, prev_excitation)
        parts.append(ReferencePlayback(*jax.device_get((step_result, physics.act, prev_excitation))))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays)[: len(frames)], *parts)
