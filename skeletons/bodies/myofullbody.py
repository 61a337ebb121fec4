"""MyoFullBody: landmarks, finger joints, contact parts, mapping from the source, and settings of the fit."""

from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

import mujoco
import numpy as np

from musclemap.errors import TargetError
from musclemap.skeletons.body import SIDE_WORD, SIDES, ArmCue, Fingertip, FitSettings, Landmark, TargetBody
from musclemap.skeletons.corrections import InertiaCorrection, PassiveForceCorrection, apply_corrections
from musclemap.skeletons.soles import ContactPart
from musclemap.skeletons.support import SupportPart
from musclemap.skeletons.variants.muscle_groups import MUSCLE_GROUPS

from .human_segments import HUMAN

NAME = "MyoFullBody"
PACKAGE = "musclemimic-models"

_CENTRAL = (
    Landmark(name="pelvis", joint="pelvis", carrier="pelvis", orientation="pelvis"),
    Landmark(name="lumbar1", joint="spine2", carrier="spine1", orientation="spine3"),
    # The target has no neck: its head is fixed to the chest, so the source's neck and head rotations are ignored.
    Landmark(name="head", joint="head", carrier="spine3", orientation=None),
)
PAIRED_LANDMARKS = (
    Landmark(name="humerus", joint="shoulder", carrier="collar", orientation="shoulder"),
    Landmark(name="ulna", joint="elbow", carrier="shoulder", orientation=None),
    Landmark(name="lunate", joint="wrist", carrier="elbow", orientation="wrist"),
    Landmark(name="femur", joint="hip", carrier="pelvis", orientation="hip"),
    Landmark(name="tibia", joint="knee", carrier="hip", orientation="knee"),
    Landmark(name="talus", joint="ankle", carrier="knee", orientation="ankle"),
    Landmark(name="toes", joint="foot", carrier="ankle", orientation="foot"),
)


def sided(landmark: Landmark, side: str) -> Landmark:
    """A landmark of one side, from the table of both."""
    word = SIDE_WORD[side]
    rename = lambda joint: joint if joint == "pelvis" else f"{word}_{joint}"  # noqa: E731
    return Landmark(
        name=f"{landmark.name}_{side}",
        joint=rename(landmark.joint),
        carrier=rename(landmark.carrier),
        orientation=None if landmark.orientation is None else rename(landmark.orientation),
    )


LANDMARKS = _CENTRAL + tuple(sided(landmark, side) for side in SIDES for landmark in PAIRED_LANDMARKS)
"""The 17 bodies tracked in the literature; seven of the right side, then seven of the left, from one table."""

LANDMARK_NAMES = tuple(landmark.name for landmark in LANDMARKS)
CONTACT_PARTS = tuple(
    ContactPart(name=f"{SIDE_WORD[side]}_{part}", body=f"{body}_{side}", rear=part == "heel")
    for side in ("l", "r")
    for part, body in (("heel", "calcn"), ("toe", "toes"))
)
CONTACT_NAMES = tuple(part.name for part in CONTACT_PARTS)
"""Columns of a clip's `/contact`."""

_SIDED_SUPPORT: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("foot", (("calcn", "ankle"), ("toes", "foot"))),
    ("hand", (("lunate", "wrist"),)),
    ("arm", (("humerus", "shoulder"), ("ulna", "elbow"))),
    ("knee", (("tibia", "knee"),)),
)
SUPPORT_PARTS = (
    *(
        SupportPart(
            name=f"{SIDE_WORD[side]}_{name}",
            bodies=tuple(f"{body}_{side}" for body, _ in members),
            carriers=tuple(f"{SIDE_WORD[side]}_{joint}" for _, joint in members),
        )
        for name, members in _SIDED_SUPPORT
        for side in ("l", "r")
    ),
    SupportPart(name="pelvis", bodies=("pelvis", "femur_l", "femur_r"), carriers=("pelvis", "left_hip", "right_hip")),
    SupportPart(name="trunk", bodies=("torso", "thorax"), carriers=("spine3", "spine3")),
    SupportPart(name="head", bodies=("neck",), carriers=("spine3",)),
)
"""Parts that can bear weight; "knee" is the shank with the knee, "arm" the arm without the hand, "trunk" the back."""

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

FINGERTIPS = tuple(
    Fingertip(site=f"{finger}tip{suffix}", hand=f"lunate_{side}")
    for side, suffix in (("r", ""), ("l", "_left"))
    for finger in ("TH", "IF", "MF", "RF", "LF")
)
"""Sites at the tips of thumb, index, middle, ring and little finger. Nothing but finger joints moves them against the
lunate, below the wrist."""

SOURCE_TO_TARGET = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Rotates the source's rest frame (x left, y up, z forward) to the target's (x left, y backward, z up)."""


_SIDED_WEIGHTS = {
    "humerus": "arm", "ulna": "arm", "lunate": "arm", "femur": "leg", "tibia": "leg", "talus": "foot", "toes": "foot",
}  # fmt: skip
_STARTS: tuple[dict[str, float], ...] = (
    {"shoulder_elv": 0.5, "elbow_flex": 0.4, "knee_angle": 0.3, "hip_flexion": 0.2},
    {"shoulder_elv": 1.5, "elv_angle": 0.8, "elbow_flex": 1.2, "knee_angle": 1.2, "hip_flexion": 1.0},
    {"shoulder_elv": 0.8, "elv_angle": -0.9, "elbow_flex": 0.6, "knee_angle": 0.6, "hip_flexion": -0.2},
    {"shoulder_elv": 2.5, "elv_angle": 0.4, "shoulder_rot": 0.8, "elbow_flex": 1.5, "hip_flexion": 1.5,
     "knee_angle": 1.8},
)  # fmt: skip
"""Near standing, arms forward, arms back, arms up and crouched, both sides alike. The set covers both sides of the
shoulder's singularity."""


def both_sides(values: dict[str, float]) -> dict[str, float]:
    """Values of joints by name without side, for both sides."""
    return {f"{name}_{side}": value for name, value in values.items() for side in SIDES}


_LEG_JOINTS = (
    "hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle", "subtalar_angle", "mtp_angle",
)  # fmt: skip
NEUTRAL = (
    "flex_extension", "lat_bending", "axial_rotation", *(f"{name}_{side}" for side in SIDES for name in _LEG_JOINTS),
)  # fmt: skip
"""Landmarks do not determine these in the T-pose: the hips are too close to the pelvis's origin to show its tilt, and a
straight leg can turn about itself. Where the bodies differ, the landmarks' offsets do."""

HIGHEST_PRONATION = float(np.deg2rad(67.0))
"""Limit of the fit [rad]. Above 67.6 degrees, at any elbow flexion, the tendons SUP and SUP_left slip to the other side
of the bone they wrap: the supinator shortens from 72 to 44 mm between two frames."""

FIT = FitSettings(
    position_weights={"pelvis": "pelvis", "lumbar1": "trunk", "head": "trunk"}
    | {f"{name}_{side}": group for name, group in _SIDED_WEIGHTS.items() for side in SIDES},
    rotation_weights={"pelvis": "pelvis_rotation", "lumbar1": "trunk_rotation"},
    smoothing={f"{name}_{side}": "twist" for name in ("elv_angle", "shoulder_rot") for side in SIDES}
    | {f"mtp_angle_{side}": "toes" for side in SIDES},
    bent=both_sides({"knee_angle": 0.5, "elbow_flex": 0.5, "shoulder_elv": 0.5, "hip_flexion": 0.3}),
    starts=tuple(both_sides(start) for start in _STARTS),
    polar=tuple((f"shoulder_elv_{side}", f"elv_angle_{side}") for side in SIDES),
    calibrated=("lumbar1", "head", "humerus_r", "ulna_r", "tibia_r", "humerus_l", "ulna_l", "tibia_l"),
    carried_by={f"{name}_{side}": f"humerus_{side}" for name in ("ulna", "lunate") for side in SIDES},
    highest=both_sides({"pro_sup": HIGHEST_PRONATION}),
    neutral=NEUTRAL,
    t_pose=both_sides({"shoulder_elv": np.pi / 2}),
    arms=tuple(
        ArmCue(
            elbow=f"elbow_flex_{side}", wrist=f"lunate_{side}", index=f"secondmc_{side}", little=f"fifthmc_{side}",
            side=side,
        )
        for side in SIDES
    ),
    along_foot={f"{name}_{side}": part for side in SIDES for name, part in (("talus", 0.2), ("toes", 0.87))},
)


SHOULDER_INERTIA = InertiaCorrection(
    bodies=tuple(f"{name}_{side}" for side in SIDES for name in ("clavphant", "scapphant", "humphant", "humphant1")),
    published=(1.0, 1.0, 1.0),
    corrected=(1e-4, 1e-4, 1e-4),
    source="massless links of the shoulder, 1 g each: a sphere of 1 g and 5 cm radius has 1e-6 kg m^2, but the "
    "model's compiler raises inertia to at least 1e-4 (boundinertia). Together they add 8 kg m^2 to the trunk's "
    "rotation, 0.59 without them (reported as MyoHub/myo_sim#128)",
)

CORRECTIONS = (
    SHOULDER_INERTIA,
    *(
        PassiveForceCorrection(
            muscles=(f"{name}_r", f"{name}_l"),
            published=published,
            corrected=0.03,
            source=f"upright standing stretches them to {length} optimal fibre lengths, where they pull with {force} "
            "peak forces; together they bend the trunk with 90 Nm, which the back muscles balance at half of their "
            "strength. Fibres of the rectus abdominis are 28.3 cm long (Delp et al. 2001, J Biomech 34) and its "
            "tendons 7.6 cm, so at 38 cm it is near its optimal length and slack without activation",
        )
        for name, published, length, force in (("rect_abd", 3.42695, 1.39, 1.04), ("EO1", 4.65032, 1.49, 2.26))
    ),
)
"""What is changed in the released model unless it is loaded as published."""


def load_myofullbody(*, limits: str = "effective", published: bool = False) -> TargetBody:
    """MyoFullBody with 416 muscles, from the package musclemimic-models, corrected unless `published`."""
    return TargetBody(
        name=NAME, model=load_model(published=published), make_spec=partial(make_spec, published=published),
        package=PACKAGE, landmarks=LANDMARKS, contact_parts=CONTACT_PARTS, support_parts=SUPPORT_PARTS,
        finger_joints=FINGER_JOINTS, fingertips=FINGERTIPS, fit=FIT, source_to_target=SOURCE_TO_TARGET, limits=limits,
        corrections=() if published else CORRECTIONS, muscle_groups=MUSCLE_GROUPS,
        scalable=HUMAN,
    )  # fmt: skip


def make_spec(*, published: bool = False) -> mujoco.MjSpec:
    """The model as a specification that can be changed before compilation.

    Args:
        published: Leave the model as released, without `CORRECTIONS`.

    Raises:
        TargetError: If the package has no such model, or one that the corrections do not fit.
    """
    return apply_corrections(mujoco.MjSpec.from_file(str(_path())), () if published else CORRECTIONS)


@cache
def load_model(*, published: bool = False) -> mujoco.MjModel:
    """The compiled model; arguments and errors are those of `make_spec`."""
    return make_spec(published=published).compile()


def _path() -> Path:
    return model_path("myofullbody", NAME)


def model_path(entry: str, name: str) -> Path:
    """Path of a model of the package.

    Args:
        entry: The package's own name of the model.
        name: Name of the body, for the message.

    Raises:
        TargetError: If the package has no such model.
    """
    import musclemimic_models  # here because only this function needs it

    path = Path(musclemimic_models.get_xml_path(entry))
    if not path.is_file():
        raise TargetError(f"{PACKAGE} {version(PACKAGE)} has no {name} at {path.name}")
    return path
