"""An idealised run in AMASS's conventions: a body on a spring, with feet that strike, roll and fly.

The body's centre follows the forces of a run: half a sine of vertical force in stance, braking and then propulsion
along the path, free fall in flight. Feet touch down with the heel, while they still move, and leave from the toes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.exercises import vector
from musclemap.datasets.synthetic.pose import (
    BALL,
    HANGING,
    HEEL,
    HIP,
    THIGH,
    arm,
    both_sides,
    leg_to,
    spine,
    to_amass,
    turn,
)  # fmt: skip

GRAVITY = 9.81
BRAKING = 0.3
"""Largest force along the path [body weights] (Novacheck 1998, Gait & Posture 7:77)."""
STRIKE_PITCH, OFF_PITCH = np.deg2rad(-8.0), np.deg2rad(58.0)  # of the foot, heel up positive
FLAT, HEEL_OFF = 0.15, 0.45  # fractions of stance
LEG_MASSES = {"thigh": 0.1416, "shank": 0.0433, "foot": 0.0137}
"""Fractions of the body's mass (de Leva 1996, J. Biomech. 29:1223)."""
STRIKE_SPEED = (1.2, -0.9)  # of the ankle at touch-down, forward and up [m/s]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run and its known events.

    Attributes:
        motion: The run.
        strikes: Instants of touch-down of the left and of the right foot [s].
        offs: Instants of toe-off [s].
    """

    motion: SourceMotion
    strikes: tuple[np.ndarray, np.ndarray]
    offs: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class _Gait:
    speed: float
    stance: float
    flight: float
    height: float

    @property
    def step(self) -> float:
        return self.stance + self.flight

    def hips(self, time: np.ndarray) -> np.ndarray:
        """Middle of the hips; stance begins at time 0 and after every step."""
        t = np.linspace(0.0, self.step, 2001)
        phase = np.minimum(t / self.stance, 1.0)
        up = GRAVITY * (np.pi / 2 * self.step / self.stance * np.sin(np.pi * phase) - 1.0)
        ahead = -GRAVITY * BRAKING * np.sin(2 * np.pi * phase)
        curves = [_twice_integrated(t, values) for values in (up, ahead)]
        s = time % self.step
        rise, surge = (np.interp(s, t, curve) for curve in curves)
        return vector(0.0, self.height + rise, self.speed * time + surge)

    def foot(self, since: np.ndarray, touch: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ankle, pitch and toe bend in stance; `touch` is the position of the heel on the ground, shape (n,)."""
        s = np.clip(since / self.stance, 0.0, 1.0)
        landing = STRIKE_PITCH * (1.0 - np.clip(s / FLAT, 0.0, 1.0)) ** 2
        rise = np.clip((s - HEEL_OFF) / (1.0 - HEEL_OFF), 0.0, 1.0)
        pitch = landing + OFF_PITCH * rise**2
        turned = turn("x", pitch)
        heel, ball = vector(HIP[0], np.zeros_like(s), touch), vector(HIP[0], np.zeros_like(s), touch + (BALL - HEEL)[2])
        ankle = np.where((pitch > 0)[:, None], ball - turned @ BALL, heel - turned @ HEEL)
        return ankle, pitch, OFF_PITCH * rise**2

    def leg(self, time: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ankle, pitch of the foot and toe bend of the leg whose stances begin at multiples of two steps."""
        stride = 2.0 * self.step
        count, since = np.floor(time / stride), time % stride
        ahead = 0.24  # of the heel before the hip at touch-down
        touch = self.hips(count * stride)[:, 2] + ahead
        ankle, pitch, bend = self.foot(since, touch)
        swing = _Swing(self, ahead)
        done = np.clip((since - self.stance) / (stride - self.stance), 0.0, 1.0)
        flying = since > self.stance
        ankle[flying] = (self.hips(time) + vector(HIP[0], *swing.ankle(done).T))[flying]
        pitch[flying] = swing.pitch(done)[flying]
        bend[flying] = (OFF_PITCH * (1.0 - np.clip(done / 0.25, 0.0, 1.0)) ** 2)[flying]
        return ankle, pitch, bend


class _Swing:
    """Ankle relative to the hips (up, forward) and pitch of the foot, as functions of the fraction of swing."""

    def __init__(self, gait: _Gait, ahead: float) -> None:
        duration = 2.0 * gait.step - gait.stance
        rate = lambda at, h=1e-4: (gait.hips(np.array([at + h])) - gait.hips(np.array([at - h])))[0, 1:] / (2 * h)  # noqa: E731
        touch = gait.hips(np.zeros(1))[:, 2] + ahead
        start = gait.foot(np.array([gait.stance]), touch)[0][0, 1:] - gait.hips(np.array([gait.stance]))[0, 1:]
        before = gait.foot(np.array([gait.stance - 1e-3]), touch)[0][0, 1:]
        leaving = (gait.foot(np.array([gait.stance]), touch)[0][0, 1:] - before) / 1e-3 - rate(gait.stance)
        end = gait.foot(np.zeros(1), touch)[0][0, 1:] - gait.hips(np.zeros(1))[0, 1:]
        arriving = np.array(STRIKE_SPEED[::-1]) - rate(0.0)
        knots = [0.0, 0.3, 0.6, 0.8, 1.0]
        points = np.array([start, (-0.42, -0.40), (-0.44, 0.10), (-0.62, 0.33), end])
        self.ankle = _clamped(knots, points, leaving * duration, arriving * duration)
        pitches = np.array([OFF_PITCH, np.deg2rad(85.0), np.deg2rad(25.0), np.deg2rad(0.0), STRIKE_PITCH])
        rise = 2.0 * OFF_PITCH / (1.0 - HEEL_OFF) / gait.stance
        self.pitch = _clamped(knots, pitches, rise * duration, 0.0)


def _clamped(knots: list[float], values: np.ndarray, start: Any, end: Any) -> CubicSpline:
    """Spline with given derivatives at its ends."""
    return CubicSpline(knots, values, bc_type=((1, start), (1, end)))  # type: ignore[arg-type]


def _twice_integrated(time: np.ndarray, acceleration: np.ndarray) -> np.ndarray:
    """Periodic displacement with this acceleration, whose mean is zero, and without mean."""
    step = time[1] - time[0]
    velocity = np.cumsum(acceleration - acceleration[:-1].mean()) * step
    position = np.cumsum(velocity - velocity[:-1].mean()) * step
    return position - position.mean()


def _pull_of_leg(hips: np.ndarray, pelvis: np.ndarray, ankle: np.ndarray, foot: np.ndarray) -> np.ndarray:
    """Displacement of the centre of mass from the hips by a leg, shape (n, 3) [m]."""
    hip = hips + HIP * [1.0, 0.0, 0.0]
    knee = hip + pelvis @ leg_to(hip, pelvis, ankle, foot)["hip"] @ THIGH
    thigh, shank, end = LEG_MASSES.values()
    moment = thigh * (0.59 * hip + 0.41 * knee) + shank * (0.56 * knee + 0.44 * ankle) + end * ankle
    return moment - (thigh + shank + end) * hips


def run(
    *, speed: float = 4.0, seconds: float = 3.0, stance: float = 0.21, flight: float = 0.12, fps: float = 120.0
) -> Run:
    """Run straight ahead along x.

    Args:
        speed: Speed [m/s].
        seconds: Duration [s].
        stance: Time on each foot [s].
        flight: Time in the air between two steps [s].
        fps: Frame rate [Hz].
    """
    gait = _Gait(speed=speed, stance=stance, flight=flight, height=0.80)
    time = np.arange(int(seconds * fps) + 1) / fps
    pelvis, thorax = turn("x", np.full_like(time, 0.08)), turn("x", np.full_like(time, 0.12))
    late = {"left": 0.0, "right": gait.step}
    feet = {side: gait.leg(time + delay) for side, delay in late.items()}
    ankles = {side: feet[side][0] - [0.0, 0.0, speed * delay] for side, delay in late.items()}
    pitches = {side: turn("x", feet[side][1]) for side in late}
    hips = gait.hips(time)
    for _ in range(8):  # the centre of mass, not the hips, has to fly freely
        left, right = (_pull_of_leg(hips, pelvis, ankles[side], pitches[side]) for side in late)
        centre = left + right
        hips = gait.hips(time) - (centre - centre.mean(axis=0)) * [0.0, 1.0, 1.0]
    limbs = {}
    for side, delay in late.items():
        swing = np.deg2rad(30.0) * np.cos(np.pi * (time + delay) / gait.step - 0.3)
        limbs[side] = {
            **leg_to(hips + HIP * [1.0, 0.0, 0.0], pelvis, ankles[side], pitches[side]),
            "foot": turn("x", -feet[side][2]),
            **arm(-swing, np.full_like(time, np.pi / 2 - HANGING), np.full_like(time, np.deg2rad(90.0))),
        }
    head = np.broadcast_to(np.eye(3), pelvis.shape)
    rotations = both_sides(limbs["left"], limbs["right"]) | spine(pelvis, thorax, head)
    rotvec, trans = to_amass(hips - pelvis @ (HIP * [0.0, 1.0, 1.0]), pelvis, rotations)
    motion = SourceMotion(
        name="run.npz", rotvec=rotvec, hand_rotvec=None, trans=trans, betas=np.zeros(16), gender="neutral",
        family="smplh", fps=fps, fps_source="synthetic", source_fps=fps, sha256="", licence="CC0-1.0",
    )  # fmt: skip
    left, right = (np.arange(k * gait.step, seconds, 2 * gait.step) for k in range(2))
    off = lambda strikes: strikes[strikes + stance < seconds] + stance  # noqa: E731
    return Run(motion=motion, strikes=(left, right), offs=(off(left), off(right)))
