"""MuJoCo Warp physics of many worlds: on a GPU, or on the CPU for tests.

JAX arrays pass to and from Warp through DLPack and never leave the device. Warp steps in its own fixed buffers, as CUDA
graphs require. Results are copied by JAX from there into arrays that JAX owns, so arrays that a caller holds are never
overwritten. JAX and Warp use separate streams. Three waits per step keep them in order: for the arguments before Warp
reads them, for Warp before JAX reads its buffers, and for JAX's copies before the buffers may change again. Each wait
costs tens of microseconds; a control step of 8192 worlds takes 300 milliseconds at the best published speed.

On a GPU, sums use atomic additions in arbitrary order: two runs differ in the last digits. On a CPU they do not.
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
from .engine import MAX_SPEED, PhysicsState, SensorData
from .operands import check_nworld, check_operands
from .randomisation import Variants, VariedModel, check_variants


class _WarpArrays(NamedTuple):
    """Warp's buffers viewed as JAX arrays, shapes as in `mujoco_warp.Data`."""

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
        nworld: Number of worlds that are stepped together.
        device: Warp's name of a device; if None, a GPU if there is one, otherwise the CPU.
        nconmax: Average capacity per world for contacts and for geom pairs close to each other. None or 0 uses
            `musclemap.imitation.physics.buffers` on the body's rest configuration.
        njmax: Capacity of each world for constraint rows; None or 0 as for `nconmax`.
        variants: Differences between the worlds, if any.

    Raises:
        SettingsError: If the number of worlds is below 1, or Warp or JAX does not have the device.
        TargetError: If the variants belong to another body or number of worlds.
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
        with wp.ScopedLogLevel(wp.LOG_WARNING):  # no banner and no line per kernel
            wp.init()
            self._device, self.device = _devices(device)
            self.buffers = _buffers(body, nconmax, njmax)
            with wp.ScopedDevice(self._device):
                self._model, self._data = self._put(variants)
                self._step, self._read = self._capture(self._steps), self._capture(self._kinematics)
                self._base = self._step_on_base = None
                if body.target.base is not None:
                    self._base = wp.zeros((nworld, 4), dtype=wp.vec3)
                    self._step_on_base = self._capture(self._steps_on_base)
        # A solver that reaches its iteration limit drops no contacts.
        not_converged = mjw.OverflowType.ITERATIONS | mjw.OverflowType.LS_ITERATIONS
        self._sanitise = jax.jit(_sanitiser(body))
        self._collect = jax.jit(_collector(body, int(mjw.OverflowType.ALL & ~not_converged)))

    def _put(self, variants: Variants | None) -> tuple[Any, Any]:
        """Create model and data on the device."""
        mjw, body, buffers = self._mjw, self.body, self.buffers
        model = copy(body.model)
        model.opt.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)  # Warp never resets and rejects the flag
        varied = {} if variants is None else VariedModel(body, variants).stacked()
        m = mjw.put_model(model, batch_sizes=dict.fromkeys(varied, self.nworld))
        for name, values in varied.items():
            getattr(m, name).assign(values)
        m.opt.warn_overflow = 0  # reported in SensorData instead of printed by the device
        return m, mjw.make_data(model, nworld=self.nworld, nconmax=buffers.nconmax, njmax=buffers.njmax)

    def step(self, state: PhysicsState, ctrl: Array, base: Array | None = None) -> tuple[PhysicsState, SensorData]:
        """See `musclemap.imitation.physics.engine.Engine`; a world that is not finite stays unchanged."""
        check_operands(self.body, self.nworld, state, ctrl, base)
        if base is None or self._step_on_base is None:
            return self._run(state, ctrl, self._step)
        base = jax.block_until_ready(jax.device_put(jnp.asarray(base, jnp.float32), self.device))
        with self._wp.ScopedDevice(self._device):
            self._wp.copy(self._base, self._wp.from_jax(base, dtype=self._wp.vec3))
        return self._run(state, ctrl, self._step_on_base)

    def read(self, state: PhysicsState) -> SensorData:
        """See `musclemap.imitation.physics.engine.Engine`."""
        check_operands(self.body, self.nworld, state)
        return self._run(state, jnp.zeros((self.nworld, self.body.model.nu)), self._read)[1]

    def _run(self, state: PhysicsState, ctrl: Array, launch: Callable[[], None]) -> tuple[PhysicsState, SensorData]:
        wp, d = self._wp, self._data
        state, ctrl = jax.device_put((PhysicsState(*state), ctrl), self.device)
        finite_before, *parts = self._sanitise(state, ctrl)
        jax.block_until_ready(parts)
        with wp.ScopedDevice(self._device):
            for field, part in zip((d.qpos, d.qvel, d.act, d.qacc_warmstart, d.ctrl), parts, strict=True):
                wp.copy(field, wp.from_jax(part))
            launch()
            wp.synchronize_stream(self._device)
            arrays = _WarpArrays(*(wp.to_jax(array) for array in self._warp_arrays()))
            return jax.block_until_ready(self._collect(state, finite_before, arrays))

    def _warp_arrays(self) -> tuple[Any, ...]:
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

    def _steps_on_base(self) -> None:
        """Physics steps with the forces of the moving base; none stays behind."""
        from .warp_base_forces import apply_base_forces

        mjw, m, d = self._mjw, self._model, self._data
        d.overflow.zero_()
        for _ in range(self.body.nsubstep):
            mjw.step1(m, d)
            apply_base_forces(m, d, self._base)
            mjw.step2(m, d)
        d.xfrc_applied.zero_()
        self._kinematics(fresh=False)

    def _kinematics(self, *, fresh: bool = True) -> None:
        """Compute kinematics and contacts of the current state; `step` leaves those before its last substep."""
        mjw, m, d = self._mjw, self._model, self._data
        if fresh:
            d.overflow.zero_()
        mjw.kinematics(m, d)
        mjw.com_pos(m, d)
        mjw.com_vel(m, d)
        if self.body.contact_geoms:
            mjw.collision(m, d)

    def _capture(self, launch: Callable[[], None]) -> Callable[[], None]:
        """Return the work as a CUDA graph; on the CPU, the work itself."""
        wp = self._wp
        launch()  # compiles and loads all kernels, which is not allowed during a capture
        if not wp.get_device(self._device).is_cuda:
            return launch
        with wp.ScopedCapture() as capture:
            launch()
        return lambda: wp.capture_launch(capture.graph)


def _buffers(body: SimulationBody, nconmax: int | None, njmax: int | None) -> Buffers:
    if not nconmax or not njmax:
        sized = buffers_for(body, body.model.qpos0[None], np.zeros((1, body.model.nv)))
        nconmax, njmax = nconmax or sized.nconmax, njmax or sized.njmax
    return Buffers(nconmax=nconmax, njmax=njmax)


def _devices(name: str | None) -> tuple[str, Any]:
    """Warp's name of a device, and the same device in JAX."""
    import warp as wp

    available = {device.alias: device for device in wp.get_devices()}
    if name is not None and name not in available:
        hint = "; does the GPU's driver suit this version of Warp?" if name.startswith("cuda") else ""
        raise SettingsError(f"MuJoCo Warp has no device {name!r}; there are: {', '.join(available)}{hint}")
    device = wp.get_preferred_device() if name is None else available[name]
    if not device.is_cuda:
        return device.alias, jax.devices("cpu")[0]
    try:
        return device.alias, jax.devices("cuda")[device.ordinal]
    except RuntimeError as error:
        raise SettingsError(
            f"Warp has {device.alias}, but JAX does not: install musclemap[gpu], or use device 'cpu'"
        ) from error


def _sanitiser(body: SimulationBody) -> Callable[..., tuple[Array, ...]]:
    """Build a function that resets non-finite worlds to the rest configuration, as they would fill shared buffers."""
    rest = jnp.asarray(body.model.qpos0, jnp.float32)

    def sanitise(state: PhysicsState, ctrl: Array) -> tuple[Array, ...]:
        parts = [jnp.asarray(part, jnp.float32) for part in (*state, ctrl)]
        finite_before = jnp.stack([jnp.isfinite(part).all(axis=1) for part in parts]).all(axis=0)
        defaults = (rest, *(jnp.zeros(part.shape[1]) for part in parts[1:]))
        pairs = zip(parts, defaults, strict=True)
        return finite_before, *(jnp.where(finite_before[:, None], part, default) for part, default in pairs)

    return sanitise


def _collector(body: SimulationBody, overflow_bits: int) -> Callable[..., tuple[PhysicsState, SensorData]]:
    """Build a function that copies state and sensor data out of Warp's buffers."""
    landmarks = jnp.asarray(body.landmark_ids)
    roots = jnp.asarray(body.model.body_rootid[body.landmark_ids])
    foot_contacts = _foot_contact_finder(body)

    def collect(before: PhysicsState, finite_before: Array, arrays: _WarpArrays) -> tuple[PhysicsState, SensorData]:
        after = (arrays.qpos, arrays.qvel, arrays.act, arrays.warmstart)
        state = PhysicsState(*(jnp.where(finite_before[:, None], a, b) for a, b in zip(after, before, strict=True)))
        finite = jnp.stack([jnp.isfinite(part).all(axis=1) for part in state]).all(axis=0) & finite_before
        xpos, cvel = arrays.xpos[:, landmarks], arrays.cvel[:, landmarks]
        angvel, linvel = cvel[..., :3], cvel[..., 3:]
        linvel = linvel + jnp.cross(angvel, xpos - arrays.subtree_com[:, roots])  # see MujocoEngine
        kinematics = (xpos, arrays.xquat[:, landmarks], linvel, angvel)
        capacity = arrays.contact_dist.shape[0]
        # All worlds share this buffer, so the worlds whose contacts were dropped are unknown.
        full = (arrays.ncontact[0] > capacity) | (arrays.ncandidate[0] > capacity)
        return state, SensorData(
            *(jnp.where(finite[:, None, None], part, jnp.nan) for part in kinematics),
            contact=jnp.where(finite[:, None], foot_contacts(arrays, len(finite_before)), 0.0),
            overflow=((arrays.overflow & overflow_bits) != 0) | full,
            bad=~finite | (jnp.abs(state.qvel) > MAX_SPEED).any(axis=1),
        )

    return collect


def _foot_contact_finder(body: SimulationBody) -> Callable[[_WarpArrays, int], Array]:
    """Build a function that returns which foot parts touch the floor, shape (nworld, 4)."""
    part = np.full(body.model.ngeom, -1)
    for k, geoms in enumerate(body.contact_geoms):
        part[list(geoms)] = k
    parts, floor = jnp.asarray(part), jnp.asarray(np.isin(np.arange(body.model.ngeom), body.floor_ids))

    def foot_contacts(arrays: _WarpArrays, nworld: int) -> Array:
        first, second = arrays.contact_geom[:, 0], arrays.contact_geom[:, 1]
        foot = jnp.where(floor[first], parts[second], jnp.where(floor[second], parts[first], -1))
        touching = (jnp.arange(len(foot)) < arrays.ncontact[0]) & (arrays.contact_dist <= 0) & (foot >= 0)
        world = jnp.where(touching, arrays.contact_world, nworld)  # other contacts get an index that is dropped
        return jnp.zeros((nworld, 4)).at[world, foot].max(1.0, mode="drop")

    return foot_contacts
