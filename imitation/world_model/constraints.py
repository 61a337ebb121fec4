"""MuJoCo's soft constraints that a body's own state determines: joint limits, and feet on flat ground, in JAX.

A row `r` with Jacobian J pulls towards `J a = aref`, with `aref = -b J v - k d(r) r` and the weight
`D = d(r) / ((1 - d(r)) A)`, where d is the impedance and A the row's inverse inertia (MuJoCo documentation,
Computation, "Constraint model"). It only pushes: rows with `J a > aref` are inactive. Contacts have pyramidal
friction cones, whose edges are such rows.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.errors import TargetError
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.task.frames import TINY
from musclemap.skeletons.reduced import ReducedCoordinates
from musclemap.skeletons.soles import find_foot_geoms


class SoftRows(NamedTuple):
    """Parameters of soft constraint rows, each of shape (nrow,).

    Attributes:
        stiffness: k [1/s^2].
        damping: b [1/s].
        dmin: Impedance at zero violation.
        dmax: Impedance at a violation of `width` and beyond.
        width: Violation over which the impedance grows [rad or m].
        midpoint: Inflection of the impedance's sigmoid, in units of `width`.
        power: Its exponent.
        inverse_inertia: A [1/kg or 1/(kg m^2)].
    """

    stiffness: np.ndarray
    damping: np.ndarray
    dmin: np.ndarray
    dmax: np.ndarray
    width: np.ndarray
    midpoint: np.ndarray
    power: np.ndarray
    inverse_inertia: np.ndarray

    def weight_and_target(self, violation: Array, velocity: Array) -> tuple[Array, Array]:
        """Weight D and target `aref` of every row.

        Args:
            violation: Distance to the constraint, negative where violated, shape (n, nrow) [rad or m].
            velocity: Its rate of change, shape (n, nrow).
        """
        p: Any = jax.tree.map(lambda value: jnp.asarray(value, violation.dtype), self)
        x = jnp.clip(jnp.abs(violation) / p.width, TINY, 1.0)
        rise = x**p.power / p.midpoint ** (p.power - 1.0)
        fall = 1.0 - jnp.maximum(1.0 - x, TINY) ** p.power / (1.0 - p.midpoint) ** (p.power - 1.0)
        impedance = p.dmin + (p.dmax - p.dmin) * jnp.where(x < p.midpoint, rise, fall)
        weight = impedance / ((1.0 - impedance) * p.inverse_inertia)
        return weight, -p.damping * velocity - p.stiffness * impedance * violation


def _soft_rows(solref: np.ndarray, solimp: np.ndarray, inverse_inertia: np.ndarray, timestep: float) -> SoftRows:
    """Read MuJoCo's parameters.

    Raises:
        TargetError: If a constraint is given by stiffness and damping instead of a time constant.
    """
    if (solref[:, 0] <= 0).any():
        raise TargetError("constraints given by stiffness and damping (negative solref) are not supported")
    time, ratio = np.maximum(solref[:, 0], 2.0 * timestep), solref[:, 1]
    dmin, dmax, width, midpoint, power = np.clip(solimp, 1e-4, [0.9999, 0.9999, np.inf, 0.9999, np.inf]).T
    return SoftRows(
        stiffness=1.0 / (dmax * time * ratio) ** 2,
        damping=2.0 / (dmax * time),
        dmin=dmin,
        dmax=dmax,
        width=width,
        midpoint=midpoint,
        power=power,
        inverse_inertia=inverse_inertia,
    )


class JointLimits:
    """Limits of all moved joints, those of driven joints included.

    Args:
        reduced: The body's independent coordinates.

    Attributes:
        nrow: Number of limited joints.
    """

    def __init__(self, reduced: ReducedCoordinates) -> None:
        model, moved = reduced.model, reduced.moved
        self.column = np.flatnonzero(model.jnt_limited[moved])
        joint = moved[self.column]
        self.nrow = len(joint)
        self.driver = reduced.driver[joint]
        self._qpos0, self._coef = model.qpos0[model.jnt_qposadr[joint]], reduced.coef[joint]
        self._low, self._high = model.jnt_range[joint].T
        self._rows = _soft_rows(
            model.jnt_solref[joint], model.jnt_solimp[joint], model.dof_invweight0[model.jnt_dofadr[joint]],
            model.opt.timestep,
        )  # fmt: skip

    def rows(self, value: Array, velocity: Array) -> tuple[Array, Array, Array]:
        """Weight, target and direction of each joint's nearer limit.

        Args:
            value: Values of the limited joints, shape (n, nrow).
            velocity: Their velocities, shape (n, nrow).

        Returns:
            Weights, zero inside the range; targets; and 1 at a lower limit, -1 at an upper one; shapes (n, nrow).
        """
        low, high = jnp.asarray(self._low, value.dtype), jnp.asarray(self._high, value.dtype)
        sign = jnp.where(value - low < high - value, 1.0, -1.0).astype(value.dtype)
        violation = jnp.minimum(value - low, high - value)
        weight, target = self._rows.weight_and_target(violation, sign * velocity)
        return jnp.where(violation < 0, weight, 0.0), target, sign


class ContactPoints(NamedTuple):
    """Points of the feet that can touch the ground, in the axes of the heading frame.

    Attributes:
        height: Height of each point above the ground [m], shape (n, npoint).
        motion: Its velocity along two horizontal directions and the vertical, per unit twist of its body (angular part
            first, linear part at the root's position), shape (n, npoint, 3, 6).
    """

    height: Array
    motion: Array


class FloorContacts:
    """Contacts of the feet's capsules and ellipsoids with flat ground at height 0.

    Args:
        body: A body with feet, or without, which has no contacts.

    Attributes:
        bodies: Ids of the bodies that carry the geoms, shape (nbody,).
        carrier: 1 for the body that carries each point, shape (npoint, nbody).
        npoint: Number of points: both ends of each capsule, and the lowest point of each ellipsoid.
        edge_directions: Edges of each point's friction pyramid in the rows of `ContactPoints.motion`, shape
            (npoint, 4, 3).
    """

    def __init__(self, body: SimulationBody) -> None:
        model = body.model
        geoms = find_foot_geoms(model, body.target.contact_parts)
        # Each capsule has two points, at +1 and -1 of its half length; an ellipsoid one.
        index = np.repeat(np.arange(len(geoms.geom)), np.where(geoms.capsule, 2, 1))
        end = [e for capsule in geoms.capsule for e in ((1.0, -1.0) if capsule else (0.0,))]
        self._end, self.npoint = np.array(end), len(end)
        self.bodies, carrier = np.unique(geoms.body, return_inverse=True)
        self.carrier = np.eye(len(self.bodies))[carrier[index]]
        self._pos, self._rot, self._size = geoms.pos[index], geoms.rot[index], geoms.size[index]
        self._capsule, point_geom = geoms.capsule[index].astype(float), geoms.geom[index]
        floor = int(body.floor_ids[0]) if len(body.floor_ids) else 0
        both = lambda array: 0.5 * (array[point_geom] + array[floor])  # noqa: E731
        friction = np.maximum(model.geom_friction[point_geom, 0], model.geom_friction[floor, 0])
        pyramid = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        sliding = friction[:, None, None] * pyramid
        self.edge_directions = np.concatenate([sliding, np.ones((self.npoint, 4, 1))], axis=2)
        self._margin = np.maximum(model.geom_margin[point_geom], model.geom_margin[floor])
        weight = model.body_invweight0[model.geom_bodyid[point_geom], 0]
        # MuJoCo's regularisation of a pyramid's edges.
        inverse_inertia = 2.0 * friction**2 * (1.0 + friction**2) * weight
        self._rows = _soft_rows(both(model.geom_solref), both(model.geom_solimp), inverse_inertia, model.opt.timestep)

    def points(self, pos: Array, rot: Array, root_height: Array) -> ContactPoints:
        """Lowest points of all geoms.

        Args:
            pos: Positions of `bodies` relative to the root [m], shape (nbody, 3, n).
            rot: Their orientations, shape (nbody, 3, 3, n).
            root_height: Height of the root [m], shape (n,).
        """
        const = lambda value: jnp.asarray(value, pos.dtype)  # noqa: E731
        size, capsule = self._size, const(self._capsule)[:, None]
        centre = jnp.einsum("pb,bin->npi", const(self.carrier), pos)
        centre = centre + jnp.einsum("bijn,pbj->npi", rot, const(self.carrier[..., None] * self._pos[:, None]))
        axes = jnp.einsum("bijn,pbjk->npik", rot, const(self.carrier[..., None, None] * self._rot[:, None]))
        # The lowest point of an ellipsoid with semi-axes S in the direction -z is -S^2 z / |S z| in its own frame.
        local = const(size) * axes[:, :, 2]
        reach = jnp.sqrt(jnp.sum(local**2, axis=2, keepdims=True) + TINY)
        lowest = -jnp.einsum("npij,npj->npi", axes, const(size) * local) / reach
        up = const(np.array([0.0, 0.0, 1.0]))
        end = axes[..., 2] * const(self._end * size[:, 1])[:, None] - up * const(size[:, :1])
        point = centre + capsule * end + (1.0 - capsule) * lowest
        height = point[..., 2] + root_height[:, None]
        point = point - 0.5 * height[..., None] * up  # MuJoCo's contacts are halfway to the ground
        along = capsule * axes[..., 2] + (1.0 - capsule) * axes[..., 0]
        x, y = along[..., 0], along[..., 1]
        norm, zero = jnp.sqrt(x**2 + y**2 + TINY), jnp.zeros_like(x)
        x, y = x / norm, y / norm
        directions = jnp.stack([x, y, zero, -y, x, zero, zero, zero, zero + 1.0], axis=2).reshape(*x.shape, 3, 3)
        moments = jnp.cross(point[:, :, None], directions)
        return ContactPoints(height, jnp.concatenate([moments, directions], axis=3))

    def rows(self, height: Array, velocity: Array) -> tuple[Array, Array]:
        """Weights and targets of the four edges of every point's friction pyramid.

        Args:
            height: Heights of the points [m], shape (n, npoint).
            velocity: Velocities along the rows of `ContactPoints.motion` [m/s], shape (n, npoint, 3).

        Returns:
            Weights, shape (n, npoint, 1), zero where there is no contact, and targets, shape (n, npoint, 4).
        """
        gap = height - jnp.asarray(self._margin, height.dtype)
        weight, target = self._rows.weight_and_target(gap, jnp.zeros_like(gap))
        damping = jnp.asarray(self._rows.damping, height.dtype)[:, None]
        return jnp.where(gap < 0, weight, 0.0)[..., None], target[..., None] - damping * self.edges(velocity)

    def edges(self, motion: Array) -> Array:
        """Components of a motion (n, npoint, 3) along the edges of the friction pyramid, shape (n, npoint, 4)."""
        return jnp.einsum("npi,pei->npe", motion, jnp.asarray(self.edge_directions, motion.dtype))
