"""Worker processes of this machine: one that dies, even while it starts, is started anew; none outlives the program.

Dask's own nannies give up a process that dies before it has registered, and whoever waits for it waits for ever.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

START_SECONDS = 1.0
"""Shortest time between two starts of one worker [s]."""

END_SECONDS = 5.0
"""Time that workers get to end by themselves [s]."""


class LocalWorkers:
    """Processes with one thread each, for a scheduler that runs already.

    Args:
        scheduler: Its address.
        keys: What each process reads from its standard input to be let in by the scheduler.
        cores: Cores of each process.
        environ: What each process finds in its environment besides ours; one entry a process.
    """

    def __init__(
        self, scheduler: str, *, keys: bytes, cores: Sequence[Sequence[int]], environ: Sequence[Mapping[str, str]]
    ) -> None:
        self._scheduler, self._keys, self._cores, self._environ = scheduler, keys, cores, environ
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
            sys.executable, "-P", "-m", "musclemap.pipelines.cluster.worker_process", self._scheduler, str(k),
            ",".join(map(str, self._cores[k])), str(os.getpid()),
        ]  # fmt: skip
        own = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "DASK_LOGGING__DISTRIBUTED": "critical"}
        # -P: import nothing from the current folder, which may hold files of others.
        # In a session of its own, where Ctrl-C is left to the program.
        process = subprocess.Popen(
            command, env={**os.environ, **own, **self._environ[k]}, stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # killed already: it is started again
            pipe.write(self._keys)  # far less than a pipe holds, so nobody waits
        return process
