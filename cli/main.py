"""`musclemap VERB`: all commands as one, with completion for shells. `mm-VERB` is short for `musclemap VERB`."""

import importlib
import sys
from typing import Any

import typer
from typer.core import TyperCommand

from .program import HELP_OPTIONS, CommandGroup, Version

VERBS = {
    "download": "Download data sets, or write the built-in ones.",
    "retarget": "Convert motion capture to reference clips.",
    "validate": "Check whether the body can perform clips.",
    "view": "Show clips in the browser, or save images and videos.",
    "report": "Write the HTML report of a folder of clips.",
    "track": "Find the muscle excitations by which the body follows clips.",
    "train": "Train a policy that tracks clips.",
    "eval": "Evaluate a policy.",
    "export": "Write clips and policies for other programs.",
    "pack": "Pack clips into a bundle that can be published.",
    "reproduce": "Run a whole study and compare its numbers.",
    "info": "Print versions, devices, body models and licences.",
}
"""Verbs in the order of their use, each with its line of the help text; `cli/VERB.py` has the command."""


class _Verbs(CommandGroup):
    """Imports a command when it is run or completed; for the help text and for suggestions its line is enough."""

    program = "musclemap"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {verb: TyperCommand(verb, help=text) for verb, text in VERBS.items()}
        self._only_lines = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in VERBS or self._only_lines:
            return self.commands.get(cmd_name)
        return _command(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._only_lines = True
        super().format_help(ctx, formatter)


_group = typer.Typer(cls=_Verbs, pretty_exceptions_enable=False, context_settings=HELP_OPTIONS)


@_group.callback(invoke_without_command=True)
def _musclemap(ctx: typer.Context, version: Version = False) -> None:
    """Human motion capture to clips for muscle-driven bodies, and policies that track them."""
    if ctx.invoked_subcommand is None:
        from musclemap.cli.output.terminal_text import echo

        echo(ctx.get_help())


def main() -> None:
    """Run the command line."""
    verb = next(iter(sys.argv[1:]), "")
    if verb in VERBS:  # the command itself, so that it ends as it does under its own name
        _command(verb).main(sys.argv[2:], f"musclemap {verb}")
    else:
        typer.main.get_command(_group).main(prog_name="musclemap")


def _command(verb: str) -> Any:
    return typer.main.get_command(importlib.import_module(f"musclemap.cli.{verb}").app)


if __name__ == "__main__":
    main()
