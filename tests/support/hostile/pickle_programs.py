"""Pickles written opcode by opcode: programs that no pickler writes."""

import pickletools
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

STOP = b"."
FRAMEWORK = (
    "numpy dtype", "numpy ndarray", "numpy.core.multiarray _reconstruct", "numpy.core.multiarray scalar",
    "numpy._core.numeric _frombuffer", "copy_reg _reconstructor", "_codecs encode", "collections OrderedDict",
    "__builtin__ object", "builtins set", "chumpy.ch Ch", "chumpy.reordering Select", "scipy.sparse.csc csc_matrix",
)  # fmt: skip
"""Names that real body models use."""


def name(module: str, attribute: str) -> bytes:
    """A class or function."""
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    """Text."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def raw(data: bytes) -> bytes:
    """Bytes."""
    return b"B" + struct.pack("<I", len(data)) + data


def integer(value: int) -> bytes:
    """A whole number of any size."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def group(*values: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(values) + b"t"


def mapping(**values: bytes) -> bytes:
    """A dictionary."""
    return b"(" + b"".join(text(key) + value for key, value in values.items()) + b"d"


def call(function: bytes, *args: bytes) -> bytes:
    """REDUCE."""
    return function + group(*args) + b"R"


def built(instance: bytes, state: bytes) -> bytes:
    """BUILD."""
    return instance + state + b"b"


def dtype(code: str, order: str = "<") -> bytes:
    """A type as numpy writes it."""
    state = group(integer(3), text(order), b"N", b"N", b"N", integer(-1), integer(-1), integer(0))
    return built(call(name("numpy", "dtype"), text(code), b"\x89", b"\x88"), state)


def array(shape: bytes, kind: bytes, data: bytes, *, fortran_order: bool = False) -> bytes:
    """An array as numpy writes it up to protocol 4, with any shape, type and bytes."""
    empty = call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), group(integer(0)), raw(b"b"))
    return built(empty, group(integer(1), shape, kind, b"\x88" if fortran_order else b"\x89", data))


def numbers(values: np.ndarray) -> bytes:
    """An array of float64 or int64."""
    kind = "f8" if values.dtype.kind == "f" else "i8"
    return array(group(*map(integer, values.shape)), dtype(kind), raw(values.astype(f"<{kind}").tobytes()))


def stand_in(qualname: str, state: bytes) -> bytes:
    """An object of a class, by NEWOBJ and BUILD."""
    module, _, attribute = qualname.rpartition(".")
    return built(name(module, attribute) + b")\x81", state)


def program(body: bytes) -> bytes:
    """A whole pickle."""
    return b"\x80\x03" + body + STOP


def random_program(rng: np.random.Generator, *, steps: int = 40) -> bytes:
    """A random program: opcodes in any order, or values of a grammar with some opcodes inserted."""
    body = b""
    if rng.random() < 0.5:
        body = b"".join(_step(rng) for _ in range(rng.integers(1, steps)))
    keys = ("v_template", "shapedirs", "J_regressor", "kintree_table", "gender")
    body += b"(" + b"".join(text(key) + random_value(rng, depth=4) for key in keys if rng.random() < 0.95) + b"d"
    return b"\x80" + bytes([rng.integers(2, 6)]) + body + STOP


def random_value(rng: np.random.Generator, *, depth: int) -> bytes:
    """A value of a grammar, mostly what body models contain; one in fifty is a random opcode."""
    if rng.random() < 0.02:
        return _step(rng)
    if depth == 0 or rng.random() < 0.3:
        return _pick(rng, _LEAVES)(rng) + (b"q\x01" if rng.random() < 0.2 else b"")
    values = [random_value(rng, depth=depth - 1) for _ in range(rng.integers(1, 4))]
    return _pick(rng, _BRANCHES)(rng, values)


def _pick(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _state(rng: np.random.Generator, values: list[bytes]) -> bytes:
    return mapping(**{_pick(rng, WORDS): value for value in values})


def _sides(rng: np.random.Generator, count: int) -> bytes:
    return group(*(integer(int(n)) for n in rng.integers(0, 4, count)))


def _sparse(rng: np.random.Generator, values: list[bytes]) -> bytes:
    indptr = numbers(rng.integers(0, 3, 4))
    state = mapping(data=values[0], indices=values[-1], indptr=indptr, _shape=_sides(rng, 2))
    return stand_in("scipy.sparse.csc.csc_matrix", state)


WORDS = ("x", "a", "idxs", "data", "indices", "indptr", "_shape", "row", "col", "preferred_shape", "newshape", "f8",
         "<", "", "male", "latin1", "é" * 9)  # fmt: skip
"""Keys and texts of real body models."""

_CODES = ("f8", "i8", "f4", "O", "V8", "S8", "b1")
_LEAVES: tuple[Callable[[np.random.Generator], bytes], ...] = (
    lambda rng: _pick(rng, (b"N", b"\x88", b"h\x01", b")", b"]", b"}")),
    lambda rng: integer(int(rng.integers(-3, 9))),
    lambda rng: integer(2 ** int(rng.integers(1, 70))),
    lambda rng: text(_pick(rng, WORDS)),
    lambda rng: raw(rng.bytes(8 * int(rng.integers(0, 5)))),
    lambda rng: numbers(rng.normal(size=rng.integers(0, 4, rng.integers(0, 4)))),
    lambda rng: numbers(rng.integers(-2, 9, rng.integers(0, 9))),
)
_BRANCHES: tuple[Callable[[np.random.Generator, list[bytes]], bytes], ...] = (
    lambda rng, values: group(*values),
    lambda rng, values: b"(" + b"".join(values) + b"l",
    _state,
    _sparse,
    lambda rng, values: stand_in(_pick(rng, FRAMEWORK).replace(" ", "."), _state(rng, values)),
    lambda rng, values: call(name(*_pick(rng, FRAMEWORK).split(" ")), *values),
    lambda rng, values: built(call(name(*_pick(rng, FRAMEWORK).split(" ")), *values), values[0]),
    lambda rng, values: array(_sides(rng, 2), dtype(_pick(rng, _CODES)), values[0]),
    lambda rng, values: array(values[0], dtype("f8"), raw(bytes(8))),
    lambda rng, values: array(group(integer(1)), values[0], raw(bytes(8))),
    lambda rng, values: stand_in("chumpy.ch.Ch", mapping(x=values[0])),
    lambda rng, values: stand_in(
        "chumpy.reordering.Select", mapping(a=values[0], idxs=values[-1], preferred_shape=group(*values[:2]))
    ),
    lambda rng, values: stand_in("chumpy.reordering.Reshape", mapping(a=values[0], newshape=values[-1])),
)

_OPCODES = [opcode for opcode in pickletools.opcodes if opcode.name != "STOP"]
_LIKELY = [o for o in _OPCODES if o.name in (
    "MARK", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "REDUCE", "NEWOBJ", "BUILD", "GLOBAL", "BINPUT", "BINGET", "MEMOIZE",
    "EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "SETITEM", "SETITEMS", "APPEND", "APPENDS", "DICT", "LIST", "NONE",
    "BINUNICODE", "BINBYTES", "BININT1", "BININT", "STACK_GLOBAL", "DUP", "POP", "INST", "OBJ", "NEWOBJ_EX",
)]  # fmt: skip


def _step(rng: np.random.Generator) -> bytes:
    opcodes = _LIKELY if rng.random() < 0.8 else _OPCODES
    opcode = _pick(rng, opcodes)
    code, arg = opcode.code.encode("latin-1"), opcode.arg
    if arg is None:
        return code
    if opcode.name in ("GLOBAL", "INST"):
        words = _pick(rng, FRAMEWORK).split(" ") if rng.random() < 0.98 else ["os", "system"]
        return code + "\n".join([*words, ""]).encode()
    word = _pick(rng, WORDS)
    if arg.n == pickletools.UP_TO_NEWLINE:
        return code + _pick(rng, [b"'a'", b"7", b"-1", b"1.5", b"nan", b"9" * 90, word.encode()]) + b"\n"
    if arg.n > 0:
        return code + (bytes(rng.integers(0, 4, arg.n, dtype=np.uint8)) if rng.random() < 0.9 else rng.bytes(arg.n))
    body = word.encode() if rng.random() < 0.6 else rng.bytes(8 * int(rng.integers(0, 4)))
    width = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT8U: 8}.get(arg.n, 4)
    length = len(body) if rng.random() < 0.95 else int(rng.integers(0, 2 ** (8 * width - 1), dtype=np.uint64))
    return code + length.to_bytes(8, "little")[:width] + body
