"""Clip files: what is written is read back, equal clips give equal bytes, and what breaks the contract is named."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from musclemap.datasets.clip import Clip, read_clip, write_clip
from musclemap.errors import ClipError

ARRAYS = ("qpos", "qvel", "landmark_pos", "target_pos", "contact")


def make_clip(*, nframe: int = 600, **changes: Any) -> Clip:
    rng = np.random.default_rng(0)
    content: dict[str, Any] = {
        "qpos": rng.standard_normal((nframe, 9)).astype(np.float32),
        "qvel": rng.standard_normal((nframe, 8)).astype(np.float32),
        "landmark_pos": rng.standard_normal((nframe, 2, 3)).astype(np.float32),
        "target_pos": rng.standard_normal((nframe, 2, 3)).astype(np.float32),
        "contact": rng.integers(0, 2, (nframe, 4)).astype(np.uint8),
        "fps": 59.94,
        "joint_names": ("root", "knee_angle_r", "knee_angle_l"),
        "landmark_names": ("pelvis", "Kopf ü"),
        "model": "MyoFullBody",
        "model_version": "1.0.6",
        "model_sha256": "ab" * 32,
        "source": "ACCAD/C2 - Run é 歩_poses.npz",
        "source_sha256": "cd" * 32,
        "source_fps": 120.0,
        "fps_source": "mocap_framerate",
        "body_model": "mean",
        "subject_scale": 0.98,
        "hands": "locked",
        "config": {"solver": {"iterations": 20, "tolerance": 1e-6}, "fps": 100},
        "software": {"numpy": "2.4.2"},
        "licence": "",
        "metrics": {"landmark_mm": 8.1, "branch_jumps": 0},
        "verdict": "warn",
        "reasons": ({"rule": "floor", "value": 0.004, "limit": 0.001, "frames": [3, 4]},),
    }
    return Clip(**(content | changes))


def same(clip: Clip, other: Clip) -> None:
    for field in dataclasses.fields(Clip):
        mine, theirs = getattr(clip, field.name), getattr(other, field.name)
        if field.name in ARRAYS:
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)
        else:
            assert (mine, type(mine)) == (theirs, type(theirs)), field.name


def test_round_trip(tmp_path: Path) -> None:
    clip, path = make_clip(), tmp_path / "KIT" / "3" / "a b é.h5"
    assert write_clip(path, clip) == hashlib.sha256(path.read_bytes()).hexdigest()
    same(clip, read_clip(path))
    assert read_clip(path).duration == pytest.approx(599 / 59.94)


def test_activations_are_stored_where_there_are_some(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    activation = np.random.default_rng(1).random((600, 416)).astype(np.float32)
    write_clip(path, make_clip(activation=activation, activation_residual=activation[:, :31]))
    result = read_clip(path)
    np.testing.assert_array_equal(result.activation, activation)
    np.testing.assert_array_equal(result.activation_residual, activation[:, :31])
    with pytest.raises(ClipError, match="activation has shape"):
        write_clip(path, make_clip(activation=activation[:10]))


def test_contract_of_the_file(tmp_path: Path) -> None:
    """What outside tools rely on, read with h5py alone."""
    path = tmp_path / "clip.h5"
    write_clip(path, make_clip())
    with h5py.File(path) as file:
        assert set(file) == set(ARRAYS)
        for key in ARRAYS:
            dataset = file[key]
            assert isinstance(dataset, h5py.Dataset)
            assert dataset.dtype == (np.uint8 if key == "contact" else np.float32)
            assert dataset.chunks is not None
            assert (dataset.chunks[0], dataset.chunks[1:]) == (256, dataset.shape[1:])
            assert (dataset.shuffle, dataset.compression, dataset.compression_opts) == (True, "gzip", 1)
        assert file.attrs["format"] == "musclemap-clip"
        assert file.attrs["version"] == 1
        assert file.attrs["fps"] == 59.94
        names = file.attrs["landmark_names"]
        assert isinstance(names, np.ndarray)
        assert list(names) == ["pelvis", "Kopf ü"]
        assert file.attrs["config"] == '{"fps": 100, "solver": {"iterations": 20, "tolerance": 1e-06}}'
        assert json.loads(str(file.attrs["reasons"])) == list(make_clip().reasons)


def test_float64_is_stored_as_float32(tmp_path: Path) -> None:
    clip = make_clip()
    wide = dataclasses.replace(clip, qpos=clip.qpos.astype(float), contact=clip.contact.astype(bool))
    write_clip(tmp_path / "clip.h5", wide)
    same(clip, read_clip(tmp_path / "clip.h5"))


def test_absent_source_rate_and_short_clips(tmp_path: Path) -> None:
    clip = make_clip(nframe=1, source_fps=None, reasons=(), metrics={}, joint_names=(), source_sha256="")
    write_clip(tmp_path / "clip.h5", clip)
    same(clip, read_clip(tmp_path / "clip.h5"))


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    metrics = {"a": np.nan, "b": [1.0, np.inf], "c": np.float32(0.5), "d": np.arange(2), "e": (np.bool_(True), None)}
    write_clip(tmp_path / "clip.h5", make_clip(metrics=metrics))
    assert read_clip(tmp_path / "clip.h5").metrics == {
        "a": None,
        "b": [1.0, None],
        "c": 0.5,
        "d": [0, 1],
        "e": [True, None],
    }


def test_reasons_beyond_64_kib(tmp_path: Path) -> None:
    """HDF5 keeps small attributes in an object's header, which ends at 64 KiB."""
    reasons = ({"rule": "floor", "value": 1.0, "limit": 0.0, "frames": list(range(20_000))},)
    assert len(json.dumps(reasons)) > 100 * 1024
    write_clip(tmp_path / "clip.h5", make_clip(reasons=reasons))
    assert read_clip(tmp_path / "clip.h5").reasons == reasons


def test_name_that_is_not_unicode(tmp_path: Path) -> None:
    """Old archives unpack to names in other encodings, which Python holds with surrogates."""
    clip = make_clip(source=os.fsdecode(b"KIT/gr\xfc\xdfen_poses.npz"))
    write_clip(tmp_path / "clip.h5", clip)
    assert read_clip(tmp_path / "clip.h5").source == clip.source


def test_same_clip_same_bytes(tmp_path: Path) -> None:
    """Also a second later, over an old file, from another process and with dictionaries in another order."""
    clip = make_clip()
    write_clip(tmp_path / "a.h5", clip)
    time.sleep(1.1)
    write_clip(tmp_path / "b.h5", make_clip(config={key: clip.config[key] for key in ("fps", "solver")}))
    (tmp_path / "c.h5").write_bytes(b"old")
    write_clip(tmp_path / "c.h5", clip)
    code = (
        "import importlib.util, pathlib, sys\n"
        "spec = importlib.util.spec_from_file_location('make', sys.argv[1])\n"
        "make = importlib.util.module_from_spec(spec); spec.loader.exec_module(make)\n"
        "make.write_clip(pathlib.Path(sys.argv[2]), make.make_clip())\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", code, __file__, str(tmp_path / "d.h5")]
    subprocess.run(command, check=True, env=environment)
    assert len({(tmp_path / name).read_bytes() for name in ("a.h5", "b.h5", "c.h5", "d.h5")}) == 1


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_an_error_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = tmp_path / "clip.h5"
    write_clip(path, make_clip())
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if moment == "write":
        real_open = Path.open

        def full(self: Path, *args: Any) -> Any:
            file = real_open(self, *args)
            monkeypatch.setattr(os, "fsync", fail)
            return file

        monkeypatch.setattr(Path, "open", full)
    elif moment == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_clip(path, make_clip(fps=100.0))
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["clip.h5"]
    assert path.read_bytes() == before


def test_file_and_folder_are_synced_around_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def spy_fsync(descriptor: int) -> None:
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def spy_replace(self: Path, target: Path) -> Path:
        assert self.parent == target.parent
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(Path, "replace", spy_replace)
    write_clip(tmp_path / "clip.h5", make_clip())
    assert events == ["file", "rename", "folder"]


BAD = np.zeros((600, 9), np.float32)
BAD[[5, 9], 2] = np.nan


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"qpos": BAD}, "qpos is not finite in 2 frames, the first is 5"),
        ({"qpos": np.full((600, 9), 1e300)}, "qpos is not finite"),
        ({"qvel": np.zeros((599, 8))}, "qvel has shape"),
        ({"qvel": np.zeros((600, 10))}, "joint_names"),
        ({"landmark_pos": np.zeros((600, 3, 3))}, "2 landmark_names"),
        ({"target_pos": np.zeros((600, 2, 2))}, "target_pos has shape"),
        ({"contact": np.zeros((600, 3), np.uint8)}, "contact"),
        ({"contact": np.full((600, 4), 2, np.uint8)}, "contact"),
        ({"contact": np.full((600, 4), 0.5)}, "contact"),
        ({"fps": 0.0}, "fps"),
        ({"fps": np.nan}, "fps"),
        ({"subject_scale": -1.0}, "subject_scale"),
        ({"verdict": "good"}, "feasible, warn, infeasible"),
        ({"hands": "free"}, "locked, tracked"),
        ({"licence": None}, "licence is None, not text"),
        ({"config": []}, "config"),
        ({"reasons": ("floor",)}, "reasons"),
    ],
)
def test_a_clip_that_breaks_the_contract_is_not_written(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ClipError, match=says):
        write_clip(tmp_path / "clip.h5", make_clip(**changes))
    assert list(tmp_path.iterdir()) == []


def test_no_frames(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="qpos has shape"):
        write_clip(tmp_path / "clip.h5", make_clip(nframe=0))


def delete(file: h5py.File, key: str) -> None:
    del (file if key in file else file.attrs)[key]


def put(file: h5py.File, key: str, value: Any) -> None:
    if key in ARRAYS:
        del file[key]
        file[key] = value
    else:
        file.attrs[key] = value


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("format", None, "format is None"),
        ("format", "other", "'other', not 'musclemap-clip'"),
        ("version", 2, "version 2; this reads version 1"),
        ("qvel", None, "no dataset qvel; it has: contact, landmark_pos, qpos, target_pos"),
        ("verdict", None, "no attribute verdict; it has: "),
        ("qpos", np.zeros((600, 9)), "qpos is of type float64, not float32"),
        ("contact", np.zeros((600, 4), np.int8), "contact is of type int8"),
        ("qpos", BAD, "qpos is not finite"),
        ("qvel", np.zeros((10, 8), np.float32), "qvel has shape"),
        ("config", "{broken", "config is no JSON"),
        ("metrics", "[1]", "metrics is no JSON object"),
        ("reasons", "{}", "reasons is no list"),
        ("fps", "fast", "fps is 'fast', not a number"),
        ("fps", np.nan, "fps is nan"),
        ("model", 3, "model is of type"),
        ("joint_names", "root", "joint_names is of type str, not a list"),
        ("joint_names", np.arange(3), "joint_names is of type ndarray, not a list of text"),
        ("landmark_names", np.array(["pelvis"], dtype=h5py.string_dtype()), "1 landmark_names"),
    ],
)
def test_reading_names_what_is_wrong(tmp_path: Path, key: str, value: Any, says: str) -> None:
    path = tmp_path / "clip.h5"
    write_clip(path, make_clip())
    with h5py.File(path, "r+") as file:
        if value is None:
            delete(file, key)
        else:
            put(file, key, value)
    with pytest.raises(ClipError, match=says):
        read_clip(path)


def test_what_a_later_version_adds_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write_clip(path, make_clip())
    with h5py.File(path, "r+") as file:
        file["mood"] = np.zeros((600, 416), np.float32)
        file.attrs["mood"] = "good"
    same(make_clip(), read_clip(path))


def test_damaged_files(tmp_path: Path) -> None:
    """A file that is absent, no HDF5 or cut off is refused; with its hash known, so is one with any byte changed."""
    path = tmp_path / "clip.h5"
    with pytest.raises(ClipError, match="cannot be read"):
        read_clip(path)
    for data in (b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"):
        path.write_bytes(data)
        with pytest.raises(ClipError, match="cannot be read"):
            read_clip(path)
    sha256 = write_clip(path, make_clip(nframe=40))
    same(make_clip(nframe=40), read_clip(path, sha256=sha256))
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    for cut in rng.integers(1, len(whole) - 1, 30):
        path.write_bytes(whole[:cut])
        with pytest.raises(ClipError):
            read_clip(path)
    for at in rng.integers(0, len(whole), 100):
        damaged = bytearray(whole)
        damaged[at] ^= 0x01
        path.write_bytes(damaged)
        with pytest.raises(ClipError, match="not the file that was written"):
            read_clip(path, sha256=sha256)


@pytest.mark.parametrize("key", ARRAYS)
def test_damaged_arrays_are_found_without_a_hash(tmp_path: Path, key: str) -> None:
    path = tmp_path / "clip.h5"
    write_clip(path, make_clip(nframe=300))
    data = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        dataset = file[key]
        assert isinstance(dataset, h5py.Dataset)
        chunk = dataset.id.get_chunk_info(1)
    at = chunk.byte_offset + chunk.size // 2
    data[at : at + 4] = bytes(255 - byte for byte in data[at : at + 4])
    path.write_bytes(data)
    with pytest.raises(ClipError, match="cannot be read as HDF5"):
        read_clip(path)


def test_bytes_do_not_depend_on_a_profiler_that_holds_frames(tmp_path: Path) -> None:
    """Dask's workers have one: objects of h5py then live longer, and what their end writes would lie elsewhere."""
    clip, done = make_clip(nframe=40), threading.Event()

    def sample() -> None:
        while not done.wait(0.0005):
            held = sys._current_frames()
            time.sleep(0.0005)
            del held

    expected = write_clip(tmp_path / "a.h5", clip)
    thread = threading.Thread(target=sample)
    thread.start()
    try:
        assert {write_clip(tmp_path / "a.h5", clip) for _ in range(60)} == {expected}
    finally:
        done.set()
        thread.join()
