"""Help texts of the commands: plain text, wrapped between words at the width of the terminal.

    -o, --output DIR    Folder for the clips.
        --up auto|z|y   Axis that points up. [default: auto]
"""

import shutil
import textwrap
from enum import Enum
from typing import Any

from .verbs import as_typed

WIDTHS = (40, 100)
"""Narrowest and widest text, in columns: longer lines are hard to read."""

HEAD = 26
"""Columns for an option; a longer one has its text on the next line."""

MANY = 100_000
"""Upper limits from here on are not worth a word."""

_PLACEHOLDERS = {int: "N", float: "X", str: "TEXT"}


def help_lines(command: Any, context: Any, *, width: int | None = None) -> list[str]:
    """Return the help text of a command.

    Args:
        command: Typer's command or group. Its epilog has an example per line: a command, or `command  # comment`.
        context: Its context.
        width: Columns; those of the terminal if None, within `WIDTHS`.
    """
    columns = width or shutil.get_terminal_size((80, 24)).columns
    columns = min(max(columns - 1, WIDTHS[0]), WIDTHS[1])
    lines = _wrapped(_usage(command, context), columns, after="  ")
    for paragraph in (command.help or "").split("\n\n"):
        lines += ["", *_wrapped(as_typed(paragraph), columns)]
    for title, rows in _sections(command, context).items():
        lines += ["", f"{title}:"]
        for head, text in rows:
            lines += _row(head, as_typed(text), columns)
    if command.epilog:
        lines += ["", "Examples:", *_examples(as_typed(command.epilog).splitlines(), columns)]
    return lines


def _examples(examples: list[str], columns: int) -> list[str]:
    """Commands with their comments behind them, or above them if the terminal is too narrow."""
    pairs = [(command.strip(), comment) for command, _, comment in (line.partition("  # ") for line in examples)]
    widest = max((len(command) for command, comment in pairs if comment), default=0)
    aligned = [f"  {command:{widest}}  # {comment}" if comment else f"  {command}" for command, comment in pairs]
    if max(map(len, aligned)) <= columns:
        return aligned
    return [line for command, comment in pairs for line in ([f"  # {comment}"] * bool(comment) + [f"  {command}"])]


def usage(command: Any, context: Any) -> str:
    """Return how a command is called, such as "mm-view CLIPS [CLIP]", without the options that may be left out."""
    required = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    options = [_option_head(parameter).strip() for parameter in required if parameter.required]
    arguments = [_argument_usage(each) for each in command.params if each.param_type_name == "argument"]
    return " ".join([as_typed(context.command_path), *arguments, *options])


def _usage(command: Any, context: Any) -> str:
    words = usage(command, context)
    return f"Usage: {words} " + ("COMMAND ..." if hasattr(command, "commands") else "[OPTIONS]")


def _sections(command: Any, context: Any) -> dict[str, list[tuple[str, str]]]:
    """Rows of option and text, by heading."""
    sections: dict[str, list[tuple[str, str]]] = {}
    if hasattr(command, "commands"):
        sections["Commands"] = [(f"  {name}", text.help or "") for name, text in command.commands.items()]
    shown = [each for each in command.get_params(context) if not getattr(each, "hidden", False)]
    arguments = [each for each in shown if each.param_type_name == "argument"]
    if arguments:
        sections["Arguments"] = [(f"  {each.display_name_raw}", _text(each, context)) for each in arguments]
    options = [each for each in shown if each.param_type_name == "option"]
    for each in sorted(options, key=lambda option: _panel(option) != "Options"):
        sections.setdefault(_panel(each), []).append((_option_head(each), _text(each, context)))
    return sections


def _panel(option: Any) -> str:
    return getattr(option, "rich_help_panel", None) or "Options"


def _option_head(option: Any) -> str:
    """Short form, long forms, and what follows: `-o, --output DIR`."""
    short = next((name for name in option.opts if not name.startswith("--")), None)
    long = ", ".join(name for name in option.opts if name.startswith("--"))
    if option.secondary_opts:
        opposite = option.secondary_opts[0]
        long = f"--[no-]{long[2:]}" if opposite == f"--no-{long[2:]}" else f"{long}, {opposite}"
    start = f"  {short}, " if short else "      "
    return f"{start}{long}" + ("" if option.is_flag else f" {_placeholder(option)}")


def _placeholder(option: Any) -> str:
    kind = option.type_descriptor
    if option.metavar is not None:
        return option.metavar
    if kind.is_choice:
        return "|".join(str(choice.value) for choice in kind.choices)
    return "PATH" if kind.is_path else _PLACEHOLDERS.get(kind.annotation, "N" if kind.is_ranged else "TEXT")


def _argument_usage(argument: Any) -> str:
    name = argument.display_name_raw
    return name if argument.required else f"[{name}]"


def _text(parameter: Any, context: Any) -> str:
    """Help, then default and range."""
    facts = [f"default: {default}"] if (default := _default(parameter, context)) else []
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if least is not None and most is not None and most < MANY:
        facts.append(f"{least:g} to {most:g}")
    if parameter.required and parameter.param_type_name == "option":
        facts.append("required")
    return (parameter.help or "") + (f" [{'; '.join(facts)}]" if facts else "")


def _default(parameter: Any, context: Any) -> str:
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    value = parameter.get_default(context, call=False)
    if not parameter.show_default or value is None or (value is False and not getattr(parameter, "secondary_opts", ())):
        return ""
    if isinstance(value, bool):
        opposite = parameter.secondary_opts[0]
        if opposite.startswith("--no-"):
            return "on" if value else "off"
        return parameter.opts[0] if value else opposite
    if isinstance(value, float):
        return f"{value:g}"
    return str(value.value if isinstance(value, Enum) else value)


def _row(head: str, text: str, columns: int) -> list[str]:
    body = _wrapped(text, columns - HEAD - 2) or [""]
    if len(head) > HEAD:
        return [head, *(f"{'':{HEAD}}  {line}" for line in body)]
    return [f"{start:{HEAD}}  {line}".rstrip() for start, line in zip([head, *[""] * len(body)], body, strict=False)]


def _wrapped(text: str, columns: int, *, after: str = "") -> list[str]:
    return textwrap.wrap(
        text, columns, subsequent_indent=after, break_long_words=False, break_on_hyphens=False
    )  # fmt: skip
