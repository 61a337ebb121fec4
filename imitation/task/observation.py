"""Observations of the policy: the body's state, its deviation from the reference, and the upcoming reference.

State and deviation are expressed in the heading frame of the body's root, the upcoming reference in that of the
reference root, and fingertips in the frames of their hands. A policy that observes world axes must learn each motion
separately for every direction, and one that does not observe the root error drifts away. The upcoming reference does
not depend on the body, so it can be computed for many future steps at once. `layout` lists the parts.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import PhysicsState

from .frames import conjugate, heading, multiply, rot6d, rotate
from .reference import Reference
from .task_config import AHEAD

BASE_WIDTH = 12
"""Width of the motion of a base: gravity, acceleration, angular velocity, angular acceleration."""


def layout(body: SimulationBody, ahead: Sequence[int] = AHEAD) -> dict[str, int]:
    """Name and width of each part of an observation, in order: state, deviation, upcoming reference."""
    njoint, nlandmark, nmuscle = len(body.joint_ids), len(body.landmark_names), body.model.nu
    parts = {"joint_pos": njoint, "joint_vel": njoint}
    parts |= {"landmark_pos": 3 * nlandmark - 3, "landmark_vel": 3 * nlandmark}
    if body.free:
        parts |= {"root_height": 1, "up": 3, "root_linvel": 3, "root_angvel": 3}
    parts |= {"activation": nmuscle, "excitation": nmuscle, "joint_error": njoint, "landmark_error": 3 * nlandmark - 3}
    ntip = len(body.fingertips.names) if body.fingertips is not None else 0
    if ntip:
        parts |= {"fingertip_pos": 3 * ntip, "fingertip_error": 3 * ntip}
    if body.free:
        parts |= {"anchor_pos": 3, "anchor_rot": 6}
    if body.target.base is not None:
        parts |= {"base": BASE_WIDTH}
    for step in ahead:
        parts[f"goal_joint_{step}"] = njoint
        parts |= {f"goal_landmark_{step}": 3 * nlandmark, f"goal_vel_{step}": 3 * nlandmark}
        if ntip:
            parts |= {f"goal_fingertip_{step}": 3 * ntip}
        if body.free:
            parts |= {f"goal_rot_{step}": 6}
        if body.target.base is not None:
            parts |= {f"goal_base_{step}": BASE_WIDTH}
    return parts


def observe_body(
    body: SimulationBody, state: PhysicsState, xpos: Array, linvel: Array, excitation: Array, ref: Reference,
    ground: Array,
) -> Array:  # fmt: skip
    """Compute the parts of an observation that depend on the body.

    Args:
        body: The body.
        state: Physics state.
        xpos: Landmark positions [m], shape (nworld, nlandmark, 3).
        linvel: Landmark velocities [m/s], world axes, shape (nworld, nlandmark, 3).
        excitation: Latest excitations, shape (nworld, nu).
        ref: Reference frame of the present step; arrays lead with (nworld,).
        ground: Height of the ground below the root [m], shape (nworld,).

    Returns:
        Shape (nworld, nobs - goal_width), not normalised.
    """
    heading_quat = _heading(body, state.qpos)
    to_heading = lambda vector: rotate(conjugate(heading_quat)[:, None], vector)  # noqa: E731
    q, v = state.qpos[:, body.qposadr], state.qvel[:, body.dofadr]
    body_xpos = to_heading(xpos - xpos[:, :1])[:, 1:]
    parts = [q, v, body_xpos, to_heading(linvel)]
    if body.free:
        up = rotate(conjugate(state.qpos[:, 3:7]), jnp.array([0.0, 0.0, 1.0]))
        linear = to_heading(state.qvel[:, None, :3])
        parts += [state.qpos[:, 2:3] - ground[:, None], up, linear, state.qvel[:, 3:6]]
    ref_xpos = to_heading(ref.xpos - ref.xpos[:, :1])[:, 1:]
    parts += [state.act, excitation, ref.qpos[:, body.qposadr] - q, ref_xpos - body_xpos]
    if body.fingertips is not None:
        tips = body.fingertips(state.qpos)
        parts += [tips, body.fingertips(ref.qpos) - tips]
    if body.free:
        root_error = multiply(conjugate(state.qpos[:, 3:7]), ref.qpos[:, 3:7])
        parts += [to_heading(ref.qpos[:, None, :3] - state.qpos[:, None, :3]), rot6d(root_error)]
    if body.target.base is not None:
        parts.append(ref.base)
    return jnp.concatenate([part.reshape(len(q), -1) for part in parts], axis=-1)


def observe_goals(body: SimulationBody, ref: Reference, ahead: Reference) -> Array:
    """Compute the parts of an observation that depend on the reference only.

    For each future step these are the change of the joints, the landmarks relative to the present reference root, their
    velocities, the positions of the fingertips in the hands, the rotation of the root, and the motion of the base.

    Args:
        body: The body.
        ref: Reference frame of the present step; arrays lead with (nworld,).
        ahead: Future reference frames; arrays lead with (nworld, nahead).

    Returns:
        Shape (nworld, goal_width), not normalised.
    """
    to_ref_heading = conjugate(_heading(body, ref.qpos))[:, None, None]
    joint_change = ahead.qpos[..., body.qposadr] - ref.qpos[:, None, body.qposadr]
    landmarks = rotate(to_ref_heading, ahead.xpos - ref.xpos[:, None, :1])
    parts = [joint_change, landmarks, rotate(to_ref_heading, ahead.linvel)]
    if body.fingertips is not None:
        parts.append(body.fingertips(ahead.qpos))
    if body.free:
        parts.append(rot6d(multiply(conjugate(ref.qpos[:, None, 3:7]), ahead.qpos[..., 3:7])))
    if body.target.base is not None:
        parts.append(ahead.base)
    flat = [part.reshape(*part.shape[:2], -1) for part in parts]
    return jnp.concatenate(flat, axis=-1).reshape(len(joint_change), -1)


def _heading(body: SimulationBody, qpos: Array) -> Array:
    """Quaternion of the heading frame, shape (nworld, 4)."""
    if body.free:
        return heading(qpos[:, 3:7])
    return jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0, 0.0], qpos.dtype), (len(qpos), 4))


def width(body: SimulationBody, ahead: Sequence[int] = AHEAD) -> int:
    """Width of an observation."""
    return int(np.sum(list(layout(body, ahead).values())))


def goal_width(body: SimulationBody, ahead: Sequence[int] = AHEAD) -> int:
    """Width of the last part of an observation, which depends on the reference only."""
    return sum(size for name, size in layout(body, ahead).items() if name.startswith("goal_"))
