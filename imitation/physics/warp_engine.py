"""Physics of many worlds in MuJoCo Warp: on a GPU, or, for tests, on the CPU.

State comes and goes as JAX arrays through DLPack and never leaves the device. Warp steps in memory of its own, always
the same, as a CUDA graph needs; what is handed out is copied from there by JAX into arrays that JAX owns, so nothing
that a caller holds is ever written over. JAX and Warp queue their work on streams of their own. Order between them is
kept by waiting, three times a step: for the arguments before Warp reads them, for Warp before JAX reads its memory,
for JAX's copies before that memory may change again. Each wait costs tens of microseconds; a control step of 8192
worlds takes 300 milliseconds at the best speed published.

On a GPU sums are formed by atomic additions in any order: two runs differ in the last digits. On a CPU they do not.
"""

from collections.abc import Callable
from copy import copy
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax import Array

from musclemap.errors import SettingsError

from .bodies import SimulationBody
from .buffers import Buffers, buffers_for
from .engine import FASTEST, PhysicsState, SensorData
from .operands import check_nworld, check_operands
from .randomisation import Variants, VariedModel, check_variants


class _Raw(NamedTuple):
    """Warp's own memory as JAX sees it, shapes as in `mujoco_warp.Data`."""

    qpos: Array
    qvel: Array
    act: Array
    warmstart: Array
    xpos: Array
    xquat: Array
    cvel: Array
    subtree_com: Array
    overflow: Array
    ncandidate: Array
    ncontact: Array
    contact_world: Array
    contact_geom: Array
    contact_dist: Array


class WarpEngine:
    """MuJoCo Warp.

    Args:
        body: The body.
        nworld: Worlds that are stepped together.
        device: Warp's name of a device; its own choice, a GPU if there is one, if None.
        nconmax: Pairs of geoms that may come near each other, and contacts, that a world has room for on average;
            see `musclemap.imitation.physics.buffers`, whose answer for the body's rest configuration is taken if None
            or 0.
        njmax: Rows of constraints that every world has room for; the same.
        variants: What differs between the worlds, if anything does.

    Raises:
        SettingsError: There would be no world, there is no such device, or JAX does not have it.
        TargetError: The variants are of another body or of another number of worlds.
    """

    def __init__(
        self, body: SimulationBody, nworld: int, *, device: str | None = None, nconmax: int | None = None,
        njmax: int | None = None, variants: Variants | None = None,
    ) -> None:  # fmt: skip
        import mujoco_warp as mjw
        import warp as wp

        check_nworld(nworld)
        check_variants(body, nworld, variants)
        self.body, self.nworld = body, nworld
        self._wp: Any = wp
        self._mjw: Any = mjw
        with wp.ScopedLogLevel(wp.LOG_WARNING):  # no banner, no line for each of a hundred kernels
            wp.init()
            self._device, self.device = _devices(device)
            self.buffers = _buffers(body, nconmax, njmax)
            with wp.ScopedDevice(self._device):
                self._model, self._data = self._put(variants)
                self._step, self._look = self._captured(self._steps), self._captured(self._kinematics)
        unmet = mjw.OverflowType.ITERATIONS | mjw.OverflowType.LS_ITERATIONS  # a solver that stopped early lost nothing
        self._clean = jax.jit(_cleaner(body))
        self._collect = jax.jit(_collector(body, int(mjw.OverflowType.ALL & ~unmet)))

    def _put(self, variants: Variants | None) -> tuple[Any, Any]:
        """Model and data on the device."""
        mjw, body, room = self._mjw, self.body, self.buffers
        model = copy(body.model)
        model.opt.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)  # Warp never resets, nor knows the flag
        changed = {} if variants is None else VariedModel(body, variants).stacked()
        m = mjw.put_model(model, batch_sizes=dict.fromkeys(changed, self.nworld))
        for name, values in changed.items():
            getattr(m, name).assign(values)
        m.opt.warn_overflow = 0  # told in the reading, not printed from the device
        return m, mjw.make_data(model, nworld=self.nworld, nconmax=room.nconmax, njmax=room.njmax)

    def step(self, state: PhysicsState, ctrl: Array) -> tuple[PhysicsState, SensorData]:
        """See `musclemap.imitation.physics.engine.Engine`; a world that is not finite is left as it is."""
        check_operands(self.body, self.nworld, state, ctrl)
        return self._run(state, ctrl, self._step)

    def read(self, state: PhysicsState) -> SensorData:
        """See `musclemap.imitation.physics.engine.Engine`."""
        check_operands(self.body, self.nworld, state)
        return self._run(state, jnp.zeros((self.nworld, self.body.model.nu)), self._look)[1]

    def _run(self, state: PhysicsState, ctrl: Array, launch: Callable[[], None]) -> tuple[PhysicsState, SensorData]:
        wp, d = self._wp, self._data
        state, ctrl = jax.device_put((PhysicsState(*state), ctrl), self.device)
        whole, *parts = self._clean(state, ctrl)
        jax.block_until_ready(parts)
        with wp.ScopedDevice(self._device):
            for field, part in zip((d.qpos, d.qvel, d.act, d.qacc_warmstart, d.ctrl), parts, strict=True):
                wp.copy(field, wp.from_jax(part))
            launch()
            wp.synchronize_stream(self._device)
            raw = _Raw(*(wp.to_jax(array) for array in self._arrays()))
            return jax.block_until_ready(self._collect(state, whole, raw))

    def _arrays(self) -> tuple[Any, ...]:
        d = self._data
        return (
            d.qpos, d.qvel, d.act, d.qacc_warmstart, d.xpos, d.xquat, d.cvel, d.subtree_com, d.overflow, d.ncollision,
            d.nacon, d.contact.worldid, d.contact.geom, d.contact.dist,
        )  # fmt: skip

    def _steps(self) -> None:
        self._data.overflow.zero_()
        for _ in range(self.body.nsubstep):
            self._mjw.step(self._model, self._data)
        self._kinematics(fresh=False)

    def _kinematics(self, *, fresh: bool = True) -> None:
        """What is seen of the state as it is now; `step` leaves that of the moment before its last substep."""
        mjw, m, d = self._mjw, self._model, self._data
        if fresh:
            d.overflow.zero_()
        mjw.kinematics(m, d)
        mjw.com_pos(m, d)
        mjw.com_vel(m, d)
        if self.body.contact_geoms:
            mjw.collision(m, d)

    def _captured(self, work: Callable[[], None]) -> Callable[[], None]:
        """The work as one CUDA graph; on the CPU the work itself."""
        wp = self._wp
        work()  # compiles and loads all kernels, which a capture must not
        if not wp.get_device(self._device).is_cuda:
            return work
        with wp.ScopedCapture() as capture:
            work()
        return lambda: wp.capture_launch(capture.graph)


def _buffers(body: SimulationBody, nconmax: int | None, njmax: int | None) -> Buffers:
    if not nconmax or not njmax:
        result = buffers_for(body, body.model.qpos0[None], np.zeros((1, body.model.nv)))
        nconmax, njmax = nconmax or result.nconmax, njmax or result.njmax
    return Buffers(nconmax=nconmax, njmax=njmax)


def _devices(name: str | None) -> tuple[str, Any]:
    """Warp's name of a device, and the same device in JAX."""
    import warp as wp

    there = {device.alias: device for device in wp.get_devices()}
    if name is not None and name not in there:
        older = "; does the GPU's driver suit this version of Warp?" if name.startswith("cuda") else ""
        raise SettingsError(f"MuJoCo Warp has no device {name!r}; there are: {', '.join(there)}{older}")
    device = wp.get_preferred_device() if name is None else there[name]
    if not device.is_cuda:
        return device.alias, jax.devices("cpu")[0]
    try:
        return device.alias, jax.devices("cuda")[device.ordinal]
    except RuntimeError as error:
        raise SettingsError(
            f"JAX does not have {device.alias}, which Warp has: install musclemap[gpu], or ask for device 'cpu'"
        ) from error


def _cleaner(body: SimulationBody) -> Callable[..., tuple[Array, ...]]:
    """Function that resets worlds that are not finite to the rest configuration: they would fill shared buffers."""
    rest = jnp.asarray(body.model.qpos0, jnp.float32)

    def clean(state: PhysicsState, ctrl: Array) -> tuple[Array, ...]:
        parts = [jnp.asarray(part, jnp.float32) for part in (*state, ctrl)]
        whole = jnp.stack([jnp.isfinite(part).all(axis=1) for part in parts]).all(axis=0)
        calm = (rest, *(jnp.zeros(part.shape[1]) for part in parts[1:]))
        return whole, *(jnp.where(whole[:, None], part, low) for part, low in zip(parts, calm, strict=True))

    return clean


def _collector(body: SimulationBody, overflow_bits: int) -> Callable[..., tuple[PhysicsState, SensorData]]:
    """Function that copies state and reading out of Warp's memory."""
    landmarks = jnp.asarray(body.landmark_ids)
    roots = jnp.asarray(body.model.body_rootid[body.landmark_ids])
    touches = _touch_finder(body)

    def collect(before: PhysicsState, whole: Array, raw: _Raw) -> tuple[PhysicsState, SensorData]:
        after = (raw.qpos, raw.qvel, raw.act, raw.warmstart)
        state = PhysicsState(*(jnp.where(whole[:, None], a, b) for a, b in zip(after, before, strict=True)))
        finite = jnp.stack([jnp.isfinite(part).all(axis=1) for part in state]).all(axis=0) & whole
        xpos, cvel = raw.xpos[:, landmarks], raw.cvel[:, landmarks]
        angvel, linvel = cvel[..., :3], cvel[..., 3:]
        linvel = linvel + jnp.cross(angvel, xpos - raw.subtree_com[:, roots])  # see MujocoEngine
        seen = (xpos, raw.xquat[:, landmarks], linvel, angvel)
        room = raw.contact_dist.shape[0]
        full = (raw.ncontact[0] > room) | (raw.ncandidate[0] > room)  # shared: nobody knows whose did not fit
        return state, SensorData(
            *(jnp.where(finite[:, None, None], part, jnp.nan) for part in seen),
            contact=jnp.where(finite[:, None], touches(raw, len(whole)), 0.0),
            overflow=((raw.overflow & overflow_bits) != 0) | full,
            bad=~finite | (jnp.abs(state.qvel) > FASTEST).any(axis=1),
        )

    return collect


def _touch_finder(body: SimulationBody) -> Callable[[_Raw, int], Array]:
    """Function that tells which parts of the feet touch the floor, shape (nworld, 4)."""
    part = np.full(body.model.ngeom, -1)
    for k, geoms in enumerate(body.contact_geoms):
        part[list(geoms)] = k
    parts, floor = jnp.asarray(part), jnp.asarray(np.isin(np.arange(body.model.ngeom), body.floor_ids))

    def touches(raw: _Raw, nworld: int) -> Array:
        first, second = raw.contact_geom[:, 0], raw.contact_geom[:, 1]
        foot = jnp.where(floor[first], parts[second], jnp.where(floor[second], parts[first], -1))
        there = (jnp.arange(len(foot)) < raw.ncontact[0]) & (raw.contact_dist <= 0) & (foot >= 0)
        world = jnp.where(there, raw.contact_world, nworld)  # what is no touch falls off the end
        return jnp.zeros((nworld, 4)).at[world, foot].max(1.0, mode="drop")

    return touches
