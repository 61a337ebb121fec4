"""Checks of muscle lengths over time: jumps of a tendon around its bone, and muscles beyond their operating range."""

from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.ndimage import uniform_filter1d

JUMP_RATIO, JUMP_MIN_STEP, JUMP_WINDOW = 10.0, 1e-3, 11
"""A tendon jumps if the relative change of its length exceeds both JUMP_RATIO times its moving average over JUMP_WINDOW
frames, and JUMP_MIN_STEP (MuscleMimic's rule, arXiv 2603.25544)."""

SHORTEST, LONGEST = 0.0, 1.0
"""Operating range of a muscle, as fractions of MuJoCo's `actuator_lengthrange`."""

STEP_FPS = 100.0
"""Steps at a lower frame rate are scaled to this one [Hz]; at a higher one a flip is as large as at this one."""


@dataclass(frozen=True, kw_only=True)
class TendonSteps:
    """Steps of tendon lengths between two frames; frame 0 has none.

    Attributes:
        largest: Largest step of any muscle relative to its length, in 10 ms, shape (nframe,).
        largest_muscle: Muscle with the largest step.
        jump: Whether any tendon jumps, shape (nframe,) bool.
        jump_muscle: First muscle that jumps, or "".
    """

    largest: np.ndarray
    largest_muscle: str
    jump: np.ndarray
    jump_muscle: str


def tendon_steps(model: mujoco.MjModel, length: np.ndarray, fps: float) -> TendonSteps:
    """Measure the steps of tendon lengths, shape (nframe, nu) [m], at a frame rate [Hz]."""
    length = length.astype(np.float64)
    step = np.abs(np.diff(length, axis=0, prepend=length[:1])) / np.concatenate([length[:1], length[:-1]])
    average = np.zeros_like(step)  # frame 0 has no step
    average[1:] = uniform_filter1d(step[1:], min(JUMP_WINDOW, len(step) - 1), axis=0, mode="nearest")
    others = (average * JUMP_WINDOW - step) / (JUMP_WINDOW - 1)  # a step does not count in its own average
    jumps = step > np.maximum(JUMP_RATIO * others, JUMP_MIN_STEP)
    return TendonSteps(
        largest=step.max(axis=1) * min(1.0, fps / STEP_FPS),
        largest_muscle=model.actuator(int(step.max(axis=0).argmax())).name,
        jump=np.any(jumps, axis=1),
        jump_muscle=model.actuator(int(jumps.any(axis=0).argmax())).name if jumps.any() else "",
    )


def range_excess(model: mujoco.MjModel, length: np.ndarray) -> np.ndarray:
    """Length of each muscle beyond its operating range in units of the range, negative within it, (nframe, nu)."""
    low, high = model.actuator_lengthrange.T
    relative = (length.astype(np.float64) - low) / (high - low)
    return np.maximum(SHORTEST - relative, relative - LONGEST)
