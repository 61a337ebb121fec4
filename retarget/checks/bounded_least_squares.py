"""Least squares with bounds, for very many small problems at once.

    minimise  1/2 |x|^2 + w/2 |A x - b|^2   over  lower <= x <= upper

has many unknowns (muscles, contact forces) and few rows (joints, a wrench). Its dual has one unknown a row: with
y = w (b - A x) the solution is x = clip(A' y), and y is the root of `g(y) = A clip(A' y) + y / w - b`, the gradient of
a convex, piecewise quadratic function. A semismooth Newton method (Qi & Sun 1993) with backtracking finds it in some
ten steps of one small Cholesky factorisation each. Every problem of a batch is solved by itself.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from musclemap.skeletons.precision import precise

_STEPS = 40
_HALVINGS = 12
_LEAST_DAMPING = 1e-7
_TOLERANCE = 1e-4
"""Norm of the gradient, relative to that of b, at which a problem counts as solved."""


def _dual(a: Array, y: Array, b: Array, weight: float, lower: float, upper: float) -> Array:
    pull = a.T @ y
    x = jnp.clip(pull, lower, upper)
    return jnp.sum(x * pull - 0.5 * x * x) + 0.5 * jnp.sum(y * y) / weight - jnp.sum(y * b)


def _solve(a: Array, b: Array, weight: float, lower: float, upper: float) -> Array:
    nrow = len(b)
    eye = jnp.eye(nrow, dtype=a.dtype)
    lengths = 0.5 ** jnp.arange(_HALVINGS, dtype=a.dtype)

    scale = jnp.sum(a * a) / nrow

    def slope(y: Array) -> Array:
        return a @ jnp.clip(a.T @ y, lower, upper) + y / weight - b

    def newton(state):
        y, gradient, value, damping, count = state
        pull = a.T @ y
        inside = ((pull >= lower) & (pull <= upper)).astype(a.dtype)
        hessian = (a * inside) @ a.T + eye * (1.0 / weight + damping * scale)
        step = -jax.scipy.linalg.solve(hessian, gradient, assume_a="pos")
        tried = jax.vmap(lambda t: _dual(a, y + t * step, b, weight, lower, upper))(lengths)
        best = jnp.argmin(tried)
        candidate = y + lengths[best] * step
        ahead = slope(candidate)
        # near the end float32 cannot tell the values apart any more; the gradient still can
        better = (tried[best] < value) | (jnp.sum(ahead**2) < 0.81 * jnp.sum(gradient**2))
        return (
            jnp.where(better, candidate, y),
            jnp.where(better, ahead, gradient),
            jnp.where(better, tried[best], value),
            jnp.clip(damping * jnp.where(better, 0.1, 100.0), _LEAST_DAMPING, 1.0),
            count + 1,
        )

    def going(state):
        _, gradient, _, damping, count = state
        return (count < _STEPS) & (damping < 1.0) & (jnp.sum(gradient**2) > _TOLERANCE**2 * (1e-12 + jnp.sum(b * b)))

    start = jnp.zeros_like(b)
    state = (start, slope(start), _dual(a, start, b, weight, lower, upper), jnp.array(_LEAST_DAMPING, a.dtype), 0)
    y, *_ = lax.while_loop(going, newton, state)
    return jnp.clip(a.T @ y, lower, upper)


@partial(jax.jit, static_argnames=("weight", "lower", "upper"))
@precise
def bounded_least_squares(a: Array, b: Array, *, weight: float, lower: float = 0.0, upper: float = jnp.inf) -> Array:
    """Solve a batch of problems.

    Args:
        a: Shape (nproblem, nrow, nx).
        b: Shape (nproblem, nrow).
        weight: w above; the larger, the closer A x comes to b where the bounds allow it.
        lower: Smallest value of every x.
        upper: Largest.

    Returns:
        Shape (nproblem, nx).
    """
    return jax.vmap(lambda a, b: _solve(a, b, weight, lower, upper))(a, b)
