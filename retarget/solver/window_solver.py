"""Whole-clip refinement: Gauss-Newton over windows of frames that hang together by velocity and acceleration.

A window's unknowns are its interior frames; two frames on either side are held, so windows that share no interior frame
can be solved side by side and none makes the clip's total cost rise. Passes shift the windows by half, so that what
was held in one pass lies in the middle of a window in the next. Within a window the normal equations are
block-pentadiagonal (a second difference spans three frames); two frames together make them block-tridiagonal, and one
Cholesky sweep forward and back solves them exactly. Work and memory do not depend on the length of the clip.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from musclemap.skeletons.kinematics import integrate, quat_to_matrix
from musclemap.skeletons.reduced import NROOT

from .frame_solver import box, clamp, held_by_limit
from .normal import Normal
from .objective import Objective
from .terms import FrameTargets

HALO = 2
"""Frames held on either side of a window's interior."""


class Smoothness(NamedTuple):
    """Weights of first and second differences of each degree of freedom, shape (ndof,) each."""

    velocity: np.ndarray
    acceleration: np.ndarray


class Windows(NamedTuple):
    """Some windows of `HALO + ninterior + HALO` frames.

    Attributes:
        q: Shape (7 + njoint, nwindow, nframe).
        targets: Of the interior frames, last axis nwindow * ninterior.
        root_pos: Where the source has the root [m], shape (3, nwindow, nframe).
        root_rot: How the source has the root turned, shape (3, 3, nwindow, nframe).
        joined: 1 where a frame and the next belong to one clip, shape (nwindow, nframe - 1).
        damping: Of each interior frame, relative to the diagonal of its Hessian, shape (nwindow, ninterior).
    """

    q: Array
    targets: FrameTargets
    root_pos: Array
    root_rot: Array
    joined: Array
    damping: Array


class Refined(NamedTuple):
    """Interior configurations (7 + njoint, nwindow, ninterior), their damping, each window's cost before and after."""

    q: Array
    damping: Array
    before: Array
    after: Array


def _coordinates(q: Array, root_pos: Array, root_rot: Array) -> Array:
    """What differences are taken of: the root's departure from the source, and joints (ndof, nwindow, nframe)."""
    rot = quat_to_matrix(q[3:NROOT])
    relative = jnp.sum(rot[:, None] * root_rot[None], axis=2)
    sine = 0.5 * jnp.stack(
        [relative[2, 1] - relative[1, 2], relative[0, 2] - relative[2, 0], relative[1, 0] - relative[0, 1]]
    )
    # exact for small angles, monotone to a right angle: the root does not stray further from its target than that
    return jnp.concatenate([q[:3] - root_pos, sine, q[NROOT:]])


class _Temporal(NamedTuple):
    cost: Array  # (nwindow,)
    share: Array  # (nwindow, ninterior), each frame's part in the cost
    gradient: Array  # (ndof, nwindow, ninterior)


def _links(joined: Array) -> tuple[Array, Array]:
    """Which first differences (nwindow, nframe - 1) and second differences (nwindow, nframe - 2) exist."""
    return joined, joined[:, 1:] * joined[:, :-1]


def _temporal(values: Array, joined: Array, smooth: Smoothness) -> _Temporal:
    dtype = values.dtype
    first, second = _links(joined)
    wv = jnp.asarray(smooth.velocity, dtype)[:, None, None]
    wa = jnp.asarray(smooth.acceleration, dtype)[:, None, None]
    v = first * (values[..., 1:] - values[..., :-1])
    a = second * (values[..., 2:] - 2 * values[..., 1:-1] + values[..., :-2])
    pad = lambda x, left, right: jnp.pad(x, ((0, 0), (0, 0), (left, right)))  # noqa: E731
    gradient = wv * (pad(v, 1, 0) - pad(v, 0, 1)) + wa * (pad(a, 2, 0) - 2 * pad(a, 1, 1) + pad(a, 0, 2))
    rate, bend = 0.5 * jnp.sum(wv * v**2, axis=0), 0.5 * jnp.sum(wa * a**2, axis=0)
    share = (rate[:, 1:] + rate[:, :-1]) / 2 + bend
    return _Temporal(rate.sum(axis=1) + bend.sum(axis=1), share[:, 1:-1], gradient[..., HALO:-HALO])


def _bands(joined: Array, smooth: Smoothness, dtype) -> tuple[Array, Array, Array]:
    """Diagonal, first and second off-diagonal of the temporal Hessian at interior frames.

    Shapes (nwindow, ninterior, ndof); entry t of an off-diagonal couples frames t and t + 1, or t + 2.
    """
    first, second = _links(joined)
    wv, wa = jnp.asarray(smooth.velocity, dtype), jnp.asarray(smooth.acceleration, dtype)
    n = joined.shape[1] + 1 - 2 * HALO
    at = lambda x, k: x[:, k : k + n, None]  # noqa: E731
    # first[t] joins t and t+1; second[t] is centred on t+1; interior frame 0 is frame HALO
    diagonal = wv * (at(first, 1) + at(first, 2)) + wa * (at(second, 0) + 4 * at(second, 1) + at(second, 2))
    shifted = jnp.pad(second, ((0, 0), (0, 1)))
    one = -wv * at(first, 2) - 2 * wa * (at(second, 1) + at(second, 2))
    return diagonal, one, wa * at(shifted, 2)


def _solve_windows(normal: Normal, gradient: Array, bands: tuple, damping: Array, held: Array) -> Array:
    """Newton step of all windows, shape (ndof, nwindow, ninterior).

    Args:
        normal: Of interior frames, last axis nwindow * ninterior.
        gradient: Total gradient, shape (ndof, nwindow, ninterior).
        bands: From `_bands`.
        damping: Shape (nwindow, ninterior).
        held: Degrees of freedom that stand on a limit, shape (ndof, nwindow, ninterior).
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
    after = jnp.roll(free, -1, axis=1)
    one = band1 * free * after
    two = band2 * free * jnp.roll(free, -2, axis=1)

    by_frame = lambda x: jnp.moveaxis(x, 1, 0)  # noqa: E731
    right = -jnp.transpose(gradient, (2, 1, 0)) * by_frame(free)
    identity = jnp.broadcast_to(eye, (nwindow, ndof, ndof))

    def down(carry, frame):
        """Eliminate frame t; what it leaves on t + 1 (matrix, vector, coupling to t + 2) and t + 2 is carried along."""
        schur, vector, coupling, schur_after, vector_after = carry
        hessian, right, one, two = frame
        chol = lax.linalg.cholesky(hessian - schur, symmetrize_input=False)
        inverse = lax.linalg.triangular_solve(chol, identity, left_side=True, lower=True)
        link = eye * one[:, None, :] - coupling  # rows: t, columns: t + 1
        near = inverse @ link
        rest = _matvec(inverse, right - vector)
        half = jnp.swapaxes(inverse, 1, 2)
        across = half @ jnp.concatenate([near, inverse], axis=2)  # H^-1 link and H^-1
        far, own = across[..., :ndof] * two[:, :, None], across[..., ndof:] * two[:, :, None] * two[:, None, :]
        back = _matvec(half, rest)
        carry = (
            schur_after + jnp.swapaxes(near, 1, 2) @ near,
            vector_after + _matvec(jnp.swapaxes(near, 1, 2), rest),
            jnp.swapaxes(far, 1, 2),
            own,
            two * back,
        )
        return carry, (back, across[..., :ndof], across[..., ndof:] * two[:, None, :])

    matrix, vector = jnp.zeros_like(identity), jnp.zeros((nwindow, ndof), gradient.dtype)
    start = (matrix, vector, matrix, matrix, vector)
    frames = (by_frame(hessian), right, by_frame(one), by_frame(two))
    _, eliminated = lax.scan(down, start, frames)

    def up(later, frame):
        back, near, far = frame
        step = back - _matvec(near, later[0]) - _matvec(far, later[1])
        return (step, later[0]), step

    _, steps = lax.scan(up, (vector, vector), eliminated, reverse=True)
    return jnp.transpose(steps, (2, 1, 0))


def _matvec(matrix: Array, vector: Array) -> Array:
    return (matrix @ vector[..., None])[..., 0]


def refine_windows(objective: Objective, windows: Windows, smooth: Smoothness, *, iterations: int) -> Refined:
    """Refine the interior of each window, its halo held.

    Args:
        objective: Each frame's own terms.
        windows: Frames, targets and damping.
        smooth: Of the terms between frames.
        iterations: Levenberg-Marquardt steps; a rejected step counts.
    """
    dtype = windows.q.dtype
    lower, upper = (jnp.asarray(limit, dtype)[:, None] for limit in box(objective.tree))
    nwindow, n = windows.q.shape[1], windows.q.shape[2] - 2 * HALO
    bands = _bands(windows.joined, smooth, dtype)
    left, right = windows.q[..., :HALO], windows.q[..., -HALO:]

    def evaluate(interior: Array) -> tuple[Normal, _Temporal, Array]:
        flat = interior.reshape(-1, nwindow * n)
        normal = objective.normal(flat, windows.targets)
        whole = jnp.concatenate([left, interior, right], axis=2)
        values = _coordinates(whole, windows.root_pos, windows.root_rot)
        temporal = _temporal(values, windows.joined, smooth)
        return normal, temporal, normal.cost.reshape(nwindow, n).sum(axis=1) + temporal.cost

    def iterate(_, state):
        interior, normal, temporal, cost, damping = state
        gradient = normal.gradient.reshape(-1, nwindow, n) + temporal.gradient
        flat = interior.reshape(-1, nwindow * n)
        held = held_by_limit(flat, gradient.reshape(-1, nwindow * n), lower, upper).reshape(gradient.shape)
        step = _solve_windows(normal, gradient, bands, damping, held)
        candidate = clamp(integrate(flat, step.reshape(-1, nwindow * n)), lower, upper).reshape(interior.shape)
        new_normal, new_temporal, new_cost = evaluate(candidate)
        better = new_cost < cost
        # damping is a frame's own: one frame that a step made worse does not slow its whole window down
        local = lambda normal, temporal: normal.cost.reshape(nwindow, n) + temporal.share  # noqa: E731
        worse = ~(local(new_normal, new_temporal) <= local(normal, temporal))  # nor what is no number
        grow, shrink = jnp.where(better[:, None], 1.0, 10.0), jnp.where(better[:, None], 0.2, 1.0)
        by_frame = jnp.repeat(better, n)
        return (
            jnp.where(better[:, None], candidate, interior),
            Normal(*(jnp.where(by_frame, a, b) for a, b in zip(new_normal, normal, strict=True))),
            _Temporal(
                jnp.where(better, new_temporal.cost, temporal.cost),
                jnp.where(better[:, None], new_temporal.share, temporal.share),
                jnp.where(better[:, None], new_temporal.gradient, temporal.gradient),
            ),
            jnp.where(better, new_cost, cost),
            jnp.clip(damping * jnp.where(worse, grow, shrink), 1e-6, 1e3),
        )

    interior = windows.q[..., HALO:-HALO]
    normal, temporal, before = evaluate(interior)
    interior, _, _, after, damping = lax.fori_loop(
        0, iterations, iterate, (interior, normal, temporal, before, windows.damping)
    )
    return Refined(interior, damping, before, after)
