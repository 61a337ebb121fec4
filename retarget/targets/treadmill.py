"""Treadmill: recognise locomotion whose travel the recording does not contain, and convert between the two frames.

On a treadmill, and in motions whose travel was removed, the pelvis stays while every planted foot moves backwards at
one velocity. A frame that moves uniformly has the same forces as one at rest. Contacts, fit and checks therefore use
the overground frame, in which planted feet stand: the travel, minus that velocity times time, is added to the root.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from musclemap.datasets.clip import Clip

from .contacts import runs, velocity

MIN_SPEED = 0.3
"""Slowest belt [m/s]; people walk on treadmills at 0.5 and more."""

NEAR_FLOOR = 0.05
"""A foot below this height above the floor may be planted [m]."""

MAX_DEVIATION = 0.25
"""Largest deviation of a planted foot from the belt's velocity [m/s], or of 20 % of its speed if that is more."""

UNIFORM_FRACTION = 0.75
"""Smallest fraction of the frames with a foot near the floor in which the lowest point moves with the belt."""

STANDING_FRACTION = 0.2
"""Largest fraction of these frames in which the lowest point stands instead."""

PELVIS_SHARE, PELVIS_TIME = 0.25, 2.0
"""Largest mean speed of the pelvis over PELVIS_TIME [s], as a fraction of the belt's."""

MIN_PLANTS, MIN_PLANT_TIME = 4, 0.12
"""Smallest number of times that a foot is planted for MIN_PLANT_TIME [s], at least once for each foot."""

_MOVED = ("landmark_pos", "target_pos", "centre_of_pressure", "plate_centre")
"""Arrays of positions in a clip, shape (nframe, n, 3); older clips lack some of them."""


@dataclass(frozen=True, kw_only=True)
class _Feet:
    """Movement of the feet near the floor; the horizontal velocities are shape (nframe, 4, 2) [m/s]."""

    velocity: np.ndarray
    height: np.ndarray

    @property
    def near(self) -> np.ndarray:
        """Whether each point is near the floor, shape (nframe, 4)."""
        floor = float(np.quantile(self.height.min(axis=1), 0.1))
        return self.height < floor + NEAR_FLOOR

    def lowest(self) -> np.ndarray:
        """Velocity of the lowest point in the frames in which it is near the floor, shape (n, 2) [m/s]."""
        frames = np.flatnonzero(self.near.any(axis=1))
        return self.velocity[frames, self.height[frames].argmin(axis=1)]


def find_travel(pelvis: np.ndarray, feet: np.ndarray, fps: float) -> np.ndarray:
    """Velocity of travel that a motion on a treadmill lacks.

    Args:
        pelvis: Position of the pelvis, in the target's size, shape (nframe, 3) [m].
        feet: Heels and toes relative to the pelvis, in the target's size, shape (nframe, 4, 3) [m].
        fps: Frame rate [Hz].

    Returns:
        Horizontal velocity to add, shape (2,) [m/s]; zero if this is not locomotion on a treadmill.
    """
    nothing = np.zeros(2)
    if len(pelvis) < max(4, PELVIS_TIME * fps):
        return nothing
    points = pelvis[:, None] + feet
    motion = _Feet(velocity=velocity(points[..., :2], fps), height=points[..., 2])
    lowest = motion.lowest()
    belt = np.median(lowest, axis=0)
    tolerance = max(MAX_DEVIATION, 0.2 * float(np.linalg.norm(belt)))
    uniform = np.linalg.norm(lowest - belt, axis=1) < tolerance
    speed = float(np.linalg.norm(belt))
    if speed < MIN_SPEED or uniform.mean() < UNIFORM_FRACTION:
        return nothing
    standing = np.linalg.norm(lowest, axis=1) < min(MAX_DEVIATION, 0.5 * speed)
    if standing.mean() > STANDING_FRACTION or _pelvis_speed(pelvis, fps) > PELVIS_SHARE * speed:
        return nothing
    planted = motion.near & (np.linalg.norm(motion.velocity - belt, axis=2) < tolerance)
    plants = [_plants(planted[:, foot : foot + 2].any(axis=1), fps) for foot in (0, 2)]
    if min(plants) < 1 or sum(plants) < MIN_PLANTS:
        return nothing
    return -lowest[uniform].mean(axis=0)


def _pelvis_speed(pelvis: np.ndarray, fps: float) -> float:
    """Largest mean speed of the pelvis over the ground in PELVIS_TIME [m/s]."""
    n = min(round(PELVIS_TIME * fps), len(pelvis) - 1)
    return float(np.linalg.norm(pelvis[n:, :2] - pelvis[:-n, :2], axis=1).max() * fps / n)


def _plants(planted: np.ndarray, fps: float) -> int:
    return sum(stop - start >= MIN_PLANT_TIME * fps for start, stop in runs(planted))


def travel_metrics(travel: np.ndarray, *, in_place: bool) -> dict[str, float]:
    """Metrics of a clip with this velocity of travel, shape (2,) [m/s], in the world.

    `treadmill_in_place` is 1 if the clip stays in place, so that its checks have to add the travel.
    """
    speed = float(np.linalg.norm(travel))
    return {
        "treadmill_speed_m_s": speed,
        "treadmill_direction_deg": float(np.degrees(np.arctan2(travel[1], travel[0]))) if speed else 0.0,
        "treadmill_in_place": float(in_place and speed > 0),
    }


def _travel_of(metrics: Mapping[str, Any]) -> np.ndarray:
    """Velocity of travel that a clip lacks, from its metrics, shape (2,) [m/s]; zero for other clips."""
    number = lambda name: float(value) if isinstance(value := metrics.get(name), int | float) else 0.0  # noqa: E731
    if not number("treadmill_in_place"):
        return np.zeros(2)
    angle = np.radians(number("treadmill_direction_deg"))
    return number("treadmill_speed_m_s") * np.array([np.cos(angle), np.sin(angle)])


def moved(clip: Clip, travel: np.ndarray) -> Clip:
    """Add a uniform velocity, shape (2,) [m/s], to every position and to the root's velocity of a clip."""
    shift = np.arange(clip.nframe)[:, None] / clip.fps * travel
    qpos, qvel = np.array(clip.qpos, np.float64), np.array(clip.qvel, np.float64)
    qpos[:, :2] += shift
    qvel[:, :2] += travel
    arrays: dict[str, Any] = {"qpos": qpos.astype(clip.qpos.dtype), "qvel": qvel.astype(clip.qvel.dtype)}
    for name in _MOVED:
        array = getattr(clip, name, None)
        if array is not None:
            pos = np.array(array, np.float64)
            pos[..., :2] += shift[:, None]
            arrays[name] = pos.astype(array.dtype)
    return replace(clip, **arrays)


def to_place(clip: Clip) -> Clip:
    """Remove the travel of an overground clip that was recorded on a treadmill; other clips are returned unchanged."""
    metrics = {**clip.metrics, "treadmill_in_place": float(clip.metrics.get("treadmill_speed_m_s", 0.0) > 0)}
    travel = _travel_of(metrics)
    return replace(moved(clip, -travel), metrics=metrics) if travel.any() else clip


def overground(clip: Clip) -> Clip:
    """Add the travel to a clip that stays in place on a treadmill, for checks; other clips are returned unchanged."""
    travel = _travel_of(clip.metrics)
    if not travel.any():
        return clip
    return replace(moved(clip, travel), metrics={**clip.metrics, "treadmill_in_place": 0.0})


def checked_in_place(checked: Clip, original: Clip) -> Clip:
    """Return the results of the checks of `overground(original)` with the motion of `original`."""
    travel = _travel_of(original.metrics)
    if not travel.any():
        return checked
    metrics = {**checked.metrics, "treadmill_in_place": 1.0}
    kept = {name: getattr(original, name) for name in ("qpos", "qvel", "landmark_pos", "target_pos")}
    return replace(moved(checked, -travel), metrics=metrics, **kept)
