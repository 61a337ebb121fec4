"""Walking of healthy adults in numbers: key points of the joint angles over a stride, timing, and step length.

Percentages of the stride count from the heel strike of the same leg. Angles are in degrees and zero in standing. The
key points are rounded values at the extremes and crossings of the mean curves, joined by a smooth periodic curve.
Sources:

- Perry: Perry & Burnfield, Gait Analysis: Normal and Pathological Function, 2nd ed., 2010, chapters 3 to 7.
- Schwartz: Schwartz, Rozumalski & Trost 2008, J. Biomech. 41:1639, knee curve of the free speed.
- Murray: Murray, Sepic & Barnard 1967, Phys. Ther. 47:272, arm swing of men at their free speed.
"""

import numpy as np
from scipy.interpolate import CubicSpline

TABLE_SPEED = 1.3
"""Walking speed of the tables [m/s]; a free speed of adults (Perry: 80 m/min)."""

KEY_POINTS: dict[str, tuple[tuple[float, float], ...]] = {
    # Thigh relative to the upright pelvis; flexion positive. Perry gives the thigh relative to the vertical: 20 at
    # contact, 20 behind at 50 %, 25 ahead in swing. Here it is less far behind because the pelvis tilts with it.
    "hip_flexion": ((0, 22), (10, 19), (30, 0), (50, -16), (62, -8), (75, 16), (87, 25), (95, 23)),
    # Schwartz, every 5 %, rounded to a degree; Perry's 5, 20, 5, 40 and 60 are within 3 degrees of it.
    "knee_flexion": ((0, 6), (5, 13), (10, 19), (15, 19), (20, 17), (25, 14), (30, 11), (35, 8), (40, 7), (45, 8),
                     (50, 12), (55, 20), (60, 34), (65, 50), (70, 59), (75, 59), (80, 51), (85, 36), (90, 19), (95, 6)),
    # Dorsiflexion positive. Perry: 5 down at 6 %, 10 up at 48 %, 15 down at toe-off, neutral in swing.
    "ankle_dorsiflexion": ((0, 0), (6, -5), (15, 1), (30, 7), (46, 10), (55, -2), (62, -15), (68, -10), (78, 1),
                           (90, 1)),
    # Perry: 5 to 10 towards the midline in loading, 5 away from it at toe-off.
    "hip_adduction": ((0, 0), (15, 6), (30, 5), (45, 1), (62, -5), (75, -4), (90, -1)),
    # Perry, pelvis: the side of the swing leg drops 4, and each side is 5 ahead at its own heel strike.
    "pelvis_list": ((15, 4), (40, 0), (65, -4), (90, 0)),  # side of the same leg up
    "pelvis_advance": ((0, 5), (25, 0), (50, -5), (75, 0)),  # side of the same leg ahead
    # Thorax relative to the world: opposite to the pelvis and less. Perry gives the direction; the amplitude is ours.
    "thorax_advance": ((0, -3), (25, 0), (50, 3), (75, 0)),
    # Murray: arm 24 behind at the heel strike of its own side, 8 ahead half a stride later; elbow 20 to 45.
    "shoulder_flexion": ((0, -24), (50, 8)),
    "elbow_flexion": ((0, 20), (50, 42)),
}  # fmt: skip

SPREAD = {"hip_flexion": 6.0, "knee_flexion": 6.0, "ankle_dorsiflexion": 5.0, "hip_adduction": 4.0, "hip_rotation": 6.0,
          "ankle_inversion": 5.0, "pelvis_list": 2.0, "pelvis_advance": 4.0, "pelvis_tilt": 3.0}  # fmt: skip
"""Standard deviation among healthy adults [deg], rounded.

Kadaba, Ramakrishnan & Wootten 1990, J. Orthop. Res. 8:383.
"""

WALK_RATIO = 0.705 / 113
"""Step length over cadence [m per step/min]. Perry: stride 1.41 m, cadence 113.

Sekiya & Nagasaki 1998, Gait & Posture 7:225, show that the ratio hardly changes with speed.
"""

TOE_OUT = np.deg2rad(7.0)
"""Angle between the foot and the direction of walking [rad]. Perry."""

STEP_WIDTH = 0.10
"""Lateral distance between the heels' tracks [m]. Perry: 8 cm; more recent reports 8 to 10."""

TOE_CLEARANCE = 0.013
"""Minimum height of the toe above the ground in mid-swing [m]. Winter 1992, Phys. Ther. 72:45."""

FOOT_FLAT, HEEL_OFF = 0.09, 0.34
"""Fractions of the stride at which the forefoot lands and the heel leaves. Perry: 8 % and 31 % or somewhat later."""

ON_TOES, TOES_STRAIGHT = 0.07, 0.16
"""Fractions of the stride before toe-off with only the toes on the ground, and after it while they straighten; ours."""

MIDSTANCE = 0.30
"""Fraction of the stride at which the pelvis is highest and farthest over the stance foot. Perry: end of mid-stance."""


def curve(name: str, *, phase: np.ndarray) -> np.ndarray:
    """Angle of the table at points of a stride.

    Args:
        name: A key of KEY_POINTS.
        phase: Fraction of the stride since the heel strike of the same leg; any real number, 1 is a whole stride.

    Returns:
        Angle, shape of `phase` [rad].
    """
    percent, angle = np.array((*KEY_POINTS[name], (KEY_POINTS[name][0][0] + 100, KEY_POINTS[name][0][1]))).T
    spline = CubicSpline(percent / 100, np.deg2rad(angle), bc_type="periodic", extrapolate="periodic")
    return spline(phase)


def step_length(speed: float) -> float:
    """Step length [m] at a speed [m/s], by the walk ratio."""
    return float(np.sqrt(60.0 * WALK_RATIO * speed))


def stride_time(speed: float) -> float:
    """Duration [s] of a stride, two steps, at a speed [m/s]; it makes the mean speed exact."""
    return 2.0 * step_length(speed) / speed


def stance_part(speed: float) -> float:
    """Fraction of the stride with the foot on the ground: 62 % at 1.3 m/s (Perry), about 1 % less per 0.2 m/s more.

    The slope is that of Hebenstreit et al. 2015, Hum. Mov. Sci. 41:70, rounded.
    """
    return 0.62 - 0.05 * (speed - TABLE_SPEED)


def reach(speed: float) -> float:
    """Step length relative to that at the tables' speed; legs, pelvis and arms swing wider by this factor."""
    return step_length(speed) / step_length(TABLE_SPEED)


def rise(speed: float) -> float:
    """Vertical range of the centre of mass [m] at a speed [m/s]: 2.74 cm at 0.7 m/s, 4.83 cm at 1.6 m/s.

    Orendurff et al. 2004, J. Rehabil. Res. Dev. 41:829; used for the pelvis, with linear interpolation.
    """
    return 0.0274 + (0.0483 - 0.0274) * (speed - 0.7) / 0.9


def sway(speed: float) -> float:
    """Lateral range of the centre of mass [m] at a speed [m/s]: 6.99 cm at 0.7 m/s, 3.85 cm at 1.6 m/s.

    Source as for `rise`.
    """
    return 0.0699 + (0.0385 - 0.0699) * (speed - 0.7) / 0.9
