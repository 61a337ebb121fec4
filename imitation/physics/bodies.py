"""Bodies that are moved by their muscles: the model to simulate, and where a clip's columns are in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import mujoco
import numpy as np

from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.columns import columns_of
from musclemap.skeletons.couplings import couplings
from musclemap.skeletons.soles import colliding_geoms

from .config import PhysicsConfig
from .terrain import HeightField, lay, make_ground

TOUCHES = 1e-6
"""Smallest moment arm of a muscle that acts on a joint [m]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulationBody:
    """A target body as it is simulated and trained.

    Attributes:
        target: The body that clips are made for.
        model: What is simulated: muscles as controls, no sensors.
        nsubstep: Physics steps a control step.
        joint_ids: Independent hinges and slides of `model`, shape (njoint,); neither the root nor driven joints.
        clip_qpos: Column of a clip's qpos for each of the model's, shape (nq,).
        clip_qvel: The same for qvel, shape (nv,).
        clip_act: Column of a clip's activation for each muscle, shape (nu,).
        contact_geoms: Geoms of each of the four parts of the feet, in the order of a clip's contacts; empty where the
            body has no feet.
        ground: What it moves on, or None where that is flat.
    """

    target: TargetBody
    model: mujoco.MjModel
    nsubstep: int
    joint_ids: np.ndarray
    clip_qpos: np.ndarray
    clip_qvel: np.ndarray
    clip_act: np.ndarray
    contact_geoms: tuple[tuple[int, ...], ...]
    ground: HeightField | None = None

    @property
    def name(self) -> str:
        """Name of the target body, as clips have it."""
        return self.target.name

    @property
    def sha256(self) -> str:
        """Hash of the whole model that clips are made for."""
        return self.target.sha256

    @property
    def landmark_names(self) -> tuple[str, ...]:
        """Tracked bodies; positions are taken relative to the first."""
        return self.target.landmark_names

    @property
    def free(self) -> bool:
        """Whether the body has a free root: its first joint."""
        return self.target.free

    @property
    def control_fps(self) -> float:
        """Control steps a second."""
        return 1.0 / (self.model.opt.timestep * self.nsubstep)

    @cached_property
    def landmark_ids(self) -> np.ndarray:
        """Body ids of the landmarks, shape (nlandmark,)."""
        return np.array([self.model.body(name).id for name in self.landmark_names])

    @property
    def qposadr(self) -> np.ndarray:
        """Address in qpos of every independent joint, shape (njoint,)."""
        return self.model.jnt_qposadr[self.joint_ids]

    @property
    def dofadr(self) -> np.ndarray:
        """Address in qvel of every independent joint, shape (njoint,)."""
        return self.model.jnt_dofadr[self.joint_ids]

    @cached_property
    def muscle_names(self) -> tuple[str, ...]:
        """Muscles in the order of the controls."""
        return tuple(self.model.actuator(i).name for i in range(self.model.nu))

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the independent joints."""
        return tuple(self.model.joint(j).name for j in self.joint_ids)

    @cached_property
    def floor_ids(self) -> np.ndarray:
        """Geoms that belong to the world: the floor and whatever stands on it."""
        return np.flatnonzero(self.model.geom_bodyid == 0)


def load_simulation_body(name: str, config: PhysicsConfig | None = None) -> SimulationBody:
    """Make a body ready for training by the name of a clip's model; without a config, as published.

    Raises:
        TargetError: There is no such body, the message lists those there are; or it cannot stand on terrain.
    """
    config = config or PhysicsConfig()
    target = load_body(name)
    spec = target.make_spec()
    if config.hands == "locked" and target.finger_joints:
        _lock(spec, target.model, target.finger_joints)
    return _simulation_body(target, spec, config)


def _lock(spec: mujoco.MjSpec, full: mujoco.MjModel, joints: Sequence[str]) -> None:
    """Take joints out of a body, and the muscles that pull at them."""
    data = mujoco.MjData(full)
    mujoco.mj_forward(full, data)
    moment = np.zeros((full.nu, full.nv))
    mujoco.mju_sparse2dense(moment, data.actuator_moment, data.moment_rownnz, data.moment_rowadr, data.moment_colind)
    columns = [int(full.joint(name).dofadr[0]) for name in joints]
    gone = {full.actuator(int(i)).name for i in np.flatnonzero(np.abs(moment[:, columns]).max(axis=1) > TOUCHES)}
    tendons = {actuator.target for actuator in spec.actuators if actuator.name in gone}
    kept = {actuator.target for actuator in spec.actuators if actuator.name not in gone}
    for actuator in [a for a in spec.actuators if a.name in gone]:
        spec.delete(actuator)
    for tendon in [t for t in spec.tendons if t.name in tendons - kept]:
        spec.delete(tendon)
    for joint in [j for j in spec.joints if j.name in set(joints)]:
        spec.delete(joint)


def _simulation_body(target: TargetBody, spec: mujoco.MjSpec, config: PhysicsConfig) -> SimulationBody:
    for sensor in list(spec.sensors):
        spec.delete(sensor)
    spec.option.timestep = config.timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    spec.option.iterations, spec.option.ls_iterations = config.iterations, config.ls_iterations
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET  # what goes bad is to be seen
    if (ground := make_ground(config.terrain)) is not None:
        lay(spec, ground)
    full, model = target.model, spec.compile()
    columns = columns_of(full, model)
    for field in ("actuator_lengthrange", "actuator_gainprm", "actuator_biasprm", "actuator_acc0"):
        getattr(model, field)[:] = getattr(full, field)[columns.act]  # compiled for the body with all its joints
    driven = {c.driven for c in couplings(model)}
    first = 1 if target.free else 0
    return SimulationBody(
        target=target,
        model=model,
        nsubstep=config.nsubstep,
        joint_ids=np.array([j for j in range(first, model.njnt) if j not in driven]),
        clip_qpos=columns.qpos,
        clip_qvel=columns.qvel,
        clip_act=columns.act,
        contact_geoms=tuple(colliding_geoms(model, part.body) for part in target.contact_parts),
        ground=ground,
    )
