"""Published tracking metrics of every world after a control step."""

from typing import NamedTuple

import jax.numpy as jnp
import mujoco
from jax import Array

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import PhysicsState, SensorData

from .frames import rotate
from .reference import Reference
from .task import StepResult


class StepMetrics(NamedTuple):
    """Metrics of one step, shapes (nworld,).

    Attributes:
        published: The published reward, 0 on termination.
        relative_landmark_error: Mean distance of the landmarks from the reference, relative to the first landmark [m].
        absolute_landmark_error: Mean distance of the landmarks from the reference in the world [m].
        root_position_error: Distance of the first landmark from the reference in the world [m].
        fingertip_error: Mean distance of the fingertips from the reference, relative to the first landmark [m]; NaN for
            a body whose fingers do not move.
        fingertip_in_hand_error: The same in the axes of the hands, which shows the fingers without the arm [m].
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
    fingertip_error: Array
    fingertip_in_hand_error: Array
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
    in_space, in_hand = _fingertip_errors(body, physics, sensors, ref)
    agreement = jnp.mean((sensors.contact > 0.5) == (ref.contact > 0.5), axis=-1)
    return StepMetrics(
        published=step_result.published,
        relative_landmark_error=step_result.landmark_error,
        absolute_landmark_error=jnp.mean(distance, axis=-1),
        root_position_error=distance[:, 0],
        fingertip_error=in_space,
        fingertip_in_hand_error=in_hand,
        joint_angle_error=mean_abs_difference(physics.qpos[:, angles], ref.qpos[:, angles]),
        joint_velocity_error=mean_abs_difference(physics.qvel[:, rates], ref.qvel[:, rates]),
        activation=jnp.mean(physics.act, axis=-1),
        effort=jnp.mean(ctrl**2, axis=-1),
        contact_agreement=agreement if body.contact_geoms else jnp.full_like(agreement, jnp.nan),
        terminated=step_result.terminated,
        bad=sensors.bad,
        overflow=sensors.overflow,
    )


def _fingertip_errors(
    body: SimulationBody, physics: PhysicsState, sensors: SensorData, ref: Reference
) -> tuple[Array, Array]:
    """Mean errors of the fingertips [m], relative to the first landmark and in the hands, shapes (nworld,)."""
    if body.fingertips is None:
        none = jnp.full(len(physics.qpos), jnp.nan)
        return none, none
    hand = jnp.array([body.landmark_names.index(tip.hand) for tip in body.target.fingertips])
    tips, ref_tips = body.fingertips(physics.qpos), body.fingertips(ref.qpos)

    def relative(xpos: Array, xquat: Array, in_hand: Array) -> Array:
        return xpos[:, hand] + rotate(xquat[:, hand], in_hand) - xpos[:, :1]

    in_space = relative(sensors.xpos, sensors.xquat, tips) - relative(ref.xpos, ref.xquat, ref_tips)
    length = lambda vector: jnp.mean(jnp.linalg.norm(vector, axis=-1), axis=-1)  # noqa: E731
    return length(in_space), length(tips - ref_tips)
