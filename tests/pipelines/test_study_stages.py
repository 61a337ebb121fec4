"""`make reproduce` and its stages: `make -n` prints what would run, and only stale stages run.

The real Makefile runs on a copy of the tree in which the commands only note that they were called.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ..test_architecture import GRAPH

ROOT = Path(__file__).parents[2]
STAGES = ["download", "retarget", "validate", "report"]
HASHED = re.search(r"^CODE := (.*) -name", (ROOT / "study.mk").read_text(), re.MULTILINE)[1].split()  # pyright: ignore[reportOptionalSubscript]
"""Files and folders whose code determines the numbers in clips, as study.mk lists them."""

COMMANDS = ("python", "mm-download", "mm-retarget", "mm-validate", "mm-report", "mm-reproduce", "mm-train", "mm-eval")

FAKE = """#!/bin/bash
name=$(basename "$0")
{ printf '%s' "$name"; printf '\\t%s' "$@"; echo; } >> calls
last=${!#}
case $name in
    python) mkdir -p "$last" && [ -e "$last/m.npz" ] || echo motion > "$last/m.npz";;
    mm-retarget) mkdir -p "$last" && echo line > "$last/manifest.jsonl";;
    mm-report) touch "$last/report.html";;
esac
exit "$(cat "status-$name" 2>/dev/null || echo 0)"
"""
"""Records its name and arguments, creates the files of the real command, and exits with the status in a file."""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


class Tree:
    """Copy of the files that the stages depend on."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("Makefile", "study.mk"):
            shutil.copy(ROOT / name, root)
        for place in (*HASHED, "cli", "pipelines/study"):
            self.write(place if place.endswith(".py") else f"{place}/code.py", "x = 1\n")
        for command in COMMANDS:
            self.write(f".venv/bin/{command}", FAKE).chmod(0o755)
        self.write(".venv/lib/python3/site-packages/jax-1.dist-info/RECORD", "")
        self.write("archive/KIT/3/a b_poses.npz", "motion")
        self.write("models/smplh.npz", "model")
        for age, name in ((30, "pyproject.toml"), (20, ".venv/.made"), (10, ".venv/.installed-dev")):
            path = self.write(name, "")
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def make(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")} | environment
        return subprocess.run(["make", *words], cwd=self.root, env=env, capture_output=True, text=True, timeout=60)

    def ran(self, *words: str, status: int = 0) -> list[list[str]]:
        """Commands that `make` runs, each with its arguments."""
        calls = self.root / "calls"
        calls.unlink(missing_ok=True)
        done = self.make(*words)
        assert (done.returncode != 0) == (status != 0), done.stderr
        return [line.split("\t") for line in calls.read_text().splitlines()] if calls.exists() else []

    def planned(self, *words: str) -> list[str]:
        """Stages whose commands `make -n` prints."""
        done = self.make("-n", *words)
        assert done.returncode == 0, done.stderr
        assert not (self.root / "calls").exists()
        return stages(re.findall(r"^\.venv/bin/(\S+)", done.stdout, re.MULTILINE))


def stages(commands: list[str]) -> list[str]:
    """Stages of commands, by name; the comparison is not a stage."""
    names = ["download" if command == "python" else command.removeprefix("mm-") for command in commands]
    return [name for name in names if name != "reproduce"]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_built_in_motions_pass_every_stage_and_are_compared(tree: Tree) -> None:
    assert tree.planned("reproduce") == STAGES
    calls = tree.ran("reproduce")
    assert stages([call[0] for call in calls]) == STAGES
    assert calls[1] == ["mm-retarget", "--no-report", "out/study/builtin/source", "out/study/builtin/clips"]
    assert calls[2][1:] == ["--muscles", "--no-report", "out/study/builtin/clips"]
    assert calls[-1] == ["mm-reproduce", "out/study/builtin/clips", "builtin"]


def test_all_code_that_makes_clips_is_hashed() -> None:
    """Changes of any module that the conversion or the checks import, directly or indirectly, make a study stale."""
    made = {ROOT / "retarget/retargeter.py", ROOT / "pipelines/convert/batch.py", ROOT / "pipelines/validation.py"}
    waiting = list(made)
    while waiting:
        new = GRAPH[waiting.pop()] - made
        made |= new
        waiting += new
    assert len(made) > 50
    hashed = [ROOT / place for place in HASHED]
    assert [path for path in sorted(made) if not any(path.is_relative_to(place) for place in hashed)] == []


def test_a_finished_study_is_only_compared_again(tree: Tree) -> None:
    tree.ran("reproduce")
    assert [call[0] for call in tree.ran("reproduce")] == ["mm-reproduce"]
    (tree.root / "calls").unlink()
    for stage in STAGES:
        assert tree.planned(stage) == []


ARCHIVE = ("AMASS=archive", "BODY_MODELS=models", "GROUP=kit-kinesis-train", "OUT=o")


def _edit(name: str, text: str):
    return lambda tree: tree.write(name, text)


def _touch(name: str):
    return lambda tree: os.utime(tree.root / name, (1e9, 1e9))


def _rename(name: str, new: str):
    return lambda tree: (tree.root / name).rename(tree.root / new)


def _remove(name: str):
    path = lambda tree: tree.root / name  # noqa: E731
    return lambda tree: shutil.rmtree(path(tree)) if path(tree).is_dir() else path(tree).unlink()


DISTURBANCES = {
    "nothing": (lambda tree: None, ()),
    "motion touched": (_touch("archive/KIT/3/a b_poses.npz"), STAGES),
    "motion added": (_edit("archive/KIT/3/c_poses.npz", "motion"), STAGES),
    "motion renamed": (_rename("archive/KIT/3/a b_poses.npz", "archive/KIT/3/c_poses.npz"), STAGES),
    "motion removed": (_remove("archive/KIT/3/a b_poses.npz"), STAGES),
    "body model touched": (_touch("models/smplh.npz"), STAGES),
    "solver changed": (_edit("retarget/code.py", "x = 2\n"), STAGES),
    "checks changed": (_edit("pipelines/validation.py", "x = 2\n"), STAGES),
    "solver touched": (_touch("retarget/code.py"), ()),
    "command changed": (_edit("cli/code.py", "x = 2\n"), ()),
    "comparison changed": (_edit("pipelines/study/code.py", "x = 2\n"), ()),
    "package upgraded": (_edit(".venv/lib/python3/site-packages/jax-2.dist-info/RECORD", ""), STAGES),
    "clips removed": (_remove("o/clips"), STAGES[1:]),
    "page removed": (_remove("o/clips/report.html"), STAGES[3:]),
    "all removed": (_remove("o"), STAGES),
}


@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_make_n_prints_what_runs_and_only_stale_stages_run(tree: Tree, disturbance: str) -> None:
    disturb, expected = DISTURBANCES[disturbance]
    tree.ran("reproduce", *ARCHIVE)
    (tree.root / "calls").unlink()
    disturb(tree)
    assert tree.planned("reproduce", *ARCHIVE) == list(expected)
    assert tree.planned("reproduce", *ARCHIVE) == list(expected)  # a dry run changes nothing
    assert stages([call[0] for call in tree.ran("reproduce", *ARCHIVE)]) == list(expected)
    (tree.root / "calls").unlink()
    assert tree.planned("reproduce", *ARCHIVE) == []


@pytest.mark.parametrize("changed", ["AMASS=./archive", "BODY_MODELS=./models", "GROUP=kit-kinesis-test"])
def test_other_options_make_everything_stale_and_make_n_does_not_change_that(tree: Tree, changed: str) -> None:
    tree.ran("reproduce", *ARCHIVE)
    (tree.root / "calls").unlink()
    assert tree.planned("reproduce", *ARCHIVE, changed) == STAGES
    assert tree.planned("reproduce", *ARCHIVE) == []
    tree.ran("reproduce", *ARCHIVE, changed)
    (tree.root / "calls").unlink()
    assert tree.planned("reproduce", *ARCHIVE) == STAGES


def test_each_study_has_its_own_folder_and_stamps(tree: Tree) -> None:
    names = []
    for choice in ((), ("AMASS=archive",), ("AMASS=archive", "BODY_MODELS=models"), ARCHIVE[:1] + ARCHIVE[2:3]):
        names.append(tree.ran("reproduce", *choice)[-1][1:])
        (tree.root / "calls").unlink()
    expected = ["builtin", "amass-mean-skeleton", "amass", "kit-kinesis-train-mean-skeleton"]
    assert names == [[f"out/study/{name}/clips", name] for name in expected]
    assert tree.planned("reproduce") == []


def test_environment_variables_are_ignored(tree: Tree) -> None:
    assert tree.make("reproduce", GROUP="staff", OUT="elsewhere", AMASS="x").returncode == 0
    assert not (tree.root / "elsewhere").exists()
    assert (tree.root / "out" / "study" / "builtin" / "clips").is_dir()


def test_names_with_spaces_and_quotes_are_passed_unchanged(tree: Tree) -> None:
    shutil.move(tree.root / "archive", tree.root / "it's an archive")
    shutil.move(tree.root / "models", tree.root / "body  models")
    choice = ("AMASS=it's an archive", "BODY_MODELS=body  models", "GROUP=kit-kinesis-train", "OUT=my out/the study")
    calls = tree.ran("reproduce", *choice)
    assert calls[0][3:] == ["--group", "kit-kinesis-train", "--body-models", "body  models", "it's an archive"]
    assert calls[1][2:] == [*calls[0][3:], "my out/the study/clips"]
    assert calls[-1] == ["mm-reproduce", "my out/the study/clips", "kit-kinesis-train"]
    (tree.root / "calls").unlink()
    assert tree.planned("reproduce", *choice) == []
    os.utime(tree.root / "it's an archive" / "KIT" / "3" / "a b_poses.npz", (1e9, 1e9))
    assert tree.planned("reproduce", *choice) == STAGES


def test_an_incomplete_group_ends_the_study_unless_allowed(tree: Tree) -> None:
    tree.write("status-mm-download", "1")
    assert [call[0] for call in tree.ran("reproduce", *ARCHIVE, status=2)] == ["mm-download"]
    assert "PARTIAL=1" in tree.make("reproduce", *ARCHIVE).stderr
    assert stages([call[0] for call in tree.ran("reproduce", *ARCHIVE, "PARTIAL=1")]) == STAGES
    assert stages([call[0] for call in tree.ran("reproduce", "AMASS=archive")]) == STAGES
    tree.write("status-mm-download", "2")
    assert [call[0] for call in tree.ran("download", *ARCHIVE, "PARTIAL=1", "OUT=p", status=2)] == ["mm-download"]


def test_failed_motions_do_not_end_the_study_but_usage_errors_do(tree: Tree) -> None:
    tree.write("status-mm-retarget", "1")
    assert stages([call[0] for call in tree.ran("reproduce")]) == STAGES
    tree.write("status-mm-retarget", "2")
    tree.write("retarget/code.py", "x = 2\n")
    assert stages([call[0] for call in tree.ran("reproduce", status=2)]) == STAGES[:2]
    (tree.root / "calls").unlink()
    assert tree.planned("reproduce") == STAGES[1:]


def test_unchecked_clips_end_the_study(tree: Tree) -> None:
    tree.write("status-mm-validate", "1")
    assert stages([call[0] for call in tree.ran("reproduce", status=2)]) == STAGES[:3]


def test_deviations_set_the_exit_status_of_reproduce_every_time(tree: Tree) -> None:
    tree.write("status-mm-reproduce", "1")
    assert tree.ran("reproduce", status=2)
    assert [call[0] for call in tree.ran("reproduce", status=2)] == ["mm-reproduce"]


def test_clips_of_other_code_are_converted_again_and_those_of_an_interrupted_run_kept(tree: Tree) -> None:
    def overwrites(*, status: int) -> bool:
        tree.write("status-mm-retarget", str(status))
        (call,) = [call for call in tree.ran("retarget", status=status) if call[0] == "mm-retarget"]
        return "--overwrite" in call

    assert not overwrites(status=130)
    assert not overwrites(status=0)
    tree.write("retarget/code.py", "x = 2\n")
    assert overwrites(status=130)
    assert overwrites(status=0)  # some clips may still be from the old code
    os.utime(tree.root / "out/study/builtin/source/m.npz", (1e9, 1e9))
    assert not overwrites(status=0)


def test_a_group_without_an_archive_is_refused(tree: Tree) -> None:
    for choice in ("GROUP=kit-kinesis-train", "BODY_MODELS=models"):
        done = tree.make("reproduce", choice)
        assert done.returncode == 2
        assert "AMASS=DIR" in done.stderr
    assert tree.make("help", "GROUP=kit-kinesis-train").returncode == 0


def test_training_reports_that_it_is_not_available(tree: Tree) -> None:
    assert "train" not in [call[0].removeprefix("mm-") for call in tree.ran("train", status=2)]
    assert "not part of this version" in tree.make("train").stderr
    old = (tree.root / "pyproject.toml").stat().st_mtime
    tree.write("pyproject.toml", 'mm-train = "train:app"\nmm-eval = "eval:app"\n')
    os.utime(tree.root / "pyproject.toml", (old, old))
    calls = tree.ran("train", "TRAIN_SECONDS=5")
    run = "out/study/builtin/run"
    assert calls[-2] == ["mm-train", "--dataset", "out/study/builtin/clips", "--run", run, "--max-seconds", "5"]
    assert calls[-1] == ["mm-eval", run, "--dataset", "out/study/builtin/clips", "--json"]
    (tree.root / "calls").unlink()
    assert tree.planned("train", "TRAIN_SECONDS=5") == []
    assert tree.planned("train", "TRAIN_SECONDS=6") == ["train", "eval"]
    assert "train" not in tree.planned("reproduce")
    tree.write(f"{run}/run.json", "{}")
    assert tree.ran("train", "TRAIN_SECONDS=6")[0][-1] == "--resume"


def test_help_lists_the_stages(tree: Tree) -> None:
    listed = re.findall(r"^  make (\S+) ", tree.make("help").stdout, re.MULTILINE)
    assert {*STAGES, "train", "reproduce", "test"} <= set(listed)
