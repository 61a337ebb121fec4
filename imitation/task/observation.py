"""What a policy sees: the body, how far it is from the reference, and the way the reference goes on.

Body and error are in the heading frame of the body's own root, the way ahead in that of the reference's: a policy that
sees the world's axes must learn every motion once for each direction, and one that does not see where its root should
be drifts away. The way ahead does not depend on the body, so that it can be looked at once for many steps to come.
Layout, for a body with a free root, is given by `layout`.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import PhysicsState

from .frames import conjugate, heading, multiply, rot6d, rotate
from .reference import Reference

AHEAD = (1, 2, 4, 8, 16, 32)
"""Steps ahead at which the reference is shown; errors are those of the present."""


def layout(body: SimulationBody, ahead: Sequence[int] = AHEAD) -> dict[str, int]:
    """Name and width of each part of an observation, in order: the body, then its error, then the way ahead."""
    joints, marks, muscles = len(body.joint_ids), len(body.landmark_names), body.model.nu
    parts = {"joint_pos": joints, "joint_vel": joints, "landmark_pos": 3 * marks - 3, "landmark_vel": 3 * marks}
    if body.free:
        parts |= {"root_height": 1, "up": 3, "root_linvel": 3, "root_angvel": 3}
    parts |= {"activation": muscles, "excitation": muscles, "joint_error": joints, "landmark_error": 3 * marks - 3}
    if body.free:
        parts |= {"anchor_pos": 3, "anchor_rot": 6}
    for step in ahead:
        parts |= {f"goal_joint_{step}": joints, f"goal_landmark_{step}": 3 * marks, f"goal_vel_{step}": 3 * marks}
        if body.free:
            parts |= {f"goal_rot_{step}": 6}
    return parts


def observe_body(
    body: SimulationBody, state: PhysicsState, xpos: Array, linvel: Array, excitation: Array, now: Reference,
    ground: Array,
) -> Array:  # fmt: skip
    """The parts of an observation that depend on the body.

    Args:
        body: The body.
        state: Physics.
        xpos: Its landmarks [m], shape (nworld, nlandmark, 3).
        linvel: Their velocities [m/s], world axes, shape (nworld, nlandmark, 3).
        excitation: Last excitations, shape (nworld, nu).
        now: The frame that the state should match; arrays lead with (nworld,).
        ground: Height of the ground below the root [m], shape (nworld,).

    Returns:
        Shape (nworld, nobs - goal_width), not normalised.
    """
    turn = _heading(body, state.qpos)
    into = lambda vector: rotate(conjugate(turn)[:, None], vector)  # noqa: E731
    q, v = state.qpos[:, body.qposadr], state.qvel[:, body.dofadr]
    own = into(xpos - xpos[:, :1])[:, 1:]
    parts = [q, v, own, into(linvel)]
    if body.free:
        up = rotate(conjugate(state.qpos[:, 3:7]), jnp.array([0.0, 0.0, 1.0]))
        linear = into(state.qvel[:, None, :3])
        parts += [state.qpos[:, 2:3] - ground[:, None], up, linear, state.qvel[:, 3:6]]
    ref = into(now.xpos - now.xpos[:, :1])[:, 1:]
    parts += [state.act, excitation, now.qpos[:, body.qposadr] - q, ref - own]
    if body.free:
        turned = multiply(conjugate(state.qpos[:, 3:7]), now.qpos[:, 3:7])
        parts += [into(now.qpos[:, None, :3] - state.qpos[:, None, :3]), rot6d(turned)]
    return jnp.concatenate([part.reshape(len(q), -1) for part in parts], axis=-1)


def observe_goals(body: SimulationBody, now: Reference, ahead: Reference) -> Array:
    """The parts of an observation that the reference alone decides: for each step ahead how joints change, where the
    landmarks come to lie from where the root is now, their velocities, and the turn of the root.

    Args:
        body: The body.
        now: The frame that the state should match; arrays lead with (nworld,).
        ahead: Frames to come; arrays lead with (nworld, nahead).

    Returns:
        Shape (nworld, goal_width), not normalised.
    """
    back = conjugate(_heading(body, now.qpos))[:, None, None]
    joint = ahead.qpos[..., body.qposadr] - now.qpos[:, None, body.qposadr]
    ref = [joint, rotate(back, ahead.xpos - now.xpos[:, None, :1]), rotate(back, ahead.linvel)]
    if body.free:
        ref.append(rot6d(multiply(conjugate(now.qpos[:, None, 3:7]), ahead.qpos[..., 3:7])))
    flat = [part.reshape(*part.shape[:2], -1) for part in ref]
    return jnp.concatenate(flat, axis=-1).reshape(len(joint), -1)


def _heading(body: SimulationBody, qpos: Array) -> Array:
    """Quaternion of the heading frame, shape (nworld, 4)."""
    if body.free:
        return heading(qpos[:, 3:7])
    return jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0, 0.0], qpos.dtype), (len(qpos), 4))


def width(body: SimulationBody, ahead: Sequence[int] = AHEAD) -> int:
    """Numbers in an observation."""
    return int(np.sum(list(layout(body, ahead).values())))


def goal_width(body: SimulationBody, ahead: Sequence[int] = AHEAD) -> int:
    """Numbers at its end that the reference alone decides."""
    return sum(size for name, size in layout(body, ahead).items() if name.startswith("goal_"))
