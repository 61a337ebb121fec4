"""The processes that HDF5 files are opened in: a program that forks workers, one after the other.

Started by `hdf5_process`. The HDF5 library crashes, hangs or fills the memory on some damaged files; here that ends a
worker. A worker reads one file after the other up to the first on which the library fails, so that what that file did
to the library's state goes with it. For each file it has a few seconds of processor time. It may not use more than
`MEMORY` beyond what it starts with, and can neither open files nor write any, so that no link in a file leads anywhere.
"""

import io
import json
import math
import os
import resource
import signal
import socket
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import h5py
import numpy as np

from musclemap.datasets.clip_schema import ARRAYS, JSON, NAMES, NUMBERS, OPTIONAL, TEXTS, check_shapes
from musclemap.failures import Failure, attempt

from .contents import attribute_names, dataset_names, open_dataset, read_attributes, slabs

SECONDS = 1.0
"""Processor time for any file [s]; a small clip takes a few milliseconds."""

BYTES_A_SECOND = 2**26
"""Bytes of the file, and of its numbers, that take one more second; a tenth of what a processor of 2015 does."""

MEMORY = 2**29
"""Memory beyond that of the program itself [B]; a stretch of numbers and a chunk take a quarter at most."""

OPEN_FILES = 5
"""Files that a worker can have open: its three standard ones, and the two of a request."""

IDENTITY = ("format", "version")


def main() -> None:
    """Serve on the socket that is standard input until it closes: each request is the socket of a new worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _warm_up()
    with socket.socket(fileno=0) as control:
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not message:
                return
            pid = os.fork()
            if pid == 0:
                _work(descriptors[0])
            os.close(descriptors[0])
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            control.sendall(status.to_bytes(4, "little", signed=True))


def _work(descriptor: int) -> NoReturn:
    """Answer requests, each a file and a pipe for the answer, up to the first file on which the library fails."""
    try:
        os.dup2(descriptor, 0)
        _limit()
        with socket.socket(fileno=0) as requests:
            while True:
                message, descriptors, _, _ = socket.recv_fds(requests, 1, 2)
                if not message:
                    os._exit(0)
                result = _answer(*descriptors)
                for one in descriptors:
                    os.close(one)
                requests.sendall(json.dumps(result).encode("ascii"))
                if result and not result["expected"]:
                    os._exit(0)
    finally:
        os._exit(1)


def _limit() -> None:
    """Give up what reading a file does not need: other files, writing, and memory without end."""
    own = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (own + MEMORY, own + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    os.closerange(OPEN_FILES - 2, 64)
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))


def _allow(nbyte: int) -> None:
    """Let the process use as much processor time from now on as so many bytes may take; SIGPROF ends it then."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS + nbyte / BYTES_A_SECOND)


def _answer(file: int, answer: int) -> dict[str, Any]:
    """Write the head, JSON after its length of eight bytes, and the datasets' numbers in the order it names them.

    Returns:
        Nothing where the file was read; otherwise `error`, and `expected`, whether a check of ours refused the file.
    """
    _allow(os.fstat(file).st_size)
    with open(file, "rb", buffering=0, closefd=False) as source, open(answer, "wb", closefd=False) as target:
        result = attempt(lambda: _send(source, target))
    if not isinstance(result, Failure):
        return {}
    return {"error": result.message, "expected": result.expected}


def _send(source: BinaryIO, target: BinaryIO) -> None:
    nbyte = os.fstat(source.fileno()).st_size
    with h5py.File(source, "r") as file:
        identity = read_attributes(file, IDENTITY)
        if set(identity) != set(IDENTITY) or any(identity[key]["kind"] == "other" for key in IDENTITY):
            _send_head(target, {"identity": identity})
            return
        datasets = {
            key: open_dataset(file, key, nbyte=nbyte) for key in (*ARRAYS, *dataset_names(file, tuple(OPTIONAL)))
        }
        shapes = {key: dataset.shape for key, dataset in datasets.items()}
        check_shapes(shapes, nbyte=nbyte)
        requested = (*TEXTS, *JSON, *NAMES, *NUMBERS)
        head: dict[str, Any] = {"identity": identity, "shapes": shapes, "attributes": read_attributes(file, requested)}
        head["names"] = attribute_names(file) if len(head["attributes"]) < len(requested) else []
        _send_head(target, head)
        _allow(nbyte + 4 * sum(map(math.prod, shapes.values())))
        for dataset in datasets.values():
            for part in slabs(dataset):
                target.write(part.data)
        target.flush()


def _send_head(target: BinaryIO, head: dict[str, Any]) -> None:
    data = json.dumps(head).encode("ascii")
    target.write(len(data).to_bytes(8, "little") + data)
    target.flush()


def _warm_up() -> None:
    """Write, read and refuse a file once: Python loads some modules late, and a worker cannot open files."""
    image = io.BytesIO()
    with h5py.File(image, "w", libver="v110") as file:
        file.create_dataset("qpos", data=np.zeros((4, 2), np.float32), chunks=(2, 2), compression="gzip")
        file.attrs["names"] = np.array(["a"], dtype=h5py.string_dtype())
    with h5py.File(image, "r") as file:
        read_attributes(file, ("names",))
        for _ in slabs(open_dataset(file, "qpos", nbyte=len(image.getvalue()))):
            pass
        attempt(lambda: open_dataset(file, "qvel", nbyte=0))
    attempt(lambda: h5py.File(io.BytesIO(b"none"), "r"))
