"""Parallel processes for small matrix products.

The threads of a linear algebra library only slow such products down: every process computes with one thread, and there
is one process per core.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import mujoco

from musclemap import cores

_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(cores.available_cores())


def process_pool(workers: int, prepare: Callable[..., None], *arguments: Any) -> ProcessPoolExecutor:
    """Processes that end with this one and leave Ctrl-C to it.

    They start with the first task, which has to be submitted within `starting_processes`.

    Args:
        workers: Number of processes.
        prepare: Called with the arguments in each process before its first task.
        arguments: Sent to each process.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(prepare, *arguments))


@contextmanager
def starting_processes() -> Iterator[None]:
    """Surroundings in which the processes of a pool have to start, with its first tasks.

    Libraries read the number of threads from the environment when they are imported. And a new process would import the
    program's main module, which runs a script once more that has no `if __name__ == "__main__"`. Our functions do not
    need it.
    """
    before, main = {name: os.environ.get(name) for name in _ENVIRONMENT}, sys.modules["__main__"]
    os.environ.update(_ENVIRONMENT)
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start(prepare: Callable[..., None], *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the run after the iteration, which needs its results
    threading.Thread(target=_end_with_parent, daemon=True).start()
    mujoco.set_mju_user_warning(lambda text: None)  # would write a file
    prepare(*arguments)


def _end_with_parent() -> None:
    """End this process when the one that started it has been killed and cannot end it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
