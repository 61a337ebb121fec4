"""A vertical jump from standing: crouch, push off, fly, land, stand, with an arm swing.

On the ground the ball of the foot does not move. In flight the hips, and with them the pelvis, follow the parabola of
free fall, and the joints of the legs come to rest. Landing is the push in reverse, at a lower speed.
"""

from dataclasses import dataclass

import numpy as np

from .exercises import AT_SIDE, ELBOW, HIPS_AHEAD, HIPS_HEIGHT, SIDES, compose, ease, planted, vector
from .pose import BALL, SHANK, THIGH, arm, turn

GRAVITY = 9.81  # [m/s^2]
TAKE_OFF_SPEED = 1.7  # gives a jump of 15 cm [m/s]
PUSH_PITCH, PUSH_KNEE = np.deg2rad(50.0), np.deg2rad(30.0)  # heel raised and knee still bent at take-off [rad]
CROUCH, LANDING = 0.28, 0.22  # descent of the hips before and after [m]
HIPS_CROUCHED, HIPS_LEAVING = -0.07, 0.08  # position of the hips ahead of the standing ankles [m]
LEAN_CROUCHED, LEAN_LEAVING = (
    np.deg2rad(32.0),
    np.deg2rad(4.0),
)  # of the pelvis; the thorax leans half as much again [rad]
HEEL_RISE = 0.3  # fraction of the push at which the heel leaves the ground
FOLLOW_LEG, FOLLOW_FOOT = 0.045, 0.08  # time for knee and ankle to come to rest after take-off [s]

CROUCH_START = 0.4  # [s]
PUSH_START = CROUCH_START + 0.65
TAKE_OFF = PUSH_START + 0.33
TOUCH_DOWN = TAKE_OFF + 2 * TAKE_OFF_SPEED / GRAVITY
LOWEST = TOUCH_DOWN + 0.36
STANDING = LOWEST + 0.8


@dataclass(frozen=True, kw_only=True)
class _Pose:
    """Parameters of a configuration of the jump, each a number or shape (n,).

    Attributes:
        height: Height of the hips [m].
        ahead: Position of the hips ahead of the standing ankles [m].
        lean: Forward lean of the pelvis [rad].
        pitch: Angle of the raised heel about the ball of the foot [rad].
    """

    height: np.ndarray
    ahead: np.ndarray
    lean: np.ndarray
    pitch: np.ndarray


def _ankle_rise(pitch: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Height of the ankle [m] and its displacement along the foot [m] when the heel rises about the ball.

    The height is also the derivative of the displacement with respect to the angle.
    """
    cos, sin = np.cos(pitch), np.sin(pitch)
    return BALL[2] * sin - BALL[1] * cos, BALL[2] * (1.0 - cos) - BALL[1] * sin


def _leaving_height() -> float:
    """Height of the hips at take-off, from the knee's angle [m]."""
    leg2 = THIGH[1] ** 2 + SHANK[1] ** 2 + 2 * THIGH[1] * SHANK[1] * np.cos(PUSH_KNEE)
    up, along = _ankle_rise(PUSH_PITCH)
    return float(up + np.sqrt(leg2 - (HIPS_LEAVING - along) ** 2))


LOW, DEEP, TOP = HIPS_HEIGHT - CROUCH, HIPS_HEIGHT - LANDING, _leaving_height()


def _quintic(time: np.ndarray, duration: float, start: tuple[float, ...], end: tuple[float, ...]) -> np.ndarray:
    """Polynomial of degree 5 between two states of position, velocity and acceleration."""
    k = np.arange(6)
    at_start = np.eye(3, 6) * [1, 1, 2, 1, 1, 1]
    at_end = np.stack(
        [duration**k, k * duration ** np.maximum(k - 1, 0), k * (k - 1) * duration ** np.maximum(k - 2, 0)]
    )
    coefficients = np.linalg.solve(np.concatenate([at_start, at_end]), np.array([*start, *end]))
    return np.polynomial.polynomial.polyval(time, coefficients)


def _height(time: np.ndarray) -> np.ndarray:
    """Height of the hips at each instant, shape (n,) [m]; continuous up to the acceleration."""
    leave, land = (TOP, TAKE_OFF_SPEED, -GRAVITY), (TOP, -TAKE_OFF_SPEED, -GRAVITY)
    flight = time - TAKE_OFF
    return np.select(
        [time < PUSH_START, time < TAKE_OFF, time < TOUCH_DOWN, time < LOWEST],
        [
            HIPS_HEIGHT - CROUCH * ease(time, CROUCH_START, PUSH_START),
            _quintic(time - PUSH_START, TAKE_OFF - PUSH_START, (LOW, 0.0, 0.0), leave),
            TOP + TAKE_OFF_SPEED * flight - 0.5 * GRAVITY * flight**2,
            _quintic(time - TOUCH_DOWN, LOWEST - TOUCH_DOWN, land, (DEEP, 0.0, 0.0)),
        ],
        DEEP + LANDING * ease(time, LOWEST, STANDING),
    )


def _pushing(height: np.ndarray) -> _Pose:
    """Pose during the push or the landing, from the height of the hips; at its end only the heel is still moving."""
    done = np.clip((height - LOW) / (TOP - LOW), 0.0, 1.0)
    remaining, heel = (1.0 - done) ** 2, np.clip((done - HEEL_RISE) / (1.0 - HEEL_RISE), 0.0, 1.0)
    return _Pose(
        height=height,
        ahead=HIPS_LEAVING + (HIPS_CROUCHED - HIPS_LEAVING) * remaining,
        lean=LEAN_LEAVING + (LEAN_CROUCHED - LEAN_LEAVING) * remaining,
        pitch=PUSH_PITCH * (2.0 * heel**2 - heel**3),
    )


def _pose(time: np.ndarray) -> _Pose:
    """Pose at each instant. Before the push and after the landing the feet are flat and the hips move above them."""
    height = _height(time)
    push, landed = _pushing(height), _pushing(np.asarray(DEEP))
    down, up = ease(time, CROUCH_START, PUSH_START), ease(time, LOWEST, STANDING)
    before, after = time < PUSH_START, time > LOWEST
    ahead = np.select([before, after], [HIPS_AHEAD + (HIPS_CROUCHED - HIPS_AHEAD) * down,
                                        landed.ahead + (HIPS_AHEAD - landed.ahead) * up], push.ahead)  # fmt: skip
    lean = np.select([before, after], [LEAN_CROUCHED * down, landed.lean * (1.0 - up)], push.lean)
    return _Pose(height=height, ahead=ahead, lean=lean, pitch=np.where(before | after, 0.0, push.pitch))


def _follow(time: np.ndarray, rate: float, duration: float) -> np.ndarray:
    """Additional displacement of a quantity that starts at a rate and comes to rest after `duration`."""
    s = np.clip(time / duration, 0.0, 1.0)
    return rate * duration * (s - s**2 + s**3 / 3.0)


def jump(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The whole jump at the given times since its start; returns the same as `to_amass`."""
    pose = _pose(time)
    hips = vector(0.0, pose.height, pose.ahead)

    # Time since take-off or until touch-down, whichever is shorter; zero on the ground.
    airborne = np.clip(np.minimum(time - TAKE_OFF, TOUCH_DOWN - time), 0.0, None)
    pitch_rate = PUSH_PITCH / (1.0 - HEEL_RISE) * TAKE_OFF_SPEED / (TOP - LOW)
    pitch = pose.pitch + _follow(airborne, pitch_rate, FOLLOW_FOOT)
    lever = BALL[2] * np.cos(PUSH_PITCH) + BALL[1] * np.sin(PUSH_PITCH)
    follow = _follow(airborne, _ankle_rise(PUSH_PITCH)[0] * pitch_rate, FOLLOW_LEG)
    stretch = _follow(airborne, TAKE_OFF_SPEED - lever * pitch_rate, FOLLOW_LEG)
    flight_height = np.where(airborne > 0.0, pose.height - TOP, 0.0)

    ankles, feet = planted(time)
    up, along = _ankle_rise(pose.pitch)
    for side in SIDES:
        forward = feet[side][:, :, 2]
        ankles[side] = ankles[side] + forward * (along + follow)[:, None]
        ankles[side][:, 1] = up + flight_height - stretch
        feet[side] = feet[side] @ turn("x", pitch)
    swing = (
        np.deg2rad(-45.0) * ease(time, CROUCH_START + 0.1, PUSH_START)
        + np.deg2rad(165.0) * ease(time, PUSH_START, TAKE_OFF + 0.1)
        - np.deg2rad(120.0) * ease(time, TAKE_OFF + 0.15, STANDING)
    )
    arms = arm(swing, np.full_like(time, AT_SIDE), np.full_like(time, ELBOW))
    pelvis, thorax = turn("x", pose.lean), turn("x", 1.5 * pose.lean)
    toes = pitch * (1.0 - ease(airborne, 0.0, 0.12))
    return compose(hips, pelvis, thorax, ankles, feet, {"left": arms, "right": arms}, toes=toes)
