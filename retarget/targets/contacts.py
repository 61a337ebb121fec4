"""Contacts of heels and toes, size of the subject and height of the floor, estimated from the source motion."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_closing, binary_opening, uniform_filter1d

from musclemap.intervals import runs
from musclemap.retarget.config import ContactConfig, ScaleConfig


@dataclass(frozen=True, kw_only=True)
class Stance:
    """Contacts and ground of one motion, in the target's size.

    Attributes:
        contact: Whether each point is in contact, in the order of the body's contact parts, shape (nframe, 4) bool.
        scale: Factor on the source's root translation.
        floor: Height of the floor in the scaled source [m]; subtracting it puts the soles on z = 0.
        height: Height above the floor of the ground under each contact [m], 0 on level ground, shape (nframe, 4).
        scale_evidence: Evidence that determined the scale: "feet", "height" or "skeleton"; "body" if it is 1 because
            the body has the subject's size.
        free_scale: Scale that the evidence alone gives; None if it is `scale`.
    """

    contact: np.ndarray
    scale: float
    floor: float
    height: np.ndarray
    scale_evidence: str
    free_scale: float | None = None


@dataclass(frozen=True)
class PartMotion:
    """Lowest point of each part of the body but the feet, by which it can lie, sit, kneel or stand on its hands.

    Attributes:
        pos: Points relative to the pelvis, shape (nframe, npart, 3) [m].
        velocity: Velocity of the body's point that is the lowest, relative to the pelvis, same shape [m/s].
    """

    pos: np.ndarray
    velocity: np.ndarray


STANDING_HEIGHT = 0.06
"""Feet further above the lowest part of the body than this do not stand, so they tell nothing of floor or scale [m]."""

TRUSTED_HEIGHT, REJECTED_HEIGHT = 1.5, 2.5
"""Limits on how far the scale by pelvis height may deviate from that of the skeleton, in standard deviations of the
latter. Up to the first limit the height is trusted fully, up to the second with a larger sigma. Beyond it, the floor is
assumed not to be at z = 0."""


def velocity(pos: np.ndarray, fps: float) -> np.ndarray:
    """Velocity by central differences, one-sided at the ends, same shape as `pos` [m/s]."""
    return np.gradient(pos, 1.0 / fps, axis=0)


def filter_short(mask: np.ndarray, length: int) -> np.ndarray:
    """Close gaps and drop contacts shorter than `length` frames; contacts at the ends are assumed to continue."""
    if length < 2:
        return mask
    padded = np.pad(mask, ((length, length), (0, 0)), mode="edge")
    return drop_short(binary_closing(padded, np.ones((length, 1), bool))[length:-length], length)


def drop_short(mask: np.ndarray, length: int) -> np.ndarray:
    """Drop contacts shorter than `length` frames; contacts at the ends are assumed to continue."""
    if length < 2:
        return mask
    padded = np.pad(mask, ((length, length), (0, 0)), mode="edge")
    return binary_opening(padded, np.ones((length, 1), bool))[length:-length]


def detect_contacts(
    points: np.ndarray, pelvis_height: np.ndarray, fps: float, config: ContactConfig,
    *, parts: np.ndarray | None = None, parts_speed: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:  # fmt: skip
    """Detect contacts of heels and toes by speed and height.

    A point is in contact if it is slow and near the floor. The floor is at the lower end of the heights of slow points.
    If the body is neither in free fall nor supported by such a point, its lowest slow points are in contact at any
    height: on a step, a slope or uneven ground. Feet that hang in the air, above another part of the body, do not
    stand: the floor is then under the lowest part.

    Args:
        points: Positions of heels and toes, shape (nframe, 4, 3) [m].
        pelvis_height: Height of the pelvis, shape (nframe,) [m].
        fps: Frame rate [Hz].
        config: Thresholds.
        parts: Lowest points of the other parts of the body, shape (nframe, npart, 3) [m]; None if only feet matter.
        parts_speed: Their speeds, shape (nframe, npart) [m/s].

    Returns:
        Contacts, shape (nframe, 4) bool, and the height of the floor [m].
    """
    speed = np.linalg.norm(velocity(points, fps), axis=2)
    speed = uniform_filter1d(speed, size=max(1, round(0.03 * fps)), axis=0, mode="nearest")
    slow = speed < config.max_speed
    height = points[..., 2]
    lowest = height.min(axis=1)
    resting = np.zeros((len(points), 0), bool)
    if parts is not None and parts_speed is not None:
        slow &= height < np.minimum(lowest, parts[..., 2].min(axis=1, initial=np.inf))[:, None] + STANDING_HEIGHT
        resting = parts_speed < config.max_speed
    if not slow.any() and resting.any():
        assert parts is not None
        return np.zeros(height.shape, bool), _floor_under(parts[..., 2], resting, config)
    floor = float(np.quantile(height[slow], 0.1)) if slow.any() else float(lowest.min())
    near = slow & (height < floor + config.max_height)
    if near.any():  # the floor is at the median height of standing points, not at their lowest tenth
        floor = float(np.median(height[near]))
    contact = slow & (height < floor + config.max_height)
    fall = uniform_filter1d(np.gradient(np.gradient(pelvis_height, 1 / fps), 1 / fps), size=max(1, round(0.1 * fps)))
    supported = fall > -config.free_fall
    if parts is not None:
        supported &= ~(resting & (parts[..., 2] < floor + config.max_height)).any(axis=1)
    raised = slow & (height < lowest[:, None] + config.max_height) & (supported & ~contact.any(axis=1))[:, None]
    length = max(1, round(config.min_duration * fps))
    return filter_short(contact | filter_short(raised, 2 * length), length), floor


def _floor_under(height: np.ndarray, resting: np.ndarray, config: ContactConfig) -> float:
    """Height of the floor under parts of the body that rest on it, from their heights (nframe, npart) [m]."""
    bearing = resting & (height < height.min(axis=1, keepdims=True) + config.max_height)
    if not bearing.any():
        return float(height.min())
    low = float(np.quantile(height[bearing], 0.1))
    return float(np.median(height[bearing & (height < low + config.max_height)]))


def estimate_stance(
    pelvis: np.ndarray,
    feet: np.ndarray,
    *,
    parts: PartMotion | None = None,
    fps: float,
    prior: float,
    scale_config: ScaleConfig,
    contact_config: ContactConfig,
    floor_is_zero: bool = False,
    body_is_scaled: bool = False,
) -> Stance:
    """Scale the root translation so that feet in contact do not slide, then detect contacts and the floor.

    With the pelvis position P and the feet relative to the pelvis in the target's size f, a point in contact does not
    move: `s dP/dt + df/dt = 0`. The scale s is the least-squares solution over all contacts. Its prior is the height of
    the pelvis above the floor, or the skeleton's size if the floor is not at z = 0. Contacts and scale are estimated in
    turn.

    Args:
        pelvis: Pelvis of the source, unscaled, shape (nframe, 3) [m].
        feet: Contact points relative to the pelvis, in the target's size, shape (nframe, 4, 3) [m].
        parts: Motion of the other parts of the body, in the target's size; None if only feet matter.
        fps: Frame rate [Hz].
        prior: Scale by the skeleton's size.
        scale_config: Standard deviations of the evidence, and range of the scale.
        contact_config: Thresholds of contact detection.
        body_is_scaled: Whether the body has the subject's size. The motion then keeps its own, so the scale is 1, and
            what the evidence gives is only stored.
        floor_is_zero: Whether the floor is at z = 0 of the source, whatever the height of the standing feet.
    """
    source_height = pelvis[:, 2]
    if parts is None:
        parts = PartMotion(*np.zeros((2, len(feet), 0, 3)))
    every = np.concatenate([feet, parts.pos], axis=1)
    reach = -every[..., 2].min(axis=1)
    usable = source_height > 0.3
    by_height = float(np.quantile(reach[usable] / source_height[usable], 0.9)) if usable.any() else 0.0
    deviation = abs(np.log(max(by_height, 1e-3) / prior)) / scale_config.prior_sigma
    height_is_plausible = deviation < REJECTED_HEIGHT
    centre, sigma = (
        by_height if height_is_plausible else prior,
        scale_config.height_sigma if deviation < TRUSTED_HEIGHT else scale_config.prior_sigma,
    )
    pelvis_velocity, feet_velocity = velocity(pelvis, fps), velocity(feet, fps)
    every_velocity = np.concatenate([feet_velocity, parts.velocity], axis=1)
    scale = _initial_scale(pelvis_velocity, every_velocity, lowest=every[..., 2].argmin(axis=1), centre=centre)

    def contacts(scale: float) -> tuple[np.ndarray, float]:
        speed = np.linalg.norm(scale * pelvis_velocity[:, None] + parts.velocity, axis=2)
        return detect_contacts(
            scale * pelvis[:, None] + feet, scale * source_height, fps, contact_config,
            parts=scale * pelvis[:, None] + parts.pos, parts_speed=speed,
        )  # fmt: skip

    information, free_scale = 0.0, scale
    for _ in range(4):
        standing, _ = contacts(scale)
        # Neighbouring frames are correlated: count one independent sample per 0.1 s.
        weight = standing / scale_config.speed_sigma**2 / max(1.0, 0.1 * fps)
        information = float(np.sum(weight * np.sum(pelvis_velocity**2, axis=1)[:, None]))
        projection = float(-np.sum(weight * np.sum(pelvis_velocity[:, None] * feet_velocity, axis=2)))
        free_scale = (projection + centre / sigma**2) / (information + 1 / sigma**2)
        free_scale = float(np.clip(free_scale, scale_config.lower, scale_config.upper))
        scale = 1.0 if body_is_scaled else free_scale
    evidence = "feet" if information > 1 / sigma**2 else "height" if height_is_plausible else "skeleton"
    points = scale * pelvis[:, None] + feet
    standing, floor = contacts(scale)
    floor = 0.0 if floor_is_zero else floor
    return Stance(
        contact=standing,
        scale=scale,
        floor=floor,
        height=_ground_height(points, standing, floor, contact_config),
        scale_evidence="body" if body_is_scaled else evidence,
        free_scale=free_scale if body_is_scaled else None,
    )


_SCALE_FACTORS = np.geomspace(0.6, 1.6, 41)
_SCALE_COST = 0.1
"""Speed of the supporting foot that costs as much as a factor of e^0.3 in scale [m/s]."""


def _initial_scale(
    pelvis_velocity: np.ndarray, feet_velocity: np.ndarray, *, lowest: np.ndarray, centre: float
) -> float:
    """Choose, from factors on a first guess, the scale with the slowest lowest point of the feet.

    With a scale far off, feet in contact slide too fast to be detected, so the iteration needs a good start.
    """
    lowest_velocity = feet_velocity[np.arange(len(lowest)), lowest]
    costs = []
    for factor in _SCALE_FACTORS:
        speed = np.median(np.linalg.norm(centre * factor * pelvis_velocity + lowest_velocity, axis=1))
        costs.append(speed + _SCALE_COST * (np.log(factor) / 0.3) ** 2)
    return float(centre * _SCALE_FACTORS[int(np.argmin(costs))])


def _ground_height(points: np.ndarray, contact: np.ndarray, floor: float, config: ContactConfig) -> np.ndarray:
    """Height of the ground under each contact: 0 near the floor, otherwise the contact's median height."""
    height = np.zeros(contact.shape)
    for k in range(contact.shape[1]):
        for start, stop in runs(contact[:, k]):
            median = float(np.median(points[start:stop, k, 2])) - floor
            height[start:stop, k] = 0.0 if abs(median) <= config.max_height else median
    return height
