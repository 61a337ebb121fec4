"""What a trained policy computes, in NumPy or compiled by JAX: observation in, muscle excitations out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.task.task import TaskConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class Policy:
    """A policy without exploration noise. Made by `musclemap.imitation.policy.policy_file.load_policy`.

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
        return float(np.log(self.task.resting_excitation / (1.0 - self.task.resting_excitation)))

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        """Excitations between 0 and 1, shape (..., nu), for observations of shape (..., nobs); float32."""
        return _sigmoid(self.action(obs) + np.float32(self.bias), np)

    def action(self, obs: np.ndarray) -> np.ndarray:
        """What comes before the sigmoid, shape (..., nu)."""
        return _action(self, np.asarray(obs, np.float32), np)


def compile_policy(policy: Policy) -> Callable[[Array], Array]:
    """The same for JAX, compiled: excitations for observations, both on JAX's device."""
    names = ("mean", "var", "weights", "biases")

    @jax.jit
    def run(arrays: dict[str, Any], obs: Array) -> Array:
        with jax.default_matmul_precision("highest"):  # as exact as NumPy on every device
            return _sigmoid(_action(replace(policy, **arrays), obs, jnp) + np.float32(policy.bias), jnp)

    return partial(run, jax.device_put({name: getattr(policy, name) for name in names}))


def _action(policy: Policy, obs: Any, xp: ModuleType) -> Any:
    """The network; `xp` is NumPy or JAX's."""
    x = (obs - policy.mean) / xp.sqrt(policy.var + np.float32(policy.least**2))
    x = xp.clip(x, -policy.farthest, policy.farthest)
    for k, (weight, bias) in enumerate(zip(policy.weights, policy.biases, strict=True)):
        x = x @ weight + bias
        if k < len(policy.weights) - 1:
            centred = x - x.mean(axis=-1, keepdims=True)
            x = centred / xp.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(policy.norm_epsilon))
            x = x * _sigmoid(x, xp)
    return x


def _sigmoid(x: Any, xp: ModuleType) -> Any:
    return np.float32(0.5) * (np.float32(1.0) + xp.tanh(np.float32(0.5) * x))  # unlike exp(-x), never too large
