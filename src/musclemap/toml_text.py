"""TOML text: parsed within limits, and written."""

import json
import tomllib
from collections.abc import Mapping
from typing import Any

from musclemap.errors import FileError
from musclemap.failures import Failure, attempt
from musclemap.files import MAX_INTEGER, check_depth

MAX_DOTS = 200
"""Most dots in a line: for a key of n parts the parser takes memory that grows with the square of n."""


def parse_toml(text: str) -> dict[str, Any] | Failure:
    """Parse TOML that may be damaged or hostile.

    Returns:
        The root table, or a failure: not TOML, a line with too many dots, tables nested too deeply, or an integer
        beyond 64 bits.
    """
    return attempt(lambda: _parse(text))


def toml_lines(tree: Mapping[str, Any], *, prefix: str = "") -> list[str]:
    """Nested tables as lines of TOML, values before tables. None becomes "none", as TOML has no null."""
    tables = {key: value for key, value in tree.items() if isinstance(value, Mapping)}
    lines = [f"{key} = {_value(value)}" for key, value in tree.items() if key not in tables]
    for key, table in tables.items():
        lines += ["", f"[{prefix}{key}]", *toml_lines(table, prefix=f"{prefix}{key}.")]
    return lines


def _parse(text: str) -> dict[str, Any]:
    if any(line.count(".") > MAX_DOTS for line in text.splitlines()):
        raise FileError(f"a line with more than {MAX_DOTS} dots")
    tree = check_depth(tomllib.loads(text))
    _check_integers(tree)
    return tree


def _check_integers(value: Any) -> None:
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise FileError(f"an integer of {value.bit_length()} bits; at most 64 are read")
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_integers(item)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    # JSON escapes a string as TOML does, except for one character.
    return json.dumps("none" if value is None else value, ensure_ascii=False).replace("\x7f", "\\u007f")
