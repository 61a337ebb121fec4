"""Reads tensors from a file of torch (.pt, .pth) without torch: a zip of one pickle and one raw storage a tensor.

The pickle is read as data (`skeletons/smpl/pickle_data.py`); nothing in it is imported or called.
"""

import io
import math
import zipfile
from typing import Any, TypeGuard

import numpy as np

from musclemap.datasets.amass.limits import MAX_BYTES
from musclemap.errors import FileError
from musclemap.npz_arrays import open_archive
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.smpl.pickle_data import PERSISTENT_ID, TORCH_TENSOR, read_pickle
from musclemap.skeletons.smpl.pickle_machine import ClassName, Record

_TYPES = {
    "Float": "f4", "Double": "f8", "Half": "f2", "BFloat16": "u2", "Long": "i8", "Int": "i4", "Short": "i2",
    "Char": "i1", "Byte": "u1", "Bool": "u1",
}  # fmt: skip
"""Type of a storage's items; numbers of bfloat16 are the upper half of a 32-bit float."""

_MAX_NDIM = 8


class TorchArchive:
    """Tensors of a file of torch.

    Attributes:
        content: The pickled object; a tensor in it is a `Record`, which `array` converts.
    """

    def __init__(self, data: bytes) -> None:
        """Read the pickle of an archive.

        Raises:
            FileError: If the archive has no pickle, or it is damaged, too large or names other classes.
        """
        self._archive = open_archive(io.BytesIO(data))
        names = self._archive.namelist()
        pickles = [name for name in names if name.endswith("/data.pkl")]
        if len(pickles) != 1 or len(set(names)) != len(names):
            raise FileError("it is not a file of torch: it has no single data.pkl", code=ReasonCode.UNKNOWN_FORMAT)
        self._folder = pickles[0].removesuffix("data.pkl")
        order = f"{self._folder}byteorder"
        self._order = ">" if order in names and self._member(order).strip() == b"big" else "<"
        self.content: Any = read_pickle(self._member(pickles[0]), persistent_ids=True)

    def array(self, value: Any) -> np.ndarray | None:
        """Convert a tensor to an array; None for another value.

        Raises:
            FileError: If the tensor is damaged ("truncated"), of an unsupported type ("bad_type"), or too large.
        """
        if not isinstance(value, Record) or value.qualname != TORCH_TENSOR:
            return None
        if len(value.args) < 4:
            raise FileError("a tensor without a shape", code=ReasonCode.TRUNCATED)
        storage, offset, shape, strides = value.args[:4]
        items = self._storage(storage)
        if not (_is_sizes((offset,)) and _is_sizes(shape) and _is_sizes(strides)) or len(shape) != len(strides):
            raise FileError("a tensor without a shape", code=ReasonCode.TRUNCATED)
        size = math.prod(shape)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if size and last >= len(items):
            raise FileError(f"a tensor of {shape} reaches beyond its storage", code=ReasonCode.TRUNCATED)
        if 8 * size > MAX_BYTES:
            raise FileError(f"a tensor of {shape}; at most {MAX_BYTES} bytes are read", code=ReasonCode.TOO_LARGE)
        if not size:
            return np.zeros(shape, items.dtype)
        steps = tuple(step * items.itemsize for step in strides)
        return np.lib.stride_tricks.as_strided(items[offset:], shape, steps, writeable=False).copy()

    def _storage(self, value: Any) -> np.ndarray:
        """Items of a storage, shape (n,)."""
        reference = value.args[0] if isinstance(value, Record) and value.qualname == PERSISTENT_ID else None
        if not isinstance(reference, tuple) or len(reference) < 5 or not isinstance(reference[1], ClassName):
            raise FileError("a tensor without a storage", code=ReasonCode.TRUNCATED)
        kind = reference[1].qualname.removeprefix("torch.").removesuffix("Storage")
        if kind not in _TYPES:
            raise FileError(f"a tensor of the unsupported type {kind[:40]!r}", code=ReasonCode.BAD_TYPE)
        items = np.frombuffer(self._member(f"{self._folder}data/{reference[2]}"), f"{self._order}{_TYPES[kind]}")
        return (items.astype(np.uint32) << 16).view(np.float32) if kind == "BFloat16" else items

    def _member(self, name: str) -> bytes:
        try:
            info = self._archive.getinfo(name)
        except KeyError as error:
            raise FileError(f"the file has no part {name[:80]!r}", code=ReasonCode.TRUNCATED) from error
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > MAX_BYTES:
            raise FileError(f"{name[:80]} is compressed or too large: torch writes neither", code=ReasonCode.TOO_LARGE)
        try:
            return self._archive.read(info)
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
            raise FileError(f"{name[:80]} is damaged: {error}", code=ReasonCode.TRUNCATED) from error


def _is_sizes(values: Any) -> TypeGuard[tuple[int, ...]]:
    """Whether a value is a tuple of non-negative integers."""
    return (
        isinstance(values, tuple)
        and len(values) <= _MAX_NDIM
        and all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**40 for n in values)
    )
