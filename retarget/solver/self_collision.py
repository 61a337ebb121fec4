"""Self-collision: one-sided terms that keep limbs apart and above the floor, like the floor term of the soles.

Capsules represent the collision geoms; an ellipsoid is replaced by a capsule along its longest axis. Every iteration
finds the nearest points of two capsules' axes again and differentiates the distance with these points fixed: its
derivative along the axes is zero there, unless a point is at the end of its axis, where it stays.
"""

from dataclasses import dataclass, replace

import jax.numpy as jnp
import mujoco
import numpy as np
from jax import Array

from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.kinematics import Kinematics, cross
from musclemap.skeletons.symmetry import mirror_points
from musclemap.skeletons.tree import BodyPoint, Tree, build_tree

from .normal_equations import Normal
from .terms import FrameTargets, soft_depth

SOFTNESS = 0.01
"""Length over which the force of a contact sets in [m]; at 2 mm the ankles jerk when the nearest points change."""

CONTACT_DISTANCE = -0.005
"""Distance at which the slope of the residual reaches one half [m]; negative, because soft tissue yields."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CollisionCapsules:
    """Capsules of a body, and the pairs of them that must not overlap.

    Attributes:
        tree: The body's tree with both ends of every capsule as additional, last points.
        first: Index of the first end among the tree's points.
        radius: Radius of each capsule [m], shape (ncapsule,).
        pairs: Pairs of capsules to keep apart, shape (npair, 2).
        floor_capsules: Capsules to keep above the floor, shape (nfloor,).
    """

    tree: Tree
    first: int
    radius: np.ndarray
    pairs: np.ndarray
    floor_capsules: np.ndarray


def collision_capsules(body: TargetBody, *, ignored_pairs: set[tuple[int, int]]) -> CollisionCapsules:
    """Create the capsules of a body's collision pairs.

    Args:
        body: Target body.
        ignored_pairs: Pairs of geoms, smaller id first, that may overlap because they do in the neutral configuration.
    """
    model = body.model
    pairs = np.sort(np.stack([model.pair_geom1, model.pair_geom2], axis=1), axis=1)
    supported_types = (int(mujoco.mjtGeom.mjGEOM_CAPSULE), int(mujoco.mjtGeom.mjGEOM_ELLIPSOID))
    collision_pairs = [
        (int(a), int(b))
        for a, b in pairs
        if (int(a), int(b)) not in ignored_pairs
        and int(model.geom_type[a]) in supported_types
        and int(model.geom_type[b]) in supported_types
    ]
    geoms = sorted({geom for pair in collision_pairs for geom in pair})
    ends, radius = zip(*(_as_capsule(model, geom) for geom in geoms), strict=True)
    carriers = np.repeat(model.geom_bodyid[geoms], 2)
    moved = mirror_points(body.symmetric_model, carriers, np.concatenate(ends))
    points = [*body.points, *(BodyPoint(int(b), tuple(o)) for b, o in zip(carriers, moved, strict=True))]
    feet = {model.body(part.body).id for part in body.contact_parts}
    return CollisionCapsules(
        tree=build_tree(replace(body.reduced, model=body.symmetric_model), points),
        first=len(body.points),
        radius=np.array(radius),
        pairs=np.array([[geoms.index(a), geoms.index(b)] for a, b in collision_pairs]),
        floor_capsules=np.array([k for k, geom in enumerate(geoms) if int(model.geom_bodyid[geom]) not in feet]),
    )


def _as_capsule(model: mujoco.MjModel, geom: int) -> tuple[np.ndarray, float]:
    """Ends of a geom's axis in its body's frame, shape (2, 3) [m], and its radius [m]."""
    mat, size = np.empty(9), model.geom_size[geom]
    mujoco.mju_quat2Mat(mat, model.geom_quat[geom])
    axis, radius, half = 2, float(size[0]), float(size[1])
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        axis = int(size.argmax())
        radius = float(np.delete(size, axis).mean())
        half = max(float(size[axis]) - radius, 0.0)
    along = mat.reshape(3, 3)[:, axis] * half
    return model.geom_pos[geom] + np.array([-1.0, 1.0])[:, None] * along, radius


def _nearest_points(p: Array, u: Array, q: Array, v: Array) -> tuple[Array, Array]:
    """Nearest points of the segments p + s u and q + t v with s and t from 0 to 1; shapes (..., 3, nframe) [m].

    Ericson 2005, Real-Time Collision Detection, section 5.1.9.
    """
    dot = lambda a, b: jnp.sum(a * b, axis=-2, keepdims=True)  # noqa: E731
    r = p - q
    a, e, f, b, c = dot(u, u), dot(v, v), dot(v, r), dot(u, v), dot(u, r)
    tiny = 1e-9
    s = jnp.clip((b * f - c * e) / jnp.maximum(a * e - b * b, tiny), 0.0, 1.0)
    t = jnp.clip((b * s + f) / jnp.maximum(e, tiny), 0.0, 1.0)
    s = jnp.clip((b * t - c) / jnp.maximum(a, tiny), 0.0, 1.0)
    return p + s * u, q + t * v


@dataclass(frozen=True, kw_only=True, eq=False)
class SelfCollisionTerm:
    """Overlap of capsules with each other and with the floor: one-sided, softened over `SOFTNESS`.

    Attributes:
        capsules: Capsules; the term applies to their tree.
        weight: Weight of a squared overlap [1/m^2].
    """

    capsules: CollisionCapsules
    weight: float

    def normal(self, kinematics: Kinematics, targets: FrameTargets) -> Normal:
        """Gauss-Newton model of this term alone; each row is the derivative of one distance."""
        ends = kinematics.point_pos[self.capsules.first :]
        low, high = ends[0::2], ends[1::2]
        one, two = self.capsules.pairs.T
        a, b = _nearest_points(low[one], high[one] - low[one], low[two], high[two] - low[two])  # (npair, 3, nframe)
        gap = a - b
        length = jnp.sqrt(jnp.sum(gap**2, axis=1) + 1e-12)
        normal = gap / length[:, None]
        distance = length - (self.capsules.radius[one] + self.capsules.radius[two] + CONTACT_DISTANCE)[:, None]
        mask = self.capsules.tree.point_mask[self.capsules.first :: 2].astype(np.float32)
        rows = (
            _row(kinematics.screw, a, normal) * mask[one][..., None]
            - _row(kinematics.screw, b, normal) * mask[two][..., None]
        )

        above_floor = self.capsules.floor_capsules
        lowest = jnp.where(low[above_floor, 2:] < high[above_floor, 2:], low[above_floor], high[above_floor])
        up = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0], gap.dtype)[:, None], lowest.shape)
        clearance = lowest[:, 2] - self.capsules.radius[above_floor][:, None] - jnp.min(targets.floor, axis=0)
        rows = jnp.concatenate([rows, _row(kinematics.screw, lowest, up) * mask[above_floor][..., None]])
        height = jnp.concatenate([distance, clearance])
        depth, activation = soft_depth(height, SOFTNESS)
        return Normal(
            hessian=jnp.einsum("rdb,reb->deb", rows * (self.weight * activation**2)[:, None], rows),
            gradient=jnp.sum(rows * (self.weight * activation * depth)[:, None], axis=0),
            cost=0.5 * self.weight * jnp.sum(depth**2, axis=0),
        )


def _row(screw: Array, point: Array, normal: Array) -> Array:
    """Derivative of points along normals by each degree of freedom, shape (n, ndof, nframe)."""
    wrench = jnp.concatenate(
        [jnp.moveaxis(cross(jnp.moveaxis(point, 1, 0), jnp.moveaxis(normal, 1, 0)), 0, 1), normal], 1
    )
    return jnp.sum(screw[None] * wrench[:, :, None], axis=1)
