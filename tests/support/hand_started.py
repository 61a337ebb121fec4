"""A Dask cluster of real processes on loopback, started as a user would, and a TCP proxy that can be closed."""

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
"""Environment that lets the processes import the retargeters of the tests."""


class HandStarted:
    """A scheduler and single-threaded workers.

    Args:
        folder: Folder of the scheduler file and the logs.
        environ: Additional environment variables of all processes.
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
        """Address of the scheduler, HOST:PORT."""
        return self.url.partition("://")[2]

    @property
    def url(self) -> str:
        """Address of the scheduler in Dask's form, PROTOCOL://HOST:PORT."""
        self.wait()
        return json.loads(self.file.read_text())["address"]

    def add_worker(self, address: str | None = None, **environ: str) -> None:
        """Start a worker that connects to an address, or to the scheduler if it is None."""
        target = [f"tcp://{address}"] if address else ["--scheduler-file", str(self.file)]
        self._start(
            "dask_worker", *target, "--nworkers", "1", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1",
            environ=environ,
        )  # fmt: skip

    def kill_scheduler(self) -> None:
        """Kill the scheduler."""
        os.killpg(self.scheduler.pid, signal.SIGKILL)
        self.scheduler.wait()

    def pause_scheduler(self) -> None:
        """Suspend the scheduler, so that it neither answers nor exits."""
        os.killpg(self.scheduler.pid, signal.SIGSTOP)

    def end(self) -> None:
        """Kill all processes."""
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


class TcpProxy:
    """A TCP proxy to an address, whose connections can be closed."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._target, self._sockets = (host, int(port)), list[socket.socket]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Close every connection and accept no others."""
        for connection in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_forward, args=pair, daemon=True).start()


def _forward(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)
