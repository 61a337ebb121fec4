"""Hostile clips and manifest lines among good ones: every command processes the good ones and reports the others."""

import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from musclemap.cli import export, pack, view
from musclemap.cli import report as page
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.errors import SettingsError
from musclemap.pipelines.convert.status import folder_status, status_lines
from musclemap.pipelines.export import FORMATS
from musclemap.pipelines.packing import contents
from musclemap.pipelines.report import page as report
from musclemap.pipelines.report.page import MAX_METRICS, write_report
from musclemap.pipelines.train import dataset
from musclemap.pipelines.train.dataset import select_clips
from musclemap.retarget.checks.verdict import judge
from musclemap.skeletons.body import TargetBody

from ..support.data.exported_clips import moving_clip, put
from ..support.hostile import hostile_lines
from ..support.hostile.hostile_clips import HARMLESS, REFUSED, make_odd_files, write_edited

GOOD = ("a/one_poses.npz", "a/two_poses.npz", "z/three_poses.npz")
LARGE = ("zeros that unpack to a thousand times", "JSON of 5 MB")


@pytest.fixture(scope="module")
def out(body: TargetBody, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three good clips, all hostile clips with their actual hashes, odd names, non-files, and hostile lines."""
    out = tmp_path_factory.mktemp("hostile") / "out"
    good = moving_clip(body, nframe=8, licence="CC-BY-4.0")
    lines = [put(out, source, good).to_line() for source in GOOD]
    odd = {"refitted": 1.0, "self_penetration_mm": "x", "__proto__": 1, "constructor": "<script>", "list": [1, None]}
    lines.append(put(out, "m/odd_metrics_poses.npz", replace(good, metrics=odd)).to_line())
    (out / "h").mkdir()
    for number, (name, edit) in enumerate(
        [(name, edit) for name, (edit, _) in REFUSED.items() if name not in LARGE] + list(HARMLESS.items())
    ):
        path = out / f"h/{number:03}_poses.h5"
        write_edited(path, edit)
        lines.append(_line(path, f"h/{number:03}_poses.npz", note=name))
    (out / "k").mkdir()
    for path in make_odd_files(out / "k"):
        lines.append(_line(path, f"k/{path.stem}_poses.npz"))
    lines += [bad for bad, _ in hostile_lines.REFUSED.values()]
    lines += [
        hostile_lines.line(source="l/outside.npz", clip="../../../etc/passwd"),
        hostile_lines.line(source="l/absolute.npz", clip="/etc/passwd"),
        hostile_lines.line(source="l/long.npz", clip="x" * 4000),
        hostile_lines.line(source="l/none.npz", clip=None),
        hostile_lines.line(source="l/many.npz", clip="l/many.h5", metrics=dict.fromkeys(map(str, range(999)), 1)),
    ]
    (out / "manifest.jsonl").write_bytes(b"".join(lines))
    return out


def _line(path: Path, source: str, *, note: str = "") -> bytes:
    small = path.is_file() and not path.is_symlink() and path.stat().st_size < 2**24
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if small else "ab" * 32
    name = f"{path.parent.name}/{path.name}"
    return hostile_lines.line(source=source, clip=name, clip_sha256=sha256, metrics={"note": note})


def _run(app: typer.Typer, *words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.exit_code, result.stdout, result.stderr


def test_report(out: Path) -> None:
    status, _, stderr = _run(page.app, out, "--no-pictures", "-q")
    assert (status, stderr) == (0, "")
    text = (out / "report.html").read_text("utf-8")
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    output = json.loads(data)
    state = {row[0]: row[1] for row in output["rows"]}
    assert [state[name] for name in (*GOOD, "m/odd_metrics_poses.npz")] == ["feasible"] * 4
    refused = [name for name in state if name.startswith(("k/", "l/"))]
    assert len(refused) == 12
    assert {state[name] for name in refused} == {"unreadable"}
    hostile = sorted(name for name in state if name.startswith("h/"))
    assert [state[name] == "unreadable" for name in hostile] == [True] * (len(REFUSED) - len(LARGE)) + [False] * len(
        HARMLESS
    )
    assert len(output["problems"]) == len(hostile_lines.REFUSED) + 1
    assert len(output["metrics"]) == MAX_METRICS
    assert len(text) < 2e6


@pytest.mark.parametrize("to", FORMATS)
def test_export(out: Path, tmp_path: Path, to: str) -> None:
    status, stdout, _ = _run(export.app, out, tmp_path / "x", "--to", to, "--json")
    assert status == 1
    assert len(json.loads(stdout)["problems"]) == len(hostile_lines.REFUSED)
    clips = {clip["clip"]: clip for clip in json.loads(stdout)["clips"]}
    expected = "refused" if to == "opensim" else "ok"  # the clips have no forces
    assert [clips[name.replace(".npz", ".h5")]["status"] for name in GOOD] == [expected] * 3
    done = {clip["file"] for clip in clips.values() if clip["status"] == "ok"}
    files = {path.relative_to(tmp_path / "x").as_posix() for path in (tmp_path / "x").rglob("*") if path.is_file()}
    assert {name for name in files if not name.startswith((".", "export.json"))} == done
    assert all(clip["reason"] for clip in clips.values() if clip["status"] != "ok")
    assert {name for name in clips if name.startswith("k/")} >= {"k/pipe.h5", "k/device.h5", "k/sparse.h5"}


def test_pack(out: Path, tmp_path: Path) -> None:
    status, stdout, stderr = _run(pack.app, out, tmp_path / "b", "--private", "--shares", "1,1,1", "--json")
    assert status == 1, stderr
    assert {Path(path).name for path in (tmp_path / "b").rglob("*_poses.h5")} >= {"one_poses.h5", "three_poses.h5"}
    left = [one["code"] for one in json.loads(stdout)["left_out"]]
    assert left.count("damaged_line") == len(hostile_lines.REFUSED)
    assert left.count("unreadable") >= len(REFUSED) - len(LARGE)


def test_status(out: Path) -> None:
    result = folder_status(out, requested={"config": {}})
    assert set(result.done) >= set(GOOD)
    assert all(result.stale[f"k/{name}_poses.npz"] for name in ("pipe", "device", "folder", "sparse", "passwd"))
    assert "outside the folder" in result.stale["l/outside.npz"]
    assert len(result.problems) == len(hostile_lines.REFUSED)
    assert sum("line" in text and "is damaged" in text for text in status_lines(result)) >= 50


def test_data_set_for_training(out: Path) -> None:
    chosen = select_clips(out)
    assert {name for name, _ in chosen.clips} >= {name.replace(".npz", ".h5") for name in GOOD}
    assert len(chosen.left_out) >= len(REFUSED) - len(LARGE) + 11
    assert "outside the folder" in chosen.left_out["../../../etc/passwd"]
    assert sum(name.startswith("manifest.jsonl line ") for name in chosen.left_out) == len(hostile_lines.REFUSED)


def test_picture(out: Path, tmp_path: Path) -> None:
    for name in ("h/000_poses.h5", "k/sparse.h5"):
        status, _, stderr = _run(view.app, out, name, "--save", tmp_path / "a.png")
        assert status == 2
        assert stderr.startswith("mm-view: ")
    assert not (tmp_path / "a.png").exists()


def test_a_manifest_that_is_a_pipe_is_reported_in_one_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.jsonl")
    for app, words in (
        (page.app, (tmp_path,)),
        (pack.app, (tmp_path, tmp_path / "b")),
        (export.app, (tmp_path, tmp_path / "x", "--to", "csv")),
    ):
        status, _, stderr = _run(app, *words)
        assert status == 2
        assert len(stderr.splitlines()) == 1


@pytest.mark.parametrize("module", [report, dataset, contents])
def test_an_unexpected_error_affects_only_one_clip(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object
) -> None:
    """Any error raised while processing a clip is recorded as that clip's reason."""
    good = [entry for entry in Manifest.read(out / "manifest.jsonl").entries if entry.source in GOOD]
    for entry in good:
        (tmp_path / str(entry.clip)).parent.mkdir(exist_ok=True)
        (tmp_path / str(entry.clip)).write_bytes((out / str(entry.clip)).read_bytes())
    Manifest(entries=tuple(good)).write(tmp_path / "manifest.jsonl")
    real = dataset.read_clip

    def read(path: Path, **keywords: object) -> object:
        if path.name == "two_poses.h5":
            raise AssertionError("nobody thought of it")
        return real(path, **keywords)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(module, "read_clip", read)
    if module is report:
        write_report(tmp_path, pictures=False)
        text = (tmp_path / "report.html").read_text("utf-8")
    elif module is dataset:
        chosen = select_clips(tmp_path)
        assert len(chosen.clips) == 2
        text = str(chosen.left_out)
    else:
        result = contents.select_contents(tmp_path, contents.PackOptions())
        assert len(result.clips) == 2
        text = str(result.left_out)
    assert "AssertionError: nobody thought of it" in text


def test_metrics_that_are_not_numbers_break_no_rule() -> None:
    odd = {"skate_m_s": "x", "floating_p95_mm": [1], "self_penetration_mm": None, "velocity_mismatch": {}}
    assert judge(odd) == ("feasible", ())


def test_entries_made_in_memory_are_checked_like_those_from_files() -> None:
    odd: tuple[dict[str, Any], ...] = (
        {"nframe": "many"}, {"seconds": float("nan")}, {"clip": ["a"]}, {"metrics": {"a": {}}}, {"reasons": [{}]},
    )  # fmt: skip
    for changes in odd:
        with pytest.raises(SettingsError):
            ManifestEntry(source="a.npz", status="ok", **changes)
