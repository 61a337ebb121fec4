"""A body's dynamics, learned and differentiable, a control step at a time.

What is known is not learned: activations follow MuJoCo's own equation, muscles pull by MuJoCo's curves at lengths
fitted beforehand (`tendons`), couplings and the step from velocity to configuration are exact. What is left, how
torques, gravity, inertia and contacts change the velocity within a control step, a network foretells in independent
coordinates.
"""

from dataclasses import field
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from pydantic import Field

from musclemap.errors import SettingsError
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import PhysicsState
from musclemap.imitation.ppo import normaliser as normalising
from musclemap.imitation.ppo.networks import Params, Precision, apply_mlp, make_mlp, product_type
from musclemap.imitation.ppo.normaliser import Normaliser
from musclemap.imitation.ppo.ppo_config import BatchSize, NumSteps
from musclemap.settings import HiddenWidths, PositiveFloat, settings

from .coordinates import Coordinates
from .muscles import activate_through, muscles_of
from .tendons import TendonConfig, Tendons

Variant = Literal["grey", "plain"]

WILD = 20.0
"""Changes of velocity are kept within so many times their spread: a network that errs does not run away."""

KNEE = 3.0
"""Errors beyond so many spreads weigh as their size, not as their square."""


@settings
class ModelConfig:
    """The network that predicts, and how it is fitted.

    Attributes:
        variant: "grey" (muscles are computed and the network's inputs are their torques) or "plain" (its inputs are
            activations and excitations, so that it has to learn the muscles too).
        hidden: Widths of the hidden layers.
        sequence_length: Control steps predicted open-loop from a real state when fitting.
        batch_size: Sequences of a gradient step.
        gradient_steps: Gradient steps between rollouts.
        learning_rate: Learning rate of Adam.
        failure_fraction: Largest fraction of sequences that end in a failure or begin just before one.
        precision: "float32", or "bfloat16" for the matrix products.
        tendons: How lengths of muscles are fitted.
    """

    variant: Variant = "grey"
    hidden: HiddenWidths = (1024, 1024, 1024, 1024)
    # Sequences are unrolled, and kept in memory for the gradient.
    sequence_length: Annotated[int, Field(ge=1, le=1000)] = 8
    batch_size: BatchSize = 1024
    gradient_steps: NumSteps = 16
    learning_rate: PositiveFloat = 5e-4
    failure_fraction: Annotated[float, Field(ge=0, le=1)] = 0.5
    precision: Precision = "float32"
    tendons: TendonConfig = field(default_factory=TendonConfig)


class ModelState(NamedTuple):
    """State that is foretold.

    Attributes:
        q: In independent coordinates, shape (n, nposture).
        velocity: Shape (n, nvelocity).
        act: Activations, shape (n, nu).
    """

    q: Array
    velocity: Array
    act: Array


class Dynamics(NamedTuple):
    """What was learned of a body's dynamics.

    Attributes:
        params: The network.
        inputs: Mean and spread of what it sees.
        change: Mean and spread of what it foretells: changes of velocity in a control step.
    """

    params: Params
    inputs: Normaliser
    change: Normaliser


class WorldModel:
    """Foretells control steps of a body. Methods are pure.

    Args:
        body: The body.
        config: Settings.
        tendons: Lengths of its muscles; None for the plain variant.
    """

    def __init__(self, body: SimulationBody, config: ModelConfig, tendons: Tendons | None) -> None:
        if (config.variant == "grey") != (tendons is not None):
            raise SettingsError("a grey model needs lengths of muscles, a plain one has none")
        self.body, self.config, self.tendons = body, config, tendons
        self.coordinates = Coordinates(body)
        self.muscles = muscles_of(body.model)
        self._dtype = product_type(config.precision)
        nu = body.model.nu
        self.ninput = self.coordinates.nseen + (self.coordinates.njoint if config.variant == "grey" else 2 * nu)

    def begin(self, key: Array) -> Dynamics:
        """A model that knows nothing: velocities stay as they are."""
        width = self.coordinates.nvelocity
        params = make_mlp(key, (self.ninput, *self.config.hidden, width), last_scale=0.01)
        return Dynamics(params, normalising.make_normaliser(self.ninput), normalising.make_normaliser(width))

    def of(self, physics: PhysicsState) -> ModelState:
        """An engine's states, as far as they are foretold."""
        return ModelState(*self.coordinates.take(physics.qpos, physics.qvel), physics.act)

    def to_physics(self, state: ModelState) -> PhysicsState:
        """As an engine has it; accelerations are not foretold and zero."""
        qpos, qvel = self.coordinates.give(state.q, state.velocity)
        return PhysicsState(qpos, qvel, state.act, jnp.zeros_like(qvel))

    def inputs(self, state: ModelState, ctrl: Array) -> tuple[Array, Array]:
        """What the network sees, shape (n, ninput), not normalised; and activations after the step, (n, nu)."""
        body, at = self.body, self.coordinates
        act, mean = activate_through(self.muscles, state.act, ctrl, body.model.opt.timestep, body.nsubstep)
        seen = at.seen(state.q, state.velocity)
        if self.tendons is None:
            return jnp.concatenate([seen, state.act, ctrl], axis=1), act
        torque = self.tendons.torque(
            self.muscles, at.joints(state.q), at.joint_velocities(state.velocity), mean
        )  # fmt: skip
        return jnp.concatenate([seen, torque], axis=1), act

    def step(self, known: Dynamics, state: ModelState, ctrl: Array) -> ModelState:
        """Foretell a control step.

        Args:
            known: What was learned.
            state: States.
            ctrl: Excitations, held for the step, shape (n, nu).
        """
        seen, act = self.inputs(state, ctrl)
        out = apply_mlp(known.params, normalising.normalise(known.inputs, seen), dtype=self._dtype)
        change = known.change.mean + spread(known) * WILD * jnp.tanh(out / WILD)
        velocity = self.coordinates.changed(state.q, state.velocity, change)
        return ModelState(self.coordinates.integrate(state.q, state.velocity, velocity), velocity, act)

    def predict(self, known: Dynamics, start: ModelState, ctrl: Array) -> ModelState:
        """Open-loop: states after each of some steps, arrays lead with (nstep, n).

        Args:
            known: What was learned.
            start: States to begin with.
            ctrl: Excitations, shape (nstep, n, nu).
        """

        def one(state: ModelState, now: Array) -> tuple[ModelState, ModelState]:
            after = self.step(known, state, now)
            return after, after

        return jax.lax.scan(one, start, ctrl)[1]

    def loss(self, known: Dynamics, start: ModelState, ctrl: Array, true: ModelState, valid: Array) -> Array:
        """Error of open-loop windows, in spreads of a step's change; of configurations, in what it moves in a window.

        Args:
            known: What was learned.
            start: Real states, (n, ...).
            ctrl: Excitations, shape (nstep, n, nu).
            true: What came of them, arrays lead with (nstep, n); activations are not compared, for they are exact.
            valid: 1 where the step is part of the window, shape (nstep, n).
        """
        result = self.predict(known, start, ctrl)
        size = spread(known)
        at = self.coordinates
        far = jax.vmap(at.nearest_turn)(true.q, result.q)
        turned = jax.vmap(at.change)(true.q, jnp.zeros_like(far), far)  # as the spread, in the heading frame
        q = _bounded(turned * (self.body.control_fps / (len(ctrl) * size)))
        velocity = _bounded(jax.vmap(at.change)(true.q, true.velocity, result.velocity) / size)
        each = jnp.mean(velocity, axis=-1) + jnp.mean(q, axis=-1)
        return jnp.sum(jnp.where(valid > 0, each, 0.0)) / jnp.maximum(jnp.sum(valid), 1.0)

    def take_in(self, known: Dynamics, start: ModelState, ctrl: Array, after: ModelState, valid: Array) -> Dynamics:
        """Let the normalisers see transitions; those of `valid` 0 are passed over.

        Args:
            known: What was learned.
            start: States before, (n, ...).
            ctrl: Excitations, shape (n, nu).
            after: States after.
            valid: Shape (n,).
        """
        seen, _ = self.inputs(start, ctrl)
        change = self.coordinates.change(start.q, start.velocity, after.velocity)
        return known._replace(
            inputs=normalising.take_in(known.inputs, seen, valid),
            change=normalising.take_in(known.change, change, valid),
        )


def spread(known: Dynamics) -> Array:
    """Spread of the changes of velocity in a control step, shape (nvelocity,)."""
    return jnp.sqrt(known.change.var + normalising.LEAST**2)


def _bounded(error: Array) -> Array:
    """Squares that go on as lines beyond `KNEE`: impacts, which come rarely and large, do not rule the fit."""
    size = jnp.abs(error)
    return jnp.where(size <= KNEE, 0.5 * error**2, KNEE * (size - 0.5 * KNEE))
