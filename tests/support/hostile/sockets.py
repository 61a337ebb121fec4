"""Sockets on which a program and its child processes accept connections, as listed in Linux's /proc."""

import contextlib
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

_STATES = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}
"""State of a socket that waits for peers: LISTEN for TCP, unconnected for UDP (include/net/tcp_states.h)."""


@dataclass(frozen=True, order=True)
class Listening:
    """A socket that accepts connections or datagrams."""

    pid: int
    kind: str
    address: str
    port: int

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.address).is_loopback


def process_tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    tree = [pid]
    for each in tree:
        tree += children.get(each, [])
    return tree


def listening_sockets(pid: int) -> list[Listening]:
    """Listening sockets of a process and its descendants, each once per process that holds it."""
    return sorted(socket_ for each in process_tree(pid) for socket_ in _of_process(each))


def answer_over(port: int, *, tls: bool = False) -> bytes:
    """Response of a loopback listener to an HTTP request; b"" if it hangs up or sends nothing."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        line: socket.socket = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=2.0))
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            line = stack.enter_context(context.wrap_socket(line))
        line.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return line.recv(4096)
    return b""


@contextlib.contextmanager
def sampled(pid: int, *, seconds: float = 0.2) -> Iterator[set[Listening]]:
    """Collect the listening sockets that appear while the block runs."""
    sockets, ended = set[Listening](), threading.Event()

    def sample() -> None:
        while not ended.wait(seconds):
            sockets.update(listening_sockets(pid))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield sockets
    finally:
        ended.set()
        thread.join()


def wait_for_sockets(pid: int, count: int, *, seconds: float = 60.0) -> list[Listening]:
    """Wait until a program has at least `count` listening sockets, and return them."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if len(sockets := listening_sockets(pid)) >= count:
            return sockets
        time.sleep(0.05)
    raise AssertionError(f"{len(listening_sockets(pid))} listening sockets within {seconds:g} s, {count} expected")


def _of_process(pid: int) -> Iterator[Listening]:
    folder = PROC / str(pid)
    inodes = set()
    with contextlib.suppress(OSError):
        for entry in (folder / "fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(entry).removeprefix("socket:[").removesuffix("]"))
    for kind, state in _STATES.items():
        with contextlib.suppress(OSError):
            for row in (folder / "net" / kind).read_text().splitlines()[1:]:
                word = row.split()
                if word[3] == state and word[9] in inodes:
                    address, _, port = word[1].partition(":")
                    yield Listening(pid, kind, _readable(address), int(port, 16))


def _readable(address: str) -> str:
    """An address from /proc/net: hexadecimal words of 32 bits, each in the machine's byte order."""
    data = b"".join(bytes.fromhex(address[k : k + 8])[::-1] for k in range(0, len(address), 8))
    return str(ipaddress.ip_address(data))
