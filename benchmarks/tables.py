"""Plain tables, readable in a terminal and in a page of documentation alike."""

from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as needed; the first to the left, the others to the right."""
    lines = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(headings))]
    rows = ["  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines]  # fmt: skip
    return "\n".join([rows[0], "-" * len(rows[0]), *rows[1:]])


def verdict(name: str, *, asked: str, got: str, met: bool) -> str:
    """One line in plain words."""
    return f"{'  met   ' if met else '**MISSED'}  {name}: asked {asked}, got {got}"
