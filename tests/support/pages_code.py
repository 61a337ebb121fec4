"""Runs the code of a Markdown page: Python in one namespace, and commands of musclemap, in the order of the page."""

import contextlib
import importlib
import io
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import typer
from matplotlib import pyplot

ROOT = Path(__file__).parents[2]

BLOCK = re.compile(r"^( *)```(python|bash)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of code."""

    language: str
    code: str


def code_blocks(page: str) -> list[Block]:
    """Python and shell code of a page, a path below the root of the repository."""
    text = (ROOT / page).read_text("utf-8")
    return [
        Block(language, "".join(line.removeprefix(indent) for line in code.splitlines(True)))
        for indent, language, code in BLOCK.findall(text)
    ]


def run_python(code: str, variables: dict[str, Any], *, name: str) -> str:
    """Run Python code; return what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(code, name, "exec"), variables)
    pyplot.close("all")
    return output.getvalue()


def run_command(line: str) -> int:
    """Run a line such as `mm-retarget motions clips` in this process; return its exit status."""
    program, *arguments = shlex.split(line)
    app = importlib.import_module(f"musclemap.cli.{program.removeprefix('mm-')}").app
    command: Any = typer.main.get_command(app)
    return command.main(arguments, program, standalone_mode=False)


def run_page(page: str) -> tuple[dict[str, Any], str]:
    """Run all code of a page in the current folder.

    Returns:
        The variables of the Python code, and what it printed.
    """
    variables: dict[str, Any] = {}
    printed = ""
    for language, code in code_blocks(page):
        if language == "python":
            printed += run_python(code, variables, name=page)
        else:
            for line in code.splitlines():
                assert run_command(line) == 0, line
    return variables, printed
