"""Tracking rewards: the published one, for comparison, and the one used for training."""

import jax.numpy as jnp
from jax import Array

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import PhysicsState, SensorData

from .frames import conjugate, multiply, rotate, squared_angle
from .reference import Reference
from .task_config import RewardConfig

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
mean square error. The weights sum to 1.21."""

MAX_PUBLISHED_REWARD = sum(weight for weight, _ in PUBLISHED.values())
"""Published reward of a state that equals the reference."""

class Deviations(dict[str, Array]):
    """Mean square errors by name, each of shape (nworld,)."""


def deviations(body: SimulationBody, state: PhysicsState, sensors: SensorData, ref: Reference) -> Deviations:
    """Deviations of states from the reference: mean squares over landmarks or joints and, for vectors, over axes.

    Args:
        body: The body.
        state: Physics state.
        sensors: Sensor data of that state.
        ref: Reference frame of each world; arrays lead with (nworld,).
    """
    deviation = tracking_deviations(body, state, sensors.xpos, sensors.linvel, ref)
    body_quat, ref_quat = _orientation(sensors.xquat), _orientation(ref.xquat)
    body_velocity = _relative_velocity(sensors.xpos, sensors.xquat, sensors.linvel, sensors.angvel)
    ref_velocity = _relative_velocity(ref.xpos, ref.xquat, ref.linvel, ref.angvel)
    deviation |= {
        "relative_rotation": jnp.mean(squared_angle(body_quat, ref_quat), axis=-1),
        "relative_linear_velocity": _square(body_velocity[0], ref_velocity[0]),
        "relative_angular_velocity": _square(body_velocity[1], ref_velocity[1]),
    }
    if body.free:
        deviation["root_velocity"] = _square(state.qvel[:, :6], ref.qvel[:, :6])
    return deviation


def tracking_deviations(
    body: SimulationBody, state: PhysicsState, xpos: Array, linvel: Array, ref: Reference
) -> Deviations:  # fmt: skip
    """Compute the `deviations` that `learning_reward` uses, which need only positions and velocities of the landmarks.

    Args:
        body: The body.
        state: Physics state.
        xpos: Landmark positions [m], shape (nworld, nlandmark, 3).
        linvel: Landmark velocities [m/s], world axes, shape (nworld, nlandmark, 3).
        ref: Reference frame of each world; arrays lead with (nworld,).
    """
    deviation = Deviations(
        relative_position=_square(xpos[:, 1:] - xpos[:, :1], ref.xpos[:, 1:] - ref.xpos[:, :1]),
        joint_position=_square(state.qpos[:, body.qposadr], ref.qpos[:, body.qposadr]),
        joint_velocity=_square(state.qvel[:, body.dofadr], ref.qvel[:, body.dofadr]),
        landmark_velocity=_square(linvel, ref.linvel),
    )
    if body.fingertips is not None:
        deviation["fingertip_position"] = _square(body.fingertips(state.qpos), body.fingertips(ref.qpos))
    if body.free:
        deviation["root_position"] = _square(state.qpos[:, :3], ref.qpos[:, :3])
        deviation["root_rotation"] = squared_angle(state.qpos[:, 3:7], ref.qpos[:, 3:7])
    return deviation


def _square(a: Array, b: Array) -> Array:
    """Mean square difference per world, shape (nworld,)."""
    return jnp.mean((a - b) ** 2, axis=tuple(range(1, a.ndim)))


def _orientation(xquat: Array) -> Array:
    """Orientations relative to the first landmark."""
    return multiply(conjugate(xquat[:, :1]), xquat[:, 1:])


def _relative_velocity(xpos: Array, xquat: Array, linvel: Array, angvel: Array) -> tuple[Array, Array]:
    """Velocities relative to the first landmark's moving frame, in its axes."""
    to_first_landmark = lambda vector: rotate(conjugate(xquat[:, :1]), vector)  # noqa: E731
    rigid_linvel = linvel[:, :1] + jnp.cross(angvel[:, :1], xpos[:, 1:] - xpos[:, :1])
    return to_first_landmark(linvel[:, 1:] - rigid_linvel), to_first_landmark(angvel[:, 1:] - angvel[:, :1])


def published_reward(deviation: Deviations) -> Array:
    """MuscleMimic's reward, at most `MAX_PUBLISHED_REWARD`, shape (nworld,).

    A body without a free root gets the full weight of the root terms.
    """
    terms = [
        weight * jnp.exp(-sharpness * deviation.get(name, jnp.zeros(())))
        for name, (weight, sharpness) in PUBLISHED.items()
    ]
    return sum(terms, start=jnp.zeros_like(deviation["relative_position"]))


def learning_reward(deviation: Deviations, excitation: Array, prev_excitation: Array, config: RewardConfig) -> Array:
    """Training reward, between 0 and 1, shape (nworld,).

    Args:
        deviation: From `deviations`.
        excitation: Excitations of the step that led to the state, shape (nworld, nu).
        prev_excitation: Excitations of the previous step, shape (nworld, nu).
        config: Weights and scales.
    """
    tracked = {
        "relative_position": (config.landmark, 3.0**-0.5 * config.landmark_scale),  # mean over 3 axes
        "joint_position": (config.joint, config.joint_scale),
        "joint_velocity": (config.joint_velocity, config.joint_velocity_scale),
        "landmark_velocity": (config.landmark_velocity, 3.0**-0.5 * config.landmark_velocity_scale),
        "fingertip_position": (config.fingertip, 3.0**-0.5 * config.fingertip_scale),
        "root_position": (config.root, 3.0**-0.5 * config.root_scale),
        "root_rotation": (config.root_rotation, config.root_rotation_scale),
    }
    active = {name: pair for name, pair in tracked.items() if name in deviation}
    total = sum(weight * _bell(deviation[name], scale, config.wide_factor) for name, (weight, scale) in active.items())
    effort_terms = config.effort * (1.0 - jnp.mean(excitation**2, axis=-1))
    effort_terms += config.action_rate * (1.0 - jnp.mean((excitation - prev_excitation) ** 2, axis=-1))
    weights = sum(weight for weight, _ in active.values()) + config.effort + config.action_rate
    return (total + effort_terms) / weights


def _bell(square: Array, scale: float, wide: float) -> Array:
    relative = square / scale**2
    return 0.5 * jnp.exp(-relative) + 0.5 / (1.0 + relative / wide**2)
