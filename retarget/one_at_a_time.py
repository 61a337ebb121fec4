"""One computation of JAX at a time.

Clips are refined and checked in several threads. MuJoCo and LAPACK work in them side by side, but compiled functions of
JAX must not: on a CPU they share one pool of threads, and two functions that each wait for a free thread wait for ever.
"""

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_RUNNING = threading.RLock()


def one_at_a_time(function: Callable[P, T]) -> Callable[P, T]:
    """Let one thread at a time run a function that calls compiled functions of JAX and waits for their results."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with _RUNNING:
            return function(*args, **kwargs)

    return run
