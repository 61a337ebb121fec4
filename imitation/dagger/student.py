"""The policy that imitates the teacher, and its loss.

A policy's output is an excitation, the teacher's decision an activation at the end of the control step. The loss
compares activations: those that the excitation leads to, by MuJoCo's activation dynamics, with the teacher's. So it
does not matter whether a muscle that only has to relax gets an excitation of 0 or of 0.1, of which the label says
nothing. Errors d in activation count with

    |E d|² + weight |d|²,

where the rows of E are the directions that move the body, see `Teacher`.

Each round's fit runs in the principal components of the observations, see `principal_inputs`; the policy is always
given as a network of the observations.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.imitation.ppo.networks import Params, apply_mlp, make_mlp, matmul_dtype
from musclemap.imitation.ppo.normaliser import Normaliser, make_normaliser, normalise, update_normaliser
from musclemap.imitation.ppo.optimisers import make_optimizer
from musclemap.imitation.task import observation
from musclemap.imitation.task.task import Task

from .dagger_config import DaggerConfig
from .label_buffer import LabelBuffer
from .principal_inputs import (
    PrincipalInputs,
    no_principal_inputs,
    principal_inputs,
    project,
    to_observations,
    to_principal,
)

MAX_ANALYSED = 20_000
"""Most labels whose observations determine the principal components."""


class StudentState(NamedTuple):
    """State of the policy and its fit.

    Attributes:
        params: The policy, a network of normalised observations.
        fitted: The same network of the principal components, which the optimiser changes.
        inputs: The principal components of the present round.
        optimizer: State of the optimiser of `fitted`.
        normaliser: Normaliser of the observations.
        updates: Number of gradient steps so far.
    """

    params: Params
    fitted: Params
    inputs: PrincipalInputs
    optimizer: Any
    normaliser: Normaliser
    updates: Array


class Student:
    """Initialises, evaluates and fits the policy.

    Args:
        task: The task, which defines the observation.
        config: Settings.
        effects: Effects of activations by `LabelledSteps.row`, shape (nrow, ndirection, nu) float16; None if each
            label has its own.
    """

    def __init__(self, task: Task, config: DaggerConfig, effects: Array | None = None) -> None:
        self._task, self._config, self._effects = task, config, effects
        self._dtype = matmul_dtype(config.precision)
        self._optimizer = make_optimizer(
            config.optimizer, learning_rate=config.learning_rate, max_grad_norm=config.max_grad_norm
        )
        parts = _slices(observation.layout(task.body, task.config.future_steps))
        self._act = parts["activation"]
        # The teacher does not depend on the last excitation. In states that the teacher has led to, it predicts
        # the next one, and a policy that copies it has learned nothing (de Haan et al. 2019, arXiv 1905.11979).
        observed = np.ones(task.nobs, np.float32)
        observed[parts["excitation"]] = 0.0
        self._observed = jnp.asarray(observed)
        self._ncomponent = min(config.components, task.nobs)
        model = task.body.model
        self._timestep, self._nsubstep = float(model.opt.timestep), task.body.nsubstep
        self._rise, self._fall = (jnp.asarray(model.actuator_dynprm[:, k], jnp.float32) for k in (0, 1))

    def init(self, key: Array) -> StudentState:
        """Initialise the network; excitations start near the resting one."""
        params = make_mlp(key, (self._task.nobs, *self._config.hidden, self._task.body.model.nu), last_scale=0.01)
        params["w0"] = params["w0"] * self._observed[:, None]
        inputs = no_principal_inputs(self._task.nobs, self._ncomponent)
        fitted = to_principal(inputs, params)
        return StudentState(
            params, fitted, inputs, self._optimizer.init(fitted), make_normaliser(self._task.nobs), jnp.zeros(())
        )

    def begin_at(self, student: StudentState, params: Params, normaliser: Normaliser) -> StudentState:
        """Replace the network, except its weights of the last excitation, which stay 0."""
        return student._replace(params={**params, "w0": params["w0"] * self._observed[:, None]}, normaliser=normaliser)

    def begin_fit(self, student: StudentState, labels: LabelBuffer) -> StudentState:
        """Choose the components for the fit of a round, and restart the optimiser."""
        filled = int(labels.filled)
        rows = np.linspace(0, filled - 1, min(filled, MAX_ANALYSED)).astype(np.int32)
        x = np.asarray(self._observed_values(student.normaliser, labels.steps.obs[rows]))
        inputs = principal_inputs(x, self._ncomponent)
        fitted = to_principal(inputs, student.params)
        return student._replace(fitted=fitted, inputs=inputs, optimizer=self._optimizer.init(fitted))

    def inputs(self, student: StudentState, labels: LabelBuffer) -> Array:
        """The components of all labels' observations, shape (capacity, ncomponent)."""
        part = lambda obs: project(student.inputs, self._observed_values(student.normaliser, obs))  # noqa: E731
        return jax.lax.map(part, labels.steps.obs, batch_size=1000)

    def excitation(self, student: StudentState, obs: Array) -> Array:
        """Excitations of the policy, shape (..., nu)."""
        return self._excitation(student.params, self._observed_values(student.normaliser, obs))

    def observe(self, student: StudentState, obs: Array) -> StudentState:
        """Update the normaliser with observations, shape (n, nobs)."""
        return student._replace(normaliser=update_normaliser(student.normaliser, obs))

    def reached(self, act: Array, excitation: Array) -> Array:
        """Activation after one control step, as MuJoCo's Euler integrator computes it, shape (..., nu)."""
        for _ in range(self._nsubstep):
            scale = 0.5 + 1.5 * jnp.clip(act, 0.0, 1.0)
            rate = jnp.where(excitation > act, 1.0 / (self._rise * scale), scale / self._fall)
            act = act + self._timestep * rate * (excitation - act)
        return act

    def fit(
        self, student: StudentState, labels: LabelBuffer, inputs: Array, key: Array, start: Array, end: Array
    ) -> tuple[StudentState, dict[str, Array]]:
        """Take `gradient_steps` gradient steps.

        Args:
            student: State before.
            labels: Labels.
            inputs: Their inputs, from `inputs`.
            key: Random key.
            start: Finished part of the round's fit.
            end: Finished part afterwards.

        Returns:
            The new state, and the means of the metrics.
        """
        config = self._config

        def step(carry: tuple[Params, Any], at: tuple[Array, Array]) -> tuple[tuple[Params, Any], dict[str, Array]]:
            params, optimizer = carry
            rows = jax.random.randint(at[0], (config.batch_size,), 0, jnp.maximum(labels.filled, 1))
            (_, metrics), grad = jax.value_and_grad(self._loss, has_aux=True)(params, inputs[rows], labels, rows)
            update, optimizer = self._optimizer.update(grad, optimizer, params)
            final = config.final_learning_rate
            rate = final + (1.0 - final) * 0.5 * (1.0 + jnp.cos(math.pi * at[1]))
            params: Params = jax.tree.map(lambda value, change: value + rate * change, params, update)
            return (params, optimizer), metrics

        count = config.gradient_steps
        progress = start + (end - start) * jnp.arange(count) / count
        (fitted, optimizer), metrics = jax.lax.scan(
            step, (student.fitted, student.optimizer), (jax.random.split(key, count), progress)
        )
        params = to_observations(student.inputs, fitted)
        student = self.begin_at(student, params, student.normaliser)
        student = student._replace(fitted=fitted, optimizer=optimizer, updates=student.updates + count)
        return student, jax.tree.map(jnp.mean, metrics)

    def _observed_values(self, normaliser: Normaliser, obs: Array) -> Array:
        """Normalised observations, 0 in place of those that the policy must not use."""
        return normalise(normaliser, obs) * self._observed

    def _excitation(self, params: Params, x: Array) -> Array:
        return self._task.excitation(apply_mlp(params, x, dtype=self._dtype))

    def _loss(
        self, params: Params, inputs: Array, labels: LabelBuffer, rows: Array
    ) -> tuple[Array, dict[str, Array]]:
        steps = labels.steps
        act = steps.obs[:, self._act][rows]
        error = self.reached(act, self._excitation(params, inputs)) - steps.activation[rows]
        effects = steps.effect[rows] if self._effects is None else self._effects[steps.row[rows]]
        effect = jnp.einsum("nij,nj->ni", effects.astype(error.dtype), error)
        square = jnp.mean(error**2, axis=-1)
        weighted = jnp.sum(effect**2, axis=-1) / error.shape[-1] + self._config.activation_weight * square
        weight = steps.valid[rows].astype(error.dtype)
        mean = lambda values: jnp.sum(values * weight) / jnp.maximum(jnp.sum(weight), 1.0)  # noqa: E731
        loss = mean(weighted)
        return loss, {"imitation_loss": loss, "activation_error": jnp.sqrt(mean(square))}


def _slices(layout: dict[str, int]) -> dict[str, slice]:
    """Columns of each part of an observation."""
    ends = np.cumsum(list(layout.values()))
    return {name: slice(int(end) - width, int(end)) for (name, width), end in zip(layout.items(), ends, strict=True)}
