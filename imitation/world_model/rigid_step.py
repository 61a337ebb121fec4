"""One control step of a muscle-driven body by its equation of motion: muscles, joint limits and feet on flat ground.

Mass matrix, bias force, moment arms and contact Jacobians are computed once, at the configuration that the present
velocity reaches half-way through the step. MuJoCo's physics steps are then taken with these: in each one muscle forces
and constraints follow the motion, and one Newton step of MuJoCo's constraint problem, with the rows that were active
before, gives the acceleration.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.task.frames import conjugate, heading, multiply, rotate
from musclemap.skeletons.precision import precise
from musclemap.skeletons.reduced import NROOT

from .constraints import FloorContacts, JointLimits
from .coordinates import WorldModelCoordinates, rotvec_to_quat
from .muscles import muscle_force, read_muscles, step_activation
from .rigid_body import RigidBody, RigidBodyTerms
from .tendons import Tendons


class RigidStep(NamedTuple):
    """Result of a control step.

    Attributes:
        q: Reduced configuration, shape (n, nconfiguration).
        velocity: Reduced velocity, shape (n, nvelocity).
        act: Activations, shape (n, nu).
    """

    q: Array
    velocity: Array
    act: Array


class _Frozen(NamedTuple):
    """Quantities that stay constant during a control step, at its middle."""

    terms: RigidBodyTerms
    damping: Array
    matrix: Array
    limit_slope: Array
    limit_value: Array
    length: Array
    arm: Array
    height: Array
    contact: Array


class RigidDynamics:
    """Steps a body by its equation of motion. Methods are pure.

    Args:
        body: The body.
        coordinates: Its independent coordinates.
        tendons: Lengths of its muscles.
    """

    def __init__(self, body: SimulationBody, coordinates: WorldModelCoordinates, tendons: Tendons) -> None:
        model = body.model
        self.coordinates, self.tendons, self.muscles = coordinates, tendons, read_muscles(model)
        self._limits, self._floor = JointLimits(coordinates.reduced), FloorContacts(body)
        self._rigid = RigidBody(body, coordinates.reduced, self._floor.bodies)
        self._timestep, self._nsubstep = model.opt.timestep, body.nsubstep
        self._damping = model.dof_damping[coordinates.reduced.moved_dof]
        self._gather = np.eye(coordinates.njoint)[coordinates.reduced.moved_driver]
        self._limit_gather = np.eye(coordinates.njoint)[self._limits.driver]
        # Moment arms as a matrix: muscle m crosses joint joints[m, c].
        self._arm_gather = np.eye(coordinates.njoint)[tendons.joints] * tendons.mask[..., None]

    @precise
    def step(self, q: Array, velocity: Array, act: Array, ctrl: Array, force: Array) -> RigidStep:
        """Advance by one control step.

        Args:
            q: Reduced configurations, shape (n, nconfiguration).
            velocity: Reduced velocities, shape (n, nvelocity).
            act: Activations, shape (n, nu).
            ctrl: Excitations, shape (n, nu).
            force: Additional generalised force, constant during the step, in the axes of the heading frame, shape
                (n, nvelocity) [N, Nm].
        """
        quat, start = self._rigid.in_heading_frame(q, velocity) if self.coordinates.free else (q, velocity)
        frozen = self._freeze(q, quat, start)
        smooth = force - frozen.terms.bias

        def substep(carry: tuple[Array, ...], _: None) -> tuple[tuple[Array, ...], None]:
            moved, velocity, act, acceleration = carry
            acceleration = self._accelerate(frozen, smooth, moved, velocity, act, acceleration)
            velocity = velocity + self._timestep * acceleration
            act = step_activation(self.muscles, act, ctrl, self._timestep)
            return (moved + self._timestep * velocity, velocity, act, acceleration), None

        half = 0.5 * self._timestep * self._nsubstep
        carry: Any = (-half * start, start, act, self._accelerate(frozen, smooth, -half * start, start, act, None))
        (moved, after, act, _), _ = jax.lax.scan(substep, carry, None, length=self._nsubstep)
        return self._result(q, quat, moved + half * start, after, act)

    def _freeze(self, q: Array, quat: Array, velocity: Array) -> _Frozen:
        coordinates, half = self.coordinates, 0.5 * self._timestep * self._nsubstep
        joints = coordinates.joints(q) + half * coordinates.joint_velocities(velocity)
        if coordinates.free:
            quat = multiply(rotvec_to_quat(half * velocity[:, 3:6]), quat)
        terms = self._rigid.terms(quat, joints, velocity)
        const = lambda value: jnp.asarray(value, q.dtype)  # noqa: E731
        length, arm = self.tendons.length(joints)
        nroot = coordinates.nvelocity - coordinates.njoint
        damping = jnp.pad((terms.slope**2 * const(self._damping)) @ const(self._gather), ((0, 0), (nroot, 0)))
        height, contact = jnp.zeros((len(q), 0)), jnp.zeros((len(q), 0, 3, coordinates.nvelocity))
        if self._floor.npoint:
            points = self._floor.points(
                terms.point_pos, terms.point_rot, terms.jacobian, q[:, 2] + half * velocity[:, 2]
            )
            height, contact = points.height, points.jacobian
        value, _ = coordinates.reduced.moved_joints(joints)
        return _Frozen(
            terms=terms,
            damping=damping,
            matrix=terms.mass + self._timestep * damping[:, :, None] * jnp.eye(coordinates.nvelocity, dtype=q.dtype),
            limit_slope=terms.slope[:, self._limits.column],
            limit_value=value[:, self._limits.column],
            length=length.T,
            arm=jnp.einsum("mcn,mcj->nmj", arm, const(self._arm_gather)),
            height=height,
            contact=contact,
        )

    def _smooth_force(self, frozen: _Frozen, moved: Array, velocity: Array, act: Array) -> Array:
        """Force of muscles and damping, shape (n, nvelocity)."""
        coordinates = self.coordinates
        stretch = jnp.einsum("nmj,nj->nm", frozen.arm, coordinates.joint_velocities(moved))
        speed = jnp.einsum("nmj,nj->nm", frozen.arm, coordinates.joint_velocities(velocity))
        pull = muscle_force(self.muscles, frozen.length + stretch, speed, act)
        torque = jnp.einsum("nmj,nm->nj", frozen.arm, pull)
        nroot = coordinates.nvelocity - coordinates.njoint
        return jnp.pad(torque, ((0, 0), (nroot, 0))) - frozen.damping * velocity

    def _accelerate(
        self, frozen: _Frozen, smooth: Array, moved: Array, velocity: Array, act: Array, previous: Array | None
    ) -> Array:
        """Acceleration by one Newton step, shape (n, nvelocity).

        Args:
            frozen: Quantities at the middle of the control step.
            smooth: Forces that do not change during the step.
            moved: Displacement from the middle.
            velocity: Current velocity.
            act: Current activation.
            previous: Acceleration that decides which violated rows are active; all of them if None.
        """
        matrix = frozen.matrix
        force = smooth + self._smooth_force(frozen, moved, velocity, act)
        joint_weight, joint_force = self._limit_forces(frozen, moved, velocity, previous)
        nroot = self.coordinates.nvelocity - self.coordinates.njoint
        force = force + jnp.pad(joint_force, ((0, 0), (nroot, 0)))
        diagonal = jnp.pad(joint_weight, ((0, 0), (nroot, 0)))
        matrix = matrix + diagonal[:, :, None] * jnp.eye(self.coordinates.nvelocity, dtype=matrix.dtype)
        if self._floor.npoint:
            block, push = self._floor_forces(frozen, moved, velocity, previous)
            n, rows = len(moved), 3 * self._floor.npoint
            jacobian = frozen.contact.reshape(n, rows, -1)
            weighted = jnp.einsum("npij,npjd->npid", block, frozen.contact).reshape(n, rows, -1)
            matrix = matrix + jnp.einsum("nrd,nre->nde", jacobian, weighted)
            force = force + jnp.einsum("nrd,nr->nd", jacobian, push.reshape(n, rows))
        return solve_positive(matrix, force)

    def _limit_forces(
        self, frozen: _Frozen, moved: Array, velocity: Array, previous: Array | None
    ) -> tuple[Array, Array]:
        """Weight of the active limits and weight times target, summed at the independent joints, shape (n, njoint)."""
        coordinates, driver = self.coordinates, self._limits.driver
        along = lambda rates: frozen.limit_slope * coordinates.joint_velocities(rates)[:, driver]  # noqa: E731
        weight, target, sign = self._limits.rows(frozen.limit_value + along(moved), along(velocity))
        if previous is not None:
            weight = jnp.where(sign * along(previous) < target, weight, 0.0)
        gather = jnp.asarray(self._limit_gather, weight.dtype)
        pull = frozen.limit_slope * weight
        return (pull * frozen.limit_slope) @ gather, (pull * sign * target) @ gather

    def _floor_forces(
        self, frozen: _Frozen, moved: Array, velocity: Array, previous: Array | None
    ) -> tuple[Array, Array]:
        """Weights of the active edges and weights times targets at every point, (n, npoint, 3, 3) and (.., 3)."""
        along = lambda rates: jnp.einsum("npid,nd->npi", frozen.contact, rates)  # noqa: E731
        height = frozen.height + jnp.einsum("npd,nd->np", frozen.contact[:, :, 2], moved)
        weight, target = self._floor.rows(height, along(velocity))
        weight = jnp.broadcast_to(weight, target.shape)
        if previous is not None:
            weight = jnp.where(self._floor.edges(along(previous)) < target, weight, 0.0)
        edges = jnp.asarray(self._floor.edge_directions, weight.dtype)
        block = jnp.einsum("npe,pei,pej->npij", weight, edges, edges)
        return block, jnp.einsum("npe,pei->npi", weight * target, edges)

    def _result(self, q: Array, quat: Array, moved: Array, velocity: Array, act: Array) -> RigidStep:
        """Configuration and velocity in their own axes, from those of the heading frame."""
        coordinates = self.coordinates
        joints = coordinates.joints(q) + coordinates.joint_velocities(moved)
        if not coordinates.free:
            return RigidStep(joints, velocity, act)
        facing = heading(q[:, 3:NROOT])
        turned = multiply(rotvec_to_quat(moved[:, 3:6]), quat)
        turned = turned / jnp.linalg.norm(turned, axis=1, keepdims=True)
        root_pos = q[:, :3] + rotate(facing, moved[:, :3])
        q = jnp.concatenate([root_pos, multiply(facing, turned), joints], axis=1)
        linear, angular = rotate(facing, velocity[:, :3]), rotate(conjugate(turned), velocity[:, 3:6])
        return RigidStep(q, jnp.concatenate([linear, angular, velocity[:, 6:]], axis=1), act)


@jax.custom_vjp
def solve_positive(matrix: Array, rhs: Array) -> Array:
    """Solve symmetric positive definite systems; the backward pass uses the same factors.

    Args:
        matrix: Shape (n, k, k).
        rhs: Shape (n, k).

    Returns:
        Shape (n, k).
    """
    return _solve_forward(matrix, rhs)[0]


def _solve_forward(matrix: Array, rhs: Array) -> tuple[Array, tuple[Array, Array]]:
    factor = jax.lax.linalg.cholesky(matrix, symmetrize_input=False)
    solution = _substitute(factor, rhs)
    return solution, (factor, solution)


def _solve_backward(saved: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    factor, solution = saved
    rhs_grad = _substitute(factor, grad)
    return -rhs_grad[:, :, None] * solution[:, None, :], rhs_grad


solve_positive.defvjp(_solve_forward, _solve_backward)


def _substitute(factor: Array, rhs: Array) -> Array:
    solve = lambda right, transpose: jax.lax.linalg.triangular_solve(  # noqa: E731
        factor, right, left_side=True, lower=True, transpose_a=transpose
    )
    return solve(solve(rhs[..., None], False), True)[..., 0]
