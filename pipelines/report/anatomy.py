"""Left and right in the names of joints and landmarks, and the names that people use for both.

Positive directions are those of `datasets/formats/opensim.py`.
"""

SIDE_WORD = {"r": "right", "l": "left"}

_SIDES = (("_r", "r"), ("_l", "l"))

JOINTS = {
    "flex_extension": ("lower back", "extension", "flexion"),
    "lat_bending": ("lower back", "bending to the right", "to the left"),
    "axial_rotation": ("lower back", "turn to the left", "to the right"),
    "elv_angle": ("shoulder", "plane of elevation: 0 abduction, 90 flexion", ""),
    "shoulder_elv": ("shoulder", "elevation", ""),
    "shoulder_rot": ("shoulder", "internal rotation", "external"),
    "elbow_flex": ("elbow", "flexion", "extension"),
    "pro_sup": ("forearm", "pronation", "supination"),
    "deviation": ("wrist", "radial deviation", "ulnar"),
    "flexion": ("wrist", "palmar flexion", "extension"),
    "hip_flexion": ("hip", "flexion", "extension"),
    "hip_adduction": ("hip", "adduction", "abduction"),
    "hip_rotation": ("hip", "internal rotation", "external"),
    "knee_angle": ("knee", "flexion", "extension"),
    "ankle_angle": ("ankle", "dorsiflexion", "plantarflexion"),
    "subtalar_angle": ("hindfoot", "inversion", "eversion"),
    "mtp_angle": ("toes", "flexion", "extension"),
    "shoulder_flexion": ("shoulder", "flexion", "extension"),
    "elbow_flexion": ("elbow", "flexion", "extension"),
}
"""By joint without its side: part of the body, positive direction, and negative direction or ""."""

LANDMARKS = {
    "lumbar1": "lower back", "humerus": "shoulder", "ulna": "elbow", "lunate": "wrist", "femur": "hip", "tibia": "knee",
    "talus": "ankle",
}  # fmt: skip
"""By landmark without its side: the joint at the origin of that bone. Other landmarks keep their names."""


def side_of(name: str) -> tuple[str, str]:
    """Split a name into its stem and its side: "r", "l" or ""."""
    return next(((name.removesuffix(end), side) for end, side in _SIDES if name.endswith(end)), (name, ""))


def joint_title(stem: str) -> tuple[str, str]:
    """Title of a joint without its side, and the text beside its axis; unknown names are only made readable."""
    if stem not in JOINTS:
        return stem.replace("_", " "), ""
    part, positive, negative = JOINTS[stem]
    title = f"{part} {positive.partition(':')[0]}".capitalize()
    return title, f"+ {positive.partition(':')[0]}" if negative else ""


def landmark_title(stem: str) -> str:
    """Name of a landmark without its side, such as "ankle" for `talus`."""
    return LANDMARKS.get(stem, stem.replace("_", " "))


def body_part(name: str) -> str:
    """Part of the body that a joint moves, with its side, such as "left knee"."""
    stem, side = side_of(name)
    part = JOINTS[stem][0] if stem in JOINTS else stem.replace("_", " ")
    return f"{SIDE_WORD[side]} {part}" if side else part
