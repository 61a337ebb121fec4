"""Inverse dynamics of a motion: what the ground supplies, and what remains for the muscles.

The root is unactuated, so the ground has to supply its wrench, with forces within friction cones at the parts that bear
(see `musclemap.retarget.forces`). The muscles have to supply the torque that remains at each joint (see
`muscle_optimisation`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import mujoco
import numpy as np
from scipy.signal import butter, sosfiltfilt

from musclemap.retarget.forces.contact_forces import BATCH_SIZE, GRAVITY, ContactForces, ContactForceSolver
from musclemap.retarget.forces.measured import KnownForces
from musclemap.retarget.forces.required_forces import accelerations
from musclemap.retarget.forces.roll_over import RollOver
from musclemap.retarget.velocities import velocities
from musclemap.skeletons.body import TargetBody

from .physics_checks import FramePhysics

__all__ = [
    "BATCH_SIZE", "GRAVITY", "GroundReaction", "GroundReactionSolver", "Reaction", "batch_size", "filtered_motion",
    "low_passed", "without_ground",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class GroundReaction:
    """Ground reaction forces, and the forces and torques that they do not supply.

    Attributes:
        force: Force on each part that can bear, in the order of the body's support parts, world frame, shape (nframe,
            npart, 3) [N].
        centre: Centre of pressure of each part, world frame, shape (nframe, npart, 3) [m]; the lowest point of a part
            without force.
        required_force: Force that the motion requires of the ground, world frame, shape (nframe, 3) [N].
        residual_force: Residual force at the root, world frame, shape (nframe, 3) [N].
        residual_torque: Residual torque about the root's origin, world frame, shape (nframe, 3) [Nm].
        torque: Torque that remains for the muscles at each independent joint, shape (nframe, njoint) [Nm].
    """

    force: np.ndarray
    centre: np.ndarray
    required_force: np.ndarray
    residual_force: np.ndarray
    residual_torque: np.ndarray
    torque: np.ndarray


class Reaction(NamedTuple):
    """How the ground supports a body.

    Attributes:
        bearing: Whether each part bears, shape (nframe, npart).
        alone: The same by the motion alone, without force plates.
        solve: Ground reaction of the frames of a slice, from their physics.
        estimate: Forces (n, npart, 3) of the frames without force plates [N]; None if there are no plates.
        known: Forces of plates, or None.
        used: Whether they replace the estimate.
    """

    bearing: np.ndarray
    alone: np.ndarray
    solve: Callable[[FramePhysics, slice], GroundReaction]
    estimate: Callable[[FramePhysics, slice], np.ndarray] | None = None
    known: KnownForces | None = None
    used: bool = False


def filtered_motion(
    qpos: np.ndarray, fps: float, cutoff: float, *, free: bool = True
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Velocities and accelerations of a motion, low-pass filtered on request.

    Args:
        qpos: Configurations, shape (nframe, nq).
        fps: Frame rate [Hz].
        cutoff: Cutoff frequency of a fourth-order zero-phase Butterworth filter (Winter 2009, chapter 2) [Hz]; at or
            above half the frame rate nothing is filtered.
        free: Whether the first joint is a free root.

    Returns:
        Velocities and accelerations, shapes (nframe, nv).
    """
    qpos = np.asarray(qpos, np.float64)
    qvel = velocities(qpos, fps, free=free)
    if cutoff >= fps / 2:
        return qvel, accelerations(qpos, fps, free=free)
    qvel = low_passed(qvel, fps, cutoff)
    return qvel, np.gradient(qvel, 1.0 / fps, axis=0)


def low_passed(values: np.ndarray, fps: float, cutoff: float) -> np.ndarray:
    """Values by frame through the filter of `filtered_motion`, shape (nframe, ...)."""
    if cutoff >= fps / 2:
        return values
    sections = butter(2, cutoff, fs=fps, output="sos")
    # Each end is padded by an odd extension that is long enough for the filter's transient to decay.
    padding = min(len(values) - 1, round(2.0 * fps / cutoff))
    return sosfiltfilt(sections, values, axis=0, padlen=padding)


def without_ground(physics: FramePhysics) -> GroundReaction:
    """Result for a body that no ground supports: it has no residuals, and muscles have to supply every torque."""
    n = len(physics.torque)
    parts, none = np.zeros((n, 0, 3)), np.zeros((n, 3))
    return GroundReaction(
        force=parts, centre=parts, required_force=none, residual_force=none, residual_torque=none,
        torque=physics.torque,
    )  # fmt: skip


def batch_size() -> int:
    """Frames solved together on the default device."""
    (device,) = jnp.zeros(()).devices()
    return BATCH_SIZE["cpu" if device.platform == "cpu" else "gpu"]


class GroundReactionSolver:
    """Solver for the contact forces that leave the smallest residual at the root.

    Args:
        body: Target body with a free root.
        friction: Coefficient of friction.
        force_weight: Weight of the squared residual against the squared contact forces, both in body weights.
    """

    def __init__(self, body: TargetBody, *, friction: float, force_weight: float) -> None:
        self.body = body
        self._solver = ContactForceSolver(body, friction=friction, residual_weight=force_weight)

    def __call__(
        self, physics: FramePhysics, qpos: np.ndarray, points: np.ndarray, load: np.ndarray, rolling: RollOver,
        *, known: KnownForces | None = None,
    ) -> GroundReaction:  # fmt: skip
        """Distribute the wrench of each frame over the parts that bear.

        Measured forces on feet act as they are, whatever the residual; the other parts that bear supply the rest.

        Args:
            physics: Physics of the frames.
            qpos: Full configurations, shape (nframe, nq).
            points: Lowest point of each of the body's support points, shape (nframe, npoint, 3) [m].
            load: From `load_sharing`, shape (nframe, npart).
            rolling: From `roll_over`.
            known: Measured forces on feet, or None.
        """
        qpos = np.asarray(qpos, np.float64)
        root = qpos[:, :3]
        if known is None:
            forces = self._solver(physics.wrench, points, root, load, rolling)
        else:
            supplied, load = known.wrench(root), load.copy()
            load[:, :2] *= ~known.known
            forces = self._solver(physics.wrench - supplied.sum(axis=1), points, root, load, rolling)
            for foot in range(2):
                forces = self._with_foot(forces, known, foot, supplied[:, foot], points, root)
        return GroundReaction(
            force=forces.force,
            centre=forces.centre,
            required_force=physics.wrench[:, :3],
            residual_force=physics.wrench[:, :3] - forces.wrench[:, :3],
            residual_torque=physics.wrench[:, 3:] - forces.wrench[:, 3:],
            torque=physics.torque - contact_torques(self.body, qpos, forces, self._solver.bodies),
        )

    def _with_foot(
        self, forces: ContactForces, known: KnownForces, foot: int, wrench: np.ndarray, points: np.ndarray,
        root: np.ndarray,
    ) -> ContactForces:  # fmt: skip
        """Add the measured force on a foot.

        Its bodies, hindfoot and toes, share it as pressure on the points of the sole that are down does. What such
        pressure cannot supply, as the foot of the body is not the subject's, acts on the hindfoot.
        """
        acts = np.flatnonzero(known.force[:, foot].any(axis=1))
        if not acts.size:
            return forces
        load = np.zeros((len(acts), len(self.body.support.names)))
        load[:, foot] = 1.0
        free = RollOver(centre=np.zeros((len(acts), 2, 2)), weight=np.zeros((len(acts), 2)))
        pressed = self._solver(wrench[acts], points[acts], root[acts], load, free)
        own = pressed.body_force, pressed.body_torque
        total = known[acts].wrench(np.zeros_like(root[acts]))[:, foot]
        hindfoot = int(np.searchsorted(self._solver.bodies, self.body.support.body[self.body.support.part == foot][0]))
        for array, whole in zip(own, (total[:, :3], total[:, 3:]), strict=True):
            array[:, hindfoot] += whole - array.sum(axis=1)
        result = {name: getattr(forces, name).copy() for name in ContactForces.__dataclass_fields__}
        result["force"][:, foot] += known.force[:, foot]
        result["centre"][acts, foot] = known.centre[acts, foot]
        result["wrench"] += wrench
        result["body_force"][acts] += own[0]
        result["body_torque"][acts] += own[1]
        return ContactForces(**result)


def contact_torques(body: TargetBody, qpos: np.ndarray, forces: ContactForces, bodies: np.ndarray) -> np.ndarray:
    """Torque of contact forces at each independent joint, shape (nframe, njoint) [Nm].

    Args:
        body: Target body.
        qpos: Full configurations, shape (nframe, nq).
        forces: Contact forces.
        bodies: Body of each column of `ContactForces.body_force`.
    """
    model = body.kinematic_model
    data, origin = mujoco.MjData(model), np.zeros(3)
    total = np.zeros((len(qpos), model.nv))
    pressed = np.abs(forces.body_force).max(axis=2) > 0
    for t in np.flatnonzero(pressed.any(axis=1)):
        data.qpos[:] = qpos[t]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        for k in np.flatnonzero(pressed[t]):
            force, torque = forces.body_force[t, k], forces.body_torque[t, k]
            mujoco.mj_applyFT(model, data, force, torque, origin, int(bodies[k]), total[t])
    return body.actuated.to_independent(total, body.actuated.slope(qpos))
