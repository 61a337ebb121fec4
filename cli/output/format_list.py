"""The list of formats that `mm-retarget` reads."""

import typer

from .terminal_text import echo_lines


def list_formats(requested: bool) -> None:
    """Callback of `--list-formats`: print every format that is read, and exit."""
    if not requested:
        return
    from musclemap.datasets.formats.readers.table import READERS

    lines = []
    for reader in READERS:
        lines += [f"{reader.name} ({' '.join(reader.suffixes)})", f"    written by: {reader.written_by}"]
        lines += [f"    read: {reader.reads}", f"    assumed: {reader.assumes}"]
    echo_lines([*lines, "docs/formats.md has keys and shapes."])
    raise typer.Exit
