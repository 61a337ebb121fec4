"""Batched forward kinematics and joint screws in JAX, in reduced coordinates.

In this file frames are the last axis of every array: a level of the tree is a few short loops over a long, contiguous
batch, which XLA compiles to vector code on a CPU and to one thread per frame on a GPU. `lax.scan` iterates over the
levels, so the compile time does not grow with the depth of the body.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .couplings import value_and_slope
from .reduced import NROOT
from .tree import Tree


class Kinematics(NamedTuple):
    """Poses of a tree's points, and the screw of each degree of freedom.

    Attributes:
        point_pos: Points [m], world frame, shape (npoint, 3, nframe).
        point_rot: Orientation of each point's body, world frame, shape (npoint, 3, 3, nframe).
        screw: Angular velocity, and linear velocity at the world's origin, per unit rate of each degree of freedom,
            shape (6, ndof, nframe). A point p below the joint moves with `screw[:3] x p + screw[3:]`.
        q: The reduced configurations, shape (7 + njoint, nframe).
    """

    point_pos: Array
    point_rot: Array
    screw: Array
    q: Array


def cross(a: Array, b: Array) -> Array:
    """Cross product over the first axis; frames (and any other axes) follow it."""
    return jnp.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def quat_to_matrix(quat: Array) -> Array:
    """Rotation matrices of unit quaternions wxyz, shape (4, ...) -> (3, 3, ...)."""
    w, x, y, z = quat
    return jnp.stack(
        [
            jnp.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]),
            jnp.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]),
            jnp.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]),
        ]
    )


def _multiply(a: Array, b: Array) -> Array:
    """Products of 3x3 matrices, shapes (lane, 3, 3, nframe)."""
    return a[:, :, 0, None] * b[:, None, 0] + a[:, :, 1, None] * b[:, None, 1] + a[:, :, 2, None] * b[:, None, 2]


def _apply(a: Array, v: Array) -> Array:
    """Matrices (lane, 3, 3, nframe) times vectors (lane, 3, nframe or 1)."""
    return a[:, :, 0] * v[:, None, 0] + a[:, :, 1] * v[:, None, 1] + a[:, :, 2] * v[:, None, 2]


def _skew(axis: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(axis, -1, 0)
    o = np.zeros_like(x)
    return np.stack([np.stack([o, -z, y], -1), np.stack([z, o, -x], -1), np.stack([-y, x, o], -1)], -2)


def forward(tree: Tree, q: Array) -> Kinematics:
    """Compute the poses of a tree's points for a batch of configurations.

    Args:
        tree: Kinematic tree.
        q: Reduced configurations, shape (7 + njoint, nframe), float32 or float64.

    Returns:
        Points, orientations and screws; see `Kinematics`.
    """
    dtype, nframe = q.dtype, q.shape[1]
    nlevel, width = tree.driver.shape
    reduced = tree.reduced
    const = lambda value: jnp.asarray(value, dtype)  # noqa: E731
    delta = q[NROOT:] - const(reduced.qpos0)[:, None]
    driver = delta[tree.driver.reshape(-1)].reshape(nlevel, width, nframe)
    angle, rate = value_and_slope(const(tree.coef)[:, :, None], driver)

    root_pos, root_rot = q[:3], quat_to_matrix(q[3:NROOT])
    skew = _skew(tree.axis)
    hinge = 1.0 - tree.slide
    levels = {
        "lane": jnp.asarray(tree.parent_lane),
        "offset": const(tree.offset),
        "rot": const(tree.rot),
        "axis": const(tree.axis),
        "sin": const(skew * hinge[..., None, None]),
        "cos": const(skew @ skew * hinge[..., None, None]),
        "slide": const(tree.slide),
        "angle": angle,
    }

    def step(carry, level):
        pos, rot = carry[0][level["lane"]], carry[1][level["lane"]]
        anchor = pos + _apply(rot, level["offset"][..., None])
        fixed = _multiply(rot, level["rot"][..., None])
        axis = _apply(fixed, level["axis"][..., None])
        turn = level["angle"][:, None, None]
        eye = jnp.eye(3, dtype=dtype)[None, :, :, None]
        local = eye + jnp.sin(turn) * level["sin"][..., None] + (1 - jnp.cos(turn)) * level["cos"][..., None]
        origin = anchor + axis * (level["slide"][:, None] * level["angle"])[:, None]
        out = (origin, _multiply(fixed, local))
        return out, (*out, axis, anchor)

    start = (jnp.broadcast_to(root_pos, (width, 3, nframe)), jnp.broadcast_to(root_rot, (width, 3, 3, nframe)))
    _, (pos, rot, axis, anchor) = lax.scan(step, start, levels)
    flat = lambda value: value.reshape(nlevel * width, *value.shape[2:])  # noqa: E731
    pos = jnp.concatenate([flat(pos), root_pos[None]])[tree.point_slot]
    rot = jnp.concatenate([flat(rot), root_rot[None]])[tree.point_slot]
    point_pos = pos + _apply(rot, const(tree.point_offset)[..., None])
    point_rot = _multiply(rot, const(tree.point_rot)[..., None])
    screw = _screws(tree, flat(axis), flat(anchor), rate.reshape(-1, nframe), root_pos)
    return Kinematics(point_pos, point_rot, screw, q)


def _screws(tree: Tree, axis: Array, anchor: Array, rate: Array, root_pos: Array) -> Array:
    """Sum the screws of all links that each coordinate moves; the root's six come first."""
    dtype, nframe = axis.dtype, axis.shape[-1]
    nslot = len(axis)
    slide = jnp.asarray(tree.slide.reshape(-1), dtype)[:, None]
    turn = jnp.moveaxis(axis * rate[:, None], 1, 0)  # (3, nslot, nframe)
    angular = turn * (1 - slide)
    linear = turn * slide - cross(angular, jnp.moveaxis(anchor, 1, 0))
    gather = np.zeros((tree.reduced.njoint, nslot))
    used = np.flatnonzero(tree.coef.reshape(-1, 5).any(axis=1))
    gather[tree.driver.reshape(-1)[used], used] = 1.0
    links = jnp.concatenate([angular, linear])  # (6, nslot, nframe)
    joints = jnp.einsum("ds,ksb->kdb", jnp.asarray(gather, dtype), links, precision="highest")
    eye = jnp.broadcast_to(jnp.eye(3, dtype=dtype)[:, :, None], (3, 3, nframe))
    pivot = jnp.broadcast_to(root_pos[:, None], (3, 3, nframe))
    root = jnp.concatenate([
        jnp.concatenate([jnp.zeros_like(eye), eye], axis=1),
        jnp.concatenate([eye, -cross(eye, pivot)], axis=1),
    ])  # fmt: skip
    return jnp.concatenate([root, joints], axis=1)


def integrate(q: Array, step: Array) -> Array:
    """Move configurations along tangent steps; the root's rotation step is a rotation vector in the world frame.

    Args:
        q: Configurations, shape (7 + njoint, nframe).
        step: Tangent steps, shape (ndof, nframe).
    """
    half = 0.5 * step[3:6]
    angle = jnp.sqrt(jnp.sum(half**2, axis=0) + 1e-24)  # the small term keeps the derivative finite at a zero step
    w, v = jnp.cos(angle), half * jnp.sinc(angle / jnp.pi)
    quat = q[3:NROOT]
    turned = jnp.concatenate(
        [(w * quat[0] - jnp.sum(v * quat[1:], axis=0))[None], w * quat[1:] + quat[0] * v + cross(v, quat[1:])]
    )
    turned = turned / jnp.linalg.norm(turned, axis=0)
    return jnp.concatenate([q[:3] + step[:3], turned, q[NROOT:] + step[6:]])
