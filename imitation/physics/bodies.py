"""Bodies as they are simulated, driven by their muscles, and where a clip's columns go in the simulated model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.errors import TargetError
from musclemap.skeletons.bodies import load_body, load_body_version
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.couplings import couplings
from musclemap.skeletons.soles import colliding_geoms
from musclemap.skeletons.submodel_columns import columns_of

from .base_forces import BaseForces
from .config import PhysicsConfig
from .terrain import HeightField, add_terrain, make_ground

MIN_MOMENT_ARM = 1e-6
"""A muscle acts on a joint if its moment arm exceeds this [m]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulationBody:
    """A target body as it is simulated and trained.

    Attributes:
        target: The body that clips are made for.
        model: The simulated model: muscles are its controls, and it has no sensors.
        nsubstep: Physics steps per control step.
        joint_ids: Independent hinges and slides of `model`, shape (njoint,), without the root and driven joints.
        clip_qpos: Column of a clip's qpos for each of the model's, shape (nq,).
        clip_qvel: Column of a clip's qvel for each of the model's, shape (nv,).
        clip_act: Column of a clip's activation for each muscle, shape (nu,).
        contact_geoms: Geoms of each of the four foot parts, in the order of a clip's contacts; empty for a body without
            feet.
        ground: The terrain, or None for flat ground.
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
        """Name of the target body, as stored in clips."""
        return self.target.name

    @property
    def sha256(self) -> str:
        """Hash of the complete model that clips are made for."""
        return self.target.sha256

    @property
    def landmark_names(self) -> tuple[str, ...]:
        """Names of the tracked bodies; relative positions refer to the first."""
        return self.target.landmark_names

    @property
    def free(self) -> bool:
        """Whether the body has a free root, which is then its first joint."""
        return self.target.free

    @cached_property
    def base_forces(self) -> BaseForces | None:
        """Forces of a moving base; None for a body without a base."""
        return None if self.target.base is None else BaseForces(self.model)

    @property
    def control_fps(self) -> float:
        """Control steps per second."""
        return 1.0 / (self.model.opt.timestep * self.nsubstep)

    @cached_property
    def landmark_ids(self) -> np.ndarray:
        """Body ids of the landmarks, shape (nlandmark,)."""
        return np.array([self.model.body(name).id for name in self.landmark_names])

    @property
    def qposadr(self) -> np.ndarray:
        """Address in qpos of each independent joint, shape (njoint,)."""
        return self.model.jnt_qposadr[self.joint_ids]

    @property
    def dofadr(self) -> np.ndarray:
        """Address in qvel of each independent joint, shape (njoint,)."""
        return self.model.jnt_dofadr[self.joint_ids]

    @cached_property
    def muscle_names(self) -> tuple[str, ...]:
        """Names of the muscles in the order of the controls."""
        return tuple(self.model.actuator(i).name for i in range(self.model.nu))

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the independent joints."""
        return tuple(self.model.joint(j).name for j in self.joint_ids)

    @cached_property
    def _part_of_geom(self) -> np.ndarray:
        """Part of `contact_geoms` that each geom belongs to, or -1, shape (ngeom,)."""
        part = np.full(self.model.ngeom, -1)
        for k, geoms in enumerate(self.contact_geoms):
            part[list(geoms)] = k
        return part

    @cached_property
    def _is_floor(self) -> np.ndarray:
        """Whether each geom is attached to the world body, shape (ngeom,) bool."""
        return np.isin(np.arange(self.model.ngeom), self.floor_ids)

    def parts_on_floor(self, data: mujoco.MjData) -> np.ndarray:
        """Whether each part of the feet touches the floor, shape (npart,) bool, from data with detected contacts."""
        pair = data.contact.geom[data.contact.dist <= 0]
        parts = self._part_of_geom[pair[self._is_floor[pair].any(axis=1)]]
        touching = np.zeros(len(self.contact_geoms), bool)
        touching[parts[parts >= 0]] = True
        return touching

    @cached_property
    def floor_ids(self) -> np.ndarray:
        """Ids of the geoms attached to the world body: the floor and objects standing on it."""
        return np.flatnonzero(self.model.geom_bodyid == 0)


def load_simulation_body(name: str, config: PhysicsConfig | None = None) -> SimulationBody:
    """Build the simulation model of a body, given the model name stored in a clip.

    Args:
        name: Name of the body.
        config: Settings; the published ones if None.

    Raises:
        TargetError: If the body is unknown, with a message that lists the known ones, or if it cannot stand on terrain.
    """
    config = config or PhysicsConfig()
    target = load_body(name, published=config.published, variant=config.variant)
    spec = target.make_spec()
    if config.hands == "locked" and target.finger_joints:
        _remove_joints(spec, target.model, target.finger_joints)
    return _simulation_body(target, spec, config)


def physics_for_clips(clips: Sequence[tuple[str, Clip]], config: PhysicsConfig) -> PhysicsConfig:
    """Settings of the physics for the body of some clips: the published model if every clip was made for that one.

    The clips' own variant is altered by that of the settings.

    Args:
        clips: Name and clip, at least one, all of the same body.
        config: Settings as given.

    Raises:
        TargetError: If the body is unknown, or the clips are of several variants.
    """
    variants = {clip.variant: name for name, clip in clips}
    if len(variants) > 1:
        found = "; ".join(f"{name}: {variant.text or 'unaltered'}" for variant, name in list(variants.items())[:5])
        raise TargetError(f"the clips are of {len(variants)} variants of the body: {found}; select those of one")
    (own,) = variants
    bodies = {load_body_version(clip.model, clip.model_sha256, variant=own).sha256 for _, clip in clips}
    released = load_body(clips[0][1].model, published=True, variant=own).sha256
    if bodies == {released}:
        config = replace(config, published=True)
    return replace(config, variant=own.altered_by(config.variant))


def refusal(body: SimulationBody, clip: Clip) -> str:
    """Why a body cannot follow a clip, without its subject, or "": the clip is of another body, version or variant.

    A body follows clips of its own table, as it is or altered; whatever alters the clip's body has to alter it too.
    """
    if clip.model != body.name or clip.landmark_names != body.landmark_names:
        return f"is a clip of {clip.model}, not of {body.name}"
    target = body.target
    if (clip.model_sha256, clip.variant) == (target.sha256, target.variant):
        return ""
    own = load_body_version(clip.model, clip.model_sha256, variant=clip.variant)
    if own.sha256 != clip.model_sha256 or own.corrections != target.corrections:
        return (
            f"was made for another version of {body.name} ({clip.model_version}, {clip.model_sha256[:12]}; "
            f"this version is {target.version}, {body.sha256[:12]})"
        )
    if not target.variant.extends(clip.variant):
        return f"is of a body with {clip.variant.text}, which this {body.name} does not have"
    return ""


def _remove_joints(spec: mujoco.MjSpec, full: mujoco.MjModel, joints: Sequence[str]) -> None:
    """Remove joints from a body, with the muscles that act on them."""
    data = mujoco.MjData(full)
    mujoco.mj_forward(full, data)
    moment = np.zeros((full.nu, full.nv))
    mujoco.mju_sparse2dense(moment, data.actuator_moment, data.moment_rownnz, data.moment_rowadr, data.moment_colind)
    columns = [int(full.joint(name).dofadr[0]) for name in joints]
    acting = np.flatnonzero(np.abs(moment[:, columns]).max(axis=1) > MIN_MOMENT_ARM)
    removed = {full.actuator(int(i)).name for i in acting}
    tendons = {actuator.target for actuator in spec.actuators if actuator.name in removed}
    shared = {actuator.target for actuator in spec.actuators if actuator.name not in removed}
    for actuator in [a for a in spec.actuators if a.name in removed]:
        spec.delete(actuator)
    for tendon in [t for t in spec.tendons if t.name in tendons - shared]:
        spec.delete(tendon)
    for joint in [j for j in spec.joints if j.name in set(joints)]:
        spec.delete(joint)


def _simulation_body(target: TargetBody, spec: mujoco.MjSpec, config: PhysicsConfig) -> SimulationBody:
    for sensor in list(spec.sensors):
        spec.delete(sensor)
    spec.option.timestep = config.timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    spec.option.iterations, spec.option.ls_iterations = config.iterations, config.ls_iterations
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET  # bad states must be reported
    if (ground := make_ground(config.terrain)) is not None:
        add_terrain(spec, ground)
    full, model = target.model, spec.compile()
    columns = columns_of(full, model)
    for field in ("actuator_lengthrange", "actuator_gainprm", "actuator_biasprm", "actuator_acc0"):
        getattr(model, field)[:] = getattr(full, field)[columns.act]  # computed by MuJoCo for the body with all joints
    driven = {c.driven for c in couplings(model)}
    first_joint = 1 if target.free else 0
    return SimulationBody(
        target=target,
        model=model,
        nsubstep=config.nsubstep,
        joint_ids=np.array([j for j in range(first_joint, model.njnt) if j not in driven]),
        clip_qpos=columns.qpos,
        clip_qvel=columns.qvel,
        clip_act=columns.act,
        contact_geoms=tuple(colliding_geoms(model, part.body) for part in target.contact_parts),
        ground=ground,
    )
