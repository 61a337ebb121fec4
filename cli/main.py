"""`musclemap VERB`: all commands as one, with completion for shells. `mm-VERB` is short for `musclemap VERB`."""

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from .output.completion import Shell, completion_script
from .output.terminal_text import echo_lines
from .output.verbs import VERBS
from .program import HELP_OPTIONS, CommandGroup, Version


class _Verbs(CommandGroup):
    """Imports a command when it is run or completed; for the help text and for suggestions its line is enough."""

    program = "musclemap"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {verb: TyperCommand(verb, help=text) for verb, text in VERBS.items()}

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return _command(cmd_name) if cmd_name in VERBS else None


def _print_script(shell: Shell | None) -> None:
    if shell is not None:
        echo_lines(completion_script(shell).splitlines())
        raise typer.Exit


Completion = Annotated[
    Shell | None,
    typer.Option(
        help="Print the script by which a shell completes all commands, and exit.", callback=_print_script,
        is_eager=True, expose_value=False,
    ),
]  # fmt: skip

_EXAMPLES = (
    "musclemap download builtin-walk walk/            # a clip and its muscles",
    "musclemap view walk/                             # in the browser",
    "musclemap retarget amass/ out/                   # convert your motions",
    "musclemap retarget -h                            # options and examples of a command",
    'eval "$(musclemap --completion bash)"            # complete commands in this shell',
    'eval "$(musclemap --completion zsh)"',
    "musclemap --completion fish | source",
)

_group = typer.Typer(
    cls=_Verbs, add_completion=False, pretty_exceptions_enable=False, context_settings=HELP_OPTIONS,
    epilog="\n".join(_EXAMPLES),
)  # fmt: skip


@_group.callback(invoke_without_command=True)
def _musclemap(ctx: typer.Context, completion: Completion = None, version: Version = False) -> None:
    """Human motion capture to clips for muscle-driven bodies, and policies that track them.

    mm-VERB is short for musclemap VERB. Every command exits with 0 on success, 1 if some clips failed (each is named
    with its reason), 2 for wrong usage, 130 after Ctrl-C.
    """
    if ctx.invoked_subcommand is None:
        echo_lines(ctx.get_help().splitlines())


def main() -> None:
    """Run the command line."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["help"]:  # as git and others have it
        arguments = [*arguments[1:2], "-h"]
    verb = next(iter(arguments), "")
    if verb in VERBS:  # the command itself, so that it ends as it does under its own name
        _command(verb).main(arguments[1:], f"musclemap {verb}")
    else:
        typer.main.get_command(_group).main(arguments, prog_name="musclemap")


def _command(verb: str) -> Any:
    return typer.main.get_command(importlib.import_module(f"musclemap.cli.{verb}").app)


if __name__ == "__main__":
    main()
