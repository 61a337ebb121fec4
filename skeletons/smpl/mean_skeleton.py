"""A mean adult's joint centres in the rest pose of the SMPL family; used when there is no body model.

Lengths come from anthropometric tables, not from a body model. Distances are fractions of stature, either from the
tables directly or as the mean of their columns for women and men divided by the mean stature of each. Sources:

- D&C: Drillis & Contini 1966, drawn as Fig. 4.1 in Winter, Biomechanics and Motor Control of Human Movement.
- dL: de Leva 1996, J. Biomech. 29:1223, Table 4; 15 women of 1.735 m and 100 men of 1.741 m in the mean.
- Dumas: Dumas, Cheze & Verriest 2007, J. Biomech. 40:543; women of 1.61 m and men of 1.77 m in the mean.
- ANSUR: Gordon et al. 2014, ANSUR II, NATICK/TR-15/007; women of 1.629 m and men of 1.756 m in the mean.
"""

import numpy as np

from .joints import BODY_NAMES

STATURE = 1.70
"""Mean of ANSUR's women and men, rounded [m]."""

FRACTION_OF_STATURE = {
    # Legs
    "ankle_height": 0.039,  # D&C
    "shank": 0.2529,  # dL, knee to ankle centre: 438.6 and 440.3 mm
    "thigh": 0.2275,  # dL, hip to knee centre: 368.5 and 422.2 mm
    "foot": 0.152,  # D&C
    "hip_half_width": 0.0501,  # Dumas, 37.2 % and 36.1 % of a pelvis 238 and 224 mm wide
    "hip_to_lumbar": 0.0511,  # Dumas, pelvis length 107 and 94 mm, its vertical part (0.886 and 0.816)
    # Trunk, by de Leva's levels: mid-hip, omphalion (L3/L4), xiphion (T9/T10), cervicale (C7), vertex
    "hip_to_omphalion": 0.0942,  # dL, lower trunk: 181.5 and 145.7 mm
    "omphalion_to_xiphion": 0.1211,  # dL, middle trunk: 205.3 and 215.5 mm
    "xiphion_to_cervicale": 0.1352,  # dL, upper trunk: 228.0 and 242.1 mm
    "hip_to_suprasternale": 0.3053,  # dL, trunk: 529.3 and 531.9 mm
    "cervicale_to_vertex": 0.1400,  # dL, head: 243.7 and 242.9 mm
    "tragion_to_vertex": 0.0763,  # ANSUR, tragion to top of head: 127 and 131 mm
    # Arms
    "acromion_half_width": 0.1153,  # ANSUR, biacromial breadth: 365.3 and 415.7 mm
    "shoulder_height": 0.818,  # D&C
    "upper_arm": 0.1602,  # dL, shoulder to elbow centre: 275.1 and 281.7 mm
    "forearm": 0.1534,  # dL, elbow to wrist centre: 264.3 and 268.9 mm
}

HUMERAL_HEAD_RADIUS = 0.024
"""Distance of the joint centre inwards from the acromion's edge [m].

Boileau & Walch 1997, J. Bone Joint Surg. Br. 79:857: mean head diameter 46 mm; rounded up for cartilage.
"""

JUGULAR_NOTCH_HALF_WIDTH = 0.02
"""Half the gap between the clavicles, where the collar joints are [m]. Gray's Anatomy; a rounded value."""

ANKLE_FROM_HEEL = 0.25
"""Distance of the ankle centre from the heel as a fraction of the foot length; measured in D&C's drawing."""

BALL_FROM_HEEL = 0.74
"""Distance of the ball from the heel as a fraction of the foot length. ANSUR, ball of foot length over foot length."""

BALL_HEIGHT = 0.025
"""Height of the toe joints' centre above the ground [m]; half the foot's height there, a rounded value."""

THIGH_OUT, SHANK_IN, SHANK_BACK, FOOT_OUT, UPPER_ARM_DOWN = np.deg2rad([5.7, 2.0, 5.5, 13.0, 3.0])
"""Directions of bones in SMPL-family rest poses, measured facts [rad]. Rotations in files of the family start there.

Slope of the thigh outwards and of the shank inwards from the vertical in the frontal plane, slope of the shank
backwards in the sagittal plane, angle of the line from ankle to ball outwards from straight ahead, and slope of the
upper arm below the horizontal. Forearms are level, and thigh and arm do not slope forwards or backwards.
"""

PELVIS_ORIGIN = (0.0, -0.24, 0.03)
"""Position of the pelvis in the T-pose of the family's files [m]: a convention of the format, not anthropometric."""


def mean_joints() -> np.ndarray:
    """Rest positions of the 22 common joints of a mean adult, 1.70 m tall.

    Bones have the directions of the rest poses in which rotations of the family's files start, so that a rotation of a
    limb means the same for this skeleton. `neutral_pose.py` describes it with straight legs and level arms. The
    shoulder is at D&C's height, which is that of the acromion with hanging arms: the joint is some 3.5 cm below it, and
    the girdle rises about as much on the way to the T-pose.

    Returns:
        Positions, shape (22, 3) [m], order BODY_NAMES; x to the subject's left, y up, z forward.
    """
    size = {name: fraction * STATURE for name, fraction in FRACTION_OF_STATURE.items()}
    thigh = size["thigh"] * np.array([np.sin(THIGH_OUT), -np.cos(THIGH_OUT), 0.0])
    shank = np.array([-np.tan(SHANK_IN), -1.0, -np.tan(SHANK_BACK)])
    shank *= size["shank"] / np.linalg.norm(shank)
    hip_height = size["ankle_height"] - thigh[1] - shank[1]
    pelvis_height = hip_height + size["hip_to_lumbar"]
    omphalion = hip_height + size["hip_to_omphalion"]
    xiphion = omphalion + size["omphalion_to_xiphion"]
    neck = xiphion + size["xiphion_to_cervicale"]
    head = neck + size["cervicale_to_vertex"] - size["tragion_to_vertex"]
    hip, shoulder = size["hip_half_width"], size["acromion_half_width"] - HUMERAL_HEAD_RADIUS
    suprasternale = hip_height + size["hip_to_suprasternale"]
    ball = (BALL_FROM_HEEL - ANKLE_FROM_HEEL) * size["foot"] * np.array([np.sin(FOOT_OUT), 0.0, np.cos(FOOT_OUT)])
    upper_arm = size["upper_arm"] * np.array([np.cos(UPPER_ARM_DOWN), -np.sin(UPPER_ARM_DOWN), 0.0])

    centre = {"pelvis": pelvis_height, "spine1": omphalion, "spine2": (omphalion + xiphion) / 2, "spine3": xiphion,
              "neck": neck, "head": head}  # fmt: skip
    hip_pos, shoulder_pos = np.array([hip, hip_height, 0.0]), np.array([shoulder, size["shoulder_height"], 0.0])
    ankle_pos, elbow_pos = hip_pos + thigh + shank, shoulder_pos + upper_arm
    left = {
        "hip": hip_pos,
        "knee": hip_pos + thigh,
        "ankle": ankle_pos,
        "foot": ankle_pos * [1.0, 0.0, 1.0] + [0.0, BALL_HEIGHT, 0.0] + ball,
        "collar": (JUGULAR_NOTCH_HALF_WIDTH, suprasternale, 0.0),
        "shoulder": shoulder_pos,
        "elbow": elbow_pos,
        "wrist": elbow_pos + np.array([size["forearm"], 0.0, 0.0]),
    }

    standing = np.zeros((len(BODY_NAMES), 3))
    for joint, name in enumerate(BODY_NAMES):
        side, _, part = name.partition("_")
        if part:
            x, y, z = left[part]
            standing[joint] = (x if side == "left" else -x, y, z)
        else:
            standing[joint, 1] = centre[name]
    return standing + np.asarray(PELVIS_ORIGIN) - (0.0, pelvis_height, 0.0)
