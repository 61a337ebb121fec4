"""Reads arrays from a pickle without running it.

The SMPL family is published as Python 2 pickles that name classes of numpy, scipy.sparse and chumpy; many motions are
pickles of numpy arrays. `pickle_data` reads the pickle as plain data. This module converts that data to arrays: plain
bytes, a shape that matches them, and one of a closed list of types.

    content = load_arrays(data, name="SMPL_MALE.pkl")
    template = dense(content["v_template"], name="v_template")
"""

import math
import re
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from musclemap.errors import FileError
from musclemap.failures import Failure, attempt
from musclemap.reason_codes import ReasonCode

from .pickle_data import read_pickle
from .pickle_machine import Record

MAX_PICKLE_BYTES = 2**30
"""Largest pickle [B]; body models reach 550 MB."""

MAX_ELEMENTS = 2**25
"""Largest number of elements of a dense array; the shape directions of SMPL-X have 12.6 million."""

_MAX_DEPTH = 16
"""Largest nesting depth of chumpy objects; real files have two."""

_MAX_NDIM = 32
_TYPE = re.compile(r"[<>=|]?(?:f[248]|[iu][1248]|b1|[SU][1-9][0-9]{0,4})")
"""Types of arrays that are created: real numbers, booleans, text of fixed length."""


def load_arrays(source: bytes | BinaryIO, *, name: str) -> dict[Any, Any]:
    """Read a pickled dictionary whose values are arrays or contain arrays.

    Nothing is imported or called, and only plain data is built. An array is a `Record` that `array` or `dense`
    converts, so damage in an unneeded array does no harm.

    Args:
        source: Bytes of the file, or the open file.
        name: Name of the file in error messages.

    Raises:
        FileError: If the pickle is damaged ("truncated"), names a class that is not on the list ("pickled"), is too
            large ("too_large"), or is not a dictionary ("bad_type").
    """
    data = source if isinstance(source, bytes) else source.read(MAX_PICKLE_BYTES + 1)
    if len(data) > MAX_PICKLE_BYTES:
        raise FileError(f"{name} has over {MAX_PICKLE_BYTES} bytes", code=ReasonCode.TOO_LARGE)
    try:
        content = read_pickle(data)
    except FileError as error:
        raise FileError(f"{name} was refused: {error}", code=error.code) from error
    if not isinstance(content, dict):
        message = f"{name} holds a {type(content).__name__} instead of a dictionary of arrays"
        raise FileError(message, code=ReasonCode.BAD_TYPE)
    return content


def array(value: Any, *, name: str) -> np.ndarray:
    """Convert the pickled form of a numpy array or scalar to an array.

    Args:
        value: Value from `load_arrays`.
        name: Name of the value in error messages.

    Returns:
        The array in its own type, as a read-only view of the file.

    Raises:
        FileError: If the value is not an array, its type is not on the list, or its bytes do not match its shape.
    """
    return _resolved(value, _array, name=name)


def dense(value: Any, *, name: str) -> np.ndarray:
    """Convert an array, or an object of chumpy or scipy.sparse, to a dense array of float64.

    Args:
        value: Value from `load_arrays`, or an array.
        name: Name of the value in error messages.

    Raises:
        FileError: If the value is of another kind or too large, or its parts are inconsistent.
    """

    def convert(value: Any) -> np.ndarray:
        with np.errstate(all="ignore"):  # numbers that are not finite are kept
            numbers = _sparse(value) if _is_sparse(value) else _chumpy(value, depth=0)
            return np.ascontiguousarray(_numbers(numbers), dtype=np.float64)

    return _resolved(value, convert, name=name)


def _resolved(value: Any, convert: Callable[[Any], np.ndarray], *, name: str) -> np.ndarray:
    outcome = attempt(lambda: convert(value))
    if not isinstance(outcome, Failure):
        return outcome
    kind = value.qualname if isinstance(value, Record) else type(value).__name__
    details = str(outcome.error) if isinstance(outcome.error, TypeError | ValueError) else outcome.message
    message = f"{name} cannot be read as an array (found {kind}: {details[:200]})"
    code = outcome.error.code if isinstance(outcome.error, FileError) else None
    raise FileError(message, code=code or ReasonCode.BAD_TYPE) from outcome.error


def _array(value: Any) -> np.ndarray:
    """Array or scalar in any of the forms that numpy pickles."""
    if isinstance(value, np.ndarray):
        return value
    kind, args = (value.qualname.rpartition(".")[2], value.args) if isinstance(value, Record) else ("", ())
    if kind == "_reconstruct":
        if not isinstance(value.state, tuple) or len(value.state) not in (4, 5):
            raise ValueError("an array without its shape, type and bytes")
        shape, dtype, fortran_order, data = value.state[-4:]
        return _from_bytes(data, dtype, shape, "F" if fortran_order else "C")
    if kind == "_frombuffer" and len(args) == 4:
        return _from_bytes(*args)
    if kind == "_frombuffer" and len(args) == 5 and args[3] == "K":  # an array with permuted axes
        return _from_bytes(*args[:3], "C").transpose(args[4] if _is_shape(args[4]) else None)
    if kind == "scalar" and len(args) == 2:
        return _from_bytes(args[1], args[0], (), "C")
    raise TypeError("not an array")


def _from_bytes(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    kind = _dtype(dtype)
    if isinstance(data, list):
        raise FileError("an array of Python objects, which are never loaded", code=ReasonCode.PICKLED)
    if isinstance(data, str):
        data = data.encode("latin-1")
    if not isinstance(data, bytes | memoryview) or order not in ("C", "F"):
        raise TypeError("an array whose items are not bytes")
    if not _is_shape(shape) or math.prod(shape) * kind.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes of {kind} do not have the shape {str(shape)[:100]}")
    return np.frombuffer(data, kind).reshape(shape, order=order)


def _is_shape(shape: Any) -> bool:
    """Whether a shape is a tuple of non-negative integers."""
    if not isinstance(shape, tuple) or len(shape) > _MAX_NDIM:
        return False
    return all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= 2**40 for n in shape)


def _plain(shape: Any) -> tuple[Any, ...]:
    """A shape as a tuple; it may be a single number, and its numbers may be numpy's."""
    parts = tuple(shape[: _MAX_NDIM + 1]) if isinstance(shape, tuple | list) else (shape,)
    return tuple(_array(n).item() if isinstance(n, Record) else n for n in parts)


def _dtype(value: Any) -> np.dtype:
    """Type from its code. Only the byte order of its state is used."""
    if not isinstance(value, Record) or value.qualname != "numpy.dtype" or not value.args:
        raise TypeError("an array without a type")
    code = value.args[0]
    code = code.decode("latin-1") if isinstance(code, bytes) else code
    if not isinstance(code, str) or not _TYPE.fullmatch(code):
        raise TypeError(f"an array of the unsupported type {str(code)[:40]!r}")
    if value.state is None:
        return np.dtype(code)
    order = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else None
    order = order.decode("latin-1") if isinstance(order, bytes) else order
    if order not in ("<", ">", "|", "="):
        raise TypeError("a type without a byte order")
    return np.dtype(code).newbyteorder(order)


def _numbers(values: np.ndarray) -> np.ndarray:
    """Return an array if it consists of real numbers and is small enough."""
    if values.dtype.kind not in "fiub":
        raise TypeError(f"{values.dtype}, not real numbers")
    _check_size(values.shape)
    return values


def _check_size(shape: tuple[int, ...]) -> None:
    if math.prod(shape) > MAX_ELEMENTS:
        raise FileError(
            f"a dense array of shape {shape}; at most {MAX_ELEMENTS} numbers are read", code=ReasonCode.TOO_LARGE
        )


def _is_sparse(value: Any) -> bool:
    return isinstance(value, Record) and value.qualname.startswith("scipy.sparse")


def _state(value: Record) -> dict[Any, Any]:
    if not isinstance(value.state, dict):
        raise TypeError("an object whose state is not a dictionary")
    return value.state


def _sparse(value: Record) -> np.ndarray:
    """Dense form. scipy.sparse stores its parts in __dict__; the class is named csc_matrix, csc_array or similar."""
    state, layout = _state(value), value.qualname.rpartition(".")[2][:3]
    shape = _sides(state["_shape"] if "_shape" in state else state["shape"])
    _check_size(shape)
    data = _numbers(_array(state["data"]))
    if layout in ("csc", "csr"):
        minor = _whole(state["indices"])
        major = _major(_whole(state["indptr"]), count=shape[layout == "csc"])
        row, col = (minor[: len(major)], major) if layout == "csc" else (major, minor[: len(major)])
        data = data[: len(major)]
    elif layout == "coo":
        row, col = map(_whole, state["coords"] if "coords" in state else (state["row"], state["col"]))
    else:
        raise TypeError("only the sparse layouts csc, csr and coo are supported")
    if not (data.shape == row.shape == col.shape and data.ndim == 1):
        raise ValueError(f"{data.shape} numbers, {row.shape} rows and {col.shape} columns")
    for index, side in ((row, shape[0]), (col, shape[1])):
        if index.size and not (index.min() >= 0 and index.max() < side):
            raise ValueError(f"an index outside the shape {shape}")
    matrix = np.zeros(shape)
    np.add.at(matrix, (row, col), data)  # duplicates are added, as in scipy
    return matrix


def _sides(shape: Any) -> tuple[int, int]:
    shape = _plain(shape)
    if not _is_shape(shape) or len(shape) != 2:
        raise ValueError("a sparse array without two dimensions")
    return shape


def _whole(value: Any) -> np.ndarray:
    """An array of indices as int64."""
    indices = _array(value)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"indices of {indices.dtype}")
    _check_size(indices.shape)
    return indices.astype(np.int64)  # a larger uint64 becomes a negative index, which is refused


def _major(indptr: np.ndarray, *, count: int) -> np.ndarray:
    """Row or column of each number, from the start of each row or column."""
    if indptr.shape != (count + 1,) or indptr[0] != 0 or indptr.min() < 0 or indptr.max() > MAX_ELEMENTS:
        raise ValueError("rows or columns that do not start at 0, or end beyond all numbers")
    steps = np.diff(indptr)
    if steps.min(initial=0) < 0:
        raise ValueError("rows or columns that end before they start")
    return np.repeat(np.arange(count), steps)  # within the limits the sum cannot overflow


def _chumpy(value: Any, *, depth: int) -> np.ndarray:
    """Array of a chumpy expression: a constant `Ch.x`, or a selection or reshape of another expression `a`."""
    if not isinstance(value, Record) or not value.qualname.startswith("chumpy"):
        return _numbers(_array(value))
    if depth > _MAX_DEPTH:
        raise ValueError(f"more than {_MAX_DEPTH} nested objects of chumpy")
    state, kind = _state(value), value.qualname.rpartition(".")[2]
    if kind == "Ch":
        return _chumpy(state["x"], depth=depth + 1)
    if kind == "Select":
        selected = _chumpy(state["a"], depth=depth + 1).ravel()[_whole(state["idxs"])]
        return _reshaped(selected, state["preferred_shape"]) if "preferred_shape" in state else selected
    if kind == "Reshape":
        return _reshaped(_chumpy(state["a"], depth=depth + 1), state["newshape"])
    raise TypeError("only chumpy's Ch, Select and Reshape are supported")


def _reshaped(values: np.ndarray, shape: Any) -> np.ndarray:
    shape = _plain(shape)
    if not _is_shape(tuple(0 if n == -1 else n for n in shape)):
        raise ValueError("a new shape that is not a shape")
    return values.reshape(shape)
