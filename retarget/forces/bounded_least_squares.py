"""Bounded least squares for large batches of small problems.

    minimise  1/2 |x|^2 + w/2 |A x - b|^2   over  lower <= x <= upper

has many unknowns (muscles, contact forces) and few rows (joints, a wrench). Its dual has one unknown per row: with
y = w (b - A x) the solution is x = clip(A' y), and y is the root of `g(y) = A clip(A' y) + y / w - b`, the gradient of
a convex, piecewise quadratic function. A semismooth Newton method (Qi & Sun 1993) with backtracking finds y in about
ten steps, each with one small Cholesky factorisation. The problems of a batch are independent.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from musclemap.skeletons.precision import precise

MAX_STEPS = 40
"""Newton steps after which a problem is left as it is."""

_STEP_LENGTHS = (1.0, 0.5, 0.2, 0.05)
"""Fractions of a Newton step that are tried; if none lowers the dual, the next step is damped."""
_MIN_DAMPING = 1e-7
_TOLERANCE = 1e-4
"""A problem is solved when the norm of the gradient falls below this fraction of the norm of b."""


def _value(pull: Array, y: Array, b: Array, weight: float, lower: Array, upper: Array) -> Array:
    """Dual function at y, where pull is A' y."""
    x = jnp.clip(pull, lower, upper)
    return jnp.sum(x * pull - 0.5 * x * x) + 0.5 * jnp.sum(y * y) / weight - jnp.sum(y * b)


def _solve(
    a: Array, b: Array, lower: Array, upper: Array, start: Array, *, weight: float, max_steps: int
) -> tuple[Array, Array, Array]:
    nrow = len(b)
    eye = jnp.eye(nrow, dtype=a.dtype)
    lengths = jnp.asarray(_STEP_LENGTHS, a.dtype)
    scale = jnp.sum(a * a) / nrow

    def dual_gradient(pull: Array, y: Array) -> Array:
        return a @ jnp.clip(pull, lower, upper) + y / weight - b

    def newton(state):
        y, pull, gradient, value, damping, count = state
        inside = ((pull >= lower) & (pull <= upper)).astype(a.dtype)
        hessian = (a * inside) @ a.T + eye * (1.0 / weight + damping * scale)
        step = -jax.scipy.linalg.solve(hessian, gradient, assume_a="pos")
        change = a.T @ step
        trial_values = jax.vmap(lambda t: _value(pull + t * change, y + t * step, b, weight, lower, upper))(lengths)
        best = jnp.argmin(trial_values)
        candidate, new_pull = y + lengths[best] * step, pull + lengths[best] * change
        new_gradient = dual_gradient(new_pull, candidate)
        # Near the solution float32 no longer resolves differences in the value, but still those in the gradient.
        better = (trial_values[best] < value) | (jnp.sum(new_gradient**2) < 0.81 * jnp.sum(gradient**2))
        return (
            jnp.where(better, candidate, y),
            jnp.where(better, new_pull, pull),
            jnp.where(better, new_gradient, gradient),
            jnp.where(better, trial_values[best], value),
            jnp.clip(damping * jnp.where(better, 0.1, 100.0), _MIN_DAMPING, 1.0),
            count + 1,
        )

    def is_unsolved(state):
        _, _, gradient, _, damping, _ = state
        return (damping < 1.0) & (jnp.sum(gradient**2) > _TOLERANCE**2 * (1e-12 + jnp.sum(b * b)))

    pull = a.T @ start
    value = _value(pull, start, b, weight, lower, upper)
    state = (start, pull, dual_gradient(pull, start), value, jnp.array(_MIN_DAMPING, a.dtype), 0)
    state = lax.while_loop(lambda state: (state[-1] < max_steps) & is_unsolved(state), newton, state)
    return jnp.clip(a.T @ state[0], lower, upper), state[0], ~is_unsolved(state)


@partial(jax.jit, static_argnames=("weight", "max_steps"))
@precise
def bounded_least_squares_from(
    a: Array, b: Array, *, lower: Array, upper: Array, start: Array, weight: float, max_steps: int = MAX_STEPS
) -> tuple[Array, Array, Array]:
    """Solve a batch of bounded least-squares problems, from a start close to the solution of the dual.

    Args:
        a: Matrices A, shape (nproblem, nrow, nx).
        b: Right-hand sides, shape (nproblem, nrow).
        lower: Lower bounds, shape (nproblem, nx).
        upper: Upper bounds, shape (nproblem, nx).
        start: First guess of the dual's unknowns, shape (nproblem, nrow): zero, or those of a similar problem.
        weight: w in the module's docstring; a larger weight brings A x closer to b where the bounds allow it.
        max_steps: Newton steps after which a problem is left as it is. The batch takes as many as its hardest problem.

    Returns:
        Solutions x, shape (nproblem, nx), the dual's unknowns, shape (nproblem, nrow), and whether more
        steps would not help, shape (nproblem,).
    """
    return jax.vmap(partial(_solve, weight=weight, max_steps=max_steps))(a, b, lower, upper, start)


def bounded_least_squares(a: Array, b: Array, *, weight: float, lower: float = 0.0, upper: float = jnp.inf) -> Array:
    """Solve a batch of bounded least-squares problems whose unknowns all have the same bounds.

    Args:
        a: Matrices A, shape (nproblem, nrow, nx).
        b: Right-hand sides, shape (nproblem, nrow).
        weight: w in the module's docstring.
        lower: Lower bound of every x.
        upper: Upper bound of every x.

    Returns:
        Solutions x, shape (nproblem, nx).
    """
    low, high = (jnp.full((a.shape[0], a.shape[2]), bound, a.dtype) for bound in (lower, upper))
    return bounded_least_squares_from(a, b, lower=low, upper=high, start=jnp.zeros_like(b), weight=weight)[0]
