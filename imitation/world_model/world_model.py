"""A learned, differentiable model of a body's dynamics that predicts one control step at a time.

Known parts are not learned: activations follow MuJoCo's equation, muscle forces follow MuJoCo's curves at previously
fitted lengths (`tendons`), and couplings and the integration of velocities are exact. A network predicts the rest in
independent coordinates: how torques, gravity, inertia and contacts change the velocity in a control step.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from musclemap.errors import SettingsError
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import PhysicsState
from musclemap.imitation.ppo.networks import Params, apply_mlp, make_mlp, matmul_dtype
from musclemap.imitation.ppo.normaliser import (
    MIN_STD,
    Normaliser,
    make_normaliser,
    normalise,
    update_normaliser,
)

from .coordinates import Mirror, ModelState, WorldModelCoordinates
from .muscles import integrate_activation, read_muscles
from .rigid_step import RigidDynamics, StepTerms
from .tendons import Tendons
from .world_config import ModelConfig

MAX_CHANGE = 20.0
"""Bound on predicted velocity changes, in standard deviations, so that errors of the network cannot diverge."""

HUBER_DELTA = 3.0
"""Errors beyond this many standard deviations contribute linearly instead of quadratically."""


class Dynamics(NamedTuple):
    """Learned parameters of a body's dynamics.

    Attributes:
        params: The network.
        inputs: Mean and variance of the network's inputs.
        change: Mean and variance of the network's targets: velocity changes in a control step.
    """

    params: Params
    inputs: Normaliser
    change: Normaliser


class WorldModel:
    """Predicts control steps of a body. Methods are pure.

    Args:
        body: The body.
        config: Settings.
        tendons: Lengths of its muscles; None for the plain variant.
    """

    def __init__(self, body: SimulationBody, config: ModelConfig, tendons: Tendons | None) -> None:
        if (config.variant == "plain") != (tendons is None):
            raise SettingsError("rigid and grey models need fitted muscle lengths; a plain one must not have them")
        self.body, self.config, self.tendons = body, config, tendons
        self.coordinates = WorldModelCoordinates(body)
        self.muscles = read_muscles(body.model)
        self._dtype = matmul_dtype(config.precision)
        nu = body.model.nu
        self.ninput = self.coordinates.nfeature + (2 * nu if tendons is None else self.coordinates.njoint)
        self._mirror, self._rigid = Mirror(self.coordinates.reduced), None
        if config.variant == "rigid" and tendons is not None:
            self._rigid = RigidDynamics(body, self.coordinates, tendons)

    def init(self, key: Array) -> Dynamics:
        """Initialise a model whose network predicts nothing or almost nothing."""
        width = self.coordinates.nvelocity
        last_scale = 0.01 if self._rigid is None else 0.0
        params = make_mlp(key, (self.ninput, *self.config.hidden, width), last_scale=last_scale)
        return Dynamics(params, make_normaliser(self.ninput), make_normaliser(width))

    def from_physics(self, physics: PhysicsState) -> ModelState:
        """The part of an engine's states that the model predicts."""
        return ModelState(*self.coordinates.reduce(physics.qpos, physics.qvel), physics.act)

    def to_physics(self, state: ModelState) -> PhysicsState:
        """Convert to an engine's states; solver accelerations, which are not predicted, are zero."""
        qpos, qvel = self.coordinates.expand(state.q, state.velocity)
        return PhysicsState(qpos, qvel, state.act, jnp.zeros_like(qvel))

    def inputs(self, state: ModelState, ctrl: Array) -> tuple[Array, Array]:
        """Inputs of the network, shape (n, ninput), not normalised; and activations after the step, (n, nu)."""
        body, coordinates = self.body, self.coordinates
        act, mean_act = integrate_activation(self.muscles, state.act, ctrl, body.model.opt.timestep, body.nsubstep)
        dynamics_features = coordinates.dynamics_features(state.q, state.velocity)
        if self.tendons is None:
            return jnp.concatenate([dynamics_features, state.act, ctrl], axis=1), act
        torque = self.tendons.torque(
            self.muscles, coordinates.joints(state.q), coordinates.joint_velocities(state.velocity), mean_act
        )  # fmt: skip
        return jnp.concatenate([dynamics_features, torque], axis=1), act

    def step(self, dynamics: Dynamics, state: ModelState, ctrl: Array, *, linear: bool = False) -> ModelState:
        """Predict one control step.

        Args:
            dynamics: Learned parameters.
            state: States.
            ctrl: Excitations, constant during the step, shape (n, nu).
            linear: Approximate the derivative by the state, as in `RigidDynamics.prepare`.
        """
        if self._rigid is not None:
            terms = self._rigid.prepare(state.q, state.velocity, linear=linear)
            return self._rigid_step(self._rigid, terms, dynamics, state, ctrl)
        dynamics_features, act = self.inputs(state, ctrl)
        velocity_change = dynamics.change.mean + self._network(dynamics, dynamics_features, change_std(dynamics))
        velocity = self.coordinates.apply_velocity_change(state.q, state.velocity, velocity_change)
        return ModelState(self.coordinates.integrate(state.q, state.velocity, velocity), velocity, act)

    def _rigid_step(
        self, rigid: RigidDynamics, terms: StepTerms, dynamics: Dynamics, state: ModelState, ctrl: Array
    ) -> ModelState:
        correction = self.correction(dynamics, self._rigid_inputs(rigid, terms, state))
        return rigid.step(terms, state.q, state.act, ctrl, correction)

    def correction(self, dynamics: Dynamics, features: Array) -> Array:
        """Correction of a rigid model's forces, see `RigidDynamics.step`; that of a mirrored state is the mirrored one.

        Args:
            dynamics: Learned parameters.
            features: `WorldModelCoordinates.dynamics_features` and muscle torques, shape (n, ninput).
        """
        mirror, std = self._mirror, change_std(dynamics)
        std = 0.5 * (std + std[mirror.velocity_twin])
        correction = self._network(dynamics, features, std)
        if not mirror.symmetric:
            return correction
        other = self._network(dynamics, features[:, mirror.feature_twin] * mirror.feature_sign, std)
        return 0.5 * (correction + other[:, mirror.velocity_twin] * mirror.velocity_sign)

    def _rigid_inputs(self, rigid: RigidDynamics, terms: StepTerms, state: ModelState) -> Array:
        coordinates = self.coordinates
        rates = coordinates.joint_velocities(state.velocity)
        torque = rigid.muscle_torque(terms, jnp.zeros_like(rates), rates, state.act)
        return jnp.concatenate([coordinates.dynamics_features(state.q, state.velocity), torque], axis=1)

    def _network(self, dynamics: Dynamics, features: Array, std: Array) -> Array:
        """Output of the network, bounded, shape (n, nvelocity)."""
        output = apply_mlp(dynamics.params, normalise(dynamics.inputs, features), dtype=self._dtype)
        return std * MAX_CHANGE * jnp.tanh(output / MAX_CHANGE)

    def predict(self, dynamics: Dynamics, start: ModelState, ctrl: Array, *, linear: bool = False) -> ModelState:
        """Predict the states after several steps, open-loop; arrays lead with (nstep, n).

        Args:
            dynamics: Learned parameters.
            start: Initial states.
            ctrl: Excitations, shape (nstep, n, nu).
            linear: Approximate the derivative by the state, as in `RigidDynamics.prepare`.
        """

        def step(state: ModelState, step_ctrl: Array) -> tuple[ModelState, ModelState]:
            next_state = self.step(dynamics, state, step_ctrl, linear=linear)
            return next_state, next_state

        return jax.lax.scan(step, start, ctrl)[1]

    def loss(self, dynamics: Dynamics, start: ModelState, ctrl: Array, true: ModelState, valid: Array) -> Array:
        """Error of open-loop predictions over windows.

        Velocity errors are measured in standard deviations of the change per step, configuration errors in the
        displacement that such a velocity causes over the window.

        Args:
            dynamics: Learned parameters.
            start: Real initial states, (n, ...).
            ctrl: Excitations, shape (nstep, n, nu).
            true: Real states after each step; arrays lead with (nstep, n). Activations are not compared, as they are
                exact.
            valid: 1 for steps that belong to the window, shape (nstep, n).
        """
        predicted = self.predict(dynamics, start, ctrl, linear=True)
        std = change_std(dynamics)
        coordinates = self.coordinates
        q_error = jax.vmap(coordinates.difference)(true.q, predicted.q)
        # In the heading frame, like `std`.
        heading_error = jax.vmap(coordinates.velocity_change)(true.q, jnp.zeros_like(q_error), q_error)
        q = _huber(heading_error * (self.body.control_fps / (len(ctrl) * std)))
        velocity = _huber(jax.vmap(coordinates.velocity_change)(true.q, true.velocity, predicted.velocity) / std)
        error = jnp.mean(velocity, axis=-1) + jnp.mean(q, axis=-1)
        return jnp.sum(jnp.where(valid > 0, error, 0.0)) / jnp.maximum(jnp.sum(valid), 1.0)

    def update_normalisers(
        self, dynamics: Dynamics, start: ModelState, ctrl: Array, next_state: ModelState, valid: Array
    ) -> Dynamics:
        """Update the normalisers with transitions, ignoring those with `valid` 0.

        Args:
            dynamics: Learned parameters.
            start: States before the step, (n, ...).
            ctrl: Excitations, shape (n, nu).
            next_state: States after the step.
            valid: Shape (n,).
        """
        dynamics_features, _ = self.inputs(start, ctrl)
        velocity_change = self.coordinates.velocity_change(start.q, start.velocity, next_state.velocity)
        return dynamics._replace(
            inputs=update_normaliser(dynamics.inputs, dynamics_features, valid),
            change=update_normaliser(dynamics.change, velocity_change, valid),
        )


def change_std(dynamics: Dynamics) -> Array:
    """Standard deviation of the velocity changes per control step, shape (nvelocity,)."""
    return jnp.sqrt(dynamics.change.var + MIN_STD**2)


def _huber(error: Array) -> Array:
    """Huber loss with threshold `HUBER_DELTA`: rare but large changes in impacts do not dominate the fit."""
    size = jnp.abs(error)
    return jnp.where(size <= HUBER_DELTA, 0.5 * error**2, HUBER_DELTA * (size - 0.5 * HUBER_DELTA))
