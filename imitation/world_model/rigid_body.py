"""Rigid-body dynamics of a body in its independent coordinates, in JAX: mass matrix, bias force and point Jacobians.

The coupled joints are links of one kinematic tree, and a driven link moves with the slope of its polynomial, so the
couplings hold exactly. Spatial quantities refer to the root's position and the heading frame's axes, angular part
first (Featherstone 2008, Rigid Body Dynamics Algorithms); frames are the last axis of every array, as in `kinematics`.
Sums along the tree are products with constant masks, so no program is unrolled over the bodies.
"""

from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import mujoco
import numpy as np
from jax import Array

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.task.frames import conjugate, heading, multiply, rotate
from musclemap.skeletons.couplings import value_and_slope
from musclemap.skeletons.kinematics import cross, forward
from musclemap.skeletons.precision import precise
from musclemap.skeletons.reduced import NROOT, ReducedCoordinates
from musclemap.skeletons.tree import BodyPoint, build_tree


class RigidBodyTerms(NamedTuple):
    """Terms of the equation of motion `mass @ acceleration + bias = force`, without contacts and limits.

    Velocities and forces are [root linear (3), root angular (3), joints (njoint)] in the axes of the heading frame,
    without the root's six for a fixed body.

    Attributes:
        mass: Mass matrix with armature, shape (n, nvelocity, nvelocity).
        bias: Coriolis, centrifugal and gravity force, shape (n, nvelocity) [N, Nm].
        slope: Velocity of each moved joint at unit velocity of its driver, shape (n, nmoved).
        point_pos: Position of the followed bodies relative to the root [m], shape (npoint, 3, n).
        point_rot: Their orientations, shape (npoint, 3, 3, n).
        jacobian: Their twists per unit velocity, angular part first, linear part at the root's position, shape
            (n, npoint, 6, nvelocity).
    """

    mass: Array
    bias: Array
    slope: Array
    point_pos: Array
    point_rot: Array
    jacobian: Array


class RigidBody:
    """Computes the rigid-body dynamics of a body. Methods are pure.

    Args:
        body: The body.
        reduced: Its independent coordinates.
        points: Ids of the bodies whose poses and Jacobians are needed, shape (npoint,).
    """

    def __init__(self, body: SimulationBody, reduced: ReducedCoordinates, points: np.ndarray) -> None:
        model = body.model
        self.free, self._reduced = body.free, reduced
        moved = reduced.moved
        index = np.full(model.njnt, -1)
        index[moved] = np.arange(len(moved))
        single = np.zeros((model.njnt, 5))
        single[moved, 1] = 1.0
        unlimited = np.full(len(moved), np.inf)
        links = replace(
            reduced, joint_ids=moved, lower=-unlimited, upper=unlimited, rest=reduced.base[reduced.moved_qposadr],
            driver=index, coef=single,
        )  # fmt: skip
        heavy = np.unique(model.body_weldid[model.body_mass > 0])
        heavy = heavy[heavy > 0]
        self._tree = build_tree(links, [BodyPoint(int(b)) for b in (*heavy, *points)])
        mask = self._tree.point_mask[:, 6:].astype(float)
        self._above, self._point_above = mask[: len(heavy)], mask[len(heavy) :]
        self._ancestor = self._tree.ancestor[6:, 6:].astype(float)
        self._mass, self._centre, self._inertia = _welded_inertia(model, heavy)
        self._nheavy = len(heavy)
        self._gravity = np.array(model.opt.gravity)
        self._armature = model.dof_armature[reduced.moved_dof]
        self._slope_coef = reduced.coef[moved][:, 1:] * np.arange(1.0, 5.0)

    def in_heading_frame(self, q: Array, velocity: Array) -> tuple[Array, Array]:
        """Root's orientation in its heading frame, shape (n, 4), and the velocity in the axes of that frame.

        Args:
            q: Reduced configurations, shape (n, nconfiguration).
            velocity: Reduced velocities, shape (n, nvelocity).
        """
        quat = multiply(conjugate(heading(q[:, 3:NROOT])), q[:, 3:NROOT])
        linear = rotate(conjugate(heading(q[:, 3:NROOT])), velocity[:, :3])
        return quat, jnp.concatenate([linear, rotate(quat, velocity[:, 3:6]), velocity[:, 6:]], axis=1)

    @precise
    def terms(self, quat: Array, joints: Array, velocity: Array) -> RigidBodyTerms:
        """Terms of the equation of motion.

        Args:
            quat: Root's orientation in the heading frame, shape (n, 4); ignored for a fixed body.
            joints: Independent joints, shape (n, njoint).
            velocity: Velocities in the axes of the heading frame, shape (n, nvelocity).
        """
        n, dtype, reduced = len(joints), joints.dtype, self._reduced
        const = lambda value: jnp.asarray(value, dtype)  # noqa: E731
        value, slope = reduced.moved_joints(joints)
        delta = (joints - const(reduced.qpos0))[:, reduced.moved_driver]
        _, curvature = value_and_slope(const(self._slope_coef), delta)
        origin = jnp.zeros((3, n), dtype)
        orientation = quat.T if self.free else jnp.zeros((4, n), dtype).at[0].set(1.0)
        kinematics = forward(self._tree, jnp.concatenate([origin, orientation, value.T]))

        rate = velocity[:, -reduced.njoint :].T[reduced.moved_driver]
        unit = kinematics.screw[:, 6:]
        screw = unit * slope.T
        root = jnp.zeros((2, 3, n), dtype)
        if self.free:
            root = jnp.stack([velocity[:, 3:6].T, velocity[:, :3].T])
        moment, centre = self._inertias(kinematics.point_pos[: self._nheavy], kinematics.point_rot[: self._nheavy])

        # Composite inertia of everything below each link, and its momentum at unit velocity of the link.
        below = const(self._above)
        mass_below = const(self._above.T @ self._mass)[:, None]
        momentum = _momentum(
            mass_below, jnp.einsum("bk,cbn->ckn", below, centre), jnp.einsum("bk,cbn->ckn", below, moment), screw
        )
        mass = self._mass_matrix(screw, momentum, moment, centre, slope)
        bias = self._bias(screw, unit * (curvature.T * rate), rate, root, moment, centre)

        driven = screw[:, :, None] * const(self._reduced.gather)[None, :, :, None]
        jacobian = jnp.einsum("pk,ckdn->npcd", const(self._point_above), driven)
        if self.free:
            swap = np.zeros((len(self._point_above), 6, 6))
            swap[:, :3, 3:] = swap[:, 3:, :3] = np.eye(3)
            root_columns = jnp.broadcast_to(const(swap), (n, *swap.shape))
            jacobian = jnp.concatenate([root_columns, jacobian], axis=3)
        return RigidBodyTerms(
            mass=mass,
            bias=bias,
            slope=slope,
            point_pos=kinematics.point_pos[self._nheavy :],
            point_rot=kinematics.point_rot[self._nheavy :],
            jacobian=jacobian,
        )

    def _inertias(self, pos: Array, rot: Array) -> tuple[Array, Array]:
        """Moments of inertia about the origin as xx, yy, zz, xy, xz, yz, (6, nheavy, n), and mass times centre."""
        const = lambda value: jnp.asarray(value, pos.dtype)  # noqa: E731
        mass = const(self._mass)[None, :, None]
        centre = jnp.moveaxis(pos + jnp.einsum("bijn,bj->bin", rot, const(self._centre)), 1, 0)
        turned = jnp.einsum("bijn,bjk->bikn", rot, const(self._inertia))
        row, column = np.array([0, 1, 2, 0, 0, 1]), np.array([0, 1, 2, 1, 2, 2])
        own = jnp.moveaxis(jnp.sum(turned[:, row] * rot[:, column], axis=2), 1, 0)
        square = const(row == column)[:, None, None] * jnp.sum(centre**2, axis=0)
        return own + mass * (square - centre[row] * centre[column]), mass * centre

    def _mass_matrix(self, screw: Array, momentum: Array, moment: Array, centre: Array, slope: Array) -> Array:
        """Mass matrix, shape (n, nvelocity, nvelocity)."""
        const = lambda value: jnp.asarray(value, screw.dtype)  # noqa: E731
        gather = const(self._reduced.gather)
        pairs = jnp.einsum("ckn,cln->nkl", screw, momentum)  # (n, ancestor, descendant)
        pairs = pairs * const(self._ancestor - 0.5 * np.eye(len(self._ancestor)))
        half = jnp.einsum("kd,nke->nde", gather, pairs @ gather)
        joints = half + jnp.swapaxes(half, 1, 2)
        armature = jnp.einsum("nk,kd->nd", slope**2 * const(self._armature), gather)
        joints = joints + armature[:, :, None] * jnp.eye(armature.shape[1], dtype=screw.dtype)
        if not self.free:
            return joints
        linear_first = momentum[np.array([3, 4, 5, 0, 1, 2])]
        mixed = jnp.einsum("ckn,kd->ncd", linear_first, gather)
        total = jnp.sum(centre, axis=1)  # (3, n)
        xx, yy, zz, xy, xz, yz = jnp.sum(moment, axis=1)
        inertia = jnp.moveaxis(jnp.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz]).reshape(3, 3, -1), 2, 0)
        zero = jnp.zeros_like(total[0])
        skew = jnp.stack([zero, -total[2], total[1], total[2], zero, -total[0], -total[1], total[0], zero])
        skew = jnp.moveaxis(skew.reshape(3, 3, -1), 2, 0)
        linear = jnp.broadcast_to(const(self._mass.sum() * np.eye(3)), inertia.shape)
        root = jnp.concatenate(
            [jnp.concatenate([linear, -skew], axis=2), jnp.concatenate([skew, inertia], axis=2)], axis=1
        )
        upper = jnp.concatenate([root, mixed], axis=2)
        return jnp.concatenate([upper, jnp.concatenate([jnp.swapaxes(mixed, 1, 2), joints], axis=2)], axis=1)

    def _bias(self, screw: Array, bent: Array, rate: Array, root: Array, moment: Array, centre: Array) -> Array:
        """Force that keeps the coordinates from accelerating, shape (n, nvelocity): recursive Newton-Euler.

        Args:
            screw: Screw of each link at unit velocity of its driver, shape (6, nlink, n).
            bent: Acceleration of each link's screw due to the curvature of its coupling, per `rate`.
            rate: Velocity of each link's driver, shape (nlink, n).
            root: Angular and linear velocity of the root, shape (2, 3, n).
            moment: Moments of inertia from `_inertias`.
            centre: Mass times centre of mass from `_inertias`.
        """
        const = lambda value: jnp.asarray(value, screw.dtype)  # noqa: E731
        angular, linear = root
        own = screw * rate
        ancestor = const(self._ancestor)
        twist = jnp.concatenate([angular, linear])[:, None] + jnp.einsum("jk,cjn->ckn", ancestor, own)
        acceleration = _cross_motion(twist, own) + bent * rate
        # A rotation about the moving root, seen from the point where the root is now; gravity acts as acceleration.
        fall = cross(linear, angular) - const(self._gravity)[:, None]
        start = jnp.concatenate([jnp.zeros_like(fall), fall])[:, None]
        above = const(self._above)
        body_twist = jnp.concatenate([angular, linear])[:, None] + jnp.einsum("bk,ckn->cbn", above, own)
        body_acceleration = start + jnp.einsum("bk,ckn->cbn", above, acceleration)
        mass = const(self._mass)[:, None]
        force = _momentum(mass, centre, moment, body_acceleration)
        force = force + _cross_force(body_twist, _momentum(mass, centre, moment, body_twist))
        below = jnp.einsum("bk,cbn->ckn", above, force)
        joints = jnp.einsum("kn,kd->nd", jnp.sum(screw * below, axis=0), const(self._reduced.gather))
        if not self.free:
            return joints
        total = jnp.sum(force, axis=1).T
        return jnp.concatenate([total[:, 3:], total[:, :3], joints], axis=1)


def _welded_inertia(model: mujoco.MjModel, heads: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mass, centre of mass and inertia about it, of each body with all bodies welded to it, in its own frame."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    mass, centre, inertia = np.zeros(len(heads)), np.zeros((len(heads), 3)), np.zeros((len(heads), 3, 3))
    for k, head in enumerate(heads):
        members = np.flatnonzero((model.body_weldid == head) & (model.body_mass > 0))
        mass[k] = model.body_mass[members].sum()
        com = model.body_mass[members] @ data.xipos[members] / mass[k]
        for b in members:
            axes, arm = data.ximat[b].reshape(3, 3), data.xipos[b] - com
            steiner = model.body_mass[b] * (arm @ arm * np.eye(3) - np.outer(arm, arm))
            inertia[k] += axes @ np.diag(model.body_inertia[b]) @ axes.T + steiner
        rot = data.xmat[head].reshape(3, 3)
        centre[k], inertia[k] = rot.T @ (com - data.xpos[head]), rot.T @ inertia[k] @ rot
    return mass, centre, inertia


def _momentum(mass: Array, centre: Array, moment: Array, twist: Array) -> Array:
    """Spatial inertia times a twist, (6, m, n): angular momentum about the origin, and linear momentum."""
    angular, linear = twist[:3], twist[3:]
    xx, yy, zz, xy, xz, yz = moment
    x, y, z = angular
    spin = jnp.stack([xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z])
    return jnp.concatenate([spin + cross(centre, linear), mass * linear + cross(angular, centre)])


def _cross_motion(twist: Array, motion: Array) -> Array:
    """Rate of change of a motion vector that moves with `twist`, shapes (6, m, n)."""
    angular, linear = twist[:3], twist[3:]
    return jnp.concatenate([cross(angular, motion[:3]), cross(angular, motion[3:]) + cross(linear, motion[:3])])


def _cross_force(twist: Array, force: Array) -> Array:
    """Rate of change of a force vector that moves with `twist`, shapes (6, m, n)."""
    angular, linear = twist[:3], twist[3:]
    return jnp.concatenate([cross(angular, force[:3]) + cross(linear, force[3:]), cross(angular, force[3:])])
