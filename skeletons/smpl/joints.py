"""The SMPL family: joint names, parents, and AMASS's packing of a pose. All three bodies share the first 22 joints."""

BODY_NAMES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
BODY_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)

_FINGERS = ("index", "middle", "pinky", "ring", "thumb")


def _hand(side: str) -> tuple[str, ...]:
    return tuple(f"{side}_{finger}{k}" for finger in _FINGERS for k in (1, 2, 3))


def _hand_parents(wrist: int, first: int) -> tuple[int, ...]:
    return tuple(wrist if k == 0 else first + 3 * f + k - 1 for f in range(5) for k in range(3))


HAND_NAMES = {"left": _hand("left"), "right": _hand("right")}
"""Finger joints of one hand, 15 each, in SMPL-H's order (pinky before ring)."""

SMPL_PARENTS = (*BODY_PARENTS, 20, 21)
SMPLH_PARENTS = (*BODY_PARENTS, *_hand_parents(20, 22), *_hand_parents(21, 37))
SMPLX_PARENTS = (*BODY_PARENTS, 15, 15, 15, *_hand_parents(20, 25), *_hand_parents(21, 40))

FAMILY_PARENTS = {"smpl": SMPL_PARENTS, "smplh": SMPLH_PARENTS, "smplx": SMPLX_PARENTS}
FIRST_HAND_JOINT = {"smplh": 22, "smplx": 25}
"""Index of the first finger joint (left index 1) in a packed pose; plain SMPL has no fingers."""
