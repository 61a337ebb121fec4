"""`mm-track`: what is tracked, kept, refused and resumed, with constant excitations in place of the search."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import imageio_ffmpeg
import pytest
from typer.testing import CliRunner, Result

from musclemap.cli import track as command
from musclemap.cli import view
from musclemap.datasets.clip import Clip
from musclemap.datasets.output_folder import clip_files
from musclemap.datasets.track_file import read_track
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.tracking.track_config import TrackConfig
from musclemap.pipelines.convert.status import folder_status
from musclemap.pipelines.track import jobs
from musclemap.pipelines.track.run_options import RunProgress, TrackWorkers
from musclemap.pipelines.track.tracked_motions import read_tracked, with_tracks
from musclemap.pipelines.track.tracking import track_clips
from musclemap.pipelines.train.dataset import list_clips
from musclemap.pipelines.viewer.clips import find_clips

from ..support.arm_tracks import constant_track
from ..support.data.arm_dataset import write_dataset

RUNNER = CliRunner()
NAMES = ("arm_000.h5", "arm_001.h5", "arm_002.h5")


@pytest.fixture(scope="module")
def clips() -> list[tuple[str, Clip]]:
    """Four clips of 0.3 s; the last one is infeasible."""
    clips = arm_clips(4, 0.3, seed=2)
    return [*clips[:3], (clips[3][0], replace(clips[3][1], verdict="infeasible", reasons=({"rule": "strength"},)))]


@pytest.fixture
def out(tmp_path: Path, clips: list[tuple[str, Clip]]) -> Path:
    write_dataset(tmp_path / "set", clips)
    return tmp_path / "set"


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the search; the sources of the clips that it is called for."""
    calls = []

    def search(body: Any, clip: Clip, config: Any, **options: Any) -> Any:
        calls.append(clip.source.rpartition("/")[2] + ".h5")
        return constant_track(body, clip, config, **options)

    monkeypatch.setattr(jobs, "track_clip", search)
    return calls


def run(out: Path, *arguments: object) -> Result:
    workers = [] if {"--replay", "--status", "--dry-run"} & {*arguments} else ["--workers", "1"]
    return RUNNER.invoke(command.app, [str(out), *map(str, arguments), *workers])


def test_tracks_are_written_beside_the_clips(out: Path, searched: list[str]) -> None:
    result = run(out)
    assert result.exit_code == 0, result.output
    assert searched == list(NAMES)
    assert sorted(path.name for path in (out / "tracks").glob("*.h5")) == list(NAMES)
    assert "3 tracked, 0 lost, 1 infeasible" in result.stdout
    assert "skipped arm_003.h5: infeasible (strength)" in result.stderr
    lines = [json.loads(line) for line in (out / "tracks/tracks.jsonl").read_text().splitlines()]
    assert [line["clip"] for line in lines] == list(NAMES)
    assert {path.name for path in clip_files(out)} == {*NAMES, "arm_003.h5"}
    assert not folder_status(out, requested={}).strays


def test_track_that_is_up_to_date_is_kept(out: Path, searched: list[str]) -> None:
    assert run(out).exit_code == 0
    before = {name: (out / "tracks" / name).read_bytes() for name in NAMES}
    assert run(out, "--seconds", 30).exit_code == 0  # whatever reached the end does not depend on the limit
    assert len(searched) == 3
    assert {name: (out / "tracks" / name).read_bytes() for name in NAMES} == before
    assert run(out, "--overwrite").exit_code == 0
    assert len(searched) == 6
    assert "made with other settings (tracking.seed)" in run(out, "--seed", 7, "--status").stderr
    result = run(out, "--seed", 7, "--json")
    assert [clip["kept"] for clip in json.loads(result.stdout)["clips"]] == [False] * 4
    assert len(searched) == 9


def test_changed_clip_is_tracked_again(out: Path, searched: list[str], clips: list[tuple[str, Clip]]) -> None:
    """A new verdict keeps the track, a new motion does not."""
    assert run(out).exit_code == 0
    edited = [(name, replace(clip, verdict="warn", reasons=())) for name, clip in clips[:3]]
    edited[1] = (edited[1][0], edited[1][1].frames(slice(0, 25)))
    write_dataset(out, edited)
    assert run(out).exit_code == 0
    assert searched[3:] == ["arm_001.h5"]


def test_one_clip_and_globs(out: Path, searched: list[str]) -> None:
    assert run(out, "1").exit_code == 0  # a part of the path that no other clip has
    assert run(out, "--clip", "*_002*").exit_code == 0
    assert run(out, "--include", "*_00*", "--exclude", "*_00[12]*").exit_code == 0
    assert searched == ["arm_001.h5", "arm_002.h5", "arm_000.h5"]
    result = run(out, "arm_100")
    assert (result.exit_code, "closest names: arm_" in result.stderr) == (2, True)
    assert run(out, "arm_001", "--limit", 1).exit_code == 2
    assert run(out, "--include", "nothing*").exit_code == 2


def test_infeasible_clip_is_tracked_on_request(out: Path, searched: list[str]) -> None:
    result = run(out, "arm_003")
    assert (result.exit_code, searched) == (1, [])
    assert run(out, "arm_003", "--infeasible").exit_code == 0
    assert searched == ["arm_003.h5"]


def test_unusable_clips_are_named_with_one_line_each(
    out: Path, searched: list[str], clips: list[tuple[str, Clip]]
) -> None:
    clip = clips[0][1]
    bad = [
        ("a_body", replace(clip, model="Another")), ("b_version", replace(clip, model_sha256="ab" * 32)),
        ("c_rate", replace(clip, fps=50.0)), ("d_short", clip.frames(slice(0, 2))), ("e_good", clip),
    ]  # fmt: skip
    write_dataset(out, [(name, replace(one, source=name)) for name, one in bad])
    result = run(out)
    assert (result.exit_code, len(searched)) == (1, 1)
    for text in ("failed a_body.h5: there is no body 'Another'", "failed b_version.h5: it was made for another version",
                 "failed c_rate.h5: it has 50 frames per second, but control runs at 100 Hz",
                 "failed d_short.h5: it has 2 frames; tracking needs at least 3"):  # fmt: skip
        assert sum(text in line for line in result.stderr.splitlines()) == 1


def test_lost_track_is_written_with_its_cause(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small budget keeps what was reached; only a larger one tries again."""
    calls = []

    def search(body: Any, clip: Clip, config: Any, **options: Any) -> Any:
        calls.append(config.seconds)
        return constant_track(body, clip, config, nstep=12, failure="time")

    monkeypatch.setattr(jobs, "track_clip", search)
    result = run(out, "arm_000", "--seconds", 5)
    assert result.exit_code == 1
    assert "lost arm_000.h5: the time is up; --seconds gives it more, 0.12 s into 0.30 s" in result.stderr
    stored = read_track(out / "tracks/arm_000.h5")
    assert (stored.verdict, stored.failure, stored.nstep) == ("lost", "time", 12)
    assert run(out, "arm_000", "--seconds", 5).exit_code == 1
    assert run(out, "arm_000", "--seconds", 4).exit_code == 1
    assert calls == [5.0]
    assert run(out, "arm_000", "--seconds", 6).exit_code == 1
    assert calls == [5.0, 6.0]


def test_crash_of_the_search_affects_one_clip(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(body: Any, clip: Clip, config: Any, **options: Any) -> Any:
        if clip.source.endswith("arm_001"):
            raise ValueError("a fault")
        return constant_track(body, clip, config, **options)

    monkeypatch.setattr(jobs, "track_clip", search)
    result = run(out)
    assert result.exit_code == 1
    assert "failed arm_001.h5: ValueError: a fault" in result.stderr
    assert sorted(path.name for path in (out / "tracks").glob("*.h5")) == ["arm_000.h5", "arm_002.h5"]


def test_interrupted_run_keeps_finished_tracks_and_resumes(
    out: Path, monkeypatch: pytest.MonkeyPatch, searched: list[str]
) -> None:
    usual = jobs.track_clip

    def search(body: Any, clip: Clip, config: Any, **options: Any) -> Any:
        if clip.source.endswith("arm_001"):
            raise KeyboardInterrupt
        return usual(body, clip, config, **options)

    monkeypatch.setattr(jobs, "track_clip", search)
    result = run(out)
    assert result.exit_code == 130
    assert "interrupted; new tracks kept: 1, clips left: 2; repeat the command to resume" in result.stderr
    monkeypatch.setattr(jobs, "track_clip", usual)
    assert run(out).exit_code == 0
    assert searched == ["arm_000.h5", "arm_001.h5", "arm_002.h5"]


def test_damaged_track_is_made_again(out: Path, searched: list[str]) -> None:
    assert run(out).exit_code == 0
    with h5py.File(out / "tracks/arm_001.h5", "r+") as file:
        file.attrs["licence"] = "forged"
    (out / "tracks/arm_002.h5").write_bytes(b"junk")
    result = run(out, "--status")
    assert result.exit_code == 1
    assert "no track arm_001.h5" in result.stderr
    assert "is not the file that was written" in result.stderr
    assert run(out, "--replay").exit_code == 1
    assert run(out).exit_code == 0
    assert searched[3:] == ["arm_001.h5", "arm_002.h5"]
    assert run(out, "--status").exit_code == 0


def test_dry_run_writes_nothing(out: Path, searched: list[str]) -> None:
    before = sorted(out.rglob("*"))
    result = run(out, "--dry-run", "--seconds", 60)
    assert (result.exit_code, searched, sorted(out.rglob("*"))) == (0, [], before)
    assert "track arm_000.h5: 31 frames" in result.stdout
    assert "3 to track (at most 0:03:00 on one core), 0 up to date, 1 infeasible" in result.stdout


def test_replay_compares_bit_for_bit(out: Path, searched: list[str]) -> None:
    assert run(out, "--replay").exit_code == 2
    assert run(out).exit_code == 0
    result = run(out, "--replay")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [f"identical {name}: 30 control steps, bit for bit" for name in NAMES]
    single = json.loads(run(out, "arm_001", "--replay", "--json").stdout)["clips"]
    assert single == [
        {"clip": "arm_001.h5", "steps": 30, "identical": True, "difference": 0.0, "problem": ""}
    ]  # fmt: skip
    (out / "tracks/tracks.jsonl").unlink()
    with h5py.File(out / "tracks/arm_000.h5", "r+") as file:
        excitation: Any = file["excitation"]
        excitation[0, 0] += 0.01
    different = run(out, "arm_000", "--replay")
    assert different.exit_code == 1
    assert "different arm_000.h5: up to" in different.stdout


def test_options_without_effect_are_refused(out: Path) -> None:
    for arguments in (["--replay", "--seed", 1], ["--status", "--overwrite"], ["--dry-run", "--video", "a.mp4"]):
        result = run(out, *arguments)
        assert (result.exit_code, "do not take" in result.stderr) == (2, True)
    assert run(out, "--set", "tracking.none=1").exit_code == 2
    assert run(out, "--seconds", 0).exit_code == 2
    assert run(out, "--video", out / "film.gif").exit_code == 2


def test_track_never_replaces_a_clip(out: Path, searched: list[str], clips: list[tuple[str, Clip]]) -> None:
    """A source folder may be called tracks."""
    write_dataset(out, [("a", clips[0][1]), ("tracks/a", clips[1][1])])
    before = (out / "tracks/a.h5").read_bytes()
    result = run(out)
    assert result.exit_code == 1
    assert "failed a.h5: its track would replace the clip tracks/a.h5" in result.stderr
    assert (out / "tracks/a.h5").read_bytes() == before
    assert len(searched) == 1


def test_single_file_is_a_data_set(out: Path, searched: list[str]) -> None:
    assert run(out / "arm_000.h5").exit_code == 0
    assert run(out / "arm_000.h5", "--replay").exit_code == 0
    assert (out / "tracks/arm_000.h5").is_file()


def test_video_shows_reference_and_body(out: Path, searched: list[str], tmp_path: Path) -> None:
    result = run(out, "--video", tmp_path / "film.mp4", "--video-seconds", 0.5)
    assert result.exit_code == 0, result.output
    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "film.mp4"))
    assert frames == 15
    assert str(tmp_path / "film.mp4") in result.stdout


def test_tracked_motion_can_be_viewed(out: Path, searched: list[str], tmp_path: Path) -> None:
    arguments = [str(out), "arm_000", "--tracked", "--save", str(tmp_path / "strip.png"), "--frames", "2"]
    assert RUNNER.invoke(view.app, arguments).exit_code == 2  # no track yet
    assert run(out, "arm_000").exit_code == 0
    result = RUNNER.invoke(view.app, arguments)
    assert result.exit_code == 0, result.output
    arguments = [word for word in arguments if word != "--tracked"]
    other = [*arguments[:-3], str(tmp_path / "clip.png"), *arguments[-2:]]
    assert RUNNER.invoke(view.app, other).exit_code == 0
    assert (tmp_path / "strip.png").read_bytes() != (tmp_path / "clip.png").read_bytes()
    assert read_tracked(out, "arm_000.h5").nframe == 31
    assert with_tracks(find_clips(out)).names == ("arm_000.h5",)


def test_progress_starts_at_once_and_ends_complete(out: Path, searched: list[str]) -> None:
    moments: list[RunProgress] = []
    track_clips(out, list_clips(out), TrackConfig(), report=moments.append)
    assert (moments[0].stage, moments[0].done, moments[0].total) == ("plan", 0, 4)
    tracking = [moment for moment in moments if moment.stage == "track"]
    assert (tracking[0].clip, tracking[0].moment, tracking[-1].done) == ("arm_000.h5", None, 3)
    assert any(moment.moment is not None and moment.moment.reached == 30 for moment in tracking)


@pytest.mark.slow
def test_workers_track_one_clip_each(out: Path) -> None:
    """The same tracks as in this process, except for the time that they took."""
    workers = TrackWorkers(count=2)
    result = track_clips(out, list_clips(out), TrackConfig(), workers=workers, search=constant_track)
    assert result.complete
    assert result.counts["tracked"] == 3
    first = {name: (out / "tracks" / name).read_bytes() for name in NAMES}
    track_clips(out, list_clips(out), TrackConfig(), overwrite=True, search=constant_track)
    assert {name: (out / "tracks" / name).read_bytes() for name in NAMES} == first


KILLED = """
import sys, time
from pathlib import Path
from musclemap.imitation.tracking.track_config import TrackConfig
from musclemap.pipelines.track.tracked_motions import read_tracked, with_tracks
from musclemap.pipelines.track.tracking import track_clips
from musclemap.pipelines.train.dataset import list_clips
from musclemap.pipelines.viewer.clips import find_clips
sys.path.insert(0, {tests!r})
from tests.support.arm_tracks import constant_track

def search(body, clip, config, **options):
    if clip.source.endswith("arm_001"):
        print("here", flush=True)
        time.sleep(60)
    return constant_track(body, clip, config, **options)

out = Path(sys.argv[1])
track_clips(out, list_clips(out), TrackConfig(), search=search)
"""


@pytest.mark.slow
def test_killed_run_resumes(out: Path, searched: list[str]) -> None:
    root = Path(__file__).parents[2]
    program = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(tests=str(root)), str(out)], stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}, text=True,
    )  # fmt: skip
    assert program.stdout is not None
    assert program.stdout.readline() == "here\n"
    assert run(out).exit_code == 2  # another run is writing
    program.send_signal(signal.SIGKILL)
    program.wait()
    program.stdout.close()
    deadline = time.monotonic() + 5.0
    while run(out, "--status").exit_code == 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert run(out).exit_code == 0
    assert searched == ["arm_001.h5", "arm_002.h5"]
