"""CSV cells that a spreadsheet displays as text and never runs as a formula.

Excel, LibreOffice and Google Sheets run a cell that begins with certain characters as a formula, which can start
programs and send other cells elsewhere. Names and licences of motions come from untrusted files.
"""

from typing import TypeVar

FORMULA_STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""Characters that start a formula, or that programs strip before they look for one; the last four are full-width forms,
which East Asian editions treat as the plain ones."""

ValueT = TypeVar("ValueT")


def safe_cell(value: ValueT) -> ValueT | str:
    """Make a value safe for a table cell: numbers stay numbers, a text that would be a formula gets a leading
    apostrophe.

    Characters after leading spaces count too, because some programs strip spaces. A cell that already begins with an
    apostrophe stays as it is.
    """
    if not isinstance(value, str):
        return value
    first = value.lstrip(" \u00a0\ufeff")[:1]
    return f"'{value}" if first and first in FORMULA_STARTS else value
