"""MkDocs hook: the page of all commands, made from the commands themselves."""

import importlib
import inspect
import re
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from musclemap.cli.main import VERBS

PAGE = "commands.md"

HEAD = """# Commands

`mm-VERB` and `musclemap VERB` are the same. [The command line](command-line.md) says what all commands share. Every
command exits with 0 if all went well, 1 if some clips failed (each is named with its reason), 2 for wrong usage.

This page is made from the commands: each has the same text under `--help`.

"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, PAGE, content=commands_page()))
    return files


def commands_page() -> str:
    """All commands, in the order of their use."""
    return HEAD + "\n".join(_command_section(verb) for verb in VERBS)


def _command_section(verb: str) -> str:
    command: Any = typer.main.get_command(importlib.import_module(f"musclemap.cli.{verb}").app)
    context = command.make_context(f"mm-{verb}", [], resilient_parsing=True)
    usage = " ".join([f"mm-{verb}", *command.collect_usage_pieces(context)])
    records = [parameter.get_help_record(context) for parameter in command.params]  # None if hidden
    rows = [f"| `{record[0].strip()}` | {_cell(record[1])} |" for record in records if record]
    help_text = _escaped(inspect.cleandoc(command.help or ""))
    examples = [f"    {line}" for line in inspect.cleandoc(command.epilog or "").splitlines()]
    head = [f"## mm-{verb}", "", f"    {usage}", "", help_text, "", *examples, ""]
    head += ["| argument or option | meaning |", "| --- | --- |"]
    return "\n".join([*head, *rows, ""])


def _cell(text: str | None) -> str:
    """A text in a cell of a table."""
    return re.sub(r"\s+", " ", _escaped(text or "")).replace("|", "\\|")


def _escaped(text: str) -> str:
    """A plain text as Markdown; text between backticks stays code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*_\[\]])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)
