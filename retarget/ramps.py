"""Smooth ramps between 0 and 1."""

import numpy as np


def smoothstep(x: np.ndarray) -> np.ndarray:
    """Cubic ramp from 0 at x = 0 to 1 at x = 1, flat at both ends; x lies between them."""
    return x * x * (3.0 - 2.0 * x)
