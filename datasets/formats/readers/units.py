"""Units of length of motion files: their names, and what a user may state."""

from musclemap.errors import SettingsError
from musclemap.files import shown

UNIT_LENGTHS: dict[str, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "cmu": 0.0254 / 0.45}
"""Length of each unit that has a name [m]. "cmu" is that of CMU's ASF files and of BVH files made from them: inches
divided by 0.45."""

DEDUCED = ("m", "cm", "mm")
"""Units that are deduced from the size of a body without its own skeleton, in the order in which they are tried."""

LENGTH_RANGE = (1e-6, 1e3)
"""Lengths that a unit may have [m]: from a micrometre to a kilometre."""

EXPECTED = "expected auto, m, cm, mm, in, cmu, or the length of one unit in metres, such as 0.0254"


def unit_length(text: str) -> float:
    """Length of a unit that a user states.

    Args:
        text: A name of `UNIT_LENGTHS`, or the unit's length as a number [m].

    Returns:
        The length [m].

    Raises:
        SettingsError: If it is neither, or the number is outside `LENGTH_RANGE`.
    """
    if text in UNIT_LENGTHS:
        return UNIT_LENGTHS[text]
    try:
        length = float(text)
    except ValueError:
        raise SettingsError(f"{shown(text)} is no unit; {EXPECTED}") from None
    if not LENGTH_RANGE[0] <= length <= LENGTH_RANGE[1]:
        raise SettingsError(f"a unit of {length:g} m is implausible; {EXPECTED}")
    return length


def checked_unit(text: str) -> str:
    """A unit as stated, which may be "auto".

    Raises:
        SettingsError: As `unit_length`.
    """
    if text != "auto":
        unit_length(text)
    return text
