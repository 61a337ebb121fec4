"""Buffer sizes for contacts and constraints, estimated from configurations in MuJoCo C.

MuJoCo Warp uses buffers of fixed size: all worlds share the contact buffer, and each world has its own constraint rows.
Buffers that are too large cost memory and time; buffers that are too small drop contacts, which `SensorData.overflow`
reports.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np

from .bodies import SimulationBody

MARGIN = 1.25
"""Factor on the largest number observed."""

ROUND_TO = 8
"""Smallest buffer size, and the multiple to which sizes are rounded up."""

MAX_FRAMES = 64
"""Largest number of frames to examine, evenly spread."""

SPREAD = 0.3
"""Standard deviation of the joint perturbations: hinges [rad]; slides get a tenth of it [m]."""

PENETRATIONS = (0.0, 0.02, 0.2)
"""Depths to which a body is pushed into the ground [m]: none, a hard landing, and far more than contacts allow."""


@dataclass(frozen=True, kw_only=True)
class Buffers:
    """Buffer sizes for contacts and constraints.

    Attributes:
        nconmax: Contacts per world, averaged over the worlds; also geom pairs whose bounding boxes overlap.
        njmax: Constraint rows per world.
    """

    nconmax: int
    njmax: int


def buffers_for(body: SimulationBody, qpos: np.ndarray, qvel: np.ndarray, *, seed: int = 0) -> Buffers:
    """Size the buffers for motion like that of reference frames, including failed tracking.

    Examined are the frames themselves and perturbed copies, each at all `PENETRATIONS`, and fallen bodies: randomly
    oriented, with the centre of the lowest geom at floor height.

    Args:
        body: The body.
        qpos: Frames, shape (nframe, nq), in the model's own columns.
        qvel: Their velocities, shape (nframe, nv).
        seed: Seed of the perturbations.

    Returns:
        The largest numbers observed, times `MARGIN`.
    """
    model, data = body.model, mujoco.MjData(body.model)
    pairs = CandidatePairs(model)
    largest = Buffers(nconmax=0, njmax=0)
    rng = np.random.default_rng(seed)
    for q, velocity in _configurations(body, np.asarray(qpos, float), np.asarray(qvel, float), data, rng):
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:] = q, velocity
        mujoco.mj_fwdPosition(model, data)
        npair = max(pairs.count(data), data.ncon)
        largest = Buffers(nconmax=max(largest.nconmax, npair), njmax=max(largest.njmax, data.nefc))
    return Buffers(nconmax=_buffer_size(largest.nconmax), njmax=_buffer_size(largest.njmax))


class CandidatePairs:
    """Geom pairs that pass MuJoCo Warp's broad phase and therefore occupy its buffers.

    The filters are those of Warp's `collision_driver`: height above a plane, bounding spheres, oriented bounding boxes.

    Attributes:
        geoms: Pairs that may collide, smaller id first, shape (npair, 2).
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        first, second = np.triu_indices(model.ngeom, k=1)
        weld = model.body_weldid[model.geom_bodyid]
        parent = model.body_weldid[model.body_parentid[weld]]
        a, b = weld[first], weld[second]
        collide = (model.geom_contype[first] & model.geom_conaffinity[second]) | (
            model.geom_contype[second] & model.geom_conaffinity[first]
        )
        related = (a != 0) & (b != 0) & ((a == parent[second]) | (b == parent[first]))
        still = (model.body_dofnum[a] == 0) & (model.body_dofnum[b] == 0)
        signature = (model.geom_bodyid[first] << 16) + model.geom_bodyid[second]
        candidates = (collide != 0) & (a != b) & ~still & ~related & ~np.isin(signature, model.exclude_signature)
        explicit = {
            (int(min(p)), int(max(p))): i for i, p in enumerate(zip(model.pair_geom1, model.pair_geom2, strict=True))
        }
        candidates |= np.array([(int(i), int(j)) in explicit for i, j in zip(first, second, strict=True)], bool)
        self._model = model
        self.geoms = np.stack([first[candidates], second[candidates]], axis=1)
        reach = model.geom_margin + model.geom_gap
        self._reach = reach[self.geoms].sum(axis=1)
        for i, pair in enumerate(self.geoms.tolist()):
            if (k := explicit.get((pair[0], pair[1]))) is not None:  # listed pairs have margins of their own
                self._reach[i] = 2 * (model.pair_margin[k] + model.pair_gap[k])

    def count(self, data: mujoco.MjData, *, margin: float = 0.0) -> int:
        """Count the pairs close to each other.

        Args:
            data: Data whose kinematics are computed.
            margin: Distance added to the limit of every test [m].
        """
        model, (a, b) = self._model, self.geoms.T
        xpos, xmat, radius = data.geom_xpos, data.geom_xmat.reshape(-1, 3, 3), model.geom_rbound
        offset = xpos[b] - xpos[a]
        reach = self._reach + margin
        bound = radius[a] + radius[b] + reach
        close = (offset**2).sum(axis=1) <= bound**2
        for plane, other, outward in ((a, b, offset), (b, a, -offset)):
            height = (outward * xmat[plane, :, 2]).sum(axis=1)
            close = np.where(radius[plane] == 0, height <= radius[other] + reach, close)
        boxes = np.flatnonzero(close & (radius[a] > 0) & (radius[b] > 0))
        close[boxes] = self._boxes_meet(xpos, xmat, a[boxes], b[boxes], reach[boxes])
        return int(close.sum())

    def _boxes_meet(
        self, xpos: np.ndarray, xmat: np.ndarray, a: np.ndarray, b: np.ndarray, reach: np.ndarray
    ) -> np.ndarray:
        """Whether no face normal of either box separates the two, shape (npair,)."""
        centre = np.einsum("gij,gj->gi", xmat, self._model.geom_aabb[:, :3]) + xpos
        size = self._model.geom_aabb[:, 3:]
        meet = np.ones(len(a), bool)
        for faces in (a, b):
            normal = xmat[faces]  # columns
            distance = np.abs(np.einsum("pi,pik->pk", centre[b] - centre[a], normal))
            extent = sum(np.einsum("pj,pjk->pk", size[g], np.abs(np.swapaxes(xmat[g], 1, 2) @ normal)) for g in (a, b))
            meet &= (distance <= extent + reach[:, None]).all(axis=1)
        return meet


def _configurations(
    body: SimulationBody, qpos: np.ndarray, qvel: np.ndarray, data: mujoco.MjData, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    joint_type = body.model.jnt_type[body.joint_ids]
    spread = np.where(joint_type == mujoco.mjtJoint.mjJNT_HINGE, SPREAD, SPREAD / 10)
    for t in np.unique(np.linspace(0, len(qpos) - 1, min(MAX_FRAMES, len(qpos))).astype(int)):
        perturbed = qpos[t].copy()
        perturbed[body.qposadr] += spread * rng.standard_normal(len(spread))
        if not body.free:
            yield from ((qpos[t], qvel[t]), (perturbed, qvel[t]))
            continue
        for q in (qpos[t], perturbed):
            for depth in PENETRATIONS:
                lowered = q.copy()
                lowered[2] -= depth
                yield lowered, qvel[t]
        yield _fallen(body, perturbed, data, rng), qvel[t]


def _fallen(body: SimulationBody, q: np.ndarray, data: mujoco.MjData, rng: np.random.Generator) -> np.ndarray:
    model = body.model
    fallen = q.copy()
    fallen[3:7] = rng.standard_normal(4)
    fallen[3:7] /= np.linalg.norm(fallen[3:7])
    data.qpos[:] = fallen
    mujoco.mj_kinematics(model, data)
    solid = ((model.geom_contype != 0) | (model.geom_conaffinity != 0)) & (model.geom_bodyid > 0)
    fallen[2] -= data.geom_xpos[solid, 2].min()
    return fallen


def _buffer_size(largest: int) -> int:
    return max(ROUND_TO, int(np.ceil(MARGIN * largest / ROUND_TO)) * ROUND_TO)
