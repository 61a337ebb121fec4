"""The walk of the package: it fits the installed body, replays, becomes a data set, and its policy walks it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from musclemap.cli import download, export, track
from musclemap.datasets.clip import Clip, read_clip, write_clip
from musclemap.datasets.downloads.errors import DownloadError
from musclemap.datasets.synthetic.synthesis import LICENCE
from musclemap.datasets.track_file import StoredTrack, read_track, track_path, write_track
from musclemap.imitation.policy.file_limits import POLICY
from musclemap.imitation.policy.policy_file import body_of, load_policy
from musclemap.imitation.policy.training_clips import motion_sha256
from musclemap.imitation.tracking.storage import replay_track
from musclemap.pipelines.builtin_walk import WALK_CLIP, WALK_FOLDER, first_steps, read_walk, write_walk_policy
from musclemap.pipelines.track.replaying import body_of_track
from musclemap.pipelines.train.dataset import select_clips
from musclemap.pipelines.train.evaluation import evaluate_policy

RUNNER = CliRunner()

MAX_BYTES = 10_000_000
"""Largest size of clip, track and policy in the package."""


@pytest.fixture(scope="module")
def walk() -> tuple[Clip, StoredTrack]:
    return read_walk()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The walk, unpacked."""
    folder = tmp_path_factory.mktemp("walk") / "out"
    result = run(download.app, "builtin-walk", folder)
    assert result.exit_code == 0, result.output
    assert "1 clip in " in result.stdout
    return folder


def run(app: object, *arguments: object) -> Result:
    return RUNNER.invoke(app, [*map(str, arguments)])  # pyright: ignore[reportArgumentType]


def test_walk_is_whole_free_and_small(walk: tuple[Clip, StoredTrack]) -> None:
    clip, stored = walk
    assert clip.licence == stored.licence == LICENCE == "CC0-1.0"
    assert clip.verdict == "feasible"
    assert stored.tracked
    assert stored.nstep == clip.nframe - 1 == 600
    assert stored.clip_motion_sha256 == motion_sha256(clip)
    assert stored.metrics["landmark_error_mean_mm"] < 50.0
    assert stored.metrics["root_error_mean_mm"] < 80.0
    assert stored.metrics["activation"] < 0.2
    assert sum(path.stat().st_size for path in WALK_FOLDER.rglob("*") if path.is_file()) < MAX_BYTES
    assert "CC0-1.0" in (WALK_FOLDER / "README.md").read_text()


def test_first_second_replays_within_a_millimetre(walk: tuple[Clip, StoredTrack]) -> None:
    """The whole track is the same bit for bit only on the machine that made it."""
    start = first_steps(walk[1], 100)
    replay = replay_track(body_of_track(start), start)
    assert len(replay.track.qpos) == 101
    assert replay.difference < 1e-3
    off = replace(start, excitation=np.zeros_like(start.excitation))
    assert replay_track(body_of_track(off), off).difference > 0.1


def test_walk_is_unpacked_as_a_data_set(out: Path, walk: tuple[Clip, StoredTrack]) -> None:
    clips = select_clips(out).clips
    assert [name for name, _ in clips] == [WALK_CLIP]
    np.testing.assert_array_equal(clips[0][1].qpos, walk[0].qpos)
    np.testing.assert_array_equal(read_track(track_path(out, WALK_CLIP)).excitation, walk[1].excitation)
    before = {path: path.read_bytes() for path in out.rglob("*.*") if path.is_file()}
    assert run(download.app, "builtin-walk", out, "-q").exit_code == 0
    assert {path: path.read_bytes() for path in before} == before
    status = run(track.app, out, "--status", "--json")
    assert json.loads(status.stdout)["counts"]["tracked"] == 1, status.output


def test_unpacked_walk_exports_its_tracked_motion(out: Path, tmp_path: Path) -> None:
    result = run(export.app, out, tmp_path / "tables", "--to", "csv", "--tracked")
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "tables").rglob("*_excitations.csv"))


@pytest.mark.slow
def test_policy_walks_to_the_end_of_the_clip_that_it_learned(out: Path) -> None:
    result = evaluate_policy(out / POLICY, select_clips(out), engine="mujoco")
    (judged,) = result.clips
    assert result.tracked
    assert judged.trained_on  # the clip in the package is the one that the policy learned
    assert judged.result.score.metrics["normalised_return"] > 0.8


def test_policy_is_for_the_body_of_the_clip_and_comes_with_it(out: Path, walk: tuple[Clip, StoredTrack]) -> None:
    policy = load_policy(out / POLICY)
    assert body_of(policy).sha256 == walk[0].model_sha256
    assert policy.facts["algorithm"] == "dagger"
    assert (out / POLICY).read_bytes() == (WALK_FOLDER / POLICY).read_bytes()


def test_missing_policy_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="the policy of the built-in walk cannot be read"):
        write_walk_policy(tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()


def test_filters_apply(tmp_path: Path) -> None:
    planned = run(download.app, "builtin-walk", tmp_path / "out", "--dry-run", "--json")
    assert json.loads(planned.stdout) == {"clips": [WALK_CLIP]}
    refused = run(download.app, "builtin-walk", tmp_path / "out", "--include", "squat*")
    assert refused.exit_code == 2
    assert "none of the 1 clip of builtin-walk matches" in " ".join(refused.stderr.split())
    assert not (tmp_path / "out").exists()


def test_walk_of_another_body_is_refused_in_one_line(tmp_path: Path, walk: tuple[Clip, StoredTrack]) -> None:
    clip, stored = (replace(one, model_sha256="0" * 64) for one in walk)
    assert isinstance(clip, Clip)
    assert isinstance(stored, StoredTrack)
    write_clip(tmp_path / WALK_CLIP, clip)
    write_track(track_path(tmp_path, WALK_CLIP), stored)
    with pytest.raises(DownloadError) as caught:
        read_walk(tmp_path)
    assert "was made for MyoFullBody 1.0.6+corrected (000000000000), not for the installed" in str(caught.value)
    assert "\n" not in str(caught.value)
    track_path(tmp_path, WALK_CLIP).write_bytes(b"x")
    with pytest.raises(DownloadError, match="cannot be read"):
        read_walk(tmp_path)
    assert read_clip(tmp_path / WALK_CLIP).licence == LICENCE
