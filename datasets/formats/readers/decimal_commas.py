"""Decimal commas, as programs write them where the language of the computer does."""

from collections.abc import Sequence


def with_decimal_points(lines: Sequence[str]) -> list[str]:
    """Lines of numbers separated by white space, with points in place of decimal commas.

    Lines that have points as well are left as they are: their commas are no decimal ones.
    """
    commas = any("," in line for line in lines)
    if not commas or any("." in line for line in lines):
        return list(lines)
    return [line.replace(",", ".") for line in lines]
