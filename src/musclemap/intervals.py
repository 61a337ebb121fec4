"""Intervals of frames."""

import numpy as np


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Intervals [start, stop) in which a 1-D mask is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
