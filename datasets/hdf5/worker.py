"""The processes that open HDF5 files: a program that forks workers, one after the other.

Started by `process.py`. The HDF5 library crashes, hangs or fills the memory on some damaged files; here that ends only
a worker. A worker reads files until the library fails on one, so damage to the library's state ends with the worker. It
has a few seconds of processor time per file. It may use at most `MEMORY` more than it starts with, and can neither open
nor write files, so no link in a file leads anywhere.
"""

import io
import json
import math
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import h5py
import numpy as np

from musclemap.datasets import clip_schema, track_schema
from musclemap.datasets.file_layout import FileLayout
from musclemap.failures import Failure, attempt

from .contents import attribute_names, dataset_names, open_dataset, read_attributes, row_blocks

SECONDS = 1.0
"""Processor time for any file [s]; a small clip takes a few milliseconds."""

BYTES_PER_SECOND = 2**26
"""Bytes of the file, and of its numbers, that add one second; a tenth of the speed of a processor of 2015."""

MEMORY = 2**29
"""Memory in addition to that of the program itself [B]; a block of numbers and a chunk take a quarter at most."""

OPEN_FILES = 5
"""Files that a worker can have open: its three standard streams, and two per request."""

IDENTITY = ("format", "version")

LAYOUTS = {layout.name: layout for layout in (clip_schema.LAYOUT, track_schema.LAYOUT)}
"""Formats that are read, by the name in a request."""


def main() -> None:
    """Serve requests from the socket at standard input until it closes; each brings the socket of a new worker."""
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
                _serve_files(descriptors[0])
            os.close(descriptors[0])
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            control.sendall(status.to_bytes(4, "little", signed=True))


def _serve_files(descriptor: int) -> NoReturn:
    """Serve requests, each a file and a pipe for the response, until the library fails on a file."""
    try:
        os.dup2(descriptor, 0)
        _restrict()
        with socket.socket(fileno=0) as requests:
            while True:
                message, descriptors, _, _ = socket.recv_fds(requests, 64, 2)
                if not message:
                    os._exit(0)
                status = _respond(*descriptors, layout=LAYOUTS[message.decode("ascii")])
                for descriptor_ in descriptors:
                    os.close(descriptor_)
                requests.sendall(json.dumps(status).encode("ascii"))
                if status and not status["expected"]:
                    os._exit(0)
    finally:
        os._exit(1)


def _restrict() -> None:
    """Drop rights that reading does not need: opening files, writing, and unlimited memory."""
    if sys.platform == "linux":  # macOS tells the size in no file, and does not keep to such a limit
        used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    os.closerange(OPEN_FILES - 2, 64)
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))


def _limit_time(nbyte: int) -> None:
    """Set the processor time allowed from now on for so many bytes; then SIGPROF ends the process."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS + nbyte / BYTES_PER_SECOND)


def _respond(file: int, pipe: int, *, layout: FileLayout) -> dict[str, Any]:
    """Write the header, JSON after its length of eight bytes, and the datasets' numbers in the order of the header.

    Returns:
        Empty on success; otherwise `error`, and `expected`: whether one of our checks refused the file.
    """
    _limit_time(os.fstat(file).st_size)
    with open(file, "rb", buffering=0, closefd=False) as source, open(pipe, "wb", closefd=False) as target:
        outcome = attempt(lambda: _send(source, target, layout))
    if not isinstance(outcome, Failure):
        return {}
    return {"error": outcome.message, "expected": outcome.expected}


def _send(source: BinaryIO, target: BinaryIO, layout: FileLayout) -> None:
    nbyte = os.fstat(source.fileno()).st_size
    with h5py.File(source, "r") as file:
        identity = read_attributes(file, IDENTITY)
        is_known = set(identity) == set(IDENTITY) and all(identity[key]["kind"] != "other" for key in IDENTITY)
        if not is_known or identity["format"]["value"] != layout.format:
            _send_header(target, {"identity": identity})
            return
        datasets = {
            key: open_dataset(file, key, dtype=layout.dtype_of(key), nbyte=nbyte)
            for key in (*layout.arrays, *dataset_names(file, tuple(layout.optional)))
        }
        shapes = {key: dataset.shape for key, dataset in datasets.items()}
        layout.check_shapes(shapes, nbyte=nbyte)
        attributes = read_attributes(file, (*layout.attributes, *layout.optional_attributes))
        complete = attributes.keys() >= set(layout.attributes)
        header: dict[str, Any] = {
            "identity": identity,
            "shapes": shapes,
            "attributes": attributes,
            "names": [] if complete else attribute_names(file),
        }
        _send_header(target, header)
        _limit_time(nbyte + 8 * sum(map(math.prod, shapes.values())))
        for dataset in datasets.values():
            for block in row_blocks(dataset):
                target.write(block.data)
        target.flush()


def _send_header(target: BinaryIO, header: dict[str, Any]) -> None:
    data = json.dumps(header).encode("ascii")
    target.write(len(data).to_bytes(8, "little") + data)
    target.flush()


def _warm_up() -> None:
    """Write, read and refuse a file once: Python imports some modules lazily, and a worker cannot open files."""
    image = io.BytesIO()
    with h5py.File(image, "w", libver="v110") as file:
        file.create_dataset("qpos", data=np.zeros((4, 2), np.float32), chunks=(2, 2), compression="gzip")
        file.attrs["names"] = np.array(["a"], dtype=h5py.string_dtype())
    with h5py.File(image, "r") as file:
        read_attributes(file, ("names",))
        for _ in row_blocks(open_dataset(file, "qpos", dtype=np.float32, nbyte=len(image.getvalue()))):
            pass
        attempt(lambda: open_dataset(file, "qvel", dtype=np.float32, nbyte=0))
    attempt(lambda: h5py.File(io.BytesIO(b"none"), "r"))
