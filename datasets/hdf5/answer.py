"""The answer to a request for an HDF5 file: a head in JSON, then the numbers of the datasets, through a pipe."""

import os
import select
from dataclasses import dataclass
from typing import Any

import numpy as np

from musclemap.datasets.clip_schema import ARRAYS, OPTIONAL, check_shapes, dtype_of
from musclemap.errors import FileError
from musclemap.files import check_fields, parse_json

MAX_HEAD = 2**26
"""Longest description of a file: all of its attributes [B]."""

PATIENCE = 120.0
"""Longest time without an answer [s]. The process itself stops after seconds of work, but may have to wait for a turn
on a busy machine, and at first for its modules to load."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a file holds.

    Attributes:
        identity: Its attributes format and version, each with kind and value, as far as they are there.
        attributes: Those of a clip that are there, each with kind ("text", "number", "names" or "other") and value.
        names: Names of attributes that there are, the first few.
        arrays: Its datasets, each of the type and number of dimensions that a clip's has.
    """

    identity: dict[str, Any]
    attributes: dict[str, Any]
    names: list[str]
    arrays: dict[str, np.ndarray]


class CutOffError(Exception):
    """The answer ended early."""


class Answer:
    """Bytes from a pipe, by its descriptor, each part within `PATIENCE`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def fill(self, target: memoryview) -> None:
        """Fill a buffer.

        Raises:
            CutOffError: There are not so many bytes.
            FileError: They do not come.
        """
        while len(target):
            if not self._poll.poll(PATIENCE * 1e3):
                raise FileError(f"it cannot be read as HDF5: no answer within {PATIENCE:g} s")
            count = os.readv(self._descriptor, [target])
            if not count:
                raise CutOffError
            target = target[count:]


def receive(answer: Answer) -> Contents:
    """Take in an answer and check it; the process that it is from is trusted no more than the file.

    Raises:
        CutOffError: It ended early.
        FileError: It is not what it should be.
    """
    size = bytearray(8)
    answer.fill(memoryview(size))
    length = int.from_bytes(size, "little")
    if length > MAX_HEAD:
        raise FileError(f"its attributes have {length} bytes; at most {MAX_HEAD} are read")
    text = bytearray(length)
    answer.fill(memoryview(text))
    head = parse_json(bytes(text), limit=MAX_HEAD)
    head = {"identity": {}, "attributes": {}, "names": [], "shapes": {}} | (head if isinstance(head, dict) else {})
    check_fields(head, {"identity": dict, "attributes": dict, "names": list, "shapes": dict}, where="the answer")
    shapes = {key: tuple(shape) for key, shape in head["shapes"].items() if key in ARRAYS | OPTIONAL}
    arrays = {}
    if shapes:
        check_shapes(shapes)
        arrays = {key: np.empty(shape, dtype_of(key)) for key, shape in shapes.items()}
        for array in arrays.values():
            answer.fill(array.data.cast("B"))
    return Contents(identity=head["identity"], attributes=head["attributes"], names=head["names"], arrays=arrays)
