"""MyoBimanualArm: both arms and hands of MyoFullBody on a chest that is fixed to the model's world.

Joints, muscles and bones are MyoFullBody's and lie identically to the thorax. Nothing below the chest exists: no feet,
no floor, no ground forces. Motions are taken in the frame of the chest, which moves with the person (`Base`).
"""

from functools import cache, partial

import mujoco

from musclemap.skeletons.body import SIDE_WORD, SIDES, Base, FitSettings, Landmark, TargetBody
from musclemap.skeletons.corrections import GeomRemoval, JointCorrection, apply_corrections
from musclemap.skeletons.variants.muscle_groups import MUSCLE_GROUPS

from .human_segments import HUMAN
from .myofullbody import (
    FINGER_JOINTS,
    FINGERTIPS,
    HIGHEST_PRONATION,
    PACKAGE,
    PAIRED_LANDMARKS,
    SHOULDER_INERTIA,
    SOURCE_TO_TARGET,
    both_sides,
    model_path,
    sided,
)
from .myofullbody import NAME as WHOLE_NAME

NAME = "MyoBimanualArm"

BASE = Base(whole=WHOLE_NAME, body="thorax", joint="spine3")

_FINGERS = {"index": "2", "middle": "3", "ring": "4", "pinky": "5"}
FINGER_BONES = (
    ("thumb1", "firstmc_{}"), ("thumb2", "proximal_thumb_{}"), ("thumb3", "distal_thumb_{}"),
    *((f"{finger}{k}", f"{digit}{bone}_{{}}")
      for finger, digit in _FINGERS.items() for k, bone in ((1, "proxph"), (2, "midph"), (3, "distph"))),
)  # fmt: skip
"""Source joint and body of every finger bone of one hand; the body's origin is the joint's centre."""


def _finger(joint: str, bone: str, side: str) -> Landmark:
    word = SIDE_WORD[side]
    return Landmark(name=bone.format(side), joint=f"{word}_{joint}", carrier=f"{word}_wrist")


_ARM = tuple(landmark for landmark in PAIRED_LANDMARKS if landmark.name in ("humerus", "ulna", "lunate"))
LANDMARKS = (
    Landmark(name="thorax", joint=BASE.joint, carrier=BASE.joint),
    *(sided(landmark, side) for side in SIDES for landmark in _ARM),
    *(_finger(joint, bone, side) for side in SIDES for joint, bone in FINGER_BONES),
)
"""The chest, to which all positions are relative, humerus, ulna and lunate of both sides as in MyoFullBody, and the
joints of the fingers. The fit uses those of the arms."""

_STARTS: tuple[dict[str, float], ...] = (
    {"shoulder_elv": 0.5, "elbow_flex": 0.4},
    {"shoulder_elv": 1.5, "elv_angle": 0.8, "elbow_flex": 1.2},
    {"shoulder_elv": 0.8, "elv_angle": -0.9, "elbow_flex": 0.6},
    {"shoulder_elv": 2.5, "elv_angle": 0.4, "shoulder_rot": 0.8, "elbow_flex": 1.5},
)
"""The arms of MyoFullBody's starts."""

FIT = FitSettings(
    position_weights={f"{landmark.name}_{side}": "arm" for side in SIDES for landmark in _ARM},
    smoothing={f"{name}_{side}": "twist" for name in ("elv_angle", "shoulder_rot") for side in SIDES},
    bent=both_sides({"elbow_flex": 0.5, "shoulder_elv": 0.5}),
    starts=tuple(both_sides(start) for start in _STARTS),
    polar=tuple((f"shoulder_elv_{side}", f"elv_angle_{side}") for side in SIDES),
    calibrated=("humerus_r", "ulna_r", "humerus_l", "ulna_l"),
    carried_by={
        f"{name.removesuffix('_{}')}_{side}": f"humerus_{side}"
        for name in ("ulna", "lunate", *(bone for _, bone in FINGER_BONES)) for side in SIDES
    },
    highest=both_sides({"pro_sup": HIGHEST_PRONATION}),
)

CORRECTIONS = (
    SHOULDER_INERTIA,
    JointCorrection(
        joints=tuple(f"elbow_flex_{side}" for side in SIDES),
        published=(0.0, 0.0),
        corrected=(0.5, 0.01),
        source="MyoFullBody's values, which its elbows inherit from the defaults of the trunk that they hang from. "
        "Here they inherit nothing, so the same motion would need other moments",
    ),
    GeomRemoval(geoms=("floor",), source="the model's world is the chest's frame, in which no floor stands still"),
)
"""What is changed in the released model unless it is loaded as published."""


def load_bimanual_arm(*, limits: str = "effective", published: bool = False) -> TargetBody:
    """MyoBimanualArm with 126 muscles, from the package musclemimic-models, corrected unless `published`."""
    return TargetBody(
        name=NAME, model=_load_model(published=published), make_spec=partial(_make_spec, published=published),
        package=PACKAGE, landmarks=LANDMARKS, finger_joints=FINGER_JOINTS, fingertips=FINGERTIPS, hands="tracked",
        base=BASE, fit=FIT, source_to_target=SOURCE_TO_TARGET, limits=limits,
        corrections=() if published else CORRECTIONS,
        muscle_groups=MUSCLE_GROUPS, scalable=HUMAN,
    )  # fmt: skip


def _make_spec(*, published: bool = False) -> mujoco.MjSpec:
    """The model as a specification that can be changed; arguments and errors are those of MyoFullBody's `make_spec`."""
    spec = mujoco.MjSpec.from_file(str(model_path("bimanual", NAME)))
    return apply_corrections(spec, () if published else CORRECTIONS)


@cache
def _load_model(*, published: bool = False) -> mujoco.MjModel:
    return _make_spec(published=published).compile()
