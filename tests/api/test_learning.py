"""Training, evaluation, tracking and validation by calls do what the commands do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import musclemap as mm
from musclemap.datasets.clip import Clip
from musclemap.datasets.manifest import Manifest
from musclemap.errors import SettingsError
from musclemap.imitation.errors import PolicyError, TrainingError
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.pipelines.track import jobs
from musclemap.skeletons.body import TargetBody

from ..support.arm_tracks import constant_track
from ..support.data.arm_dataset import write_dataset
from ..support.data.exported_clips import moving_clip, put

CONFIG = {"ppo": {"hidden": [16], "num_steps": 8, "minibatch_size": 24}}


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of the arm, the last one infeasible."""
    clips = arm_clips(3, 0.6, seed=2)
    last = replace(clips[2][1], verdict="infeasible", reasons=({"rule": "strength"},))
    write_dataset(root := tmp_path_factory.mktemp("data") / "arms", [*clips[:2], (clips[2][0], last)])
    return root


def test_train_evaluate_and_load(arms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"num_envs": 6, "engine": "mujoco", "config": CONFIG, "progress": False}
    result = mm.train(arms, tmp_path / "run", steps=48, **options)
    assert (result.steps, result.stop_reason) == (48, "steps")
    again = mm.train(str(arms), str(tmp_path / "run"), steps=96, resume=True, **options)
    assert again.steps == 96
    policy = mm.load_policy(tmp_path / "run")
    assert repr(policy) == f"<Policy of SmallArm: {policy.nobs} observations, 6 muscles, 96 steps>"
    assert len(policy.facts["dataset"]["clips"]) == 2  # without the infeasible one
    excitation = policy(np.zeros((2, policy.nobs), np.float32))
    assert excitation.shape == (2, 6)
    found = mm.evaluate(result.policy, mm.open(arms), engine="mujoco", infeasible=True, progress=False)
    assert {name: group["clips"] for name, group in found.totals.items()} == {"all": 3, "training": 2, "held_out": 1}
    assert repr(found).startswith(f"<PolicyEvaluation {result.policy}: ")
    assert " of 3 clips tracked, relative landmark error " in repr(found)
    held_out = mm.evaluate(
        tmp_path / "run", arms, engine="mujoco", infeasible=True, held_out=True, progress=False
    )  # fmt: skip
    assert [clip.result.score.name for clip in held_out.clips] == ["arm_002.h5"]
    left = mm.evaluate(tmp_path / "run", arms, engine="mujoco", progress=False).left_out
    assert left == {"arm_002.h5": "infeasible (strength)"}
    assert capsys.readouterr().out == ""


def test_wrong_calls_are_answered(arms: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs a limit: seconds= or steps="):
        mm.train(arms, tmp_path / "run")
    with pytest.raises(SettingsError, match=r"unknown setting 'ppo.steps'; 'ppo' has"):
        mm.train(arms, tmp_path / "run", steps=1, config={"ppo": {"steps": 3}})
    with pytest.raises(TrainingError, match="unknown algorithm 'sac'"):
        mm.train(arms, tmp_path / "run", steps=1, algorithm="sac")  # pyright: ignore[reportArgumentType]
    with pytest.raises(SettingsError, match="no folder nothing"):
        mm.train("nothing", tmp_path / "run", steps=1)
    with pytest.raises(SettingsError, match="no split 'test'"):
        mm.evaluate(_policy(arms, tmp_path), arms, split="test")
    with pytest.raises(PolicyError, match="there is no policy at"):
        mm.load_policy(tmp_path / "none")
    with pytest.raises(PolicyError, match="cannot be read as a policy"):
        mm.load_policy(arms / "arm_000.h5")
    assert not (tmp_path / "run").exists()


def _policy(arms: Path, folder: Path) -> Path:
    (folder / "policy.safetensors").write_bytes(b"")
    return folder / "policy.safetensors"


def test_tracks_of_some_clips(arms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def search(body: Any, clip: Clip, config: Any, **options: Any) -> Any:
        seen.append((clip.source, config.seconds))
        return constant_track(body, clip, config, **options)

    monkeypatch.setattr(jobs, "track_clip", search)
    data = mm.open(arms).filter(lambda row: row["clip"] != "arm_000.h5")
    run = mm.track(data, seconds=7, progress=False)
    assert [(outcome.clip, outcome.status) for outcome in run.outcomes] == [
        ("arm_001.h5", "tracked"), ("arm_002.h5", "skipped"),
    ]  # fmt: skip
    assert repr(run).startswith(f"<TrackingRun {arms}: 1 tracked, 1 skipped, ")
    assert seen == [("arm/seed_2/arm_001", 7.0)]
    tracked = mm.load(arms / "arm_001.h5", tracked=True)
    assert not np.array_equal(tracked.qpos, mm.load(arms / "arm_001.h5").qpos)
    assert mm.open(arms).names == ("arm_000.h5", "arm_001.h5", "arm_002.h5")


@pytest.mark.slow
def test_some_clips_are_validated(body: TargetBody, tmp_path: Path) -> None:
    clip = moving_clip(body, nframe=8)
    entries = [put(tmp_path / "out", f"{name}.npz", clip) for name in ("one", "two")]
    Manifest(entries=tuple(entries)).write(tmp_path / "out" / "manifest.jsonl")
    data = mm.open(tmp_path / "out")
    result = mm.validate(data.filter(lambda row: row["clip"] == "two.h5"), progress=False)
    assert [(checked.clip, checked.problem) for checked in result.clips] == [("two.h5", "")]
    assert repr(result).startswith(f"<ValidationResult: 1 {result.clips[0].verdict}, ")
    again = mm.open(tmp_path / "out")
    assert [clip.ground_force is not None for clip in again] == [False, True]
    one = mm.validate(again["one"])
    np.testing.assert_array_equal(one.ground_force, again["two"].ground_force)
