"""Variations of the controller's gains: what loses one motion may carry another."""

import math
from dataclasses import replace

import numpy as np

from .config import TrackingConfig

_FACTORS = {
    "joint_gain": (0.55, 1.8),
    "root_gain": (0.4, 2.0),
    "root_rotation_gain": (0.45, 2.0),
    "root_rotation_weight": (0.2, 1.6),
    "max_root_acceleration": (0.5, 2.0),
    "toe_weight": (0.01, 1.0),
    "effort": (0.2, 2.0),
    "feedforward": (0.5, 1.0),
    "placement": (0.5, 1.7),
    "lateral_placement": (0.55, 1.45),
    "com_weight": (0.5, 8.0),
    "com_gain": (0.35, 3.0),
    "moment_weight": (0.1, 2.0),
    "pressure_gain": (0.1, 2.0),
}
"""Smallest and largest factor of each gain."""

_LEAN = 0.01
"""Standard deviation of a constant horizontal offset of the root [m]."""


def vary_gains(config: TrackingConfig, rng: np.random.Generator) -> TrackingConfig:
    """Multiply every gain by a random factor, whose logarithm is distributed uniformly."""
    gains = {
        name: getattr(config, name) * math.exp(rng.uniform(math.log(low), math.log(high)))
        for name, (low, high) in _FACTORS.items()
    }
    return replace(config, **gains)


def vary_lean(ndof: int, nroot: int, rng: np.random.Generator) -> np.ndarray:
    """Random constant offset of the targets: the body leans a little, shape (ndof,)."""
    offset = np.zeros(ndof)
    offset[: min(nroot, 2)] = _LEAN * rng.standard_normal(min(nroot, 2))
    return offset
