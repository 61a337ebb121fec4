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
from .coordinates import ModelState, WorldModelCoordinates, rotvec_to_quat
from .muscles import muscle_force, read_muscles, step_activation
from .rigid_body import RigidBody, RigidBodyTerms
from .tendons import Tendons


class StepTerms(NamedTuple):
    """Quantities that stay constant during a control step, taken at its middle, in the axes of the heading frame.

    Attributes:
        quat: Root's orientation at the start, shape (n, 4); the configuration for a fixed body.
        velocity: Velocity at the start, shape (n, nvelocity).
        offset: Zeros that carry the derivative of the middle by the state at the start, shape (n, nvelocity).
        rigid: Terms of the equation of motion.
        matrix: Mass matrix with implicit joint damping, shape (n, nvelocity, nvelocity).
        damping: Joint damping, shape (n, nvelocity).
        limit_slope: Velocity of each limited joint at unit velocity of its driver, shape (n, nlimit).
        limit_value: Value of each limited joint, shape (n, nlimit).
        length: Lengths of the muscles [m], shape (n, nu).
        arm: Moment arms [m/rad], shape (n, nu, njoint).
        height: Heights of the feet's points [m], shape (n, npoint).
        motion: See `ContactPoints.motion`.
    """

    quat: Array
    velocity: Array
    offset: Array
    rigid: RigidBodyTerms
    matrix: Array
    damping: Array
    limit_slope: Array
    limit_value: Array
    length: Array
    arm: Array
    height: Array
    motion: Array


class ActiveRows(NamedTuple):
    """Constraint rows that act if they are violated.

    Attributes:
        limit: Limits, shape (n, nlimit).
        edge: Edges of the friction pyramids, shape (n, npoint, 4).
    """

    limit: Array
    edge: Array


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
        self._half = 0.5 * model.opt.timestep * body.nsubstep
        self._damping = model.dof_damping[coordinates.reduced.moved_dof]
        self._limit_gather = np.eye(coordinates.njoint)[self._limits.driver]
        # Moment arms as a matrix: muscle m crosses joint joints[m, c].
        self._crossing = np.eye(coordinates.njoint)[tendons.joints] * tendons.mask[..., None]

    @precise
    def prepare(self, q: Array, velocity: Array, *, linear: bool = False) -> StepTerms:
        """Compute what stays constant during a control step.

        Args:
            q: Reduced configurations, shape (n, nconfiguration).
            velocity: Reduced velocities, shape (n, nvelocity).
            linear: Leave the derivatives of inertia, bias force, moment arms and contact points out of the backward
                pass, which more than halves its time. Those of lengths, heights and limits remain.
        """
        coordinates, half = self.coordinates, self._half
        quat, start = self._rigid.in_heading_frame(q, velocity) if coordinates.free else (q, velocity)
        joints = coordinates.joints(q) + half * coordinates.joint_velocities(velocity)
        middle = multiply(rotvec_to_quat(half * start[:, 3:6]), quat) if coordinates.free else quat
        rigid = self._rigid.terms(middle, joints, start)
        const = lambda value: jnp.asarray(value, q.dtype)  # noqa: E731
        length, arm = self.tendons.length(joints)
        damping = self._pad((rigid.slope**2 * const(self._damping)) @ const(coordinates.reduced.gather))
        height, motion = jnp.zeros((len(q), 0)), jnp.zeros((len(q), 0, 3, 6))
        if self._floor.npoint:
            height, motion = self._floor.points(rigid.point_pos, rigid.point_rot, q[:, 2] + half * start[:, 2])
        value, _ = coordinates.reduced.moved_joints(joints)
        terms = StepTerms(
            quat=quat,
            velocity=start,
            offset=jnp.zeros_like(start),
            rigid=rigid,
            matrix=rigid.mass + self._timestep * damping[:, :, None] * jnp.eye(coordinates.nvelocity, dtype=q.dtype),
            damping=damping,
            limit_slope=rigid.slope[:, self._limits.column],
            limit_value=value[:, self._limits.column],
            length=length.T,
            arm=jnp.einsum("mcn,mcj->nmj", arm, const(self._crossing)),
            height=height,
            motion=motion,
        )
        if not linear:
            return terms
        offset = coordinates.difference(jax.lax.stop_gradient(q), q)
        if coordinates.free:
            offset = self._rigid.in_heading_frame(q, offset)[1]
        offset = offset + half * (start - jax.lax.stop_gradient(start))
        return jax.lax.stop_gradient(terms)._replace(quat=quat, velocity=start, offset=offset)

    def muscle_torque(self, terms: StepTerms, moved: Array, velocity: Array, act: Array) -> Array:
        """Torques of the muscles at the independent joints [Nm], shape (n, njoint).

        Args:
            terms: From `prepare`.
            moved: Displacement of the joints from the middle of the step, shape (n, njoint).
            velocity: Joint velocities, shape (n, njoint).
            act: Activations, shape (n, nu).
        """
        project = lambda rates: jnp.einsum("nmj,nj->nm", terms.arm, rates)  # noqa: E731
        pull = muscle_force(self.muscles, terms.length + project(moved), project(velocity), act)
        return jnp.einsum("nmj,nm->nj", terms.arm, pull)

    @precise
    def step(self, terms: StepTerms, q: Array, act: Array, ctrl: Array, correction: Array) -> ModelState:
        """Advance by one control step.

        Args:
            terms: From `prepare`.
            q: Reduced configurations, shape (n, nconfiguration).
            act: Activations, shape (n, nu).
            ctrl: Excitations, shape (n, nu).
            correction: Force that acts in addition, as the change of each coordinate's velocity that it would cause
                alone, with the root's linear part in the heading frame, shape (n, nvelocity).
        """
        if self.coordinates.free:
            turned = rotate(terms.quat, correction[:, 3:6])
            correction = jnp.concatenate([correction[:, :3], turned, correction[:, 6:]], axis=1)
        inertia = jnp.diagonal(terms.rigid.mass, axis1=1, axis2=2)
        constant = inertia * correction / (2.0 * self._half) - terms.rigid.bias

        def substep(carry: tuple[Any, ...], _: None) -> tuple[tuple[Any, ...], None]:
            moved, velocity, act, active = carry
            acceleration, active = self._accelerate(terms, constant, moved, velocity, act, active)
            velocity = velocity + self._timestep * acceleration
            act = step_activation(self.muscles, act, ctrl, self._timestep)
            return (moved + self._timestep * velocity, velocity, act, active), None

        start, from_middle, n = terms.velocity, terms.offset - self._half * terms.velocity, len(q)
        active = ActiveRows(jnp.ones((n, self._limits.nrow), bool), jnp.ones((n, self._floor.npoint, 4), bool))
        _, active = self._accelerate(terms, constant, from_middle, start, act, active)
        carry: Any = (from_middle, start, act, active)
        (moved, after, act, _), _ = jax.lax.scan(substep, carry, None, length=self._nsubstep)
        return self._result(q, terms.quat, moved - from_middle, after, act)

    def _pad(self, joints: Array) -> Array:
        """Append joint values to zeros for the root."""
        return jnp.pad(joints, ((0, 0), (self.coordinates.nvelocity - self.coordinates.njoint, 0)))

    def _accelerate(
        self, terms: StepTerms, constant: Array, moved: Array, velocity: Array, act: Array, active: ActiveRows
    ) -> tuple[Array, ActiveRows]:
        """Acceleration by one Newton step, shape (n, nvelocity), and the rows that are active with it.

        Args:
            terms: From `prepare`.
            constant: Forces that do not change during the step.
            moved: Displacement from the middle.
            velocity: Current velocity.
            act: Current activation.
            active: Rows that act if they are violated.
        """
        coordinates, limits, floor = self.coordinates, self._limits, self._floor
        joint = coordinates.joint_velocities
        torque = self.muscle_torque(terms, joint(moved), joint(velocity), act)

        along = lambda rates: terms.limit_slope * joint(rates)[:, limits.driver]  # noqa: E731
        weight, limit_target, sign = limits.rows(terms.limit_value + along(moved), along(velocity))
        pull = terms.limit_slope * jnp.where(active.limit, weight, 0.0)
        gather = jnp.asarray(self._limit_gather, weight.dtype)
        force = constant - terms.damping * velocity + self._pad(torque + (pull * sign * limit_target) @ gather)
        diagonal = self._pad((pull * terms.limit_slope) @ gather)
        matrix = terms.matrix + diagonal[:, :, None] * jnp.eye(coordinates.nvelocity, dtype=force.dtype)
        if not floor.npoint:
            acceleration = solve_positive(matrix, force)
            return acceleration, ActiveRows(sign * along(acceleration) < limit_target, active.edge)

        height = terms.height + self._point_motion(terms, moved)[..., 2]
        weight, edge_target = floor.rows(height, self._point_motion(terms, velocity))
        stiffness, wrench = self._floor_forces(terms, jnp.where(active.edge, weight, 0.0), edge_target)
        jacobian = terms.rigid.jacobian
        weighted = jnp.einsum("nbij,nbjd->nbid", stiffness, jacobian)
        flat = lambda array: array.reshape(len(moved), -1, array.shape[-1])  # noqa: E731
        matrix = matrix + jnp.einsum("nrd,nre->nde", flat(jacobian), flat(weighted))
        acceleration = solve_positive(matrix, force + jnp.einsum("nbid,nbi->nd", jacobian, wrench))
        edge = floor.edges(self._point_motion(terms, acceleration)) < edge_target
        return acceleration, ActiveRows(sign * along(acceleration) < limit_target, edge)

    def _point_motion(self, terms: StepTerms, rates: Array) -> Array:
        """Motion of the feet's points along the rows of `ContactPoints.motion`, shape (n, npoint, 3)."""
        twist = jnp.einsum("nbid,nd->nbi", terms.rigid.jacobian, rates)
        carried = jnp.einsum("pb,nbj->npj", jnp.asarray(self._floor.carrier, rates.dtype), twist)
        return jnp.sum(terms.motion * carried[:, :, None], axis=3)

    def _floor_forces(self, terms: StepTerms, weight: Array, target: Array) -> tuple[Array, Array]:
        """Weights of the edges, and weights times targets, summed to matrices and wrenches of the feet's bodies.

        Args:
            terms: From `prepare`.
            weight: Weights of the edges, zero where inactive, shape (n, npoint, 4).
            target: Their target accelerations, shape (n, npoint, 4).

        Returns:
            Shapes (n, nbody, 6, 6) and (n, nbody, 6).
        """
        const = lambda value: jnp.asarray(value, weight.dtype)  # noqa: E731
        carrier, directions = const(self._floor.carrier), const(self._floor.edge_directions)
        edges = jnp.sum(directions[..., None] * terms.motion[:, :, None], axis=3)  # (n, npoint, 4, 6)
        weighted = weight[..., None] * edges
        stiffness = jnp.sum(weighted[..., :, None] * edges[..., None, :], axis=2)
        wrench = jnp.sum(weighted * target[..., None], axis=2)
        return jnp.einsum("pb,npij->nbij", carrier, stiffness), jnp.einsum("pb,npi->nbi", carrier, wrench)

    def _result(self, q: Array, quat: Array, moved: Array, velocity: Array, act: Array) -> ModelState:
        """Configuration and velocity in their own axes, from those of the heading frame."""
        coordinates = self.coordinates
        joints = coordinates.joints(q) + coordinates.joint_velocities(moved)
        if not coordinates.free:
            return ModelState(joints, velocity, act)
        facing = heading(q[:, 3:NROOT])
        turned = multiply(rotvec_to_quat(moved[:, 3:6]), quat)
        turned = turned / jnp.linalg.norm(turned, axis=1, keepdims=True)
        root_pos = q[:, :3] + rotate(facing, moved[:, :3])
        q = jnp.concatenate([root_pos, multiply(facing, turned), joints], axis=1)
        linear, angular = rotate(facing, velocity[:, :3]), rotate(conjugate(turned), velocity[:, 3:6])
        return ModelState(q, jnp.concatenate([linear, angular, velocity[:, 6:]], axis=1), act)


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
