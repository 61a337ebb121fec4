"""Compiled forward kinematics, and point Jacobians from its screws."""

import jax
import jax.numpy as jnp
from jax import Array

from musclemap.skeletons.kinematics import Kinematics, cross, forward
from musclemap.skeletons.tree import Tree

forward_jit = jax.jit(forward, static_argnums=0)


def point_jacobian(tree: Tree, kinematics: Kinematics) -> Array:
    """Translational Jacobian of every point, shape (npoint, 3, ndof, nframe).

    Root columns are translation, then rotation about the root body's origin, both in the world frame.
    """
    angular, linear = kinematics.screw[:3], kinematics.screw[3:]
    pos = jnp.moveaxis(kinematics.point_pos, 1, 0)
    columns = cross(angular[:, None], pos[:, :, None]) + linear[:, None]  # (3, npoint, ndof, nframe)
    mask = jnp.asarray(tree.point_mask, columns.dtype)[None, :, :, None]
    return jnp.moveaxis(columns * mask, 0, 1)
