"""Feet that stand still: where each contact is held, and how the foot's targets are moved there."""

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from .contacts import Stance, runs

WANDER = 0.06
"""A contact that strays further than this from its median place is a slide, and followed slowly instead of held [m]."""

_FOLLOW = 0.3
"""Time constant with which a slide is followed [s]."""

_SOFT = 0.06
"""Length of the soft ends of a contact [s]."""

_BLEND = 0.03
"""Time constant that smooths the shift of the feet's targets [s]."""

_TAIL = 3.0
"""Where that filter ends, in standard deviations."""


def lock_contacts(points: np.ndarray, stance: Stance, *, fps: float = 100.0) -> np.ndarray:
    """Replace every contact by one place: its median over the contact, on the ground under it.

    Args:
        points: Contact points, shape (nframe, 4, 3) [m].
        stance: Contacts and ground.
        fps: Frames a second.
    """
    anchor = points.copy()
    for k in range(points.shape[1]):
        for start, stop in runs(stance.contact[:, k]):
            place = points[start:stop, k, :2]
            middle = np.median(place, axis=0)
            if np.linalg.norm(place - middle, axis=1).max() > WANDER:
                middle = gaussian_filter1d(place, _FOLLOW * fps, axis=0, mode="nearest")
            anchor[start:stop, k, :2] = middle
            anchor[start:stop, k, 2] = stance.height[start:stop, k]
    return anchor


def contact_weight(contact: np.ndarray, fps: float) -> np.ndarray:
    """Weight of a contact: 1 inside, falling to 0 towards its ends, so that no force appears from one frame to the
    next.

    A contact that lasts to the end of the motion keeps its weight there.
    """
    length = max(1, round(_SOFT * fps))
    weight = np.zeros(contact.shape)
    for k in range(contact.shape[1]):
        for start, stop in runs(contact[:, k]):
            frames = np.arange(start, stop)
            since = np.full(len(frames), length) if start == 0 else frames - start + 1
            until = np.full(len(frames), length) if stop == len(contact) else stop - frames
            weight[start:stop, k] = np.clip(np.minimum(since, until) / length, 0.0, 1.0)
    return weight


def foot_shift(points: np.ndarray, anchor: np.ndarray, contact: np.ndarray, fps: float) -> np.ndarray:
    """How far heels and toes must move for the foot to stand where it is held.

    Where only one of a foot's two points stands, the whole foot moves with it; between contacts the shift runs
    evenly from one to the next, so that a swinging foot is bent from its path as little and as smoothly as possible
    (compare Kovar, Schreiner & Gleicher 2002, footskate cleanup). What would still pass below the floor is lifted to
    it.

    Args:
        points: Contact points of the source, shape (nframe, 4, 3) [m].
        anchor: Where they are held, same shape.
        contact: Which stand, shape (nframe, 4) bool.
        fps: Frames a second.

    Returns:
        Shift of every point, shape (nframe, 4, 3) [m].
    """
    shift = np.zeros(points.shape)
    frames = np.arange(len(points))
    for heel, toe in ((0, 1), (2, 3)):
        for point, other in ((heel, toe), (toe, heel)):
            known = contact[:, point] | contact[:, other]
            if not known.any():
                continue
            source = np.where(contact[:, point, None], (anchor - points)[:, point], (anchor - points)[:, other])
            for axis in range(3):
                filled = np.interp(frames, frames[known], source[known, axis])
                shift[:, point, axis] = gaussian_filter1d(filled, _BLEND * fps, mode="nearest")
    under = np.maximum(np.minimum(anchor[..., 2], 0.0) * contact - (points + shift)[..., 2], 0.0)
    sigma = _BLEND * fps / 2
    reach = int(np.ceil(_TAIL * sigma))  # as wide as the filter after it, so that no peak is smoothed away
    shift[..., 2] += gaussian_filter1d(maximum_filter1d(under, 2 * reach + 1, axis=0), sigma, axis=0, truncate=_TAIL)
    return shift
