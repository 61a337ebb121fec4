"""MyoFullBody as a target: landmarks, finger joints, the soles of its feet, and how sources map onto it."""

from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path

import mujoco
import numpy as np

from .errors import TargetError
from .polynomial import couplings
from .reduced import ReducedModel, reduce_model
from .symmetry import mirror_points, symmetrise
from .tree import BodyPoint, Tree, build_tree

SIDES = ("r", "l")
SIDE_WORD = {"r": "right", "l": "left"}


@dataclass(frozen=True, kw_only=True)
class Landmark:
    """A tracked body of the target and what it follows in the source.

    Attributes:
        name: Body of the target whose origin is the landmark.
        joint: Source joint that gives the position.
        carrier: Source joint whose rotation carries the landmark's offset from `joint`.
        orientation: Source joint that gives the orientation, or None where orientation means nothing here.
    """

    name: str
    joint: str
    carrier: str
    orientation: str | None


_CENTRAL = (
    Landmark(name="pelvis", joint="pelvis", carrier="pelvis", orientation="pelvis"),
    Landmark(name="lumbar1", joint="spine2", carrier="spine1", orientation="spine3"),
    # The target has no neck: its head rides on the chest, so the source's neck and head rotations are left out.
    Landmark(name="head", joint="head", carrier="spine3", orientation=None),
)
_PAIRED = (
    Landmark(name="humerus", joint="shoulder", carrier="collar", orientation="shoulder"),
    Landmark(name="ulna", joint="elbow", carrier="shoulder", orientation=None),
    Landmark(name="lunate", joint="wrist", carrier="elbow", orientation="wrist"),
    Landmark(name="femur", joint="hip", carrier="pelvis", orientation="hip"),
    Landmark(name="tibia", joint="knee", carrier="hip", orientation="knee"),
    Landmark(name="talus", joint="ankle", carrier="knee", orientation="ankle"),
    Landmark(name="toes", joint="foot", carrier="ankle", orientation="foot"),
)


def _sided(landmark: Landmark, side: str) -> Landmark:
    word = SIDE_WORD[side]
    rename = lambda joint: joint if joint == "pelvis" else f"{word}_{joint}"  # noqa: E731
    return Landmark(
        name=f"{landmark.name}_{side}",
        joint=rename(landmark.joint),
        carrier=rename(landmark.carrier),
        orientation=None if landmark.orientation is None else rename(landmark.orientation),
    )


LANDMARKS = _CENTRAL + tuple(_sided(landmark, side) for side in SIDES for landmark in _PAIRED)
"""The 17 bodies tracked in the literature; the right side's seven, then the left's, from one table."""

LANDMARK_NAMES = tuple(landmark.name for landmark in LANDMARKS)
FOOT_LANDMARKS = ("talus_r", "toes_r", "talus_l", "toes_l")

CONTACT_NAMES = ("left_heel", "left_toe", "right_heel", "right_toe")
"""Columns of a clip's `/contact`."""

_FINGER_DIGITS = ("2", "3", "4", "5")
FINGER_JOINTS = tuple(
    f"{name}_{side}"
    for side in SIDES
    for name in (
        "cmc_flexion", "cmc_abduction", "mp_flexion", "ip_flexion",
        *(f"{part}{digit}_{motion}" for digit in _FINGER_DIGITS
          for part, motion in (("mcp", "flexion"), ("mcp", "abduction"), ("pm", "flexion"), ("md", "flexion"))),
    )
)  # fmt: skip

SOURCE_TO_TARGET = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Turns the source's rest frame (x left, y up, z forward) into the target's (x left, y backward, z up)."""


class MyoFullBody:
    """The target body, compiled once: full model, reduced coordinates with fingers locked, points to follow."""

    def __init__(self, *, limits: str = "effective") -> None:
        self.model = load_model()
        self.limits = limits
        self.reduced: ReducedModel = reduce_model(self.model, locked=frozenset(FINGER_JOINTS), limits=limits)
        self.reduced_hands: ReducedModel = reduce_model(self.model, limits=limits)

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """All joints of the full model in its order, the root first."""
        return tuple(self.model.joint(j).name for j in range(self.model.njnt))

    @cached_property
    def landmark_ids(self) -> np.ndarray:
        """Body ids of the landmarks, shape (17,)."""
        return np.array([self.model.body(name).id for name in LANDMARK_NAMES])

    @cached_property
    def sole(self) -> "Sole":
        """Points under the feet."""
        return _sole(self.model)

    @cached_property
    def symmetric_model(self) -> mujoco.MjModel:
        """The tree alone, left and right exact mirror images; up to 1.2 mm from the real one at the wrists."""
        model = bare_tree(self.model)
        symmetrise(model)
        return model

    @cached_property
    def points(self) -> list[BodyPoint]:
        """Points that the solver follows on `symmetric_model`: 17 landmarks, 4 contacts, then the feet's spheres."""
        soles = [*self.sole.contact, *self.sole.centre]
        bodies, offsets = np.array([p.body for p in soles]), np.array([p.offset for p in soles])
        moved = mirror_points(self.symmetric_model, bodies, offsets)
        landmarks = [BodyPoint(int(body)) for body in self.landmark_ids]
        return landmarks + [BodyPoint(int(b), tuple(o)) for b, o in zip(bodies, moved, strict=True)]

    @cached_property
    def tree(self) -> Tree:
        """Kinematic tree of `points` on `symmetric_model`."""
        return build_tree(replace(self.reduced, model=self.symmetric_model), self.points)

    @cached_property
    def kinematic_model(self) -> mujoco.MjModel:
        """The same tree without geoms, sites, tendons and muscles: several times quicker where poses are enough."""
        return bare_tree(self.model)

    @cached_property
    def foot_geoms(self) -> "FootGeoms":
        """Colliding geoms of the feet, the right foot's first."""
        return _foot_geoms(self.model)

    @cached_property
    def version(self) -> str:
        """Version of the package that the model came from."""
        return version("musclemimic-models")

    @cached_property
    def sha256(self) -> str:
        """Hash of the compiled model, so that another version of the body is told apart."""
        return model_hash(self.model)


@dataclass(frozen=True, kw_only=True)
class Sole:
    """What touches the ground.

    Attributes:
        contact: Four points, in the order of `CONTACT_NAMES`: under the heel on the calcaneus, under the toes.
        centre: Centres of the spheres at both ends of the feet's capsules. Ellipsoids lie inside their hull until the
            foot tilts by 80 degrees: a prone or kneeling foot can sink unseen.
        radius: Radius of each sphere [m], shape (ncentre,).
    """

    contact: tuple[BodyPoint, ...]
    centre: tuple[BodyPoint, ...]
    radius: np.ndarray


@dataclass(frozen=True, kw_only=True)
class FootGeoms:
    """Capsules and ellipsoids that touch the ground, the right foot's first, the left's as many after.

    Attributes:
        body: Body of each, shape (ngeom,).
        pos: Centre in the body's frame [m], shape (ngeom, 3).
        rot: Orientation in the body's frame, shape (ngeom, 3, 3).
        size: MuJoCo's sizes [m], shape (ngeom, 3).
        capsule: Which are capsules, shape (ngeom,).
    """

    body: np.ndarray
    pos: np.ndarray
    rot: np.ndarray
    size: np.ndarray
    capsule: np.ndarray

    def reach(self, up: np.ndarray) -> np.ndarray:
        """How far each geom reaches below its centre, (ngeom,) [m]; `up` is the vertical in its frame, (ngeom, 3)."""
        long = self.size[:, 0] + self.size[:, 1] * np.abs(up[:, 2])
        return np.where(self.capsule, long, np.linalg.norm(self.size * up, axis=1))


def _foot_geoms(model: mujoco.MjModel) -> FootGeoms:
    bodies = [model.body(f"{name}_{side}").id for side in SIDES for name in ("calcn", "toes")]
    geoms = np.array([g for body in bodies for g in _colliding_geoms(model, body)])
    rot = np.empty((len(geoms), 9))
    for row, geom in zip(rot, geoms, strict=True):
        mujoco.mju_quat2Mat(row, model.geom_quat[geom])
    return FootGeoms(
        body=model.geom_bodyid[geoms],
        pos=model.geom_pos[geoms],
        rot=rot.reshape(-1, 3, 3),
        size=model.geom_size[geoms],
        capsule=model.geom_type[geoms] == mujoco.mjtGeom.mjGEOM_CAPSULE,
    )


def _sole(model: mujoco.MjModel) -> Sole:
    contact: dict[str, BodyPoint] = {}
    centres: list[BodyPoint] = []
    radii: list[float] = []
    for side in SIDES:
        for part, body_name in (("heel", f"calcn_{side}"), ("toe", f"toes_{side}")):
            body = model.body(body_name).id
            ends: list[tuple[np.ndarray, float]] = []
            for geom in _colliding_geoms(model, body):
                spheres = _spheres(model, geom)
                centres += [BodyPoint(body, tuple(p)) for p, _ in spheres]
                radii += [r for _, r in spheres]
                if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE:
                    ends += spheres
            contact[f"{SIDE_WORD[side]}_{part}"] = BodyPoint(body, _contact_point(model, body, part, ends))
    return Sole(contact=tuple(contact[name] for name in CONTACT_NAMES), centre=tuple(centres), radius=np.array(radii))


def _colliding_geoms(model: mujoco.MjModel, body: int) -> list[int]:
    first = int(model.body_geomadr[body])
    geoms = range(first, first + int(model.body_geomnum[body]))
    return [g for g in geoms if model.geom_contype[g] or model.geom_conaffinity[g]]


def _spheres(model: mujoco.MjModel, geom: int) -> list[tuple[np.ndarray, float]]:
    """Spheres inside a geom that have its lowest point (capsule) or nearly so (flat ellipsoid), body frame."""
    pos, mat = model.geom_pos[geom], np.empty(9)
    mujoco.mju_quat2Mat(mat, model.geom_quat[geom])
    mat, size = mat.reshape(3, 3), model.geom_size[geom]
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return [(pos + sign * size[1] * mat[:, 2], float(size[0])) for sign in (-1.0, 1.0)]
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        return []  # inside the hull of the foot's capsules on the sole's side; checked in tests/test_myofullbody.py
    raise TargetError(f"foot geom {model.geom(geom).name!r} is neither capsule nor ellipsoid")


def _contact_point(
    model: mujoco.MjModel, body: int, part: str, ends: list[tuple[np.ndarray, float]]
) -> tuple[float, float, float]:
    """Point under the rear ends of the heel's capsules, or under the middle of the toes', body frame."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    rot = data.xmat[body].reshape(3, 3)
    world = [rot @ p for p, _ in ends]
    if part == "heel":  # the model faces -y: the rear end of each capsule is the one with the larger y
        keep = [
            max(pair, key=lambda k: world[k][1])
            for pair in zip(range(0, len(ends), 2), range(1, len(ends), 2), strict=True)
        ]
    else:
        keep = list(range(len(ends)))
    centre = np.mean([ends[k][0] for k in keep], axis=0)
    low = min(world[k][2] - ends[k][1] for k in keep)
    below = rot.T @ np.array([0.0, 0.0, low - (rot @ centre)[2]])
    return tuple(float(v) for v in centre + below)  # type: ignore[return-value]


@cache
def load_model() -> mujoco.MjModel:
    """Load MyoFullBody from the package musclemimic-models.

    Raises:
        TargetError: The package has no such model.
    """
    import musclemimic_models  # its import is cheap, but it is needed only here

    path = Path(musclemimic_models.get_xml_path("myofullbody"))
    if not path.is_file():
        raise TargetError(f"musclemimic-models {version('musclemimic-models')} has no MyoFullBody at {path.name}")
    return mujoco.MjModel.from_xml_path(str(path))


def bare_tree(model: mujoco.MjModel, *, without: frozenset[str] = frozenset()) -> mujoco.MjModel:
    """Build a body anew from its tree, joints, couplings and inertias alone.

    Bodies keep their numbers, and joints too unless some, uncoupled ones, are left `without`.
    """
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    bodies = [spec.worldbody]
    for b in range(1, model.nbody):
        inertial = {
            "mass": model.body_mass[b], "inertia": model.body_inertia[b], "ipos": model.body_ipos[b],
            "iquat": model.body_iquat[b], "explicitinertial": True,
        }  # fmt: skip
        parent = bodies[model.body_parentid[b]]
        body = parent.add_body(name=model.body(b).name, pos=model.body_pos[b], quat=model.body_quat[b], **inertial)
        bodies.append(body)
        for j in range(model.body_jntadr[b], model.body_jntadr[b] + model.body_jntnum[b]):
            if model.joint(j).name in without:
                continue
            if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE:
                body.add_freejoint(name=model.joint(j).name)
                continue
            body.add_joint(
                name=model.joint(j).name,
                type=model.jnt_type[j],
                pos=model.jnt_pos[j],
                axis=model.jnt_axis[j],
                range=model.jnt_range[j],
                limited=int(model.jnt_limited[j]),
                ref=model.qpos0[model.jnt_qposadr[j]],
            )
    for c in couplings(model):
        data = np.zeros(mujoco.mjNEQDATA)
        data[: len(c.coef)] = c.coef
        driver = model.joint(c.driver).name if c.driver >= 0 else ""
        spec.add_equality(
            type=mujoco.mjtEq.mjEQ_JOINT,
            objtype=mujoco.mjtObj.mjOBJ_JOINT,
            name1=model.joint(c.driven).name,
            name2=driver,
            data=data.tolist(),
            active=True,
        )
    return spec.compile()


def model_hash(model: mujoco.MjModel) -> str:
    """SHA-256 over the arrays that make up a body: tree, joints, couplings, geometry, inertia and muscles."""
    import hashlib

    digest = hashlib.sha256()
    names = (
        "body_parentid body_pos body_quat body_ipos body_iquat body_mass body_inertia "
        "jnt_type jnt_pos jnt_axis jnt_range jnt_limited qpos0 dof_damping dof_armature "
        "eq_type eq_obj1id eq_obj2id eq_active0 eq_data "
        "geom_type geom_size geom_pos geom_quat geom_contype geom_conaffinity geom_friction site_pos "
        "tendon_range tendon_stiffness wrap_type wrap_objid wrap_prm "
        "actuator_gainprm actuator_biasprm actuator_lengthrange actuator_dynprm"
    )
    digest.update(bytes(model.names))
    for name in names.split():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(getattr(model, name)).tobytes())
    return digest.hexdigest()
