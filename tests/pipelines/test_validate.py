"""`mm-validate` and `mm-report`: inputs, results, written files and exit status."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from musclemap.cli import report as page
from musclemap.cli import validate
from musclemap.datasets.clip import Clip, read_clip, write_clip
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.retarget.checks.validator import Validator
from musclemap.retarget.config import ValidationConfig
from musclemap.retarget.velocities import velocities
from musclemap.skeletons.body import TargetBody

RUNNER = CliRunner()
NFRAME = 60


@pytest.fixture(scope="module")
def short(walk_clip: Clip) -> Clip:
    """Part of the walk, as from a conversion without checks."""
    without_checks = replace(
        walk_clip, support_names=(), bearing=None, ground_force=None, centre_of_pressure=None, moment_names=(),
        joint_moment=None,
    )  # fmt: skip
    return without_checks.frames(slice(100, 100 + NFRAME))


@pytest.fixture(scope="module")
def jumping(short: Clip) -> Clip:
    """Part of the walk with a jump of the root by 20 cm."""
    qpos = short.qpos.copy()
    qpos[NFRAME // 2 :, 0] += 0.2
    return replace(short, qpos=qpos, qvel=velocities(qpos.astype(np.float64), short.fps).astype(np.float32))


def put(out: Path, **clips: Clip) -> Path:
    """Write an output folder with these clips, without verdicts."""
    entries = []
    for name, clip in clips.items():
        sha256 = write_clip(out / f"{name}.h5", clip)
        entries.append(
            ManifestEntry(
                source=f"{name}.npz",
                clip=f"{name}.h5",
                clip_sha256=sha256,
                status="ok",
                nframe=clip.nframe,
                seconds=clip.duration,
                verdict="feasible",
            )
        )
    Manifest(entries=tuple(entries)).write(out / "manifest.jsonl")
    return out


def run(*arguments: object) -> Result:
    return RUNNER.invoke(validate.app, [str(argument) for argument in (*arguments, "--no-report")])


def entries(out: Path) -> dict[str, ManifestEntry]:
    manifest = Manifest.read(out / "manifest.jsonl")
    assert manifest.problems == ()
    return {entry.source: entry for entry in manifest.entries}


def test_verdicts_and_reasons_are_written_to_clips_and_manifest(tmp_path: Path, short: Clip, jumping: Clip) -> None:
    out = put(tmp_path / "out", good=short, bad=jumping)
    write_clip(out / "stray.h5", short)
    before = (out / "stray.h5").read_bytes()
    result = run(out)
    assert result.exit_code == 0, result.output
    assert "infeasible  bad.h5" in result.stdout
    assert "The pelvis moves at 2" in result.stdout  # m/s: 20 cm in a frame
    assert "root_speed_max_m_s" in result.stdout
    assert "3 clips: 2 feasible, 0 warn, 1 infeasible, 0 unchecked" in result.stdout
    entry = entries(out)["bad.npz"]
    clip = read_clip(out / "bad.h5", sha256=entry.clip_sha256)
    assert entry.verdict == clip.verdict == "infeasible"
    assert list(entry.reasons) == list(clip.reasons)
    (reason,) = [reason for reason in entry.reasons if reason["rule"] == "root_speed_max_m_s"]
    assert reason["value"] > 18.0 == reason["limit"]
    assert reason["frames"] == [[NFRAME // 2, NFRAME // 2 + 1]]
    assert entry.metrics["root_speed_max_m_s"] == clip.metrics["root_speed_max_m_s"]
    assert (out / "stray.h5").read_bytes() == before  # not in the manifest: only reported


def test_strict_exits_with_1_if_a_clip_is_infeasible(tmp_path: Path, short: Clip, jumping: Clip) -> None:
    out = put(tmp_path / "out", good=short, bad=jumping)
    bytes_before = {path.name: path.read_bytes() for path in out.iterdir()}
    result = run(out, "--strict", "--dry-run", "-q")
    assert result.exit_code == 1
    assert "bad.h5" in result.stdout
    assert "good.h5" not in result.stdout
    assert {path.name: path.read_bytes() for path in out.iterdir()} == bytes_before
    assert run(out / "good.h5", "--strict", "-q").exit_code == 0
    assert run(out, "--set=validation.thresholds=['no_such_rule=1:2']").exit_code == 2


def test_json_output_is_complete_and_activations_are_stored(tmp_path: Path, short: Clip, body: TargetBody) -> None:
    out = put(tmp_path / "out", good=short)
    result = run(out, "--json", "--muscles", "--set", "validation.thresholds=['skate_m_s=0.0001:none']")
    assert result.exit_code == 0
    output = json.loads(result.stdout)
    assert output["counts"] == {"feasible": 0, "warn": 1, "infeasible": 0, "unchecked": 0}
    assert output["nframe"] == NFRAME
    assert [reason["rule"] for reason in output["clips"][0]["reasons"]] == ["skate_m_s"]
    assert output["clips"][0]["metrics"]["unmet_torque_nm"] > 0
    clip = read_clip(out / "good.h5", sha256=entries(out)["good.npz"].clip_sha256)
    assert clip.activation is not None
    assert clip.activation_residual is not None
    assert clip.activation.shape == (NFRAME, body.model.nu)
    assert 0.0 <= clip.activation.min() < clip.activation.max() <= 1.0
    assert clip.activation_residual.shape == (NFRAME, body.reduced.njoint)


def test_bad_clips_are_reported_and_the_others_checked(tmp_path: Path, short: Clip) -> None:
    out = put(tmp_path / "out", good=short, torn=short, nan=short, bare=short)
    (out / "torn.h5").write_bytes((out / "torn.h5").read_bytes()[:-5000])
    wrong = short.qpos.copy()
    wrong[7, 3] = np.nan
    with h5py.File(out / "nan.h5", "r+") as file:
        del file["qpos"]
        file["qpos"] = wrong
    with h5py.File(out / "bare.h5", "r+") as file:
        del file["contact"]
    (out / "manifest.jsonl").unlink()  # without a manifest, there are no hashes
    write_clip(out / "old.h5", replace(short, model_version="0.9", model_sha256="0" * 64))
    (out / "text.h5").write_text("no HDF5")
    result = run(out)
    assert result.exit_code == 1
    assert "6 clips: 1 feasible, 0 warn, 0 infeasible, 5 unchecked" in result.stdout
    output = " ".join(result.stderr.split())
    for words in (
        "torn.h5 cannot be read as HDF5", "qpos is not finite in 1 frames, the first is 7", "no dataset contact",
        "made for MyoFullBody 0.9", "text.h5 cannot be read as HDF5",
    ):  # fmt: skip
        assert words in output


def test_a_clip_that_does_not_match_the_manifest_is_left_unchanged(tmp_path: Path, short: Clip, jumping: Clip) -> None:
    out = put(tmp_path / "out", good=short, swapped=short)
    write_clip(out / "swapped.h5", jumping)
    before = (out / "swapped.h5").read_bytes()
    result = run(out)
    assert result.exit_code == 1
    assert "is not the file that was written" in " ".join(result.stderr.split())
    assert (out / "swapped.h5").read_bytes() == before
    assert entries(out)["swapped.npz"].metrics == {}
    assert entries(out)["good.npz"].metrics


def test_usage_errors_exit_with_2(tmp_path: Path) -> None:
    assert run(tmp_path / "nowhere").exit_code == 2
    (tmp_path / "empty").mkdir()
    result = run(tmp_path / "empty")
    assert result.exit_code == 2
    assert "there is no clip" in result.stderr


def test_results_do_not_depend_on_the_chunk_size(body: TargetBody, short: Clip) -> None:
    whole = Validator(body, ValidationConfig()).check(short).metrics
    parts = Validator(body, ValidationConfig(chunk_size=17)).check(short).metrics
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert parts[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_the_report_is_written_with_the_verdicts_or_separately(tmp_path: Path, jumping: Clip) -> None:
    out = put(tmp_path / "out", bad=jumping)
    result = RUNNER.invoke(validate.app, [str(out)])
    assert result.exit_code == 0, result.output
    text = (out / "report.html").read_text("utf-8")
    assert '"infeasible": 1' in text
    (out / "report.html").unlink()
    result = RUNNER.invoke(page.app, [str(out), "--no-pictures"])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(out / "report.html")
    assert '"infeasible": 1' in (out / "report.html").read_text("utf-8")
    assert RUNNER.invoke(page.app, [str(tmp_path)]).exit_code == 2
    assert RUNNER.invoke(page.app, [str(out), "--threshold", "skate_m_s=x:y"]).exit_code == 2


def test_globs_select_the_clips_to_check(tmp_path: Path, short: Clip) -> None:
    out, names = put(tmp_path / "out", jump=short, walk=short), ["jump.h5", "walk.h5"]
    options = ["--dry-run", "--no-report", "--json"]
    chosen = RUNNER.invoke(validate.app, [str(out), "--exclude", names[0], *options])
    assert [clip["clip"] for clip in json.loads(chosen.stdout)["clips"]] == names[1:]
    first = RUNNER.invoke(validate.app, [str(out), "--include", "*.h5", "--limit", "1", *options])
    assert [clip["clip"] for clip in json.loads(first.stdout)["clips"]] == names[:1]
