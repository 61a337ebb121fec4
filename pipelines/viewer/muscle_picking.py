"""Which muscle a click meant: the one whose path passes closest to the line of sight."""

import numpy as np

REACH = 0.012
"""Largest angle between the line of sight and a muscle that counts as a hit [rad]: 10 pixels of a page 720 high."""


def pick_tendon(segments: np.ndarray, tendon: np.ndarray, *, origin: np.ndarray, direction: np.ndarray) -> int | None:
    """Find the tendon that a line of sight hits.

    Of all segments within `REACH` of the line, the one closest to the eye counts, as it is drawn in front.

    Args:
        segments: Both ends of the segments of all tendons [m], shape (nsegment, 2, 3).
        tendon: Tendon of every segment, shape (nsegment,).
        origin: Position of the eye [m], shape (3,).
        direction: Direction of the line of sight, shape (3,).

    Returns:
        Index of the tendon, or None if there is none.
    """
    sight = direction / np.linalg.norm(direction)
    start, along = segments[:, 0] - origin, segments[:, 1] - segments[:, 0]
    # closest points of the line origin + t sight and the segment start + s along, 0 <= s <= 1
    across_start, across_along = start - np.outer(start @ sight, sight), along - np.outer(along @ sight, sight)
    square = np.einsum("ni,ni->n", across_along, across_along)
    place = -np.einsum("ni,ni->n", across_start, across_along)
    s = np.clip(np.divide(place, square, out=np.zeros_like(square), where=square > 1e-16), 0.0, 1.0)
    point = start + s[:, None] * along
    depth = point @ sight
    distance = np.linalg.norm(point - depth[:, None] * sight, axis=1)
    hit = (depth > 0) & (distance < REACH * depth)
    if not hit.any():
        return None
    return int(tendon[np.flatnonzero(hit)[np.argmin(depth[hit])]])
