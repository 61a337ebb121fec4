"""A page put together from its parts: template, style, programs and data, all in one file."""

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from musclemap.datasets.manifest import strict_json

DIGITS = 5
"""Significant digits of the figures in a page."""


def assemble(template: str, scripts: Sequence[str], data: dict[str, Any], *, digits: int = DIGITS) -> bytes:
    """Put data, style and programs into a template. Whatever came from outside is data: JSON in ASCII, without "<".

    Args:
        template: File with `{{style}}`, `{{data}}` and `{{script}}`; it and the programs lie beside this module.
        scripts: Programs, one after the other.
        data: Plain values.
        digits: Significant digits of numbers.
    """
    here = files("musclemap.pipelines.report")
    script = "\n".join(here.joinpath(part).read_text("utf-8") for part in scripts)
    text = strict_json(rounded(data, digits=digits)).replace("<", "\\u003c")
    parts = {"style": here.joinpath("report.css").read_text("utf-8"), "script": script, "data": text}
    page = here.joinpath(template).read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page).encode("utf-8")


def rounded(value: Any, *, digits: int) -> Any:
    """Plain values with every float cut to so many significant digits, and whole ones written without a point."""
    if isinstance(value, float):
        short = float(f"{value:.{digits}g}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    if isinstance(value, dict):
        return {key: rounded(item, digits=digits) for key, item in value.items()}
    return [rounded(item, digits=digits) for item in value] if isinstance(value, list | tuple) else value
