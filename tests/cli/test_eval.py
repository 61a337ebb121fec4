"""`mm-eval`: metrics, report and video of a policy, and error messages."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from typer.testing import CliRunner, Result

from musclemap.cli import eval as command
from musclemap.datasets.clip import Clip
from musclemap.imitation.eval.evaluation import ClipEvaluation
from musclemap.imitation.eval.scores import ClipScore
from musclemap.imitation.physics.bodies import load_simulation_body
from musclemap.imitation.policy.file_limits import POLICY
from musclemap.imitation.policy.training_clips import TrainingClips, dataset_facts
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.pipelines.report.anatomy import joint_title, side_of
from musclemap.pipelines.train.dataset import select_clips
from musclemap.pipelines.train.evaluation import RecordingOptions, _clips_for_film, evaluate_policy, worst_first

from ..support.data.arm_dataset import write_dataset
from ..support.data.arm_policies import save_untrained

RUNNER = CliRunner()
SECONDS = 0.5
LEARNED = ("arm_000", "arm_001")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of four clips, one of them infeasible, and a run trained on two of them."""
    place = tmp_path_factory.mktemp("eval")
    clips = arm_clips(4, SECONDS, seed=1)
    clips[3] = (clips[3][0], replace(clips[3][1], verdict="infeasible", reasons=({"rule": "strength"},)))
    write_dataset(place / "set", clips)
    save_untrained(place / "run" / POLICY, [item for item in clips if item[0] in LEARNED])
    rows = [{"steps": steps, "seconds": 1.0, "reward": 0.5, "coverage": 0.1} for steps in (1000, 2000)]
    (place / "run" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


def run(place: Path, *arguments: object, source: str = "run") -> Result:
    words = [str(place / source), "--dataset", str(place / "set"), *map(str, arguments)]
    return RUNNER.invoke(command.app, words)


@pytest.fixture(scope="module")
def output(place: Path) -> dict[str, Any]:
    """All outputs of one call: JSON, report and video."""
    result = run(place, "--json", "--report", place / "page.html", "--video", place / "film.mp4")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_clip_has_metrics(output: dict[str, Any]) -> None:
    assert [clip["name"] for clip in output["clips"]] == ["arm_000.h5", "arm_001.h5", "arm_002.h5"]
    for clip in output["clips"]:
        assert clip["steps"] == clip["simulated"] == round(100 * SECONDS)
        assert 0 < clip["normalised_return"] < 1
        assert clip["joint_angle_error_to_end"] > 0
    assert output["left_out"] == {"arm_003.h5": "infeasible (strength)"}
    assert (output["body"], output["engine"], output["ground"], output["steps"]) == (
        "SmallArm",
        "mujoco",
        "flat",
        12_000,
    )


def test_held_out_clips_have_their_own_totals(output: dict[str, Any]) -> None:
    assert {clip["name"]: clip["group"] for clip in output["clips"]} == {
        "arm_000.h5": "training", "arm_001.h5": "training", "arm_002.h5": "held_out"
    }  # fmt: skip
    totals = {name: total["clips"] for name, total in output["totals"].items()}
    assert totals == {"all": 3, "held_out": 1, "training": 2}
    (clip,) = (clip for clip in output["clips"] if clip["group"] == "held_out")
    assert output["totals"]["held_out"]["mean"]["normalised_return"] == pytest.approx(clip["normalised_return"])


def test_video_and_report_are_written(output: dict[str, Any], place: Path) -> None:
    assert output["written"] == [str(place / "film.mp4"), str(place / "page.html")]
    meta = next(imageio_ffmpeg.read_frames(str(place / "film.mp4")))
    assert meta["size"] == (1120, 720)
    assert meta["duration"] == pytest.approx(3 * SECONDS, abs=0.15)
    assert b"Over control steps" in (place / "page.html").read_bytes()


def test_filters_select_clips(place: Path) -> None:
    held_out = json.loads(run(place, "--json", "--held-out").stdout)
    assert [clip["name"] for clip in held_out["clips"]] == ["arm_002.h5"]
    some = json.loads(run(place, "--json", "--infeasible", "--exclude", "*1.h5", "--limit", 3).stdout)
    assert [clip["name"] for clip in some["clips"]] == ["arm_000.h5", "arm_002.h5", "arm_003.h5"]


def test_default_output_is_a_table(place: Path) -> None:
    result = run(place, "--include", "arm_00[02].h5", source=f"run/{POLICY}")
    assert result.exit_code == 0
    assert re.search(r"arm_000\.h5 +training +(landmarks)? +\d+%", result.stdout)
    assert re.search(r"arm_002\.h5 +held out", result.stdout)
    assert re.search(r"all clips +\d of 2 +clips", result.stdout)
    assert "1.0 s of motion" in result.stdout
    quiet = run(place, "-q", "--include", "arm_000.h5")
    assert (quiet.exit_code, quiet.stdout) == (0, "")


def test_strict_fails_if_tracking_fails(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musclemap.imitation.eval.evaluation.LANDMARK_LIMIT", 1e-4)
    failing = ["--include", "arm_000.h5", "-q"]
    assert run(place, *failing).exit_code == 0
    assert run(place, *failing, "--strict").exit_code == 1
    monkeypatch.setattr("musclemap.imitation.eval.evaluation.LANDMARK_LIMIT", 10.0)
    assert run(place, *failing, "--strict").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--include", "x"], "none of the 4 clips"),
        (["--report", "page.txt"], "has to end in .html"),
        (["--video", "no/such/film.mp4"], "there is no folder"),
        (["--video", "f.mp4", "--trained-ground"], "shows flat ground"),
        (["--held-out", "--include", "arm_000.h5"], "none is held out"),
        (["--include", "arm_003.h5"], "no clip to track: arm_003.h5: infeasible"),
    ],
)
def test_wrong_usage_is_reported(place: Path, arguments: list[str], message: str) -> None:
    result = run(place, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_file_that_is_not_a_policy_is_reported(place: Path) -> None:
    (place / "empty").mkdir(exist_ok=True)
    assert "there is no policy at" in run(place, source="empty").stderr
    result = run(place, source="run/metrics.jsonl")
    assert result.exit_code == 2
    assert "metrics.jsonl is no policy; mm-train writes policies" in result.stderr


# Recordings


def _score(name: str, covered: int, error: float = 0.1) -> ClipEvaluation:
    failure = "root" if covered < 10 else ""
    metrics = {"relative_landmark_error": error}
    score = ClipScore(name=name, steps=10, covered=covered, simulated=10, failure=failure, metrics=metrics)
    return ClipEvaluation(score=score, recording=None)


def test_worst_clips_are_first() -> None:
    result = [_score("fine", 10, 0.1), _score("late", 8), _score("early", 2), _score("rough", 10, 0.2)]
    assert [one.score.name for one in worst_first(result)] == ["early", "late", "rough", "fine"]


def test_worst_clips_and_clips_of_the_video_are_recorded(place: Path) -> None:
    chosen = select_clips(place / "set")

    def recorded(keep: RecordingOptions) -> tuple[list[str], list[str]]:
        """All clips, the worst first, and the recorded ones."""
        result = evaluate_policy(place / "run" / POLICY, chosen, recording=keep, num_envs=2)
        ordered = worst_first([judged.result for judged in result.clips])
        assert result.film == (("arm_002.h5",) if keep.seconds else ())  # one at least; held-out clips come first
        return [one.score.name for one in ordered], [one.score.name for one in ordered if one.recording is not None]

    names, none = recorded(RecordingOptions())
    assert none == []
    assert recorded(RecordingOptions(worst=1)) == (names, names[:1])
    assert recorded(RecordingOptions(worst=2)) == (names, names[:2])
    film = [name for name in names if name in (names[0], "arm_002.h5")]
    assert recorded(RecordingOptions(worst=1, seconds=0.1)) == (names, film)


def test_video_has_the_requested_length() -> None:
    clips = arm_clips(4, SECONDS)
    seen = TrainingClips(dataset_facts(clips[:2]))
    film: Callable[[float], tuple[str, ...]] = lambda seconds: _clips_for_film(clips, seen, seconds=seconds)  # noqa: E731
    assert film(0.0) == ()
    assert film(0.1) == ("arm_002",)
    assert film(3.1 * SECONDS) == ("arm_002", "arm_003", "arm_000")


@pytest.mark.slow
def test_full_body_is_evaluated_and_drawn(walk_clip: Clip, tmp_path: Path) -> None:
    clip = walk_clip.frames(slice(40))
    write_dataset(tmp_path / "set", [("walk", clip)])
    save_untrained(tmp_path / "run" / POLICY, [], body="MyoFullBody")
    result = run(tmp_path, "--json", "--report", tmp_path / "page.html", "--video", tmp_path / "film.mp4")
    assert result.exit_code == 0, result.output
    (output,) = json.loads(result.stdout)["clips"]
    assert output["group"] == "held_out"
    assert 0.0 <= output["contact_agreement"] <= 1.0
    assert output["root_position_rms_axis"] < output["root_position_error"]
    assert output["bad_steps"] == output["overflow_steps"] == 0
    assert next(imageio_ffmpeg.read_frames(str(tmp_path / "film.mp4")))["size"] == (1120, 720)
    page = (tmp_path / "page.html").read_text("utf-8")
    names = load_simulation_body("MyoFullBody").joint_names
    assert all(f'"title": "{joint_title(side_of(name)[0])[0]}"' in page for name in names)
