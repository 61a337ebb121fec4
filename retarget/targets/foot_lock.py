"""Foot lock: the anchor of each contact, and the shift of the feet's targets that puts them there."""

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from musclemap.intervals import runs

from .contacts import Stance

SLIDE_DISTANCE = 0.06
"""A contact that moves further than this from its median position is a slide: its anchor follows slowly [m]."""

_SLIDE_TIME = 0.3
"""Standard deviation of the filter that makes an anchor follow a slide [s]."""

_FADE_TIME = 0.06
"""Time in which the weight of a contact rises at its start and falls at its end [s]."""

_SHIFT_SIGMA = 0.03
"""Standard deviation of the filter that smooths the shift of the feet's targets [s]."""

_TRUNCATE = 3.0
"""Half width of that filter in standard deviations."""


def lock_contacts(points: np.ndarray, stance: Stance, *, fps: float = 100.0) -> np.ndarray:
    """Compute the anchor of every contact: its median position, on the ground under it.

    Args:
        points: Contact points, shape (nframe, 4, 3) [m].
        stance: Contacts and ground.
        fps: Frame rate [Hz].

    Returns:
        Anchors in frames with contact and `points` in all others, shape (nframe, 4, 3) [m].
    """
    anchor = points.copy()
    for k in range(points.shape[1]):
        for start, stop in runs(stance.contact[:, k]):
            pos_xy = points[start:stop, k, :2]
            centre = np.median(pos_xy, axis=0)
            if np.linalg.norm(pos_xy - centre, axis=1).max() > SLIDE_DISTANCE:
                centre = gaussian_filter1d(pos_xy, _SLIDE_TIME * fps, axis=0, mode="nearest")
            anchor[start:stop, k, :2] = centre
            anchor[start:stop, k, 2] = stance.height[start:stop, k]
    return anchor


def contact_weight(contact: np.ndarray, fps: float) -> np.ndarray:
    """Weight of each contact: 1 inside, with ramps at its ends, so that the cost has no jumps over time.

    A contact at the start or end of the motion keeps its full weight there.

    Args:
        contact: Contacts, shape (nframe, 4) bool.
        fps: Frame rate [Hz].

    Returns:
        Weights, shape (nframe, 4).
    """
    length = max(1, round(_FADE_TIME * fps))
    weight = np.zeros(contact.shape)
    for k in range(contact.shape[1]):
        for start, stop in runs(contact[:, k]):
            frames = np.arange(start, stop)
            since = np.full(len(frames), length) if start == 0 else frames - start + 1
            until = np.full(len(frames), length) if stop == len(contact) else stop - frames
            weight[start:stop, k] = np.clip(np.minimum(since, until) / length, 0.0, 1.0)
    return weight


def foot_shift(points: np.ndarray, anchor: np.ndarray, contact: np.ndarray, fps: float) -> np.ndarray:
    """Compute the shift of heels and toes that moves the contacts to their anchors.

    If only one of a foot's two points is in contact, the whole foot moves with it. Between contacts the shift is
    interpolated linearly, so that the path of a swinging foot changes as little and as smoothly as possible (compare
    Kovar, Schreiner & Gleicher 2002, footskate cleanup). Points that would still be below the floor are lifted to it.

    Args:
        points: Contact points of the source, shape (nframe, 4, 3) [m].
        anchor: Their anchors, shape (nframe, 4, 3) [m].
        contact: Contacts, shape (nframe, 4) bool.
        fps: Frame rate [Hz].

    Returns:
        Shift of every point, shape (nframe, 4, 3) [m].
    """
    shift = np.zeros(points.shape)
    frames = np.arange(len(points))
    for heel, toe in ((0, 1), (2, 3)):
        for point, partner in ((heel, toe), (toe, heel)):
            locked = contact[:, point] | contact[:, partner]
            if not locked.any():
                continue
            known_shift = np.where(contact[:, point, None], (anchor - points)[:, point], (anchor - points)[:, partner])
            for axis in range(3):
                filled = np.interp(frames, frames[locked], known_shift[locked, axis])
                shift[:, point, axis] = gaussian_filter1d(filled, _SHIFT_SIGMA * fps, mode="nearest")
    depth = np.maximum(np.minimum(anchor[..., 2], 0.0) * contact - (points + shift)[..., 2], 0.0)
    sigma = _SHIFT_SIGMA * fps / 2
    radius = int(np.ceil(_TRUNCATE * sigma))
    peaks = maximum_filter1d(depth, 2 * radius + 1, axis=0)  # as wide as the Gaussian, which then lowers no peak
    shift[..., 2] += gaussian_filter1d(peaks, sigma, axis=0, truncate=_TRUNCATE)
    return shift
