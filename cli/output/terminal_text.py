"""Text for a terminal, cleaned: file names and file contents can contain control codes that a terminal obeys."""

import json
from collections.abc import Iterable

import typer

from .verbs import as_typed


def printable(text: str) -> str:
    """Make one line safe for any terminal: bytes that are not UTF-8, and control characters, become marks."""
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def echo(text: str, *, err: bool = False) -> None:
    """Print one cleaned line, with commands named as the user types them.

    Commands print in no other way; the linter refuses `typer.echo` elsewhere.
    """
    typer.echo(printable(as_typed(text)), err=err)  # noqa: TID251 the one place


def echo_lines(lines: Iterable[str], *, err: bool = False) -> None:
    """Print cleaned lines."""
    for line in lines:
        echo(line, err=err)


def echo_json(value: object, *, indent: int | None = None) -> None:
    """Print a value as ASCII JSON. All other characters are escaped, and DEL too, which JSON leaves alone."""
    typer.echo(json.dumps(value, indent=indent).replace("\x7f", "\\u007f"))  # noqa: TID251 the one place
