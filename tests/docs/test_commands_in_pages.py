"""Commands, Make targets, scripts and figures that the pages name exist."""

import importlib
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from musclemap.cli.main import VERBS

from ..support.pages_code import code_blocks, run_python

ROOT = Path(__file__).parents[2]

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
)

COMMAND = re.compile(r"^ *(?:\.venv/bin/)?(?:mm-|musclemap )([a-z]+)((?:.*\\\n)*.*)$", re.MULTILINE)
"""A command at the beginning of a line of code, with its continuation lines; VERB in capitals stands for any."""


@cache
def _options(verb: str) -> frozenset[str]:
    command: Any = typer.main.get_command(importlib.import_module(f"musclemap.cli.{verb}").app)
    names = {name for option in command.params for name in [*option.opts, *option.secondary_opts]}
    return frozenset({*names, "--help", "-h"})


def _code(page: str) -> str:
    """Indented and fenced code of a page."""
    text = (ROOT / page).read_text("utf-8")
    fenced = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return "\n".join([*fenced, *re.findall(r"^ {4}.*$", text, re.MULTILINE)])


def _spans(page: str) -> list[str]:
    """Code between backticks."""
    return re.findall(r"`([^`\n]+)`", (ROOT / page).read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_the_options_that_a_page_gives_them(page: str) -> None:
    commands = COMMAND.findall(_code(page))
    commands += [match for span in _spans(page) for match in COMMAND.findall(span)]
    for verb, rest in commands:
        assert verb in VERBS, f"{verb}{rest}"
        words = re.split(r" {3,}(?=[a-z0-9])| #|;|\|", rest)[0]  # explanations stand right of the command
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", words):
            assert option in _options(verb), f"mm-{verb}{rest}"


def test_a_wrong_option_is_found() -> None:
    assert COMMAND.findall("    mm-track out \\\n        --wrong 3\n") == [("track", " out \\\n        --wrong 3")]
    assert "--wrong" not in _options("track")
    assert {"--seconds", "--json", "-q"} <= _options("track")


def test_most_commands_are_in_the_pages() -> None:
    """The pattern finds commands at all."""
    found = {verb for page in PAGES for verb, _ in COMMAND.findall(_code(page))}
    assert found >= set(VERBS)


@cache
def _targets() -> frozenset[str]:
    text = (ROOT / "Makefile").read_text() + (ROOT / "study.mk").read_text()
    return frozenset(re.findall(r"^([a-z][a-z-]*):.*## ", text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_and_benchmarks_exist(page: str) -> None:
    code = "\n".join([_code(page), *_spans(page)])
    for line in re.findall(r"^ *make((?: [\w=./,-]+)+)", code, re.MULTILINE):
        for word in line.split():
            if re.fullmatch(r"[a-z][a-z-]+", word):
                assert word in _targets(), line
    for script in re.findall(r"\bbenchmarks/[\w/.-]+\.(?:py|sh|toml|safetensors)\b", code):
        assert (ROOT / script).exists(), script


def test_make_knows_the_targets_of_the_readme() -> None:
    words = re.findall(r"^    make (\w+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert words == ["demo", "test"]
    assert {"demo", "test", "docs", "wheel", "lint", "type"} <= _targets()
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert all(f"make {word}" in done.stdout for word in words)


def test_the_readme_is_one_screen_with_a_picture_and_three_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert text.count("\n") <= 60
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert (ROOT / picture).is_file()
    assert [verb for verb, _ in COMMAND.findall(_code("README.md"))] == ["download", "eval", "retarget"]
    assert "pip install" in text


def test_every_figure_of_the_readme_has_a_command_and_a_page() -> None:
    """The first number of each row is on a page that documents how it was measured."""
    rows = [line.split("|")[1:-1] for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| ")]
    figures = [row for row in rows[1:] if not set(row[0]) <= {" ", "-"}]
    assert len(figures) == 5
    pages = "\n".join((ROOT / "docs" / page).read_text() for page in ("benchmarks.md", "truth.md", "training.md"))
    for row in figures:
        assert re.search(r"`(make|python) [^`]+`", row[3]), row
        numbers = re.findall(r"\b\d[\d,.]*\d\b", row[1])
        assert all(number in pages for number in numbers[:1]), row


@pytest.mark.parametrize("page", ["docs/start/biomechanics.md", "docs/start/rl.md"])
def test_the_code_of_the_quick_starts_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [code for language, code in code_blocks(page) if language == "python"]
    assert blocks
    for code in blocks:
        assert run_python(code, {}, name=page).strip()
