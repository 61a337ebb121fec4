"""A minimum speed for a connection. A time-out between reads does not stop a server that sends one byte per second.

Reads, including those of headers, block inside the HTTP library. A second thread therefore shuts the socket down when
too few bytes have arrived.
"""

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_current = threading.local()
"""Holds the `SpeedGuard` of this thread's request."""


class SpeedGuard:
    """Aborts a request that is too slow; use as a context manager around the request and the reading of its body.

    Args:
        window: Time over which bytes are counted [s]; all headers, including those of redirects, must arrive within
            one.
        min_speed: Minimum speed [B/s].
        max_seconds: Maximum duration [s]; no limit if None.

    Attributes:
        too_slow: Whether it aborted the request; the library then raises, or returns a body that seems to have ended.
    """

    def __init__(self, *, window: float, min_speed: float, max_seconds: float | None = None) -> None:
        self._window, self._min_speed = window, min_speed
        self._end = None if max_seconds is None else time.monotonic() + max_seconds
        self._nbyte = 0
        self._socket: socket.socket | None = None
        self._finished = threading.Event()
        self.too_slow = False

    def count(self, nbyte: int) -> None:
        """Count bytes of the body."""
        self._nbyte += nbyte

    def watch(self, connection: socket.socket | None) -> None:
        """Set the socket to shut down; the library opens another one for a redirect."""
        self._socket = connection
        if self.too_slow:
            self._shut()

    def __enter__(self) -> Self:
        _current.guard = self
        threading.Thread(target=self._run, daemon=True, name="musclemap-speed-guard").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finished.set()
        _current.guard = None

    def _run(self) -> None:
        while not self._finished.wait(self._wait_seconds()):
            nbyte, self._nbyte = self._nbyte, 0
            if nbyte < self._min_speed * self._window or (self._end is not None and time.monotonic() >= self._end):
                self.too_slow = True
                self._shut()
                return

    def _wait_seconds(self) -> float:
        if self._end is None:
            return self._window
        return max(min(self._window, self._end - time.monotonic()), 0.0)

    def _shut(self) -> None:
        connection = self._socket
        if connection is None:
            return
        with contextlib.suppress(OSError):  # already closed
            if isinstance(connection, socket.socket):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # an SSLSocket's own method is not thread-safe
            else:
                connection.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, kw_only=True)
class TransferLimits:
    """Time and speed limits of downloads.

    Attributes:
        timeout: Maximum silence [s].
        tries: Attempts in a row that may fetch too little or nothing.
        window: Time over which the speed is measured [s], at least twice the timeout. The headers of a response and of
            all its redirects must arrive within one window.
        min_speed: Minimum speed [B/s]; a slower server counts as silent.
        listing: Maximum time for a list of files [s], which cannot be resumed as a file can.
    """

    timeout: float = 30.0
    tries: int = 5
    window: float = 60.0
    min_speed: float = 1000.0
    listing: float = 900.0

    def guard(self, *, max_seconds: float | None = None) -> SpeedGuard:
        """Create the guard of one request."""
        return SpeedGuard(
            window=max(self.window, 2.0 * self.timeout), min_speed=self.min_speed, max_seconds=max_seconds
        )


def _watch(connection: HTTPConnection) -> None:
    guard = getattr(_current, "guard", None)
    if guard is not None:
        guard.watch(connection.sock)


class _Connection(HTTPConnection):
    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        """Watch the socket, then read the response as urllib3 does."""
        _watch(self)
        return super().getresponse(*args, **kwargs)


class _SecureConnection(HTTPSConnection):
    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        """Watch the socket, then read the response as urllib3 does."""
        _watch(self)
        return super().getresponse(*args, **kwargs)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection  # type: ignore[assignment] - urllib3 does the same


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection  # type: ignore[assignment]


WATCHED_POOLS = {"http": _Pool, "https": _SecurePool}
"""urllib3 pools whose connections the thread's `SpeedGuard` watches."""
