"""Which heels and toes stand, how big the subject is, and where the floor lies: read from the source's own motion."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_closing, binary_opening, uniform_filter1d

from musclemap.retarget.config import ContactConfig, ScaleConfig


@dataclass(frozen=True, kw_only=True)
class Stance:
    """Contacts and ground of one motion, in the target's size.

    Attributes:
        contact: Whether each point stands, shape (nframe, 4) bool, order CONTACT_NAMES.
        scale: Factor on the source's travel.
        floor: Height of the floor in the scaled source [m]; subtracting it puts the soles on z = 0.
        height: Height of each standing point's ground over the floor [m], 0 on level ground, shape (nframe, 4).
        scale_evidence: What decided the scale: "feet", "height" or "skeleton".
    """

    contact: np.ndarray
    scale: float
    floor: float
    height: np.ndarray
    scale_evidence: str


LIKELY, UNLIKELY = 1.5, 2.5
"""Standard deviations of a subject's size: up to the first the pelvis's height is trusted to tell the size, up to the
second less so, and beyond it the floor is thought not to lie at z = 0."""


def velocity(pos: np.ndarray, fps: float) -> np.ndarray:
    """Central differences over time, one-sided at the ends, shape as `pos` [m/s]."""
    return np.gradient(pos, 1.0 / fps, axis=0)


def _tidy(mask: np.ndarray, length: int) -> np.ndarray:
    """Close gaps and drop contacts shorter than `length` frames; the ends count as continuing."""
    if length < 2:
        return mask
    padded = np.pad(mask, ((length, length), (0, 0)), mode="edge")
    window = np.ones((length, 1), bool)
    return binary_opening(binary_closing(padded, window), window)[length:-length]


def detect(
    points: np.ndarray, pelvis_height: np.ndarray, fps: float, config: ContactConfig
) -> tuple[np.ndarray, float]:
    """Find standing heels and toes by speed and height.

    A point stands where it is slow and near the floor, which is the low end of the heights that slow points have. A
    body that is neither falling freely nor held by such a point is held by its lowest slow point, whatever its
    height: a step, a slope, uneven ground.

    Args:
        points: Positions of the four points, shape (nframe, 4, 3) [m].
        pelvis_height: Shape (nframe,) [m].
        fps: Frames a second.
        config: Thresholds.

    Returns:
        Contacts, shape (nframe, 4) bool, and the height of the floor [m].
    """
    speed = np.linalg.norm(velocity(points, fps), axis=2)
    speed = uniform_filter1d(speed, size=max(1, round(0.03 * fps)), axis=0, mode="nearest")
    slow = speed < config.max_speed
    height = points[..., 2]
    lowest = height.min(axis=1)
    floor = float(np.quantile(height[slow], 0.1)) if slow.any() else float(lowest.min())
    near = slow & (height < floor + config.max_height)
    if near.any():  # the floor is where standing points are, not where the lowest tenth of them is
        floor = float(np.median(height[near]))
    contact = slow & (height < floor + config.max_height)
    fall = uniform_filter1d(np.gradient(np.gradient(pelvis_height, 1 / fps), 1 / fps), size=max(1, round(0.1 * fps)))
    carried = fall > -config.free_fall
    raised = slow & (height < lowest[:, None] + config.max_height) & (carried & ~contact.any(axis=1))[:, None]
    length = max(1, round(config.min_duration * fps))
    return _tidy(contact | _tidy(raised, 2 * length), length), floor


def estimate_stance(
    pelvis: np.ndarray, feet: np.ndarray, *, fps: float, prior: float, scale: ScaleConfig, contact: ContactConfig
) -> Stance:
    """Scale the subject's travel so that standing feet stand, then find contacts and the floor.

    With travel P and the feet relative to the pelvis in the target's size f, a standing point does not move:
    `s dP/dt + df/dt = 0`. The scale is the least-squares solution over all standing points, with the height of the
    pelvis over the floor (or the skeleton, where the floor is not at z = 0) as prior. Contacts and scale are found
    in turn.

    Args:
        pelvis: Pelvis of the source, unscaled, shape (nframe, 3) [m].
        feet: Contact points relative to the pelvis, in the target's size, shape (nframe, 4, 3) [m].
        fps: Frames a second.
        prior: Scale that the skeleton suggests.
        scale: Trust in each piece of evidence.
        contact: Thresholds.
    """
    source_height = pelvis[:, 2]
    reach = -feet[..., 2].min(axis=1)
    usable = source_height > 0.3
    by_height = float(np.quantile(reach[usable] / source_height[usable], 0.9)) if usable.any() else 0.0
    apart = abs(np.log(max(by_height, 1e-3) / prior)) / scale.prior_sigma
    level = apart < UNLIKELY
    centre, sigma = by_height if level else prior, scale.height_sigma if apart < LIKELY else scale.prior_sigma
    travel, swing = velocity(pelvis, fps), velocity(feet, fps)
    size = _first_size(travel, swing, lowest=feet[..., 2].argmin(axis=1), centre=centre)
    information = 0.0
    for _ in range(4):
        stands, _ = detect(size * pelvis[:, None] + feet, size * source_height, fps, contact)
        # neighbouring frames say the same thing: count about one independent sample each tenth of a second
        trust = stands / scale.speed_sigma**2 / max(1.0, 0.1 * fps)
        information = float(np.sum(trust * np.sum(travel**2, axis=1)[:, None]))
        pull = float(-np.sum(trust * np.sum(travel[:, None] * swing, axis=2)))
        size = (pull + centre / sigma**2) / (information + 1 / sigma**2)
        size = float(np.clip(size, scale.lower, scale.upper))
    evidence = "feet" if information > 1 / sigma**2 else "height" if level else "skeleton"
    points = size * pelvis[:, None] + feet
    stands, floor = detect(points, size * source_height, fps, contact)
    return Stance(
        contact=stands, scale=size, floor=floor, height=_ground(points, stands, floor, contact), scale_evidence=evidence
    )


_SIZES = np.geomspace(0.6, 1.6, 41)
_SIZE_COST = 0.1
"""Speed of the supporting foot that outweighs a factor of e^0.3 in size [m/s]."""


def _first_size(travel: np.ndarray, swing: np.ndarray, *, lowest: np.ndarray, centre: float) -> float:
    """Try sizes about a guess and take the one with which the lowest point of the feet moves least.

    With a size far off, standing feet slide too fast to be seen as standing; this finds where to look first.
    """
    foot = swing[np.arange(len(lowest)), lowest]
    costs = []
    for factor in _SIZES:
        speed = np.median(np.linalg.norm(centre * factor * travel + foot, axis=1))
        costs.append(speed + _SIZE_COST * (np.log(factor) / 0.3) ** 2)
    return float(centre * _SIZES[int(np.argmin(costs))])


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Intervals [start, stop) in which a 1-D mask is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _ground(points: np.ndarray, contact: np.ndarray, floor: float, config: ContactConfig) -> np.ndarray:
    """Give each contact the height of the ground under it: 0 near the floor, else its own median height."""
    height = np.zeros(contact.shape)
    for k in range(contact.shape[1]):
        for start, stop in runs(contact[:, k]):
            middle = float(np.median(points[start:stop, k, 2])) - floor
            height[start:stop, k] = 0.0 if abs(middle) <= config.max_height else middle
    return height
