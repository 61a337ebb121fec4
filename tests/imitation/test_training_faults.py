"""Training with damaged files: a command ends with one message and its status, and no results are lost."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from typer.testing import CliRunner

from musclemap.cli.eval import app as eval_app
from musclemap.cli.train import app
from musclemap.imitation.policy.policy_file import load_policy
from musclemap.imitation.policy.policy_format import FORMAT
from musclemap.imitation.task.arm_motions import arm_clips

from ..support.data.arm_dataset import write_dataset

SMALL = [
    "--num-envs", "4", "--set", "ppo.num_steps=8", "--set", "ppo.hidden=[8]", "--engine", "mujoco", "--no-tensorboard",
    "--quiet",
]  # fmt: skip
ITERATION = 4 * 8


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set `arm`, and `run` with checkpoints after one and two iterations; tests must not change them."""
    root = tmp_path_factory.mktemp("place")
    write_dataset(root / "arm", arm_clips(2, 0.6))
    for steps, more in ((ITERATION, []), (2 * ITERATION, ["--resume"])):
        result = train(root / "arm", root / "run", "--max-steps", str(steps), *more)
        assert result.exit_code == 0, result.output
    return root


@pytest.fixture
def run(workspace: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(workspace / "run", tmp_path / "run"))


def train(dataset: Path, run: Path, *more: str) -> Any:
    return CliRunner().invoke(app, ["--dataset", str(dataset), "--run", str(run), *SMALL, *more])


def error_output(result: Any, status: int, lines: int = 1) -> str:
    """Standard error of a command that must end with a status and a number of lines."""
    assert result.exit_code == status, result.output
    assert len(result.stderr.splitlines()) == lines, result.stderr
    assert "Traceback" not in result.output
    assert "internal error" not in result.output
    return result.stderr


def steps_of(run: Path) -> int:
    return load_policy(run / "policy.safetensors").facts["steps"]


def test_a_run_that_has_reached_its_steps_ends_successfully(workspace: Path, run: Path) -> None:
    before = (run / "policy.safetensors").read_bytes()
    for steps in (1, ITERATION, 2 * ITERATION):
        error_output(train(workspace / "arm", run, "--resume", "--max-steps", str(steps)), 0, lines=0)
    result = CliRunner().invoke(
        app,
        ["--dataset", str(workspace / "arm"), "--run", str(run), *SMALL[:-1], "--resume", "--max-steps", "1", "--json"],
    )
    assert result.exit_code == 0, result.output
    output = json.loads(result.stdout.splitlines()[-1])
    assert (output["steps"], output["policy_steps"], output["why"]) == (2 * ITERATION, 2 * ITERATION, "steps")
    assert "nothing is left to do" in result.stderr
    assert (run / "policy.safetensors").read_bytes() == before


def test_a_run_without_time_for_a_step_ends_successfully(workspace: Path, tmp_path: Path) -> None:
    error_output(train(workspace / "arm", tmp_path / "new", "--max-seconds", "0"), 0, lines=0)
    assert steps_of(tmp_path / "new") == 0


def test_a_time_limit_that_compilation_uses_up_is_reported(workspace: Path, tmp_path: Path) -> None:
    output = error_output(train(workspace / "arm", tmp_path / "new", "--max-seconds", "0.001"), 0, lines=1)
    assert "left room for compilation and next to no training; the same command with --resume" in output


def test_a_run_without_checkpoints_is_not_resumed(workspace: Path, run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    output = error_output(train(workspace / "arm", run, "--resume", "--max-steps", "1"), 2)
    assert f"replace policy.safetensors of {2 * ITERATION} steps" in output
    assert steps_of(run) == 2 * ITERATION


def test_after_a_damaged_checkpoint_the_policy_is_kept_until_it_is_overtaken(workspace: Path, run: Path) -> None:
    shutil.rmtree(run / "checkpoints" / "2" / "state")
    output = error_output(train(workspace / "arm", run, "--resume", "--max-steps", "1"), 0, lines=2)
    assert f"the checkpoint after {2 * ITERATION} steps is damaged" in output
    assert f"kept as 2.damaged, and {ITERATION} steps are repeated" in output
    assert f"has {2 * ITERATION} steps and is kept" in output
    assert steps_of(run) == 2 * ITERATION
    error_output(train(workspace / "arm", run, "--resume", "--max-steps", str(3 * ITERATION)), 0, lines=0)
    assert steps_of(run) == 3 * ITERATION
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"2.damaged", "1", "3"}


def test_repeated_steps_give_the_same_policy(workspace: Path, run: Path) -> None:
    shutil.rmtree(run / "checkpoints" / "2" / "state")
    (run / "policy.safetensors").unlink()
    error_output(train(workspace / "arm", run, "--resume", "--max-steps", str(2 * ITERATION)), 0)
    assert (run / "policy.safetensors").read_bytes() == (workspace / "run" / "policy.safetensors").read_bytes()


def test_an_edited_clip_is_detected(workspace: Path, run: Path, tmp_path: Path) -> None:
    (name, clip), other = arm_clips(2, 0.6)
    write_dataset(tmp_path / "arm", [(name, replace(clip, qvel=clip.qvel * np.float32(0.5))), other])
    output = error_output(train(tmp_path / "arm", run, "--resume", "--max-steps", "1"), 2)
    assert f"'{name}.h5' was edited since training began" in output


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "checkpoints": (
        lambda run: [shutil.rmtree(path / "state") for path in (run / "checkpoints").iterdir()],
        "no checkpoint in .* can be read: 2: .*; 1: ",
    ),
    "run.json": (lambda run: (run / "run.json").write_bytes(b""), "not complete JSON"),
    "from.json": (lambda run: (run / "from.json").write_text("[]"), "not a JSON object"),
    "metrics.jsonl": (lambda run: os.replace(run / "checkpoints" / "1", run / "metrics.jsonl"), "metrics.jsonl"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_run_gives_one_message(workspace: Path, run: Path, what: str) -> None:
    damage, message = DAMAGES[what]
    if what == "metrics.jsonl":
        (run / "metrics.jsonl").unlink()
    damage(run)
    assert re.search(message, error_output(train(workspace / "arm", run, "--resume", "--max-steps", "1"), 2))


FROM: dict[str, tuple[Callable[[Path], object], str]] = {
    "no checkpoints": (lambda run: shutil.rmtree(run / "checkpoints"), "there is no checkpoint"),
    "no policy": (lambda run: (run / "policy.safetensors").unlink(), "there is no policy at"),
    "a policy that is a pipe": (
        lambda run: ((run / "policy.safetensors").unlink(), os.mkfifo(run / "policy.safetensors")),
        "not a regular file",
    ),
    "checkpoints of noise": (
        lambda run: [
            path.write_bytes(b"noise" * 100) for path in (run / "checkpoints").rglob("*")
            if path.is_file() and path.name != "checkpoint.json"
        ],
        "was modified",
    ),
    "clips of numbers": (lambda run: change(run / "policy.safetensors", "dataset", {"clips": [[1, 2]]}), "clips is"),
}  # fmt: skip


@pytest.mark.parametrize("what", FROM)
def test_starting_from_a_damaged_run_fails_and_leaves_no_run_behind(
    workspace: Path, run: Path, tmp_path: Path, what: str
) -> None:
    damage, message = FROM[what]
    damage(run)
    output = error_output(train(workspace / "arm", tmp_path / "new", "--from", str(run), "--max-seconds", "0"), 2)
    assert message in output
    error_output(
        train(workspace / "arm", tmp_path / "new", "--from", str(workspace / "run"), "--max-seconds", "0"), 0, lines=0
    )


def change(path: Path, section: str, values: dict[str, Any]) -> None:
    """Change facts in a policy file."""
    with safetensors.safe_open(path, framework="numpy") as file:
        facts = json.loads(file.metadata()[FORMAT])
    facts[section] |= values
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), path, {FORMAT: json.dumps(facts)})


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("physics", {"timestep": 1e30}, "physics.timestep"),
        ("physics", {"timestep": -0.002}, "physics.timestep"),
        ("physics", {"nsubstep": 10**9}, "physics.nsubstep"),
        ("physics", {"timestep": 0.02}, "it has 100 frames per second, but control runs at 10 Hz"),
        ("task", {"future_steps": [10**6]}, "task.future_steps"),
        ("task", {"future_steps": [1, 2]}, "another observation layout"),
        ("body", {"muscles": ["a"] * 6}, "muscles differ"),
        ("body", {"name": "\x1b[31mPuppet"}, "no body"),
    ],
)
def test_a_hostile_policy_gives_one_message(
    workspace: Path, run: Path, section: str, values: dict[str, Any], message: str
) -> None:
    change(run / "policy.safetensors", section, values)
    result = CliRunner().invoke(
        eval_app, [str(run), "--dataset", str(workspace / "arm"), "--engine", "mujoco", "--quiet"]
    )
    output = error_output(result, 2)
    assert re.search(message, output), output
    assert "\x1b" not in output
