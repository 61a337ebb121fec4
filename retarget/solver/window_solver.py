"""Whole-clip refinement: Gauss-Newton over windows of frames coupled by velocity and acceleration terms.

The unknowns of a window are its interior frames; two frames on either side are fixed. Windows that share no interior
frame are therefore independent, and no window can raise the total cost of the clip. Successive passes shift the windows
by half their size, so that the frames fixed in one pass are in the middle of a window in the next. Within a window the
normal equations are block-pentadiagonal, because a second difference spans three frames. One forward elimination with a
Cholesky factorisation per frame, and one backward substitution, solve them exactly. Work and memory of a window do not
depend on the length of the clip.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from musclemap.skeletons.kinematics import integrate, quat_to_matrix
from musclemap.skeletons.reduced import NROOT

from .frame_solver import box, clamp, held_by_limit
from .normal_equations import Normal
from .objective import Objective
from .terms import FrameTargets

HALO = 2
"""Fixed frames on either side of a window's interior."""


class Smoothness(NamedTuple):
    """Weights of the first and second differences of each degree of freedom, shape (ndof,) each."""

    velocity: np.ndarray
    acceleration: np.ndarray


class Windows(NamedTuple):
    """Windows of `HALO + ninterior + HALO` frames.

    Attributes:
        q: Configurations, shape (7 + njoint, nwindow, nframe).
        targets: Targets of the interior frames, last axis nwindow * ninterior.
        root_pos: Position of the root in the source [m], shape (3, nwindow, nframe).
        root_rot: Orientation of the root in the source, shape (3, 3, nwindow, nframe).
        joined: 1 if a frame and the next belong to the same clip, otherwise 0, shape (nwindow, nframe - 1).
        damping: Damping of each interior frame, relative to the diagonal of its Hessian, shape (nwindow, ninterior).
    """

    q: Array
    targets: FrameTargets
    root_pos: Array
    root_rot: Array
    joined: Array
    damping: Array


class RefinedWindows(NamedTuple):
    """Refined interiors of windows.

    Attributes:
        q: Configurations of the interior frames, shape (7 + njoint, nwindow, ninterior).
        damping: Damping of the interior frames, shape (nwindow, ninterior).
        before: Cost of each window before the refinement, shape (nwindow,).
        after: Cost of each window after it, shape (nwindow,).
        expected: Decrease that the last step promised, whether it was made or rejected, shape (nwindow,).
    """

    q: Array
    damping: Array
    before: Array
    after: Array
    expected: Array


def _coordinates(q: Array, root_pos: Array, root_rot: Array) -> Array:
    """Coordinates whose differences are smoothed, shape (ndof, nwindow, nframe).

    They are the deviation of the root's position and orientation from the source, and the joints.
    """
    rot = quat_to_matrix(q[3:NROOT])
    relative = jnp.sum(rot[:, None] * root_rot[None], axis=2)
    sine = 0.5 * jnp.stack(
        [relative[2, 1] - relative[1, 2], relative[0, 2] - relative[2, 0], relative[1, 0] - relative[0, 1]]
    )
    # The sine is exact for small angles and monotone up to a right angle; the root deviates less than that.
    return jnp.concatenate([q[:3] - root_pos, sine, q[NROOT:]])


class _TemporalCost(NamedTuple):
    """Cost of the differences between frames.

    Attributes:
        cost: Cost of each window, shape (nwindow,).
        by_frame: Part of the cost attributed to each interior frame, shape (nwindow, ninterior).
        gradient: Gradient at the interior frames, shape (ndof, nwindow, ninterior).
    """

    cost: Array
    by_frame: Array
    gradient: Array


def _valid_differences(joined: Array) -> tuple[Array, Array]:
    """Masks of first differences (nwindow, nframe - 1) and second differences (nwindow, nframe - 2) within a clip."""
    return joined, joined[:, 1:] * joined[:, :-1]


def _temporal_cost(values: Array, joined: Array, smooth: Smoothness) -> _TemporalCost:
    dtype = values.dtype
    first, second = _valid_differences(joined)
    w_vel = jnp.asarray(smooth.velocity, dtype)[:, None, None]
    w_acc = jnp.asarray(smooth.acceleration, dtype)[:, None, None]
    v = first * (values[..., 1:] - values[..., :-1])
    a = second * (values[..., 2:] - 2 * values[..., 1:-1] + values[..., :-2])
    pad = lambda x, left, right: jnp.pad(x, ((0, 0), (0, 0), (left, right)))  # noqa: E731
    gradient = w_vel * (pad(v, 1, 0) - pad(v, 0, 1)) + w_acc * (pad(a, 2, 0) - 2 * pad(a, 1, 1) + pad(a, 0, 2))
    cost_vel, cost_acc = 0.5 * jnp.sum(w_vel * v**2, axis=0), 0.5 * jnp.sum(w_acc * a**2, axis=0)
    by_frame = (cost_vel[:, 1:] + cost_vel[:, :-1]) / 2 + cost_acc
    total = cost_vel.sum(axis=1) + cost_acc.sum(axis=1)
    return _TemporalCost(total, by_frame[:, 1:-1], gradient[..., HALO:-HALO])


def _bands(joined: Array, smooth: Smoothness, dtype) -> tuple[Array, Array, Array]:
    """Diagonal and both off-diagonals of the temporal Hessian at interior frames.

    Their shapes are (nwindow, ninterior, ndof). Entry t of the first off-diagonal couples frames t and t + 1, entry t
    of the second frames t and t + 2.
    """
    first, second = _valid_differences(joined)
    w_vel, w_acc = jnp.asarray(smooth.velocity, dtype), jnp.asarray(smooth.acceleration, dtype)
    n = joined.shape[1] + 1 - 2 * HALO
    offset = lambda x, k: x[:, k : k + n, None]  # noqa: E731
    # first[t] is the difference of t and t+1, second[t] is centred on t+1, and interior frame 0 is frame HALO.
    diagonal = w_vel * (offset(first, 1) + offset(first, 2)) + w_acc * (
        offset(second, 0) + 4 * offset(second, 1) + offset(second, 2)
    )
    shifted = jnp.pad(second, ((0, 0), (0, 1)))
    one = -w_vel * offset(first, 2) - 2 * w_acc * (offset(second, 1) + offset(second, 2))
    return diagonal, one, w_acc * offset(shifted, 2)


def _solve_windows(normal: Normal, gradient: Array, bands: tuple, damping: Array, held: Array) -> Array:
    """Solve for the Newton step of all windows.

    Args:
        normal: Normal equations of the interior frames, last axis nwindow * ninterior.
        gradient: Total gradient, shape (ndof, nwindow, ninterior).
        bands: Bands of the temporal Hessian, from `_bands`.
        damping: Damping of the interior frames, shape (nwindow, ninterior).
        held: Degrees of freedom held at a limit, shape (ndof, nwindow, ninterior).

    Returns:
        Step, shape (ndof, nwindow, ninterior).
    """
    ndof, nwindow, n = gradient.shape
    free = jnp.transpose(~held, (1, 2, 0)).astype(gradient.dtype)  # (window, frame, dof)
    hessian = jnp.moveaxis(normal.hessian, -1, 0).reshape(nwindow, n, ndof, ndof)
    eye = jnp.eye(ndof, dtype=gradient.dtype)
    band0, band1, band2 = bands
    data = jnp.diagonal(hessian, axis1=2, axis2=3)
    ridge = damping[..., None] * (data + 1e-3) + 1e-7
    hessian = hessian * free[..., :, None] * free[..., None, :]
    hessian = hessian + eye * ((band0 + ridge) * free + (1 - free))[..., None, :]
    next_free = jnp.roll(free, -1, axis=1)
    one = band1 * free * next_free
    two = band2 * free * jnp.roll(free, -2, axis=1)

    by_frame = lambda x: jnp.moveaxis(x, 1, 0)  # noqa: E731
    right = -jnp.transpose(gradient, (2, 1, 0)) * by_frame(free)
    return jnp.transpose(_solve_bands(by_frame(hessian), right, by_frame(one), by_frame(two)), (2, 1, 0))


def _solve_bands(hessian: Array, right: Array, one: Array, two: Array) -> Array:
    """Solve symmetric block-pentadiagonal systems whose off-diagonal blocks are diagonal, frames first.

    Args:
        hessian: Diagonal blocks, shape (nframe, nwindow, ndof, ndof).
        right: Right-hand sides, shape (nframe, nwindow, ndof).
        one: Diagonals of the blocks that couple a frame to the next, shape (nframe, nwindow, ndof).
        two: Diagonals of the blocks that couple a frame to the one after the next, same shape.

    Returns:
        Solutions, shape (nframe, nwindow, ndof).
    """
    nwindow, ndof = right.shape[1:]
    eye = jnp.eye(ndof, dtype=right.dtype)
    identity = jnp.broadcast_to(eye, (nwindow, ndof, ndof))

    def eliminate(pending, frame):
        """Eliminate frame t.

        `pending` holds the updates by earlier frames: matrix, vector and coupling to t + 1 of frame t, and matrix and
        vector of frame t + 1.
        """
        schur, vector, coupling, schur_after, vector_after = pending
        hessian, right, one, two = frame
        chol = lax.linalg.cholesky(hessian - schur, symmetrize_input=False)
        inverse = lax.linalg.triangular_solve(chol, identity, left_side=True, lower=True)
        coupling_next = eye * one[:, None, :] - coupling  # rows: t, columns: t + 1
        to_next = inverse @ coupling_next
        forward = _matvec(inverse, right - vector)
        inverse_t = jnp.swapaxes(inverse, 1, 2)
        products = inverse_t @ jnp.concatenate([to_next, inverse], axis=2)  # H^-1 coupling_next and H^-1
        to_second = products[..., :ndof] * two[:, :, None]
        schur_second = products[..., ndof:] * two[:, :, None] * two[:, None, :]
        back = _matvec(inverse_t, forward)
        pending = (
            schur_after + jnp.swapaxes(to_next, 1, 2) @ to_next,
            vector_after + _matvec(jnp.swapaxes(to_next, 1, 2), forward),
            jnp.swapaxes(to_second, 1, 2),
            schur_second,
            two * back,
        )
        return pending, (back, products[..., :ndof], products[..., ndof:] * two[:, None, :])

    matrix, vector = jnp.zeros_like(identity), jnp.zeros((nwindow, ndof), right.dtype)
    start = (matrix, vector, matrix, matrix, vector)
    _, eliminated = lax.scan(eliminate, start, (hessian, right, one, two))

    def substitute(solved, frame):
        """Compute the step of frame t from those of t + 1 and t + 2."""
        back, to_next, to_second = frame
        step = back - _matvec(to_next, solved[0]) - _matvec(to_second, solved[1])
        return (step, solved[0]), step

    return lax.scan(substitute, (vector, vector), eliminated, reverse=True)[1]


def _matvec(matrix: Array, vector: Array) -> Array:
    return (matrix @ vector[..., None])[..., 0]


def refine_windows(objective: Objective, windows: Windows, smooth: Smoothness, *, iterations: int) -> RefinedWindows:
    """Refine the interior of each window with its halo fixed.

    Args:
        objective: Cost terms of single frames.
        windows: Frames, targets and damping.
        smooth: Weights of the differences between frames.
        iterations: Number of Levenberg-Marquardt steps, including rejected ones.
    """
    dtype = windows.q.dtype
    lower, upper = (jnp.asarray(limit, dtype)[:, None] for limit in box(objective.tree))
    nwindow, n = windows.q.shape[1], windows.q.shape[2] - 2 * HALO
    bands = _bands(windows.joined, smooth, dtype)
    left, right = windows.q[..., :HALO], windows.q[..., -HALO:]

    def evaluate(interior: Array) -> tuple[Normal, _TemporalCost, Array]:
        flat = interior.reshape(-1, nwindow * n)
        normal = objective.normal(flat, windows.targets)
        with_halo = jnp.concatenate([left, interior, right], axis=2)
        values = _coordinates(with_halo, windows.root_pos, windows.root_rot)
        temporal = _temporal_cost(values, windows.joined, smooth)
        return normal, temporal, normal.cost.reshape(nwindow, n).sum(axis=1) + temporal.cost

    def cost_by_frame(normal: Normal, temporal: _TemporalCost) -> Array:
        return normal.cost.reshape(nwindow, n) + temporal.by_frame

    def iterate(k, state):
        interior, damping, before, *_ = state
        normal, temporal, cost = evaluate(interior)
        gradient = normal.gradient.reshape(-1, nwindow, n) + temporal.gradient
        flat = interior.reshape(-1, nwindow * n)
        held = held_by_limit(flat, gradient.reshape(-1, nwindow * n), lower, upper).reshape(gradient.shape)
        step = _solve_windows(normal, gradient, bands, damping, held)
        candidate = clamp(integrate(flat, step.reshape(-1, nwindow * n)), lower, upper).reshape(interior.shape)
        new_normal, new_temporal, new_cost = evaluate(candidate)  # only its costs are used, so nothing else is computed
        better = new_cost < cost
        # Damping is per frame, so that one frame that a step made worse does not slow down its whole window.
        worse = ~(cost_by_frame(new_normal, new_temporal) <= cost_by_frame(normal, temporal))  # also true for NaN
        grow, shrink = jnp.where(better[:, None], 1.0, 10.0), jnp.where(better[:, None], 0.2, 1.0)
        return (
            jnp.where(better[:, None], candidate, interior),
            jnp.clip(damping * jnp.where(worse, grow, shrink), 1e-6, 1e3),
            jnp.where(k == 0, cost, before),
            jnp.where(better, new_cost, cost),
            -0.5 * jnp.sum(gradient * step, axis=(0, 2)),
        )

    unknown = jnp.zeros(nwindow, dtype)
    start = (windows.q[..., HALO:-HALO], windows.damping, unknown, unknown, unknown)
    state = iterate(0, start)  # outside the loop, whose body XLA does not spread over a CPU's cores
    return RefinedWindows(*(lax.fori_loop(1, iterations, iterate, state) if iterations > 1 else state))
