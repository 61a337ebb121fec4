"""What a trained policy computes, in NumPy alone: observation in, muscle excitations out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .config import PhysicsConfig
from .task import TaskConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class Policy:
    """A policy without exploration noise. Made by `musclemap.imitation.policy_file.load_policy`.

    Attributes:
        facts: All that its file tells, by the names in `policy_file`.
        physics: Settings of the physics that it was trained in.
        task: Settings of the task that it was trained for.
        mean: Mean of the observations, shape (nobs,).
        var: Their variance.
        count: How many observations these are of.
        weights: Matrices of the layers, shapes (nin, nout).
        biases: Their offsets, shapes (nout,).
        norm_epsilon: Added to the variance in LayerNorm.
        farthest: Normalised observations are kept within this.
        least: Spread that is added, squared, to the variance of the observations.
    """

    facts: Mapping[str, Any]
    physics: PhysicsConfig
    task: TaskConfig
    mean: np.ndarray
    var: np.ndarray
    count: float
    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    norm_epsilon: float
    farthest: float
    least: float

    @property
    def nobs(self) -> int:
        """Width of an observation."""
        return len(self.mean)

    @property
    def nu(self) -> int:
        """Number of muscles."""
        return len(self.biases[-1])

    @property
    def bias(self) -> float:
        """What is added to an action before the sigmoid: an action of zero gives the resting excitation."""
        return float(np.log(self.task.resting / (1.0 - self.task.resting)))

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        """Excitations between 0 and 1, shape (..., nu), for observations of shape (..., nobs); float32."""
        return _sigmoid(self.action(obs) + np.float32(self.bias))

    def action(self, obs: np.ndarray) -> np.ndarray:
        """What comes before the sigmoid, shape (..., nu)."""
        scale = np.sqrt(self.var + np.float32(self.least**2))
        x = np.clip((np.asarray(obs, np.float32) - self.mean) / scale, -self.farthest, self.farthest)
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight + bias
            if k < len(self.weights) - 1:
                x = _silu(self._layer_norm(x))
        return x

    def _layer_norm(self, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(self.norm_epsilon))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.float32(0.5) * (np.float32(1.0) + np.tanh(np.float32(0.5) * x))  # unlike exp(-x), never too large


def _silu(x: np.ndarray) -> np.ndarray:
    return x * _sigmoid(x)
