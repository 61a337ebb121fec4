"""Texts that terminals, pages and spreadsheets might interpret, and an output folder full of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from musclemap.datasets.clip import Clip, write_clip
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.imitation.task.arm_motions import arm_clips

TERMINAL = "t\x1b]0;title\x07\x1b[31mESCAPED\x1b[2J\x9b32mESCAPED\rc\nd\u202egnp\u2028\x7f"
MARKUP = "[red]r[/red][link=file:x]l[/link] :bomb:"

_SCRIPT = "<script>parent.PWN = 'script'</script>"

PAGE_TEXTS = (
    "<iframe srcdoc=\"<script>parent.PWN = 'iframe'</script>\"></iframe>",
    _SCRIPT,
    "<img src=x onerror=\"parent.PWN = 'img'\">",
    "<svg onload=\"parent.PWN = 'svg'\">",
    "a` <img src=x onerror=\"parent.PWN = 'code'\"> `b",
    "{parent.PWN = 'braces'}",
    "<a href=\"javascript:parent.PWN = 'a'\">here</a>",
    "[here](javascript:parent.PWN='link')",
    "![here](http://evil.example/picture.png)",
    "<http://evil.example/a> <me@evil.example>",
    "http://evil.example/b www.evil.example HTTPS://evil.example me@evil.example WWW.evil.example",
    "[here]: http://evil.example",
    "&lt;script&gt; &#60;script&#62; &amp;#60;",
    "**bold** _slanted_ ~~struck~~ # heading",
    "# heading",
    "- a list",
    "1. a list",
    "> a quote",
    "```\nfence\n```",
    "    code",
    "a\n\n<script>parent.PWN = 'block'</script>\n\nb",
    "| a | b |\n| --- | --- |\n| c | d |",
    "a  \nb\\\nc",
    "===",
    "---",
    "\\<script>",
    "<!-- comment",
    "<![CDATA[x]]>",
    "$\\href{javascript:parent.PWN='tex'}{x}$",
    "#ff0000 `#ff0000`",
    "\x1b[31mred\x1b[0m \x07 \x00 \x9b31m",
    "\u202egnp.exe\u202c \u2066a\u2069 \u200bb\u200d\ufeff",
    "half \ud800 of a pair, bytes \udcff\udc80 of a name",
    "\u2028line\u2029paragraph\u0085next",
    "x" * 100_000,
    "",
    " ",
    "Gehen – 歩く – مشي – é\u0301 ²",
)
"""Texts that a page might run, format or fail on."""


def image(mark: str) -> str:
    """HTML that runs a program and contains no slash, so that it can be a file name."""
    return f"<img src=x onerror=\"window.PWN&&PWN('{mark}')\">"


def script(mark: str) -> str:
    """HTML that ends a script and starts another."""
    return f"</script><script>window.PWN&&PWN('{mark}')</script><!--<script>"


NAMES = (
    TERMINAL, MARKUP, image("name"), '=HYPERLINK("http:evil","x")', "@SUM(1+1)*cmd|' -C calc'!A0", "-2+3+cmd",
    "+1+1", "\t=1+1", '"><svg onload=PWN("svg")>', "'; PWN('quote') ;'", "`${PWN('template')}`", "{PWN('mdx')}",
    "__proto__", "constructor", "toString", "bone\N{BONE}", "a&amp;b", "![x](http:evil.png)", "javascript:PWN('url')",
    "%3Cimg src=x%3E", "---", "latin\udce9",
)  # fmt: skip
"""File names. The last contains a byte that is not UTF-8."""


def hostile_metrics(mark: str) -> dict[str, Any]:
    """Metrics with hostile names and values."""
    return {
        "landmark_error_mm": 1e3, image(f"metric {mark}"): 1.0, script(f"metric {mark}"): 2.0, TERMINAL: 3.0,
        "__proto__": 4.0, "constructor": 5.0, "toString": 6.0, "valueOf": image(f"value {mark}"), "polluted": 7.0,
        "listed": [script(f"listed {mark}"), "__proto__"],
    }  # fmt: skip


def hostile_clip(source: str, *, licence: str = "CC0-1.0", mark: str = "clip") -> Clip:
    """A short clip of an unknown body in which every text is hostile."""
    (_, arm), = arm_clips(1, 0.05)  # fmt: skip
    reason = {"rule": image(f"rule {mark}"), "value": 1.0, "limit": 2.0, "frames": [[0, 2]], "at": script(f"at {mark}")}
    return replace(
        arm, source=source, licence=licence, model=image(f"model {mark}"), model_version=f"{{PWN('{mark}')}}{TERMINAL}",
        body_model=script(f"body {mark}"), fps_source=image(f"fps {mark}"), hands="locked", verdict="warn",
        metrics=hostile_metrics(mark), reasons=(reason, {**reason, "rule": "constructor"}), activation=None,
        activation_residual=None, software={image("software"): TERMINAL},
    )  # fmt: skip


def hostile_folder(out: Path) -> Path:
    """Write clips and failed sources in which every text is hostile, and a damaged manifest line."""
    entries = []
    licences = ("CC0-1.0", script("licence"), "=1+1", TERMINAL)
    for number, name in enumerate(NAMES):
        source = f"{name}/w.npz" if number % 2 else f"d/{name}.npz"
        clip = hostile_clip(source, licence=licences[number % 4], mark=str(number))
        path = source.removesuffix(".npz") + ".h5"
        entries.append(
            ManifestEntry(
                source=source, clip=path, clip_sha256=write_clip(out / path, clip), status="ok", nframe=clip.nframe,
                seconds=clip.duration, verdict=clip.verdict, metrics=clip.metrics, reasons=clip.reasons,
            )
        )  # fmt: skip
    entries.append(ManifestEntry(source=image("lost"), status="failed", reason=f"solver: {TERMINAL}{script('lost')}"))
    entries.append(ManifestEntry(source=TERMINAL, status="rejected", reason=f"bad_shape: {MARKUP}"))
    Manifest(entries=tuple(entries)).write(out / "manifest.jsonl")
    with (out / "manifest.jsonl").open("ab") as file:
        file.write(json.dumps({TERMINAL: script("line")}).encode() + b"\n")
    return out
