"""Reduced coordinates in JAX, for models that predict a body's motion: couplings and root motion hold exactly.

A configuration is [root position (3), root quaternion wxyz (4), independent joints (njoint)]. A velocity is [root
velocity in world axes (3), root angular velocity in its own axes (3), joint velocities (njoint)], as in MuJoCo. Without
a free root both contain only joints. All functions are differentiable and use the dtype of their arguments.
"""

from typing import NamedTuple

import jax.numpy as jnp
import mujoco
import numpy as np
from jax import Array

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.task.frames import TINY, conjugate, heading, multiply, rotate
from musclemap.skeletons.kinematics import cross, forward
from musclemap.skeletons.reduced import NROOT, ReducedCoordinates, reduce_model
from musclemap.skeletons.symmetry import twins
from musclemap.skeletons.tree import BodyPoint, build_tree

_POLAR = np.array([-1.0, 1.0, 1.0])
_AXIAL = -_POLAR
"""Signs of mirrored polar and axial vectors."""


class ModelState(NamedTuple):
    """State that the model predicts.

    Attributes:
        q: Reduced configuration, shape (n, nconfiguration).
        velocity: Reduced velocity, shape (n, nvelocity).
        act: Activations, shape (n, nu).
    """

    q: Array
    velocity: Array
    act: Array


class LandmarkMotion(NamedTuple):
    """Positions and velocities of landmarks.

    Attributes:
        xpos: Positions [m], world, shape (n, nlandmark, 3).
        linvel: Velocities [m/s], world axes, shape (n, nlandmark, 3).
    """

    xpos: Array
    linvel: Array


class WorldModelCoordinates:
    """Conversions between MuJoCo's coordinates and a body's independent coordinates.

    Args:
        body: The body.

    Attributes:
        free: Whether the body has a free root.
        njoint: Number of independent joints.
        nconfiguration: Width of a configuration.
        nvelocity: Width of a velocity.
        lower: Lower ends of the joints' effective ranges, shape (njoint,).
        upper: Upper ends, shape (njoint,).
    """

    def __init__(self, body: SimulationBody) -> None:
        model = body.model
        self.free, self.njoint = body.free, len(body.joint_ids)
        self.nconfiguration = self.njoint + (7 if body.free else 0)
        self.nvelocity = self.njoint + (6 if body.free else 0)
        self.reduced = reduced = reduce_model(model, fixed=not body.free)
        assert reduced.joint_ids.tolist() == body.joint_ids.tolist()
        self.lower, self.upper = reduced.lower, reduced.upper
        self._tree = build_tree(reduced, [BodyPoint(int(b)) for b in body.landmark_ids])
        self._base = np.where(np.isfinite(reduced.base), reduced.base, 0.0)
        self._joint_qposadr, self._joint_dofadr = body.qposadr, body.dofadr
        self._nv, self._substep, self._nsubstep = model.nv, model.opt.timestep, body.nsubstep

    def reduce(self, qpos: Array, qvel: Array) -> tuple[Array, Array]:
        """Configuration and velocity from MuJoCo's qpos (n, nq) and qvel (n, nv); driven joints are dropped."""
        joints, joint_velocities = qpos[:, self._joint_qposadr], qvel[:, self._joint_dofadr]
        if not self.free:
            return joints, joint_velocities
        return jnp.concatenate([qpos[:, :7], joints], axis=1), jnp.concatenate([qvel[:, :6], joint_velocities], axis=1)

    def expand(self, q: Array, velocity: Array) -> tuple[Array, Array]:
        """MuJoCo's qpos (n, nq) and qvel (n, nv); driven joints follow their drivers."""
        value, slope = self.reduced.moved_joints(self.joints(q))
        rate = self.joint_velocities(velocity)[:, self.reduced.moved_driver]
        n = len(q)
        qpos = jnp.broadcast_to(jnp.asarray(self._base, q.dtype), (n, len(self._base)))
        qpos = qpos.at[:, self.reduced.moved_qposadr].set(value)
        qvel = jnp.zeros((n, self._nv), velocity.dtype).at[:, self.reduced.moved_dof].set(slope * rate)
        if self.free:
            qpos, qvel = qpos.at[:, :7].set(q[:, :7]), qvel.at[:, :6].set(velocity[:, :6])
        return qpos, qvel

    def joints(self, q: Array) -> Array:
        """Joint values, shape (n, njoint)."""
        return q[:, self.nconfiguration - self.njoint :]

    def joint_velocities(self, velocity: Array) -> Array:
        """Joint velocities, shape (n, njoint)."""
        return velocity[:, self.nvelocity - self.njoint :]

    def dynamics_features(self, q: Array, velocity: Array) -> Array:
        """Quantities that determine the dynamics, in the heading frame of the root, shape (n, nfeature).

        For a free root: its height, the world's vertical, and its velocities in its own frames. Then joints and their
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
    def nfeature(self) -> int:
        """Width of `dynamics_features`."""
        return 2 * self.njoint + (10 if self.free else 0)

    def velocity_change(self, q: Array, before: Array, after: Array) -> Array:
        """Difference of two velocities, shape (n, nvelocity); the root's is in the initial heading frame."""
        change = after - before
        if not self.free:
            return change
        return jnp.concatenate([rotate(conjugate(heading(q[:, 3:7])), change[:, :3]), change[:, 3:]], axis=1)

    def apply_velocity_change(self, q: Array, velocity: Array, velocity_change: Array) -> Array:
        """Velocity after a `velocity_change`."""
        if not self.free:
            return velocity + velocity_change
        world_change = rotate(heading(q[:, 3:7]), velocity_change[:, :3])
        return velocity + jnp.concatenate([world_change, velocity_change[:, 3:]], axis=1)

    def integrate(self, q: Array, before: Array, after: Array) -> Array:
        """Configuration after a control step in which the velocity changes linearly.

        Each physics step moves by its final velocity, as MuJoCo's semi-implicit Euler integrator does.
        """
        n = self._nsubstep
        mean = before + (after - before) * ((n + 1) / (2 * n))
        joints = self.joints(q) + self.joint_velocities(mean) * (n * self._substep)
        if not self.free:
            return joints
        quat = q[:, 3:7]
        for k in range(1, n + 1):
            rate = before[:, 3:6] + (after[:, 3:6] - before[:, 3:6]) * (k / n)
            quat = multiply(quat, rotvec_to_quat(rate * self._substep))
        quat = quat / jnp.linalg.norm(quat, axis=1, keepdims=True)
        root_pos = q[:, :3] + mean[:, :3] * (n * self._substep)
        return jnp.concatenate([root_pos, quat, joints], axis=1)

    def landmarks(self, q: Array, velocity: Array) -> LandmarkMotion:
        """Positions and velocities of the landmarks."""
        n, dtype = len(q), q.dtype
        if self.free:
            angular = rotate(q[:, 3:7], velocity[:, 3:6])
            rates = jnp.concatenate([velocity[:, :3], angular, velocity[:, 6:]], axis=1).T
            q_full = q.T
        else:
            world = jnp.zeros((NROOT, n), dtype).at[3].set(1.0)
            q_full = jnp.concatenate([world, q.T])
            rates = jnp.concatenate([jnp.zeros((6, n), dtype), velocity.T])
        kinematics = forward(self._tree, q_full)
        mask = jnp.asarray(self._tree.point_mask, dtype)
        # Large terms cancel, so full precision is needed.
        twist = jnp.einsum("cdn,pd->cpn", kinematics.screw * rates, mask, precision="highest")
        xpos = jnp.moveaxis(kinematics.point_pos, 1, 0)  # (3, npoint, n)
        linvel = cross(twist[:3], xpos) + twist[3:]
        return LandmarkMotion(jnp.moveaxis(xpos, (0, 1, 2), (2, 1, 0)), jnp.moveaxis(linvel, (0, 1, 2), (2, 1, 0)))

    def difference(self, q: Array, target: Array) -> Array:
        """Difference `target - q`, with the root's rotation as a rotation vector, shape (n, nvelocity)."""
        if not self.free:
            return target - q
        relative = multiply(conjugate(q[:, 3:7]), target[:, 3:7])
        relative = jnp.where(relative[:, :1] < 0, -relative, relative)
        return jnp.concatenate([target[:, :3] - q[:, :3], 2.0 * relative[:, 1:], target[:, 7:] - q[:, 7:]], axis=1)


class Mirror:
    """Index and sign of each mirrored quantity: `mirrored = quantity[:, twin] * sign`.

    The median plane is that of the root, perpendicular to its x axis. A body without a free root has none; its twins
    are the quantities themselves.

    Args:
        reduced: The body's independent coordinates.

    Attributes:
        symmetric: Whether the body has a median plane.
        velocity_twin: Of reduced velocities, shape (nvelocity,).
        velocity_sign: Shape (nvelocity,).
        feature_twin: Of `WorldModelCoordinates.dynamics_features` and then torques, shape (nfeature + njoint,).
        feature_sign: Shape (nfeature + njoint,).
    """

    def __init__(self, reduced: ReducedCoordinates) -> None:
        model, njoint = reduced.model, reduced.njoint
        self.symmetric = reduced.free
        joint_twin, joint_sign = np.arange(njoint), np.ones(njoint)
        root_sign, pose_sign = np.zeros(0), np.zeros(0)
        if self.symmetric:
            joint_twin = twins(list(reduced.joint_names))
            data = mujoco.MjData(model)
            mujoco.mj_kinematics(model, data)
            axis = data.xaxis[reduced.joint_ids]
            slides = model.jnt_type[reduced.joint_ids] == mujoco.mjtJoint.mjJNT_SLIDE
            mirrored = axis[joint_twin] * np.where(slides[:, None], _POLAR, _AXIAL)
            joint_sign = np.sign(np.sum(mirrored * axis, axis=1))
            root_sign = np.concatenate([_POLAR, _AXIAL])
            pose_sign = np.concatenate([[1.0], _POLAR])  # height, and the world's vertical
        nroot, npose = len(root_sign), len(pose_sign)
        place = lambda start: start + joint_twin  # noqa: E731
        self.velocity_twin = np.concatenate([np.arange(nroot), place(nroot)])
        self.velocity_sign = np.concatenate([root_sign, joint_sign])
        nstate = npose + nroot
        self.feature_twin = np.concatenate(
            [np.arange(nstate), place(nstate), place(nstate + njoint), place(nstate + 2 * njoint)]
        )
        self.feature_sign = np.concatenate([pose_sign, root_sign, joint_sign, joint_sign, joint_sign])


def rotvec_to_quat(vector: Array) -> Array:
    """Quaternions of rotation vectors, shape (n, 3) -> (n, 4)."""
    angle = jnp.sqrt(jnp.sum(vector**2, axis=1, keepdims=True) + TINY)
    return jnp.concatenate([jnp.cos(0.5 * angle), vector * (jnp.sin(0.5 * angle) / angle)], axis=1)
