"""`make demo` and `make walk`: their commands exist, take these options, and read the files of earlier ones."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from musclemap.pipelines.builtin_walk import WALK_CLIP

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


def planned(*words: str) -> list[list[str]]:
    """Commands that `make` would run in an installed tree, without those in `$(...)`."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", "--dry-run", "--assume-old=.venv/.installed-dev", *words]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=60)
    text = re.sub(r"\$\(.*?\)", "", done.stdout.replace("\\\n", " "))
    return [shlex.split(line) for line in text.splitlines() if line.startswith(".venv/bin/")]


@pytest.fixture(scope="module")
def demo() -> list[list[str]]:
    return planned("demo", "DEMO_SECONDS=7")


def test_demo_uses_options_that_exist(demo: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [Path(words[0]).name for words in demo]
    assert names == [
        "python", "mm-retarget", "mm-track", "mm-view", "mm-download", "mm-eval", "mm-download", "mm-train", "mm-eval"
    ]  # fmt: skip
    for folder in ("source", "clips", "walk", "arm", "arm-run"):  # options that are files or folders must exist
        (tmp_path / "out/demo" / folder).mkdir(parents=True)
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks", ignore=shutil.ignore_patterns("*.py"))
    monkeypatch.chdir(tmp_path)
    for name, words in zip(names[1:], demo[1:], strict=True):
        app = importlib.import_module(f"musclemap.cli.{name.removeprefix('mm-')}").app
        typer.main.get_command(app).make_context(name, words[1:])


def test_demo_shows_the_policy_that_walks_and_trains_only_the_arm(demo: list[list[str]]) -> None:
    commands = {Path(words[0]).name: words[1:] for words in demo}  # of repeated commands the last
    assert commands["mm-track"] == ["out/demo/clips", "walk_1.2"]
    unpacked, shown = (words[1:] for words in demo[4:6])
    assert unpacked == ["builtin-walk", "out/demo/walk"]
    assert shown[:3] == ["out/demo/walk", "--dataset", "out/demo/walk"]
    assert shown[3:7] == ["--video", "out/demo/walk.mp4", "--video-seconds", "3"]
    assert commands["mm-view"][:2] == ["out/demo/clips", WALK_CLIP]  # mm-view takes the whole path
    training = commands["mm-train"]
    assert training[training.index("--dataset") + 1] == commands["mm-download"][1] == "out/demo/arm"
    assert commands["mm-download"][0] == "builtin-arm"
    assert training[training.index("--max-seconds") + 1] == "7"
    assert (ROOT / training[training.index("--config") + 1]).is_file()
    assert commands["mm-eval"][0] == training[training.index("--run") + 1]


def test_make_walk_runs_the_script() -> None:
    assert planned("walk") == [[".venv/bin/python", "benchmarks/walk.py"]]
