"""Poses and shape of a marked body from the positions of its markers, by damped Gauss-Newton steps on many frames.

Minimised is the sum over frames and seen markers of the squared distance to the marker over MARKER_SPREAD, plus the
prior of the rotations (`GROUP_SPREAD`). The calibration also solves for sizes and offsets, with the priors that sizes
are about equal and offsets are about those of the table in that size. Its normal equations have the shape of an arrow:
each frame's poses depend on those of other frames only through the shape, so they are eliminated frame by frame.

As in Andersen et al. 2010, Comput. Methods Biomech. Biomed. Eng. 13:171, marker offsets, lengths and motion are solved
for together.
"""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from .marker_body import GROUP_SPREAD, NGROUP, PARTS, MarkerBody, Poses, Shape

MARKER_SPREAD = 0.01
"""Standard deviation of a marker from its mean place on the segment [m]; skin moves by 5 to 20 mm in gait (Leardini et
al. 2005, Gait Posture 21:212)."""

SIZE_SPREAD = 0.08
"""Standard deviation of a part's size, relative to the body's. In ANSUR II, lengths of segments vary by 5 to
8 % between people of one stature."""

INDEPENDENT_FRAMES = 10.0
"""Number of frames that the frames of a calibration are worth: skin moves with the pose, so errors are not random."""

_FIRST_DAMPING, _MIN_DAMPING, _MAX_DAMPING = 1e-3, 1e-9, 1e6
CONVERGED, ROUGHLY = 1e-5, 1e-2
"""Relative decrease of the cost in one step at which a fit ends, and one that only gives a start to another."""


class _System:
    """Residuals and normal equations of some frames."""

    def __init__(self, body: MarkerBody, pos: np.ndarray) -> None:
        """Take the positions of the markers, shape (nframe, nmarker, 3) [m], NaN where they are not seen."""
        self.body = body
        self.seen = np.isfinite(pos[..., 0])
        self._pos = np.where(self.seen[..., None], pos, 0.0)

    def part(self, frames: np.ndarray) -> "_System":
        """The same for some of the frames."""
        return _System(self.body, np.where(self.seen[frames, :, None], self._pos[frames], np.nan))

    def cost(self, poses: Poses, shape: Shape) -> np.ndarray:
        """Half the sum of squares in each frame, shape (nframe,)."""
        xpos, xmat = self.body.joints(poses, shape.sizes)
        miss = self.misses(self.body.markers(xpos, xmat, shape.offsets))
        angle = _rotvec(poses.turn) / GROUP_SPREAD
        return 0.5 * (np.sum(miss**2, axis=(1, 2)) + np.sum(angle**2, axis=(1, 2)))

    def misses(self, markers: np.ndarray) -> np.ndarray:
        """Distances from the seen positions in units of MARKER_SPREAD, shape (nframe, nmarker, 3)."""
        return np.where(self.seen[..., None], markers - self._pos, 0.0) / MARKER_SPREAD

    def normal(
        self, poses: Poses, shape: Shape, *, with_shape: bool
    ) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
        """Normal equations: matrices (nframe, n, n) and gradients (nframe, n) of the poses; blocks of the shape.

        The blocks, if wanted, are those between poses and shape, shape (nframe, n, m), of the shape, shape (m, m), and
        its gradient, shape (m,), without the shape's prior.
        """
        xpos, xmat = self.body.joints(poses, shape.sizes)
        pos = self.body.markers(xpos, xmat, shape.offsets)
        miss = self.misses(pos)
        weight = self.seen[..., None, None] / MARKER_SPREAD
        matrix = np.zeros((len(pos), 3 + 3 * NGROUP, 3 + 3 * NGROUP))
        gradient = np.zeros((len(pos), 3 + 3 * NGROUP))
        for region in self.body.regions:
            part = self.body.pose_derivatives(xpos, xmat, pos, region) * weight[:, region.markers]
            rows = part.reshape(len(pos), -1, part.shape[3])
            transposed = rows.swapaxes(1, 2)
            matrix[:, region.columns[:, None], region.columns] += transposed @ rows
            gradient[:, region.columns] += (transposed @ miss[:, region.markers].reshape(len(pos), -1, 1))[..., 0]
        angle = _rotvec(poses.turn)
        prior = _inverse_right_jacobian(angle) / GROUP_SPREAD[..., None]
        blocks = prior.swapaxes(2, 3) @ prior
        gradient[:, 3:] += (prior.swapaxes(2, 3) @ (angle / GROUP_SPREAD)[..., None]).reshape(len(pos), -1)
        for group in range(NGROUP):
            part = slice(3 + 3 * group, 6 + 3 * group)
            matrix[:, part, part] += blocks[:, group]
        if not with_shape:
            return matrix, gradient, ()
        count = len(pos), 3 * pos.shape[1]
        jac = (self.body.pose_derivatives(xpos, xmat, pos) * weight).reshape(*count, -1)
        by_shape = (self.body.shape_derivatives(xmat) * weight).reshape(*count, -1)
        flat = by_shape.reshape(-1, by_shape.shape[2])
        return matrix, gradient, (jac.swapaxes(1, 2) @ by_shape, flat.T @ flat, flat.T @ miss.reshape(-1))


def fit_poses(
    body: MarkerBody, pos: np.ndarray, shape: Shape, start: Poses, *, steps: int, converged: float = CONVERGED
) -> tuple[Poses, np.ndarray]:
    """Fit the poses of frames, each independent of the others.

    Args:
        body: Body with its markers.
        pos: Positions of the markers, shape (nframe, nmarker, 3) [m]; NaN where they are not seen.
        shape: Shape of the subject.
        start: Poses to start from.
        steps: Most steps that are tried.
        converged: Relative decrease of a frame's cost in one step at which its fit ends.

    Returns:
        Poses, and the cost of each frame, shape (nframe,).
    """
    system = _System(body, pos)
    root, turn = start.root.copy(), start.turn.copy()
    cost, damping = system.cost(start, shape), np.full(len(pos), _FIRST_DAMPING)
    active = np.arange(len(pos))
    for _ in range(steps):
        part = system.part(active)
        poses = Poses(root=root[active], turn=turn[active])
        matrix, gradient, _ = part.normal(poses, shape, with_shape=False)
        step = -np.linalg.solve(_damped(matrix, damping[active]), gradient[..., None])[..., 0]
        trial = _moved(poses, step)
        value = part.cost(trial, shape)
        better = value < cost[active]
        done = better & (cost[active] - value < converged * cost[active])
        chosen = active[better]
        root[chosen], turn[chosen] = trial.root[better], trial.turn[better]
        cost[chosen] = value[better]
        damping[active] = np.clip(damping[active] * np.where(better, 0.1, 10.0), _MIN_DAMPING, _MAX_DAMPING)
        active = active[~done & (damping[active] < _MAX_DAMPING)]
        if not len(active):
            break
    return Poses(root=root, turn=turn), cost


def calibrate(body: MarkerBody, pos: np.ndarray, start: Poses, *, size: float, steps: int = 60) -> tuple[Shape, Poses]:
    """Fit sizes and marker offsets of a subject, with the poses of some frames.

    Args:
        body: Body with its markers.
        pos: Positions of the markers, shape (nframe, nmarker, 3) [m]; NaN where they are not seen.
        start: Poses to start from, fitted to the table's offsets.
        size: Size of the body relative to the mean adult.
        steps: Most steps that are tried.

    Returns:
        The shape, and the poses of the frames.
    """
    system, poses, shape = _System(body, pos), start, body.start_shape(size)
    prior = _ShapePrior(body, size, max(1.0, len(pos) / INDEPENDENT_FRAMES))
    cost, damping = float(system.cost(poses, shape).sum() + prior.cost(shape)), _FIRST_DAMPING
    for _ in range(steps):
        matrix, gradient, (between, of_shape, by_shape) = system.normal(poses, shape, with_shape=True)
        matrix = _damped(matrix, np.full(len(pos), damping))
        solved = np.linalg.solve(matrix, np.concatenate([between, gradient[..., None]], axis=2))
        corner = _damped((of_shape + prior.matrix)[None], np.array([damping]))[0]
        corner -= np.einsum("tnm,tnk->mk", between, solved[..., :-1])
        right = by_shape + prior.gradient(shape) - np.einsum("tnm,tn->m", between, solved[..., -1])
        change = -np.linalg.solve(corner, right)
        moved = _moved(poses, -solved[..., -1] - solved[..., :-1] @ change)
        other = Shape(sizes=shape.sizes + change[: len(PARTS)],
                      offsets=shape.offsets + change[len(PARTS) :].reshape(-1, 3))  # fmt: skip
        value = float(system.cost(moved, other).sum() + prior.cost(other))
        if value >= cost:
            damping *= 10.0
            if damping > _MAX_DAMPING:
                break
            continue
        finished = cost - value < CONVERGED * cost
        poses, shape, cost, damping = moved, other, value, max(0.1 * damping, _MIN_DAMPING)
        if finished:
            break
    return shape, poses


class _ShapePrior:
    """Prior of a shape: parts are about as large as the body, markers about where the table has them in that size."""

    def __init__(self, body: MarkerBody, size: float, weight: float) -> None:
        npart, nmarker = len(PARTS), len(body.carrier)
        rows = np.zeros((npart + 3 * nmarker, npart + 3 * nmarker))
        rows[:npart, :npart] = np.eye(npart) / (SIZE_SPREAD * size)
        spread = np.repeat(body.spread * size, 3)
        for row in range(3 * nmarker):
            rows[npart + row, npart + row] = 1.0 / spread[row]
            rows[npart + row, body.part[row // 3]] = -body.table.ravel()[row] / spread[row]
        self._rows = np.sqrt(weight) * rows
        self._mean = np.concatenate([np.full(npart, size), size * body.table.ravel()])
        self.matrix = self._rows.T @ self._rows

    def _residual(self, shape: Shape) -> np.ndarray:
        return self._rows @ (np.concatenate([shape.sizes, shape.offsets.ravel()]) - self._mean)

    def cost(self, shape: Shape) -> float:
        """Half the sum of squares."""
        return 0.5 * float(np.sum(self._residual(shape) ** 2))

    def gradient(self, shape: Shape) -> np.ndarray:
        """Gradient of the cost by sizes and offsets."""
        return self._rows.T @ self._residual(shape)


def _damped(matrix: np.ndarray, damping: np.ndarray) -> np.ndarray:
    """Matrices with larger diagonals, by Marquardt's rule."""
    result, diagonal = matrix.copy(), np.arange(matrix.shape[-1])
    result[:, diagonal, diagonal] *= 1.0 + damping[:, None]
    result[:, diagonal, diagonal] += 1e-9
    return result


def _moved(poses: Poses, step: np.ndarray) -> Poses:
    """Poses changed by a step of their unknowns, shape (nframe, 3 + 3 ngroup)."""
    turn = Rotation.from_rotvec(step[:, 3:].reshape(-1, 3)).as_matrix().reshape(poses.turn.shape)
    return replace(poses, root=poses.root + step[:, :3], turn=poses.turn @ turn)


def _rotvec(turn: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(turn.reshape(-1, 3, 3)).as_rotvec().reshape(turn.shape[:-1])


def _inverse_right_jacobian(angle: np.ndarray) -> np.ndarray:
    """Derivative of a rotation vector (..., 3) by a small rotation on the right of its rotation, shape (..., 3, 3)."""
    norm = np.linalg.norm(angle, axis=-1)[..., None, None]
    cross = np.zeros((*angle.shape, 3))
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -angle[..., 2], angle[..., 1], -angle[..., 0]
    cross -= cross.swapaxes(-1, -2)
    half = 0.5 * np.maximum(norm, 1e-4)
    factor = np.where(norm < 1e-3, 1.0 / 12.0, (1.0 - half / np.tan(half)) / (2.0 * half) ** 2)
    return np.eye(3) + 0.5 * cross + factor * cross @ cross
