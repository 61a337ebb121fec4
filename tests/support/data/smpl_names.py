"""Joint names of each family of the SMPL models, in the order of a packed pose."""

from musclemap.skeletons.smpl.joints import BODY_NAMES, HAND_NAMES

FINGER_NAMES = (*HAND_NAMES["left"], *HAND_NAMES["right"])
FAMILY_NAMES = {
    "smpl": (*BODY_NAMES, "left_hand", "right_hand"),
    "smplh": (*BODY_NAMES, *FINGER_NAMES),
    "smplx": (*BODY_NAMES, "jaw", "left_eye", "right_eye", *FINGER_NAMES),
}
