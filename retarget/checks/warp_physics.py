"""Physics of the checks in MuJoCo Warp: one world per frame, on a GPU or, in tests, on the CPU.

Only the stages that the checks need are run; the simulation is not stepped. `musclemap.retarget.checks.physics_checks`
defines the results and shares the code that reduces them.
"""

from typing import Any

import mujoco
import numpy as np

from musclemap.errors import SettingsError
from musclemap.retarget.one_at_a_time import one_at_a_time
from musclemap.skeletons.body import TargetBody

from .physics_checks import CollisionGeoms, FramePhysics, MuscleForces, concatenate, root_wrench

CONTACTS_PER_WORLD = 48
"""Average capacity of a world's contact buffer; contacts beyond it are reported as overflow."""


class WarpPhysics:
    """Physics of frames by MuJoCo Warp.

    Args:
        body: Body with geoms, tendons and muscles.
        nworld: Frames evaluated together; kernels are compiled for this shape only.
        device: Warp's name of a device; if None, Warp chooses, and prefers a GPU.

    Raises:
        SettingsError: If Warp does not know the device.
    """

    def __init__(self, body: TargetBody, *, nworld: int = 2048, device: str | None = None) -> None:
        import mujoco_warp as mjw
        import warp as wp

        self.body, self.nworld = body, nworld
        self._mjw: Any = mjw
        self._wp: Any = wp
        self._collision_geoms = CollisionGeoms(body.model)
        data = mujoco.MjData(body.model)
        data.qpos[:] = body.reduced.base
        data.qpos[2] += 10.0  # above the ground
        mujoco.mj_forward(body.model, data)
        with self._quiet():
            self._device = device or str(wp.get_preferred_device())
            available = [known.alias for known in wp.get_devices()]
            if self._device not in available:
                hint = "; does the GPU's driver suit this version of Warp?" if self._device.startswith("cuda") else ""
                raise SettingsError(
                    f"MuJoCo Warp has no device {self._device!r}; there are: {', '.join(available)}{hint}"
                )
        with self._quiet(), wp.ScopedDevice(self._device):
            self._model = mjw.put_model(body.model)
            self._data = mjw.put_data(body.model, data, nworld=nworld, nconmax=CONTACTS_PER_WORLD, njmax=data.nefc + 64)

    def _quiet(self) -> Any:
        """Suppress Warp's banner and its line for each compiled kernel, which go to stdout."""
        return self._wp.ScopedLogLevel(self._wp.LOG_WARNING)

    @one_at_a_time
    def evaluate(self, qpos: np.ndarray, qvel: np.ndarray, qacc: np.ndarray, *, muscles: bool = False) -> FramePhysics:
        """See `musclemap.retarget.checks.physics_checks.PhysicsEngine`."""
        qpos, qvel, qacc = (np.asarray(a, np.float64) for a in (qpos, qvel, qacc))
        parts = []
        with self._quiet(), self._wp.ScopedDevice(self._device):
            for low in range(0, len(qpos), self.nworld):
                part = slice(low, low + self.nworld)
                parts.append(self._evaluate_chunk(low, qpos[part], qvel[part], qacc[part], muscles=muscles))
        return concatenate(parts)

    def _evaluate_chunk(
        self, low: int, qpos: np.ndarray, qvel: np.ndarray, qacc: np.ndarray, *, muscles: bool
    ) -> FramePhysics:
        mjw, m, d, n = self._mjw, self._model, self._data, len(qpos)
        model, geoms = self.body.model, self._collision_geoms
        for field, value in (("qpos", qpos), ("qvel", qvel), ("qacc", qacc)):
            full = np.resize(value, (self.nworld, value.shape[1])).astype(np.float32)  # keeps the compiled shape
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
        inertial_force = d.qfrc_bias.numpy()[:n].astype(np.float64) + model.dof_armature * qacc
        force = inertial_force - passive_force
        slope = self.body.actuated.slope(qpos)
        xpos, xmat = d.geom_xpos.numpy()[:n, geoms.ids], d.geom_xmat.numpy()[:n, geoms.ids].reshape(n, -1, 3, 3)
        heights = geoms.lowest_heights(xpos.astype(np.float64), xmat.astype(np.float64))
        frame, pair, dist, overflow = self._contacts(n)
        length = d.actuator_length.numpy()[:n].copy()
        return FramePhysics(
            lowest=heights.min(axis=1),
            lowest_geom=geoms.ids[heights.argmin(axis=1)],
            contact_frame=frame + low,
            contact_geoms=pair,
            contact_dist=dist,
            muscle_length=length,
            wrench=root_wrench(force, qpos) if self.body.free else np.zeros((n, 6)),
            torque=self.body.actuated.to_independent(force, slope),
            muscles=self._muscles(n, slope) if muscles else None,
            overflow=overflow,
        )

    def _contacts(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Frame, geoms and distance of contacts within the body, and whether each frame may lack contacts."""
        d = self._data
        capacity = d.contact.dist.shape[0]
        ncontact = int(d.nacon.numpy()[0])
        count = min(ncontact, capacity)
        world, dist = d.contact.worldid.numpy()[:count], d.contact.dist.numpy()[:count].astype(np.float64)
        pair = np.sort(d.contact.geom.numpy()[:count], axis=1).astype(int)
        within_body = (world < n) & ~np.isin(pair, self._collision_geoms.floor).any(axis=1)
        overflow = d.overflow.numpy()[:n] != 0
        if max(ncontact, int(d.ncollision.numpy()[0])) > capacity:
            overflow = np.ones(n, bool)  # worlds share the buffer: any of them may have lost contacts
        return world[within_body].astype(int), pair[within_body], dist[within_body], overflow

    def _muscles(self, n: int, slope: np.ndarray) -> MuscleForces:
        mjw, m, d = self._mjw, self._model, self._data
        model, njoint = self.body.model, self.body.actuated.njoint
        d.act.zero_()
        mjw.fwd_actuation(m, d)
        passive = d.actuator_force.numpy()[:n].copy()
        d.act.fill_(1.0)
        mjw.fwd_actuation(m, d)
        full = d.actuator_force.numpy()[:n].copy()
        count, start = d.moment_rownnz.numpy()[:n], d.moment_rowadr.numpy()[:n]
        column, value = d.moment_colind.numpy()[:n], d.actuator_moment.numpy()[:n]
        to_joint = np.zeros(model.nv, int)
        reduced = self.body.actuated
        to_joint[reduced.moved_dof] = reduced.moved_driver
        scale = np.zeros((n, model.nv))
        scale[:, reduced.moved_dof] = slope
        size, nrow = count.ravel(), n * model.nu
        row = np.repeat(np.arange(nrow), size)  # muscles of all frames, frame after frame
        frame = row // model.nu
        entry = np.repeat(start.ravel() - np.cumsum(size) + size, size) + np.arange(len(row))
        dof = column[frame, entry]
        moment = np.bincount(
            row * njoint + to_joint[dof], weights=value[frame, entry] * scale[frame, dof], minlength=nrow * njoint
        )
        return MuscleForces(
            passive=passive, active=full - passive, moment=moment.reshape(n, model.nu, njoint).astype(np.float32)
        )
