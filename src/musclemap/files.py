"""Safe reading of untrusted files: bytes up to a limit, and JSON within limits. Nothing blocks, grows or runs.

Every reader of a file of unknown origin starts here. Faults raise `FileError`, which the reader converts to its own
error.
"""

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from musclemap.errors import FileError
from musclemap.reason_codes import ReasonCode

MAX_JSON_BYTES = 2**26
"""Longest JSON text that is parsed [B]; the manifest of a million clips is parsed line by line, far below this."""

MAX_JSON_DEPTH = 32
"""Deepest nesting of objects and lists; our own files have six levels at most."""

MAX_INTEGER = 2**63 - 1
"""Largest integer; a larger one cannot be a count, size or seed of ours."""

_PIECE = 2**20


@contextmanager
def open_regular(path: Path, *, limit: int) -> Iterator[BufferedReader]:
    """Open a regular file for reading.

    A pipe or a device would block or never end, so both are refused. The check uses the open file, so replacing the
    path meanwhile has no effect.

    Args:
        path: File to read; a link to a regular file is followed.
        limit: Largest size [B].

    Raises:
        FileError: If the file does not exist, is not regular, or cannot be read ("unreadable"); or if it is larger than
            the limit ("too_large").
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        message = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise FileError(message, code=ReasonCode.UNREADABLE) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FileError(f"{path} is not a regular file", code=ReasonCode.UNREADABLE)
        if status.st_size > limit:
            raise FileError(f"{path} has {status.st_size} bytes; at most {limit} are read", code=ReasonCode.TOO_LARGE)
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}", code=ReasonCode.UNREADABLE) from error
    finally:
        os.close(descriptor)


def read_bytes(path: Path, *, limit: int) -> bytes:
    """Read a regular file.

    Args:
        path: File to read; a link to a regular file is followed.
        limit: Largest size [B].

    Raises:
        FileError: As `open_regular`, or if the file grew beyond the limit while it was read ("too_large").
    """
    with open_regular(path, limit=limit) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(min(size, limit) + 1) or b""  # not `limit`: read() allocates as much as it is asked for
        while size < len(data) <= limit:  # it grows, or the file system reports no sizes
            piece = file.read(min(_PIECE, limit + 1 - len(data)))
            if not piece:
                break
            data += piece
    if len(data) > limit:
        raise FileError(f"{path} grew beyond {limit} bytes while it was read", code=ReasonCode.TOO_LARGE)
    return data


def parse_json(data: bytes | str, *, limit: int = MAX_JSON_BYTES) -> Any:
    """Parse JSON from a file that may be damaged or hostile.

    A number that is not finite becomes None, which is also how our files store it.

    Args:
        data: UTF-8 text.
        limit: Longest text [B].

    Raises:
        FileError: If the text is not JSON, is too long or too deeply nested, or contains an integer beyond 64 bits or
            half of a surrogate pair. Surrogates U+DC80 to U+DCFF are accepted: they represent the bytes of a file name
            that is not UTF-8.
    """
    if len(data) > limit:
        raise FileError(f"JSON of {len(data)} bytes; at most {limit} are read")
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        tree = json.loads(text, parse_int=_integer, parse_constant=lambda _: None)
    except RecursionError as error:
        raise FileError(f"JSON nested deeper than {MAX_JSON_DEPTH} levels") from error
    except ValueError as error:
        raise FileError(f"not complete JSON: {error}") from error
    return _checked(tree)


def check_depth(tree: Any) -> Any:
    """Return a tree from another parser if it is nested no deeper than `MAX_JSON_DEPTH`.

    Raises:
        FileError: If it is nested deeper.
    """
    level = [tree]
    for _ in range(MAX_JSON_DEPTH + 1):
        below = [value for node in level for value in (node.values() if isinstance(node, dict) else node)]
        level = [value for value in below if isinstance(value, dict | list)]
        if not level:
            return tree
    raise FileError(f"nested deeper than {MAX_JSON_DEPTH} levels")


def read_json(path: Path, *, limit: int = MAX_JSON_BYTES) -> Any:
    """Read and parse a JSON file.

    Raises:
        FileError: As `read_bytes` and `parse_json`; the message starts with the path.
    """
    data = read_bytes(path, limit=limit)
    try:
        return parse_json(data, limit=limit)
    except FileError as error:
        raise FileError(f"{path}: {error}") from error


def read_json_object(path: Path, *, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Read a JSON file whose root must be an object.

    Raises:
        FileError: As `read_json`, or if the root is something else.
    """
    tree = read_json(path, limit=limit)
    if not isinstance(tree, dict):
        raise FileError(f"{path}: the root is a {type(tree).__name__}, not a JSON object")
    return tree


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > MAX_INTEGER:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _checked(root: Any) -> Any:
    """Replace infinite numbers by None, level by level and without recursion; return the tree."""
    box = [root]
    level: list[Any] = [box]
    for _ in range(MAX_JSON_DEPTH + 2):
        below: list[Any] = []
        for node in level:
            if type(node) is dict:
                for key in node:
                    _check_text(key)
            # in place: a copy of millions of values would take too much memory
            for key, value in node.items() if type(node) is dict else enumerate(node):
                kind = type(value)
                if kind is dict or kind is list:
                    below.append(value)
                elif kind is str:
                    _check_text(value)
                elif kind is float and not math.isfinite(value):
                    node[key] = None
        if not below:
            return box[0]
        level = below
    raise FileError(f"JSON nested deeper than {MAX_JSON_DEPTH} levels")


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise FileError(f"text with half of a surrogate pair at {error.start}") from error


def check_fields(tree: Mapping[str, Any], kinds: Mapping[str, type | tuple[type, ...]], *, where: str) -> None:
    """Check that fields are present and have the right type; a bool does not count as a number.

    Args:
        tree: Fields by name; fields that are not in `kinds` are ignored.
        kinds: Type or types of each field.
        where: Owner of the fields, for messages.

    Raises:
        FileError: If a field is missing or has another type; the message names it.
    """
    for key, kind in kinds.items():
        if key not in tree:
            raise FileError(f"{where} has no {key}")
        value, allowed = tree[key], kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            names = " or ".join(type_.__name__ for type_ in allowed)
            raise FileError(f"{where}: {key} is {shown(value)}, not of type {names}")


def shown(value: object, *, longest: int = 80) -> str:
    """Format a value from a file for a message: one line, shortened if it is long."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}..."
