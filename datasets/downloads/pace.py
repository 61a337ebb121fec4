"""A least speed for a connection. A time-out between reads does not end a server that sends one byte a second.

Reads block inside the HTTP library, in headers too, so a thread beside them shuts the socket down when too little came.
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

_here = threading.local()
"""Holds the `Pace` of the request that this thread makes."""


class Pace:
    """Ends a request over which too few bytes come; use as a context manager around the request and its body.

    Args:
        window: Time over which bytes are counted [s]; headers, and those of redirects, have to come within one.
        least: Least speed [B/s].
        longest: Longest time in all [s]; no limit if None.

    Attributes:
        slow: Whether it ended the request; the library then raises, or gives a body that seems to have ended.
    """

    def __init__(self, *, window: float, least: float, longest: float | None = None) -> None:
        self._window, self._least = window, least
        self._end = None if longest is None else time.monotonic() + longest
        self._nbyte = 0
        self._socket: socket.socket | None = None
        self._over = threading.Event()
        self.slow = False

    def came(self, nbyte: int) -> None:
        """Count bytes of the body."""
        self._nbyte += nbyte

    def watch(self, connection: socket.socket | None) -> None:
        """Take this socket as the one to shut down; the library opens another for a redirect."""
        self._socket = connection
        if self.slow:
            self._shut()

    def __enter__(self) -> Self:
        _here.pace = self
        threading.Thread(target=self._run, daemon=True, name="musclemap-pace").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        _here.pace = None

    def _run(self) -> None:
        while not self._over.wait(self._wait_seconds()):
            nbyte, self._nbyte = self._nbyte, 0
            if nbyte < self._least * self._window or (self._end is not None and time.monotonic() >= self._end):
                self.slow = True
                self._shut()
                return

    def _wait_seconds(self) -> float:
        if self._end is None:
            return self._window
        return max(min(self._window, self._end - time.monotonic()), 0.0)

    def _shut(self) -> None:
        result = self._socket
        if result is None:
            return
        with contextlib.suppress(OSError):  # it is closed already
            if isinstance(result, socket.socket):
                socket.socket.shutdown(result, socket.SHUT_RDWR)  # that of TLS sockets is not for another thread
            else:
                result.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        timeout: Longest silence [s].
        tries: Attempts in a row that may bring nothing new, or too little.
        window: Time over which the speed is measured [s], at least twice the timeout. An answer's headers, with those
            of all redirects, have to come within one.
        least: Least speed [B/s]; slower counts as silence.
        listing: Longest time for a list of files [s]; unlike a file it cannot be continued.
    """

    timeout: float = 30.0
    tries: int = 5
    window: float = 60.0
    least: float = 1000.0
    listing: float = 900.0

    def pace(self, *, longest: float | None = None) -> Pace:
        """For one request."""
        return Pace(window=max(self.window, 2.0 * self.timeout), least=self.least, longest=longest)


def _watch(connection: HTTPConnection) -> None:
    pace = getattr(_here, "pace", None)
    if pace is not None:
        pace.watch(connection.sock)


class _Connection(HTTPConnection):
    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        """As urllib3's."""
        _watch(self)
        return super().getresponse(*args, **kwargs)


class _SecureConnection(HTTPSConnection):
    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        """As urllib3's."""
        _watch(self)
        return super().getresponse(*args, **kwargs)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection  # type: ignore[assignment] - as urllib3 itself does it


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection  # type: ignore[assignment]


WATCHED_POOLS = {"http": _Pool, "https": _SecurePool}
"""Pools of urllib3 whose connections are watched by the `Pace` of the thread."""
