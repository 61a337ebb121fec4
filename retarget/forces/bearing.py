"""Which parts of the body bear its weight, frame by frame.

Bearing is not the same as being held still. A heel bears as soon as it touches the ground, while it still moves, and
the toes bear until they leave it. So a part begins to bear when it is near the ground and has slowed down, and ends
when it has clearly moved off: two thresholds, as in a Schmitt trigger. What rises does not begin to bear. The force
that the motion requires has the last word: in flight nothing bears, and where the body does not fall something does.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from musclemap.intervals import runs
from musclemap.retarget.targets.contacts import drop_short, filter_short
from musclemap.skeletons.support import SupportPoints


@dataclass(frozen=True, kw_only=True)
class BearingThresholds:
    """When a part begins and ceases to bear.

    Attributes:
        begin_speed: A point of a foot begins to bear below this speed at an ordinary pace [m/s].
        end_speed: It ceases to bear above this speed at an ordinary or higher pace [m/s].
        pace: Speed of the centre of mass at an ordinary pace [m/s]. The first speed changes in proportion, the second
            and the heights only downwards: the faster the pace, the faster feet touch down, and whoever stands lifts a
            foot slowly.
        slowest, fastest: Range of the pace, relative to the ordinary one.
        rising: A point of a foot that rises faster than this leaves the ground and does not begin to bear [m/s].
        begin_height: A point begins to bear below this height above its ground at an ordinary or higher pace [m].
        end_height: A point ceases to bear above this height at an ordinary or higher pace [m].
        body_height: Largest height of a point of another part than the feet, whose soft tissue varies [m].
        body_speed: Highest speed of such a point at an ordinary or lower pace [m/s].
        flight: Required vertical force below which nothing bears [body weights]; walking requires at least 0.4.
        carried: A gap without support in which the required vertical force never falls below this is no flight: what
            slips or turns on the ground, no faster than `end_speed`, bears [body weights].
        slip: Highest speed of a part that bears in such a gap, relative to the slowest part on the ground.
        step: A foot that moves for this long while the other is held still, and never leaves the thresholds above,
            takes a low step and does not bear [s].
        min_duration: Shorter gaps and shorter supports are removed [s].
    """

    begin_speed: float = 0.7
    end_speed: float = 1.1
    pace: float = 1.25
    slowest: float = 0.35
    fastest: float = 3.0
    rising: float = 0.25
    begin_height: float = 0.05
    end_height: float = 0.06
    body_height: float = 0.04
    body_speed: float = 0.9
    flight: float = 0.2
    carried: float = 0.5
    slip: float = 1.5
    step: float = 0.15
    min_duration: float = 0.04


def detect_bearing(
    support: SupportPoints,
    points: np.ndarray,
    load: np.ndarray,
    com: np.ndarray,
    fps: float,
    *,
    held: np.ndarray | None = None,
    thresholds: BearingThresholds = BearingThresholds(),
) -> np.ndarray:
    """Find the parts that bear.

    Args:
        support: Support points of the body.
        points: Lowest point of each, ground at z = 0, shape (nframe, npoint, 3) [m].
        load: Vertical force that the motion requires, shape (nframe,) [body weights].
        com: Centre of mass, shape (nframe, 3) [m].
        fps: Frame rate [Hz].
        held: Whether each foot, left and right, is held still (`/contact`), shape (nframe, 2) bool; a foot that stands
            still higher than the floor stands on something, and bears.
        thresholds: Thresholds.

    Returns:
        Whether each part bears, shape (nframe, npart) bool.
    """
    npart = len(support.names)
    height, velocity = points[..., 2], np.gradient(points, 1.0 / fps, axis=0)
    speed, rising = np.linalg.norm(velocity, axis=2), velocity[..., 2] > thresholds.rising
    bearing = np.zeros((len(points), npart), bool)
    pace = np.linalg.norm(np.gradient(com, 1.0 / fps, axis=0), axis=1) / thresholds.pace
    pace = uniform_filter1d(pace, max(1, round(0.5 * fps)), mode="nearest")[:, None]
    pace = np.clip(pace, thresholds.slowest, thresholds.fastest)
    slow = np.minimum(pace, 1.0)
    begin_speed, end_speed = thresholds.begin_speed * pace, thresholds.end_speed * slow
    begin_height, end_height = thresholds.begin_height * slow, thresholds.end_height * slow
    body_speed = thresholds.body_speed * np.maximum(pace, 1.0)
    length = max(1, round(thresholds.min_duration * fps))
    feet = [k for k, name in enumerate(support.names) if name.endswith("foot")]
    slipping = np.full(bearing.shape, np.inf)
    for part in range(npart):
        own = support.part == part
        if not own.any():
            continue
        ground = np.zeros(len(points))
        if held is not None and part in feet:
            ground = _raised_ground(height[:, own].min(axis=1), held[:, feet.index(part)])
        above = height[:, own] - ground[:, None]
        if part in feet:
            begin = (speed[:, own] < begin_speed) & (above < begin_height) & ~rising[:, own]
            end = (speed[:, own] > end_speed) | (above > end_height)
        else:
            begin = (speed[:, own] < body_speed) & (above < thresholds.body_height)
            end = (speed[:, own] > body_speed) | (above > thresholds.body_height)
        low = above < (end_height if part in feet else thresholds.body_height)
        slipping[:, part] = np.where(low, speed[:, own], np.inf).min(axis=1)
        bearing[:, part] = np.any(_trigger(begin, end), axis=1)
    if held is not None:
        for k, foot in enumerate(feet):
            _drop_low_steps(bearing[:, foot], held[:, k], held[:, 1 - k], round(thresholds.step * fps))
    bearing = filter_short(bearing, length)
    bearing = drop_short(bearing & (load > thresholds.flight)[:, None], length)
    _carry(bearing, slipping, load, thresholds)
    return bearing


def _carry(bearing: np.ndarray, slipping: np.ndarray, load: np.ndarray, thresholds: BearingThresholds) -> None:
    """Let the slowest parts on the ground bear, in place, where nothing bears and the body does not fall.

    Args:
        bearing: Whether each part bears, shape (nframe, npart) bool.
        slipping: Speed of each part's slowest point on the ground, infinite without one, shape (nframe, npart) [m/s].
        load: Required vertical force, shape (nframe,) [body weights].
        thresholds: Thresholds.
    """
    for start, stop in runs(np.asarray(~bearing.any(axis=1))):
        if load[start:stop].min() > thresholds.carried:
            speed = slipping[start:stop]
            slowest = np.minimum(thresholds.slip * speed.min(axis=1, keepdims=True), thresholds.end_speed)
            bearing[start:stop] = speed <= slowest


def _trigger(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """State that becomes true at `begin` and false at `end`, and holds in between; shapes (nframe, n) bool."""
    frames = np.arange(len(begin))[:, None]
    last_begin = np.maximum.accumulate(np.where(begin, frames, -1), axis=0)
    last_end = np.maximum.accumulate(np.where(end & ~begin, frames, -1), axis=0)
    return last_begin > last_end


def _drop_low_steps(bearing: np.ndarray, held: np.ndarray, other_held: np.ndarray, length: int) -> None:
    """Let a foot not bear, in place, while it moves beside the foot that stands, however low and slow its step is.

    Between two ordinary stances it does not bear in most frames anyway, and touchdown and push-off are then found more
    exactly by the thresholds. All arrays have the shape (nframe,) bool; `length` is the shortest step in frames.
    """
    for start, stop in runs(~held & other_held):
        if stop - start >= length and bearing[start:stop].all():
            bearing[start:stop] = False


def _raised_ground(height: np.ndarray, held: np.ndarray, *, tolerance: float = 0.01) -> np.ndarray:
    """Height of the ground under a foot: 0, or the height at which it is held still, until midway to the next stance.

    Args:
        height: Lowest point of the foot, shape (nframe,) [m].
        held: Whether it is held still, shape (nframe,) bool.
        tolerance: A foot this near the floor stands on the floor [m].
    """
    ground = np.zeros(len(height))
    stances = runs(held)
    for k, (start, stop) in enumerate(stances):
        low = float(np.median(height[start:stop]))
        if abs(low) > tolerance:
            first = 0 if k == 0 else (stances[k - 1][1] + start) // 2
            last = len(height) if k + 1 == len(stances) else (stop + stances[k + 1][0]) // 2
            ground[first:last] = low
    return ground
