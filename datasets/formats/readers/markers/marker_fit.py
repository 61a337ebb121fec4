"""Poses and shape of a marked body from the positions of its markers, by damped Gauss-Newton steps on many frames.

Minimised is the sum over frames and seen markers of the squared distance to the marker over MARKER_SPREAD, plus the
prior of the rotations (`TURN_SPREAD`). The calibration also solves for sizes and offsets, with the priors that sizes
are about equal and offsets are about those of the table in that size. Its normal equations have the shape of an arrow:
each frame's poses depend on those of other frames only through the shape, so they are eliminated frame by frame.

As in Andersen et al. 2010, Comput. Methods Biomech. Biomed. Eng. 13:171, marker offsets, lengths and motion are solved
for together.
"""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from .marker_body import NTURN, PARTS, TURN_SPREAD, TURNED, MarkerBody, Poses, Shape, cross_matrix

MARKER_SPREAD = 0.01
"""Standard deviation of a marker from its mean place on the segment [m]; skin moves by 5 to 20 mm in gait (Leardini et
al. 2005, Gait Posture 21:212)."""

SIZE_SPREAD = 0.08
"""Standard deviation of a part's size, relative to the body's. In ANSUR II, lengths of segments vary by 5 to
8 % between people of one stature."""

INDEPENDENT_FRAMES = 10.0
"""Number of frames that the frames of a calibration are worth: skin moves with the pose, so errors are not random."""

HABIT = 1.4
"""Factor on the spread of rotations in a calibration. What is peculiar to a subject's posture, or to the axes of a
recording's joints, is the same in all frames, where the prior would count it each time. Of CMU 02_01 (markers 2 mm
off), the landmark that is furthest off in the mean is 13.8 mm from the clip of its own file with 1, 10.2 mm with 1.4,
and 8.6 mm with 2; of an ideal walk, whose joints have the axes of the prior, an upper arm is off by 2.2, 2.5 and 2.9
degrees."""

_FIRST_DAMPING, _MIN_DAMPING, _MAX_DAMPING = 1e-3, 1e-9, 1e6
_CONVERGED = 1e-5
"""Relative decrease of the cost in one step at which a calibration ends."""

EXACT, ROUGH = 0.01, 0.1
"""Largest change of a rotation [rad] or of the pelvis [m] in the last step of a fit, and of one that only gives a start
to another. Steps shrink quadratically: what is left is about the square of the last one."""


class _System:
    """Residuals and normal equations of some frames."""

    def __init__(self, body: MarkerBody, pos: np.ndarray, spread: np.ndarray = TURN_SPREAD) -> None:
        """Take positions of the markers, (nframe, nmarker, 3) [m], NaN where not seen, and spreads of rotations."""
        self.body = body
        self.seen = np.isfinite(pos[..., 0])
        self._pos = np.where(self.seen[..., None], pos, 0.0)
        self._spread = spread

    def part(self, frames: np.ndarray) -> "_System":
        """The same for some of the frames."""
        return _System(self.body, np.where(self.seen[frames, :, None], self._pos[frames], np.nan), self._spread)

    def cost(self, poses: Poses, shape: Shape) -> np.ndarray:
        """Half the sum of squares in each frame, shape (nframe,)."""
        xpos, xmat = self.body.joints(poses, shape.sizes)
        miss = self._misses(self.body.markers(xpos, xmat, shape.offsets))
        angle = _rotvec(poses.turn) / self._spread
        return 0.5 * (np.sum(miss**2, axis=(1, 2)) + np.sum(angle**2, axis=(1, 2)))

    def _misses(self, markers: np.ndarray) -> np.ndarray:
        """Distances from the seen positions in units of MARKER_SPREAD, shape (nframe, nmarker, 3)."""
        return np.where(self.seen[..., None], markers - self._pos, 0.0) / MARKER_SPREAD

    def _marker_gradient(
        self, xpos: np.ndarray, axes: np.ndarray, pos: np.ndarray, miss: np.ndarray
    ) -> np.ndarray:  # fmt: skip
        """Gradient of the markers' cost: misses are forces, and each joint gets the torque of those that it moves."""
        below, at = self.body.below[list(TURNED)].astype(float), xpos[:, TURNED]
        force = miss / MARKER_SPREAD
        torque = below @ np.cross(pos, force) - np.cross(at, below @ force)
        turned = (axes.swapaxes(2, 3) @ torque[..., None]).reshape(len(pos), -1)
        return np.concatenate([force.sum(axis=1), turned], axis=1)

    def normal(self, poses: Poses, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
        """Normal equations of the poses: matrices (nframe, n, n) and gradients (nframe, n)."""
        xpos, xmat = self.body.joints(poses, shape.sizes)
        pos = self.body.markers(xpos, xmat, shape.offsets)
        axes = self.body.axes(xmat)
        matrix = self._marker_matrix(xpos, axes, pos)
        gradient = self._marker_gradient(xpos, axes, pos, self._misses(pos))
        angle = _rotvec(poses.turn)
        prior = _inverse_right_jacobian(angle) / self._spread[..., None]
        transposed = prior.swapaxes(2, 3)
        gradient[:, 3:] += (transposed @ (angle / self._spread)[..., None]).reshape(len(pos), -1)
        every = 1 + np.arange(NTURN)
        _blocks(matrix)[:, every, :, every] += (transposed @ prior).swapaxes(0, 1)
        return matrix, gradient

    def _marker_matrix(self, xpos: np.ndarray, axes: np.ndarray, pos: np.ndarray) -> np.ndarray:
        """Products of the derivatives (`pose_derivatives`) summed over the seen markers, shape (nframe, n, n).

        A joint at x and one above it at y, with axes R and S, both move the markers p below x. Their block is
        R' sum((a'b) 1 - b a') S with a = p - x and b = p - y. It follows from the moments of these markers: their
        number, sum(p) and sum(p p'). No derivative of a single marker is computed.
        """
        nframe, weight = len(pos), self.seen / MARKER_SPREAD**2
        centre = xpos[:, :1]  # moments about the pelvis lose no digits far from the origin
        p, at = pos - centre, xpos[:, TURNED] - centre
        squares = (p[..., :, None] * p[..., None, :]).reshape(nframe, -1, 9)
        moments = np.concatenate([np.ones_like(p[..., :1]), p, squares], axis=2)
        moments = self.body.below[list(TURNED)].astype(float) @ (weight[..., None] * moments)
        count, first, second = moments[..., 0], moments[..., 1:4], moments[..., 4:].reshape(nframe, NTURN, 3, 3)
        arm = first - count[..., None] * at
        low, high = self.body.pairs
        # sum of a b' = sum of a (p - y)'
        outer = second[:, low] - at[:, low, :, None] * first[:, low, None]
        outer -= arm[:, low, :, None] * at[:, high, None]
        block = np.trace(outer, axis1=2, axis2=3)[..., None, None] * np.eye(3) - outer.swapaxes(2, 3)
        block = axes[:, low].swapaxes(2, 3) @ block @ axes[:, high]
        matrix = np.zeros((nframe, 3 + 3 * NTURN, 3 + 3 * NTURN))
        blocks, every = _blocks(matrix), 1 + np.arange(NTURN)
        blocks[:, 1 + low, :, 1 + high] = block.swapaxes(0, 1)
        blocks[:, 1 + high, :, 1 + low] = block.transpose(1, 0, 3, 2)
        by_root = -cross_matrix(arm) @ axes
        blocks[:, 0, :, every] = by_root.swapaxes(0, 1)
        blocks[:, every, :, 0] = by_root.transpose(1, 0, 3, 2)
        blocks[:, 0, :, 0] = weight.sum(axis=1)[:, None, None] * np.eye(3)
        return matrix

    def shape_blocks(self, poses: Poses, shape: Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Normal equations of the shape, of m unknowns, without its prior.

        Returns:
            Blocks between poses and shape, shape (nframe, n, m), of the shape, shape (m, m), and its gradient (m,).
        """
        xpos, xmat = self.body.joints(poses, shape.sizes)
        pos = self.body.markers(xpos, xmat, shape.offsets)
        nframe, nmarker, npart = len(pos), pos.shape[1], len(PARTS)
        weight = self.seen[..., None, None] / MARKER_SPREAD
        jac = weight * self.body.pose_derivatives(xpos, xmat, pos)
        by_size, by_offset = weight * self.body.size_derivatives(xmat), weight * xmat[:, self.body.carrier]
        flat = by_size.reshape(nframe, -1, npart)
        across = (jac.swapaxes(2, 3) @ by_offset).swapaxes(1, 2).reshape(nframe, -1, 3 * nmarker)
        between = np.concatenate([jac.reshape(nframe, 3 * nmarker, -1).swapaxes(1, 2) @ flat, across], axis=2)
        sizes_offsets = (by_size.swapaxes(2, 3) @ by_offset).sum(axis=0).swapaxes(0, 1).reshape(npart, -1)
        of_shape = np.diag(np.repeat([0.0, 1.0], [npart, 3 * nmarker]))
        of_shape *= np.append(np.zeros(npart), np.repeat((weight**2).sum(axis=0), 3))
        of_shape[:npart, :npart] = flat.reshape(-1, npart).T @ flat.reshape(-1, npart)
        of_shape[:npart, npart:], of_shape[npart:, :npart] = sizes_offsets, sizes_offsets.T
        miss = self._misses(pos)
        by_offsets = (by_offset.swapaxes(2, 3) @ miss[..., None]).sum(axis=0).reshape(-1)
        return between, of_shape, np.append(flat.reshape(-1, npart).T @ miss.reshape(-1), by_offsets)


def _blocks(matrix: np.ndarray) -> np.ndarray:
    """View of matrices (nframe, n, n) as 3 x 3 blocks, shape (nframe, n / 3, 3, n / 3, 3)."""
    return matrix.reshape(len(matrix), 1 + NTURN, 3, 1 + NTURN, 3)


def fit_poses(
    body: MarkerBody, pos: np.ndarray, shape: Shape, start: Poses, *, steps: int, last: float = EXACT
) -> tuple[Poses, np.ndarray]:
    """Fit the poses of frames, each independent of the others.

    Args:
        body: Body with its markers.
        pos: Positions of the markers, shape (nframe, nmarker, 3) [m]; NaN where they are not seen.
        shape: Shape of the subject.
        start: Poses to start from.
        steps: Most steps that are tried.
        last: A frame's fit ends with a step that changes no unknown by more than this [rad, m].

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
        matrix, gradient = part.normal(poses, shape)
        step = -np.linalg.solve(_damped(matrix, damping[active]), gradient[..., None])[..., 0]
        trial = _moved(poses, step)
        value = part.cost(trial, shape)
        better = value < cost[active]
        done = better & (np.abs(step).max(axis=1) < last)
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
    system, poses, shape = _System(body, pos, HABIT * TURN_SPREAD), start, body.start_shape(size)
    prior = _ShapePrior(body, size, max(1.0, len(pos) / INDEPENDENT_FRAMES))
    cost, damping = float(system.cost(poses, shape).sum() + prior.cost(shape)), _FIRST_DAMPING
    for _ in range(steps):
        matrix, gradient = system.normal(poses, shape)
        between, of_shape, by_shape = system.shape_blocks(poses, shape)
        matrix = _damped(matrix, np.full(len(pos), damping))
        solved = np.linalg.solve(matrix, np.concatenate([between, gradient[..., None]], axis=2))
        corner = _damped((of_shape + prior.matrix)[None], np.array([damping]))[0]
        eliminated = between.reshape(-1, len(corner)).T @ solved.reshape(-1, len(corner) + 1)
        corner -= eliminated[:, :-1]
        right = by_shape + prior.gradient(shape) - eliminated[:, -1]
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
        finished = cost - value < _CONVERGED * cost
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
    """Poses changed by a step of their unknowns, shape (nframe, 3 + 3 nturn)."""
    turn = Rotation.from_rotvec(step[:, 3:].reshape(-1, 3)).as_matrix().reshape(poses.turn.shape)
    return replace(poses, root=poses.root + step[:, :3], turn=poses.turn @ turn)


def _rotvec(turn: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(turn.reshape(-1, 3, 3)).as_rotvec().reshape(turn.shape[:-1])


def _inverse_right_jacobian(angle: np.ndarray) -> np.ndarray:
    """Derivative of a rotation vector (..., 3) by a small rotation on the right of its rotation, shape (..., 3, 3)."""
    norm = np.linalg.norm(angle, axis=-1)[..., None, None]
    cross = cross_matrix(angle)
    half = 0.5 * np.maximum(norm, 1e-4)
    factor = np.where(norm < 1e-3, 1.0 / 12.0, (1.0 - half / np.tan(half)) / (2.0 * half) ** 2)
    return np.eye(3) + 0.5 * cross + factor * cross @ cross
