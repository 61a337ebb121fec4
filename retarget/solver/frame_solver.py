"""Levenberg-Marquardt on independent frames, with joint limits inside the solve and one damping per frame."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from musclemap.skeletons.kinematics import forward, integrate
from musclemap.skeletons.reduced import NROOT
from musclemap.skeletons.tree import Tree

from .normal_equations import Normal
from .objective import Objective
from .terms import FrameTargets


class FrameSolution(NamedTuple):
    """Configurations (7 + njoint, nframe), their costs (nframe,) and point positions (npoint, 3, nframe) [m]."""

    q: Array
    cost: Array
    point_pos: Array


def box(tree: Tree) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits of all degrees of freedom, shape (ndof,) each; infinite or 0 for a free or fixed root."""
    root = np.full(6, np.inf if tree.reduced.free else 0.0)
    return np.concatenate([-root, tree.reduced.lower]), np.concatenate([root, tree.reduced.upper])


def held_by_limit(q: Array, gradient: Array, lower: Array, upper: Array) -> Array:
    """Mark joints that a step would push beyond the limit they are at, and joints without a range.

    These joints are removed from the linear solve, so that the other joints move as if they were fixed. They return
    when their gradient changes its sign.

    Returns:
        Mask, shape (ndof, nframe).
    """
    joints = jnp.concatenate([jnp.zeros_like(q[:6]), q[NROOT:]])
    tolerance = 1e-6
    fixed = lower >= upper
    return fixed | ((joints <= lower + tolerance) & (gradient > 0)) | ((joints >= upper - tolerance) & (gradient < 0))


def clamp(q: Array, lower: Array, upper: Array) -> Array:
    """Clamp joints to their limits."""
    return q.at[NROOT:].set(jnp.clip(q[NROOT:], lower[6:], upper[6:]))


def _step(normal: Normal, damping: Array, held: Array) -> Array:
    """Solve (H + damping diag(H)) step = -g with held joints fixed, shape (ndof, nframe)."""
    hessian = jnp.moveaxis(normal.hessian, -1, 0)
    free = (~held).T.astype(hessian.dtype)
    diagonal = jnp.diagonal(hessian, axis1=1, axis2=2)
    ridge = damping[:, None] * (diagonal + 1e-3) + 1e-7
    eye = jnp.eye(hessian.shape[1], dtype=hessian.dtype)
    system = hessian * free[:, :, None] * free[:, None, :] + eye * (ridge * free + (1 - free))[:, None, :]
    chol = lax.linalg.cholesky(system, symmetrize_input=False)
    right = -(normal.gradient.T * free)[..., None]
    half = lax.linalg.triangular_solve(chol, right, left_side=True, lower=True)
    return lax.linalg.triangular_solve(chol, half, left_side=True, lower=True, transpose_a=True)[..., 0].T


def solve_frames(
    objective: Objective, q: Array, targets: FrameTargets, *, iterations: int, damping: float = 1e-2
) -> FrameSolution:
    """Minimise the cost of every frame independently.

    Args:
        objective: Cost terms.
        q: Starting configurations within limits, shape (7 + njoint, nframe).
        targets: Targets of the frames.
        iterations: Number of Levenberg-Marquardt steps, including rejected ones.
        damping: Initial damping, relative to the diagonal of the Hessian.
    """
    dtype = q.dtype
    lower, upper = (jnp.asarray(limit, dtype)[:, None] for limit in box(objective.tree))

    def iterate(_, state):
        q, normal, damping = state
        held = held_by_limit(q, normal.gradient, lower, upper)
        step = _step(normal, damping, held)
        candidate = clamp(integrate(q, step), lower, upper)
        trial = objective.normal(candidate, targets)
        better = trial.cost < normal.cost
        accept = lambda new, old: jnp.where(better, new, old)  # noqa: E731
        return (
            accept(candidate, q),
            Normal(*(accept(new, old) for new, old in zip(trial, normal, strict=True))),
            jnp.clip(jnp.where(better, damping * 0.2, damping * 5.0), 1e-6, 1e3),
        )

    start = (q, objective.normal(q, targets), jnp.full(q.shape[1], damping, dtype))
    q, normal, _ = lax.fori_loop(0, iterations, iterate, start)
    return FrameSolution(q, normal.cost, forward(objective.tree, q).point_pos)
