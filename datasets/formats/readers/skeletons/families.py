"""Joint names of known families of skeletons.

Names are compared without a namespace ("mixamorig:Hips", "Character1_Hips") and without regard to case.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from musclemap.errors import SourceError

from .joint_map import REQUIRED, JointMap

_NAMESPACE = re.compile(r"^(.*:|mixamorig\d*_?|character\d*_)", re.IGNORECASE)
_SIDES = {"left": ("Left", "left", "L", "l"), "right": ("Right", "right", "R", "r")}


@dataclass(frozen=True, kw_only=True)
class _Family:
    """Names of one family; in those of limbs, {} is Left or Right, {0[1]} left or right, {0[2]} L or R, {0[3]} l or r.

    Attributes:
        spine: Joints between pelvis and chest, from below; the last carries neck and arms.
        central: Names of pelvis, neck and head.
        sided: Names of the left and right joints.
        fingers: Format of a finger joint with the finger's name and number, or "".
        metacarpal: Whether the joints of fingers (not of the thumb) are numbered from the metacarpal bone.
    """

    spine: tuple[str, ...]
    central: dict[str, str]
    sided: dict[str, str]
    fingers: str = ""
    metacarpal: bool = False


def _legs(hip: str, knee: str, ankle: str, foot: str) -> dict[str, str]:
    return {"hip": hip, "knee": knee, "ankle": ankle, "foot": foot}


def _arms(collar: str, shoulder: str, elbow: str, wrist: str) -> dict[str, str]:
    return {"collar": collar, "shoulder": shoulder, "elbow": elbow, "wrist": wrist}


_HIPS = {"pelvis": "Hips", "neck": "Neck", "head": "Head"}
_ARM = _arms("{0[0]}Shoulder", "{0[0]}Arm", "{0[0]}ForeArm", "{0[0]}Hand")
_UP_LEG = ("{0[0]}UpLeg", "{0[0]}Leg", "{0[0]}Foot")
_SPINE = ("Spine", "Spine1", "Spine2", "Spine3", "Spine4")
_HAND = "{0[0]}Hand{1}{2}"

FAMILIES = {
    "CMU": _Family(
        spine=("LowerBack", "Spine", "Spine1"), central=_HIPS, sided=_legs(*_UP_LEG, "{0[0]}ToeBase") | _ARM
    ),
    "LAFAN1": _Family(spine=_SPINE, central=_HIPS, sided=_legs(*_UP_LEG, "{0[0]}Toe") | _ARM, fingers=_HAND),
    "Mixamo": _Family(spine=_SPINE, central=_HIPS, sided=_legs(*_UP_LEG, "{0[0]}ToeBase") | _ARM, fingers=_HAND),
    "SOMA": _Family(
        spine=("Spine1", "Spine2", "Chest"),
        central=_HIPS | {"neck": "Neck1"},
        sided=_legs("{0[0]}Leg", "{0[0]}Shin", "{0[0]}Foot", "{0[0]}ToeBase") | _ARM,
        fingers=_HAND,
        metacarpal=True,
    ),
    "Rokoko": _Family(
        spine=_SPINE,
        central=_HIPS,
        sided=_legs("{0[0]}Thigh", "{0[0]}Shin", "{0[0]}Foot", "{0[0]}Toe") | _ARM,
    ),
    "Xsens": _Family(  # 100STYLE too
        spine=("Chest", "Chest2", "Chest3", "Chest4"),
        central=_HIPS,
        sided=_legs("{0[0]}Hip", "{0[0]}Knee", "{0[0]}Ankle", "{0[0]}Toe")
        | _arms("{0[0]}Collar", "{0[0]}Shoulder", "{0[0]}Elbow", "{0[0]}Wrist"),
    ),
    "Bandai-Namco": _Family(  # its Motion Dataset; a joint_Root is above the pelvis
        spine=("Spine", "Chest"),
        central=_HIPS,
        sided=_legs("UpperLeg_{0[2]}", "LowerLeg_{0[2]}", "Foot_{0[2]}", "Toes_{0[2]}")
        | _arms("Shoulder_{0[2]}", "UpperArm_{0[2]}", "LowerArm_{0[2]}", "Hand_{0[2]}"),
    ),
    "SMPL": _Family(
        spine=("spine1", "spine2", "spine3"),
        central={"pelvis": "pelvis", "neck": "neck", "head": "head"},
        sided={
            part: f"{{0[1]}}_{part}"
            for part in ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
        },
        fingers="{0[1]}_{1}{2}",
    ),
    "MyoFullBody": _Family(  # the bodies that mm-export --to bvh writes
        spine=(),
        central={"pelvis": "pelvis", "spine2": "lumbar1", "head": "head"},
        sided=_legs("femur_{0[3]}", "tibia_{0[3]}", "talus_{0[3]}", "toes_{0[3]}")
        | {"shoulder": "humerus_{0[3]}", "elbow": "ulna_{0[3]}", "wrist": "lunate_{0[3]}"},
    ),
}
"""Known families, by name."""

_FINGERS = ("index", "middle", "pinky", "ring", "thumb")


def spine_joints(chain: Sequence[str]) -> dict[str, str]:
    """Name the joints between pelvis and chest, from below, after the SMPL family's three.

    The first becomes spine1 and the last, which carries neck and arms, spine3; spine2 is the one half-way. A single
    joint becomes spine1.
    """
    if not chain:
        return {}
    named = {"spine1": chain[0]}
    if len(chain) > 1:
        named["spine3"] = chain[-1]
    if len(chain) > 2:
        named["spine2"] = chain[len(chain) // 2]
    return named


def find_family(names: Sequence[str], parents: Sequence[int]) -> JointMap | None:
    """Map a skeleton by the family whose names it has.

    Args:
        names: Names of the joints.
        parents: Index of the joint above each, -1 for the root.

    Returns:
        The map of the family with most of its joints in the skeleton, or None if none has all required ones, or the
        joints do not hang together as in a body.
    """
    plain = {_NAMESPACE.sub("", name).lower(): name for name in reversed(names)}
    best = None
    for label, family in FAMILIES.items():
        joint_map = JointMap(family=label, joints=_mapped(family, plain))
        if not all(key in joint_map.joints for key in REQUIRED):
            continue
        try:
            joint_map.indices(names, parents)
        except SourceError:
            continue
        if best is None or len(joint_map.joints) > len(best.joints):
            best = joint_map
    return best


def _mapped(family: _Family, plain: dict[str, str]) -> dict[str, str]:
    """The family's joints that a skeleton has; `plain` has the skeleton's names without namespace, in lower case."""
    ref = dict(family.central)
    for side, words in _SIDES.items():
        ref |= {f"{side}_{part}": pattern.format(words) for part, pattern in family.sided.items()}
        if family.fingers:
            for finger in _FINGERS:
                shift = 1 if family.metacarpal and finger != "thumb" else 0
                ref |= {f"{side}_{finger}{k}": family.fingers.format(words, finger, k + shift) for k in (1, 2, 3)}
    found = {key: plain[name.lower()] for key, name in ref.items() if name.lower() in plain}
    return found | spine_joints([plain[name.lower()] for name in family.spine if name.lower() in plain])
