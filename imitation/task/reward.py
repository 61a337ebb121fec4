"""How well a body tracks its reference: the published reward, as a figure to compare, and the one to learn from."""

from typing import Annotated

import jax.numpy as jnp
from jax import Array
from pydantic import Field

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import PhysicsState, SensorData
from musclemap.settings import MAX_FACTOR, NonNegativeFloat, settings

from .frames import conjugate, multiply, rotate, squared_angle
from .reference import Reference

PUBLISHED = {
    "relative_position": (0.6, 100.0),
    "joint_position": (0.1, 10.0),
    "joint_velocity": (0.1, 2.0),
    "root_position": (0.1, 10.0),
    "root_velocity": (0.1, 10.0),
    "relative_rotation": (0.01, 10.0),
    "relative_angular_velocity": (0.1, 0.1),
    "relative_linear_velocity": (0.1, 0.1),
}
"""Weight w and sharpness b of each term w exp(-b d) of MuscleMimic's tracking reward (arXiv 2603.25544), where d is a
mean square error. The weights add up to 1.21."""

PUBLISHED_MOST = sum(weight for weight, _ in PUBLISHED.values())
"""Reward of a state that is the reference's."""


Width = Annotated[float, Field(ge=1.0 / MAX_FACTOR, le=MAX_FACTOR)]
"""Width of a bell; errors are divided by it."""


@settings
class RewardConfig:
    """The reward to learn from. Its terms are between 0 and 1, so that early termination never pays.

    Each tracking term is half a narrow bell and half a wide one, which still has a slope far from the reference.
    Weights need not add up to 1: they are divided by their sum.

    Attributes:
        landmark: Weight of the landmarks' positions relative to the root.
        joint: Weight of the independent joints.
        joint_velocity: Weight of their velocities.
        landmark_velocity: Weight of the landmarks' velocities.
        root: Weight of the root's position in the world; for a body with a free root.
        root_rotation: Weight of its orientation.
        effort: Weight of low excitation: 1 minus its mean square.
        action_rate: Weight of steady excitation: 1 minus the mean square of its change.
        landmark_scale: Error at which the narrow bell has fallen to 1/e [m].
        joint_scale: The same for joints [rad].
        joint_velocity_scale: The same for their velocities [rad/s].
        landmark_velocity_scale: The same for the landmarks' velocities [m/s].
        root_scale: The same for the root's position [m].
        root_rotation_scale: The same for its orientation [rad].
        wide_factor: Width of the wide bell over that of the narrow one.
    """

    landmark: NonNegativeFloat = 0.35
    joint: NonNegativeFloat = 0.2
    joint_velocity: NonNegativeFloat = 0.05
    landmark_velocity: NonNegativeFloat = 0.1
    root: NonNegativeFloat = 0.15
    root_rotation: NonNegativeFloat = 0.1
    effort: NonNegativeFloat = 0.03
    action_rate: NonNegativeFloat = 0.02
    landmark_scale: Width = 0.06
    joint_scale: Width = 0.2
    joint_velocity_scale: Width = 2.0
    landmark_velocity_scale: Width = 0.5
    root_scale: Width = 0.15
    root_rotation_scale: Width = 0.3
    wide_factor: Width = 4.0

    def __post_init__(self) -> None:
        # Some bodies have no free root; the rest is divided by the sum of these.
        weights = (
            self.landmark, self.joint, self.joint_velocity, self.landmark_velocity, self.effort, self.action_rate,
        )  # fmt: skip
        if not any(weights):
            raise ValueError("a weight other than root and root_rotation must be above 0")


class Deviations(dict[str, Array]):
    """Mean square errors by name, each of shape (nworld,)."""


def deviations(body: SimulationBody, state: PhysicsState, reading: SensorData, ref: Reference) -> Deviations:
    """How far states are from the reference: mean squares over landmarks or joints and, for vectors, their axes.

    Args:
        body: The body.
        state: Physics.
        reading: Of the same moment.
        ref: Frame that each world should match; arrays lead with (nworld,).
    """
    result = tracking_deviations(body, state, reading.xpos, reading.linvel, ref)
    own, other = _orientation(reading.xquat), _orientation(ref.xquat)
    own_vel = _relative_velocity(reading.xpos, reading.xquat, reading.linvel, reading.angvel)
    other_vel = _relative_velocity(ref.xpos, ref.xquat, ref.linvel, ref.angvel)
    result |= {
        "relative_rotation": jnp.mean(squared_angle(own, other), axis=-1),
        "relative_linear_velocity": _square(own_vel[0], other_vel[0]),
        "relative_angular_velocity": _square(own_vel[1], other_vel[1]),
    }
    if body.free:
        result["root_velocity"] = _square(state.qvel[:, :6], ref.qvel[:, :6])
    return result


def tracking_deviations(
    body: SimulationBody, state: PhysicsState, xpos: Array, linvel: Array, ref: Reference
) -> Deviations:  # fmt: skip
    """Those of `deviations` that `learning_reward` is made of, from positions and velocities of landmarks alone.

    Args:
        body: The body.
        state: Physics.
        xpos: Its landmarks [m], shape (nworld, nlandmark, 3).
        linvel: Their velocities [m/s], world axes, shape (nworld, nlandmark, 3).
        ref: Frame that each world should match; arrays lead with (nworld,).
    """
    result = Deviations(
        relative_position=_square(xpos[:, 1:] - xpos[:, :1], ref.xpos[:, 1:] - ref.xpos[:, :1]),
        joint_position=_square(state.qpos[:, body.qposadr], ref.qpos[:, body.qposadr]),
        joint_velocity=_square(state.qvel[:, body.dofadr], ref.qvel[:, body.dofadr]),
        landmark_velocity=_square(linvel, ref.linvel),
    )
    if body.free:
        result["root_position"] = _square(state.qpos[:, :3], ref.qpos[:, :3])
        result["root_rotation"] = squared_angle(state.qpos[:, 3:7], ref.qpos[:, 3:7])
    return result


def _square(a: Array, b: Array) -> Array:
    """Mean square difference of each world, shape (nworld,)."""
    return jnp.mean((a - b) ** 2, axis=tuple(range(1, a.ndim)))


def _orientation(xquat: Array) -> Array:
    """Orientations as seen from the first landmark."""
    return multiply(conjugate(xquat[:, :1]), xquat[:, 1:])


def _relative_velocity(xpos: Array, xquat: Array, linvel: Array, angvel: Array) -> tuple[Array, Array]:
    """Velocities as an observer on the first landmark sees them, in its axes."""
    into = lambda vector: rotate(conjugate(xquat[:, :1]), vector)  # noqa: E731
    carried = linvel[:, :1] + jnp.cross(angvel[:, :1], xpos[:, 1:] - xpos[:, :1])
    return into(linvel[:, 1:] - carried), into(angvel[:, 1:] - angvel[:, :1])


def published_reward(deviation: Deviations) -> Array:
    """MuscleMimic's reward, at most `PUBLISHED_MOST`; a body without a free root loses nothing for it. (nworld,)"""
    terms = [
        weight * jnp.exp(-sharp * deviation.get(name, jnp.zeros(()))) for name, (weight, sharp) in PUBLISHED.items()
    ]
    return sum(terms, start=jnp.zeros_like(deviation["relative_position"]))


def learning_reward(deviation: Deviations, excitation: Array, before: Array, config: RewardConfig) -> Array:
    """Reward to learn from, between 0 and 1, shape (nworld,).

    Args:
        deviation: From `deviations`.
        excitation: Of the step that led here, shape (nworld, nu).
        before: Of the step before, shape (nworld, nu).
        config: Weights and scales.
    """
    tracked = {
        "relative_position": (config.landmark, 3.0**-0.5 * config.landmark_scale),  # a mean square is over 3 axes
        "joint_position": (config.joint, config.joint_scale),
        "joint_velocity": (config.joint_velocity, config.joint_velocity_scale),
        "landmark_velocity": (config.landmark_velocity, 3.0**-0.5 * config.landmark_velocity_scale),
        "root_position": (config.root, 3.0**-0.5 * config.root_scale),
        "root_rotation": (config.root_rotation, config.root_rotation_scale),
    }
    there = {name: pair for name, pair in tracked.items() if name in deviation}
    total = sum(weight * _bell(deviation[name], scale, config.wide_factor) for name, (weight, scale) in there.items())
    calm = config.effort * (1.0 - jnp.mean(excitation**2, axis=-1))
    calm += config.action_rate * (1.0 - jnp.mean((excitation - before) ** 2, axis=-1))
    weights = sum(weight for weight, _ in there.values()) + config.effort + config.action_rate
    return (total + calm) / weights


def _bell(square: Array, scale: float, wide: float) -> Array:
    relative = square / scale**2
    return 0.5 * jnp.exp(-relative) + 0.5 / (1.0 + relative / wide**2)
