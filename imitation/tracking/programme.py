"""Quadratic programme with bounds on many unknowns and few rows: one choice of muscle activations.

    minimise  1/2 |B a - y|^2 + 1/2 r |a - c|^2   over  lower <= a <= upper

B has one row per controlled velocity (about 50) and one column per muscle (354), badly scaled. The interior-point
method of Mehrotra (1992) needs one factorisation of the size of y per iteration (Woodbury's identity) and about ten
iterations. Float64 only.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import cho_factor, cho_solve

_MAX_ITERATIONS = 40
_GAP_TOLERANCE = 1e-8
_RESIDUAL_TOLERANCE = 1e-7
_STEP_FRACTION = 0.995
_MIN_WIDTH = 1e-9


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Solution of a programme.

    Attributes:
        x: Unknowns, shape (n,).
        residual: Norm of the projected gradient relative to the largest gradient at the start; below 1e-6 if solved.
        iterations: Number of iterations.
    """

    x: np.ndarray
    residual: float
    iterations: int


def solve_programme(
    matrix: np.ndarray, rhs: np.ndarray, *, regulariser: float, centre: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> Solution:
    """Solve the programme of the module's docstring.

    Args:
        matrix: B, shape (nrow, n).
        rhs: y, shape (nrow,).
        regulariser: r > 0.
        centre: c, shape (n,).
        lower: Lower bounds, shape (n,).
        upper: Upper bounds, shape (n,); an interval narrower than 1e-9 counts as that wide.
    """
    b, n, eye = matrix, len(centre), np.eye(len(rhs))
    width = np.maximum(upper - lower, _MIN_WIDTH)
    x = lower + 0.5 * width
    below, above = x - lower, lower + width - x

    def gradient(at: np.ndarray) -> np.ndarray:
        return b.T @ (b @ at - rhs) + regulariser * (at - centre)

    g = gradient(x)
    scale = max(1.0, float(np.abs(g).max()))
    z_low, z_high = np.maximum(g, 0) + 0.1 * scale, np.maximum(-g, 0) + 0.1 * scale
    iterations = 0
    while iterations < _MAX_ITERATIONS:
        dual = g - z_low + z_high
        gap = float(below @ z_low + above @ z_high) / (2 * n)
        if gap < _GAP_TOLERANCE * scale and np.abs(dual).max() < _RESIDUAL_TOLERANCE * scale:
            break
        iterations += 1
        inverse = 1.0 / (regulariser + z_low / below + z_high / above)
        scaled = b * inverse
        factor = cho_factor(eye + scaled @ b.T, lower=True, check_finite=False)

        solve = partial(_direction, b, inverse, factor, dual, (below, above), (z_low, z_high))
        dx, dl, dh = solve(-below * z_low, -above * z_high)
        primal, dual_length = (
            min(_longest(below, dx), _longest(above, -dx)),
            min(_longest(z_low, dl), _longest(z_high, dh)),
        )
        predicted = float(
            (below + primal * dx) @ (z_low + dual_length * dl) + (above - primal * dx) @ (z_high + dual_length * dh)
        ) / (2 * n)
        centring = (predicted / gap) ** 3
        dx, dl, dh = solve(centring * gap - below * z_low - dx * dl, centring * gap - above * z_high + dx * dh)
        primal = min(1.0, _STEP_FRACTION * min(_longest(below, dx), _longest(above, -dx)))
        dual_length = min(1.0, _STEP_FRACTION * min(_longest(z_low, dl), _longest(z_high, dh)))
        x, below, above = x + primal * dx, below + primal * dx, above - primal * dx
        z_low, z_high = z_low + dual_length * dl, z_high + dual_length * dh
        g = gradient(x)
    x = np.clip(x, lower, upper)
    g = gradient(x)
    projected = x - np.clip(x - g / scale, lower, upper)
    return Solution(x=x, residual=float(np.abs(projected).max()), iterations=iterations)


def _direction(
    b: np.ndarray,
    inverse: np.ndarray,
    factor: tuple[np.ndarray, bool],
    dual: np.ndarray,
    slack: tuple[np.ndarray, np.ndarray],
    multiplier: tuple[np.ndarray, np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Newton step of the unknowns and of both multipliers for complementarity residuals `low` and `high`."""
    (below, above), (z_low, z_high) = slack, multiplier
    q = inverse * (-dual + low / below - high / above)
    dx = q - inverse * (b.T @ cho_solve(factor, b @ q, check_finite=False))
    return dx, (low - z_low * dx) / below, (high + z_high * dx) / above


def _longest(value: np.ndarray, change: np.ndarray) -> float:
    """Longest step, at most 1, that keeps all values positive."""
    ratio = np.min(np.where(change < 0, -value / np.where(change < 0, change, -1.0), np.inf), initial=np.inf)
    return float(min(1.0, ratio))
