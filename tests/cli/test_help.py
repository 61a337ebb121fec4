"""Help texts and completion: complete at any width, in the words of the user, for every command and shell."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from musclemap.cli.options.export import WITH_FINGERS, To
from musclemap.cli.output.completion import PROGRAMS, Shell, completion_script
from musclemap.cli.output.help_text import help_lines
from musclemap.cli.output.verbs import VERBS, as_typed, spelled_like
from musclemap.pipelines.export_formats import FORMATS

SOURCES = str(Path(__file__).parents[2] / "src")
WRITING = {"download", "retarget", "export", "pack", "train", "view", "eval"}
"""Commands that write to a place of the user's choice; the others work in the folder of the clips, or only print."""


def _command(verb: str) -> tuple[Any, Any]:
    command = typer.main.get_command(import_module(f"musclemap.cli.{verb}").app)
    return command, command.make_context(f"mm-{verb}", [], resilient_parsing=True)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("width", [60, 80, 140])
def test_help_fits_and_breaks_no_word(verb: str, width: int) -> None:
    command, context = _command(verb)
    lines = help_lines(command, context, width=width)
    text = " ".join("\n".join(lines).split())
    assert not re.search(r"<\w+>|None|Annotated|\[default: \]", text)
    for parameter in command.params:
        words = " ".join((parameter.help or "").split())
        assert words in text
        for name in parameter.opts if parameter.param_type_name == "option" and not parameter.secondary_opts else ():
            assert name in text.split(" ", 2)[2].replace(",", "").split()
    # only an option with its values, or an example, is longer than the terminal
    long = [line for line in lines if len(line) > width]
    assert not [line for line in long if not line.startswith(("  mm-", "      --", "  -", "  #"))]


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples_that_parse(verb: str) -> None:
    """Every example of a help text has only options that the command has, and not too many arguments."""
    command, _ = _command(verb)
    examples = [line.partition("  # ")[0] for line in (command.epilog or "").splitlines()]
    assert len(examples) >= 2
    for example in examples:
        name, *words = shlex.split(example)
        assert name == f"mm-{verb}"
        parser = command.make_context(name, ["-h"], resilient_parsing=True)
        command.parse_args(parser, list(words))
        assert not parser.args


def test_conventional_options_have_one_meaning() -> None:
    options: dict[str, dict[str, Any]] = {}
    for verb in VERBS:
        command, _ = _command(verb)
        for parameter in command.params:
            for name in parameter.opts:
                options.setdefault(name, {})[verb] = parameter
    assert set(options["--version"]) == set(VERBS)
    assert set(options["-o"]) == set(options["--output"]) == WRITING
    assert set(options["-j"]) == set(options["--jobs"]) == {"download", "retarget", "track"}
    assert options["--workers"] == options["-j"]  # the older name
    for name in ("--include", "--exclude"):
        assert {parameter.metavar for parameter in options[name].values()} == {"GLOB"}
        assert set(options[name]) >= {"retarget", "validate", "view", "track", "train", "eval", "export", "download"}
    assert set(options["--limit"]) == set(options["--exclude"])
    assert {parameter.min for parameter in options["--limit"].values()} == {1}
    assert set(options["--json"]) == set(VERBS) - {"view"}


def test_formats_with_fingers_are_those_of_the_exporter() -> None:
    assert set(WITH_FINGERS) == {to for to in To if to.value in FORMATS and FORMATS[to.value].fingers}


def test_commands_are_named_as_typed() -> None:
    text = "mm-retarget: see `mm-view out` or mm-view.html, a/mm-view and mm-viewer; mm-track."
    assert as_typed(text) == text
    with spelled_like("musclemap view"):
        assert as_typed(text) == (
            "musclemap retarget: see `musclemap view out` or mm-view.html, a/mm-view and mm-viewer; musclemap track."
        )
    with spelled_like("mm-view"):
        assert as_typed(text) == text


def _complete(program: str, words: str, **variables: str) -> list[str]:
    """What the program of a command prints for a shell."""
    verb = program.removeprefix("mm-") if program != "musclemap" else "main"
    env = {**os.environ, "PYTHONPATH": SOURCES, **variables}
    command = [sys.executable, "-m", f"musclemap.cli.{verb}"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True).stdout.split("\n")


def test_programs_answer_shells() -> None:
    bash = {"_MUSCLEMAP_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    assert "--treadmill" in _complete("mm-retarget", "", **bash, COMP_WORDS="mm-retarget --tre")
    verbs = _complete("musclemap", "", **bash, COMP_WORDS="musclemap re")
    assert [verb for verb in verbs if verb] == ["retarget", "report", "reproduce"]
    zsh = {"_MUSCLEMAP_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "mm-train --algo "}
    assert "dagger" in "\n".join(_complete("mm-train", "", **zsh))
    fish = {"_MUSCLEMAP_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert "--tracked" in "\n".join(_complete("mm-view", "", **fish, _TYPER_COMPLETE_ARGS="mm-view --tra"))


@pytest.mark.parametrize("shell", list(Shell))
def test_completion_scripts_are_accepted_by_their_shell(shell: Shell) -> None:
    script = completion_script(shell)
    assert all(program in script for program in PROGRAMS)
    assert ".bashrc" not in script
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")
    checked = subprocess.run([shell.value, "-n"], input=script, capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes_with_the_script(tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("no bash on this machine")
    program = tmp_path / "mm-track"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m musclemap.cli.track "$@"\n')
    program.chmod(0o755)
    ask = f"{completion_script(Shell.bash)}\nCOMP_WORDS=({program} --video-s) COMP_CWORD=1\n_musclemap {program}\n"
    env = {**os.environ, "PYTHONPATH": SOURCES}
    done = subprocess.run(
        ["bash", "-c", f'{ask}echo "${{COMPREPLY[@]}}"'], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "--video-seconds"
