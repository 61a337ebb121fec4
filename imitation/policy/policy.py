"""Trained policies, evaluated in NumPy or compiled by JAX: observations in, muscle excitations out."""

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
from musclemap.imitation.task.task_config import TaskConfig


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Policy:
    """A policy without exploration noise, as loaded by `musclemap.imitation.policy.policy_file.load_policy`.

    Attributes:
        facts: All facts in its file, by the names in `policy_file`.
        physics: Settings of the physics that it was trained in.
        task: Settings of the task that it was trained for.
        mean: Mean of the observations, shape (nobs,).
        var: Variance of the observations, shape (nobs,).
        count: Number of observations behind mean and variance.
        weights: Weight matrices of the layers, shapes (nin, nout).
        biases: Biases of the layers, shapes (nout,).
        norm_epsilon: Added to the variance in LayerNorm.
        max_abs_obs: Normalised observations are clipped to this absolute value; `farthest` in the file.
        min_std: Its square is added to the variance of the observations; `least` in the file.
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
    max_abs_obs: float
    min_std: float

    def __repr__(self) -> str:
        name, steps = self.facts["body"]["name"], self.facts["steps"]
        return f"<Policy of {name}: {self.nobs} observations, {self.nu} muscles, {steps:,} steps>"

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
        """Offset added to an action before the sigmoid, so that an action of zero gives the resting excitation."""
        return float(np.log(self.task.resting_excitation / (1.0 - self.task.resting_excitation)))

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        """Excitations, 0 to 1, shape (..., nu), for observations of shape (..., nobs); float32."""
        return _sigmoid(self.action(obs) + np.float32(self.bias), np)

    def action(self, obs: np.ndarray) -> np.ndarray:
        """Input of the sigmoid, shape (..., nu)."""
        return _action(self, np.asarray(obs, np.float32), np)


def compile_policy(policy: Policy) -> Callable[[Array], Array]:
    """Compile a policy with JAX: a function from observations to excitations, both on JAX's device."""
    names = ("mean", "var", "weights", "biases")

    @jax.jit
    def apply(arrays: dict[str, Any], obs: Array) -> Array:
        with jax.default_matmul_precision("highest"):  # matches NumPy on every device
            return _sigmoid(_action(replace(policy, **arrays), obs, jnp) + np.float32(policy.bias), jnp)

    return partial(apply, jax.device_put({name: getattr(policy, name) for name in names}))


def _action(policy: Policy, obs: Any, xp: ModuleType) -> Any:
    """Apply the network; `xp` is NumPy or jax.numpy."""
    x = (obs - policy.mean) / xp.sqrt(policy.var + np.float32(policy.min_std**2))
    x = xp.clip(x, -policy.max_abs_obs, policy.max_abs_obs)
    for k, (weight, bias) in enumerate(zip(policy.weights, policy.biases, strict=True)):
        x = x @ weight + bias
        if k < len(policy.weights) - 1:
            centred = x - x.mean(axis=-1, keepdims=True)
            x = centred / xp.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(policy.norm_epsilon))
            x = x * _sigmoid(x, xp)
    return x


def _sigmoid(x: Any, xp: ModuleType) -> Any:
    return np.float32(0.5) * (np.float32(1.0) + xp.tanh(np.float32(0.5) * x))  # unlike exp(-x), tanh cannot overflow
