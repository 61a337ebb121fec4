"""Settings as a call takes them: an object, nested tables of plain values, or nothing for the defaults."""

from collections.abc import Mapping
from typing import Any, TypeVar

from musclemap.settings import from_dict, override

SettingsT = TypeVar("SettingsT")

Settings = SettingsT | Mapping[str, Any] | None
"""Settings: an object of the class, nested tables with the same names, or None for the defaults."""


def as_settings(cls: type[SettingsT], given: Settings[SettingsT], **own: Any) -> SettingsT:
    """Settings from what a call was given.

    Args:
        cls: Class of the settings.
        given: Settings, or tables, or None.
        own: Values of settings that the call has parameters for, by dotted name; None leaves a setting as it is.

    Raises:
        SettingsError: If a setting is unknown or out of range; the message lists the known ones.
    """
    base = given if isinstance(given, cls) else from_dict(cls, {} if given is None else given)
    return override(base, [f"{name}={value}" for name, value in own.items() if value is not None])
