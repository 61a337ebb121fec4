"""How much room a world needs for contacts and constraints, found by looking at configurations in MuJoCo C.

MuJoCo Warp works in buffers of fixed size: contacts are shared by all worlds, rows of constraints are each world's own.
Too much room costs memory and time, too little loses contacts; what was lost is told by `SensorData.overflow`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np

from .bodies import SimulationBody

MARGIN = 1.25
"""Room over the most that was seen."""

LEAST = 8
"""Least room, and what it is rounded up to."""

FRAMES = 64
"""Most frames that are looked at, evenly spread."""

SPREAD = 0.3
"""Deviation of hinges from a frame [rad], and a tenth of it of slides [m], in the perturbed configurations."""

DEPTHS = (0.0, 0.02, 0.2)
"""How deep a body is pushed into the ground [m]: not at all, a hard landing, far more than contacts would let it."""


@dataclass(frozen=True, kw_only=True)
class Buffers:
    """Room for contacts and constraints.

    Attributes:
        nconmax: Pairs of geoms whose bounding boxes meet, and contacts, a world on average.
        njmax: Rows of constraints of any world.
    """

    nconmax: int
    njmax: int


def buffers_for(body: SimulationBody, qpos: np.ndarray, qvel: np.ndarray, *, seed: int = 0) -> Buffers:
    """Room for motion like that of reference frames, and for what becomes of it when it fails.

    Looked at are frames as they are and with every joint off, at each of `DEPTHS`, and bodies that fell: turned any way
    round, with the middle of their lowest geom at the height of the floor.

    Args:
        body: The body.
        qpos: Frames, shape (nframe, nq), in the model's own columns.
        qvel: Their velocities, shape (nframe, nv).
        seed: Of the perturbations.

    Returns:
        The largest that was seen, times `MARGIN`.
    """
    model, data = body.model, mujoco.MjData(body.model)
    pairs = CandidatePairs(model)
    most = Buffers(nconmax=0, njmax=0)
    rng = np.random.default_rng(seed)
    for q, velocity in _configurations(body, np.asarray(qpos, float), np.asarray(qvel, float), data, rng):
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:] = q, velocity
        mujoco.mj_fwdPosition(model, data)
        near = max(pairs.count(data), data.ncon)
        most = Buffers(nconmax=max(most.nconmax, near), njmax=max(most.njmax, data.nefc))
    return Buffers(nconmax=_room(most.nconmax), njmax=_room(most.njmax))


class CandidatePairs:
    """Pairs of geoms that MuJoCo Warp's broad phase lets through, which need a place in its buffers.

    The filters are those of its `collision_driver`: height over a plane, bounding spheres, oriented bounding boxes.

    Attributes:
        geoms: Pairs that may collide at all, smaller number first, shape (npair, 2).
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
        kept = (collide != 0) & (a != b) & ~still & ~related & ~np.isin(signature, model.exclude_signature)
        named = {(int(min(p)), int(max(p))) for p in zip(model.pair_geom1, model.pair_geom2, strict=True)}
        kept |= np.array([(int(i), int(j)) in named for i, j in zip(first, second, strict=True)], bool)
        self._model = model
        self.geoms = np.stack([first[kept], second[kept]], axis=1)
        self._reach = model.geom_margin + model.geom_gap

    def count(self, data: mujoco.MjData) -> int:
        """How many pairs come near each other in a configuration whose kinematics are done."""
        model, (a, b) = self._model, self.geoms.T
        xpos, xmat, radius = data.geom_xpos, data.geom_xmat.reshape(-1, 3, 3), model.geom_rbound
        apart = xpos[b] - xpos[a]
        bound = radius[a] + radius[b] + self._reach[a] + self._reach[b]
        near = (apart**2).sum(axis=1) <= bound**2
        for plane, other, way in ((a, b, apart), (b, a, -apart)):
            height = (way * xmat[plane, :, 2]).sum(axis=1)
            near = np.where(radius[plane] == 0, height <= radius[other] + self._reach[a] + self._reach[b], near)
        boxes = np.flatnonzero(near & (radius[a] > 0) & (radius[b] > 0))
        near[boxes] = self._boxes_meet(xpos, xmat, a[boxes], b[boxes])
        return int(near.sum())

    def _boxes_meet(self, xpos: np.ndarray, xmat: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Whether no face of either box parts the two, shape (npair,)."""
        centre = np.einsum("gij,gj->gi", xmat, self._model.geom_aabb[:, :3]) + xpos
        size, margin = self._model.geom_aabb[:, 3:], self._reach[a] + self._reach[b]
        meet = np.ones(len(a), bool)
        for faces in (a, b):
            normal = xmat[faces]  # columns
            distance = np.abs(np.einsum("pi,pik->pk", centre[b] - centre[a], normal))
            reach = sum(np.einsum("pj,pjk->pk", size[g], np.abs(np.swapaxes(xmat[g], 1, 2) @ normal)) for g in (a, b))
            meet &= (distance <= reach + margin[:, None]).all(axis=1)
        return meet


def _configurations(
    body: SimulationBody, qpos: np.ndarray, qvel: np.ndarray, data: mujoco.MjData, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    kind = body.model.jnt_type[body.joint_ids]
    spread = np.where(kind == mujoco.mjtJoint.mjJNT_HINGE, SPREAD, SPREAD / 10)
    for t in np.unique(np.linspace(0, len(qpos) - 1, min(FRAMES, len(qpos))).astype(int)):
        off = qpos[t].copy()
        off[body.qposadr] += spread * rng.standard_normal(len(spread))
        if not body.free:
            yield from ((qpos[t], qvel[t]), (off, qvel[t]))
            continue
        for q in (qpos[t], off):
            for depth in DEPTHS:
                sunk = q.copy()
                sunk[2] -= depth
                yield sunk, qvel[t]
        yield _fallen(body, off, data, rng), qvel[t]


def _fallen(body: SimulationBody, q: np.ndarray, data: mujoco.MjData, rng: np.random.Generator) -> np.ndarray:
    model = body.model
    turned = q.copy()
    turned[3:7] = rng.standard_normal(4)
    turned[3:7] /= np.linalg.norm(turned[3:7])
    data.qpos[:] = turned
    mujoco.mj_kinematics(model, data)
    solid = ((model.geom_contype != 0) | (model.geom_conaffinity != 0)) & (model.geom_bodyid > 0)
    turned[2] -= data.geom_xpos[solid, 2].min()
    return turned


def _room(seen: int) -> int:
    return max(LEAST, int(np.ceil(MARGIN * seen / LEAST)) * LEAST)
