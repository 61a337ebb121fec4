"""The checks' physics in MuJoCo Warp: a world a frame, on a GPU or, for tests, on the CPU.

Only the stages that the checks need are run; nothing is stepped. What is made of their results is shared with
`musclemap.retarget.checks.physics_checks`.
"""

from typing import Any

import mujoco
import numpy as np

from musclemap.errors import SettingsError
from musclemap.skeletons.body import TargetBody

from .physics_checks import FramePhysics, Muscles, SolidGeoms, join, root_wrench

CONTACTS = 48
"""Contacts that a world has room for on average; what does not fit is told as overflow."""


class WarpPhysics:
    """MuJoCo Warp.

    Args:
        body: The body with its geoms, tendons and muscles.
        nworld: Frames evaluated together; one shape is compiled.
        device: Warp's name of a device; its own choice, a GPU if there is one, if None.

    Raises:
        SettingsError: There is no such device.
    """

    def __init__(self, body: TargetBody, *, nworld: int = 2048, device: str | None = None) -> None:
        import mujoco_warp as mjw
        import warp as wp

        self.body, self.nworld = body, nworld
        self._mjw: Any = mjw
        self._wp: Any = wp
        self._solid = SolidGeoms(body.model)
        data = mujoco.MjData(body.model)
        data.qpos[:] = body.reduced.base
        data.qpos[2] += 10.0  # off the ground
        mujoco.mj_forward(body.model, data)
        with self._quiet():
            self._device = device or str(wp.get_preferred_device())
            there = [known.alias for known in wp.get_devices()]
            if self._device not in there:
                older = "; does the GPU's driver suit this version of Warp?" if self._device.startswith("cuda") else ""
                raise SettingsError(f"MuJoCo Warp has no device {self._device!r}; there are: {', '.join(there)}{older}")
        with self._quiet(), wp.ScopedDevice(self._device):
            self._model = mjw.put_model(body.model)
            self._data = mjw.put_data(body.model, data, nworld=nworld, nconmax=CONTACTS, njmax=data.nefc + 64)

    def _quiet(self) -> Any:
        """No banner, and no line for each of a hundred kernels: they would go to stdout."""
        return self._wp.ScopedLogLevel(self._wp.LOG_WARNING)

    def evaluate(self, qpos: np.ndarray, qvel: np.ndarray, qacc: np.ndarray, *, muscles: bool = False) -> FramePhysics:
        """See `musclemap.retarget.checks.physics_checks.Physics`."""
        qpos, qvel, qacc = (np.asarray(a, np.float64) for a in (qpos, qvel, qacc))
        parts = []
        with self._quiet(), self._wp.ScopedDevice(self._device):
            for low in range(0, len(qpos), self.nworld):
                part = slice(low, low + self.nworld)
                parts.append(self._some(low, qpos[part], qvel[part], qacc[part], muscles=muscles))
        return join(parts)

    def _some(self, low: int, qpos: np.ndarray, qvel: np.ndarray, qacc: np.ndarray, *, muscles: bool) -> FramePhysics:
        mjw, m, d, n = self._mjw, self._model, self._data, len(qpos)
        model, solid = self.body.model, self._solid
        for field, value in (("qpos", qpos), ("qvel", qvel), ("qacc", qacc)):
            full = np.resize(value, (self.nworld, value.shape[1])).astype(np.float32)  # repeats keep the shape
            getattr(d, field).assign(full)
        d.overflow.zero_()
        mjw.kinematics(m, d)
        mjw.com_pos(m, d)
        mjw.tendon(m, d)
        mjw.collision(m, d)
        mjw.transmission(m, d)
        mjw.fwd_velocity(m, d)
        passive_force = d.qfrc_passive.numpy()[:n].astype(np.float64)
        mjw.rne(m, d, flg_acc=True)
        taken = d.qfrc_bias.numpy()[:n].astype(np.float64) + model.dof_armature * qacc
        force = taken - passive_force
        slope = self.body.reduced.slope(qpos)
        xpos, xmat = d.geom_xpos.numpy()[:n, solid.ids], d.geom_xmat.numpy()[:n, solid.ids].reshape(n, -1, 3, 3)
        bottoms = solid.bottoms(xpos.astype(np.float64), xmat.astype(np.float64))
        frame, pair, dist, overflow = self._contacts(n)
        length = d.actuator_length.numpy()[:n].copy()
        return FramePhysics(
            lowest=bottoms.min(axis=1),
            lowest_geom=solid.ids[bottoms.argmin(axis=1)],
            touch_frame=frame + low,
            touch_pair=pair,
            touch_dist=dist,
            muscle_length=length,
            wrench=root_wrench(force, qpos),
            torque=self.body.reduced.to_independent(force, slope),
            muscles=self._muscles(n, slope) if muscles else None,
            overflow=overflow,
        )

    def _contacts(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Frame, geoms and distance of contacts within the body; and which frames may have lost some."""
        d = self._data
        room = d.contact.dist.shape[0]
        result = int(d.nacon.numpy()[0])
        count = min(result, room)
        world, dist = d.contact.worldid.numpy()[:count], d.contact.dist.numpy()[:count].astype(np.float64)
        pair = np.sort(d.contact.geom.numpy()[:count], axis=1).astype(int)
        own = (world < n) & ~np.isin(pair, self._solid.floor).any(axis=1)
        lost = d.overflow.numpy()[:n] != 0
        if max(result, int(d.ncollision.numpy()[0])) > room:  # the store is shared: nobody knows whose did not fit
            lost = np.ones(n, bool)
        return world[own].astype(int), pair[own], dist[own], lost

    def _muscles(self, n: int, slope: np.ndarray) -> Muscles:
        mjw, m, d = self._mjw, self._model, self._data
        model, njoint = self.body.model, self.body.reduced.njoint
        d.act.zero_()
        mjw.fwd_actuation(m, d)
        passive = d.actuator_force.numpy()[:n].copy()
        d.act.fill_(1.0)
        mjw.fwd_actuation(m, d)
        full = d.actuator_force.numpy()[:n].copy()
        count, start = d.moment_rownnz.numpy()[:n], d.moment_rowadr.numpy()[:n]
        column, value = d.moment_colind.numpy()[:n], d.actuator_moment.numpy()[:n]
        to_joint = np.zeros(model.nv, int)
        reduced = self.body.reduced
        to_joint[reduced.moved_dof] = reduced.moved_driver
        scale = np.zeros((n, model.nv))
        scale[:, reduced.moved_dof] = slope
        size, each = count.ravel(), n * model.nu
        row = np.repeat(np.arange(each), size)  # of all frames, one after the other
        frame = row // model.nu
        at = np.repeat(start.ravel() - np.cumsum(size) + size, size) + np.arange(len(row))
        dof = column[frame, at]
        moment = np.bincount(
            row * njoint + to_joint[dof], weights=value[frame, at] * scale[frame, dof], minlength=each * njoint
        )
        return Muscles(
            passive=passive, active=full - passive, moment=moment.reshape(n, model.nu, njoint).astype(np.float32)
        )
