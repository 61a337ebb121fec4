"""Published tracking metrics of every world after a control step."""

from typing import NamedTuple

import jax.numpy as jnp
import mujoco
from jax import Array

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import PhysicsState, SensorData

from .reference import Reference
from .task import StepResult


class StepMetrics(NamedTuple):
    """Metrics of one step, shapes (nworld,).

    Attributes:
        published: The published reward, 0 on termination.
        relative_landmark_error: Mean distance of the landmarks from the reference, relative to the first landmark [m].
        absolute_landmark_error: Mean distance of the landmarks from the reference in the world [m].
        root_position_error: Distance of the first landmark from the reference in the world [m].
        joint_angle_error: Mean absolute error of the independent hinge angles [rad].
        joint_velocity_error: Mean absolute error of the independent hinge velocities [rad/s].
        activation: Mean muscle activation.
        effort: Mean square of the excitations.
        contact_agreement: Fraction of the four foot parts whose floor contact equals the clip's; NaN for a body without
            feet.
        terminated: The body exceeds a termination limit of the task, or its physics is bad.
        bad: The physics is bad.
        overflow: Contacts or constraints overflowed their buffers.
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
    terminated: Array
    bad: Array
    overflow: Array


def step_metrics(
    body: SimulationBody,
    physics: PhysicsState,
    sensors: SensorData,
    ref: Reference,
    ctrl: Array,
    step_result: StepResult,
) -> StepMetrics:
    """Compute the metrics of every world.

    Args:
        body: The body.
        physics: State after the step.
        sensors: Sensor data of that state.
        ref: Reference frame of each world; arrays lead with (nworld,).
        ctrl: Excitations of the step, shape (nworld, nu).
        step_result: The task's result of the step.
    """
    hinges = body.joint_ids[body.model.jnt_type[body.joint_ids] == mujoco.mjtJoint.mjJNT_HINGE]
    angles, rates = body.model.jnt_qposadr[hinges], body.model.jnt_dofadr[hinges]
    mean_abs_difference = lambda a, b: jnp.mean(jnp.abs(a - b), axis=-1)  # noqa: E731
    distance = jnp.linalg.norm(sensors.xpos - ref.xpos, axis=-1)
    agreement = jnp.mean((sensors.contact > 0.5) == (ref.contact > 0.5), axis=-1)
    return StepMetrics(
        published=step_result.published,
        relative_landmark_error=step_result.landmark_error,
        absolute_landmark_error=jnp.mean(distance, axis=-1),
        root_position_error=distance[:, 0],
        joint_angle_error=mean_abs_difference(physics.qpos[:, angles], ref.qpos[:, angles]),
        joint_velocity_error=mean_abs_difference(physics.qvel[:, rates], ref.qvel[:, rates]),
        activation=jnp.mean(physics.act, axis=-1),
        effort=jnp.mean(ctrl**2, axis=-1),
        contact_agreement=agreement if body.contact_geoms else jnp.full_like(agreement, jnp.nan),
        terminated=step_result.terminated,
        bad=sensors.bad,
        overflow=sensors.overflow,
    )
