"""Settings as trees of frozen keyword-only dataclasses: from TOML, from `key=value`, and back.

A leaf is a bool, int, float, str, a Literal, a tuple of these (`tuple[float, ...]` or of fixed length), or one of these
or None. TOML has no null, so None is written `"none"`. A dataclass checks the ranges of its own values in
`__post_init__` by raising SettingsError with the name of the value in its message, or ValueError, to which the name of
the group is added.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from musclemap.errors import FileError, SettingsError
from musclemap.failures import Failure, attempt
from musclemap.files import read_bytes, shown
from musclemap.setting_values import convert, parse_toml, read_text, toml_lines

SettingsT = TypeVar("SettingsT")

MAX_BYTES = 2**16
"""Longest file [B]; all settings with their names have 5 kB."""


class _Text(str):
    """A value from the command line, not yet read as anything."""


def load_settings(cls: type[SettingsT], path: Path) -> SettingsT:
    """Read a TOML file; what it does not say keeps its default.

    Raises:
        SettingsError: The file is unreadable, too long or not TOML, or has an unknown key or an unfitting value.
    """
    try:
        text = read_bytes(path, limit=MAX_BYTES)
    except FileError as error:
        raise SettingsError(f"cannot read settings from {path}: {error}") from error
    # Besides its own error the parser raises others, for text nested too deeply and integers too long.
    tree = attempt(lambda: parse_toml(text.decode("utf-8")))
    if isinstance(tree, Failure):
        raise SettingsError(f"cannot read settings from {path}: {tree.message}")
    return from_dict(cls, tree)


def from_dict(cls: type[SettingsT], tree: Mapping[str, Any]) -> SettingsT:
    """Make settings from nested tables; what they do not say keeps its default.

    Raises:
        SettingsError: Unknown key or unfitting value; the message gives its dotted name and what would do.
    """
    return _replace(cls(), tree, prefix="")


def override(settings: SettingsT, assignments: Iterable[str]) -> SettingsT:
    """Change some values, each given as text such as `solver.iterations=20`. Where a key comes twice the last wins.

    All are applied at once, so two values that bound each other can be moved together.

    Raises:
        SettingsError: Text without `=`, unknown key or unfitting value.
    """
    tree: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals or not key:
            raise SettingsError(f"expected KEY=VALUE such as solver.iterations=20, got {shown(assignment)}")
        *tables, leaf = key.split(".")
        table = tree
        for name in tables:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise SettingsError(f"{shown(key)} is set, and {shown(name)} above it is set to a value too")
        table[leaf] = _Text(text)
    return _replace(settings, tree, prefix="")


def to_dict(settings: Any) -> dict[str, Any]:
    """Nested plain values, ready for JSON; tuples become lists."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))


def to_toml(settings: Any) -> str:
    """Text from which `load_settings` makes equal settings."""
    return "\n".join(toml_lines(to_dict(settings))).lstrip("\n") + "\n"


def fingerprint(settings: Any) -> str:
    """SHA-256 over all values, independent of the order of fields."""
    text = json.dumps(to_dict(settings), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _replace(settings: SettingsT, tree: Mapping[str, Any], *, prefix: str) -> SettingsT:
    known = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}  # pyright: ignore[reportArgumentType]
    hints = get_type_hints(type(settings))
    changes = {}
    for key, value in tree.items():
        name = prefix + key
        if key not in known:
            where = f"settings in {prefix.rstrip('.')!r}" if prefix else "settings"
            raise SettingsError(f"unknown setting {shown(name)}; {where}: {', '.join(sorted(known))}")
        old = known[key]
        if not dataclasses.is_dataclass(old):
            changes[key] = _leaf(value, hints[key], name=name)
        elif isinstance(value, Mapping):
            changes[key] = _replace(old, value, prefix=name + ".")
        else:
            inner = ", ".join(f"{name}.{field.name}" for field in dataclasses.fields(old))
            raise SettingsError(f"{name!r} is a group of settings: {inner}")
    try:
        return dataclasses.replace(settings, **changes)  # pyright: ignore[reportArgumentType]
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{prefix.rstrip('.') or 'settings'}: {error}") from error


def _leaf(value: Any, hint: Any, *, name: str) -> Any:
    return read_text(str(value), hint, name=name) if isinstance(value, _Text) else convert(value, hint, name=name)
