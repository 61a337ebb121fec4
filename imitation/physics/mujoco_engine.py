"""MuJoCo C physics of many worlds, in parallel on CPU cores.

This engine uses its own threads instead of `mujoco.rollout`. A rollout returns neither the solver's warm-start
accelerations, without which the next control step would differ from an uninterrupted simulation, nor the warnings of
each world; and the kinematics of the final state would still need one call per world. MuJoCo releases Python's global
interpreter lock, which is held for about 20 µs per world; a control step of MyoFullBody takes 2,500 µs.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass

import jax
import mujoco
import numpy as np
from jax import Array

from musclemap.cores import available_cores
from musclemap.errors import SettingsError

from .bodies import SimulationBody
from .engine import PhysicsState, SensorData
from .operands import check_nworld, check_operands, finite_rows, too_fast
from .randomisation import Variants, VariedModel, check_variants

STATE_SPEC = int(
    mujoco.mjtState.mjSTATE_QPOS
    | mujoco.mjtState.mjSTATE_QVEL
    | mujoco.mjtState.mjSTATE_ACT
    | mujoco.mjtState.mjSTATE_WARMSTART
    | mujoco.mjtState.mjSTATE_CTRL
)
"""State components that are set before a step; MuJoCo stores them in this order."""

OVERFLOW_WARNINGS = slice(int(mujoco.mjtWarning.mjWARN_CONTACTFULL), int(mujoco.mjtWarning.mjWARN_CNSTRFULL) + 1)
"""Warnings that contacts or constraints overflowed their buffers."""


@dataclass(frozen=True, eq=False)
class _Outputs:
    """Output arrays shared by the threads, one row per world."""

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
        nworld: Number of worlds that are stepped together.
        threads: Number of threads; one per core if None.
        variants: Differences between the worlds, if any. Each thread then has its own copy of the model and
            modifies it for each world that it steps.

    Raises:
        SettingsError: If the number of worlds or of threads is below 1.
        TargetError: If the variants belong to another body or number of worlds.
    """

    def __init__(
        self, body: SimulationBody, nworld: int, *, threads: int | None = None, variants: Variants | None = None
    ) -> None:
        check_nworld(nworld)
        check_variants(body, nworld, variants)
        threads = min(nworld, len(available_cores())) if threads is None else threads
        if threads < 1:
            raise SettingsError(f"an engine cannot have {threads} threads; it needs at least 1")
        self.body, self.nworld, self.threads = body, nworld, threads
        self._pool = ThreadPoolExecutor(max(1, threads - 1))
        self._varied = None if variants is None else VariedModel(body, variants)
        self.device = None
        self._models = [body.model if variants is None else copy(body.model) for _ in range(threads)]
        self._data = [mujoco.MjData(body.model) for _ in range(threads)]
        self._root = body.model.body_rootid[body.landmark_ids]

    def step(self, state: PhysicsState, ctrl: Array, base: Array | None = None) -> tuple[PhysicsState, SensorData]:
        """See `musclemap.imitation.physics.engine.Engine`; a world that is not finite stays unchanged."""
        check_operands(self.body, self.nworld, state, ctrl, base)
        motion = None if base is None else np.asarray(base, np.float64)
        outputs = self._run_all(_packed(state, ctrl), nstep=self.body.nsubstep, base=motion)
        model = self.body.model
        ends = np.cumsum([model.nq, model.nv, model.nu, model.nv])
        parts = [_single(part) for part in np.split(outputs.state, ends, axis=1)[:4]]
        return PhysicsState(*jax.device_put(parts)), self._sensor_data(outputs)

    def read(self, state: PhysicsState) -> SensorData:
        """See `musclemap.imitation.physics.engine.Engine`."""
        check_operands(self.body, self.nworld, state)
        return self._sensor_data(self._run_all(_packed(state, np.zeros((self.nworld, self.body.model.nu))), nstep=0))

    def _run_all(self, state: np.ndarray, *, nstep: int, base: np.ndarray | None = None) -> _Outputs:
        nlandmark = len(self.body.landmark_ids)
        outputs = _Outputs(
            state=state,
            xpos=np.full((self.nworld, nlandmark, 3), np.nan),
            xquat=np.full((self.nworld, nlandmark, 4), np.nan),
            cvel=np.full((self.nworld, nlandmark, 6), np.nan),
            com=np.full((self.nworld, nlandmark, 3), np.nan),
            contact=np.zeros((self.nworld, 4)),
            overflow=np.zeros(self.nworld, bool),
        )
        worlds = iter(np.flatnonzero(finite_rows(state)).tolist())  # shared by the threads: each takes the next one
        first, *rest = zip(self._models, self._data, strict=True)
        with _silenced_warnings():
            tasks = [self._pool.submit(self._run_worlds, *worker, worlds, outputs, nstep, base) for worker in rest]
            # The calling thread works too, which saves one wake-up.
            self._run_worlds(*first, worlds, outputs, nstep, base)
            for task in tasks:
                task.result()
        return outputs

    def _run_worlds(
        self, model: mujoco.MjModel, data: mujoco.MjData, worlds: Iterator[int], outputs: _Outputs, nstep: int,
        base: np.ndarray | None,
    ) -> None:  # fmt: skip
        landmarks = self.body.landmark_ids
        for w in worlds:
            if self._varied is not None:
                self._varied.apply(model, w)
            data.warning.number[:] = 0
            mujoco.mj_setState(model, data, outputs.state[w], STATE_SPEC)
            if nstep:
                if base is None or self.body.base_forces is None:
                    mujoco.mj_step(model, data, nstep)
                else:
                    self.body.base_forces.step(model, data, base[w], nstep=nstep)
                mujoco.mj_getState(model, data, outputs.state[w], STATE_SPEC)
                outputs.state[w] = _single(outputs.state[w])  # sensors describe the returned float32 state
                if not np.isfinite(outputs.state[w]).all():
                    continue
                mujoco.mj_setState(model, data, outputs.state[w], STATE_SPEC)
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_comVel(model, data)
            data.xpos.take(landmarks, axis=0, out=outputs.xpos[w])
            data.xquat.take(landmarks, axis=0, out=outputs.xquat[w])
            data.cvel.take(landmarks, axis=0, out=outputs.cvel[w])
            data.subtree_com.take(self._root, axis=0, out=outputs.com[w])
            if self.body.contact_geoms:
                mujoco.mj_collision(model, data)
                outputs.contact[w] = self.body.parts_on_floor(data)
            outputs.overflow[w] = max(data.warning.number[OVERFLOW_WARNINGS]) > 0

    def _sensor_data(self, outputs: _Outputs) -> SensorData:
        angvel, linvel = outputs.cvel[..., :3], outputs.cvel[..., 3:]
        linvel = linvel + np.cross(angvel, outputs.xpos - outputs.com)  # from the root's centre of mass to the landmark
        qvel = outputs.state[:, self.body.model.nq : self.body.model.nq + self.body.model.nv]
        parts = [_single(part) for part in (outputs.xpos, outputs.xquat, linvel, angvel, outputs.contact)]
        bad = ~finite_rows(outputs.state) | too_fast(qvel)
        return SensorData(*jax.device_put([*parts, outputs.overflow, bad]))


@contextmanager
def _silenced_warnings() -> Iterator[None]:
    """Silence MuJoCo, which would log a line per substep of a diverging world; `SensorData` reports it instead."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda text: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def _single(array: np.ndarray) -> np.ndarray:
    """Convert to float32; values beyond its range become infinite, which only happens in bad worlds."""
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _packed(state: PhysicsState, ctrl: Array | np.ndarray) -> np.ndarray:
    """State and controls concatenated in the order of `STATE_SPEC`, float64, shape (nworld, nq + nv + nu + nv + nu)."""
    return np.concatenate([np.asarray(part, np.float64) for part in (*state, ctrl)], axis=1)
