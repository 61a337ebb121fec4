"""Quadratic programme with bounds on many unknowns and few rows: one choice of muscle activations.

    minimise  1/2 |B x - b|^2 + r/2 |x - c|^2   over  lower <= x <= upper

B has one row per controlled acceleration (about 60) and one column per muscle (354), badly scaled. The dual has one
unknown per row: with y = b - B x the solution is x = clip(c + B' y / r), and y is the root of

    F(y) = y + B clip(c + B' y / r, lower, upper) - b,

the gradient of a strictly convex, piecewise quadratic function. Newton's method with an exact line search along each
direction ends after finitely many steps (Qi & Sun 1993); from the solution of the previous control step it takes about
four. Float64 only: in float32 the small differences between strong muscles are lost.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import get_lapack_funcs

from .step_model import StepResponse

MAX_RESIDUAL = 1e-6
"""A solution counts as exact up to this residual."""

(_POSV,) = get_lapack_funcs(("posv",), dtype=np.float64)

_MAX_ITERATIONS = 60
_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Solution of a programme.

    Attributes:
        x: Unknowns, shape (n,).
        dual: y of the module's docstring, shape (nrow,): what the rows miss.
        active: -1 for an unknown at its lower bound, 1 at its upper bound, 0 between them, shape (n,) int8.
        residual: Norm of F(y) relative to 1 + the norm of b.
        iterations: Number of Newton steps.
    """

    x: np.ndarray
    dual: np.ndarray
    active: np.ndarray
    residual: float
    iterations: int


class ProgrammeRows:
    """Rows of a programme over activations while they are collected; accelerations are means over the horizon."""

    def __init__(
        self, response: StepResponse, velocity: np.ndarray, act: np.ndarray, gain: np.ndarray, span: float
    ) -> None:
        self.response, self.velocity = response, velocity
        self._gain = gain / span
        self._free = (response.velocity + response.start @ act - velocity) / span
        self._matrix: list[np.ndarray] = []
        self._rhs: list[np.ndarray] = []

    def add_dofs(self, wanted: np.ndarray, weight: np.ndarray) -> None:
        """Add a row for the acceleration of each controlled dof, shapes (ndof,)."""
        self._matrix.append(self._gain * weight[:, None])
        self._rhs.append((wanted - self._free) * weight)

    def add(self, jacobian: np.ndarray, wanted: np.ndarray, weight: float) -> None:
        """Add rows for accelerations `jacobian @ (those of the controlled dofs)`, shapes (n, ndof) and (n,)."""
        if weight:
            self._matrix.append(weight * (jacobian @ self._gain))
            self._rhs.append(weight * (wanted - jacobian @ self._free))

    def add_linear(self, matrix: np.ndarray, rhs: np.ndarray) -> None:
        """Add rows in the activations themselves, shapes (n, nu) and (n,)."""
        self._matrix.append(matrix)
        self._rhs.append(rhs)

    def programme(self) -> tuple[np.ndarray, np.ndarray]:
        """B and b of the programme, shapes (nrow, nu) and (nrow,)."""
        return np.concatenate(self._matrix), np.concatenate(self._rhs)


def solve_programme(
    matrix: np.ndarray,
    rhs: np.ndarray,
    *,
    regulariser: float,
    centre: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    start: np.ndarray | None = None,
) -> Solution:
    """Solve the programme of the module's docstring.

    Args:
        matrix: B, shape (nrow, n).
        rhs: b, shape (nrow,).
        regulariser: r > 0.
        centre: c, shape (n,).
        lower: Lower bounds, shape (n,).
        upper: Upper bounds, at least `lower`, shape (n,).
        start: First guess of the active bounds: `Solution.active` of a similar programme, shape (n,).
    """
    b, scale = matrix, 1.0 + float(np.linalg.norm(rhs))
    y = np.zeros(len(rhs))
    if start is not None:
        held = start != 0
        x = np.where(held, np.where(start > 0, upper, lower), centre)
        y = _solve_positive(_hessian(b[:, ~held], regulariser), rhs - b @ x)
    pull = centre + (b.T @ y) / regulariser
    x = np.minimum(np.maximum(pull, lower), upper)
    gradient = y + b @ x - rhs
    iterations = 0
    while (residual := math.sqrt(gradient @ gradient) / scale) > _TOLERANCE and iterations < _MAX_ITERATIONS:
        iterations += 1
        step = -_solve_positive(_hessian(b[:, (pull > lower) & (pull < upper)], regulariser), gradient)
        change = (b.T @ step) / regulariser
        length = _line_minimum(float(step @ (y - rhs)), float(step @ step), regulariser, pull, change, lower, upper)
        y = y + length * step
        pull = pull + length * change
        x = np.minimum(np.maximum(pull, lower), upper)
        gradient = y + b @ x - rhs
    active = (pull >= upper).astype(np.int8) - (pull <= lower).astype(np.int8)
    return Solution(x=x, dual=y, active=active, residual=residual, iterations=iterations)


def _hessian(free: np.ndarray, regulariser: float) -> np.ndarray:
    """Derivative of F when these columns of B are free, shape (nrow, nrow)."""
    hessian = free @ free.T
    hessian /= regulariser
    hessian.flat[:: len(hessian) + 1] += 1.0
    return hessian


def _solve_positive(matrix: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """Solution of a positive definite system; without the checks that take longer than the solution."""
    _, solution, info = _POSV(matrix, rhs, lower=1)
    if info != 0:
        raise np.linalg.LinAlgError("the matrix is not positive definite")
    return solution


def _line_minimum(
    constant: float,
    slope: float,
    regulariser: float,
    pull: np.ndarray,
    change: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> float:
    """Root of `constant + slope * t + r change . clip(pull + t change, lower, upper)`, which increases with t.

    The function is piecewise linear: an unknown contributes to its slope while it is between its bounds.
    """
    square = regulariser * change * change
    with np.errstate(divide="ignore", invalid="ignore"):
        to_lower, to_upper = (lower - pull) / change, (upper - pull) / change
    enter, leave = np.minimum(to_lower, to_upper), np.maximum(to_lower, to_upper)
    inside = (enter <= 0) & (leave > 0)  # false for an unknown that does not change: 0/0
    value = constant + regulariser * float(change @ np.minimum(np.maximum(pull, lower), upper))
    slope += float(square[inside].sum())
    entering, leaving = (enter > 0) & np.isfinite(enter), (leave > 0) & np.isfinite(leave)
    times = np.concatenate([enter[entering], leave[leaving]])
    order = np.argsort(times)
    times = times[order]
    slopes = slope + np.cumsum(np.concatenate([square[entering], -square[leaving]])[order])  # after each kink
    before = np.concatenate([[slope], slopes[:-1]])
    values = value + np.cumsum(before * np.diff(times, prepend=0.0))  # at each kink
    k = int(np.searchsorted(values, 0.0))
    if k == 0:
        return -value / slope
    return float(times[k - 1] - values[k - 1] / slopes[k - 1])
