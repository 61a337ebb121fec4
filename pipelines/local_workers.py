"""Worker processes of this machine: one that dies, even while it starts, is started anew; none outlives the program.

Dask's own nannies give up a process that dies before it has registered, and whoever waits for it waits for ever.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from distributed import WorkerPlugin

PARENT_SECONDS = 0.5
"""Time between two looks of a worker whether the program is still there [s]."""

START_SECONDS = 1.0
"""Shortest time between two starts of one worker [s]."""

END_SECONDS = 5.0
"""Time that workers get to end by themselves [s]."""


class Pinned(WorkerPlugin):
    """Dask worker plugin: each process gets cores of its own, and ends with the program that started it."""

    name = "musclemap-pinned"

    def __init__(self, cores: Sequence[Sequence[int]]) -> None:
        self.cores, self.parent = [list(own) for own in cores], os.getpid()

    def setup(self, worker: Any) -> None:
        """Called by Dask in the worker's process, before its first job."""
        os.sched_setaffinity(0, self.cores[int(worker.name)])
        threading.Thread(target=self._end_with_parent, daemon=True).start()

    def _end_with_parent(self) -> None:
        while os.getppid() == self.parent:
            time.sleep(PARENT_SECONDS)
        os._exit(1)


class LocalWorkers:
    """Processes with one thread each, for a scheduler that runs already.

    Args:
        scheduler: Its address.
        environ: What each process finds in its environment besides ours; one entry a process.
    """

    def __init__(self, scheduler: str, *, environ: Sequence[Mapping[str, str]]) -> None:
        self._scheduler, self._environ = scheduler, environ
        self._started = [0.0] * len(environ)
        self._processes = [self._start(k) for k in range(len(environ))]

    def tend(self) -> None:
        """Start those anew that have died."""
        for k, process in enumerate(self._processes):
            if process.poll() is not None and time.monotonic() - self._started[k] > START_SECONDS:
                self._processes[k] = self._start(k)

    def end(self) -> None:
        """End all of them."""
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + END_SECONDS
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0.0))
            process.kill()
            process.wait()

    def _start(self, k: int) -> subprocess.Popen[bytes]:
        self._started[k] = time.monotonic()
        command = [
            sys.executable, "-m", "distributed.cli.dask_worker", self._scheduler, "--name", str(k), "--nthreads", "1",
            "--no-nanny", "--no-dashboard", "--memory-limit", "0",
        ]  # fmt: skip
        own = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "DASK_LOGGING__DISTRIBUTED": "critical"}
        # in a session of its own, where Ctrl-C is left to the program
        return subprocess.Popen(
            command, env={**os.environ, **own, **self._environ[k]}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
