"""Physics of many worlds in MuJoCo C, on the cores of a processor.

Threads are ours, not those of `mujoco.rollout`: a rollout returns neither the accelerations that the solver starts
from, without which the next control step would differ from an unbroken simulation, nor the warnings of each world; and
kinematics of the state after the step would take a call a world all the same. MuJoCo runs without Python's lock, which
is held for about 20 µs a world; a control step of MyoFullBody takes 2,500.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass

import jax
import mujoco
import numpy as np
from jax import Array

from musclemap.errors import SettingsError

from .bodies import SimulationBody
from .engine import PhysicsState, SensorData
from .operands import check_nworld, check_operands, finite_rows, too_fast
from .randomisation import Variants, VariedModel, check_variants

STATE = int(
    mujoco.mjtState.mjSTATE_QPOS
    | mujoco.mjtState.mjSTATE_QVEL
    | mujoco.mjtState.mjSTATE_ACT
    | mujoco.mjtState.mjSTATE_WARMSTART
    | mujoco.mjtState.mjSTATE_CTRL
)
"""What a world is set to before a step; MuJoCo keeps it in this order."""

FULL = slice(int(mujoco.mjtWarning.mjWARN_CONTACTFULL), int(mujoco.mjtWarning.mjWARN_CNSTRFULL) + 1)
"""Warnings that contacts or constraints found no room."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """What threads write into, a row a world."""

    state: np.ndarray
    xpos: np.ndarray
    xquat: np.ndarray
    cvel: np.ndarray
    com: np.ndarray
    contact: np.ndarray
    overflow: np.ndarray


class MujocoEngine:
    """MuJoCo C.

    Args:
        body: The body.
        nworld: Worlds that are stepped together.
        threads: Threads; one a core if None.
        variants: What differs between the worlds, if anything does; every thread then has a model of its own, which it
            changes for the world that it steps.

    Raises:
        SettingsError: There would be no world or no thread.
        TargetError: The variants are of another body or of another number of worlds.
    """

    def __init__(
        self, body: SimulationBody, nworld: int, *, threads: int | None = None, variants: Variants | None = None
    ) -> None:
        check_nworld(nworld)
        check_variants(body, nworld, variants)
        threads = min(nworld, len(os.sched_getaffinity(0))) if threads is None else threads
        if threads < 1:
            raise SettingsError(f"an engine with {threads} threads was asked for; there must be one at least")
        self.body, self.nworld, self.threads = body, nworld, threads
        self._pool = ThreadPoolExecutor(max(1, threads - 1))
        self._varied = None if variants is None else VariedModel(body, variants)
        self.device = None
        self._models = [body.model if variants is None else copy(body.model) for _ in range(threads)]
        self._data = [mujoco.MjData(body.model) for _ in range(threads)]
        self._root = body.model.body_rootid[body.landmark_ids]
        self._part = np.full(body.model.ngeom, -1)
        for part, geoms in enumerate(body.contact_geoms):
            self._part[list(geoms)] = part
        self._floor = np.zeros(body.model.ngeom, bool)
        self._floor[body.floor_ids] = True

    def step(self, state: PhysicsState, ctrl: Array) -> tuple[PhysicsState, SensorData]:
        """See `musclemap.imitation.physics.engine.Engine`; a world that is not finite is left as it is."""
        check_operands(self.body, self.nworld, state, ctrl)
        seen = self._all(_packed(state, ctrl), nstep=self.body.nsubstep)
        model = self.body.model
        ends = np.cumsum([model.nq, model.nv, model.nu, model.nv])
        parts = [_single(part) for part in np.split(seen.state, ends, axis=1)[:4]]
        return PhysicsState(*jax.device_put(parts)), self._reading(seen)

    def read(self, state: PhysicsState) -> SensorData:
        """See `musclemap.imitation.physics.engine.Engine`."""
        check_operands(self.body, self.nworld, state)
        return self._reading(self._all(_packed(state, np.zeros((self.nworld, self.body.model.nu))), nstep=0))

    def _all(self, state: np.ndarray, *, nstep: int) -> _Seen:
        nlandmark = len(self.body.landmark_ids)
        seen = _Seen(
            state=state,
            xpos=np.full((self.nworld, nlandmark, 3), np.nan),
            xquat=np.full((self.nworld, nlandmark, 4), np.nan),
            cvel=np.full((self.nworld, nlandmark, 6), np.nan),
            com=np.full((self.nworld, nlandmark, 3), np.nan),
            contact=np.zeros((self.nworld, 4)),
            overflow=np.zeros(self.nworld, bool),
        )
        worlds = iter(np.flatnonzero(finite_rows(state)).tolist())  # shared: whoever is free takes the next
        first, *others = zip(self._models, self._data, strict=True)
        with _unheard_warnings():
            tasks = [self._pool.submit(self._some, *own, worlds, seen, nstep) for own in others]
            self._some(*first, worlds, seen, nstep)  # the calling thread works too: a wake-up less
            for task in tasks:
                task.result()
        return seen

    def _some(self, model: mujoco.MjModel, data: mujoco.MjData, worlds: Iterator[int], seen: _Seen, nstep: int) -> None:
        landmarks = self.body.landmark_ids
        for w in worlds:
            if self._varied is not None:
                self._varied.apply(model, w)
            data.warning.number[:] = 0
            mujoco.mj_setState(model, data, seen.state[w], STATE)
            if nstep:
                mujoco.mj_step(model, data, nstep)
                mujoco.mj_getState(model, data, seen.state[w], STATE)
                seen.state[w] = _single(seen.state[w])  # what is handed back is what is read
                if not np.isfinite(seen.state[w]).all():
                    continue
                mujoco.mj_setState(model, data, seen.state[w], STATE)
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_comVel(model, data)
            data.xpos.take(landmarks, axis=0, out=seen.xpos[w])
            data.xquat.take(landmarks, axis=0, out=seen.xquat[w])
            data.cvel.take(landmarks, axis=0, out=seen.cvel[w])
            data.subtree_com.take(self._root, axis=0, out=seen.com[w])
            if self.body.contact_geoms:
                mujoco.mj_collision(model, data)
                seen.contact[w] = self._touching(data.contact.geom, data.contact.dist)
            seen.overflow[w] = max(data.warning.number[FULL]) > 0

    def _touching(self, geom: np.ndarray, dist: np.ndarray) -> np.ndarray:
        """Which parts of the feet touch the floor, shape (4,); pairs of geoms (ncontact, 2) and distances."""
        pair = geom[dist <= 0]
        feet = pair[self._floor[pair].any(axis=1)].ravel()
        touched = np.zeros(4)
        touched[[part for part in self._part[feet] if part >= 0]] = 1.0
        return touched

    def _reading(self, seen: _Seen) -> SensorData:
        angvel, linvel = seen.cvel[..., :3], seen.cvel[..., 3:]
        linvel = linvel + np.cross(angvel, seen.xpos - seen.com)  # from the root's centre of mass to the landmark
        qvel = seen.state[:, self.body.model.nq : self.body.model.nq + self.body.model.nv]
        parts = [_single(part) for part in (seen.xpos, seen.xquat, linvel, angvel, seen.contact)]
        bad = ~finite_rows(seen.state) | too_fast(qvel)
        return SensorData(*jax.device_put([*parts, seen.overflow, bad]))


@contextmanager
def _unheard_warnings() -> Iterator[None]:
    """A world that explodes would print a line a substep and write it to a file; the reading tells of it instead."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda text: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def _single(array: np.ndarray) -> np.ndarray:
    """As float32; what is too large for it, in worlds that are bad all the same, becomes infinite."""
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _packed(state: PhysicsState, ctrl: Array | np.ndarray) -> np.ndarray:
    """State and controls side by side in the order of `STATE`, float64, shape (nworld, nq + nv + nu + nv + nu)."""
    return np.concatenate([np.asarray(part, np.float64) for part in (*state, ctrl)], axis=1)
