"""A loopback server that sends any bytes a test specifies, at any speed."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Answer = Callable[[socket.socket, str, threading.Event], None]
"""Receives the connection, the requested path, and an event that is set when the test is over."""

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@dataclass(kw_only=True)
class RawServer:
    """Port of the server, and the requests it received, with headers."""

    port: int
    asked: list[str] = field(default_factory=list)

    def url(self, path: str = "/MANIFEST.json", *, host: str = "127.0.0.1", user: str = "") -> str:
        """A URL of this server."""
        return f"http://{user}{host}:{self.port}{path}"


@contextmanager
def raw_serving(answer: Answer) -> Iterator[RawServer]:
    """Run a server that answers every request with `answer` and closes the connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    server, over = RawServer(port=listener.getsockname()[1]), threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10.0)
            data = b""
            while b"\r\n\r\n" not in data:
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            text = data.decode("latin-1")
            server.asked.append(text)
            answer(connection, text.split(" ")[1], over)

    def accept() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        over.set()
        thread.join()
        listener.close()


def drip(connection: socket.socket, data: bytes, over: threading.Event, *, pause: float = 0.03) -> None:
    """Send one byte at a time."""
    for k in range(len(data)):
        if over.wait(pause):
            return
        connection.sendall(data[k : k + 1])
