"""Worker processes on this machine. Dead workers are restarted, and no worker outlives the program.

Dask's own nannies do not restart a process that dies before it has registered, and clients then wait for it forever.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

START_SECONDS = 1.0
"""Shortest time between two starts of the same worker [s]."""

TERMINATE_SECONDS = 5.0
"""Time that workers have to terminate before they are killed [s]."""


class LocalWorkers:
    """Single-threaded worker processes for a running scheduler.

    Args:
        scheduler: Address of the scheduler.
        keys: Encoded keys, which each process reads from its standard input to authenticate with the scheduler.
        cores: Cores of each process.
        environ: Environment variables that each process gets in addition to ours; one entry per process.
    """

    def __init__(
        self, scheduler: str, *, keys: bytes, cores: Sequence[Sequence[int]], environ: Sequence[Mapping[str, str]]
    ) -> None:
        self._scheduler, self._keys, self._cores, self._environ = scheduler, keys, cores, environ
        self._started = [0.0] * len(environ)
        self._processes = [self._start(k) for k in range(len(environ))]

    def restart_dead(self) -> None:
        """Restart workers that have died."""
        for k, process in enumerate(self._processes):
            if process.poll() is not None and time.monotonic() - self._started[k] > START_SECONDS:
                self._processes[k] = self._start(k)

    def terminate(self) -> None:
        """Terminate all workers; kill those that do not stop in time."""
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + TERMINATE_SECONDS
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0.0))
            process.kill()
            process.wait()

    def _start(self, k: int) -> subprocess.Popen[bytes]:
        self._started[k] = time.monotonic()
        command = [
            sys.executable, "-P", "-m", "musclemap.pipelines.cluster.worker_process", self._scheduler, str(k),
            ",".join(map(str, self._cores[k])), str(os.getpid()),
        ]  # fmt: skip
        common = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "DASK_LOGGING__DISTRIBUTED": "critical"}
        # -P: import nothing from the current folder, which may hold other users' files.
        # A new session, so that Ctrl-C reaches only the main process.
        process = subprocess.Popen(
            command, env={**os.environ, **common, **self._environ[k]}, stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # the worker died; it is restarted
            pipe.write(self._keys)  # far smaller than the pipe's buffer, so this never blocks
        return process
