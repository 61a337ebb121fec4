"""A body's independent coordinates in JAX, for models that foretell its motion: couplings hold exactly, root and all.

A configuration is [root position (3), root quaternion wxyz (4), independent joints (njoint)], a velocity [root, world
axes (3), root's rotation in its own axes (3), joints (njoint)] as in MuJoCo; without a free root it is joints alone.
All functions are differentiable, and computed in the type of what they are given.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.task.frames import TINY, conjugate, heading, multiply, rotate
from musclemap.skeletons.kinematics import cross, forward
from musclemap.skeletons.reduced import NROOT, reduce_model
from musclemap.skeletons.tree import BodyPoint, build_tree


class Moving(NamedTuple):
    """Landmarks of moving bodies.

    Attributes:
        xpos: Positions [m], world, shape (n, nlandmark, 3).
        linvel: Velocities [m/s], world axes, shape (n, nlandmark, 3).
    """

    xpos: Array
    linvel: Array


class Coordinates:
    """Configurations and velocities of a body by its independent coordinates.

    Args:
        body: The body.

    Attributes:
        free: Whether there is a free root.
        njoint: Independent joints.
        nconfiguration: Width of a configuration.
        nvelocity: Width of a velocity.
        lower: Lower end of the joints' effective ranges, shape (njoint,).
        upper: Upper end, shape (njoint,).
    """

    def __init__(self, body: SimulationBody) -> None:
        model = body.model
        self.free, self.njoint = body.free, len(body.joint_ids)
        self.nconfiguration = self.njoint + (7 if body.free else 0)
        self.nvelocity = self.njoint + (6 if body.free else 0)
        self._reduced = reduced = reduce_model(model, fixed=not body.free)
        assert reduced.joint_ids.tolist() == body.joint_ids.tolist()
        self.lower, self.upper = reduced.lower, reduced.upper
        self._tree = build_tree(reduced, [BodyPoint(int(b)) for b in body.landmark_ids])
        self._base = np.where(np.isfinite(reduced.base), reduced.base, 0.0)
        self._own_q, self._own_v = body.qposadr, body.dofadr
        self._nv, self._substep, self._nsubstep = model.nv, model.opt.timestep, body.nsubstep

    def take(self, qpos: Array, qvel: Array) -> tuple[Array, Array]:
        """Configuration and velocity out of MuJoCo's, shapes (n, nq) and (n, nv); what driven joints do is left out."""
        x, v = qpos[:, self._own_q], qvel[:, self._own_v]
        if not self.free:
            return x, v
        return jnp.concatenate([qpos[:, :7], x], axis=1), jnp.concatenate([qvel[:, :6], v], axis=1)

    def give(self, q: Array, velocity: Array) -> tuple[Array, Array]:
        """MuJoCo's qpos (n, nq) and qvel (n, nv), with driven joints where their drivers put them."""
        value, slope = self._reduced.moved_joints(self.joints(q))
        rate = self.joint_velocities(velocity)[:, self._reduced.moved_driver]
        n = len(q)
        qpos = jnp.broadcast_to(jnp.asarray(self._base, q.dtype), (n, len(self._base)))
        qpos = qpos.at[:, self._reduced.moved_qposadr].set(value)
        qvel = jnp.zeros((n, self._nv), velocity.dtype).at[:, self._reduced.moved_dof].set(slope * rate)
        if self.free:
            qpos, qvel = qpos.at[:, :7].set(q[:, :7]), qvel.at[:, :6].set(velocity[:, :6])
        return qpos, qvel

    def joints(self, q: Array) -> Array:
        """Joint values, shape (n, njoint)."""
        return q[:, self.nconfiguration - self.njoint :]

    def joint_velocities(self, velocity: Array) -> Array:
        """Joint velocities, shape (n, njoint)."""
        return velocity[:, self.nvelocity - self.njoint :]

    def seen(self, q: Array, velocity: Array) -> Array:
        """What the dynamics depend on, seen from the heading frame of the root: shape (n, nseen).

        Of a free root: its height, the world's vertical and its velocity in its own frames. Then joints and their
        velocities.
        """
        parts = [self.joints(q), self.joint_velocities(velocity)]
        if self.free:
            quat = q[:, 3:7]
            up = rotate(conjugate(quat), jnp.array([0.0, 0.0, 1.0], q.dtype))
            linear = rotate(conjugate(heading(quat)), velocity[:, :3])
            parts = [q[:, 2:3], up, linear, velocity[:, 3:6], *parts]
        return jnp.concatenate(parts, axis=1)

    @property
    def nseen(self) -> int:
        """Width of `seen`."""
        return 2 * self.njoint + (10 if self.free else 0)

    def change(self, q: Array, before: Array, after: Array) -> Array:
        """Difference of two velocities, that of the root in its heading frame before; shape (n, nvelocity)."""
        result = after - before
        if not self.free:
            return result
        return jnp.concatenate([rotate(conjugate(heading(q[:, 3:7])), result[:, :3]), result[:, 3:]], axis=1)

    def changed(self, q: Array, velocity: Array, change: Array) -> Array:
        """Velocity after a `change`."""
        if not self.free:
            return velocity + change
        turned = rotate(heading(q[:, 3:7]), change[:, :3])
        return velocity + jnp.concatenate([turned, change[:, 3:]], axis=1)

    def integrate(self, q: Array, before: Array, after: Array) -> Array:
        """Configuration after a control step in which the velocity goes evenly from one to another.

        Each physics step moves by the velocity at its end, as MuJoCo's semi-implicit Euler does.
        """
        n = self._nsubstep
        mean = before + (after - before) * ((n + 1) / (2 * n))
        joints = self.joints(q) + self.joint_velocities(mean) * (n * self._substep)
        if not self.free:
            return joints
        quat = q[:, 3:7]
        for k in range(1, n + 1):
            rate = before[:, 3:6] + (after[:, 3:6] - before[:, 3:6]) * (k / n)
            quat = multiply(quat, _turn(rate * self._substep))
        quat = quat / jnp.linalg.norm(quat, axis=1, keepdims=True)
        place = q[:, :3] + mean[:, :3] * (n * self._substep)
        return jnp.concatenate([place, quat, joints], axis=1)

    def landmarks(self, q: Array, velocity: Array) -> Moving:
        """Where the landmarks are and how they move."""
        n, dtype = len(q), q.dtype
        if self.free:
            spin = rotate(q[:, 3:7], velocity[:, 3:6])
            rates = jnp.concatenate([velocity[:, :3], spin, velocity[:, 6:]], axis=1).T
            full = q.T
        else:
            world = jnp.zeros((NROOT, n), dtype).at[3].set(1.0)
            full = jnp.concatenate([world, q.T])
            rates = jnp.concatenate([jnp.zeros((6, n), dtype), velocity.T])
        result = forward(self._tree, full)
        mask = jnp.asarray(self._tree.point_mask, dtype)
        twist = jnp.einsum("cdn,pd->cpn", result.screw * rates, mask, precision="highest")  # large terms cancel
        xpos = jnp.moveaxis(result.point_pos, 1, 0)  # (3, npoint, n)
        linvel = cross(twist[:3], xpos) + twist[3:]
        return Moving(jnp.moveaxis(xpos, (0, 1, 2), (2, 1, 0)), jnp.moveaxis(linvel, (0, 1, 2), (2, 1, 0)))

    def nearest_turn(self, q: Array, other: Array) -> Array:
        """Difference `other - q`, the root's as a rotation vector, shape (n, nvelocity)."""
        if not self.free:
            return other - q
        turn = multiply(conjugate(q[:, 3:7]), other[:, 3:7])
        turn = jnp.where(turn[:, :1] < 0, -turn, turn)
        return jnp.concatenate([other[:, :3] - q[:, :3], 2.0 * turn[:, 1:], other[:, 7:] - q[:, 7:]], axis=1)


def _turn(vector: Array) -> Array:
    """Quaternions of rotation vectors, shape (n, 3) -> (n, 4)."""
    angle = jnp.sqrt(jnp.sum(vector**2, axis=1, keepdims=True) + TINY)
    return jnp.concatenate([jnp.cos(0.5 * angle), vector * (jnp.sin(0.5 * angle) / angle)], axis=1)
