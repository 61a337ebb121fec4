"""Comparison of a study with its expectations: missing, non-finite and deviating quantities are reported by name."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from musclemap.cli import reproduce
from musclemap.datasets.groups import load_group
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.datasets.synthetic.synthesis import motion_names, synthesise
from musclemap.errors import SettingsError
from musclemap.pipelines.study.reproduction import Expectation, compare, read_expectations, write_expectations
from musclemap.pipelines.study.study import QUANTITIES, Quantity, study_figures

ROOT = Path(__file__).parents[2]
RUNNER = CliRunner()
METRICS = sorted({quantity.name.rpartition(".")[0] for quantity in QUANTITIES[9:]})
BUILT_IN = [synthesise(name, seconds=0.1).name for name in motion_names()]
FIGURES = {quantity.name: 10.0 + k for k, quantity in enumerate(QUANTITIES)}


def entry(source: str, *, nframe: int = 100, verdict: str = "feasible", **metrics: Any) -> ManifestEntry:
    result = {metric: 1.0 for metric in METRICS} | metrics
    return ManifestEntry(
        source=source, clip=source[:-4] + ".h5", source_sha256="0" * 64, clip_sha256="0" * 64, status="ok",
        nframe=nframe, seconds=nframe / 100, verdict=verdict, metrics=result,
    )  # fmt: skip


def lost(source: str, status: str) -> ManifestEntry:
    return ManifestEntry(source=source, status=status, reason="bad_file: it is empty")


def write(folder: Path, *entries: ManifestEntry) -> Path:
    Manifest(entries=entries).write(folder / "manifest.jsonl")
    return folder


def builtin(folder: Path, **metrics: Any) -> Path:
    """Manifest lines of the built-in motions; the first has the given metrics."""
    return write(folder, *(entry(name, **(metrics if not k else {})) for k, name in enumerate(BUILT_IN)))


def expected(quantity: Quantity, value: float) -> Expectation:
    return Expectation(
        value=value, direction=quantity.direction, absolute=quantity.absolute, relative=quantity.relative
    )


EXPECTED = {quantity.name: expected(quantity, FIGURES[quantity.name]) for quantity in QUANTITIES}


def run(*words: object) -> Result:
    return RUNNER.invoke(reproduce.app, [str(word) for word in words])


def test_identical_figures_are_reproduced() -> None:
    result = compare("s", FIGURES, EXPECTED)
    assert [row.name for row in result.rows] == [quantity.name for quantity in QUANTITIES]
    assert not result.deviations
    assert result.to_dict()["reproduced"] is True


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: quantity.name)
def test_each_quantity_may_vary_within_its_tolerance_and_is_reported_beyond_it(quantity: Quantity) -> None:
    slack, value = EXPECTED[quantity.name].tolerance, FIGURES[quantity.name]
    steps = [("at_most", 1), ("at_least", -1)]
    for side, sign in steps:
        bound = quantity.direction in (side, "both")
        for step, fails in ((0.9 * slack, False), (1.1 * slack + 1e-9, bound), (2 * value, bound)):
            result = compare("s", FIGURES | {quantity.name: value + sign * step}, EXPECTED)
            assert [row.name for row in result.deviations] == ([quantity.name] if fails else [])
            assert result.to_dict()["reproduced"] is not fails


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: quantity.name)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_non_finite_values_do_not_pass(quantity: Quantity, value: float | None) -> None:
    figures = {name: result for name, result in FIGURES.items() if name != quantity.name}
    result = compare("s", figures if value is None else figures | {quantity.name: value}, EXPECTED)
    assert [(row.name, row.verdict, row.result) for row in result.deviations] == [(quantity.name, "missing", None)]
    json.dumps(result.to_dict(), allow_nan=False)


def test_unexpected_and_missing_figures_do_not_pass() -> None:
    rest = {name: one for name, one in EXPECTED.items() if name != "frames"}
    assert [(row.name, row.verdict) for row in compare("s", FIGURES, rest).deviations] == [("frames", "unexpected")]
    more = EXPECTED | {"warmth": EXPECTED["frames"]}
    assert [(row.name, row.verdict) for row in compare("s", FIGURES, more).deviations] == [("warmth", "missing")]


def test_tolerances_are_relative_to_the_expected_value_and_respect_the_direction() -> None:
    assert Expectation(value=-10.0, direction="both", relative=0.1).accepts(-11.0)
    assert not Expectation(value=-10.0, direction="both", relative=0.1).accepts(-11.1)
    low = Expectation(value=10.0, direction="at_most", absolute=1.0)
    high = Expectation(value=10.0, direction="at_least", absolute=1.0)
    assert (low.accepts(11.0), low.accepts(11.5), low.accepts(-1e9)) == (True, False, True)
    assert not low.accepts(-math.inf)
    assert not high.accepts(math.inf)
    assert (high.accepts(9.0), high.accepts(8.5), high.accepts(1e9)) == (True, False, True)


def test_figures_are_means_weighted_by_frames(tmp_path: Path) -> None:
    names = BUILT_IN
    write(
        tmp_path,
        entry(names[0], nframe=300, verdict="warn", skate_m_s=0.1, floor_penetration_mm=9.0, tendon_jump_fraction=0.0),
        entry(names[1], nframe=100, skate_m_s=0.5, floor_penetration_mm=2.0, tendon_jump_fraction=0.1),
        entry(names[2], nframe=100, verdict="infeasible", skate_m_s=0.1, landmark_error_mm=21.0),
        lost(names[3], "rejected"),
        lost(names[4], "failed"),
    )
    result = study_figures(tmp_path, "builtin")
    assert set(result) == {quantity.name for quantity in QUANTITIES}
    counts = {name: result[name] for name in list(result)[:8]}
    assert counts == {
        "sources": 5, "status.ok": 3, "status.rejected": 1, "status.failed": 1, "verdict.feasible": 1,
        "verdict.warn": 1, "verdict.infeasible": 1, "frames": 500,
    }  # fmt: skip
    assert result["hours"] == pytest.approx(5 / 3600)
    assert result["skate_m_s.mean"] == pytest.approx(0.18)
    assert result["floor_penetration_mm.max"] == 9.0
    assert result["tendon_jump_fraction.clips"] == 2.0
    assert result["landmark_error_mm.p95"] == pytest.approx(1.0 + 0.9 * 20.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "1.0", True])
@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_that_one_clip_lacks_is_missing_from_the_study(tmp_path: Path, metric: str, value: object) -> None:
    result = study_figures(builtin(tmp_path, **{metric: value}), "builtin")
    assert {name.rpartition(".")[0] for name, number in result.items() if not math.isfinite(number)} == {metric}


def test_a_study_without_a_clip_has_no_metrics(tmp_path: Path) -> None:
    result = study_figures(write(tmp_path, lost("builtin/walk/walk_1.2_poses.npz", "failed")), "builtin")
    assert {name for name, number in result.items() if not math.isfinite(number)} == set(list(FIGURES)[9:])


def test_motions_of_another_study_are_refused(tmp_path: Path) -> None:
    member = load_group("kit-kinesis-train")[0] + ".npz"
    with pytest.raises(SettingsError, match=r"1 of 1 motions .* do not belong to builtin; the first is"):
        study_figures(write(tmp_path, entry(member)), "builtin")
    assert study_figures(tmp_path, "kit-kinesis-train")["sources"] == 1
    assert study_figures(tmp_path, "kit-kinesis-train-mean-skeleton")["sources"] == 1
    assert study_figures(tmp_path, "amass")["sources"] == 1
    with pytest.raises(SettingsError, match="do not belong to kit-kinesis-test"):
        study_figures(tmp_path, "kit-kinesis-test")
    with pytest.raises(SettingsError, match=r"unknown study 'kit'; known: builtin, amass, .*kit-kinesis-train"):
        study_figures(tmp_path, "kit")


def test_written_expectations_round_trip_and_reproduce_themselves(tmp_path: Path) -> None:
    path = tmp_path / "expected" / "s.json"
    write_expectations(path, "s", FIGURES, made_with={"processor": "abacus"})
    assert read_expectations(path) == EXPECTED
    assert not compare("s", FIGURES, read_expectations(path)).deviations
    assert json.loads(path.read_text())["made_with"] == {"processor": "abacus"}


def test_writing_again_keeps_custom_tolerances(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    write_expectations(path, "s", FIGURES, made_with={})
    stored = json.loads(path.read_text())
    stored["quantities"]["frames"] = {"value": 1, "direction": "at_least", "relative": 0.5}
    path.write_text(json.dumps(stored))
    write_expectations(path, "s", FIGURES, made_with={})
    kept = read_expectations(path)["frames"]
    assert (kept.value, kept.direction, kept.relative, kept.absolute) == (FIGURES["frames"], "at_least", 0.5, None)


def test_missing_expectations_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no expectations at"):
        read_expectations(tmp_path / "s.json")


def test_a_study_with_missing_figures_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"1 figures are missing: skate_m_s\.mean"):
        write_expectations(tmp_path / "s.json", "s", FIGURES | {"skate_m_s.mean": math.nan}, made_with={})
    assert not list(tmp_path.iterdir())


GOOD = {"value": 1.0, "direction": "both", "absolute": 0.1}


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("{", "holds no quantities"),
        ("[]", "holds no quantities"),
        ('{"quantities": {"frames": 3}}', "holds no quantities"),
        ({**GOOD, "value": None}, "frames: None is not a finite number"),
        ({**GOOD, "value": math.nan}, "frames: None is not a finite number"),
        ({**GOOD, "value": "1"}, "'1' is not a finite number"),
        ({**GOOD, "absolute": math.inf}, "exactly one tolerance"),
        ({**GOOD, "absolute": -1}, "0 or more"),
        ({**GOOD, "relative": 0.1}, "exactly one tolerance"),
        ({"value": 1.0, "direction": "both"}, "exactly one tolerance"),
        ({**GOOD, "direction": "up"}, "at_most, at_least"),
        ({"value": 1.0, "absolute": 0.1}, "known are"),
        ({**GOOD, "tolerance": 0.1}, "known are"),
    ],
)
def test_an_invalid_expectation_is_refused_with_its_name(tmp_path: Path, text: Any, output: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text if isinstance(text, str) else json.dumps({"quantities": {"frames": text}}))
    with pytest.raises(SettingsError, match=output) as caught:
        read_expectations(path)
    assert str(path) in str(caught.value)


def test_exit_status_of_the_command(tmp_path: Path) -> None:
    clips, folder = builtin(tmp_path / "clips"), tmp_path / "expected"
    none = run(clips, "builtin", "--expected", folder)
    assert none.exit_code == 2
    assert "builtin.json" in none.stderr
    assert f"mm-reproduce {clips} builtin --expected {folder} --write" in none.stderr
    assert run(clips, "builtin", "--expected", folder, "--write").exit_code == 0
    good = run(clips, "builtin", "--expected", folder)
    assert (good.exit_code, good.stderr) == (0, "")
    assert f"{len(QUANTITIES)} of {len(QUANTITIES)} quantities are within" in good.stdout
    builtin(tmp_path / "clips", skate_m_s=9.0, foot_shift_mm=None)
    bad = run(clips, "builtin", "--expected", folder)
    assert bad.exit_code == 1
    assert [line.partition(":")[0] for line in bad.stderr.splitlines()] == [
        "beyond skate_m_s.mean", "missing foot_shift_mm.max",
    ]  # fmt: skip
    assert run(tmp_path / "nowhere", "builtin", "--expected", folder).exit_code == 2
    assert run(clips, "nothing", "--expected", folder).exit_code == 2


def test_the_command_prints_json(tmp_path: Path) -> None:
    clips, folder = builtin(tmp_path / "clips"), tmp_path / "expected"
    output = json.loads(run(clips, "builtin", "--expected", folder, "--write", "--json").stdout)
    assert output["study"] == "builtin"
    assert output["reproduced"] is True
    assert [row["name"] for row in output["quantities"]] == list(FIGURES)
    assert {row["verdict"] for row in output["quantities"]} == {"within"}


def test_expectations_in_the_repository_are_complete() -> None:
    paths = sorted((ROOT / "expected").glob("*.json"))
    assert ROOT / "expected" / "builtin.json" in paths
    for path in paths:
        assert set(read_expectations(path)) == set(FIGURES), path
        assert json.loads(path.read_text())["study"] == path.stem
