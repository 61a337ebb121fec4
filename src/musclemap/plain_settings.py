"""Settings read back from plain values, such as a policy's file has: dataclasses from nested dictionaries."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from musclemap.errors import SettingsError
from musclemap.files import shown

SettingsT = TypeVar("SettingsT")

LARGEST = 1e30
"""Numbers are smaller than this."""

LONGEST = 1000
"""Most values of a list."""


def from_plain(cls: type[SettingsT], tree: Any, *, where: str) -> SettingsT:
    """Make settings; what the tree lacks, being older, keeps its default.

    Args:
        cls: A frozen dataclass whose fields all have defaults: bool, int, float, str, a tuple of one of these that is
            not empty, or another such dataclass.
        tree: Plain values.
        where: What they are, for messages.

    Raises:
        SettingsError: Something is unknown, of another type, or out of its range.
    """
    if not isinstance(tree, Mapping):
        raise SettingsError(f"{where} is {shown(tree)}, not a table of settings")
    defaults = cls()
    known = {field.name: getattr(defaults, field.name) for field in dataclasses.fields(defaults)}  # pyright: ignore[reportArgumentType]
    unknown = sorted(set(tree) - set(known))
    if unknown:
        name = shown(unknown[0]).strip("'")
        raise SettingsError(f"{where}.{name} is not known to this version; {where} has {', '.join(known)}")
    return cls(**{key: _value(known[key], value, where=f"{where}.{key}") for key, value in tree.items()})


def _value(default: Any, value: Any, *, where: str) -> Any:
    kind: type = type(default)
    if dataclasses.is_dataclass(kind):
        return from_plain(kind, value, where=where)
    if isinstance(default, tuple) and isinstance(value, list) and len(value) <= LONGEST:
        return tuple(_value(default[0], part, where=f"a part of {where}") for part in value)
    if kind is float and isinstance(value, int | float) and type(value) is not bool and abs(value) < LARGEST:
        return float(value)
    if kind is not float and type(value) is kind:
        return value
    raise SettingsError(f"{where} is {shown(value)}; it has to be of type {kind.__name__}, such as {default!r}")
