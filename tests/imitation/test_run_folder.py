"""The folder of a run: results are never lost silently, and any damage gives one message."""

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
from musclemap.imitation.task.task import Task
from musclemap.imitation.task.task_config import TaskConfig
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
    """A run of 12,000 steps; shared, so tests must not change it."""
    root = tmp_path_factory.mktemp("learned") / "run"
    with open_run(root, facts(clips), resume=False) as (folder, _):
        folder.checkpoints.save(state(7), seconds=1.0, software="0")
        save_untrained(folder.policy)
    return root


@pytest.fixture
def run(learned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(learned, tmp_path / "run"))


# Results that would be lost


@pytest.mark.parametrize("checkpoints", ["missing", "empty", "odd"])
def test_a_run_with_results_but_no_checkpoints_is_not_restarted(
    run: Path, clips: list[tuple[str, Clip]], checkpoints: str
) -> None:
    shutil.rmtree(run / "checkpoints")
    if checkpoints != "missing":
        (run / "checkpoints").mkdir()
    if checkpoints == "odd":
        (run / "checkpoints" / "999").mkdir()
    before = (run / "policy.safetensors").read_bytes()
    with pytest.raises(
        TrainingError, match=r"no checkpoint in .* replace policy.safetensors of 12,000 steps: restore the"
    ):
        resume(run, facts(clips))
    with (
        pytest.raises(TrainingError, match="already holds a run; use --resume"),
        open_run(run, facts(clips), resume=False),
    ):
        pass
    (run / "run.json").unlink()
    with (
        pytest.raises(TrainingError, match=r"policy.safetensors of 12,000 steps, but no run.json"),
        open_run(run, facts(clips), resume=False),
    ):
        pass
    assert (run / "policy.safetensors").read_bytes() == before


def test_an_unreadable_policy_is_not_replaced_by_a_new_run(run: Path, clips: list[tuple[str, Clip]]) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "policy.safetensors").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"policy\.safetensors, which cannot be read"):
        resume(run, facts(clips))


def test_checkpoints_alone_count_as_results(run: Path, clips: list[tuple[str, Clip]]) -> None:
    for name in ("policy.safetensors", "run.json"):
        (run / name).unlink()
        with pytest.raises(TrainingError, match="holds"), open_run(run, facts(clips), resume=False):
            pass


def test_a_run_that_saved_nothing_starts_from_scratch(tmp_path: Path, clips: list[tuple[str, Clip]]) -> None:
    """As after a kill during the first compilation."""
    with open_run(tmp_path, facts(clips), resume=False):
        pass
    assert "starts from scratch" in resume(tmp_path, facts(clips))[0]
    with open_run(tmp_path, facts(clips), resume=False):
        pass


def test_a_run_started_from_another_does_not_resume_from_scratch(tmp_path: Path, clips: list[tuple[str, Clip]]) -> None:
    with open_run(tmp_path, facts(clips), resume=False) as (folder, _):
        folder.save_earlier(dataset_facts(clips))
    with pytest.raises(TrainingError, match="use --from again instead of --resume"):
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


def test_a_policy_is_replaced_only_by_one_with_at_least_as_many_steps(run: Path) -> None:
    folder, before = RunFolder(run), (run / "policy.safetensors").read_bytes()
    assert "has 12,000 steps and is kept" in save(folder, 11_999)
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
def test_anything_at_the_policys_path_is_kept_and_reported(run: Path, what: str) -> None:
    (run / "policy.safetensors").unlink()
    for name in ("policy.safetensors.damaged", "policy.safetensors.damaged-2"):
        IN_THE_WAY[what](run / "policy.safetensors")
        assert f"is kept as {name} (" in save(RunFolder(run), 5)
        assert os.path.lexists(run / name)
        assert load_policy(run / "policy.safetensors").facts["steps"] == 5
        (run / "policy.safetensors").unlink()


# Edited clips


def test_an_edited_clip_is_reported(run: Path, clips: list[tuple[str, Clip]]) -> None:
    (name, clip), *others = clips
    edited = replace(clip, qpos=clip.qpos * np.float32(0.5))
    with pytest.raises(TrainingError, match=f"other clips: '{name}' was edited since training began"):
        resume(run, facts([(name, edited), *others]))
    with pytest.raises(TrainingError, match=f"'{name}' is missing"):
        resume(run, facts(others))
    with pytest.raises(TrainingError, match="'more' is new"):
        resume(run, facts([*clips, ("more", clip)]))
    with pytest.raises(TrainingError, match=f"'{name}' has another source"):
        resume(run, facts([(name, replace(clip, source_sha256="00")), *others]))
    assert resume(run, facts(clips)) == []


def test_validating_a_clip_again_does_not_change_its_hash(clips: list[tuple[str, Clip]]) -> None:
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


def test_runs_of_the_first_version_resume_and_report_unchecked_facts(run: Path, clips: list[tuple[str, Clip]]) -> None:
    old = json.loads((run / "run.json").read_text())
    old["clips"] = {name: clip.source_sha256 or clip.source for name, clip in clips}
    (run / "run.json").write_text(json.dumps(old))
    other = [(clips[0][0], replace(clips[0][1], source="b")), *clips[1:]]
    with pytest.raises(TrainingError, match="has another source"):
        resume(run, facts(other))
    (note,) = resume(run, facts(clips))
    assert "older version" in note
    assert resume(run, facts(clips)) == []


# Damaged files

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
def test_a_damaged_run_json_gives_one_message(run: Path, clips: list[tuple[str, Clip]], what: str) -> None:
    DAMAGED[what](run / "run.json")
    with pytest.raises(TrainingError, match=r"cannot be read: .*run\.json"):
        resume(run, facts(clips))
    with pytest.raises(TrainingError, match="already holds a run"), open_run(run, facts(clips), resume=False):
        pass


@pytest.mark.parametrize(
    ("key", "value", "output"),
    [
        ("clips", [], "clips is"), ("clips", {"a": 1}, "neither a source"), ("clips", {"a": {"source": 1}}, "source"),
        ("config", None, "config is None"), ("engine", {}, "engine is"), ("body", "x" * 10**6, "body is 'x"),
    ],
)  # fmt: skip
def test_a_run_json_with_wrong_types_gives_one_message(
    run: Path, clips: list[tuple[str, Clip]], key: str, value: Any, output: str
) -> None:
    (run / "run.json").write_text(json.dumps({**facts(clips), key: value}))
    with pytest.raises(TrainingError, match=output) as raised:
        resume(run, facts(clips))
    assert len(str(raised.value)) < 600


def test_differing_settings_are_listed_and_shortened(run: Path, clips: list[tuple[str, Clip]]) -> None:
    (run / "run.json").write_text(json.dumps(facts(clips, config={"seed": "x" * 10**6, "ppo": 3, "more": {"a": None}})))
    with pytest.raises(TrainingError, match=r"other settings: .*config\.seed was 'x.*, is 0") as raised:
        resume(run, facts(clips))
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_record_of_earlier_clips_gives_one_message(
    run: Path, clips: list[tuple[str, Clip]], what: str
) -> None:
    folder = RunFolder(run)
    folder.save_earlier(dataset_facts(clips))
    assert folder.earlier() == json.loads(json.dumps(dataset_facts(clips)))
    DAMAGED[what](run / "from.json")
    with pytest.raises(TrainingError, match=r"earlier training clips cannot be read: .*from\.json"):
        RunFolder(run).earlier()


def test_clips_of_many_successive_runs_stay_readable(clips: list[tuple[str, Clip]]) -> None:
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


# Metrics


def test_metrics_are_appended_after_a_truncated_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"steps": 1}\n{"steps": 2, "rew')
    for number in (3, 4):
        log = JsonLines(tmp_path)
        log.write({"steps": number, "reward": float("nan")})
        log.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert lines[1:] == ['{"steps": 2, "rew', '{"reward": null, "steps": 3}', '{"reward": null, "steps": 4}']


def test_metrics_are_not_written_to_pipes_or_through_links(tmp_path: Path) -> None:
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


def test_a_nan_dump_replaces_a_link_and_not_its_target(run: Path) -> None:
    (run / "bad").mkdir()
    (run / "mine").write_text("mine")
    (run / "bad" / "00000005.npz").symlink_to(run / "mine")
    physics, one = PhysicsState(jnp.ones(2), jnp.ones(2), jnp.ones(6), jnp.ones(2)), jnp.ones(())
    nan_guard = NanGuard(one, physics, jnp.ones(6), one, one)
    RunFolder(run).save_nan_dump(nan_guard, iteration=5, clip="a")
    assert (run / "mine").read_text() == "mine"
    assert not (run / "bad" / "00000005.npz").is_symlink()
