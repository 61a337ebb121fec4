"""Assemble an HTML page from a template, a style sheet, scripts and data, all in one file.

Text from files enters the page as data and is shown as text only. A Content Security Policy (level 3) is the second
line of defence: the browser runs the page's own script, identified by its hash, and scripts that it loads, but no other
scripts or inline event handlers; it shows embedded images and films only and fetches nothing.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from musclemap.datasets.manifest import strict_json

SCRIPTS = ("basics.js", "figure.js", "curves.js", "histograms.js", "details.js")
"""Scripts that the pages share, in order."""

DIGITS = 5
"""Significant digits of the numbers in a page."""


def assemble(template: str, scripts: Sequence[str], data: dict[str, Any], *, digits: int = DIGITS) -> bytes:
    """Fill a template with data, style and scripts. The data becomes ASCII JSON without "<", so it is never markup.

    Args:
        template: Name of a file beside this module with `{{csp}}`, `{{style}}`, `{{data}}` and `{{script}}`.
        scripts: Names of script files beside this module, in order.
        data: Plain values.
        digits: Significant digits of numbers.

    Returns:
        The page in UTF-8.
    """
    folder = files("musclemap.pipelines.report")
    script = "\n".join(folder.joinpath(part).read_text("utf-8") for part in scripts)
    text = strict_json(rounded(data, digits=digits)).replace("<", "\\u003c")
    style = folder.joinpath("report.css").read_text("utf-8")
    parts = {
        "style": style,
        "script": script,
        "data": text,
        "csp": _content_security_policy(f"\n{script}\n", f"\n{style}\n"),
    }
    page = folder.joinpath(template).read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page).encode("utf-8")


def _content_security_policy(script: str, style: str) -> str:
    """Content Security Policy for a script and a style sheet, given byte for byte as they stand between their tags."""
    rules = {
        "default-src": "'none'",
        "script-src": f"{_hash(script)} 'strict-dynamic'",
        "style-src": _hash(style),
        "img-src": "data:",
        "media-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}'"


def rounded(value: Any, *, digits: int) -> Any:
    """Round every float in plain values to significant digits; whole numbers become integers."""
    if isinstance(value, float):
        short = float(f"{value:.{digits}g}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    if isinstance(value, dict):
        return {key: rounded(item, digits=digits) for key, item in value.items()}
    return [rounded(item, digits=digits) for item in value] if isinstance(value, list | tuple) else value
