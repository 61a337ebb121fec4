"""Products of matrices as exact as their type.

On a GPU JAX otherwise multiplies float32 with ten bits of mantissa (TF32), enough for a network and too few for normal
equations: with weak data a block Cholesky then meets pivots below zero.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
T = TypeVar("T")


def precise(function: Callable[P, T]) -> Callable[P, T]:
    """The same function, traced with exact products; wrap what is handed to `jax.jit`, not what comes from it."""

    @wraps(function)
    def traced(*args: P.args, **kwargs: P.kwargs) -> T:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return traced
