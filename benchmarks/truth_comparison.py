"""Comparison of curves and events with a measurement; plain functions of arrays, used by `truth.py`."""

import numpy as np


def correlation(result: np.ndarray, ref: np.ndarray) -> float:
    """Pearson's r of two curves of the same shape; NaN if one is constant."""
    a, b = (np.ravel(x) - np.mean(x) for x in (result, ref))
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm > 0.0 else float("nan")


def rmse(result: np.ndarray, ref: np.ndarray, *, offset: bool = False) -> float:
    """Root mean square difference of two curves; with `offset`, after subtracting its mean."""
    error = np.ravel(result) - np.ravel(ref)
    return float(np.sqrt(np.mean((error - np.mean(error) * offset) ** 2)))


def transitions(mask: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Instants [s] at which a mask turns on and off, halfway between frames; a state at an end is no event."""
    step = np.diff(np.asarray(mask, np.int8))
    halfway = 0.5 * (time[1:] + time[:-1])
    return halfway[step > 0], halfway[step < 0]


def event_errors(events: np.ndarray, ref: np.ndarray, *, window: float) -> tuple[np.ndarray, int]:
    """Match events with measured ones of the same kind.

    Args:
        events: Instants [s].
        ref: Measured instants [s].
        window: Largest difference of a match [s].

    Returns:
        Difference to the nearest event for each measured one, shape of `ref` [s], NaN if none is within the window; and
        the number of events that match none.
    """
    if not len(events) or not len(ref):
        return np.full(len(ref), np.nan), len(events)
    difference = events[None, :] - ref[:, None]
    nearest = difference[np.arange(len(ref)), np.abs(difference).argmin(axis=1)]
    extra = int(np.sum(np.abs(difference).min(axis=0) > window))
    return np.where(np.abs(nearest) <= window, nearest, np.nan), extra


def largest_return(position: np.ndarray, mask: np.ndarray) -> float:
    """Largest distance by which a position falls behind its own maximum in any run of a mask; 0 if it never does."""
    largest = 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(mask, np.int8), [0]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        part = position[start:stop]
        largest = max(largest, float(np.max(np.maximum.accumulate(part) - part)))
    return largest


def best_delay(result: np.ndarray, ref: np.ndarray, *, fps: float, longest: float) -> tuple[float, float]:
    """Delay of a curve behind another, from 0 to `longest` [s], that correlates them best.

    Returns:
        Delay [s] and Pearson's r at that delay.
    """
    delays = range(round(longest * fps) + 1)
    r = [correlation(result[k:], ref[: len(ref) - k]) for k in delays]
    best = int(np.nanargmax(r))
    return best / fps, r[best]
