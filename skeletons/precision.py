"""Matrix products with the full precision of their type.

By default JAX multiplies float32 on a GPU with ten bits of mantissa (TF32). That suffices for a network but not for
normal equations: with weak data a block Cholesky factorisation then meets negative pivots.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
T = TypeVar("T")


def precise(function: Callable[P, T]) -> Callable[P, T]:
    """Trace a function with exact matrix products; wrap the function passed to `jax.jit`, not the jitted one."""

    @wraps(function)
    def traced(*args: P.args, **kwargs: P.kwargs) -> T:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return traced
