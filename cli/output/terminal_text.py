"""Text for a terminal. File names, and what files say, can hold control codes that a terminal would obey."""

import json
from collections.abc import Iterable

import typer


def printable(text: str) -> str:
    """One line that any terminal takes: bytes of a name that are no UTF-8, and control characters, become marks."""
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def echo(text: str, *, err: bool = False) -> None:
    """Print one line, cleaned. The only way in which commands print; the linter refuses `typer.echo` elsewhere."""
    typer.echo(printable(text), err=err)  # noqa: TID251 the one place


def echo_lines(lines: Iterable[str], *, err: bool = False) -> None:
    """Print lines, each cleaned."""
    for line in lines:
        echo(line, err=err)


def echo_json(value: object, *, indent: int | None = None) -> None:
    """Print a value as JSON for programs, in ASCII: everything else is escaped, DEL too, which JSON itself leaves."""
    typer.echo(json.dumps(value, indent=indent).replace("\x7f", "\\u007f"))  # noqa: TID251 the one place
