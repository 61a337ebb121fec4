"""One value of a setting: checked against its annotation, read from text, written as TOML."""

import json
import math
import tomllib
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

from musclemap.errors import FileError, SettingsError
from musclemap.failures import Failure, attempt
from musclemap.files import MAX_INTEGER, check_depth, shown

LARGEST = 1e300
"""Largest number besides infinity; a whole one may be larger than a floating-point number can be."""

MAX_POINTS = 200
"""Most points in a line: for a key of n parts the parser takes memory that grows with the square of n."""

_EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", types.NoneType: '"none"'}


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML from a file that may be damaged or hostile.

    Raises:
        FileError: A line has too many points, or tables are nested too deeply.
        Exception: Whatever the parser raises: its own error, or another for integers too long.
    """
    if any(line.count(".") > MAX_POINTS for line in text.splitlines()):
        raise FileError(f"a line with more than {MAX_POINTS} points")
    return check_depth(tomllib.loads(text))


def convert(value: Any, hint: Any, *, name: str) -> Any:
    """Return `value` as its annotation `hint` has it: lists become tuples, whole numbers become floats where wanted.

    Raises:
        SettingsError: It does not fit; the message gives `name`, what would fit, and what was given.
    """
    fits, converted = _fit(value, hint)
    if not fits:
        raise SettingsError(f"setting {name!r} takes {_describe(hint)}, got {shown(value)}")
    return converted


def read_text(text: str, hint: Any, *, name: str) -> Any:
    """Read a value from the command line: TOML, or a bare string where the setting takes one.

    Raises:
        SettingsError: As `convert`.
    """
    table = attempt(lambda: parse_toml(f"value = {text}"))
    if isinstance(table, Failure):
        return convert(text, hint, name=name)
    value = table["value"] if len(table) == 1 else text
    if _fit(value, hint)[0]:
        return convert(value, hint, name=name)
    return convert(text if _fit(text, hint)[0] else value, hint, name=name)


def toml_lines(tree: Mapping[str, Any], *, prefix: str = "") -> list[str]:
    """Nested tables as lines of TOML, values before tables."""
    tables = {key: value for key, value in tree.items() if isinstance(value, Mapping)}
    lines = [f"{key} = {_toml(value)}" for key, value in tree.items() if key not in tables]
    for key, table in tables.items():
        lines += ["", f"[{prefix}{key}]", *toml_lines(table, prefix=f"{prefix}{key}.")]
    return lines


def _fit(value: Any, hint: Any) -> tuple[bool, Any]:
    """Whether `value` fits `hint`, and what it becomes."""
    arguments = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return next((fit for fit in (_fit(value, one) for one in arguments) if fit[0]), (False, None))
    if get_origin(hint) is Literal:
        return any(type(value) is type(one) and value == one for one in arguments), value
    if get_origin(hint) is tuple:
        return _fit_tuple(value, arguments)
    if hint is types.NoneType:
        return value is None or value == "none", None
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        number = number and (abs(value) <= LARGEST or value in (math.inf, -math.inf))
        return number, float(value) if number else None
    if hint is int:
        return type(value) is int and abs(value) <= MAX_INTEGER, value
    return type(value) is hint, value


def _fit_tuple(value: Any, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    if not isinstance(value, list | tuple):
        return False, None
    hints = (arguments[0],) * len(value) if arguments[-1] is Ellipsis else arguments
    fits = [_fit(one, hint) for one, hint in zip(value, hints, strict=False)]
    return len(value) == len(hints) and all(ok for ok, _ in fits), tuple(one for _, one in fits)


def _describe(hint: Any) -> str:
    arguments = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_describe(one) for one in arguments)
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(one) for one in arguments)
    if get_origin(hint) is tuple and arguments[-1] is Ellipsis:
        return f"a list, each {_describe(arguments[0])}"
    if get_origin(hint) is tuple:
        return f"a list of {len(arguments)}: " + ", ".join(_describe(one) for one in arguments)
    return _EXPECTED.get(hint, str(hint))


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    # JSON escapes a string as TOML does, but for one character.
    return json.dumps("none" if value is None else value, ensure_ascii=False).replace("\x7f", "\\u007f")
