"""The folder of a run: nothing learned is ever lost without a word, and whatever is damaged is one sentence."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.imitation.errors import TrainingError
from musclemap.imitation.physics.bodies import load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.physics.engine import PhysicsState
from musclemap.imitation.policy.policy_file import load_policy
from musclemap.imitation.policy.training_clips import (
    MAX_EARLIER,
    check_dataset,
    clip_facts,
    dataset_facts,
    motion_sha256,
    with_earlier,
)
from musclemap.imitation.runs.logs import JsonLines
from musclemap.imitation.runs.run_folder import RunFolder, open_run
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.task import Task, TaskConfig
from musclemap.imitation.task.worlds import NanGuard

from ..support.data.arm_policies import save_untrained, untrained
from ..support.data.small_states import state


@pytest.fixture(scope="module")
def clips() -> list[tuple[str, Clip]]:
    return list(arm_clips(3, 0.6))


def facts(clips: list[tuple[str, Clip]], **more: Any) -> dict[str, Any]:
    config = {"seed": 0, "ppo": {"clip_eps": 0.2}}
    return {"algorithm": "ppo", "body": {"name": "SmallArm"}, "clips": clip_facts(clips), "config": config,
            "engine": "mujoco", **more}  # fmt: skip


def resume(root: Path, output: dict[str, Any]) -> list[str]:
    with open_run(root, output, resume=True) as (_, notes):
        return notes


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory, clips: list[tuple[str, Clip]]) -> Path:
    """A run of 12,000 steps; not to be changed."""
    root = tmp_path_factory.mktemp("learned") / "run"
    with open_run(root, facts(clips), resume=False) as (folder, _):
        folder.checkpoints.save(state(7), seconds=1.0, software="0")
        save_untrained(folder.policy)
    return root


@pytest.fixture
def run(learned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(learned, tmp_path / "run"))


# What would be lost


@pytest.mark.parametrize("how", ["gone", "empty", "odd"])
def test_without_checkpoints_a_run_that_has_learned_is_not_begun_again(
    run: Path, clips: list[tuple[str, Clip]], how: str
) -> None:
    shutil.rmtree(run / "checkpoints")
    if how != "gone":
        (run / "checkpoints").mkdir()
    if how == "odd":
        (run / "checkpoints" / "999").mkdir()
    before = (run / "policy.safetensors").read_bytes()
    with pytest.raises(TrainingError, match=r"no checkpoint in .* replace policy.safetensors of 12,000 steps: put the"):
        resume(run, facts(clips))
    with pytest.raises(TrainingError, match="holds a run already; --resume"), open_run(run, facts(clips), resume=False):
        pass
    (run / "run.json").unlink()
    with (
        pytest.raises(TrainingError, match=r"policy.safetensors of 12,000 steps, but no run.json"),
        open_run(run, facts(clips), resume=False),
    ):
        pass
    assert (run / "policy.safetensors").read_bytes() == before


def test_a_policy_that_cannot_be_read_is_not_replaced_by_a_new_run_either(
    run: Path, clips: list[tuple[str, Clip]]
) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "policy.safetensors").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"policy\.safetensors, which cannot be read"):
        resume(run, facts(clips))


def test_checkpoints_alone_are_something_learned(run: Path, clips: list[tuple[str, Clip]]) -> None:
    for name in ("policy.safetensors", "run.json"):
        (run / name).unlink()
        with pytest.raises(TrainingError, match="holds"), open_run(run, facts(clips), resume=False):
            pass


def test_a_run_of_which_nothing_was_saved_starts_from_the_beginning(
    tmp_path: Path, clips: list[tuple[str, Clip]]
) -> None:
    """As after a kill while the first step was compiled."""
    with open_run(tmp_path, facts(clips), resume=False):
        pass
    assert "starts from the beginning" in resume(tmp_path, facts(clips))[0]
    with open_run(tmp_path, facts(clips), resume=False):
        pass


def test_a_run_that_was_to_begin_with_anothers_policy_does_not_begin_with_nothing(
    tmp_path: Path, clips: list[tuple[str, Clip]]
) -> None:
    with open_run(tmp_path, facts(clips), resume=False) as (folder, _):
        folder.keep_earlier(dataset_facts(clips))
    with pytest.raises(TrainingError, match="--from in place of --resume"):
        resume(tmp_path, facts(clips))
    with open_run(tmp_path, facts(clips), resume=False) as (folder, _):
        assert folder.earlier() is None


def save(folder: RunFolder, steps: int) -> str:
    physics = PhysicsConfig()
    task = Task(load_simulation_body("SmallArm", physics), TaskConfig())
    _, learner = untrained(task)
    return folder.save_policy(
        steps=steps, task=task, physics=physics, params=learner.params["policy"], normaliser=learner.normaliser,
        algorithm="ppo", dataset={},
    )  # fmt: skip


def test_a_policy_is_replaced_only_by_one_of_as_many_steps(run: Path) -> None:
    folder, before = RunFolder(run), (run / "policy.safetensors").read_bytes()
    assert "has 12,000 steps and stays" in save(folder, 11_999)
    assert (run / "policy.safetensors").read_bytes() == before
    for steps in (12_000, 12_001):
        assert save(folder, steps) == ""
        assert load_policy(folder.policy).facts["steps"] == steps


IN_THE_WAY: dict[str, Callable[[Path], object]] = {
    "damaged": lambda path: path.write_bytes(b"no policy"),
    "a pipe": os.mkfifo,
    "a folder": lambda path: (path / "more").mkdir(parents=True),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
}


@pytest.mark.parametrize("what", IN_THE_WAY)
def test_what_lies_in_a_policys_place_is_kept_and_named(run: Path, what: str) -> None:
    (run / "policy.safetensors").unlink()
    for name in ("policy.safetensors.damaged", "policy.safetensors.damaged-2"):
        IN_THE_WAY[what](run / "policy.safetensors")
        assert f"is kept as {name} (" in save(RunFolder(run), 5)
        assert os.path.lexists(run / name)
        assert load_policy(run / "policy.safetensors").facts["steps"] == 5
        (run / "policy.safetensors").unlink()


# Clips that change


def test_a_clip_that_was_edited_since_is_named(run: Path, clips: list[tuple[str, Clip]]) -> None:
    (name, clip), *others = clips
    edited = replace(clip, qpos=clip.qpos * np.float32(0.5))
    with pytest.raises(TrainingError, match=f"other clips: '{name}' was edited since training began"):
        resume(run, facts([(name, edited), *others]))
    with pytest.raises(TrainingError, match=f"'{name}' is missing"):
        resume(run, facts(others))
    with pytest.raises(TrainingError, match="'more' was not among them"):
        resume(run, facts([*clips, ("more", clip)]))
    with pytest.raises(TrainingError, match=f"'{name}' is of another source"):
        resume(run, facts([(name, replace(clip, source_sha256="00")), *others]))
    assert resume(run, facts(clips)) == []


def test_a_clip_is_the_same_after_it_was_checked_once_more(clips: list[tuple[str, Clip]]) -> None:
    clip = clips[0][1]
    assert motion_sha256(replace(clip, verdict="warn", metrics={"a": 1.0}, licence="MIT")) == motion_sha256(clip)
    assert motion_sha256(replace(clip, qpos=clip.qpos.astype(np.float64))) == motion_sha256(clip)
    changed = [
        replace(clip, **{key: np.asarray(getattr(clip, key)) + 1})
        for key in ("qpos", "qvel", "landmark_pos", "contact", "activation")
    ]
    changed += [replace(clip, activation=None), replace(clip, fps=50.0), replace(clip, model_sha256="0")]
    changed += [replace(clip, joint_names=clip.joint_names[::-1]), replace(clip, qpos=clip.qpos[1:])]
    assert len({motion_sha256(one) for one in [clip, *changed]}) == len(changed) + 1


def test_runs_of_the_first_version_resume_and_say_what_cannot_be_checked(
    run: Path, clips: list[tuple[str, Clip]]
) -> None:
    old = json.loads((run / "run.json").read_text())
    old["clips"] = {name: clip.source_sha256 or clip.source for name, clip in clips}
    (run / "run.json").write_text(json.dumps(old))
    other = [(clips[0][0], replace(clips[0][1], source="b")), *clips[1:]]
    with pytest.raises(TrainingError, match="is of another source"):
        resume(run, facts(other))
    (note,) = resume(run, facts(clips))
    assert "older version" in note
    assert resume(run, facts(clips)) == []


# What is damaged

DAMAGED: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "a list": lambda path: path.write_bytes(b"[]"),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "deep": lambda path: path.write_bytes(b'{"a":' * 10**5),
    "a huge number": lambda path: path.write_bytes(b'{"clips": ' + b"9" * 5000 + b"}"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link to nothing": lambda path: (path.unlink(), path.symlink_to("nothing")),
    "sparse": lambda path: os.truncate(path, 10 * 2**40),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_run_json_is_one_sentence(run: Path, clips: list[tuple[str, Clip]], what: str) -> None:
    DAMAGED[what](run / "run.json")
    with pytest.raises(TrainingError, match=r"cannot be read: .*run\.json"):
        resume(run, facts(clips))
    with pytest.raises(TrainingError, match="holds a run already"), open_run(run, facts(clips), resume=False):
        pass


@pytest.mark.parametrize(
    ("key", "value", "output"),
    [
        ("clips", [], "clips is"), ("clips", {"a": 1}, "neither a source"), ("clips", {"a": {"source": 1}}, "source"),
        ("config", None, "config is None"), ("engine", {}, "engine is"), ("body", "x" * 10**6, "body is 'x"),
    ],
)  # fmt: skip
def test_a_run_json_of_other_types_is_one_sentence(
    run: Path, clips: list[tuple[str, Clip]], key: str, value: Any, output: str
) -> None:
    (run / "run.json").write_text(json.dumps({**facts(clips), key: value}))
    with pytest.raises(TrainingError, match=output) as caught:
        resume(run, facts(clips))
    assert len(str(caught.value)) < 600


def test_settings_that_differ_are_named_and_cut_off(run: Path, clips: list[tuple[str, Clip]]) -> None:
    (run / "run.json").write_text(json.dumps(facts(clips, config={"seed": "x" * 10**6, "ppo": 3, "more": {"a": None}})))
    with pytest.raises(TrainingError, match=r"other settings: .*config\.seed was 'x.*, is 0") as caught:
        resume(run, facts(clips))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_note_of_earlier_clips_is_one_sentence(run: Path, clips: list[tuple[str, Clip]], what: str) -> None:
    folder = RunFolder(run)
    folder.keep_earlier(dataset_facts(clips))
    assert folder.earlier() == json.loads(json.dumps(dataset_facts(clips)))
    DAMAGED[what](run / "from.json")
    with pytest.raises(TrainingError, match=r"began with cannot be read: .*from\.json"):
        RunFolder(run).earlier()


def test_clips_of_many_runs_one_after_the_other_stay_readable(clips: list[tuple[str, Clip]]) -> None:
    output = dataset_facts(clips)
    for number in range(40):
        again = [(name, replace(clip, source=f"{number}/{name}")) for name, clip in clips]
        output = with_earlier(dataset_facts(again), json.loads(json.dumps(output)))
        check_dataset(output, where="it")
    assert len(output["clips"]) == 41 * 3
    depth, part = 0, output
    while "earlier" in part:
        depth, part = depth + 1, part["earlier"]
    assert depth == MAX_EARLIER


# Figures


def test_figures_are_appended_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"steps": 1}\n{"steps": 2, "rew')
    for number in (3, 4):
        log = JsonLines(tmp_path)
        log.write({"steps": number, "reward": float("nan")})
        log.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert lines[1:] == ['{"steps": 2, "rew', '{"reward": null, "steps": 3}', '{"reward": null, "steps": 4}']


def test_figures_go_into_no_pipe_and_through_no_link(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink(mine, path)):
        folder = tmp_path / "run"
        folder.mkdir()
        make(folder / "metrics.jsonl")
        with pytest.raises(TrainingError, match="cannot be written to"):
            JsonLines(folder)
        shutil.rmtree(folder)
    assert mine.read_text() == "mine"


def test_a_state_that_went_bad_replaces_a_link_and_not_its_target(run: Path) -> None:
    (run / "bad").mkdir()
    (run / "mine").write_text("mine")
    (run / "bad" / "00000005.npz").symlink_to(run / "mine")
    physics, one = PhysicsState(jnp.ones(2), jnp.ones(2), jnp.ones(6), jnp.ones(2)), jnp.ones(())
    nan_guard = NanGuard(one, physics, jnp.ones(6), one, one)
    RunFolder(run).keep_nan_dump(nan_guard, iteration=5, clip="a")
    assert (run / "mine").read_text() == "mine"
    assert not (run / "bad" / "00000005.npz").is_symlink()
