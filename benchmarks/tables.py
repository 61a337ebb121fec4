"""Plain-text tables for terminals and documentation."""

from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table whose columns are as wide as needed: the first is left-aligned, the others are right-aligned."""
    lines = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(headings))]
    rows = ["  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines]  # fmt: skip
    return "\n".join([rows[0], "-" * len(rows[0]), *rows[1:]])


def verdict(name: str, *, target: str, result: str, met: bool) -> str:
    """Format one line that compares a result with its target."""
    return f"{'  met   ' if met else '**MISSED'}  {name}: target {target}, result {result}"
