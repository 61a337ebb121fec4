"""Links between the pages and to files of the repository work on GitHub as they stand."""

import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

CODE = re.compile(r"^ *```.*?^ *```|^(?: {4}[^\n]*\n)+|`[^`\n]+`", re.MULTILINE | re.DOTALL)

MAX_IMAGES = 3_000_000
"""Bytes of all pictures in the repository, which every clone downloads."""


def links(text: str) -> list[str]:
    """Targets of the links and pictures of a page, outside code."""
    return re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", text))


def anchors(text: str) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    counts: Counter[str] = Counter()
    found = set()
    outside = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    for title in re.findall(r"^#+ +(.+)$", outside, re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(slug if not counts[slug] else f"{slug}-{counts[slug]}")
        counts[slug] += 1
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: str) -> None:
    path = ROOT / page
    for link in links(path.read_text("utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = unquote(link).partition("#")
        file = path if not target else (path.parent / target).resolve()
        assert file.is_relative_to(ROOT), link
        assert file.is_file(), link
        if anchor:
            assert anchor in anchors(file.read_text("utf-8")), link


def test_a_broken_link_is_found() -> None:
    assert links("see [a](b.md#c) and ![d](e.png), not `[f](g)`\n\n    [h](i)\n") == ["b.md#c", "e.png"]
    assert anchors("# Who's *there*?\n## A, b (c)\n## A, b (c)\n```\n# no\n```\n") == {"whos-there", "a-b-c", "a-b-c-1"}


def test_every_picture_is_shown_and_small() -> None:
    shown = {
        (path.parent / link).resolve()
        for path in (ROOT / page for page in PAGES)
        for link in links(path.read_text("utf-8"))
        if "images/" in link
    }
    pictures = [path for path in (ROOT / "docs" / "images").rglob("*") if path.is_file()]
    assert not set(pictures) - shown
    assert sum(path.stat().st_size for path in pictures) < MAX_IMAGES
