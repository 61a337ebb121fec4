"""The report about a policy shows the metrics of the evaluation and the curves of the recordings."""

import base64
import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.reward import MAX_PUBLISHED_REWARD
from musclemap.pipelines.report.policy_curves import LEARNING, clip_curves, learning_curves
from musclemap.pipelines.report.policy_report import write_policy_report
from musclemap.pipelines.train.dataset import ClipSelection
from musclemap.pipelines.train.evaluation import PolicyEvaluation, RecordingOptions, evaluate_policy

from ..support.data.arm_policies import save_untrained
from ..support.devtools import CHROMIUM

EVIL = "a \"quoted\" '</script><script>alert(1)</script>' {{data}} ümläut.h5"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> PolicyEvaluation:
    """Three clips, one with a hostile name; the two worst are recorded."""
    path = tmp_path_factory.mktemp("run") / "policy.safetensors"
    clips = [(EVIL, clip) if k == 0 else (f"{k}.h5", clip) for k, (_, clip) in enumerate(arm_clips(3, 0.6, seed=1))]
    save_untrained(path, clips[:1])
    chosen = ClipSelection(clips=tuple(clips), left_out={"<b>bad</b>.h5": "it is damaged"})
    return evaluate_policy(path, chosen, recording=RecordingOptions(worst=2))


@pytest.fixture(scope="module")
def page(result: PolicyEvaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("metrics")
    rows = [{"steps": 1000 * k, "reward": 0.1 * k, "kl": 0.01} for k in range(5)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return write_policy_report(run / "page.html", result, run=run)


def _data(path: Path) -> dict[str, Any]:
    (text,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(text)


def _values(line: dict[str, Any]) -> np.ndarray:
    low, step, text = line["points"]
    return low + step * np.frombuffer(base64.b64decode(text), dtype="<u2")


def _panels(curves: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {panel["title"]: panel for section in curves["sections"] for panel in section["panels"]}


def test_every_clip_has_a_row(result: PolicyEvaluation, page: Path) -> None:
    data = _data(page)
    titles = [column["title"] for column in data["columns"]]
    assert not [title for title in titles if title.startswith("root")]  # the root of the arm is fixed
    rows = {row[0]: row for row in data["rows"]}
    assert set(rows) == {EVIL, "1.h5", "2.h5"}
    assert sum(row[4] is not None for row in rows.values()) == len(data["curves"]) == 2
    for judged in result.clips:
        score = judged.result.score
        _, group, failure, values, *_ = rows[score.name]
        assert group == ("training" if score.name == EVIL else "held out")
        assert failure == score.failure
        assert values[titles.index("covered")] == pytest.approx(100.0 * score.coverage, rel=1e-4)
        assert values[titles.index("joints [°]")] == pytest.approx(score.metrics["joint_angle_error_deg"], rel=1e-4)
    assert data["problems"] == ["left out <b>bad</b>.h5: it is damaged"]
    assert [group["cells"][0] for group in data["groups"]] == ["all", "", "held out", "", "training", ""]


def test_names_are_never_markup_and_nothing_is_fetched(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "alert(1)</script>" not in text
    assert "<b>bad" not in text
    assert text.count("<script") == 2
    assert not re.findall(r"https?:|//\w+\.\w+/|@import", text.replace("http://www.w3.org/2000/svg", ""))


def test_curves_match_the_recording(result: PolicyEvaluation) -> None:
    judged = next(judged for judged in result.clips if judged.result.recording is not None)
    recording, clip = judged.result.recording, judged.clip
    assert recording is not None
    assert clip.activation is not None
    data = clip_curves(clip, judged.result, result.body)
    panels = _panels(data["curves"])
    policy, reference = panels["Elbow flexion"]["lines"]
    np.testing.assert_allclose(_values(policy), np.degrees(recording.qpos[:, 1]), atol=1e-2)
    np.testing.assert_allclose(_values(reference), np.degrees(clip.qpos[:, 1]), atol=1e-2)
    assert (policy["upper"], reference["dashed"]) == (pytest.approx(np.degrees(2.1)), True)
    activation, ref_activation = panels["Mean activation"]["lines"]
    np.testing.assert_allclose(_values(activation), recording.act.mean(axis=1), atol=1e-4)
    np.testing.assert_allclose(_values(ref_activation), clip.activation.mean(axis=1), atol=1e-4)
    landmarks = panels["Distance from the reference"]["lines"][0]
    assert landmarks["name"] == "landmarks from the root"
    np.testing.assert_allclose(_values(landmarks)[1:], 1e3 * recording.step_metrics.relative_landmark_error, atol=0.05)
    assert _values(landmarks)[0] == 0.0


def test_after_a_failure_frames_are_shaded_and_reward_is_zero(result: PolicyEvaluation) -> None:
    judged = next(judged for judged in result.clips if judged.result.recording is not None)
    failed = replace(judged.result, score=replace(judged.result.score, failure="landmarks", covered=20))
    data = clip_curves(judged.clip, failed, result.body)
    assert data["reasons"] == [{"rule": "failure", "limit": 0, "frames": [[21, 61]], "dropped": 0}]
    (reward,) = next(p for title, p in _panels(data["curves"]).items() if title.startswith("Published"))["lines"]
    assert judged.result.recording is not None
    ref = judged.result.recording.step_metrics.published[:20] / MAX_PUBLISHED_REWARD
    np.testing.assert_allclose(_values(reward)[1:21], ref, atol=1e-3)
    assert not _values(reward)[21:].any()


def test_repeated_rows_of_a_resumed_run_are_drawn_once(tmp_path: Path) -> None:
    """The run stopped at 3000 and resumed at 2000; its last line is truncated, and one metric starts late."""
    steps = [1000, 2000, 3000, 2000, 3000, 4000]
    rows = [{"steps": s, "reward": 0.1 * k, "terminated": None} for k, s in enumerate(steps)]
    rows[4]["terminated"], rows[5]["terminated"] = 0.5, 0.25
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"steps": 5')
    data = learning_curves(tmp_path)
    assert data is not None
    panels = _panels(data["curves"])
    (reward,) = next(panel for title, panel in panels.items() if title.startswith("Reward"))["lines"]
    np.testing.assert_allclose(_values(reward), [0.0, 0.3, 0.4, 0.5], atol=1e-4)
    (terminated,) = next(panel for title, panel in panels.items() if title.startswith("Fraction"))["lines"]
    np.testing.assert_allclose(_values(terminated)[-2:], [0.5, 0.25], atol=1e-4)
    assert data["fps"] == pytest.approx(1 / 1000)
    assert learning_curves(tmp_path / "none") is None


HOSTILE = [
    {"steps": "many", "reward": 1}, {"steps": 10**300, "reward": 1}, {"steps": -5, "reward": 1}, {"steps": True},
    {"steps": 1500, "reward": "<img src=x onerror=alert(1)>", "kl": [[1]], "noise": {"a": 1}}, [], "text", None, 5,
    {"steps": 1600, "reward": 1e308, "kl": -1e308}, {"steps": 1700, "reward": float("nan"), "kl": float("inf")},
    {"</script><script>alert(1)</script>": 1, "steps": 1800}, {"steps": 1900, "reward": 10**400},
]  # fmt: skip
"""Rows that no run writes."""


def test_hostile_metrics_become_numbers_or_are_dropped(result: PolicyEvaluation, tmp_path: Path) -> None:
    honest = [{"steps": 1000 * k, "reward": 0.1 * k, "kl": 0.01} for k in range(5)]
    lines = [json.dumps(row) for row in [*honest[:2], *HOSTILE, *honest[2:]]]
    lines += ["[" * 100_000, "x" * 100_000, "\x00", '{"steps": 9000, "reward": "' + "y" * 100_000 + '"}']
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    with np.errstate(all="raise"):
        data = learning_curves(tmp_path)
    assert data is not None
    (reward,) = _panels(data["curves"])[LEARNING[0][0]]["lines"]
    values = _values(reward)
    assert values.min() >= 0.0
    assert values.max() == pytest.approx(0.4)
    page = write_policy_report(tmp_path / "page.html", result, run=tmp_path)
    assert page.read_text("utf-8").count("<script") == 2
    assert "<img" not in page.read_text("utf-8")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: (path.touch(), os.truncate(path, 2**40))])
def test_unreadable_metrics_are_a_problem_on_the_page(
    result: PolicyEvaluation, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "metrics.jsonl")
    data = _data(write_policy_report(tmp_path / "page.html", result, run=tmp_path))
    assert data["learning"] is None
    assert data["problems"][-1].startswith("training curves are not shown: ")


def test_long_metrics_files_are_sampled(tmp_path: Path) -> None:
    with (tmp_path / "metrics.jsonl").open("w") as file:
        file.writelines(f'{{"steps": {k}, "reward": {0.5 if k < 30_000 else 1.0}}}\n' for k in range(60_000))
    data = learning_curves(tmp_path)
    assert data is not None
    (reward,) = _panels(data["curves"])[LEARNING[0][0]]["lines"]
    assert (_values(reward)[0], _values(reward)[-1]) == (0.5, pytest.approx(1.0))


def test_curves_of_unstable_physics_are_valid_json(result: PolicyEvaluation) -> None:
    """The measures of unstable physics are not finite."""
    judged = next(judged for judged in result.clips if judged.result.recording is not None)
    recording = judged.result.recording
    assert recording is not None
    error = np.append(recording.step_metrics.relative_landmark_error[:-1], np.nan)
    curves = recording.step_metrics._replace(relative_landmark_error=error)
    unstable = replace(judged.result, recording=replace(recording, step_metrics=curves))
    json.dumps(clip_curves(judged.clip, unstable, result.body), allow_nan=False)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")
def test_browser_draws_the_page(page: Path, tmp_path: Path) -> None:
    drawn = next(row[0] for row in _data(page)["rows"] if row[4] is not None)
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom",
        f"--user-data-dir={tmp_path}", f"{page.as_uri()}#clip={quote(drawn)}",
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout
    body = dom.split('<script id="data"')[0]
    assert body.count("<tr>") >= 1 + 6 + 1 + 3
    assert "3 of 3 clips" in body
    assert "Elbow flexion [°]" in body  # the dialog of the first clip is open
    assert body.count("<svg") > 5


@pytest.mark.slow
def test_joints_of_both_sides_share_a_chart(walk_clip: Clip, tmp_path: Path) -> None:
    save_untrained(tmp_path / "p.safetensors", body="MyoFullBody")
    chosen = ClipSelection(clips=(("walk.h5", walk_clip.frames(slice(36))),), left_out={})
    result = evaluate_policy(tmp_path / "p.safetensors", chosen, recording=RecordingOptions(worst=1))
    data = _data(write_policy_report(tmp_path / "page.html", result))
    panels = _panels(data["curves"][0]["curves"])
    lines = [(line["name"], line["side"]) for line in panels["Knee flexion"]["lines"]]
    assert lines == [
        ("right policy", "r"), ("right reference", "r"), ("left policy", "l"), ("left reference", "l")
    ]  # fmt: skip
    assert {"root [mm]", "contacts agree"} <= {column["title"] for column in data["columns"]}
    assert data["learning"] is None
