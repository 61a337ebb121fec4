"""Checks that settings classes share: each raises SettingsError with a setting's full name, its value and its range."""

from collections.abc import Callable, Collection
from typing import Any

from musclemap.errors import SettingsError
from musclemap.files import shown

MAX_SEED = 2**32 - 1
"""Largest seed; larger ones would be cut off to 32 bits."""

MAX_LAYERS, MAX_WIDTH = 5, 4096
"""Most hidden layers of a network and their largest width: four times the published network's."""

MAX_FACTOR = 1e6
"""Largest weight, rate or scale. All are near 1; products of a few stay finite in single precision."""


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


def check_at_most(section: str, settings: Any, **limits: float) -> None:
    """Refuse what is above a limit, which may be infinite numbers too, by the names of the settings.

    Limits are generous. They keep a file or a slip of the hand from asking for hours or for all memory.
    """
    for name, most in limits.items():
        _check(section, settings, (name,), lambda value, most=most: value <= most, f"it must not be above {most:,}")


def check_seed(section: str, settings: Any, *names: str) -> None:
    """Refuse what is no seed: whole numbers from 0 to `MAX_SEED`."""
    rule = f"it must be from 0 to {MAX_SEED:,}"
    _check(section, settings, names, lambda value: 0 <= value <= MAX_SEED, rule)


def check_widths(section: str, settings: Any, name: str) -> None:
    """Refuse hidden layers that are too many, too wide, or have no width.

    Networks of these limits have policy files that `load_policy` reads.
    """
    rule = f"it lists at most {MAX_LAYERS} widths from 1 to {MAX_WIDTH:,}"
    _check(section, settings, (name,), lambda widths: len(widths) <= MAX_LAYERS and _are_widths(widths), rule)


def _are_widths(widths: Collection[int]) -> bool:
    return all(1 <= width <= MAX_WIDTH for width in widths)


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
            raise SettingsError(f"{section + '.' if section else ''}{name} is {shown(value)}; {rule}")
