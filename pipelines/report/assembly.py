"""A page put together from its parts: template, style, programs and data, all in one file.

Text from outside is data and becomes text of the page; should that ever fail, the page's policy (Content Security
Policy, level 3) is a second wall: the browser runs the page's own program, known by its hash, and what that program
loads, and neither other programs nor handlers in attributes; it draws pictures that are in the page, and fetches
nothing.
"""

import base64
import hashlib
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
        template: File with `{{policy}}`, `{{style}}`, `{{data}}` and `{{script}}`; it and the programs lie beside this
            module.
        scripts: Programs, one after the other.
        data: Plain values.
        digits: Significant digits of numbers.
    """
    here = files("musclemap.pipelines.report")
    script = "\n".join(here.joinpath(part).read_text("utf-8") for part in scripts)
    text = strict_json(rounded(data, digits=digits)).replace("<", "\\u003c")
    style = here.joinpath("report.css").read_text("utf-8")
    parts = {"style": style, "script": script, "data": text, "policy": _policy(f"\n{script}\n", f"\n{style}\n")}
    page = here.joinpath(template).read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page).encode("utf-8")


def _policy(script: str, style: str) -> str:
    """What the browser may run and load: programs and style between their tags as given, byte for byte."""
    rules = {
        "default-src": "'none'",
        "script-src": f"{_hash(script)} 'strict-dynamic'",
        "style-src": _hash(style),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}'"


def rounded(value: Any, *, digits: int) -> Any:
    """Plain values with every float cut to so many significant digits, and whole ones written without a point."""
    if isinstance(value, float):
        short = float(f"{value:.{digits}g}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    if isinstance(value, dict):
        return {key: rounded(item, digits=digits) for key, item in value.items()}
    return [rounded(item, digits=digits) for item in value] if isinstance(value, list | tuple) else value
