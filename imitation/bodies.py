"""Bodies that are moved by their muscles: the model to simulate, and where a clip's columns are in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import mujoco
import numpy as np

from musclemap.skeletons.errors import TargetError
from musclemap.skeletons.myofullbody import (
    CONTACT_NAMES,
    FINGER_JOINTS,
    LANDMARK_NAMES,
    SIDE_WORD,
    load_model,
    model_hash,
)
from musclemap.skeletons.polynomial import couplings
from musclemap.skeletons.small_arm import ARM_LANDMARKS, ARM_NAME, load_small_arm, small_arm_spec

from .config import PhysicsConfig
from .terrain import Ground, lay, make_ground

TOUCHES = 1e-6
"""Smallest moment arm of a muscle that acts on a joint [m]."""


_FREE, _HINGE, _SLIDE = (int(getattr(mujoco.mjtJoint, f"mjJNT_{name}")) for name in ("FREE", "HINGE", "SLIDE"))
_WIDTH = {_FREE: (7, 6), _HINGE: (1, 1), _SLIDE: (1, 1)}
"""Columns of qpos and of qvel that a joint has."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """A body to train.

    Attributes:
        name: Name of the target model, as clips have it.
        sha256: Hash of the whole model that clips are made for.
        model: What is simulated: muscles as controls, no sensors.
        nsubstep: Physics steps a control step.
        landmark_names: Tracked bodies; positions are taken relative to the first.
        joint_ids: Independent hinges and slides of `model`, shape (njoint,); neither the root nor driven joints.
        clip_qpos: Column of a clip's qpos for each of the model's, shape (nq,).
        clip_qvel: The same for qvel, shape (nv,).
        clip_act: Column of a clip's activation for each muscle, shape (nu,).
        contact_geoms: Geoms of each of the four parts of the feet, in the order of a clip's contacts; empty where the
            body has no feet.
        ground: What it moves on, or None where that is flat.
    """

    name: str
    sha256: str
    model: mujoco.MjModel
    nsubstep: int
    landmark_names: tuple[str, ...]
    joint_ids: np.ndarray
    clip_qpos: np.ndarray
    clip_qvel: np.ndarray
    clip_act: np.ndarray
    contact_geoms: tuple[tuple[int, ...], ...]
    ground: Ground | None = None

    @property
    def free(self) -> bool:
        """Whether the body has a free root: its first joint."""
        return int(self.model.jnt_type[0]) == _FREE

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


def load_body(name: str, config: PhysicsConfig | None = None) -> Body:
    """Make a body ready for training by the name of a clip's model; without a config, as published.

    Raises:
        TargetError: There is no such body, the message lists those there are; or it cannot stand on terrain.
    """
    known = {"MyoFullBody": _myofullbody, ARM_NAME: _small_arm}
    if name not in known:
        raise TargetError(f"no body {name!r} to train; there are: {', '.join(known)}")
    return known[name](config or PhysicsConfig())


def _small_arm(config: PhysicsConfig) -> Body:
    return _body(ARM_NAME, load_small_arm(), small_arm_spec(), config, landmarks=ARM_LANDMARKS, contact_geoms=())


def _myofullbody(config: PhysicsConfig) -> Body:
    import musclemimic_models

    full = load_model()
    spec = mujoco.MjSpec.from_file(str(Path(musclemimic_models.get_xml_path("myofullbody"))))
    if config.hands == "locked":
        _lock(spec, full, FINGER_JOINTS)
    parts = [(side, part) for side in ("l", "r") for part in ("calcn", "toes")]
    assert tuple(f"{SIDE_WORD[side]}_{'heel' if part == 'calcn' else 'toe'}" for side, part in parts) == CONTACT_NAMES
    return _body(
        "MyoFullBody", full, spec, config, landmarks=LANDMARK_NAMES,
        contact_geoms=tuple(f"{part}_{side}" for side, part in parts),
    )  # fmt: skip


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


def _body(
    name: str, full: mujoco.MjModel, spec: mujoco.MjSpec, config: PhysicsConfig, *, landmarks: Sequence[str],
    contact_geoms: Sequence[str],
) -> Body:  # fmt: skip
    for sensor in list(spec.sensors):
        spec.delete(sensor)
    spec.option.timestep = config.timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    spec.option.iterations, spec.option.ls_iterations = config.iterations, config.ls_iterations
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET  # what goes bad is to be seen
    if (ground := make_ground(config.terrain)) is not None:
        lay(spec, ground)
    model = spec.compile()
    muscles = np.array([full.actuator(model.actuator(i).name).id for i in range(model.nu)])
    for field in ("actuator_lengthrange", "actuator_gainprm", "actuator_biasprm", "actuator_acc0"):
        getattr(model, field)[:] = getattr(full, field)[muscles]  # compiled for the body with all its joints
    driven = {c.driven for c in couplings(model)}
    hinges = [j for j in range(model.njnt) if model.jnt_type[j] != _FREE]
    joints = [(full.joint(model.joint(j).name).id, *_WIDTH[int(model.jnt_type[j])]) for j in range(model.njnt)]
    qpos = np.concatenate([full.jnt_qposadr[j] + np.arange(nq) for j, nq, _ in joints])
    qvel = np.concatenate([full.jnt_dofadr[j] + np.arange(nv) for j, _, nv in joints])
    return Body(
        name=name,
        sha256=model_hash(full),
        model=model,
        nsubstep=config.nsubstep,
        landmark_names=tuple(landmarks),
        joint_ids=np.array([j for j in hinges if j not in driven]),
        clip_qpos=qpos,
        clip_qvel=qvel,
        clip_act=muscles,
        contact_geoms=tuple(_colliding(model, body) for body in contact_geoms),
        ground=ground,
    )


def _colliding(model: mujoco.MjModel, body: str) -> tuple[int, ...]:
    first, count = int(model.body(body).geomadr[0]), int(model.body(body).geomnum[0])
    return tuple(g for g in range(first, first + count) if model.geom_contype[g] or model.geom_conaffinity[g])
