"""The status page leaves out no page that says that something was not measured, not run or missed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SHORTFALL = re.compile(
    r"not (?:been )?(?:yet )?(?:measured|tested|run)\b|never run|not run here|\bmissed\b|has not been run|not compared",
    re.IGNORECASE,
)
"""Phrases with which the pages admit that something was not done or not reached."""



def _mentioning() -> list[str]:
    """Pages with such a phrase that do not themselves refer to the status page."""
    pages = {path: path.read_text("utf-8") for path in (ROOT / "docs").rglob("*.md") if path.name != "status.md"}
    found = [path for path, text in pages.items() if SHORTFALL.search(text.replace("\n", " "))]
    return sorted(path.relative_to(ROOT / "docs").as_posix() for path in found if "status.md)" not in pages[path])


def test_the_phrases_are_found() -> None:
    assert {"benchmarks.md", "validation.md", "world-model.md", "reproduce.md", "python.md"} <= set(_mentioning())


@pytest.mark.parametrize("page", _mentioning())
def test_the_status_page_links_to_every_page_with_a_shortfall(page: str) -> None:
    text = (ROOT / "docs" / "status.md").read_text("utf-8")
    assert re.search(rf"\]\({re.escape(page)}(#[^)]*)?\)", text), f"status.md does not mention {page}"


def test_missed_targets_are_repeated_with_their_figures() -> None:
    """Every bold figure that a benchmark table calls missed is in the status page."""
    missed = re.findall(r"\*\*([\d.]+)[^*|]*: missed\*\*", (ROOT / "docs" / "benchmarks.md").read_text("utf-8"))
    text = (ROOT / "docs" / "status.md").read_text("utf-8")
    assert len(missed) >= 5
    assert not [figure for figure in missed if not re.search(rf"\b{re.escape(figure)}\b", text)]
