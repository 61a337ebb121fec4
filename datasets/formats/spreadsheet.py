"""Cells of CSV tables that a spreadsheet shows as text.

Excel, LibreOffice and Google Sheets run a cell that begins with one of a few signs as a formula, which can start
programs and send what is in other cells elsewhere; names and licences of motions come from whoever made them.
"""

from typing import TypeVar

FORMULA_STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""Signs that begin a formula, or are cut off before one is looked for; the last four are wide forms, which count as the
plain ones in East Asian editions."""

ValueT = TypeVar("ValueT")


def safe_cell(value: ValueT) -> ValueT | str:
    """A value for a cell of a table; numbers stay numbers, and a text that would be a formula begins with an
    apostrophe.

    Signs after spaces count too, as some programs cut spaces off. A cell that begins with an apostrophe already is
    left as it is.
    """
    if not isinstance(value, str):
        return value
    first = value.lstrip(" \u00a0\ufeff")[:1]
    return f"'{value}" if first and first in FORMULA_STARTS else value
