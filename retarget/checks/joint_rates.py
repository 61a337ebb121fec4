"""Largest joint velocities measured in people, the reference for a clip's velocities and accelerations.

Peak velocities [deg/s] of the fastest movements measured in trained people, rounded up: in baseball pitching 7000-7700
for shoulder rotation, 2300-2600 for elbow extension and 1000-1200 for the trunk (Fleisig et al. 1999, J Biomech 32;
Escamilla et al. 1998); in kicking and sprinting 800-1000 for the hip, 1500-1700 for the knee and 900-1100 for the ankle
(Nunome et al. 2006, J Sports Sci 24; Novacheck 1998, Gait & Posture 7). The plane of elevation has no bound while the
arm hangs. Published accelerations are rarer; the limit assumes that a joint reaches its peak velocity in 20 ms.
"""

PEAK_DEG_S = {
    "flex_extension": 1200.0, "lat_bending": 1200.0, "axial_rotation": 1200.0,
    "elv_angle": 7700.0, "shoulder_elv": 2500.0, "shoulder_rot": 7700.0, "elbow_flex": 2600.0, "pro_sup": 2600.0,
    "deviation": 2000.0, "flexion": 3000.0,
    "hip_flexion": 1000.0, "hip_adduction": 1000.0, "hip_rotation": 1000.0, "knee_angle": 1700.0,
    "ankle_angle": 1100.0, "subtalar_angle": 1100.0, "mtp_angle": 1700.0,
}  # fmt: skip
"""Peak velocity by joint name without its side [deg/s]."""

OTHER_DEG_S = 3000.0
"""Peak velocity of joints that the table does not list: the fingers [deg/s]."""

WRIST = ("pro_sup", "deviation", "flexion")
"""Joints of forearm and wrist, whose angles recordings without markers on the hands do not measure."""

RISE_TIME = 0.02
"""Time in which a joint is assumed to reach its peak velocity [s]."""


def peak_rate(joint: str) -> float:
    """Largest velocity of a joint measured in people [deg/s]."""
    return PEAK_DEG_S.get(joint.removesuffix("_r").removesuffix("_l"), OTHER_DEG_S)


def is_wrist(joint: str) -> bool:
    """Whether a joint turns only the hand."""
    return joint.removesuffix("_r").removesuffix("_l") in WRIST
