"""How fast people turn their joints at most: what a clip's velocities and accelerations are compared with.

Peak velocities [deg/s] of the quickest movements that have been measured in trained people, rounded up: shoulder
rotation 7000-7700 and elbow extension 2300-2600 in baseball pitching, trunk 1000-1200 there (Fleisig et al. 1999, J
Biomech 32; Escamilla et al. 1998), hip 800-1000, knee 1500-1700 and ankle 900-1100 in kicking and sprinting (Nunome et
al. 2006, J Sports Sci 24; Novacheck 1998, Gait & Posture 7). The plane of elevation is not bounded near a hanging arm.
Accelerations are not tabulated as widely: the peak velocity is taken to be reached in 20 ms.
"""

PEAK_DEG_S = {
    "flex_extension": 1200.0, "lat_bending": 1200.0, "axial_rotation": 1200.0,
    "elv_angle": 7700.0, "shoulder_elv": 2500.0, "shoulder_rot": 7700.0, "elbow_flex": 2600.0, "pro_sup": 2600.0,
    "deviation": 2000.0, "flexion": 3000.0,
    "hip_flexion": 1000.0, "hip_adduction": 1000.0, "hip_rotation": 1000.0, "knee_angle": 1700.0,
    "ankle_angle": 1100.0, "subtalar_angle": 1100.0, "mtp_angle": 1700.0,
}  # fmt: skip
"""By joint without its side."""

OTHER_DEG_S = 3000.0
"""Of joints not listed, the fingers' [deg/s]."""

REACHED_IN = 0.02
"""Time in which a peak velocity is taken to be reached [s]."""


def peak_rate(joint: str) -> float:
    """Largest velocity of a joint that has been measured in people [deg/s]."""
    return PEAK_DEG_S.get(joint.removesuffix("_r").removesuffix("_l"), OTHER_DEG_S)
