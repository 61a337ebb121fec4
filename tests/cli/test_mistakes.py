"""Plausible mistakes: each is answered in one line that says what is wrong, before anything heavy is imported."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from musclemap.cli import main, view
from musclemap.datasets.clip import write_clip
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.errors import SettingsError
from musclemap.pipelines.viewer.clips import find_clips

from ..support.data.small_clip import small_clip
from ..support.data.source_files import columns, walk

SOURCES = str(Path(__file__).parents[2] / "src")
SECONDS = 2.0
"""Longest answer, of the processor's time on a busy machine."""

HEAVY = ("jax", "mujoco", "mujoco_warp", "torch", "warp")

_PROGRAM = """
import contextlib, io, json, os, pathlib, sys, time
from musclemap.cli.main import main
files = lambda: sorted(map(str, pathlib.Path().rglob("*")))
answers = {}
for arguments in json.load(sys.stdin):
    before, modules, started = files(), set(sys.modules), time.process_time()
    sys.argv = ["musclemap", *arguments.split()]
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code
    answers[arguments] = {
        "status": status, "err": err.getvalue(), "out": out.getvalue(), "seconds": time.process_time() - started,
        "imported": sorted(set(sys.modules) - modules), "unchanged": files() == before,
    }
print(json.dumps(answers))
"""

MISTAKES = {
    # no such command, argument or option
    "retaget in out": "No such command 'retaget'. Did you mean 'retarget'?",
    "--bad": "No such option: --bad",
    "validate": "Missing argument 'CLIPS'; usage: musclemap validate CLIPS",
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
    "validate out --config nothing.toml": "file 'nothing.toml' does not exist",
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
    "download builtin-wlak o": "the catalogue has no 'builtin-wlak'; did you mean builtin-walk?; it has: ",
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
    # what users of other programs type
    "convert in out": "No such command 'convert'; did you mean 'retarget'?",
    "--install-completion": "musclemap --completion bash|zsh|fish prints the script",
    "Retarget in out": "No such command 'Retarget'; did you mean 'retarget'?",
    "visualize out": "No such command 'visualize'; did you mean 'view'?",
    "retarget in out --output-dir o": "-o PATH names the file or folder to write",
    "retarget in out --num-workers 4": "-j N sets how many run at the same time",
    "retarget in out --smplh models": "--body-models DIR names the folder of SMPL-family models",
    "retarget in out --y-up": "--up y or --up z",
    "retarget in out --framerate 60": "--fps HZ is the rate of the clips, --source-fps HZ that of the sources",
    "retarget --input in out": "the motions are the first argument, without an option",
    "view out --mp4 walk.mp4": "-o FILE.mp4 writes a video",
    "validate out --gpu": "--device gpu",
    "track out -o tracks": "this command writes no other file or folder",
    "train --data out": "--dataset DIR names the folder of clips",
    "train --dataset out --num_envs 64": "did you mean --num-envs?",
    "train --dataset out --total-timesteps 1000": "--max-steps N limits the control steps",
    "train --dataset out --lr 3e-4": "--set ppo.learning_rate=X",
    "train --dataset out --checkpoint run": "--resume continues the run of --run DIR",
    "eval --checkpoint policy.safetensors --dataset out": "the run or policy is the first argument",
    "eval policy.safetensors out": "Missing option '--dataset'; usage: musclemap eval RUN|POLICY --dataset CLIPS",
    "export out x --format csv": "--to FORMAT",
    "report out --limit 5": "--threshold METRIC=WARN:INFEASIBLE",
    # files, folders and settings of the wrong kind
    "retarget walk.npz run.npz out": "for several files, give their folder and --include GLOB",
    "retarget in out -o out": "the output is given twice: out and -o out",
    "retarget in": "OUT is missing: the folder for the clips",
    "retarget in out --set solver.sweps=3": "unknown setting 'solver.sweps'; 'solver' has ",
    "retarget in out --set solver.sweeps": "expected KEY=VALUE such as solver.sweeps=20",
    "retarget in out --body-models empty": "no body model of the SMPL family below empty",
    "retarget in out --group walks": "there is no group 'walks'; the groups are: ",
    "retarget in out --include *.bvh": "none of 1 motions below in is selected; one is walk.npz",
    "retarget in out --chest fixed": "chest=fixed is for the body bimanual-arm: add --body bimanual-arm",
    "retarget in out --force-file a.txt": "with the end .mot, .sto or .xml",
    "retarget --status empty": "there is no manifest.jsonl in empty",
    "validate notes.txt": "notes.txt is no clip",
    "validate out --include run*": "none of the 3 clips of out matches; one is squat.h5",
    "view notes.txt": "notes.txt is no clip",
    "view out squat -o missing/a.mp4": "-o missing/a.mp4: there is no folder",
    "view out -o a.mp4": "out has 3 clips; name the one to draw: musclemap view out squat.h5 -o FILE",
    "view out squat -o a.gif": "a.gif ends in .gif; a video ends in .mp4, a strip in .png",
    "report out --threshold skate=1:2": "there is no rule for 'skate'; there are: ",
    "track out squat --set tracking.smples=4": "unknown setting 'tracking.smples'",
    "track notes.txt": "notes.txt is no clip",
    "train --dataset notes.txt": "notes.txt is no clip",
    "train --dataset out --seed -1": "'--seed': Input should be greater than or equal to 0",
    "train --dataset out --resume": "to resume; --run names its folder",
    "train --dataset out --from run": "path 'run' does not exist",
    "train --dataset out --set seed": "--set takes KEY=VALUE",
    "eval empty --dataset out": "there is no policy at empty/policy.safetensors",
    "eval notes.txt --dataset out": "notes.txt is no policy",
    "eval policy.safetensors --dataset out -o r.pdf": "r.pdf ends in .pdf; it has to end in .html",
    "export out out --to csv": "out is the input folder; choose another folder for the output",
    "export out x --to bvh --fingers": "bvh does not support fingers; formats that do: mjlab, csv, mot, opensim",
    "export --policy notes.txt --to onnx -o p.onnx": "notes.txt is no policy",
    "reproduce out builtn": "builtn.json; ",
    "reproduce empty builtin": "no manifest.jsonl in empty",
    "reproduce out builtin --write": "--write needs --expected DIR",
    "info --body-models nothing": "path 'nothing' does not exist",
    # values that only a body, a file or a device can tell to be wrong
    "train --dataset out --set ppo.epoch=2": "unknown setting 'ppo.epoch'; 'ppo' has clip_eps, ",
    "train --dataset out --set seed=x": "setting 'seed' takes a whole number from 0 to 4,294,967,295, got 'x'",
    "train --dataset out --set task.reward.joints=1": "unknown setting 'task.reward.joints'; 'task.reward' has ",
    "train --dataset out --config settings.toml": "unknown setting 'fps'; there are dagger, gpus, num_envs, ",
    "train --dataset out --config notes.txt": "cannot read settings from notes.txt: ",
    "train --dataset out --config out": "file 'out' is a directory",
    "train --dataset out --config policy.safetensors": "cannot read settings from policy.safetensors: ",
    "train --dataset out --from notes.txt": "notes.txt is no policy",
    "train --dataset out --from out": "there is no policy at out/policy.safetensors",
    "train --dataset out --strength solues_r=0.5": "no muscle or group of them 'solues_r'; close to it: soleus_r, ",
    "train --dataset out --strength soleus_r": "--strength takes NAME=NUMBER such as soleus_r=0.5",
    "train --dataset out --joint-range knee=0:60": "the body has no joint 'knee'; close to it: ",
    "train --dataset out --added-mass tibia_r=1kg": "--added-mass takes NAME=KG such as tibia_r=1",
    "train --dataset out --episodes empty": "fills the replay buffer of --algo world-model",
    "train --dataset out --run notes.txt": "--run notes.txt is a file; give a folder",
    "train --dataset in": "in is not a data set",
    "train --dataset out/manifest.jsonl": "out/manifest.jsonl is no clip",
    "train --dataset out --limit 0": "'--limit': Input should be greater than or equal to 1",
    "train --dataset out --num-envs 0": "'--num-envs': Input should be greater than or equal to 1",
    "retarget in x -j 0": "Input should be greater than or equal to 1",
    "retarget in x --limit 0": "'--limit': Input should be greater than or equal to 1",
    "retarget in x --device gpu": "JAX finds no gpu; available: cpu; a GPU needs driver 580 or newer, and: pip install",
    "retarget in x --config empty": "file 'empty' is a directory",
    "retarget in x --config in/walk.npz": "cannot read settings from in/walk.npz",
    "retarget in x --mass 2": "Invalid value for '--mass': Input should be greater than or equal to 5",
    "retarget in x --subjects notes.txt": "notes.txt has no subjects; a table has columns such as subject, height_m",
    "retarget in x --subjects empty": "file 'empty' is a directory",
    "retarget in x --strength solues_r=0.5": "no muscle or group of them 'solues_r'; close to it: soleus_r, ",
    "retarget in x --strength soleus_r=50": "a strength is a number from 0 to 10, got {'soleus_r': 50.0}",
    "retarget in x --joint-range knee_angle_r=0-60": "--joint-range takes NAME=LOW:HIGH such as knee_angle_r=0:60",
    "retarget in x --joint-map notes.txt": "notes.txt is not TOML",
    "retarget in x --units inch": "'inch' is no unit; expected auto, m, cm, mm, in, ",
    "retarget in x --scheduler-file nothing.json": "file 'nothing.json' does not exist",
    "retarget in x -v -q": "-v and -q exclude each other",
    "retarget in in": "in is the input folder; choose another folder",
    "retarget out x": "out is an output folder of musclemap retarget",
    "retarget out/squat.h5 x": "clips of this package are results, not sources",
    "retarget policy.safetensors x": "policy.safetensors has no known format",
    "validate in": "there is no clip (.h5) below in",
    "validate in/walk.npz": "in/walk.npz is no clip",
    "validate out --device gpu": "JAX finds no gpu; available: cpu",
    "validate out --exclude *": "none of the 3 clips of out matches; one is squat.h5",
    "track out squat --strength solues_r=0.5": "no muscle or group of them 'solues_r'; close to it: soleus_r, ",
    "track out squat --replay --seed 1": "runs with --replay do not take --seed",
    "view out squat --size 640 -o a.mp4": "--size '640' is not WIDTHxHEIGHT",
    "view out squat --tracked": "no clip in out has a track; musclemap track out makes them",
    "view policy.safetensors": "policy.safetensors is no clip",
    "report policy.safetensors": "'policy.safetensors' is a file",
    "eval out/squat.h5 --dataset out": "out/squat.h5 is no policy",
    "eval policy.safetensors --dataset in": "in is not a data set",
    "export out/squat.h5 out/squat.h5 --to csv": "out/squat.h5 is a file; OUT is a folder",
    "export --policy out --to onnx -o p.onnx": "there is no policy at out/policy.safetensors",
    "download amass data": "has to be downloaded by hand from https://amass.is.tue.mpg.de",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three clips, an empty folder, and files of other kinds."""
    root = tmp_path_factory.mktemp("mistakes")
    entries = []
    for name in ("squat", "walk_1.2", "walk_1.6"):
        clip = small_clip(source=f"{name}.npz", model="MyoFullBody", reasons=(), verdict="feasible")
        sha256 = write_clip(root / "out" / f"{name}.h5", clip)
        entries.append(
            ManifestEntry(
                source=clip.source, clip=f"{name}.h5", clip_sha256=sha256, status="ok", nframe=clip.nframe,
                seconds=clip.duration, verdict="feasible",
            )
        )  # fmt: skip
    Manifest(entries=tuple(entries)).write(root / "out" / "manifest.jsonl")
    (root / "empty").mkdir()
    rotvec, trans = walk(seconds=0.5)
    for path in (root / "in" / "walk.npz", root / "walk.npz", root / "run.npz"):
        path.parent.mkdir(exist_ok=True)
        np.savez(path, poses=columns(rotvec, 72), trans=trans, mocap_framerate=30.0)
    (root / "notes.txt").write_text("hello\n")
    (root / "settings.toml").write_text("fps = 'x'\n")
    (root / "policy.safetensors").write_bytes(bytes(100))
    return root


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, dict[str, Any]]:
    """What `musclemap` answers to each mistake. All run in one process; modules are counted for each."""
    env = {**os.environ, "PYTHONPATH": SOURCES, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", _PROGRAM], input=json.dumps(list(MISTAKES)), cwd=folder, env=env, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_there_are_at_least_150_mistakes() -> None:
    assert len(MISTAKES) >= 150


@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_mistake_is_answered(answers: dict[str, dict[str, Any]], arguments: str) -> None:
    if "--device gpu" in arguments and find_spec("jax_plugins") is not None:
        pytest.skip("JAX has support for a GPU here")
    answer = answers[arguments]
    text = answer["err"]
    assert answer["status"] == 2, text + answer["out"]
    assert MISTAKES[arguments] in text
    assert len(text.strip().splitlines()) == 1
    assert text.startswith("musclemap")  # as the user typed it, not mm-VERB
    assert "mm-" not in text
    assert not answer["out"]
    assert not {name.partition(".")[0] for name in answer["imported"]} & set(HEAVY)
    assert answer["seconds"] < SECONDS
    assert answer["unchanged"]


def test_the_modules_are_seen(folder: Path) -> None:
    """A command that has to import MuJoCo does so in the same way: the check above would notice."""
    program = _PROGRAM.replace("json.load(sys.stdin)", '["retarget in out --dry-run"]')
    env = {**os.environ, "PYTHONPATH": SOURCES}
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, env=env, capture_output=True, text=True)
    assert "mujoco" in json.loads(done.stdout)["retarget in out --dry-run"]["imported"]


def _run(folder: Path, arguments: str) -> str:
    """Run `musclemap`; return what it prints."""
    command = [sys.executable, "-m", "musclemap.cli.main", *arguments.split()]
    env = {**os.environ, "PYTHONPATH": SOURCES}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=True).stdout


def test_help_and_version(folder: Path) -> None:
    for words in ("-h", "", "help"):
        text = _run(folder, words)
        assert all(verb in text and line[:20] in text for verb, line in main.VERBS.items())
    for words in ("--version", "view --version"):
        assert _run(folder, words).startswith("musclemap 0.")
    assert _run(folder, "help retarget").startswith("Usage: musclemap retarget SOURCE [OUT]")


def test_a_part_of_a_name_is_enough(folder: Path) -> None:
    clips = find_clips(folder / "out")
    assert clips.find("1.2") == clips.find("WALK 1.2") == clips.find("walk_1.2") == "walk_1.2.h5"
    with pytest.raises(SettingsError, match="several clips"):
        clips.find("walk")
    with pytest.raises(SettingsError, match="no clip ' '"):
        clips.find(" ")
    result = CliRunner().invoke(view.app, ["-h"])
    assert result.exit_code == 0
