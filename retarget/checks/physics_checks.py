"""Physics of every frame on the full body: contacts, muscle lengths, and the generalised forces of the motion.

Frames are independent: each is one MuJoCo world. `MujocoPhysics` runs MuJoCo C on one thread per core, which on a CPU
is several times faster than MuJoCo Warp; `warp_physics.WarpPhysics` runs the same stages on a GPU. Both map full-model
quantities to independent joints with `ReducedCoordinates`, so that later checks are the same for both engines.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import mujoco
import numpy as np

from musclemap.cores import available_cores
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.soles import reach_below

FRAMES_PER_THREAD = 256
"""Frames that one thread evaluates at a time."""


@dataclass(frozen=True, kw_only=True)
class MuscleForces:
    """Forces that the muscles can produce in each frame.

    Attributes:
        passive: Force of each muscle without activation, shape (nframe, nu) [N]; negative if it pulls.
        active: Additional force at full activation, shape (nframe, nu) [N].
        moment: Moment arms about the independent joints, shape (nframe, nu, njoint) [m].
    """

    passive: np.ndarray
    active: np.ndarray
    moment: np.ndarray


@dataclass(frozen=True, kw_only=True)
class FramePhysics:
    """Physics of each frame, computed by MuJoCo.

    Attributes:
        lowest: Height above z = 0 of the lowest point of any collision geom, shape (nframe,) [m].
        lowest_geom: The geom with that point, shape (nframe,).
        contact_frame: Frame of each contact between two parts of the body, shape (ncontact,).
        contact_geoms: Geoms of each contact, smaller id first, shape (ncontact, 2).
        contact_dist: Signed distance of each contact, negative if the geoms overlap, shape (ncontact,) [m].
        muscle_length: Shape (nframe, nu) [m].
        wrench: Force, and torque about the root's origin, that the motion requires at a free root; world frame, shape
            (nframe, 6) [N, Nm]; zeros for a fixed body.
        torque: Generalised force that the motion requires at each independent joint, without contacts and muscles,
            shape (nframe, njoint) [Nm].
        muscles: Forces of the muscles, or None if they were not requested.
        overflow: Frames with more contacts than the buffers hold, shape (nframe,) bool.
    """

    lowest: np.ndarray
    lowest_geom: np.ndarray
    contact_frame: np.ndarray
    contact_geoms: np.ndarray
    contact_dist: np.ndarray
    muscle_length: np.ndarray
    wrench: np.ndarray
    torque: np.ndarray
    muscles: MuscleForces | None
    overflow: np.ndarray


class PhysicsEngine(Protocol):
    """Engine that evaluates the physics of independent frames."""

    def evaluate(self, qpos: np.ndarray, qvel: np.ndarray, qacc: np.ndarray, *, muscles: bool = False) -> FramePhysics:
        """Evaluate frames.

        Args:
            qpos: Full configurations, shape (nframe, nq).
            qvel: Shape (nframe, nv).
            qacc: Shape (nframe, nv).
            muscles: Whether to fill `FramePhysics.muscles`, 61 kB per frame.
        """
        ...


def root_wrench(force: np.ndarray, qpos: np.ndarray) -> np.ndarray:
    """Force and torque of the free joint in the world frame, shape (nframe, 6).

    MuJoCo expresses a free joint's force in the world frame and its torque in the body frame.

    Args:
        force: Generalised forces, shape (nframe, nv).
        qpos: Full configurations, shape (nframe, nq).
    """
    from scipy.spatial.transform import Rotation

    torque_w = Rotation.from_quat(qpos[:, 3:7], scalar_first=True).apply(force[:, 3:6])
    return np.concatenate([force[:, :3], torque_w], axis=1)


def neutral_pairs(model: mujoco.MjModel, qpos: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of geoms, smaller id first, that overlap in a neutral configuration (nq,) and therefore in any clip."""
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    if model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE:
        data.qpos[2] += 10.0  # above the ground, so that only the body's own contacts count
    mujoco.mj_fwdPosition(model, data)
    return {(int(min(pair)), int(max(pair))) for pair in data.contact.geom[data.contact.dist < 0]}


class CollisionGeoms:
    """Capsules, spheres and ellipsoids of a body that collide, and the height of their lowest points.

    Attributes:
        floor: Ids of the planes.
        ids: Ids of the collision geoms.
        size: Their sizes as MuJoCo defines them, shape (ngeom, 3).
        capsule: Whether each is a capsule or a sphere, shape (ngeom,) bool.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        collides = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
        pairs = np.unique(np.concatenate([model.pair_geom1, model.pair_geom2])) if model.npair else np.array([], int)
        collides[pairs] = True
        self.floor = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE)
        supported = np.isin(
            model.geom_type,
            [int(getattr(mujoco.mjtGeom, f"mjGEOM_{name}")) for name in ("CAPSULE", "ELLIPSOID", "SPHERE")],
        )
        self.ids = np.flatnonzero(collides & supported & (model.geom_bodyid > 0))
        self.size = model.geom_size[self.ids]
        self.capsule = model.geom_type[self.ids] != mujoco.mjtGeom.mjGEOM_ELLIPSOID

    def lowest_heights(self, xpos: np.ndarray, xmat: np.ndarray) -> np.ndarray:
        """Height of each geom's lowest point, shape (..., ngeom); xpos (..., ngeom, 3), xmat (..., ngeom, 3, 3)."""
        return xpos[..., 2] - reach_below(self.size, self.capsule, xmat[..., 2, :])


_STAGES = (
    mujoco.mj_kinematics,
    mujoco.mj_comPos,
    mujoco.mj_tendon,
    mujoco.mj_makeM,
    mujoco.mj_collision,
    mujoco.mj_transmission,
    mujoco.mj_fwdVelocity,
)
"""Stages of MuJoCo that the checks need, in its order: those of its forward dynamics but constraints and solver."""


class MujocoPhysics:
    """MuJoCo C on a pool of threads.

    Args:
        body: Body with geoms, tendons and muscles.
        threads: Number of threads; if None, one for each core that this process may use.
    """

    def __init__(self, body: TargetBody, *, threads: int | None = None) -> None:
        self.body = body
        self._collision_geoms = CollisionGeoms(body.model)
        self._threads = threads or len(available_cores())

    def evaluate(self, qpos: np.ndarray, qvel: np.ndarray, qacc: np.ndarray, *, muscles: bool = False) -> FramePhysics:
        """See `PhysicsEngine`."""
        qpos, qvel, qacc = (np.asarray(a, np.float64) for a in (qpos, qvel, qacc))
        slope = self.body.actuated.slope(qpos)

        def evaluate_from(low: int) -> FramePhysics:
            part = slice(low, low + FRAMES_PER_THREAD)
            return self._evaluate_chunk(low, qpos[part], qvel[part], qacc[part], slope[part], muscles=muscles)

        with ThreadPoolExecutor(self._threads) as pool:
            parts = list(pool.map(evaluate_from, range(0, len(qpos), FRAMES_PER_THREAD)))
        return concatenate(parts)

    def _evaluate_chunk(
        self, low: int, qpos: np.ndarray, qvel: np.ndarray, qacc: np.ndarray, slope: np.ndarray, *, muscles: bool
    ) -> FramePhysics:
        model, n, geoms = self.body.model, len(qpos), self._collision_geoms
        data = mujoco.MjData(model)
        force, inertial_force = np.empty((n, model.nv)), np.empty(model.nv)
        xpos, xmat = np.empty((n, len(geoms.ids), 3)), np.empty((n, len(geoms.ids), 9))
        length = np.empty((n, model.nu), np.float32)
        passive, full = np.empty((2, n, model.nu), np.float32)
        moment = np.empty((n if muscles else 0, model.nu, self.body.actuated.njoint), np.float32)
        contacts: list[_Contacts] = []
        for t in range(n):
            data.qpos[:], data.qvel[:] = qpos[t], qvel[t]
            for stage in _STAGES:
                stage(model, data)
            mujoco.mj_mulM(model, data, inertial_force, qacc[t])
            force[t] = inertial_force + data.qfrc_bias - data.qfrc_passive
            xpos[t], xmat[t] = data.geom_xpos[geoms.ids], data.geom_xmat[geoms.ids]
            if data.ncon:
                found = data.contact
                contacts.append(_Contacts(np.full(data.ncon, low + t), found.geom.copy(), found.dist.copy()))
            length[t] = data.actuator_length
            if muscles:
                data.act[:] = 0.0
                mujoco.mj_fwdActuation(model, data)
                passive[t] = data.actuator_force
                data.act[:] = 1.0
                mujoco.mj_fwdActuation(model, data)
                full[t] = data.actuator_force
                moment[t] = self._moment(data, slope[t])
        heights = geoms.lowest_heights(xpos, xmat.reshape(n, -1, 3, 3))
        contact = _within_body(contacts, geoms.floor)
        return FramePhysics(
            lowest=heights.min(axis=1),
            lowest_geom=geoms.ids[heights.argmin(axis=1)],
            contact_frame=contact.frame,
            contact_geoms=contact.geoms,
            contact_dist=contact.dist,
            muscle_length=length,
            wrench=root_wrench(force, qpos) if self.body.free else np.zeros((n, 6)),
            torque=self.body.actuated.to_independent(force, slope),
            muscles=MuscleForces(passive=passive, active=full - passive, moment=moment) if muscles else None,
            overflow=np.zeros(n, bool),
        )

    def _moment(self, data: mujoco.MjData, slope: np.ndarray) -> np.ndarray:
        """Moment arms about the independent joints, shape (nu, njoint), from MuJoCo's sparse matrix."""
        model, njoint = self.body.model, self.body.actuated.njoint
        scale, column = np.zeros(model.nv), np.zeros(model.nv, int)
        reduced = self.body.actuated
        scale[reduced.moved_dof], column[reduced.moved_dof] = slope, reduced.moved_driver
        row = np.repeat(np.arange(model.nu), data.moment_rownnz)
        entry = np.repeat(data.moment_rowadr - np.cumsum(data.moment_rownnz) + data.moment_rownnz, data.moment_rownnz)
        entry = entry + np.arange(len(row))
        dof = data.moment_colind[entry]
        value = data.actuator_moment.ravel()[entry] * scale[dof]
        return np.bincount(row * njoint + column[dof], weights=value, minlength=model.nu * njoint).reshape(-1, njoint)


class _Contacts(NamedTuple):
    """Contacts: frame (n,), pair of geoms (n, 2), and distance (n,) [m]."""

    frame: np.ndarray
    geoms: np.ndarray
    dist: np.ndarray


def _within_body(contacts: list[_Contacts], floor: np.ndarray) -> _Contacts:
    """All contacts that do not involve the floor, each pair of geoms in ascending order."""
    if not contacts:
        return _Contacts(np.empty(0, int), np.empty((0, 2), int), np.empty(0))
    frame, geoms, dist = (np.concatenate(values) for values in zip(*contacts, strict=True))
    inner = ~np.isin(geoms, floor).any(axis=1)
    return _Contacts(frame[inner], np.sort(geoms[inner].astype(int), axis=1), dist[inner].astype(float))


def concatenate(parts: Sequence[FramePhysics]) -> FramePhysics:
    """Concatenate consecutive chunks of frames; `contact_frame` already counts from the first chunk's start."""
    names = [name for name in FramePhysics.__dataclass_fields__ if name != "muscles"]
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    muscles = [part.muscles for part in parts if part.muscles is not None]
    all_muscles = None
    if muscles:
        all_muscles = MuscleForces(
            **{name: np.concatenate([getattr(m, name) for m in muscles]) for name in MuscleForces.__dataclass_fields__}
        )
    return FramePhysics(**arrays, muscles=all_muscles)
