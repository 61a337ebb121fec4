"""Checks of options against each other. An option that would have no effect is an error."""

from collections.abc import Collection
from pathlib import Path

import typer

from musclemap.errors import SettingsError


def given_options(ctx: typer.Context) -> dict[str, str]:
    """Return the parameters given on the command line, each with its option."""
    result = {}
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            result[parameter.name or ""] = parameter.opts[0]
    return result


def refuse_unused(ctx: typer.Context, used: Collection[str], *, subject: str) -> None:
    """Refuse options that this use of a command ignores.

    Args:
        ctx: Context of the command.
        used: Names of the parameters that have an effect.
        subject: Subject of the message, in the plural.

    Raises:
        SettingsError: If there is such an option; the message names all of them.
    """
    unused = [option for name, option in given_options(ctx).items() if name not in used]
    if unused:
        raise SettingsError(f"{subject} do not take {', '.join(unused)}")


def refuse_verbose_and_quiet(*, verbose: bool, quiet: bool) -> None:
    """Refuse -v together with -q.

    Raises:
        typer.BadParameter: If both are given.
    """
    if verbose and quiet:
        raise typer.BadParameter("-v and -q exclude each other")


def check_output_file(option: str, path: Path, ending: str) -> None:
    """Refuse a file that cannot be written, before hours of work.

    Raises:
        SettingsError: If its name has another ending or there is no such folder.
    """
    if path.suffix.lower() != ending:
        raise SettingsError(f"{option} {path.name} ends in {path.suffix or 'nothing'}; it has to end in {ending}")
    if not path.resolve().parent.is_dir():
        raise SettingsError(f"{option} {path}: there is no folder {path.resolve().parent}")
