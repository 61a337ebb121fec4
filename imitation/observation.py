"""What a policy sees: the body and the reference ahead, all in the heading frame of the body's root.

A policy that sees the world's axes must learn every motion once for each direction; one that does not see where its
root should be drifts away. Layout, for a body with a free root, is given by `layout`.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from .bodies import Body
from .engine import PhysicsState, Reading
from .frames import conjugate, heading, multiply, rotate, six
from .reference import Reference

AHEAD = (1, 2, 4, 8, 16, 32)
"""Steps ahead at which the reference is shown; the anchor error is that of the present."""


def layout(body: Body, ahead: Sequence[int] = AHEAD) -> dict[str, int]:
    """Name and width of each part of an observation, in order."""
    joints, marks, muscles = len(body.joint_ids), len(body.landmark_names), body.model.nu
    parts = {"joint_pos": joints, "joint_vel": joints, "landmark_pos": 3 * marks - 3, "landmark_vel": 3 * marks}
    if body.free:
        parts |= {"root_height": 1, "up": 3, "root_linvel": 3, "root_angvel": 3}
    parts |= {"activation": muscles, "excitation": muscles}
    if body.free:
        parts |= {"anchor_pos": 3, "anchor_rot": 6}
    for step in ahead:
        parts |= {f"goal_joint_{step}": joints, f"goal_landmark_{step}": 3 * marks, f"goal_vel_{step}": 3 * marks}
        if body.free:
            parts |= {f"goal_rot_{step}": 6}
    return parts


def observe(
    body: Body,
    state: PhysicsState,
    reading: Reading,
    excitation: Array,
    now: Reference,
    ahead: Reference,
    ground: Array,
) -> Array:
    """Observations of worlds.

    Args:
        body: The body.
        state: Physics.
        reading: Of the same moment.
        excitation: Last excitations, shape (nworld, nu).
        now: The frame that the state should match; arrays lead with (nworld,).
        ahead: Frames to come; arrays lead with (nworld, nahead).
        ground: Height of the ground below the root [m], shape (nworld,).

    Returns:
        Shape (nworld, nobs), laid out as in `layout`; not normalised.
    """
    root = reading.xpos[:, :1]
    turn = _heading(body, state.qpos)
    into = lambda vector: rotate(conjugate(turn)[:, None], vector)  # noqa: E731
    q, v = state.qpos[:, body.qposadr], state.qvel[:, body.dofadr]
    parts = [q, v, into(reading.xpos - root)[:, 1:], into(reading.linvel)]
    if body.free:
        quat = state.qpos[:, 3:7]
        up = rotate(conjugate(quat), jnp.array([0.0, 0.0, 1.0]))
        linear = into(state.qvel[:, None, :3])
        parts += [state.qpos[:, 2:3] - ground[:, None], up, linear, state.qvel[:, 3:6]]
    parts += [state.act, excitation]
    if body.free:
        parts += [into(now.qpos[:, None, :3] - state.qpos[:, None, :3]), six(_relative(state, now.qpos[:, 3:7]))]
    parts += _goals(body, state, turn, root, ahead)
    return jnp.concatenate([part.reshape(len(state.qpos), -1) for part in parts], axis=-1)


def _heading(body: Body, qpos: Array) -> Array:
    """Quaternion of the heading frame, shape (nworld, 4)."""
    if body.free:
        return heading(qpos[:, 3:7])
    return jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0, 0.0], qpos.dtype), (len(qpos), 4))


def _relative(state: PhysicsState, quat: Array) -> Array:
    """Orientation wanted of the root as seen from that it has."""
    own = conjugate(state.qpos[:, 3:7])
    return multiply(own.reshape(own.shape[0], *(1,) * (quat.ndim - 2), 4), quat)


def _goals(body: Body, state: PhysicsState, turn: Array, root: Array, ahead: Reference) -> list[Array]:
    """For each step ahead: joints as differences, landmarks from the root of now, their velocities, the root's turn."""
    into = lambda vector: rotate(conjugate(turn)[:, None, None], vector)  # noqa: E731
    joint = ahead.qpos[..., body.qposadr] - state.qpos[:, None, body.qposadr]
    wanted = [joint, into(ahead.xpos - root[:, None]), into(ahead.linvel)]
    if body.free:
        wanted.append(six(_relative(state, ahead.qpos[..., 3:7])))
    flat = [part.reshape(*part.shape[:2], -1) for part in wanted]
    return [part[:, step] for step in range(joint.shape[1]) for part in flat]


def width(body: Body, ahead: Sequence[int] = AHEAD) -> int:
    """Numbers in an observation."""
    return int(np.sum(list(layout(body, ahead).values())))
