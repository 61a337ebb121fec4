"""Bodies of one's own: a `TargetBody` made from a table and its MJCF model, both of which may be a stranger's."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import mujoco
import numpy as np

from musclemap.errors import TargetError
from musclemap.skeletons.body import SIDE_WORD, ArmCue, FitSettings, Landmark, TargetBody
from musclemap.skeletons.couplings import couplings
from musclemap.skeletons.soles import ContactPart
from musclemap.skeletons.support import SupportPart

from .anatomy import ALONG_FOOT, CALIBRATED, FEET, JOINTS, TRACKING
from .body_table import BodyTable, read_body_table
from .mjcf_files import check_model_files
from .myofullbody import FIT, SOURCE_TO_TARGET

MAX_JOINTS, MAX_MUSCLES, MAX_GEOMS = 1000, 2000, 20_000
"""Largest model. MyoFullBody has 123 joints, 416 muscles and 900 geoms."""

MIN_HIP_WIDTH = 0.02
"""Smallest distance of the hips from each other, and of toes from heels, that shows where a model faces [m]."""

_T = TypeVar("_T")
_SIDES = {"right": "r", "left": "l"}


def load_own_body(path: Path, *, limits: str = "effective") -> TargetBody:
    """Load a body of one's own.

    Args:
        path: Its table.
        limits: "effective" or "declared" joint ranges, see `TargetBody`.

    Raises:
        TargetError: If the table or the model cannot be used; the message says what would be right.
    """
    return make_own_body(read_body_table(path), path, limits=limits)


def make_own_body(table: BodyTable, path: Path, *, limits: str = "effective") -> TargetBody:
    """Make a body of a table.

    Args:
        table: The table.
        path: Its file, in whose folder the model is.
        limits: "effective" or "declared" joint ranges.

    Raises:
        TargetError: As `load_own_body`.
    """
    make, model = load_model(path.parent / table.model, path.parent)
    names = _Names(table, model, path)
    names.check()
    _check_model(model, path)
    body = TargetBody(
        name=table.name, model=model, make_spec=make, package=None, release=table.version or "unnamed",
        landmarks=names.landmarks(), contact_parts=names.contact_parts(), support_parts=names.support_parts(),
        finger_joints=table.finger_joints, fit=names.fit(), source_to_target=SOURCE_TO_TARGET, limits=limits,
    )  # fmt: skip
    _check_posture(body, path)
    return body


def load_model(path: Path, root: Path) -> tuple[Callable[[], mujoco.MjSpec], mujoco.MjModel]:
    """Check and compile a model.

    Args:
        path: The model.
        root: Folder in which all its files must lie.

    Returns:
        A function that makes its specification, and the compiled model.

    Raises:
        TargetError: If a file is not allowed, or the model is too large or faulty.
    """
    check_model_files(path, root)
    make = partial(_make_spec, path)
    return make, _compile(make, path)


def _make_spec(path: Path) -> mujoco.MjSpec:
    """The model as a specification, with a floor if it has none."""
    try:
        spec = mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise TargetError(f"MuJoCo cannot read {path}: {error}") from error
    world = spec.worldbody
    if not any(geom.type == mujoco.mjtGeom.mjGEOM_PLANE for geom in world.geoms):
        world.add_geom(name="musclemap_floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.125])
    return spec


def _compile(make: Callable[[], mujoco.MjSpec], path: Path) -> mujoco.MjModel:
    spec = make()
    for kind, elements, most in (
        ("joints", spec.joints, MAX_JOINTS), ("muscles", spec.actuators, MAX_MUSCLES), ("geoms", spec.geoms, MAX_GEOMS)
    ):  # fmt: skip
        if len(elements) > most:
            raise TargetError(f"{path} has {len(elements):,} {kind}; at most {most:,} are supported")
    try:
        return spec.compile()
    except ValueError as error:
        raise TargetError(f"MuJoCo cannot compile {path}: {error}") from error


class _Names:
    """The parts of a body by the names of a table."""

    def __init__(self, table: BodyTable, model: mujoco.MjModel, path: Path) -> None:
        self._table, self._path = table, path
        self._bodies = {model.body(b).name for b in range(1, model.nbody)}
        self._joints = {model.joint(j).name for j in range(model.njnt)}
        driven = {model.joint(c.driven).name for c in couplings(model)}
        self._independent = self._joints - driven - set(table.finger_joints)

    def check(self) -> None:
        """Check that every key is known and every name exists.

        Raises:
            TargetError: If not; the message lists what there is.
        """
        table = self._table
        self._known("landmarks", table.landmarks, TRACKING)
        self._known("feet", table.feet, FEET)
        self._known("joints", table.joints, JOINTS)
        for name in [*table.landmarks.values(), *table.feet.values(), *table.trunk]:
            self._exists("body", name, self._bodies)
        for name in [*table.joints.values(), *table.finger_joints]:
            self._exists("joint", name, self._joints)
        if "pelvis" not in table.landmarks:
            raise TargetError(f"{self._path}: landmarks needs pelvis, to which all positions are relative")
        if len(table.feet) < len(FEET):
            missing = ", ".join(name for name in FEET if name not in table.feet)
            raise TargetError(f"{self._path}: feet lacks {missing}; a body stands on two feet")
        for joint, name in [*table.landmarks.items(), *table.feet.items()]:
            side = _SIDES.get(joint.partition("_")[0])
            if side and not name.endswith(f"_{side}"):
                raise TargetError(
                    f"{self._path}: {joint} is {name!r}; bodies of this side have names that end in _{side}"
                )
        if len(set(table.landmarks.values())) < len(table.landmarks):
            raise TargetError(f"{self._path}: two landmarks are the same body")

    def _known(self, section: str, entries: Mapping[str, str], known: object) -> None:
        allowed = list(known)  # type: ignore[call-overload]
        unknown = [key for key in entries if key not in allowed]
        if unknown:
            raise TargetError(f"{self._path}: {section} has no {unknown[0]!r}; it takes {', '.join(allowed)}")

    def _exists(self, kind: str, name: str, known: set[str]) -> None:
        if name not in known:
            some = ", ".join(sorted(known)[:60])
            raise TargetError(f"{self._path}: the model has no {kind} {name!r}; it has {some}")

    def landmarks(self) -> tuple[Landmark, ...]:
        """Landmarks in their usual order, the pelvis first."""
        entries = self._table.landmarks
        return tuple(
            Landmark(name=entries[joint], joint=joint, carrier=how.carrier, orientation=how.orientation)
            for joint, how in TRACKING.items() if joint in entries
        )  # fmt: skip

    def contact_parts(self) -> tuple[ContactPart, ...]:
        """Heels and toes, in the order of a clip's `contact`."""
        return tuple(
            ContactPart(name=name, body=self._table.feet[name], rear=part.rear) for name, part in FEET.items()
        )

    def support_parts(self) -> tuple[SupportPart, ...]:
        """Parts that can bear weight: the feet, and whatever else the table names."""
        entries, feet = self._table.landmarks, self._table.feet
        parts = [
            SupportPart(
                name=f"{side}_foot", bodies=(feet[f"{side}_heel"], feet[f"{side}_toe"]),
                carriers=(f"{side}_ankle", f"{side}_foot"),
            )
            for side in ("left", "right")
        ]  # fmt: skip
        taken = set(feet.values())
        for name, joints in (("hand", ("wrist",)), ("arm", ("shoulder", "elbow")), ("knee", ("knee",))):
            for side in ("left", "right"):
                named = [f"{side}_{joint}" for joint in joints if f"{side}_{joint}" in entries]
                members = [joint for joint in named if entries[joint] not in taken]
                if members:
                    bodies = tuple(entries[joint] for joint in members)
                    parts.append(SupportPart(name=f"{side}_{name}", bodies=bodies, carriers=tuple(members)))
        hips = [joint for joint in ("pelvis", "left_hip", "right_hip") if joint in entries]
        parts.append(SupportPart(name="pelvis", bodies=tuple(entries[j] for j in hips), carriers=tuple(hips)))
        if self._table.trunk:
            carriers = ("spine3",) * len(self._table.trunk)
            parts.append(SupportPart(name="trunk", bodies=self._table.trunk, carriers=carriers))
        return tuple(parts)

    def fit(self) -> FitSettings:
        """Settings of the fit: MyoFullBody's, for the joints and landmarks that this body has."""
        entries = self._table.landmarks
        tracked = {joint: how for joint, how in TRACKING.items() if joint in entries}
        shoulders = {side: f"{word}_shoulder" for side, word in SIDE_WORD.items()}
        return FitSettings(
            position_weights={entries[joint]: how.weight for joint, how in tracked.items()},
            rotation_weights={entries[j]: how.rotation_weight for j, how in tracked.items() if how.rotation_weight},
            smoothing=self._of_joints(FIT.smoothing),
            bent=self._of_joints(FIT.bent),
            starts=tuple({str(k): v for k, v in self._of_joints(start).items()} for start in FIT.starts),
            polar=tuple(
                pair for a, b in FIT.polar if len(pair := tuple(self._of_joints(dict.fromkeys((a, b), 0.0)))) == 2
            ),
            calibrated=tuple(entries[joint] for joint in self._both_sides(CALIBRATED)),
            carried_by={
                entries[f"{word}_{part}"]: entries[shoulders[side]]
                for side, word in SIDE_WORD.items() for part in ("elbow", "wrist")
                if f"{word}_{part}" in entries and shoulders[side] in self._both_sides(CALIBRATED)
            },
            highest=self._of_joints(FIT.highest),
            neutral=tuple(self._of_joints(dict.fromkeys(FIT.neutral, 0.0))),
            t_pose=self._of_joints(FIT.t_pose),
            arms=tuple(arm for arm in map(self._arm, FIT.arms) if arm is not None),
            along_foot={entries[joint]: part for joint, part in ALONG_FOOT.items() if joint in entries},
        )  # fmt: skip

    def _joint(self, usual: str) -> str | None:
        """Independent joint of the model that plays the part of one of MyoFullBody."""
        name = self._table.joints.get(usual, usual)
        return name if name in self._independent else None

    def _of_joints(self, values: Mapping[str, _T]) -> dict[str, _T]:
        return {name: value for usual, value in values.items() if (name := self._joint(usual)) is not None}

    def _both_sides(self, joints: tuple[str, ...]) -> list[str]:
        """Tracked joints whose counterpart on the other side is tracked, too."""
        entries = self._table.landmarks
        swap = {"left": "right", "right": "left"}

        def twin(joint: str) -> str:
            word, _, part = joint.partition("_")
            return f"{swap[word]}_{part}" if word in swap else joint

        return [joint for joint in joints if joint in entries and twin(joint) in entries]

    def _arm(self, usual: ArmCue) -> ArmCue | None:
        """The arm of one side if the model has its elbow, and a hand with MyoFullBody's names below the wrist."""
        elbow = self._joint(usual.elbow)
        wrist = self._table.landmarks.get(f"{SIDE_WORD[usual.side]}_wrist")
        if elbow is None or wrist is None or not {usual.index, usual.little} <= self._bodies:
            return None
        return ArmCue(elbow=elbow, wrist=wrist, index=usual.index, little=usual.little, side=usual.side)


def _check_model(model: mujoco.MjModel, path: Path) -> None:
    if model.njnt == 0 or model.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE:
        raise TargetError(
            f"{path}: the first joint of the model is not free; give its root body a <freejoint/> (bodies on a fixed "
            "base are MyoBimanualArm only)"
        )
    muscle = model.actuator_dyntype == mujoco.mjtDyn.mjDYN_MUSCLE
    others = [model.actuator(int(i)).name for i in np.flatnonzero(~muscle)]
    if others or not model.nu:
        found = f"{others[0]!r} is not one" if others else "there is none"
        raise TargetError(f"{path}: every actuator of a body is a muscle, but {found}")
    ties = [k for k in range(model.neq) if model.eq_type[k] != mujoco.mjtEq.mjEQ_JOINT and model.eq_active0[k]]
    if ties:
        raise TargetError(f"{path}: equality constraint {ties[0]} does not couple joints; only <joint> is supported")


def _check_posture(body: TargetBody, path: Path) -> None:
    """Check that tree and rest posture suit the fit.

    Raises:
        TargetError: If the model does not face -y with its left at +x while the root's quaternion is 1, or a landmark
            does not move against the pelvis.
    """
    rest = mujoco.MjData(body.model)
    rest.qpos[:] = body.reduced.base
    rest.qpos[3:7] = (1.0, 0.0, 0.0, 0.0)
    mujoco.mj_kinematics(body.model, rest)
    by_joint = {landmark.joint: rest.body(landmark.name).xpos for landmark in body.landmarks}
    parts = {part.name: rest.body(part.body).xpos for part in body.contact_parts}
    left = by_joint.get("left_hip", parts["left_heel"]) - by_joint.get("right_hip", parts["right_heel"])
    ahead = 0.5 * (parts["left_toe"] - parts["left_heel"] + parts["right_toe"] - parts["right_heel"])
    up = by_joint["pelvis"] - 0.5 * (parts["left_heel"] + parts["right_heel"])
    for word, vector, axis in (
        ("its left is +x", left, (1, 0, 0)), ("it faces -y", ahead, (0, -1, 0)), ("it stands upright", up, (0, 0, 1))
    ):  # fmt: skip
        if vector @ np.array(axis) < max(MIN_HIP_WIDTH, 0.7 * float(np.linalg.norm(vector))):
            raise TargetError(
                f"{path}: with the root's quaternion at 1 0 0 0 a body stands upright along z and faces -y, so that "
                f"its left is at +x; it is not so that {word} here (it points to {np.round(vector, 2).tolist()}). Put "
                "the bodies below the one with the free joint into a body that turns them"
            )
    weld = body.model.body_weldid[body.landmark_ids]
    fixed = [landmark.name for landmark, w in zip(body.landmarks[1:], weld[1:], strict=True) if w == weld[0]]
    if fixed:
        raise TargetError(f"{path}: no joint moves {fixed[0]} against the pelvis, so it cannot be a landmark")
    body.points  # noqa: B018 - the shapes of the feet are checked here, not in the middle of a conversion
    body.tree  # noqa: B018
