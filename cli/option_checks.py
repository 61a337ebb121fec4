"""Options that were given although nothing would read them: refused, so that none is obeyed in silence by nobody."""

from collections.abc import Collection

import typer

from musclemap.errors import SettingsError


def given(ctx: typer.Context) -> dict[str, str]:
    """Parameters that stand on the command line, each with the option that gives it."""
    result = {}
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            result[parameter.name or ""] = parameter.opts[0]
    return result


def refuse_unread(ctx: typer.Context, read: Collection[str], *, what: str) -> None:
    """Refuse options that `what` does not read.

    Args:
        ctx: Of the command.
        read: Names of the parameters that are read.
        what: Subject of the message's sentence, in the plural.

    Raises:
        SettingsError: There is one; the message names it.
    """
    unread = [option for name, option in given(ctx).items() if name not in read]
    if unread:
        raise SettingsError(f"{what} do not take {', '.join(unread)}")
