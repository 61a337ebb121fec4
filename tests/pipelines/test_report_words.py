"""What the report says: headline, torque that muscles lack, badges, explanations, guidance, and readable colours."""

import base64
import itertools
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.datasets.manifest import ManifestEntry
from musclemap.pipelines.builtin_walk import read_walk
from musclemap.pipelines.report.anatomy import JOINTS, body_part, joint_title, side_of
from musclemap.pipelines.report.encoding import decimate
from musclemap.pipelines.report.findings.badges import badge_table, badges
from musclemap.pipelines.report.findings.guidance import guidance, heights
from musclemap.pipelines.report.findings.headline import Outcome, cause_text, headline
from musclemap.pipelines.report.findings.metric_texts import GROUPS, METRICS
from musclemap.pipelines.report.findings.shortfall import find_shortfall
from musclemap.pipelines.report.gait import CYCLE, gait_curves
from musclemap.pipelines.report.stick_figure import MOMENTS, animation, bones, figure_of, thumbnail
from musclemap.pipelines.track.track_folder import ListedTrack
from musclemap.retarget.checks.reason_text import reason_text
from musclemap.retarget.checks.verdict import RULES
from musclemap.skeletons.bodies.myofullbody import LANDMARK_NAMES
from musclemap.skeletons.body import TargetBody

from ..support.data.report_folders import lacking


@pytest.fixture(scope="module")
def walk() -> Clip:
    return read_walk()[0]


def _outcome(source: str, state: str = "feasible", cause: str = "", kind: str = "") -> Outcome:
    return Outcome(source=source, state=state, cause=cause, kind=kind, with_muscles=True)


# Headline


def test_headline_counts_clips_and_names_those_that_cannot_be_followed() -> None:
    rows = [_outcome(f"a/walk_{k}_poses.npz") for k in range(7)]
    rows.insert(2, _outcome("a/jump_poses.npz", "warn", "lower back lacks 149 Nm from 0.80 to 1.45 s"))
    result = headline(rows)
    assert (result["lead"], result["tone"]) == ("7 of 8 can be followed", "warn")
    assert result["items"] == [[2, "jump", "lower back lacks 149 Nm from 0.80 to 1.45 s"]]


@pytest.mark.parametrize(
    ("outcome", "lead", "items"),
    [
        (_outcome("a/walk.npz"), "walk can be followed", []),
        (_outcome("jump_poses.npz", "infeasible", "it floats"), "jump cannot be followed", [[0, "", "it floats"]]),
        (_outcome("jump_poses.npz", "warn", "knees lack 9 Nm"), "jump needs more torque than the muscles have",
         [[0, "", "knees lack 9 Nm"]]),
        (_outcome("x.npz", "unreadable", "truncated"), "x cannot be read", [[0, "", "truncated"]]),
        (_outcome("x.npz", "failed", "the solver broke"), "None of 1 file became a clip",
         [[0, "x", "no clip: the solver broke"]]),
    ],
)  # fmt: skip
def test_headline_of_one_source(outcome: Outcome, lead: str, items: list[object]) -> None:
    result = headline([outcome])
    assert (result["lead"], result["items"]) == (lead, items)


def test_headline_groups_many_causes() -> None:
    rows = [_outcome(f"{k}.npz") for k in range(4800)]
    rows += [_outcome(f"s{k}.npz", "infeasible", f"feet slide at {k} m/s", "foot slide") for k in range(150)]
    rows += [_outcome(f"m{k}.npz", "warn", f"left hip lacks {k} Nm", "muscles lack torque") for k in range(40)]
    rows += [_outcome(f"o{k}.npz", "infeasible", "x", f"kind {k}") for k in range(10)]
    rows += [_outcome(f"n{k}.npz", "rejected", "no motion", "not motion") for k in range(7)]
    result = headline(rows)
    assert result["lead"] == "4,800 of 5,000 can be followed"
    texts = [text for _, _, text in result["items"]]
    assert texts[:2] == ["foot slide: 150", "muscles lack torque: 40"]
    assert texts[3:] == ["other causes: 9", "7 files gave no clip: not motion (7)"]


def test_headline_says_if_muscles_were_not_checked() -> None:
    rows = [_outcome("a.npz"), replace(_outcome("b.npz"), with_muscles=False)]
    result = headline(rows)
    assert result["lead"] == "2 of 2 pass the checks"
    assert result["items"] == [[-1, "", "1 without a check of muscles; mm-validate --muscles does"]]
    assert headline([])["lead"] == "No source files"


def test_causes_are_the_first_sentence_without_limit_and_advice() -> None:
    reason = {"rule": "floating_p95_mm", "value": 220.97, "limit": 100.0, "frames": [[8, 120], [243, 337]]}
    text = cause_text(reason_text(reason, fps=100.0))
    assert text == "feet in contact are 221 mm above the floor (95th percentile), from 0.1 to 1.2 s and at 1 other time"


def test_a_torque_that_muscles_lack_has_joint_size_and_time(walk: Clip) -> None:
    found = find_shortfall(lacking(walk, "flex_extension", torque=149.2, frames=slice(80, 145)))
    assert found is not None
    assert found.text == "lower back lacks 149 Nm from 0.80 to 1.45 s"
    found = find_shortfall(lacking(walk, "knee_angle_l", torque=60.0, frames=slice(0, 20)))
    assert found is not None
    assert found.text == "left knee lacks 60 Nm from 0.00 to 0.20 s"


def test_impacts_and_small_torques_are_no_shortfall(walk: Clip) -> None:
    assert find_shortfall(lacking(walk, "flex_extension", torque=300.0, frames=slice(80, 88))) is None
    assert find_shortfall(lacking(walk, "flex_extension", torque=49.0, frames=slice(80, 200))) is None
    assert find_shortfall(replace(walk, activation=None, activation_residual=None)) is None
    two = lacking(walk, "flex_extension", torque=80.0, frames=slice(80, 88))
    assert two.activation_residual is not None
    two.activation_residual[91:99] = two.activation_residual[80]  # 30 ms later: one time
    found = find_shortfall(two)
    assert found is not None
    assert (found.start, found.stop) == (0.8, 0.99)


# Words


def test_every_rule_is_explained_in_a_known_group() -> None:
    measures = {measure.metric for rule in RULES for measure in rule.measures}
    assert measures <= set(METRICS)
    assert {text.group for text in METRICS.values()} == {key for key, _ in GROUPS}
    for text in METRICS.values():
        assert text.factor == (100.0 if "%" in text.unit else 1.0)


def test_every_independent_joint_has_a_name_of_its_own(body: TargetBody) -> None:
    stems = {side_of(name)[0] for name in body.reduced.joint_names}
    assert stems <= set(JOINTS)
    titles = [joint_title(stem)[0] for stem in stems]
    assert len(set(titles)) == len(titles)
    assert body_part("hip_flexion_r") == "right hip"
    assert joint_title("thumb_joint") == ("thumb joint", "")


def test_badges_name_codes_and_changes() -> None:
    warning = {"code": "doubtful_frame_rate", "text": "120 Hz is doubtful"}
    metrics = {"filter_moved_joints_mm": 3.2, "treadmill_speed_m_s": 1.2, "repeated_source_fraction": 0.0,
               "refitted": 0.0, "dynamics_moved_mm": 0.01, "foot_shift_mm": "much"}  # fmt: skip
    entry = ManifestEntry(source="a.npz", clip="a.h5", status="ok", seconds=6.0, metrics=metrics, warnings=(warning,))
    assert badges(entry) == [
        ("doubtful frame rate", "doubt", "120 Hz is doubtful"),
        ("filtered", "change", "noise was removed; a joint moved by up to 3.2 mm"),
        ("treadmill", "change", "recorded on a treadmill at 1.20 m/s"),
    ]
    lost = ListedTrack(
        clip="a.h5", sha256="", verdict="lost", failure="root", metrics={"frames": 301, "frames_total": 601}
    )
    assert badges(entry, lost)[-1] == ("muscles lose it", "result", "mm-track lost the clip at 3.00 of 6.0 s: root")
    assert badges(entry, replace(lost, verdict="tracked"))[-1][0] == "muscles follow"


def test_equal_badges_are_stored_once() -> None:
    kinds, rows = badge_table([[("filtered", "change", "a")], [], [("filtered", "change", "b"), ("x", "doubt", "c")]])
    assert kinds == [["filtered", "change"], ["x", "doubt"]]
    assert rows == [[[0, "a"]], [], [[0, "b"], [1, "c"]]]


# Guidance


def test_residuals_are_relative_to_the_peak_external_force(walk: Clip, body: TargetBody) -> None:
    weight = -body.model.opt.gravity[2] * body.mass
    assert walk.ground_force is not None
    force = np.zeros_like(walk.ground_force)
    force[5, 0], force[5, 1] = (0.0, 0.0, 1.2 * weight), (0.0, 1.6 * weight, 0.0)  # together 2 body weights
    metrics = {"residual_force_peak_bw": 0.1, "residual_moment_peak_bw_height": 0.01}
    rows = guidance(replace(walk, ground_force=force, metrics=metrics), body)
    assert rows[0]["value"] == pytest.approx(5.0, rel=1e-5)
    height, centre = heights(body)
    assert 0.5 < centre / height < 0.62  # people: 0.55 to 0.57 (Winter 2009)
    assert rows[1]["value"] == pytest.approx(0.5 * height / centre, rel=1e-5)
    assert [row["limit"] for row in rows] == [5.0, 1.0, 2.0, 4.0]


def test_guidance_without_forces_has_landmarks_only(walk: Clip) -> None:
    error = np.zeros_like(walk.landmark_pos)
    error[0, 0] = (0.0, 0.03, 0.04)
    rows = guidance(replace(walk, target_pos=walk.landmark_pos + error, metrics={}), None)
    assert [row["value"] for row in rows] == pytest.approx([5.0 / np.sqrt(error[..., 0].size), 5.0], abs=1e-4)


# Figures and curves


def test_a_figure_joins_every_landmark_of_the_body() -> None:
    figure = figure_of(LANDMARK_NAMES)
    reached = {k for bone in figure["bones"] for k in bone}
    assert reached == set(range(len(LANDMARK_NAMES) + 1))  # and the neck
    assert len(figure["bones"]) == len(LANDMARK_NAMES)
    assert bones(("shoulder", "elbow", "hand")) == [[0, 1], [1, 2]]
    assert bones(("a", "__proto__")) == []


def test_a_thumbnail_does_not_depend_on_the_heading(walk: Clip) -> None:
    """Turning and moving the whole motion over the floor leaves its view from the side."""
    first = np.frombuffer(base64.b64decode(thumbnail(walk.landmark_pos, walk.landmark_names)), np.uint8)
    assert first.size == MOMENTS * 18 * 2
    for angle in (0.7, 2.5, -1.9):
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        turned = walk.landmark_pos @ turn.T + [3.0, -2.0, 0.0]
        other = np.frombuffer(base64.b64decode(thumbnail(turned, walk.landmark_names)), np.uint8)
        np.testing.assert_allclose(other.astype(int), first.astype(int), atol=1)


def test_an_animation_keeps_the_poses(walk: Clip) -> None:
    data = animation([("motion", walk.landmark_pos)], walk.landmark_names, fps=walk.fps)
    (track,) = data["tracks"]
    levels = np.frombuffer(base64.b64decode(track["poses"]), "<u2").reshape(data["count"], -1, 3)
    poses = np.array(track["start"]) + np.array(track["step"]) * levels
    np.testing.assert_allclose(poses[[0, -1], :17], walk.landmark_pos[[0, -1]], atol=1e-4)
    assert data["times"][1] * (data["count"] - 1) == pytest.approx((walk.nframe - 1) / walk.fps)


def test_smooth_curves_are_sampled_and_peaks_are_kept() -> None:
    time = np.arange(601) / 100
    smooth = np.sin(2 * np.pi * time)
    drawn = (4 / 4 - 0.5 + np.arange(2 * -(-601 // 4)) * 2) / 100
    np.testing.assert_allclose(decimate(smooth, width=4)[:-2], np.sin(2 * np.pi * drawn)[:-2], atol=1e-3)
    rough = smooth.copy()
    rough[303] = 9.0
    assert decimate(rough, width=4).max() == 9.0


def test_mean_strides_of_a_periodic_angle_are_that_angle(walk: Clip) -> None:
    """Feet strike every 1 s, the left half a stride after the right; the knee's angle depends on the phase alone."""
    frames = np.arange(501)
    down = {side: ((frames / 100 + shift) % 1.0) < 0.6 for side, shift in (("right", 0.0), ("left", 0.5))}
    contact = np.stack([down["left"], down["left"], down["right"], down["right"]], axis=1).astype(np.uint8)
    clip = replace(walk.frames(slice(501)), contact=contact, bearing=None, ground_force=None)
    angles = {
        f"knee_angle_{side[0]}": 30.0 + 20.0 * np.sin(2 * np.pi * (frames / 100 + shift))
        for side, shift in (("right", 0.0), ("left", 0.5))
    }
    data = gait_curves(clip, angles, weight=800.0)
    assert data is not None
    assert data["strides"] == {"left": 4, "right": 4}
    ((panel,),) = (section["panels"] for section in data["curves"]["sections"])
    assert [line["name"] for line in panel["lines"]] == ["left", "right"]
    for line in panel["lines"]:
        low, step, text = line["points"]
        values = low + step * np.frombuffer(base64.b64decode(text), "<u2")
        np.testing.assert_allclose(values, 30.0 + 20.0 * np.sin(2 * np.pi * CYCLE), atol=0.05)
    assert len(panel["band"]) == 2
    assert gait_curves(replace(clip, contact=np.ones_like(contact)), angles, weight=800.0) is None


# Colours


def _palettes() -> list[dict[str, str]]:
    """Colours of the light and of the dark scheme."""
    css = files("musclemap.pipelines.report").joinpath("report.css").read_text("utf-8")
    roots = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", root)) for root in roots)
    assert set(dark) == set(light)
    return [light, dark]


def _luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    channel = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channel]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


TEXT = ("ink", "soft", "accent", "right", "left", "middle", "feasible", "warn", "infeasible", "rejected", "failed",
        "unreadable")  # fmt: skip


def test_contrast_is_that_of_the_standard() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_on_both_grounds(scheme: int) -> None:
    palette = _palettes()[scheme]
    contrast = {
        (name, ground): _contrast(palette[name], palette[ground])
        for name, ground in itertools.product(TEXT, ("ground", "card"))
    }
    assert {pair: value for pair, value in contrast.items() if value < 4.5} == {}
