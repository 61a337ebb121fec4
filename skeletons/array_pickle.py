"""Arrays out of a pickle without running it: numpy's own types are built, all other objects become inert stand-ins.

The SMPL family is published as Python 2 pickles that name classes of numpy, scipy.sparse and chumpy. An ordinary
unpickler imports and calls whatever a file names, so a file can run any command. Here every name is looked up in a
closed table; what is not in it is refused before anything is called.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

import numpy as np
from scipy import sparse

from .errors import BodyModelError

_DEEPEST = 16
"""How many chumpy objects may wrap each other; real files have two."""

_DAMAGE = (pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, RecursionError,
           TypeError, ValueError)  # fmt: skip
"""What pickle and numpy raise on a damaged stream."""


class StandIn:
    """Takes the place of an object of chumpy or scipy.sparse and keeps its state, a dict of arrays and settings."""

    qualname = ""

    def __new__(cls, *args: object) -> "StandIn":  # whatever the constructor was given is in the state as well
        return super().__new__(cls)

    def __init__(self, *args: object) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(f"the state of {self.qualname} is no dictionary")
        self.state = {str(key): value for key, value in state.items()}


def _rebuild(kind: type, base: type, state: object) -> StandIn:
    """What Python 2 wrote as copy_reg._reconstructor: an empty object whose state follows."""
    if not (isinstance(kind, type) and issubclass(kind, StandIn)):
        raise pickle.UnpicklingError(f"{kind!r} is not rebuilt from a pickle")
    return kind()


def _raw(data: str | bytes) -> bytes:
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


def _empty_array(kind: object, shape: object, code: object) -> np.ndarray:
    """numpy's multiarray._reconstruct: an empty array that numpy's own __setstate__ fills and checks."""
    return np.ndarray((0,), dtype=np.int8)


def _array_of_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    return np.frombuffer(_raw(data), np.dtype(dtype)).reshape(shape, order=order)


def _scalar(dtype: Any, data: str | bytes) -> Any:
    return np.frombuffer(_raw(data), np.dtype(dtype), count=1)[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 writes bytes in an old protocol; latin1 is the only encoding it uses."""
    return text.encode("latin1")


_ALLOWED: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    **{f"numpy.{core}.multiarray._reconstruct": _empty_array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _array_of_buffer for core in ("core", "_core")},
    **{f"{module}._reconstructor": _rebuild for module in ("copy_reg", "copyreg")},
    **{f"{module}.{kind.__name__}": kind for module in ("__builtin__", "builtins") for kind in (object, set, slice)},
    "_codecs.encode": _encode,
    "collections.OrderedDict": OrderedDict,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        qualname = f"{module}.{name}"
        if qualname in _ALLOWED:
            return _ALLOWED[qualname]
        if module.split(".")[0] == "chumpy" or module.startswith("scipy.sparse"):
            return type("StandIn", (StandIn,), {"qualname": qualname})
        raise pickle.UnpicklingError(f"it names {qualname}, which is no array type; nothing of it was run")


def load_arrays(stream: IO[bytes], *, name: str) -> dict[str, Any]:
    """Read a pickled dictionary whose values are arrays, or stand-ins for `dense` to resolve.

    Args:
        stream: Open binary file; text strings of Python 2 are taken as latin1.
        name: What to call the file in errors.

    Raises:
        BodyModelError: The pickle is damaged, names a type that is not on the list, or is no dictionary.
    """
    try:
        content = _ArrayUnpickler(stream, encoding="latin1").load()
    except _DAMAGE as error:
        raise BodyModelError(f"{name} was refused: {error}") from error
    if not isinstance(content, dict):
        raise BodyModelError(f"{name} holds a {type(content).__name__}, where a dictionary of arrays was expected")
    return content


def dense(value: Any, *, name: str) -> np.ndarray:
    """Turn an array or a stand-in of chumpy or scipy.sparse into a dense array of float64.

    Args:
        value: As it came out of a file.
        name: What to call the value in errors.

    Raises:
        BodyModelError: The value is of another kind, or its parts do not fit together.
    """
    try:
        array = _sparse(value) if _is_sparse(value) else _chumpy(value, depth=0)
        return np.ascontiguousarray(array, dtype=np.float64)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        kind = value.qualname if isinstance(value, StandIn) else type(value).__name__
        raise BodyModelError(f"{name} cannot be read as an array (found {kind}: {error})") from error


def _is_sparse(value: object) -> bool:
    return isinstance(value, StandIn) and value.qualname.startswith("scipy.sparse")


def _sparse(value: StandIn) -> np.ndarray:
    """scipy.sparse keeps its parts in its __dict__; the class is the last word of the name, csc_matrix or csc_array."""
    state, layout = value.state, value.qualname.rpartition(".")[2][:3]
    shape = state["_shape"] if "_shape" in state else state["shape"]
    if layout in ("csc", "csr"):
        kind = sparse.csc_matrix if layout == "csc" else sparse.csr_matrix
        matrix = kind((state["data"], state["indices"], state["indptr"]), shape=shape)
        matrix.check_format(full_check=True)  # else an index out of bounds in the file would write outside the array
        return matrix.toarray()
    if layout == "coo":
        row, col = state["coords"] if "coords" in state else (state["row"], state["col"])
        return sparse.coo_matrix((state["data"], (row, col)), shape=shape).toarray()
    raise TypeError("only the sparse layouts csc, csr and coo are known")


def _chumpy(value: Any, *, depth: int) -> np.ndarray:
    """chumpy objects are expressions: a constant `Ch.x`, or a selection or a new shape of another one, `a`."""
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, StandIn) or depth > _DEEPEST:
        raise TypeError("neither an array nor an object of chumpy that is known")
    state, kind = value.state, value.qualname.rpartition(".")[2]
    if kind == "Ch":
        return _chumpy(state["x"], depth=depth + 1)
    if kind == "Select":
        picked = _chumpy(state["a"], depth=depth + 1).ravel()[np.asarray(state["idxs"])]
        return picked.reshape(state["preferred_shape"]) if "preferred_shape" in state else picked
    if kind == "Reshape":
        return _chumpy(state["a"], depth=depth + 1).reshape(state["newshape"])
    raise TypeError("only chumpy's Ch, Select and Reshape are known")
