"""Motions on the spot: squat, arm raise, reach and turn, each from standing to standing.

Minimum-jerk curves (Flash & Hogan 1985, J. Neurosci. 5:1688) move hips and feet, and the legs follow by inverse
kinematics, so feet on the ground do not move at all. Times, depths and angles are our own choice of an easy, ordinary
movement. Every motion takes the time since its start and returns the same as `to_amass`.
"""

from collections.abc import Mapping

import numpy as np

from .gait_tables import TOE_OUT
from .pose import BALL, HANGING, HIP, SHANK, THIGH, arm, both_sides, leg_to, mirrored, spine, to_amass, turn

ANKLE_WIDTH, ANKLE_HEIGHT = float(HIP[0] + THIGH[0] + SHANK[0]), float(-BALL[1])
HIPS_HEIGHT = ANKLE_HEIGHT - float(THIGH[1] + SHANK[1]) - 0.003  # standing, the knees a few degrees from straight [m]
HIPS_AHEAD = 0.03  # of the ankles in standing [m]
AT_SIDE = np.pi / 2 - HANGING
ELBOW = np.deg2rad(15.0)
SIDES = ("left", "right")


def ease(time: np.ndarray, start: float, end: float) -> np.ndarray:
    """Minimum-jerk curve from 0 before `start` to 1 after `end` [s], at rest at both."""
    s = np.clip((time - start) / (end - start), 0.0, 1.0)
    return s**3 * (10.0 - 15.0 * s + 6.0 * s**2)


def there_and_back(time: np.ndarray, start: float, top: float, back: float, end: float) -> np.ndarray:
    """From 0 to 1 between `start` and `top`, and back to 0 between `back` and `end`."""
    return ease(time, start, top) - ease(time, back, end)


def vector(x: np.ndarray | float, y: np.ndarray | float, z: np.ndarray | float) -> np.ndarray:
    """Vectors with three components, shape (n, 3); a scalar applies to every frame."""
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1).astype(np.float64)


def compose(
    hips: np.ndarray,
    pelvis: np.ndarray,
    thorax: np.ndarray,
    ankles: Mapping[str, np.ndarray],
    feet: Mapping[str, np.ndarray],
    arms: Mapping[str, Mapping[str, np.ndarray]],
    toes: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute a whole-body motion from the middle of the hips, the trunk and the feet.

    Args:
        hips: Middle of the hip joints, shape (n, 3) [m].
        pelvis: Orientation, R(n).
        thorax: Orientation, R(n); the head faces the same way but stays level.
        ankles: Positions by side, shape (n, 3) [m].
        feet: Orientations by side, R(n).
        arms: Shoulder and elbow by side, R(n) each; the right ones as if they were left.
        toes: Upward bend of the toes, shape (n,) [rad].
    """
    pelvis_pos = hips - pelvis @ (HIP * [0.0, 1.0, 1.0])
    flip = np.array([-1.0, 1.0, 1.0])
    toe_joint = {} if toes is None else {"foot": turn("x", -toes)}
    limbs = {}
    for side in SIDES:
        flip_side, mirror = (flip, mirrored) if side == "right" else (1.0, lambda rotation: rotation)
        hip_pos = pelvis_pos * flip_side + mirror(pelvis) @ HIP
        legs = leg_to(hip_pos, mirror(pelvis), ankles[side] * flip_side, mirror(feet[side]))
        limbs[side] = legs | toe_joint | dict(arms[side])
    forward = thorax[:, :, 2]
    gaze = turn("y", np.arctan2(forward[:, 0], forward[:, 2]))
    return to_amass(pelvis_pos, pelvis, both_sides(limbs["left"], limbs["right"]) | spine(pelvis, thorax, gaze))


def planted(time: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Ankle positions and foot orientations while standing."""
    one = np.ones_like(time)
    ankles = {
        "left": vector(ANKLE_WIDTH * one, ANKLE_HEIGHT, 0.0),
        "right": vector(-ANKLE_WIDTH * one, ANKLE_HEIGHT, 0.0),
    }
    return ankles, {"left": turn("y", TOE_OUT * one), "right": turn("y", -TOE_OUT * one)}


def squat(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squat with the arms held out until the knees are bent about 100 degrees, and rise again."""
    down = there_and_back(time, 0.5, 1.9, 2.2, 3.5)
    hips = vector(0.0, HIPS_HEIGHT - 0.33 * down, HIPS_AHEAD - 0.15 * down)
    ankles, feet = planted(time)
    arms = arm(np.deg2rad(118.0) * down, AT_SIDE - (AT_SIDE - 0.1) * down, ELBOW - 0.1 * down)
    pelvis, thorax = turn("x", np.deg2rad(22.0) * down), turn("x", np.deg2rad(38.0) * down)
    return compose(hips, pelvis, thorax, ankles, feet, {"left": arms, "right": arms})


def arm_raise(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both arms up sideways and down, then up in front and down."""
    side, front = there_and_back(time, 0.5, 1.7, 2.0, 3.2), there_and_back(time, 3.5, 4.7, 5.0, 6.2)
    still = np.zeros_like(time)
    hips = vector(still, HIPS_HEIGHT, HIPS_AHEAD)
    ankles, feet = planted(time)
    arms = arm(np.deg2rad(150.0) * front, AT_SIDE + (np.deg2rad(150.0) - AT_SIDE) * side, ELBOW * (1.0 - side))
    upright = turn("x", still)
    return compose(hips, upright, upright, ankles, feet, {"left": arms, "right": arms})


def reach(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reach forward at shoulder height with the right hand, then with the left one."""
    progress = {"right": there_and_back(time, 0.5, 1.4, 1.7, 2.6), "left": there_and_back(time, 3.0, 3.9, 4.2, 5.1)}
    both, turned = progress["right"] + progress["left"], progress["right"] - progress["left"]
    hips = vector(0.0 * time, HIPS_HEIGHT - 0.012 * both, HIPS_AHEAD + 0.02 * both)
    ankles, feet = planted(time)
    pelvis = turn("y", np.deg2rad(8.0) * turned) @ turn("x", np.deg2rad(4.0) * both)
    thorax = turn("y", np.deg2rad(28.0) * turned) @ turn("x", np.deg2rad(14.0) * both)
    arms = {side: arm(np.deg2rad(95.0) * g, AT_SIDE * (1.0 - g), ELBOW + np.deg2rad(40.0) * 4.0 * g * (1.0 - g))
            for side, g in progress.items()}  # fmt: skip
    return compose(hips, pelvis, thorax, ankles, feet, arms)


TURN_STEP, TURN_STEP_TIME, TURN_SWING = np.pi / 3, 0.55, 0.45  # of one foot [rad, s, s]
TURN_START, TURN_NSTEP = 0.5, 12
TURN_END = TURN_START + TURN_STEP_TIME * TURN_NSTEP
TURN_DURATION = TURN_END + 1.2


def turn_around(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn once around to the left in steps of 60 degrees; the left foot opens and the right foot follows."""
    yaw, lift, sway = {"left": 0.0 * time, "right": 0.0 * time}, {"left": 0.0 * time, "right": 0.0 * time}, 0.0 * time
    for k in range(TURN_NSTEP):
        side, start = SIDES[k % 2], TURN_START + TURN_STEP_TIME * (k + 0.5)
        s = np.clip((time - start) / TURN_SWING, 0.0, 1.0)
        yaw[side] = yaw[side] + TURN_STEP * ease(time, start, start + TURN_SWING)
        lift[side] = lift[side] + 0.05 * np.sin(np.pi * s) ** 2
        lean = there_and_back(time, start - 0.3, start + 0.1, start + 0.3, start + TURN_SWING + 0.25)
        sway = sway + (-0.025 if side == "left" else 0.025) * lean
    middle = TURN_START + TURN_STEP_TIME * (0.5 + np.arange(TURN_NSTEP)) + TURN_SWING / 2
    heading = np.mean([2 * np.pi * ease(time, m - 0.7, m + 0.7) for m in middle], axis=0)
    ankles, feet = planted(time)
    for side in SIDES:
        rotation = turn("y", yaw[side])
        ankles[side] = (rotation @ ankles[side][:, :, None])[:, :, 0] + vector(0.0, lift[side], 0.0)
        feet[side] = rotation @ feet[side]
    moving = there_and_back(time, 0.1, TURN_START + 0.3, TURN_END, TURN_END + 0.8)
    pelvis = turn("y", heading)
    hips = (pelvis @ vector(sway, 0.0, HIPS_AHEAD)[:, :, None])[:, :, 0]
    hips = hips + vector(0.0, HIPS_HEIGHT - 0.02 * moving, 0.0)
    arms = arm(0.0 * time, AT_SIDE + 0.0 * time, ELBOW + 0.0 * time)
    return compose(hips, pelvis, pelvis, ankles, feet, {"left": arms, "right": arms})
