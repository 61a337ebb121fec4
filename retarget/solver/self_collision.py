"""Self-collision: one-sided terms that keep limbs apart and above the floor, as the soles' floor term does.

Every colliding geom that a clip may be blamed for stands for a capsule, an ellipsoid for the one along its longest
axis. Between two capsules the nearest points of their axes are found anew in every iteration, and held fixed while the
distance is differentiated (its derivative along the axes is zero there, or they are ends).
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax import Array

from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.kinematics import Kinematics, cross
from musclemap.skeletons.symmetry import mirror_points
from musclemap.skeletons.tree import BodyPoint, Tree, build_tree

from .normal import Normal
from .terms import FrameTargets

SOFT = 0.01
"""Length over which a term begins to act [m]; at 2 mm ankles jerk when the nearest points change."""

MARGIN = -0.005
"""Distance at which a term is half as stiff as beyond it [m]; soft tissue yields as much."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CollisionCapsules:
    """Capsules of a body and which of them are kept apart.

    Attributes:
        tree: The solver's tree with both ends of every capsule as its last points.
        first: Number of the first end.
        radius: Of each capsule [m], shape (ncapsule,).
        pairs: Capsules kept apart, shape (npair, 2).
        above: Capsules kept above the floor, shape (nabove,).
    """

    tree: Tree
    first: int
    radius: np.ndarray
    pairs: np.ndarray
    above: np.ndarray


def collision_capsules(body: TargetBody, *, without: set[tuple[int, int]]) -> CollisionCapsules:
    """Find the capsules of a body's collision pairs.

    Args:
        body: Target.
        without: Pairs of geoms, smaller first, that overlap in the neutral configuration and are left alone.
    """
    model = body.model
    pairs = np.sort(np.stack([model.pair_geom1, model.pair_geom2], axis=1), axis=1)
    kinds = (int(mujoco.mjtGeom.mjGEOM_CAPSULE), int(mujoco.mjtGeom.mjGEOM_ELLIPSOID))
    kept = [
        (int(a), int(b))
        for a, b in pairs
        if (int(a), int(b)) not in without and int(model.geom_type[a]) in kinds and int(model.geom_type[b]) in kinds
    ]
    geoms = sorted({geom for pair in kept for geom in pair})
    ends, radius = zip(*(_capsule(model, geom) for geom in geoms), strict=True)
    carriers = np.repeat(model.geom_bodyid[geoms], 2)
    moved = mirror_points(body.symmetric_model, carriers, np.concatenate(ends))
    points = [*body.points, *(BodyPoint(int(b), tuple(o)) for b, o in zip(carriers, moved, strict=True))]
    feet = {model.body(part.body).id for part in body.contact_parts}
    return CollisionCapsules(
        tree=build_tree(replace(body.reduced, model=body.symmetric_model), points),
        first=len(body.points),
        radius=np.array(radius),
        pairs=np.array([[geoms.index(a), geoms.index(b)] for a, b in kept]),
        above=np.array([k for k, geom in enumerate(geoms) if int(model.geom_bodyid[geom]) not in feet]),
    )


def _capsule(model: mujoco.MjModel, geom: int) -> tuple[np.ndarray, float]:
    """Ends of a geom's axis in its body's frame, shape (2, 3), and its radius [m]."""
    mat, size = np.empty(9), model.geom_size[geom]
    mujoco.mju_quat2Mat(mat, model.geom_quat[geom])
    axis, radius, half = 2, float(size[0]), float(size[1])
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        axis = int(size.argmax())
        radius = float(np.delete(size, axis).mean())
        half = max(float(size[axis]) - radius, 0.0)
    along = mat.reshape(3, 3)[:, axis] * half
    return model.geom_pos[geom] + np.array([-1.0, 1.0])[:, None] * along, radius


def _nearest(p: Array, u: Array, q: Array, v: Array) -> tuple[Array, Array]:
    """Nearest points of segments p + s u and q + t v, s and t from 0 to 1; shapes (..., 3, nframe).

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
    """Capsules apart from each other and above the floor: one-sided, softened over `SOFT`.

    Attributes:
        capsules: Which capsules; the term measures the points of their tree.
        weight: Of a squared metre of overlap [1/m^2].
    """

    capsules: CollisionCapsules
    weight: float

    def normal(self, kinematics: Kinematics, targets: FrameTargets) -> Normal:
        """Gauss-Newton model; each row is the change of one distance."""
        ends = kinematics.point_pos[self.capsules.first :]
        low, high = ends[0::2], ends[1::2]
        one, two = self.capsules.pairs.T
        a, b = _nearest(low[one], high[one] - low[one], low[two], high[two] - low[two])  # (npair, 3, nframe)
        gap = a - b
        length = jnp.sqrt(jnp.sum(gap**2, axis=1) + 1e-12)
        normal = gap / length[:, None]
        distance = length - (self.capsules.radius[one] + self.capsules.radius[two] + MARGIN)[:, None]
        mask = self.capsules.tree.point_mask[self.capsules.first :: 2].astype(np.float32)
        rows = (
            _row(kinematics.screw, a, normal) * mask[one][..., None]
            - _row(kinematics.screw, b, normal) * mask[two][..., None]
        )

        lowest = jnp.where(
            low[self.capsules.above, 2:] < high[self.capsules.above, 2:],
            low[self.capsules.above],
            high[self.capsules.above],
        )
        up = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0], gap.dtype)[:, None], lowest.shape)
        clearance = lowest[:, 2] - self.capsules.radius[self.capsules.above][:, None] - jnp.min(targets.floor, axis=0)
        rows = jnp.concatenate([rows, _row(kinematics.screw, lowest, up) * mask[self.capsules.above][..., None]])
        height = jnp.concatenate([distance, clearance])
        depth = -SOFT * jax.nn.softplus(-height / SOFT)
        press = jax.nn.sigmoid(-height / SOFT)
        return Normal(
            hessian=jnp.einsum("rdb,reb->deb", rows * (self.weight * press**2)[:, None], rows),
            gradient=jnp.sum(rows * (self.weight * press * depth)[:, None], axis=0),
            cost=0.5 * self.weight * jnp.sum(depth**2, axis=0),
        )


def _row(screw: Array, point: Array, normal: Array) -> Array:
    """How fast points move along normals with each degree of freedom, shape (n, ndof, nframe)."""
    wrench = jnp.concatenate(
        [jnp.moveaxis(cross(jnp.moveaxis(point, 1, 0), jnp.moveaxis(normal, 1, 0)), 0, 1), normal], 1
    )
    return jnp.sum(screw[None] * wrench[:, :, None], axis=1)
