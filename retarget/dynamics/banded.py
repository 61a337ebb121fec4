"""Symmetric block-pentadiagonal systems: one block per frame, coupled to the next two frames."""

import numpy as np
from scipy.linalg import solveh_banded

REACH = 2
"""Frames that one equation couples beyond its own."""

HELD = 1e6
"""Stiffness of the spring that holds an unknown at its bound, relative to the unknown's own."""


class BandedSystem:
    """Normal equations of a problem whose rows touch three consecutive frames.

    Args:
        nframe: Number of frames.
        size: Unknowns per frame.
    """

    def __init__(self, nframe: int, size: int) -> None:
        self.nframe, self.size = nframe, size
        self.blocks = [np.zeros((nframe, size, size)) for _ in range(REACH + 1)]
        """`blocks[k][t]` couples frame t + k (rows) to frame t (columns)."""
        self.gradient = np.zeros((nframe, size))

    def add_frames(self, hessian: np.ndarray, gradient: np.ndarray) -> None:
        """Add a model of single frames: hessian (nframe, size, size) and gradient (nframe, size)."""
        self.blocks[0] += hessian
        self.gradient += gradient

    def add_rows(
        self, jacobian: tuple[np.ndarray, np.ndarray, np.ndarray], weight: np.ndarray, residual: np.ndarray
    ) -> None:
        """Add `1/2 (r + J d)' W (r + J d)`, where r of frame t depends on frames t - 1, t and t + 1.

        Args:
            jacobian: Derivative by the previous, the same and the next frame, each (nframe, nrow, size); rows at the
                ends whose neighbour does not exist must have weight 0.
            weight: W, shape (nframe, nrow, nrow).
            residual: r, shape (nframe, nrow).
        """
        weighted = [weight @ part for part in jacobian]
        for a in range(3):  # frame t + a - 1
            rows = self._shift(a)
            self.gradient[rows[1]] += np.einsum("tri,tr->ti", weighted[a][rows[0]], residual[rows[0]])
            for b in range(a + 1):
                first, second = self._shift(a)[0], self._shift(b)[0]
                source = slice(max(first.start, second.start), min(first.stop, second.stop))
                columns = slice(source.start + b - 1, source.stop + b - 1)
                product = np.swapaxes(weighted[a][source], 1, 2) @ jacobian[b][source]
                self.blocks[a - b][columns] += product

    def _shift(self, a: int) -> tuple[slice, slice]:
        """Frames t whose neighbour t + a - 1 exists, and these neighbours."""
        low, high = max(0, 1 - a), min(self.nframe, self.nframe + 1 - a)
        return slice(low, high), slice(low + a - 1, high + a - 1)

    def add_second_differences(self, weight: np.ndarray, values: np.ndarray) -> None:
        """Add `1/2 sum w (v_{t-1} - 2 v_t + v_{t+1})^2`, where v are values plus the step.

        Args:
            weight: w, shape (size,) or (nframe - 2, size).
            values: Values of the current iterate, shape (nframe, size).
        """
        if self.nframe < 3:
            return
        bend = values[:-2] - 2.0 * values[1:-1] + values[2:]
        index = np.arange(self.size)
        for a, ca in enumerate((1.0, -2.0, 1.0)):
            self.gradient[a : a + self.nframe - 2] += ca * weight * bend
            for b, cb in enumerate((1.0, -2.0, 1.0)[: a + 1]):
                self.blocks[a - b][b : b + self.nframe - 2, index, index] += ca * cb * weight

    def solve(self, lower: np.ndarray | None = None, upper: np.ndarray | None = None, *, rounds: int = 2) -> np.ndarray:
        """Step that minimises the model, shape (nframe, size).

        Bounds are held by one-sided springs (penalty), which a semismooth Newton iteration finds out: a spring acts
        where the last solution passed its bound (primal-dual active set; Hintermueller, Ito & Kunisch 2003).

        Args:
            lower, upper: Bounds of the step, shape (nframe, size), with zero between them.
            rounds: Most solutions with springs; what still passes its bound then is put on it.

        Raises:
            numpy.linalg.LinAlgError: If the system is not positive definite.
        """
        band = self._band()
        step = _solve(band, self.gradient)
        if lower is None or upper is None:
            return step
        diagonal = band[:, :, 0].copy()
        held = np.zeros(step.shape, bool)
        for _ in range(rounds):
            passed = (step < lower) | (step > upper)
            if (passed == held).all():
                break
            held = passed
            spring = np.where(held, HELD * diagonal, 0.0)
            band[:, :, 0] = diagonal + spring
            bound = np.where(held, np.where(step < lower, lower, upper), 0.0)
            step = _solve(band, self.gradient - spring * bound)
        return np.clip(step, lower, upper)

    def _band(self) -> np.ndarray:
        """Lower form, transposed, shape (nframe, size, (REACH + 1) size); the diagonal comes first.

        Column j of frame t holds its rows of frames t, t + 1 and t + 2.
        """
        size = self.size
        band = np.zeros((self.nframe, size, (REACH + 1) * size))
        for k, block in enumerate(self.blocks):
            rows = block[: self.nframe - k]
            for c in range(size):
                low = max(k * size - c, 0)  # rows above the diagonal are left out
                band[: self.nframe - k, c, low : (k + 1) * size - c] = rows[:, low + c - k * size :, c]
        return band


def _solve(band: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    rows = band.reshape(gradient.size, -1).T  # a copy is made: LAPACK overwrites it
    step = solveh_banded(rows, gradient.ravel(), lower=True, check_finite=False)
    return -step.reshape(gradient.shape)
