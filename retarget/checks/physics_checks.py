"""What a configuration means on the real body: what touches, how long every muscle is, and what force the motion takes.

One evaluation covers many frames, each by itself: a world a frame. `CPhysics` runs MuJoCo C on a thread a core, which
on a CPU is several times quicker than MuJoCo Warp there; `warp_physics.WarpPhysics` runs the same on a GPU. Both reduce
full-model quantities by `ReducedCoordinates`, so that what is made of them is the same.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import mujoco
import numpy as np

from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.soles import reach_below

CHUNK = 256
"""Frames that one thread, or one batch of worlds, works on at a time."""


@dataclass(frozen=True, kw_only=True)
class Muscles:
    """What the muscles could do in each frame.

    Attributes:
        passive: Force of each muscle without activation, shape (nframe, nu) [N]; below 0 where it pulls.
        active: Force that full activation adds, shape (nframe, nu) [N].
        moment: Moment arms about the independent joints, shape (nframe, nu, njoint) [m].
    """

    passive: np.ndarray
    active: np.ndarray
    moment: np.ndarray


@dataclass(frozen=True, kw_only=True)
class FramePhysics:
    """What MuJoCo finds in each frame.

    Attributes:
        lowest: Height of the lowest point of any colliding geom over z = 0, shape (nframe,) [m].
        lowest_geom: Which geom it is, shape (nframe,).
        touch_frame: Frame of each contact between two parts of the body, shape (ncontact,).
        touch_pair: Geoms of each, smaller number first, shape (ncontact, 2).
        touch_dist: Distance of each, below 0 where they overlap, shape (ncontact,) [m].
        muscle_length: Shape (nframe, nu) [m].
        wrench: Force and torque about the root's origin that the motion takes at the root, world frame, shape
            (nframe, 6) [N, Nm].
        torque: Generalised force of each independent joint, without contacts and muscles, shape (nframe, njoint) [Nm].
        muscles: Where asked for.
        overflow: Frames whose contacts did not all fit, shape (nframe,) bool.
    """

    lowest: np.ndarray
    lowest_geom: np.ndarray
    touch_frame: np.ndarray
    touch_pair: np.ndarray
    touch_dist: np.ndarray
    muscle_length: np.ndarray
    wrench: np.ndarray
    torque: np.ndarray
    muscles: Muscles | None
    overflow: np.ndarray


class Physics(Protocol):
    """An engine."""

    def evaluate(self, qpos: np.ndarray, qvel: np.ndarray, qacc: np.ndarray, *, muscles: bool = False) -> FramePhysics:
        """Evaluate frames.

        Args:
            qpos: Full configurations, shape (nframe, nq).
            qvel: Shape (nframe, nv).
            qacc: Shape (nframe, nv).
            muscles: Whether to fill `FramePhysics.muscles`, 61 kB a frame.
        """
        ...


def root_wrench(force: np.ndarray, qpos: np.ndarray) -> np.ndarray:
    """World-frame force and torque of the free joint, shape (nframe, 6).

    MuJoCo's free joint takes its force in the world's axes and its torque in the body's.
    """
    from scipy.spatial.transform import Rotation

    turned = Rotation.from_quat(qpos[:, 3:7], scalar_first=True).apply(force[:, 3:6])
    return np.concatenate([force[:, :3], turned], axis=1)


def neutral_pairs(model: mujoco.MjModel, qpos: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of geoms, smaller first, that overlap in a neutral configuration (nq,): no clip is to blame for them."""
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    if model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE:
        data.qpos[2] += 10.0  # off the ground
    mujoco.mj_fwdPosition(model, data)
    return {(int(min(pair)), int(max(pair))) for pair in data.contact.geom[data.contact.dist < 0]}


class SolidGeoms:
    """Colliding capsules, spheres and ellipsoids of a body, and how low each reaches."""

    def __init__(self, model: mujoco.MjModel) -> None:
        solid = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
        pairs = np.unique(np.concatenate([model.pair_geom1, model.pair_geom2])) if model.npair else np.array([], int)
        solid[pairs] = True
        self.floor = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE)
        known = np.isin(
            model.geom_type,
            [int(getattr(mujoco.mjtGeom, f"mjGEOM_{name}")) for name in ("CAPSULE", "ELLIPSOID", "SPHERE")],
        )
        self.ids = np.flatnonzero(solid & known & (model.geom_bodyid > 0))
        self.size = model.geom_size[self.ids]
        self.capsule = model.geom_type[self.ids] != mujoco.mjtGeom.mjGEOM_ELLIPSOID

    def bottoms(self, xpos: np.ndarray, xmat: np.ndarray) -> np.ndarray:
        """Height of each geom's lowest point, shape (..., ngeom); xpos (..., ngeom, 3), xmat (..., ngeom, 3, 3)."""
        return xpos[..., 2] - reach_below(self.size, self.capsule, xmat[..., 2, :])


class CPhysics:
    """MuJoCo C, a thread a core.

    Args:
        body: The body with its geoms, tendons and muscles.
        threads: Number of threads; one for each core this process may use if None.
    """

    def __init__(self, body: TargetBody, *, threads: int | None = None) -> None:
        self.body = body
        self._solid = SolidGeoms(body.model)
        self._threads = threads or len(os.sched_getaffinity(0))

    def evaluate(self, qpos: np.ndarray, qvel: np.ndarray, qacc: np.ndarray, *, muscles: bool = False) -> FramePhysics:
        """See `Physics`."""
        qpos, qvel, qacc = (np.asarray(a, np.float64) for a in (qpos, qvel, qacc))
        slope = self.body.reduced.slope(qpos)

        def some(low: int) -> FramePhysics:
            part = slice(low, low + CHUNK)
            return self._some(low, qpos[part], qvel[part], qacc[part], slope[part], muscles=muscles)

        with ThreadPoolExecutor(self._threads) as pool:
            parts = list(pool.map(some, range(0, len(qpos), CHUNK)))
        return join(parts)

    def _some(
        self, low: int, qpos: np.ndarray, qvel: np.ndarray, qacc: np.ndarray, slope: np.ndarray, *, muscles: bool
    ) -> FramePhysics:
        model, n, solid = self.body.model, len(qpos), self._solid
        data = mujoco.MjData(model)
        force, taken = np.empty((n, model.nv)), np.empty(model.nv)
        lowest, lowest_geom = np.empty(n), np.empty(n, int)
        length = np.empty((n, model.nu), np.float32)
        passive, full = np.empty((2, n, model.nu), np.float32)
        moment = np.empty((n if muscles else 0, model.nu, self.body.reduced.njoint), np.float32)
        touches: list[tuple[int, int, int, float]] = []
        for t in range(n):
            data.qpos[:], data.qvel[:] = qpos[t], qvel[t]
            mujoco.mj_fwdPosition(model, data)
            mujoco.mj_fwdVelocity(model, data)
            mujoco.mj_mulM(model, data, taken, qacc[t])
            force[t] = taken + data.qfrc_bias - data.qfrc_passive
            bottoms = solid.bottoms(data.geom_xpos[solid.ids], data.geom_xmat[solid.ids].reshape(-1, 3, 3))
            lowest_geom[t] = solid.ids[bottoms.argmin()]
            lowest[t] = bottoms.min()
            touches += [(low + t, *pair, dist) for pair, dist in _body_contacts(data, solid.floor)]
            length[t] = data.actuator_length
            if muscles:
                data.act[:] = 0.0
                mujoco.mj_fwdActuation(model, data)
                passive[t] = data.actuator_force
                data.act[:] = 1.0
                mujoco.mj_fwdActuation(model, data)
                full[t] = data.actuator_force
                moment[t] = self._moment(data, slope[t])
        result = np.array(touches, float).reshape(-1, 4)
        return FramePhysics(
            lowest=lowest,
            lowest_geom=lowest_geom,
            touch_frame=result[:, 0].astype(int),
            touch_pair=result[:, 1:3].astype(int),
            touch_dist=result[:, 3],
            muscle_length=length,
            wrench=root_wrench(force, qpos),
            torque=self.body.reduced.to_independent(force, slope),
            muscles=Muscles(passive=passive, active=full - passive, moment=moment) if muscles else None,
            overflow=np.zeros(n, bool),
        )

    def _moment(self, data: mujoco.MjData, slope: np.ndarray) -> np.ndarray:
        """Moment arms about the independent joints, shape (nu, njoint), from MuJoCo's sparse ones."""
        model, njoint = self.body.model, self.body.reduced.njoint
        scale, column = np.zeros(model.nv), np.zeros(model.nv, int)
        reduced = self.body.reduced
        scale[reduced.moved_dof], column[reduced.moved_dof] = slope, reduced.moved_driver
        row = np.repeat(np.arange(model.nu), data.moment_rownnz)
        at = np.repeat(data.moment_rowadr - np.cumsum(data.moment_rownnz) + data.moment_rownnz, data.moment_rownnz)
        at = at + np.arange(len(row))
        dof = data.moment_colind[at]
        value = data.actuator_moment.ravel()[at] * scale[dof]
        return np.bincount(row * njoint + column[dof], weights=value, minlength=model.nu * njoint).reshape(-1, njoint)


def _body_contacts(data: mujoco.MjData, floor: np.ndarray) -> list[tuple[tuple[int, int], float]]:
    pairs = np.sort(data.contact.geom, axis=1)
    own = ~np.isin(pairs, floor).any(axis=1)
    return [((int(a), int(b)), float(d)) for (a, b), d in zip(pairs[own], data.contact.dist[own], strict=True)]


def join(parts: Sequence[FramePhysics]) -> FramePhysics:
    """Put stretches of frames one behind the other; frames of contacts are counted through already."""
    names = [name for name in FramePhysics.__dataclass_fields__ if name != "muscles"]
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    muscles = [part.muscles for part in parts if part.muscles is not None]
    together = None
    if muscles:
        together = Muscles(
            **{name: np.concatenate([getattr(m, name) for m in muscles]) for name in Muscles.__dataclass_fields__}
        )
    return FramePhysics(**arrays, muscles=together)
