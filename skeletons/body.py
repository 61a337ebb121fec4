"""A target body as data, for fitting, validation, simulation, rendering and export.

Each body is a table under `skeletons/bodies/`; all other code works with a `TargetBody` and refers to no body by name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version

import mujoco
import numpy as np

from musclemap import __version__

from .bare_tree import bare_tree
from .corrections import Correction
from .model_hash import model_hash
from .reduced import ReducedCoordinates, check_limits, reduce_model
from .scaling.segments import ScalableBody
from .soles import ContactPart, FootGeoms, Sole, find_foot_geoms, find_sole
from .support import SupportPart, SupportPoints, find_support_points
from .symmetry import mirror_points, symmetrise
from .tree import BodyPoint, Tree, build_tree
from .variants.variant import UNALTERED, BodyVariant

SIDES = ("r", "l")
SIDE_WORD = {"r": "right", "l": "left"}


@dataclass(frozen=True, kw_only=True)
class Landmark:
    """A tracked body of the target, and the source joints that it follows.

    Attributes:
        name: Body of the target whose origin is the landmark.
        joint: Source joint that gives the position.
        carrier: Source joint whose rotation also rotates the landmark's offset from `joint`.
        orientation: Source joint that gives the orientation, or None if the orientation is not fitted.
    """

    name: str
    joint: str = ""
    carrier: str = ""
    orientation: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fingertip:
    """The tip of a finger.

    Attributes:
        site: Site of the target at the tip.
        hand: Landmark that carries the hand; in its frame the tip shows what the finger does.
    """

    site: str
    hand: str


@dataclass(frozen=True, kw_only=True)
class Base:
    """The part of a person that a fixed body is attached to, and that moves with the person.

    The model's world is the frame of the base, at the root body's origin. Its motion follows from that of a source
    joint: the T-pose of a whole body says how the two lie to each other.

    Attributes:
        whole: Name of the whole body, which has the same bones.
        body: Bone of both models that is fixed to the base.
        joint: Source joint whose segment carries this bone.
    """

    whole: str
    body: str
    joint: str


@dataclass(frozen=True, kw_only=True)
class ArmCue:
    """What shows how an arm is turned in the T-pose, where its landmarks lie on a line.

    Attributes:
        elbow: Hinge of the elbow, which flexes forward.
        wrist: Body at the wrist.
        index: Body at the root of the index finger; with `little` it shows the palm, which faces down.
        little: Body at the root of the little finger.
        side: "r" or "l".
    """

    elbow: str
    wrist: str
    index: str
    little: str
    side: str


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Settings for fitting a body, by the names of its landmarks and joints.

    Attributes:
        position_weights: Field of `WeightConfig` that weights each landmark's position; a landmark that is not named is
            only measured.
        rotation_weights: Field that weights a landmark's orientation, if it is not "limb_rotation".
        smoothing: Field that scales the smoothness of a joint.
        bent: A configuration without singular joints [rad or m], at which the stiffness of the joints is evaluated.
        starts: Start configurations for anchor frames; joints not named are at rest [rad or m].
        polar: Joints that give a limb's direction in polar form: its elevation, and the plane of elevation, which does
            not move the limb while the elevation is zero.
        calibrated: Landmarks whose offset may be corrected from the motion itself.
        carried_by: For landmarks that move with a calibrated landmark, the name of that landmark.
        highest: Upper limits of the fit that are below those of the joints, by joint [rad or m].
        neutral: Joints that are zero in the T-pose but for fractions of a degree: trunk upright, legs straight ahead.
        t_pose: Values of other joints near which the T-pose is [rad or m]; joints that are not named are at rest.
        arms: Arms whose elbows and palms decide the T-pose.
        along_foot: Position of a landmark between the contact points of its heel (0) and toes (1), by its name.
    """

    position_weights: Mapping[str, str] = field(default_factory=dict)
    rotation_weights: Mapping[str, str] = field(default_factory=dict)
    smoothing: Mapping[str, str] = field(default_factory=dict)
    bent: Mapping[str, float] = field(default_factory=dict)
    starts: tuple[Mapping[str, float], ...] = ({},)
    polar: tuple[tuple[str, str], ...] = ()
    calibrated: tuple[str, ...] = ()
    carried_by: Mapping[str, str] = field(default_factory=dict)
    highest: Mapping[str, float] = field(default_factory=dict)
    neutral: tuple[str, ...] = ()
    t_pose: Mapping[str, float] = field(default_factory=dict)
    arms: tuple[ArmCue, ...] = ()
    along_foot: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetBody:
    """A body that motions are fitted to. Created by `musclemap.skeletons.bodies.load_body`.

    Attributes:
        name: Name, as in a clip's `model`.
        model: Full MuJoCo model including fingers and muscles; must not be changed.
        make_spec: Returns a new specification of the same model, which may be changed before compilation.
        package: Package that provides the model; ours if None.
        release: Version of a model that no package provides.
        landmarks: Tracked bodies, in the order of a clip's `landmark_names`. Positions are relative to the first.
        contact_parts: Parts that can touch the ground, in the order of a clip's `contact`; empty without feet.
        support_parts: Parts that can bear weight, in the order of a clip's `support_names`; feet first, left then
            right. Empty for a body that nothing supports.
        finger_joints: Joints that are locked unless hands are tracked.
        fingertips: Tips of the fingers, which policies observe where the fingers move.
        hands: Treatment of the fingers unless the settings say otherwise, "locked" or "tracked".
        base: What a fixed body is attached to if that moves; None for a free body, or one fixed to the ground.
        fit: Settings of the fit.
        source_to_target: Rotates the source's rest frame (x left, y up, z forward) to the model's, shape (3, 3).
        limits: Joint ranges: "effective", which keep every driven joint in its own range, or "declared".
        corrections: What differs from the model as its package releases it; already applied to `model`.
        variant: What differs from the body's table; already applied to `model`.
        scalable: Segments that are scaled to a person's size; None if the body has no table of them.
        muscle_groups: Muscles by action, without the suffix of their side; see `variants.groups`.
    """

    name: str
    model: mujoco.MjModel
    make_spec: Callable[[], mujoco.MjSpec]
    package: str | None
    release: str = ""
    landmarks: tuple[Landmark, ...]
    contact_parts: tuple[ContactPart, ...] = ()
    support_parts: tuple[SupportPart, ...] = ()
    finger_joints: tuple[str, ...] = ()
    fingertips: tuple[Fingertip, ...] = ()
    hands: str = "locked"
    base: Base | None = None
    fit: FitSettings = FitSettings()
    source_to_target: np.ndarray = field(default_factory=lambda: np.eye(3))
    limits: str = "effective"
    corrections: tuple[Correction, ...] = ()
    variant: BodyVariant = UNALTERED
    scalable: ScalableBody | None = None
    muscle_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_limits(self.limits)

    @property
    def free(self) -> bool:
        """Whether the root is free; if not, the body is fixed to the world."""
        return int(self.model.jnt_type[0]) == mujoco.mjtJoint.mjJNT_FREE

    @cached_property
    def reduced(self) -> ReducedCoordinates:
        """Reduced coordinates with fingers locked; unless limits are "declared", with the upper limits of the fit."""
        locked = frozenset(self.finger_joints)
        reduced = reduce_model(self.model, locked=locked, limits=self.limits, fixed=not self.free)
        highest = self.fit.highest if self.limits == "effective" else {}
        upper = [min(a, highest.get(name, np.inf)) for name, a in zip(reduced.joint_names, reduced.upper, strict=True)]
        return replace(reduced, upper=np.array(upper))

    @cached_property
    def reduced_hands(self) -> ReducedCoordinates:
        """Reduced coordinates with fingers free."""
        return reduce_model(self.model, limits=self.limits, fixed=not self.free)

    @property
    def actuated(self) -> ReducedCoordinates:
        """Independent joints whose moments the muscles have to supply: with the fingers if the body tracks hands."""
        return self.reduced_hands if self.hands == "tracked" else self.reduced

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """All joints of the full model in its order, a free root first."""
        return tuple(self.model.joint(j).name for j in range(self.model.njnt))

    @cached_property
    def landmark_names(self) -> tuple[str, ...]:
        """Names of the landmarks, shape (nlandmark,)."""
        return tuple(landmark.name for landmark in self.landmarks)

    @cached_property
    def landmark_ids(self) -> np.ndarray:
        """Body ids of the landmarks, shape (nlandmark,)."""
        return np.array([self.model.body(name).id for name in self.landmark_names])

    @cached_property
    def oriented(self) -> np.ndarray:
        """Indices of the landmarks that have an orientation target, shape (noriented,)."""
        return np.array([k for k, landmark in enumerate(self.landmarks) if landmark.orientation is not None], int)

    @cached_property
    def fitted(self) -> np.ndarray:
        """Indices of the landmarks that the fit uses, which are the first of `points`, shape (nfitted,)."""
        return np.array([k for k, name in enumerate(self.landmark_names) if name in self.fit.position_weights], int)

    @cached_property
    def oriented_points(self) -> np.ndarray:
        """Indices in `points` of the landmarks that have an orientation target, shape (noriented,)."""
        return np.searchsorted(self.fitted, self.oriented)

    @property
    def nlandmark(self) -> int:
        """Number of landmarks."""
        return len(self.landmarks)

    @property
    def ncontact(self) -> int:
        """Number of contact parts."""
        return len(self.contact_parts)

    @cached_property
    def sole(self) -> Sole:
        """Points under the feet."""
        return find_sole(self.model, self.contact_parts)

    @cached_property
    def foot_geoms(self) -> FootGeoms:
        """Colliding geoms of the feet, the right foot's first."""
        return find_foot_geoms(self.model, self.contact_parts)

    @cached_property
    def support(self) -> SupportPoints:
        """Points that can bear weight."""
        return find_support_points(self.model, self.support_parts, ignored_joints=self.finger_joints)

    @property
    def support_names(self) -> tuple[str, ...]:
        """Names of the parts that can bear weight, shape (nsupport,)."""
        return tuple(part.name for part in self.support_parts)

    @cached_property
    def mass(self) -> float:
        """Total mass [kg]."""
        return float(self.model.body_mass.sum())

    @cached_property
    def kinematic_model(self) -> mujoco.MjModel:
        """The tree without geoms, sites, tendons and muscles: several times faster for kinematics alone."""
        return bare_tree(self.model)

    @cached_property
    def floating_model(self) -> mujoco.MjModel:
        """The tree of a fixed body on a root that can move, for the forces of a moving base; its first joint is free.

        At the root's rest pose its bodies lie as in `model`.
        """
        return bare_tree(self.model, floating=True)

    @cached_property
    def symmetric_model(self) -> mujoco.MjModel:
        """The tree with exact mirror symmetry between left and right; unchanged for a one-sided body."""
        model = bare_tree(self.model)
        if self.free or self.base is not None:
            symmetrise(model)
        return model

    @cached_property
    def points(self) -> list[BodyPoint]:
        """Points that the solver tracks on `symmetric_model`: fitted landmarks, contacts, then the feet's spheres."""
        landmarks = [BodyPoint(int(body)) for body in self.landmark_ids[self.fitted]]
        soles = [*self.sole.contact, *self.sole.centre]
        if not soles:
            return landmarks
        bodies, offsets = np.array([p.body for p in soles]), np.array([p.offset for p in soles])
        moved = mirror_points(self.symmetric_model, bodies, offsets)
        return landmarks + [BodyPoint(int(b), tuple(o)) for b, o in zip(bodies, moved, strict=True)]

    @cached_property
    def tree(self) -> Tree:
        """Kinematic tree of `points` on `symmetric_model`."""
        return build_tree(replace(self.reduced, model=self.symmetric_model), self.points)

    @cached_property
    def version(self) -> str:
        """Version of the package that provides the model; the suffix "+corrected" says that `corrections` apply.

        A variant adds its short name.
        """
        released = self.release or (__version__ if self.package is None else version(self.package))
        return released + "+corrected" * bool(self.corrections) + f"+{self.variant.short_name}" * bool(self.variant)

    @cached_property
    def sha256(self) -> str:
        """Hash of the compiled model, which identifies the version of a body."""
        return model_hash(self.model)
