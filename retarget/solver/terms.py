"""Cost terms of a single frame. Each term defines its own rows: residual, weight and derivative.

To add a term, write a class here, or in a module of its own like `self_collision`, and list it in `frame_terms`.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.retarget.config import WeightConfig
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.kinematics import Kinematics, cross
from musclemap.skeletons.reduced import NROOT
from musclemap.skeletons.tree import Tree

from .normal_equations import Normal, SpatialRows, assemble, symmetric

FLOOR_SOFTNESS = 0.002
"""Length over which the floor's force sets in [m]; with a hard edge the solver would oscillate across it."""


class FrameTargets(NamedTuple):
    """Targets of independent frames. Frames are the last axis.

    Attributes:
        pos: Landmark positions [m], shape (nlandmark, 3, nframe).
        rot: Orientations of the oriented landmarks, shape (noriented, 3, 3, nframe).
        anchor: Positions at which contact points are locked [m], shape (ncontact, 3, nframe).
        contact: Weight of each contact point's lock, 0 to 1, shape (ncontact, nframe).
        floor: Height of the floor under each foot, right then left [m], shape (2, nframe).
        angles: Angles that the source states [rad], shape (njoint, nframe), NaN for other joints; None without any.
    """

    pos: Array
    rot: Array
    anchor: Array
    contact: Array
    floor: Array
    angles: Array | None = None


REST_DEPTH, REST_SOFTNESS = 0.0005, 0.001
"""Depth of a sole at rest, at which MuJoCo's contacts carry the body, and length of the softmin over spheres [m]."""


def soft_depth(height: Array, softness: float) -> tuple[Array, Array]:
    """One-sided residual of a height that must not be negative, and its derivative by the height.

    Args:
        height: Height, any shape [m].
        softness: Length s over which the residual `-s softplus(-h / s)` begins to act [m].

    Returns:
        The residual [m], near 0 for large heights and near the height below 0, and its derivative, between 0 and 1.
    """
    return -softness * jax.nn.softplus(-height / softness), jax.nn.sigmoid(-height / softness)


class Term(Protocol):
    """One term of the cost of single frames."""

    def normal(self, kinematics: Kinematics, targets: FrameTargets) -> Normal:
        """Gauss-Newton model of this term alone."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class SpatialTerm:
    """Base of terms whose rows act on bodies of the tree. `Objective` sums the rows of all such terms in one pass.

    Attributes:
        tree: Tree of the kinematics.
    """

    tree: Tree

    def rows(self, kinematics: Kinematics, targets: FrameTargets) -> SpatialRows:
        """Weighted rows of the term in every frame."""
        raise NotImplementedError

    def normal(self, kinematics: Kinematics, targets: FrameTargets) -> Normal:
        """Gauss-Newton model of this term alone."""
        return assemble(self.tree, kinematics.screw, [self.rows(kinematics, targets)])


@dataclass(frozen=True, kw_only=True, eq=False)
class PositionTerm(SpatialTerm):
    """Distance of landmarks from their targets, and of locked contact points from their anchors.

    The residual is `p - target` in the world frame, with one row for each axis.

    Attributes:
        landmark: Weight of each landmark [1/m^2], shape (nlandmark,). Landmarks are the tree's first points.
        contact: Weight of a locked contact point [1/m^2]. Contact points are the tree's next points.
    """

    landmark: np.ndarray
    contact: float

    def rows(self, kinematics: Kinematics, targets: FrameTargets) -> SpatialRows:
        pos, nlandmark = kinematics.point_pos, len(self.landmark)
        npoint, dtype, nframe = nlandmark + len(targets.contact), pos.dtype, pos.shape[-1]
        error = jnp.concatenate([pos[:nlandmark] - targets.pos, pos[nlandmark:npoint] - targets.anchor])
        landmark_weight = jnp.broadcast_to(jnp.asarray(self.landmark, dtype)[:, None], (nlandmark, nframe))
        weight = jnp.concatenate([landmark_weight, self.contact * targets.contact])
        point = jnp.moveaxis(pos, 1, 0)[:, :npoint]  # (3, npoint, nframe)
        x, y, z = point
        entries = {
            (0, 0): y * y + z * z, (0, 1): -x * y, (0, 2): -x * z, (1, 1): x * x + z * z, (1, 2): -y * z,
            (2, 2): x * x + y * y, (0, 4): -z, (0, 5): y, (1, 3): z, (1, 5): -x, (2, 3): -y, (2, 4): x,
        }  # fmt: skip
        one = jnp.zeros_like(weight) + 1
        entries = {pair: value * weight for pair, value in {**entries, **{(k, k): one for k in (3, 4, 5)}}.items()}
        force = jnp.moveaxis(error, 1, 0) * weight
        return SpatialRows(
            wrench=jnp.concatenate([cross(point, force), force]),
            matrix=symmetric(entries, weight.shape, dtype),
            mask=self.tree.point_mask[:npoint],
            squares=jnp.sum(weight * jnp.sum(error**2, axis=1), axis=0),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FloorTerm(SpatialTerm):
    """Penetration of the soles' spheres into the floor: one-sided, softened over s = `FLOOR_SOFTNESS`.

    The residual is the depth `-s softplus(-h / s)` of a sphere whose lowest point is at height h above the floor.

    Attributes:
        weight: Weight of a squared depth [1/m^2].
        first: Index of the first sphere's centre among the tree's points.
        radius: Radii of the spheres, first all of the right foot and then all of the left, shape (nsphere,) [m].
    """

    weight: float
    first: int
    radius: np.ndarray

    def rows(self, kinematics: Kinematics, targets: FrameTargets) -> SpatialRows:
        pos, nsphere = kinematics.point_pos, len(self.radius)
        spheres = slice(self.first, self.first + nsphere)
        side = np.repeat([0, 1], nsphere // 2)
        height = pos[spheres, 2] - jnp.asarray(self.radius, pos.dtype)[:, None] - targets.floor[side]
        depth, activation = soft_depth(height, FLOOR_SOFTNESS)
        stiffness = self.weight * activation**2
        x, y, _ = jnp.moveaxis(pos, 1, 0)[:, spheres]
        zero, one = jnp.zeros_like(stiffness), jnp.ones_like(stiffness)
        wrench = [y, -x, zero, zero, zero, one]
        entries = {(i, j): wrench[i] * wrench[j] * stiffness for i in (0, 1, 5) for j in (0, 1, 5) if i <= j}
        return SpatialRows(
            wrench=jnp.stack([component * self.weight * activation * depth for component in wrench]),
            matrix=symmetric(entries, stiffness.shape, pos.dtype),
            mask=self.tree.point_mask[spheres],
            squares=self.weight * jnp.sum(depth**2, axis=0),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class RestTerm(SpatialTerm):
    """Height of a heel or toe in contact: its lowest sphere rests on the ground, `REST_DEPTH` deep, as in a simulation.

    The residual is the height of the sphere's lowest point; a softmin over the part's spheres selects the lowest.

    Attributes:
        weight: Weight of a squared height [1/m^2].
        first: Index of the first sphere's centre among the tree's points.
        radius: Radius of each sphere [m], shape (nsphere,).
        part: Contact part of each sphere, shape (nsphere,).
    """

    weight: float
    first: int
    radius: np.ndarray
    part: np.ndarray

    def rows(self, kinematics: Kinematics, targets: FrameTargets) -> SpatialRows:
        pos, nsphere = kinematics.point_pos, len(self.radius)
        spheres = slice(self.first, self.first + nsphere)
        height = pos[spheres, 2] - jnp.asarray(self.radius, pos.dtype)[:, None] - targets.anchor[self.part, 2]
        height = height.astype(pos.dtype)
        share = jnp.zeros_like(height)
        for part in np.unique(self.part):
            own = np.flatnonzero(self.part == part)
            share = share.at[own].set(
                (jax.nn.softmax(-height[own] / REST_SOFTNESS, axis=0) * targets.contact[part]).astype(height.dtype)
            )
        stiffness, error = self.weight * share, height + REST_DEPTH
        x, y, _ = jnp.moveaxis(pos, 1, 0)[:, spheres]
        zero, one = jnp.zeros_like(stiffness), jnp.ones_like(stiffness)
        wrench = [y, -x, zero, zero, zero, one]
        entries = {(i, j): wrench[i] * wrench[j] * stiffness for i in (0, 1, 5) for j in (0, 1, 5) if i <= j}
        return SpatialRows(
            wrench=jnp.stack([component * stiffness * error for component in wrench]),
            matrix=symmetric(entries, stiffness.shape, pos.dtype),
            mask=self.tree.point_mask[spheres],
            squares=jnp.sum(stiffness * error**2, axis=0),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class OrientationTerm(SpatialTerm):
    """Orientation error of landmarks: the cost is `w (1 - cos angle)`, the residual the axis times the sine.

    Attributes:
        weight: Weight of each oriented landmark [1/rad^2], shape (noriented,).
        oriented: Indices of the oriented landmarks among the points, shape (noriented,).
    """

    weight: np.ndarray
    oriented: np.ndarray

    def rows(self, kinematics: Kinematics, targets: FrameTargets) -> SpatialRows:
        dtype = kinematics.point_rot.dtype
        rot = [kinematics.point_rot[int(k)] for k in self.oriented]
        relative = jnp.stack([jnp.sum(a[:, None] * b[None], axis=2) for a, b in zip(rot, targets.rot, strict=True)])
        sine = 0.5 * jnp.stack(
            [
                relative[:, 2, 1] - relative[:, 1, 2],
                relative[:, 0, 2] - relative[:, 2, 0],
                relative[:, 1, 0] - relative[:, 0, 1],
            ],
            axis=1,
        )
        trace = relative[:, 0, 0] + relative[:, 1, 1] + relative[:, 2, 2]
        one_minus_cos = 0.5 * (3.0 - trace)
        weight = jnp.asarray(self.weight, dtype)[:, None]
        full = jnp.broadcast_to(weight, one_minus_cos.shape)
        zero = jnp.zeros((3, *full.shape), dtype)
        return SpatialRows(
            wrench=jnp.concatenate([jnp.moveaxis(sine, 1, 0) * weight, zero]),
            matrix=symmetric({(k, k): full for k in range(3)}, full.shape, dtype),
            mask=self.tree.point_mask[self.oriented],
            squares=2.0 * jnp.sum(weight * one_minus_cos, axis=0),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class PriorTerm:
    """Distance of joints from the angles that the source states, or else from their rest values.

    The prior determines joints that no landmark measures.

    Attributes:
        weight: Weight of each joint's distance from rest [1/rad^2], shape (njoint,).
        rest: Rest value of each joint [rad], shape (njoint,).
        angle: Weight of the distance from a stated angle [1/rad^2].
    """

    weight: np.ndarray
    rest: np.ndarray
    angle: float

    def normal(self, kinematics: Kinematics, targets: FrameTargets) -> Normal:
        """Gauss-Newton model of this term alone, with a diagonal Hessian."""
        joints = kinematics.q[NROOT:]
        dtype, nframe = joints.dtype, joints.shape[-1]
        rest, weight = jnp.asarray(self.rest, dtype)[:, None], jnp.asarray(self.weight, dtype)[:, None]
        if targets.angles is not None:
            stated = ~jnp.isnan(targets.angles)
            rest, weight = jnp.where(stated, targets.angles, rest), jnp.where(stated, self.angle, weight)
        error = joints - rest
        of_all = jnp.concatenate([jnp.zeros((6, weight.shape[1]), dtype), weight])
        diagonal = jnp.eye(len(of_all), dtype=dtype)[..., None]
        return Normal(
            hessian=diagonal * of_all[:, None],
            gradient=jnp.concatenate([jnp.zeros((6, nframe), dtype), weight * error]),
            cost=0.5 * jnp.sum(weight * error**2, axis=0),
        )


def frame_terms(body: TargetBody, config: WeightConfig, tree: Tree | None = None) -> tuple[Term, ...]:
    """Create the cost terms of single frames.

    Args:
        body: Target body.
        config: Weights.
        tree: Tree of the terms, or None for that of the body; its first points must be those of the body's tree.
    """
    fit, names = body.fit, body.landmark_names
    tree = body.tree if tree is None else tree
    position = np.array([getattr(config, fit.position_weights[names[k]]) for k in body.fitted])
    terms: list[Term] = [PositionTerm(tree=tree, landmark=position, contact=config.contact)]
    if body.contact_parts:
        first = len(body.fitted) + body.ncontact
        terms.append(FloorTerm(tree=tree, weight=config.floor, first=first, radius=body.sole.radius))
        parts = [part.body for part in body.contact_parts]
        owner = np.array([parts.index(body.model.body(point.body).name) for point in body.sole.centre])
        terms.append(RestTerm(tree=tree, weight=config.rest, first=first, radius=body.sole.radius, part=owner))
    if len(body.oriented):
        rotation = [fit.rotation_weights.get(names[k], "limb_rotation") for k in body.oriented]
        weight = np.array([getattr(config, name) for name in rotation])
        terms.append(OrientationTerm(tree=tree, weight=weight, oriented=body.oriented_points))
    prior = np.full(body.reduced.njoint, config.prior)
    terms.append(PriorTerm(weight=prior, rest=body.reduced.rest, angle=config.angle))
    return tuple(terms)
