"""Untrusted manifests, lists and records: one reader for each, and one sentence for each fault."""

import gc
import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from musclemap.cli import export as export_command
from musclemap.cli import pack as pack_command
from musclemap.cli import train as train_command
from musclemap.datasets.downloads import catalogue
from musclemap.datasets.downloads.bundle_manifest import MANIFEST, parse_bundle, read_local_bundle
from musclemap.datasets.downloads.errors import DownloadError
from musclemap.datasets.formats.locomujoco import MAX_COLUMNS, read_trajectory
from musclemap.errors import MusclemapError, SettingsError, SourceError
from musclemap.pipelines.export_record import RECORD, ExportKind, read_record
from musclemap.pipelines.packing.splits import split_by_groups
from musclemap.pipelines.study.reproduction import read_expectations
from musclemap.pipelines.train.dataset import select_clips

from ..support.fuzz.bundle_manifests import make_valid, make_valid_trajectory, read, read_as_trajectory

RUNNER = CliRunner()
SECONDS = 10.0


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    tree = json.loads(make_valid())
    change(tree)
    return json.dumps(tree).encode()


def one_file(**fields: Any) -> bytes:
    return changed(lambda tree: tree["files"][3].update(fields))


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"{",
    "nested": b"[" * 200_000 + b"]" * 200_000,
    "nested inside": make_valid()[:-3] + b', "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "a list": b"[1, 2]",
    "a number": b"1",
    "no UTF-8": b"\xff" + make_valid(),
    "half a surrogate": changed(lambda tree: tree).replace(b"walks", rb"\ud800"),
    "no format": changed(lambda tree: tree.pop("format")),
    "format a list": changed(lambda tree: tree.update(format=["musclemap-bundle"])),
    "version a truth value": changed(lambda tree: tree.update(version=True)),
    "version a float": changed(lambda tree: tree.update(version=1.0)),
    "version a text": changed(lambda tree: tree.update(version="1")),
    "version of 5000 digits": make_valid().replace(b'"version": 1', b'"version": ' + b"1" * 5000),
    "name a number": changed(lambda tree: tree.update(name=7)),
    "licence a mapping": changed(lambda tree: tree.update(licence={"a": 1})),
    "licence endless": changed(lambda tree: tree.update(licence="x" * 1_000_000)),
    "files a mapping": changed(lambda tree: tree.update(files={"a": 1})),
    "files of nothing": changed(lambda tree: tree.update(files=[None])),
    "path a list": one_file(path=["a"]),
    "path upwards": one_file(path="../x.h5"),
    "path absolute": one_file(path="/etc/passwd"),
    "path with a control code": one_file(path="a\x1b[31m.h5"),
    "path endless": one_file(path="a/" * 100_000 + "b"),
    "path deep": one_file(path="a/" * 500 + "b"),
    "path of the manifest": one_file(path="Manifest.JSON"),
    "path twice": one_file(path="clips.csv"),
    "path in other letters": one_file(path="CLIPS.csv"),
    "path is a folder": one_file(path="clips"),
    "size negative": one_file(size=-1),
    "size a float": one_file(size=1.0),
    "size a truth value": one_file(size=True),
    "size beyond disks": one_file(size=2**62),
    "size infinite": make_valid().replace(b'"size": 30', b'"size": 1e999'),
    "sha256 short": one_file(sha256="00"),
    "sha256 in capitals": one_file(sha256="A" * 64),
    "sha256 with a newline": one_file(sha256="a" * 64 + "\n"),
    "split unknown": one_file(split="holdout"),
    "split a list": one_file(split=["train"]),
    "split nothing": one_file(split=None),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_every_reader_refuses_an_invalid_manifest_in_one_sentence(fault: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        read(HOSTILE[fault], tmp_path)
    assert len(str(caught.value)) < 3000
    with pytest.raises(DownloadError):
        parse_bundle(HOSTILE[fault], url="http://localhost/MANIFEST.json")
    with pytest.raises(SettingsError, match=r"readable MANIFEST\.json"):
        select_clips(tmp_path)
    result = RUNNER.invoke(train_command.app, ["--dataset", str(tmp_path), "--dry-run"])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_valid_manifest_is_read_with_its_splits(tmp_path: Path) -> None:
    bundle = read(make_valid(), tmp_path)
    assert [file.split for file in bundle.files if file.split] == ["train", "train", "val", "test"]
    assert bundle.content == make_valid()
    assert (bundle.name, bundle.licence) == ("walks", "CC0-1.0")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path), None])
def test_manifest_that_is_not_a_file_is_refused_immediately(
    make: Callable[[Path], object] | None, tmp_path: Path
) -> None:
    if make is not None:
        make(tmp_path / MANIFEST)
    with pytest.raises(DownloadError):
        read_local_bundle(tmp_path)
    with pytest.raises(SettingsError):
        select_clips(tmp_path)


def test_folder_with_a_damaged_manifest_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / MANIFEST).write_bytes(HOSTILE["nested"])
    result = RUNNER.invoke(pack_command.app, [str(tmp_path / "out"), str(tmp_path / "b"), "--overwrite"])
    assert (result.exit_code, "is not a bundle" in result.stderr) == (2, True)
    assert (tmp_path / "b" / MANIFEST).read_bytes() == HOSTILE["nested"]


@pytest.mark.parametrize(
    "text",
    [b'{"format": "musclemap-bundle", "version": 1, "files": [' + b"{}," * 2_000_000 + b"{}]}",
     b'{"format": "musclemap-bundle", "version": 1, "files": [' + b"[]," * 2_000_000 + b"[]]}",
     b'{"format": "musclemap-bundle", "version": 1, "x": [' + b"1," * 3_000_000 + b"1]}",
     b'{"format": "musclemap-bundle", "version": 1, "files": 1.' + b"9" * 5_000_000 + b"}"],
)  # fmt: skip
def test_long_manifest_is_refused_quickly(text: bytes) -> None:
    gc.freeze()  # or collections would visit the millions of objects that other tests left
    try:
        began = time.process_time()
        with pytest.raises(DownloadError):
            parse_bundle(text, url="x")
        assert time.process_time() - began < SECONDS
    finally:
        gc.unfreeze()


def test_many_deep_paths_are_checked_quickly() -> None:
    listed = [{"path": "a/" * 30 + f"{k}.h5", "size": 1, "sha256": "0" * 64} for k in range(20_000)]
    began = time.process_time()
    text = json.dumps({"format": "musclemap-bundle", "version": 1, "files": listed}).encode()
    assert len(parse_bundle(text, url="x").files) == 20_000
    assert time.process_time() - began < SECONDS


# Other lists and records

NO_OBJECTS = [b"", b"{", b"[1]", b"[" * 200_000 + b"]" * 200_000, b"\xff", b"9" * 5000]


@pytest.mark.parametrize(
    "text",
    [*NO_OBJECTS, b'{"quantities": {"a": 1}}', b'{"quantities": {"a": {"value": 1e999, "direction": "both"}}}',
     b'{"quantities": {"a": {"value": 1, "direction": ["both"], "absolute": 1}}}',
     b'{"quantities": {"a": {"value": true, "direction": "both", "absolute": 1}}}',
     b'{"quantities": {"a": {"value": ' + b"9" * 400 + b', "direction": "both", "absolute": 1}}}'],
)  # fmt: skip
def test_untrusted_expectations_are_checked(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_bytes(text)
    with pytest.raises(SettingsError) as caught:
        read_expectations(tmp_path / "s.json")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "text",
    [*NO_OBJECTS, b'{"format": "musclemap-export", "to": "csv", "fingers": 0, "clips": []}',
     b'{"format": "musclemap-export", "to": "csv", "fingers": false, "clips": [1]}',
     b'{"format": "musclemap-export", "to": "csv", "fingers": false, "variant": {"strength": 1}, "clips": []}',
     b'{"format": "musclemap-export", "to": "csv", "fingers": false, "variant": 1, "clips": []}',
     b'{"format": "musclemap-export", "to": "csv", "fingers": false, "clips": [{"clip": ["a"], "status": "ok"}]}'],
)  # fmt: skip
def test_record_of_an_earlier_export_is_checked(text: bytes, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_bytes(text)
    with pytest.raises(SettingsError, match="is damaged"):
        read_record(tmp_path, ExportKind(to="csv", fingers=False, tracked=False))
    result = RUNNER.invoke(export_command.app, [str(tmp_path), str(tmp_path), "--to", "csv"])
    assert result.exit_code == 2


@pytest.mark.parametrize("text", [*NO_OBJECTS, b'{"format": "musclemap-catalogue", "version": 1, "entries": [{}]}'])
def test_catalogue_is_checked(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(text)
    with pytest.raises(DownloadError, match="is not a catalogue"):
        catalogue.load_catalogue(tmp_path / "c.json")


@pytest.mark.parametrize("field", ["name", "where", "size", "sha256", "gated", "licence_note"])
def test_catalogue_of_wrong_types_is_refused(field: str, tmp_path: Path) -> None:
    good = {"name": "a", "kind": "bundle", "what": "", "where": "http://x/", "page": "http://x/"}
    stored = {"format": "musclemap-catalogue", "version": 1, "entries": [good]}
    (tmp_path / "c.json").write_text(json.dumps(stored))
    assert len(catalogue.load_catalogue(tmp_path / "c.json")) == 1
    good[field] = [1.5]  # type: ignore[assignment]
    (tmp_path / "c.json").write_text(json.dumps(stored))
    with pytest.raises(DownloadError, match=field):
        catalogue.load_catalogue(tmp_path / "c.json")


def test_motion_list_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="is not a list of motions"):
        split_by_groups(["a/b.npz"], {"test": str(tmp_path / "list.txt")})


# Trajectories


def arrays(**changes: Any) -> bytes:
    with np.load(io.BytesIO(make_valid_trajectory())) as stored:
        content = {key: stored[key] for key in stored.files} | changes
    out = io.BytesIO()
    np.savez(out, **content)
    return out.getvalue()


def invalid_characters() -> np.ndarray:
    """Text with a number that is not a character."""
    names = np.array(["root", "a", "b"])
    names.view(np.uint32)[0] = 0x7FFFFFFF
    return names


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (arrays(qpos=np.full((12, 9), 1e30)), "out_of_range"),
        (arrays(qvel=np.full((12, 8), -1e300)), "out_of_range"),
        (arrays(qpos=np.zeros((3, MAX_COLUMNS + 1), np.float32)), "too_large"),
        (arrays(joint_names=invalid_characters()), "bad_type"),
        (arrays(joint_names=np.array(["a", "a", "b"])), "bad_joints"),
        (arrays(joint_names=np.array(["root", "a", "x" * 500_000])), None),
        (arrays(frequency=np.array(np.nan)), "bad_frame_rate"),
        (arrays(split_points=np.array([0.0, np.nan, 12])), "bad_split"),
        (arrays(qpos=np.zeros((0, 9))), "no_frames"),
        (arrays(qpos=np.zeros((12, 9), "c8")), "bad_type"),
        (arrays(qpos=np.array(1.0)), "bad_shape"),
    ],
)
def test_invalid_trajectory_is_refused_with_its_reason(data: bytes, reason: str | None, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read_as_trajectory(data, tmp_path)
    assert reason in (None, caught.value.code)


def test_valid_trajectory_is_read(tmp_path: Path) -> None:
    assert read_as_trajectory(make_valid_trajectory(), tmp_path).joint_names == ("root", "a", "b")


def test_trajectory_that_is_not_a_file_is_refused_immediately(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npz")
    with pytest.raises(MusclemapError):
        read_trajectory(tmp_path / "x.npz")
