"""Checks that settings classes share: each raises SettingsError with a setting's full name, its value and its range."""

from collections.abc import Callable, Collection
from typing import Any

from .errors import SettingsError


def check_above_0(section: str, settings: Any, *names: str) -> None:
    """Refuse what is not above 0.

    Args:
        section: What comes before the names and a dot; empty for settings of the top level.
        settings: What has them as attributes.
        names: Of the settings.
    """
    _check(section, settings, names, lambda value: value > 0, "it must be above 0")


def check_not_below_0(section: str, settings: Any, *names: str) -> None:
    """Refuse what is below 0."""
    _check(section, settings, names, lambda value: value >= 0, "it must not be below 0")


def check_below_1(section: str, settings: Any, *names: str) -> None:
    """Refuse what is not from 0 to below 1."""
    _check(section, settings, names, lambda value: 0 <= value < 1, "it must be from 0 to below 1")


def check_known(section: str, settings: Any, **known: Collection[str]) -> None:
    """Refuse words other than those known, by the names of the settings."""
    for name, words in known.items():
        _check(
            section, settings, (name,), lambda value, words=words: value in words, f"it is one of {', '.join(words)}"
        )


def _check(section: str, settings: Any, names: Collection[str], holds: Callable[[Any], bool], rule: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if not holds(value):
            raise SettingsError(f"{section + '.' if section else ''}{name} is {value!r}; {rule}")
