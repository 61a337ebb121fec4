"""The response to a request for an HDF5 file: a JSON header, then the numbers of the datasets, through a pipe."""

import os
import select
from dataclasses import dataclass
from typing import Any

import numpy as np

from musclemap.datasets.file_layout import FileLayout
from musclemap.errors import FileError
from musclemap.files import check_fields, parse_json

MAX_HEADER = 2**26
"""Largest header: all attributes of a file [B]."""

TIMEOUT = 120.0
"""Maximum time without a response [s]. The process itself stops after seconds of work, but on a busy machine it may
have to wait, and at first for its modules to load."""


@dataclass(frozen=True, kw_only=True)
class FileContents:
    """Contents of an HDF5 file.

    Attributes:
        identity: The attributes format and version, if present, each with kind and value.
        attributes: The attributes of the layout that are present, each with kind ("text", "number", "names" or "other")
            and value.
        names: The first few names of all attributes.
        arrays: Datasets, each with the type and number of dimensions that the layout requires.
    """

    identity: dict[str, Any]
    attributes: dict[str, Any]
    names: list[str]
    arrays: dict[str, np.ndarray]


class IncompleteError(Exception):
    """The response ended early."""


class PipeReader:
    """Reads from a pipe, waiting at most `TIMEOUT` for each part."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def fill(self, target: memoryview) -> None:
        """Fill a buffer.

        Raises:
            IncompleteError: If the pipe ends before the buffer is full.
            FileError: If no bytes arrive in time.
        """
        while len(target):
            if not self._poll.poll(TIMEOUT * 1e3):
                raise FileError(f"it cannot be read as HDF5: no response within {TIMEOUT:g} s")
            count = os.readv(self._descriptor, [target])
            if not count:
                raise IncompleteError
            target = target[count:]


def receive(pipe: PipeReader, layout: FileLayout) -> FileContents:
    """Receive a response and check it; the process that sends it is trusted no more than the file.

    Raises:
        IncompleteError: If the response ends early.
        FileError: If the response is invalid.
    """
    size = bytearray(8)
    pipe.fill(memoryview(size))
    length = int.from_bytes(size, "little")
    if length > MAX_HEADER:
        raise FileError(f"its attributes have {length} bytes; at most {MAX_HEADER} are read")
    text = bytearray(length)
    pipe.fill(memoryview(text))
    header = parse_json(bytes(text), limit=MAX_HEADER)
    header = {"identity": {}, "attributes": {}, "names": [], "shapes": {}} | (
        header if isinstance(header, dict) else {}
    )
    check_fields(header, {"identity": dict, "attributes": dict, "names": list, "shapes": dict}, where="the response")
    shapes = {
        key: tuple(shape) for key, shape in header["shapes"].items() if key in {**layout.arrays, **layout.optional}
    }
    arrays = {}
    if shapes:
        layout.check_shapes(shapes)
        arrays = {key: np.empty(shape, layout.dtype_of(key)) for key, shape in shapes.items()}
        for array in arrays.values():
            if array.size:
                pipe.fill(array.data.cast("B"))
    return FileContents(
        identity=header["identity"], attributes=header["attributes"], names=header["names"], arrays=arrays
    )
