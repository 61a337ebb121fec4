"""Plausible mistakes: each is answered in one line that says what is wrong, within a second of computing time."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from musclemap.cli import main, view
from musclemap.datasets.clip import write_clip
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.errors import SettingsError
from musclemap.pipelines.viewer.clips import find_clips

from ..support.data.small_clip import small_clip

SOURCES = str(Path(__file__).parents[2] / "src")
SECONDS = 1.0

MISTAKES = {
    # no such command, argument or option
    "retaget in out": "No such command 'retaget'. Did you mean 'retarget'?",
    "--bad": "No such option: --bad",
    "validate": "Missing argument 'source'",
    "validate out --strickt": "No such option: --strickt",
    "train out": "Missing option '--dataset'",
    "eval": "Missing argument 'RUN|POLICY'",
    "export out": "Missing option '--to'",
    "download": "give the data set to download and the folder",
    # a path that is wrong
    "validate nothing": "'nothing' does not exist",
    "validate empty": "there is no clip (.h5) below empty",
    "view nothing": "'nothing' does not exist",
    "view empty": "no clip (.h5) in empty",
    "report nothing": "'nothing' does not exist",
    "report empty": "no manifest.jsonl in empty",
    "report notes.txt": "'notes.txt' is a file",
    "track nothing": "'nothing' does not exist",
    "track empty": "empty is not a data set",
    "train --dataset nothing": "there is no folder or clip nothing",
    "train --dataset empty": "empty is not a data set",
    "eval nothing --dataset out": "'nothing' does not exist",
    "eval policy.safetensors --dataset nothing": "there is no folder or clip nothing",
    "export nothing x --to csv": "no folder and no clip at nothing",
    "export empty x --to csv": "there is no clip (.h5) below empty",
    "pack nothing b": "'nothing' does not exist",
    "pack empty b": "no manifest.jsonl in empty",
    "pack out out": "inside the folder of the clips",
    "validate out --config nothing.toml": "nothing.toml cannot be read: No such file",
    # a name, glob or split that selects nothing, or too much
    "view out run": "no clip 'run' in out; closest names: ",
    "view out walk": "several clips in out match 'walk': walk_1.2.h5, walk_1.6.h5",
    "track out run": "no clip 'run' in out; closest names: ",
    "track out walk": "several clips in out match 'walk'",
    "track out --include run*": "none of the 3 clips of out matches; one is squat.h5",
    "track out --split test": "out has no split 'test'",
    "train --dataset out --include run*": "none of the 3 clips of out matches",
    "train --dataset out --split test": "out has no split 'test'",
    "eval policy.safetensors --dataset out --split test": "out has no split 'test'",
    "download builtin-wlak o": "the catalogue has no 'builtin-wlak'; it has: ",
    # a value that is wrong
    "validate out --muscle-cost power": "'power' is not one of 'volume', 'activation', 'stress-cubed'",
    "validate out --device tpu": "'tpu' is not one of 'cpu', 'gpu'",
    "validate out --set validation.cutof=8": "unknown setting 'validation.cutof'; 'validation' has chunk_size, cutoff",
    "validate out --config settings.toml": "setting 'fps' takes a number from 5 to 1,000, got 'x'",
    "view out squat --save a.mp4 --camera top": "'top' is not one of 'side', 'front', 'three-quarter'",
    "track out --seconds ten": "'--seconds': Input should be a valid number",
    "track out --video film.avi": "film.avi ends in .avi; it has to end in .mp4",
    "train --dataset out --algo sac": "'sac' is not one of 'ppo', 'world-model', 'dagger'",
    "export out x --to xls": "'xls' is not one of 'musclemimic', 'mjlab'",
    "export out x.onnx --to onnx": "to export a policy: --policy FILE",
    "pack out b --shares 1,2": "three numbers such as 0.8,0.1,0.1, not '1,2'",
    "pack out b --licence CC0": "state a licence as GLOB=LICENCE",
    "pack out b --date today": "a date has the form YYYY-MM-DD, not 'today'",
    "pack out b --url ftp://x": "has to start with http:// or https://",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three clips, an empty folder, and files of other kinds."""
    root = tmp_path_factory.mktemp("mistakes")
    entries = []
    for name in ("squat", "walk_1.2", "walk_1.6"):
        clip = small_clip(source=f"{name}.npz", reasons=(), verdict="feasible")
        sha256 = write_clip(root / "out" / f"{name}.h5", clip)
        entries.append(
            ManifestEntry(
                source=clip.source, clip=f"{name}.h5", clip_sha256=sha256, status="ok", nframe=clip.nframe,
                seconds=clip.duration, verdict="feasible",
            )
        )  # fmt: skip
    Manifest(entries=tuple(entries)).write(root / "out" / "manifest.jsonl")
    (root / "empty").mkdir()
    (root / "notes.txt").write_text("hello\n")
    (root / "settings.toml").write_text("fps = 'x'\n")
    (root / "policy.safetensors").write_bytes(bytes(100))
    return root


def _run(folder: Path, arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run `musclemap`; return its result and the processor's time [s], which other programs do not lengthen."""
    command = [sys.executable, "-m", "musclemap.cli.main", *arguments.split()]
    env = {**os.environ, "PYTHONPATH": SOURCES, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return result, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_there_are_at_least_forty_mistakes() -> None:
    assert len(MISTAKES) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_mistake_is_answered(folder: Path, arguments: str) -> None:
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    result, seconds = _run(folder, arguments)
    assert result.returncode == 2, result.stdout + result.stderr
    assert MISTAKES[arguments] in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not result.stdout
    assert seconds < SECONDS
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before


def test_help_version_and_completion(folder: Path) -> None:
    for option in ("-h", "--help", ""):
        text = _run(folder, option)[0].stdout
        assert all(verb in text and line[:20] in text for verb, line in main.VERBS.items())
    for words in ("--version", "retarget --version", "view --version"):
        assert _run(folder, words)[0].stdout.startswith("musclemap 0.")
    assert "--treadmill" in _run(folder, "retarget -h")[0].stdout
    env = {**os.environ, "PYTHONPATH": SOURCES, "_MUSCLEMAP_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    command = [sys.executable, "-m", "musclemap.cli.main"]
    done = subprocess.run(
        command, env={**env, "COMP_WORDS": "musclemap retarget --tread"}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["--treadmill"]


def test_a_part_of_a_name_is_enough(folder: Path) -> None:
    clips = find_clips(folder / "out")
    assert clips.find("1.2") == clips.find("WALK 1.2") == clips.find("walk_1.2") == "walk_1.2.h5"
    with pytest.raises(SettingsError, match="several clips"):
        clips.find("walk")
    with pytest.raises(SettingsError, match="no clip ' '"):
        clips.find(" ")
    result = CliRunner().invoke(view.app, ["-h"])
    assert result.exit_code == 0
