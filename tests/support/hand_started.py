"""A Dask cluster of real processes on loopback, started as a user would, and a line to it that can be cut."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRON = {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
"""Lets the processes import the tests' retargeters."""


class HandStarted:
    """A scheduler and workers with one thread each.

    Args:
        folder: For the scheduler's file and the logs.
        environ: What all of them find in their environment besides ours.
    """

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder, self.file, self.environ = folder, folder / "scheduler.json", environ
        self.file.unlink(missing_ok=True)
        self._started: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                                     "--scheduler-file", str(self.file))  # fmt: skip

    def wait(self) -> None:
        """Wait until the scheduler has written its file."""
        deadline = time.monotonic() + 60
        while not self.file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    @property
    def address(self) -> str:
        """The scheduler's, HOST:PORT."""
        return self.url.partition("://")[2]

    @property
    def url(self) -> str:
        """The scheduler's address as Dask writes it, PROTOCOL://HOST:PORT."""
        self.wait()
        return json.loads(self.file.read_text())["address"]

    def add_worker(self, address: str | None = None, **environ: str) -> None:
        """Start one, for the scheduler or for a line to it."""
        where = [f"tcp://{address}"] if address else ["--scheduler-file", str(self.file)]
        self._start(
            "dask_worker", *where, "--nworkers", "1", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1",
            environ=environ,
        )  # fmt: skip

    def lose_scheduler(self) -> None:
        """Kill it."""
        os.killpg(self.scheduler.pid, signal.SIGKILL)
        self.scheduler.wait()

    def pause_scheduler(self) -> None:
        """Let it neither answer nor end."""
        os.killpg(self.scheduler.pid, signal.SIGSTOP)

    def end(self) -> None:
        """Kill all."""
        for process in reversed(self._started):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _start(self, name: str, *arguments: str, environ: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        with (self.folder / f"dask-{len(self._started)}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{name}", *arguments], cwd=self.folder, stdout=log, stderr=log,
                env={**os.environ, **ENVIRON, **self.environ, **(environ or {})}, start_new_session=True,
            )  # fmt: skip
        self._started.append(process)
        return process


class Line:
    """A TCP line to an address, which can be cut."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._there, self._ends = (host, int(port)), list[socket.socket]()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self) -> None:
        """End every connection and take no other."""
        for end in (self._door, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._door.accept()
                far = socket.create_connection(self._there)
                self._ends += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)
