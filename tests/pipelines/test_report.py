"""The conversion report lists all sources, withstands hostile text, stays small and works in a browser."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from musclemap.datasets.clip import Clip, write_clip
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.errors import SettingsError
from musclemap.pipelines.report import page
from musclemap.pipelines.report.encoding import MAX_POINTS, Chart, Curve, Section, decimate, encode, quantise, runs
from musclemap.pipelines.report.muscle_groups import OTHER, moment_arms, muscle_groups
from musclemap.pipelines.report.page import write_report
from musclemap.pipelines.report.sections import clip_sections
from musclemap.pipelines.report.source_rows import broken_rules, plain_reasons, severity, worst_first
from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.retarget.checks.verdict import RULES
from musclemap.skeletons.body import TargetBody

from ..support.data.report_folders import listed, many_sources
from ..support.hostile.browser import look

EVIL = "a \"quoted\" '</script><script>alert(1)</script>' {{data}} ümläut \udcff.npz"
RULE = next(rule for rule in RULES if rule.warn > 0 and rule.infeasible is not None)


def _clip(body: TargetBody, *, nframe: int = 30, **changes: object) -> Clip:
    """A knee that bends once, and landmarks 10 mm from their targets."""
    q = np.tile(np.concatenate([[0.0, 0.0, 0.95, 1.0, 0.0, 0.0, 0.0], body.reduced.rest]), (nframe, 1))
    q[:, 7 + body.reduced.index("knee_angle_r")] = np.sin(np.linspace(0, np.pi, nframe))
    qpos = body.reduced.expand(q)
    reached = np.zeros((nframe, 2, 3))
    clip = Clip(
        qpos=qpos, qvel=np.zeros((nframe, body.model.nv)), landmark_pos=reached,
        target_pos=reached + np.array([0.0, 0.006, 0.008]), contact=np.tile([1, 0, 0, 1], (nframe, 1)), fps=100.0,
        joint_names=body.joint_names,
        landmark_names=("ulna_r", "ulna_l"), model="MyoFullBody",
        model_version=body.version, model_sha256="", source="knee.npz", source_sha256="",
        source_fps=None, fps_source="assumed", body_model="mean", subject_scale=1.0, hands="locked",
        config={"joint_limits": "effective"}, software={}, licence="", metrics={"landmark_error_mm": 10.0},
        verdict="feasible", reasons=(),
    )  # fmt: skip
    return replace(clip, **changes)


def _page_data(path: Path) -> dict:
    (text,) = re.findall(
        r'<script id="data" type="application/json">(.*?)</script>', path.read_text("utf-8"), re.DOTALL
    )
    return json.loads(text)


def _clip_data(path: Path) -> dict:
    return json.loads(path.read_text("ascii").removeprefix(f'musclemapClip("{path.name}", ').removesuffix(");\n"))


def _values(line: dict) -> np.ndarray:
    low, step, text = line["points"]
    return low + step * np.frombuffer(base64.b64decode(text), dtype="<u2")


@pytest.fixture(scope="module")
def out(body: TargetBody, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources: feasible, infeasible, truncated, missing, of another body, failed and rejected."""
    out = tmp_path_factory.mktemp("archive")
    limit = RULE.infeasible
    assert limit is not None
    reason = {"rule": RULE.metric, "value": 9 * limit, "limit": limit, "frames": [[3, 9], [20, 99]]}
    bad = _clip(
        body, nframe=900, verdict="infeasible", metrics={RULE.metric: 9 * limit, "name": "<b>"}, reasons=(reason,)
    )
    entries = [listed(out, "good.npz", _clip(body)), listed(out, "sub/bad.npz", bad)]
    entries += [listed(out, "truncated.npz", _clip(body)), listed(out, "other.npz", _clip(body, model="skeletor"))]
    (out / "truncated.npz.h5").write_bytes((out / "truncated.npz.h5").read_bytes()[:3000])
    entries.append(replace(entries[0], source="missing.npz", clip="missing.h5"))
    entries.append(replace(entries[0], source="outside.npz", clip="../good.npz.h5"))
    entries.append(ManifestEntry(source=EVIL, status="failed", reason=f"solver: {EVIL}"))
    entries.append(ManifestEntry(source="shape.npz", status="rejected", reason="no-motion: <b>no poses</b>"))
    Manifest(entries=tuple(entries)).write(out / "manifest.jsonl")
    write_report(out, pictures=False)
    return out


# Content


def test_page_lists_every_source_with_its_state(out: Path) -> None:
    data = _page_data(out / "report.html")
    state = {row[0]: row[1] for row in data["rows"]}
    assert state == {
        "good.npz": "feasible", "sub/bad.npz": "infeasible", "other.npz": "feasible", "truncated.npz": "unreadable",
        "missing.npz": "unreadable", "outside.npz": "unreadable", EVIL: "failed", "shape.npz": "rejected",
    }  # fmt: skip
    assert data["counts"] == {"feasible": 2, "infeasible": 1, "unreadable": 3, "failed": 1, "rejected": 1}
    assert data["frames"] == 30 + 900 + 30
    for row in data["rows"]:
        assert bool(row[7]) == (row[1] in ("feasible", "infeasible")) == (not row[4])
        assert not row[7] or (out / "report" / row[7]).is_file()


def test_rules_match_those_of_the_verdict(out: Path) -> None:
    rules = _page_data(out / "report.html")["rules"]
    assert list(rules) == sorted(measure.metric for rule in RULES for measure in rule.measures)
    for rule in RULES:
        for measure in rule.measures:
            limits = {"warn": measure.warn, "infeasible": measure.infeasible}
            assert rules[measure.metric] == limits | {"source": rule.source}


def test_text_from_files_is_never_markup(out: Path) -> None:
    text = (out / "report.html").read_text("utf-8")
    assert "alert(1)</script>" not in text
    assert "<b>" not in text
    assert text.count("<script") == 2
    assert (out / "report.html").read_bytes().decode("utf-8")  # surrogates are escaped, the file is UTF-8


def test_page_fetches_nothing(out: Path) -> None:
    text = (out / "report.html").read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"https?:|//\w+\.\w+/|@import|<link (?!rel=\"icon\" href=\"data:)", text)


def test_curves_match_the_clip(out: Path, body: TargetBody) -> None:
    (row,) = (row for row in _page_data(out / "report.html")["rows"] if row[0] == "good.npz")
    data = _clip_data(out / "report" / row[7])
    clip = _clip(body)
    panels = {panel["title"]: panel for section in data["curves"]["sections"] for panel in section["panels"]}
    assert data["curves"]["step"] == pytest.approx(0.01)
    knee = next(line for line in panels["Knee flexion"]["lines"] if line["side"] == "r")
    joint = body.reduced.index("knee_angle_r")
    ref = np.degrees(clip.qpos[:, body.reduced.qposadr[joint]])
    np.testing.assert_allclose(_values(knee), ref, atol=1e-2)
    assert knee["upper"] == pytest.approx(np.degrees(body.reduced.upper[joint]), rel=1e-5)
    mean = next(line for line in panels["Distance of landmarks from their targets"]["lines"] if line["name"] == "mean")
    np.testing.assert_allclose(_values(mean), 10.0, atol=1e-3)
    feet = next(panel for title, panel in panels.items() if title.startswith("Heels"))
    height = evaluate_clip(body, clip.qpos).contact_pos[:, :, 2] * 100.0
    for k, line in enumerate(feet["lines"]):
        np.testing.assert_allclose(_values(line), height[:, k], atol=1e-2)
    assert [bar["frames"] for bar in feet["bars"]] == [[[0, 30]], [], [], [[0, 30]]]


def test_unknown_body_still_has_landmark_curves(out: Path, body: TargetBody) -> None:
    (row,) = (row for row in _page_data(out / "report.html")["rows"] if row[0] == "other.npz")
    data = _clip_data(out / "report" / row[7])
    assert "skeletor" in data["notes"][0]
    assert [section["title"] for section in data["curves"]["sections"]] == ["Landmark error", "Error of each landmark"]


def test_a_clip_names_what_was_done_to_its_motion(body: TargetBody, tmp_path: Path) -> None:
    metrics = {"landmark_error_mm": 10.0, "filter_cutoff_root_hz": 6.0, "contact_count": 4.0}
    entry = listed(tmp_path, "filtered.npz", _clip(body, metrics=metrics))
    Manifest(entries=(entry,)).write(tmp_path / "manifest.jsonl")
    write_report(tmp_path, pictures=False)
    (row,) = _page_data(tmp_path / "report.html")["rows"]
    note = _clip_data(tmp_path / "report" / row[7])["notes"][0]
    assert note == f"filtered at 6 Hz; 4 contacts; body {body.version}"


def test_a_clip_names_the_doubts_about_its_source(body: TargetBody, tmp_path: Path) -> None:
    text = "frame rate 120 Hz is doubtful, about 55 Hz would fit"
    clip = _clip(body, warnings=({"code": "doubtful_frame_rate", "text": text},))
    Manifest(entries=(listed(tmp_path, "a.npz", clip),)).write(tmp_path / "manifest.jsonl")
    write_report(tmp_path, pictures=False)
    (row,) = _page_data(tmp_path / "report.html")["rows"]
    assert f"source: {text}" in _clip_data(tmp_path / "report" / row[7])["notes"]


def test_same_clips_give_same_bytes_and_stale_files_are_removed(out: Path) -> None:
    before = {path: path.read_bytes() for path in [out / "report.html", *(out / "report").iterdir()]}
    (out / "report" / "9999.js").write_text("from an earlier run")
    (out / "report" / "mine.js").write_text("not ours")
    write_report(out, pictures=False)
    (out / "report" / "mine.js").unlink()
    assert {path: path.read_bytes() for path in [out / "report.html", *(out / "report").iterdir()]} == before


def test_folder_without_a_manifest_raises(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no manifest\.jsonl"):
        write_report(tmp_path)


def test_worst_clips_get_pictures(body: TargetBody, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 2 * RULE.warn
    clips = [_clip(body, nframe=8, verdict="infeasible", metrics={RULE.metric: k * limit}) for k in (2.0, 3.0)]
    entries = [listed(tmp_path, f"{k}.npz", clip) for k, clip in enumerate([_clip(body, nframe=8), *clips])]
    assert [entry.source for entry in worst_first(entries)] == ["2.npz", "1.npz", "0.npz"]
    Manifest(entries=tuple(entries)).write(tmp_path / "manifest.jsonl")
    monkeypatch.setattr(page, "MAX_PICTURES", 1)
    data = _page_data(write_report(tmp_path))
    assert data["pictures"] == {"enabled": True, "limit": 1, "clips": 1}
    details = [_clip_data(path) for path in sorted((tmp_path / "report").iterdir())]
    assert [len(clip.get("pictures", [])) for clip in details] == [0, 0, 6]
    assert base64.b64decode(details[2]["pictures"][5]["jpeg"]).startswith(b"\xff\xd8")
    first = {path: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    write_report(tmp_path)
    assert {path: path.read_bytes() for path in (tmp_path / "report").iterdir()} == first


# Parts


def test_decimation_keeps_peaks() -> None:
    values = np.random.default_rng(0).standard_normal(5003)
    values[[1234, 5002]] = 40.0, -40.0
    decimated = decimate(values, width=26)
    assert len(decimated) == 2 * -(-5003 // 26) <= MAX_POINTS
    assert (decimated.max(), decimated.min()) == (40.0, -40.0)
    assert set(decimated) <= set(values)


@pytest.mark.parametrize("nframe", [1, 2, 400, 401, 100_000])
@pytest.mark.parametrize("count", [1, 20, 300])
def test_curves_stay_small_for_any_clip(nframe: int, count: int) -> None:
    values = np.random.default_rng(0).standard_normal(nframe)
    curve = Curve(name="right", values=values, lower=-1.0, upper=1.0)
    chart = Chart(title="a joint", unit="deg", curves=(curve,) * count)
    curves = encode([Section(title="all", charts=(chart,))], nframe=nframe, fps=100.0)
    assert len(json.dumps(curves)) < 150_000
    points = _values(curves["sections"][0]["panels"][0]["lines"][0])
    assert curves["start"] + (len(points) - 1) * curves["step"] == pytest.approx(
        (nframe - 1) / 100.0, abs=curves["per_point"] / 100.0
    )
    assert points.max() == pytest.approx(values.max(), abs=1e-3)


def test_quantised_values_are_within_half_a_step() -> None:
    values = np.random.default_rng(1).standard_normal(333) * 50
    decoded = _values({"points": quantise(values)})
    np.testing.assert_allclose(decoded, values, atol=np.ptp(values) / 65535 / 2 + 1e-12)
    np.testing.assert_array_equal(_values({"points": quantise(np.full(3, 7.5))}), 7.5)


def test_runs_are_half_open_and_stop_at_the_end_of_the_clip() -> None:
    mask = np.zeros(11, dtype=bool)
    mask[[0, 1, 5, 9, 10]] = True
    assert runs(mask, width=1) == [[0, 2], [5, 6], [9, 11]]
    assert runs(mask, width=4) == [[0, 11]]
    assert runs(mask, width=3) == [[0, 6], [9, 11]]


def test_malformed_frame_ranges_are_clipped_or_dropped() -> None:
    frames = [[0, 5], [8, 90], [-4, 2], [7, 7], [1], "ab", [0.5, 2], [50, 60]]
    (reason,) = plain_reasons([{"rule": "r", "value": float("nan"), "limit": 3, "frames": frames}], nframe=10)
    assert reason["frames"] == [[0, 5], [8, 10], [0, 2]]
    assert (reason["dropped"], reason["value"], reason["limit"]) == (5, None, 3.0)
    assert plain_reasons([{}], nframe=10)[0]["frames"] == []
    skating = {"rule": "skate_m_s", "value": 0.3, "limit": 0.1, "frames": [[5, 80]]}
    (reason,) = plain_reasons([skating], nframe=100, fps=50.0)
    assert reason["text"].startswith("Standing feet slide at 0.3 m/s, from 0.1 to 1.6 s (limit 0.1 m/s). ")


def test_metrics_that_are_not_numbers_break_no_rule() -> None:
    assert broken_rules({RULE.metric: None}) == broken_rules({RULE.metric: "much"}) == ()
    assert broken_rules({RULE.metric: 2 * RULE.warn}) == (RULE.metric,)
    assert severity({RULE.metric: 2 * RULE.warn}) == pytest.approx(2.0)
    assert severity({RULE.metric: None}) == 0.0


def test_every_muscle_is_in_one_group_of_its_direction(body: TargetBody) -> None:
    groups = muscle_groups(body)
    members = [muscle for group in groups for muscle in group.muscles]
    assert sorted(members) == list(range(body.model.nu))
    arms = moment_arms(body)
    for group in groups:
        if group.joint != OTHER:
            arm = arms[list(group.muscles), body.reduced.index(group.joint)]
            assert ((arm > 0) == group.up).all()
    names = {(group.joint, group.up): {body.model.actuator(k).name for k in group.muscles} for group in groups}
    assert "vaslat_r" not in names["knee_angle_r", True]  # extends the knee
    assert "vaslat_r" in names["knee_angle_r", False]
    assert "soleus_l" in names["ankle_angle_l", False]


def test_activations_are_drawn_if_they_fit_the_body(body: TargetBody, tmp_path: Path) -> None:
    clip = _clip(body)
    for shape, expected in (((30, body.model.nu), 1), ((30, 7), 0), ((4, body.model.nu), 0)):
        write_clip(tmp_path / "a.h5", clip)
        with h5py.File(tmp_path / "a.h5", "a") as file:
            file["activation"] = np.full(shape, 0.25, dtype=np.float32)
        sections, notes = clip_sections(clip, tmp_path / "a.h5")
        drawn = [section for section in sections if section.title.startswith("Mean activation")]
        assert (len(drawn), len(notes)) == (expected, 1 - expected)
        for chart in drawn[0].charts if drawn else ():
            for curve in chart.curves:
                np.testing.assert_allclose(curve.values, 0.25)


# Size


@pytest.fixture(scope="module")
def many(body: TargetBody, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5,000 sources, of which 20 have a readable clip."""
    out = many_sources(tmp_path_factory.mktemp("many"), _clip(body))
    write_report(out, pictures=False)
    return out


def test_page_of_5000_sources_stays_small(many: Path) -> None:
    assert (many / "report.html").stat().st_size < 10e6
    assert len(list((many / "report").iterdir())) == 20
    assert max(path.stat().st_size for path in (many / "report").iterdir()) < 200_000  # curves and two stick figures


# The browser

CHECK = """
  const result = {};
  const pause = (ms = 60) => new Promise((resolve) => setTimeout(resolve, ms));
  const sources = () => [...document.querySelectorAll("#sources tbody .link")].map((link) => link.textContent);
  const set = async (id, value, kind) => {
    document.getElementById(id).value = value;
    document.getElementById(id).dispatchEvent(new Event(kind));
    await pause(400);
  };
  result.title = document.title;
  result.first = sources();
  const drawn = () => document.querySelectorAll("#distributions [data-group]:not([data-group='']) .card svg").length;
  for (let k = 0; k < 80 && !drawn(); k++) await pause(50);
  result.histograms = drawn();
  const head = (key) => document.querySelector(`th[data-key="${key}"]`);
  head("seconds").querySelector("button").click();
  result.down = [sources()[0], head("seconds").getAttribute("aria-sort")];
  head("seconds").querySelector("button").click();
  result.up = [sources()[0], head("seconds").getAttribute("aria-sort")];
  await set("text", "BAD", "input");
  result.text = sources();
  await set("text", "", "input");
  await set("state", "rejected", "change");
  result.state = sources();
  await set("state", "", "change");
  await set("rule", RULE, "change");
  result.rule = sources();
  document.querySelector("#filters [type=reset]").click();
  await pause();
  result.cleared = sources().length;
  for (const link of document.querySelectorAll("#sources tbody .link")) {
    if (link.textContent !== OPENED) continue;
    link.click();
    await pause(1500);
    const curves = document.getElementById("curves");
    result.open = document.getElementById("clip").open;
    result.charts = curves.querySelectorAll(".curve").length;
    result.shaded = curves.querySelectorAll(".card.wide .shade").length;
    curves.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    result.readout = curves.querySelector(".readout").textContent;
    curves.querySelector("svg").dispatchEvent(new PointerEvent("pointermove", { clientX: 400 }));
    document.querySelector("#clip-body .swatch")?.click();
    result.unshaded = curves.querySelectorAll(".card.wide .shade").length;
    const closed = new Promise((resolve) => document.getElementById("clip").addEventListener("close", resolve));
    document.getElementById("close").click();
    await closed;
    result.closed = !document.getElementById("clip").open;
    result.focus = document.activeElement.textContent;
  }
  return result;
"""


def _browse(out: Path, profile: Path, *, opened: str) -> dict:
    """Operate the page in a headless browser and return the recorded state."""
    check = CHECK.replace("RULE", json.dumps(RULE.metric)).replace("OPENED", json.dumps(opened))
    return look(out / "report.html", profile, check)


def test_browser_sorts_filters_and_opens(out: Path, tmp_path: Path) -> None:
    page_state = _browse(out, tmp_path / "profile", opened="sub/bad.npz")
    assert page_state["title"] == f"Retargeting report: {out.name}"
    assert page_state["first"][1:] == [
        "missing.npz",
        "outside.npz",
        "truncated.npz",
        "shape.npz",
        "sub/bad.npz",
        "good.npz",
        "other.npz",
    ]
    assert page_state["first"][0] == EVIL.replace("\udcff", "\ufffd")
    assert page_state["histograms"] >= 1
    assert page_state["down"] == ["sub/bad.npz", "descending"]
    assert page_state["up"][1] == "ascending"
    assert page_state["up"][0] != "sub/bad.npz"
    assert page_state["text"] == ["sub/bad.npz"]
    assert page_state["state"] == ["shape.npz"]
    assert page_state["rule"] == ["sub/bad.npz"]
    assert page_state["cleared"] == 8
    assert page_state["open"]
    assert page_state["charts"] > 31
    assert (page_state["shaded"], page_state["unshaded"]) == (4, 0)  # two ranges in each of two charts
    assert re.fullmatch(r"— mean \d+\.\d+┄ largest \d+\.\d+", page_state["readout"])
    assert page_state["closed"]
    assert page_state["focus"] == "sub/bad.npz"


def test_browser_handles_5000_sources(many: Path, tmp_path: Path) -> None:
    rows = _page_data(many / "report.html")["rows"]
    worst = max((row for row in rows if row[1] == "feasible"), key=lambda row: row[6])[0]
    page_state = _browse(many, tmp_path / "profile", opened=worst)
    assert len(page_state["first"]) == page_state["cleared"] == 50
    assert page_state["histograms"] == sum(len(rule.measures) for rule in RULES)
