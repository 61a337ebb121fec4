"""What a configuration is judged by: normal equations of all terms of one frame, batched over frames.

Every residual here is a wrench in disguise. A row that measures point p along direction n changes with the screw
S_d = (angular, linear) of a degree of freedom d by `n . (S_ang x p + S_lin) = f . S_d`, f = (p x n, n). So a body's
rows add up to one 6x6 matrix G = sum w f f^T and one vector h = sum w r f; summed over all bodies below d they give
`g_d = S_d . h_d` and, for d above e, `H_de = S_d . G_e S_e`, as in the composite-rigid-body algorithm (Featherstone
2008, section 6.2) with weights in place of masses. No Jacobian is ever formed.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from musclemap.skeletons.kinematics import Kinematics, cross
from musclemap.skeletons.tree import Tree

SOFT_FLOOR = 0.002
"""Length over which the floor begins to act [m]; a hard edge makes a solver step back and forth across it."""


class FrameTargets(NamedTuple):
    """What each frame is asked to reach. Frames are the last axis; a weight of 0 switches a term off.

    Attributes:
        pos: Landmark positions [m], shape (nlandmark, 3, nframe).
        rot: Orientations of the oriented landmarks, shape (noriented, 3, 3, nframe).
        anchor: Where contact points are held [m], shape (ncontact, 3, nframe).
        contact: 1 where a contact point is held, else 0, shape (ncontact, nframe).
        floor: Height of the floor under each foot, right then left [m], shape (2, nframe).
    """

    pos: Array
    rot: Array
    anchor: Array
    contact: Array
    floor: Array


class Weights(NamedTuple):
    """Weights of the terms; arrays are NumPy constants of a compiled solve.

    Attributes:
        pos: Of each landmark's position [1/m^2], shape (nlandmark,).
        rot: Of each oriented landmark [1/rad^2], shape (noriented,).
        oriented: Which landmarks are oriented, shape (noriented,).
        contact: Of a held contact point [1/m^2].
        floor: Of floor penetration [1/m^2].
        prior: Of each joint's distance from rest [1/rad^2], shape (njoint,).
        radius: Radii of the foot spheres [m], shape (nsphere,), right foot's first.
    """

    pos: np.ndarray
    rot: np.ndarray
    oriented: np.ndarray
    contact: float
    floor: float
    prior: np.ndarray
    radius: np.ndarray


class Normal(NamedTuple):
    """Gauss-Newton model of the cost: hessian (ndof, ndof, nframe), gradient (ndof, nframe), cost (nframe,)."""

    hessian: Array
    gradient: Array
    cost: Array


class _Residuals(NamedTuple):
    point: Array  # (nlandmark + ncontact, 3, nframe)
    point_weight: Array  # (nlandmark + ncontact, nframe)
    depth: Array  # (nsphere, nframe), how far a sphere is under the floor, as a smooth function: below 0 everywhere
    press: Array  # (nsphere, nframe), derivative of depth by the sphere's height, 0 well above the floor to 1 below
    twist: Array  # (noriented, 3, nframe)
    one_minus_cos: Array  # (noriented, nframe)
    joint: Array  # (njoint, nframe)


def _residuals(
    kinematics: Kinematics, joints: Array, targets: FrameTargets, weights: Weights, rest: np.ndarray
) -> _Residuals:
    dtype, nframe = joints.dtype, joints.shape[-1]
    pos, nlandmark = kinematics.point_pos, len(weights.pos)
    first = nlandmark + len(targets.contact)
    point = jnp.concatenate([pos[:nlandmark] - targets.pos, pos[nlandmark:first] - targets.anchor])
    landmark_weight = jnp.broadcast_to(jnp.asarray(weights.pos, dtype)[:, None], (nlandmark, nframe))
    point_weight = jnp.concatenate([landmark_weight, weights.contact * targets.contact])
    nsphere = len(weights.radius)
    side = np.repeat([0, 1], nsphere // 2)
    height = pos[first : first + nsphere, 2] - jnp.asarray(weights.radius, dtype)[:, None] - targets.floor[side]
    error = [kinematics.point_rot[int(k)] for k in weights.oriented]
    relative = jnp.stack([jnp.sum(a[:, None] * b[None], axis=2) for a, b in zip(error, targets.rot, strict=True)])
    twist = 0.5 * jnp.stack(
        [
            relative[:, 2, 1] - relative[:, 1, 2],
            relative[:, 0, 2] - relative[:, 2, 0],
            relative[:, 1, 0] - relative[:, 0, 1],
        ],
        axis=1,
    )
    trace = relative[:, 0, 0] + relative[:, 1, 1] + relative[:, 2, 2]
    return _Residuals(
        point=point,
        point_weight=point_weight,
        depth=-SOFT_FLOOR * jax.nn.softplus(-height / SOFT_FLOOR),
        press=jax.nn.sigmoid(-height / SOFT_FLOOR),
        twist=twist,
        one_minus_cos=0.5 * (3.0 - trace),
        joint=joints - jnp.asarray(rest, dtype)[:, None],
    )


def _cost(res: _Residuals, weights: Weights) -> Array:
    dtype = res.point.dtype
    return 0.5 * (
        jnp.sum(res.point_weight * jnp.sum(res.point**2, axis=1), axis=0)
        + weights.floor * jnp.sum(res.depth**2, axis=0)
        + 2.0 * jnp.sum(jnp.asarray(weights.rot, dtype)[:, None] * res.one_minus_cos, axis=0)
        + jnp.sum(jnp.asarray(weights.prior, dtype)[:, None] * res.joint**2, axis=0)
    )


def frame_cost(
    kinematics: Kinematics, joints: Array, targets: FrameTargets, weights: Weights, *, rest: np.ndarray
) -> Array:
    """Cost of every frame, shape (nframe,): half the weighted squares, and `w (1 - cos angle)` for orientations."""
    return _cost(_residuals(kinematics, joints, targets, weights, rest), weights)


def normal_equations(
    tree: Tree, kinematics: Kinematics, joints: Array, targets: FrameTargets, weights: Weights
) -> Normal:
    """Build the Gauss-Newton model of every frame.

    Args:
        tree: Points in the order landmarks, contacts, foot spheres; more after them are not looked at.
        kinematics: Of the configurations, from `musclemap.skeletons.kinematics.forward`.
        joints: Independent joints, shape (njoint, nframe).
        targets: What to reach.
        weights: Of the terms.
    """
    res = _residuals(kinematics, joints, targets, weights, tree.reduced.rest)
    # Barriers keep XLA on the CPU from computing what lies before them once for every entry of the Hessian
    wrench, matrix = lax.optimization_barrier(_spatial_sums(tree, kinematics, res, weights))
    screw = kinematics.screw
    pairs = {(i, j): k for k, (i, j) in enumerate(_UPPER)}
    force = jnp.stack([sum(matrix[pairs[min(i, j), max(i, j)]] * screw[j] for j in range(6)) for i in range(6)])
    related = jnp.asarray(tree.ancestor, screw.dtype)[..., None]
    force = lax.optimization_barrier(force)
    upper = lax.optimization_barrier(related * sum(screw[k][:, None] * force[k][None] for k in range(6)))
    ndof = tree.reduced.ndof
    diagonal = jnp.eye(ndof, dtype=screw.dtype)[..., None]
    hessian = upper + jnp.swapaxes(upper, 0, 1) * (1 - diagonal)
    gradient = sum(screw[k] * wrench[k] for k in range(6))
    prior = jnp.asarray(np.concatenate([np.zeros(6), weights.prior]), screw.dtype)
    hessian = hessian + diagonal * prior[:, None, None]
    gradient = gradient + jnp.concatenate([jnp.zeros((6, joints.shape[-1]), joints.dtype), prior[6:, None] * res.joint])
    return Normal(hessian, gradient, _cost(res, weights))  # type: ignore[arg-type]


_UPPER = [(i, j) for i in range(6) for j in range(i, 6)]


def _spatial_sums(tree: Tree, kinematics: Kinematics, res: _Residuals, weights: Weights) -> tuple[Array, Array]:
    """Sum wrenches (6, ndof, nframe) and the 21 upper entries of the 6x6 matrices over all points below each dof."""
    dtype = res.point.dtype
    npoint = len(res.point)
    pos = jnp.moveaxis(kinematics.point_pos, 1, 0)  # (3, point, nframe)
    nsphere = len(weights.radius)
    tracked, spheres = pos[:, :npoint], pos[:, npoint : npoint + nsphere]
    weight = res.point_weight
    pull = jnp.moveaxis(res.point, 1, 0) * weight
    x, y, z = tracked
    zero = jnp.zeros_like(weight)
    entries = {
        (0, 0): y * y + z * z, (0, 1): -x * y, (0, 2): -x * z, (1, 1): x * x + z * z, (1, 2): -y * z,
        (2, 2): x * x + y * y, (0, 4): -z, (0, 5): y, (1, 3): z, (1, 5): -x, (2, 3): -y, (2, 4): x,
        (3, 3): zero + 1, (4, 4): zero + 1, (5, 5): zero + 1,
    }  # fmt: skip
    tracked_matrix = jnp.stack([entries[p] * weight if p in entries else zero for p in _UPPER])
    tracked_wrench = jnp.concatenate([cross(tracked, pull), pull])

    under = weights.floor * res.press**2
    up = [
        spheres[1],
        -spheres[0],
        jnp.zeros_like(under),
        jnp.zeros_like(under),
        jnp.zeros_like(under),
        jnp.ones_like(under),
    ]
    sphere_matrix = jnp.stack([up[i] * up[j] * under for i, j in _UPPER])
    sphere_wrench = jnp.stack([component * weights.floor * res.press * res.depth for component in up])

    rot = jnp.asarray(weights.rot, dtype)[:, None]
    turned = jnp.broadcast_to(rot, (len(weights.rot), res.point.shape[-1]))
    none = jnp.zeros_like(turned)
    rot_matrix = jnp.stack([turned if i == j and i < 3 else none for i, j in _UPPER])
    rot_wrench = jnp.concatenate([jnp.moveaxis(res.twist, 1, 0) * rot, jnp.zeros((3, *none.shape), dtype)])

    own = tree.point_mask[: npoint + nsphere]
    mask = np.concatenate([own, tree.point_mask[weights.oriented]]).astype(float)
    groups, member = np.unique(mask, axis=0, return_inverse=True)
    gather = np.zeros((len(groups), len(mask)))
    gather[member.reshape(-1), np.arange(len(mask))] = 1.0
    values = jnp.concatenate(
        [
            jnp.concatenate([tracked_wrench, tracked_matrix]),
            jnp.concatenate([sphere_wrench, sphere_matrix]),
            jnp.concatenate([rot_wrench, rot_matrix]),
        ],
        axis=1,
    )
    bodies = jnp.einsum("gp,kpb->kgb", jnp.asarray(gather, dtype), values)
    sums = jnp.einsum("gd,kgb->kdb", jnp.asarray(groups, dtype), bodies)
    return sums[:6], sums[6:]
