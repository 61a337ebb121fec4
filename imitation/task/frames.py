"""Batched rotations in JAX: quaternions wxyz on the last axis, and the heading frame of a root.

The heading frame has its origin below the root and is rotated about the vertical only, by the twist of the root's
quaternion about z. It is undefined only for an upside-down root.
"""

import jax.numpy as jnp
from jax import Array

TINY = 1e-12


def conjugate(quat: Array) -> Array:
    """Inverse of unit quaternions, shape (..., 4)."""
    return quat * jnp.array([1.0, -1.0, -1.0, -1.0], quat.dtype)


def multiply(a: Array, b: Array) -> Array:
    """Products of quaternions, shapes (..., 4)."""
    aw, av, bw, bv = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
    w = aw * bw - jnp.sum(av * bv, axis=-1, keepdims=True)
    return jnp.concatenate([w, aw * bv + bw * av + jnp.cross(av, bv)], axis=-1)


def rotate(quat: Array, vector: Array) -> Array:
    """Rotate vectors (..., 3) by unit quaternions (..., 4)."""
    w, v = quat[..., :1], quat[..., 1:]
    twice_cross = 2.0 * jnp.cross(v, vector)
    return vector + w * twice_cross + jnp.cross(v, twice_cross)


def heading(quat: Array) -> Array:
    """Twist about z of a root's quaternion, shape (..., 4)."""
    w, z = quat[..., 0], quat[..., 3]
    zero = jnp.zeros_like(w)
    size = jnp.sqrt(w * w + z * z + TINY)
    return jnp.stack([w / size, zero, zero, z / size], axis=-1)


def rot6d(quat: Array) -> Array:
    """First two columns of the rotation matrices, shape (..., 6), which are continuous, unlike quaternions."""
    x = rotate(quat, jnp.array([1.0, 0.0, 0.0], quat.dtype))
    y = rotate(quat, jnp.array([0.0, 1.0, 0.0], quat.dtype))
    return jnp.concatenate([x, y], axis=-1)


def squared_angle(a: Array, b: Array) -> Array:
    """Squared angle between orientations [rad^2], shapes (..., 4) -> (...,); smooth, and exact for small angles.

    It is 8 (1 - |a.b|), four times the squared chord between the quaternions: 8 for half a turn, where pi^2 is 9.9.
    """
    return 8.0 * (1.0 - jnp.abs(jnp.sum(a * b, axis=-1)))
