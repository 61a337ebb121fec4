"""How far a body is from its reference after a control step, in the figures that are published."""

from typing import NamedTuple

import jax.numpy as jnp
import mujoco
from jax import Array

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import PhysicsState, SensorData

from .reference import Reference
from .task import Outcome


class Measures(NamedTuple):
    """Figures of one step, shapes (nworld,).

    Attributes:
        published: The published reward, 0 where the limits are broken.
        relative_landmark_error: Mean distance of the landmarks, relative to the first [m].
        absolute_landmark_error: Mean distance of the landmarks in the world [m].
        root_position_error: Distance of the first landmark in the world [m].
        joint_angle_error: Mean absolute difference of the independent hinges [rad].
        joint_velocity_error: The same of their velocities [rad/s].
        activation: Mean activation of the muscles.
        effort: Mean square of the excitations.
        contact_agreement: Share of the four parts of the feet that touch the floor, or do not, as in the clip; NaN for
            a body without feet.
        failed: The limits of the task are broken, or the physics is bad.
        bad: The physics is bad.
        overflow: Contacts or constraints found no room.
    """

    published: Array
    relative_landmark_error: Array
    absolute_landmark_error: Array
    root_position_error: Array
    joint_angle_error: Array
    joint_velocity_error: Array
    activation: Array
    effort: Array
    contact_agreement: Array
    failed: Array
    bad: Array
    overflow: Array


def measure(
    body: SimulationBody, physics: PhysicsState, reading: SensorData, ref: Reference, ctrl: Array, outcome: Outcome
) -> Measures:
    """Measure worlds.

    Args:
        body: The body.
        physics: After the step.
        reading: Of the same moment.
        ref: Frame that each world should match; arrays lead with (nworld,).
        ctrl: Excitations of the step, shape (nworld, nu).
        outcome: What the task says of the step.
    """
    hinges = body.joint_ids[body.model.jnt_type[body.joint_ids] == mujoco.mjtJoint.mjJNT_HINGE]
    angles, rates = body.model.jnt_qposadr[hinges], body.model.jnt_dofadr[hinges]
    apart = lambda a, b: jnp.mean(jnp.abs(a - b), axis=-1)  # noqa: E731
    distance = jnp.linalg.norm(reading.xpos - ref.xpos, axis=-1)
    agreed = jnp.mean((reading.contact > 0.5) == (ref.contact > 0.5), axis=-1)
    return Measures(
        published=outcome.published,
        relative_landmark_error=outcome.landmark_error,
        absolute_landmark_error=jnp.mean(distance, axis=-1),
        root_position_error=distance[:, 0],
        joint_angle_error=apart(physics.qpos[:, angles], ref.qpos[:, angles]),
        joint_velocity_error=apart(physics.qvel[:, rates], ref.qvel[:, rates]),
        activation=jnp.mean(physics.act, axis=-1),
        effort=jnp.mean(ctrl**2, axis=-1),
        contact_agreement=agreed if body.contact_geoms else jnp.full_like(agreed, jnp.nan),
        failed=outcome.failed,
        bad=reading.bad,
        overflow=reading.overflow,
    )
