"""Reads a pickle as data: numbers, text, bytes, lists, dictionaries, and records of the objects that it names.

A pickle is a program, and an ordinary unpickler imports and calls whatever the program names. A closed table of names
does not make Python's unpickler safe: numpy's own types accept a forged state, which chooses the address that is read.
It also allocates memory by numbers in the file (an index of the memo, the length of a byte array), and hashing a deeply
nested key overflows the stack. This module is therefore an interpreter of its own. It builds plain data only; an object
becomes a `Record`, and its class only a name. Work and memory are linear in the length of the file.
"""

import codecs
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from musclemap.errors import FileError
from musclemap.failures import Failure, attempt
from musclemap.files import shown
from musclemap.reason_codes import ReasonCode

from .pickle_machine import ClassName, Machine, Record

MAX_INTEGER_BYTES = 64
"""Largest integer [B]."""

MAX_NAME = 200
"""Longest class name and longest key [characters]."""

MAX_KEY_PARTS = 8
"""Maximum number of parts of a key that is a tuple."""

LONG = 4096
"""Byte strings from this length on remain views of the file, including those of Python 2: they are array data."""

_LONG_TEXT = 2**20
_LAST_OF_LATIN1 = 0xC3  # first byte of the last character of Latin-1 in UTF-8

_ENCODE, _ORDERED = "_codecs.encode", "collections.OrderedDict"
_BYTES = ("__builtin__.bytes", "builtins.bytes")
_SETS = tuple(f"{module}.{kind}" for module in ("__builtin__", "builtins") for kind in ("set", "frozenset"))
_JOBLIB_ARRAY = "joblib.numpy_pickle.NumpyArrayWrapper"
_BUFFER = "numpy.core.numeric._frombuffer"
_ITEM_SIZE = re.compile(r"[<>=|]?[fiub](\d+)")

TORCH_TENSOR, PERSISTENT_ID = "torch._utils._rebuild_tensor_v2", "persistent id"
"""Names of the records of a tensor and of its storage in files of torch."""

_TORCH = tuple(f"torch.{kind}Storage" for kind in (
    "Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool"))  # fmt: skip
_RECONSTRUCTORS = ("copy_reg._reconstructor", "copyreg._reconstructor")
_NAMES = frozenset((
    "numpy.ndarray", "numpy.dtype", _JOBLIB_ARRAY, TORCH_TENSOR, *_TORCH, _ENCODE, _ORDERED, *_BYTES, *_SETS,
    *_RECONSTRUCTORS,
    *(f"{module}.{kind}" for module in ("__builtin__", "builtins") for kind in ("object", "slice")),
    *(f"numpy.{core}.{name}" for core in ("core", "_core")
      for name in ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer")),
))  # fmt: skip


def read_pickle(data: bytes, *, persistent_ids: bool = False) -> Any:
    """Read a pickle of protocol 0 to 5, also one of joblib with arrays between its opcodes.

    Args:
        data: Bytes of the file.
        persistent_ids: Whether it may refer to objects outside the pickle, as files of torch do; each becomes a
            `Record` named PERSISTENT_ID with the id as its argument.

    Returns:
        None, numbers, text, bytes or a view of them, lists, tuples, dictionaries, `ClassName` and `Record`. Sets become
        lists, and a key that is a tuple becomes its text. Text of Python 2 is Latin-1, or a view of bytes from 4 kB on.
        Containers may contain themselves.

    Raises:
        FileError: If the pickle is damaged ("truncated"), names a class that is not of numpy, scipy.sparse, chumpy or a
            tensor of torch ("pickled"), or exceeds a limit ("too_large").
    """
    outcome = attempt(lambda: Machine(data).run(_STEPS | _PERSISTENT if persistent_ids else _STEPS))
    if not isinstance(outcome, Failure):
        return outcome
    if isinstance(outcome.error, FileError):
        raise outcome.error
    if isinstance(outcome.error, MemoryError):
        raise FileError("it needs more memory than is available", code=ReasonCode.OUT_OF_MEMORY) from outcome.error
    raise FileError(f"it is damaged or truncated ({outcome.message})", code=ReasonCode.TRUNCATED) from outcome.error


def _mark(m: Machine) -> None:
    m.marks.append(len(m.stack))


def _pop(m: Machine) -> None:
    if m.marks and m.marks[-1] == len(m.stack):
        m.marks.pop()
    else:
        m.pop()


def _protocol(m: Machine) -> None:
    if (version := m.number("<B")) > 5:
        raise FileError(f"it is of protocol {version}; 0 to 5 are read", code=ReasonCode.PICKLED)


def _frame(m: Machine) -> None:
    size = m.number("<Q")
    if size > len(m.data) - m.position:
        raise EOFError(f"a frame of {size} bytes is declared at {m.position} of {len(m.data)}")


def _put(m: Machine, index: int) -> None:
    m.memo[index] = m.top()


def _get(m: Machine, index: int) -> None:
    m.push(m.memo[index])


# Numbers and text


def _decimal(m: Machine) -> None:
    """INT and LONG of protocol 0; INT also encodes the two booleans."""
    digits = m.line(2 * MAX_INTEGER_BYTES).strip()
    m.push({b"00": False, b"01": True}.get(digits) if digits in (b"00", b"01") else int(digits.rstrip(b"L")))


def _integer(m: Machine, size: int) -> None:
    if not 0 <= size <= MAX_INTEGER_BYTES:
        raise FileError(f"it holds an integer of {size} bytes", code=ReasonCode.TOO_LARGE)
    m.push(int.from_bytes(m.take(size), "little", signed=True))


def _bytes(m: Machine, size: int) -> None:
    view = m.take(size)
    m.push(view if size >= LONG else bytes(view))


def _old_text(m: Machine, size: int) -> None:
    """A string of Python 2: text if it is short, array data if it is long."""
    view = m.take(size)
    m.push(view if size >= LONG else str(view, "latin-1"))


def _quoted(m: Machine) -> None:
    """STRING of protocol 0: a string of Python 2 as a source literal."""
    line = m.line(len(m.data)).strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise ValueError("a string without quotes")
    text = m.charge(codecs.escape_decode(line[1:-1])[0])
    m.push(memoryview(text) if len(text) >= LONG else text.decode("latin-1"))


def _escaped(m: Machine) -> None:
    """UNICODE of protocol 0."""
    m.push(m.charge(str(m.line(16 * _LONG_TEXT), "raw-unicode-escape")))


def _text(m: Machine, size: int) -> None:
    """UTF-8. One character beyond Latin-1 widens all others to two or four bytes, so long text may contain none."""
    view = m.take(size)
    if size > _LONG_TEXT and np.frombuffer(view, np.uint8).max() > _LAST_OF_LATIN1:
        raise FileError(f"it holds text of {size} bytes", code=ReasonCode.TOO_LARGE)
    m.push(m.charge(str(view, "utf-8")))


# Containers


def _append(m: Machine, values: list[Any]) -> None:
    target = m.top()
    if not isinstance(target, list):
        raise TypeError("items are added to a value that is not a list")
    target.extend(values)


def _set_items(m: Machine, values: list[Any]) -> None:
    target = m.top()
    if not isinstance(target, dict) or len(values) % 2:
        raise TypeError("pairs are added to a value that is not a dictionary")
    target.update(_pairs(values))


def _pairs(values: list[Any]) -> dict[Any, Any]:
    keys = [_key(key) for key in values[::2]]
    return dict(zip(keys, values[1::2], strict=True))


def _key(key: object) -> object:
    """A usable key. A tuple becomes its text, because tuples can be crafted to share one hash."""
    if _is_key(key):
        return key
    if isinstance(key, tuple) and len(key) <= MAX_KEY_PARTS and all(map(_is_key, key)):
        return str(tuple(part.qualname if isinstance(part, Record) else part for part in key))
    raise TypeError(f"a dictionary has a key of type {type(key).__name__}, or a long one")


def _is_key(key: object) -> bool:
    """Whether a key hashes and compares quickly. Integers from 2**61 on can be crafted to share one hash."""
    if isinstance(key, str | bytes):
        return len(key) <= MAX_NAME
    return key is None or isinstance(key, Record | float) or (isinstance(key, int) and -(2**60) < key < 2**60)


def _dict_from_mark(m: Machine) -> None:
    m.push(_pairs(m.pop_to_mark()))


# Objects


def _global(m: Machine, module: object, name: object) -> None:
    if not (isinstance(module, str) and isinstance(name, str)) or len(module) + len(name) > MAX_NAME:
        raise TypeError("the name of a class is not a short text")
    qualname = f"{module}.{name}"
    if qualname not in _NAMES and module.split(".")[0] != "chumpy" and not f"{module}.".startswith("scipy.sparse."):
        raise FileError(
            f"it names {shown(qualname)}, which is no array type; nothing of it was run", code=ReasonCode.PICKLED
        )
    m.push(ClassName(qualname))


def _global_line(m: Machine) -> None:
    _global(m, str(m.line(MAX_NAME), "utf-8"), str(m.line(MAX_NAME), "utf-8"))


def _global_stack(m: Machine) -> None:
    name, module = m.pop(), m.pop()
    _global(m, module, name)


def _construct(m: Machine, kind: object, args: object) -> None:
    """Push the result of calling a class or function if it is plain data; otherwise a record."""
    if not isinstance(kind, ClassName) or not isinstance(args, tuple):
        raise TypeError("an object without a named class")
    name = kind.qualname
    if name == _ENCODE:
        m.push(m.charge(_encoded(*args)))
    elif name in _BYTES and not args:  # Python 3's empty bytes in an old protocol
        m.push(b"")
    elif name == _ORDERED or name in _SETS:
        (items,) = args or ([],)
        m.charge(items)
        contents = _pairs([part for pair in items for part in _two(pair)]) if name == _ORDERED else list(items)
        m.push(m.charge(contents))
    elif name in _RECONSTRUCTORS:
        if not args or not isinstance(args[0], ClassName):
            raise TypeError("an object without a named class")
        m.push(Record(args[0].qualname, ()))
    else:
        m.push(Record(name, args))


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    """Bytes as Python 3 encodes them in an old protocol."""
    return text.encode("latin-1")


def _two(pair: Any) -> tuple[Any, Any]:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise TypeError("an ordered dictionary of items that are not pairs")
    return pair[0], pair[1]


def _reduce(m: Machine) -> None:
    args, kind = m.pop(), m.pop()
    _construct(m, kind, args)


def _reduce_with_names(m: Machine) -> None:
    if m.pop():
        raise TypeError("an object with keyword arguments")
    _reduce(m)


def _reduce_mark(m: Machine) -> None:
    kind, *args = m.pop_to_mark()
    _construct(m, kind, tuple(args))


def _instance_line(m: Machine) -> None:
    _global_line(m)
    kind = m.pop()
    _construct(m, kind, tuple(m.pop_to_mark()))


def _build(m: Machine) -> None:
    state, target = m.pop(), m.top()
    if isinstance(target, Record):
        target.state = state
        if target.qualname == _JOBLIB_ARRAY:
            _take_array(m, target)
    elif not isinstance(target, dict):  # an ordered dictionary with attributes, which are ignored
        raise TypeError("a state for a value that is not an object")


def _take_array(m: Machine, target: Record) -> None:
    """Turn joblib's description of an array into the array, whose bytes follow in the file."""
    state = target.state
    if not isinstance(state, dict):
        raise TypeError("an array of joblib without its description")
    dtype, shape, order = state.get("dtype"), state.get("shape"), state.get("order", "C")
    code = dtype.args[0] if isinstance(dtype, Record) and dtype.args else None
    size = _ITEM_SIZE.fullmatch(code) if isinstance(code, str) else None
    if size is None:
        raise FileError("an array of Python objects, which are never loaded", code=ReasonCode.PICKLED)
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and 0 <= n < 2**40 for n in shape):
        raise TypeError("an array of joblib without a shape")
    if state.get("numpy_array_alignment_bytes") is not None:
        m.take(m.number("<B"))
    target.qualname, target.state = _BUFFER, None
    target.args = (m.take(math.prod(shape) * int(size.group(1))), dtype, shape, order)


def _persistent_id(m: Machine) -> None:
    m.push(Record(PERSISTENT_ID, (m.pop(),)))


_STEPS: dict[int, Callable[[Machine], None]] = {
    ord(code): step
    for code, step in {
        b"(": _mark, b"0": _pop, b"1": lambda m: m.pop_to_mark() and None, b"2": lambda m: m.push(m.top()),
        b"\x80": _protocol, b"\x95": _frame,
        b"p": lambda m: _put(m, int(m.line(20))), b"q": lambda m: _put(m, m.number("<B")),
        b"r": lambda m: _put(m, m.number("<I")), b"\x94": lambda m: _put(m, len(m.memo)),
        b"g": lambda m: _get(m, int(m.line(20))), b"h": lambda m: _get(m, m.number("<B")),
        b"j": lambda m: _get(m, m.number("<I")),
        b"N": lambda m: m.push(None), b"\x88": lambda m: m.push(True), b"\x89": lambda m: m.push(False),
        b"I": _decimal, b"L": _decimal, b"F": lambda m: m.push(float(m.line(64))),
        b"G": lambda m: m.push(m.number(">d")), b"J": lambda m: m.push(m.number("<i")),
        b"K": lambda m: m.push(m.number("<B")), b"M": lambda m: m.push(m.number("<H")),
        b"\x8a": lambda m: _integer(m, m.number("<B")), b"\x8b": lambda m: _integer(m, m.number("<i")),
        b"S": _quoted, b"T": lambda m: _old_text(m, m.number("<i")), b"U": lambda m: _old_text(m, m.number("<B")),
        b"V": _escaped, b"X": lambda m: _text(m, m.number("<I")), b"\x8c": lambda m: _text(m, m.number("<B")),
        b"\x8d": lambda m: _text(m, m.number("<Q")),
        b"B": lambda m: _bytes(m, m.number("<I")), b"C": lambda m: _bytes(m, m.number("<B")),
        b"\x8e": lambda m: _bytes(m, m.number("<Q")), b"\x96": lambda m: _bytes(m, m.number("<Q")),
        b"]": lambda m: m.push([]), b"}": lambda m: m.push({}), b"\x8f": lambda m: m.push([]),
        b")": lambda m: m.push(()), b"t": lambda m: m.push(tuple(m.pop_to_mark())),
        b"\x85": lambda m: m.push(m.pop_tuple(1)), b"\x86": lambda m: m.push(m.pop_tuple(2)),
        b"\x87": lambda m: m.push(m.pop_tuple(3)),
        b"l": lambda m: m.push(m.pop_to_mark()), b"\x91": lambda m: m.push(m.pop_to_mark()), b"d": _dict_from_mark,
        b"a": lambda m: _append(m, [m.pop()]), b"e": lambda m: _append(m, m.pop_to_mark()),
        b"\x90": lambda m: _append(m, m.pop_to_mark()),
        b"s": lambda m: _set_items(m, [m.pop(), m.pop()][::-1]), b"u": lambda m: _set_items(m, m.pop_to_mark()),
        b"c": _global_line, b"\x93": _global_stack, b"i": _instance_line, b"o": _reduce_mark,
        b"R": _reduce, b"\x81": _reduce, b"\x92": _reduce_with_names, b"b": _build,
    }.items()
}  # fmt: skip
"""Function of each opcode. Omitted, and so refused: the extension registry, out-of-band buffers."""

_PERSISTENT: dict[int, Callable[[Machine], None]] = {ord(b"Q"): _persistent_id}
"""Opcode of files that refer to objects outside the pickle, refused in all others."""
