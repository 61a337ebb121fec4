"""Clip files: a round trip, equal bytes for equal clips, and an error that names whatever breaks the contract."""

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

from ..support.data import small_clip as small_clip_module
from ..support.data.small_clip import small_clip

ARRAYS = ("qpos", "qvel", "landmark_pos", "target_pos", "contact")


LONG = {"nframe": 600, "fps": 59.94, "landmark_names": ("pelvis", "Kopf ü"), "source": "ACCAD/C2 - Run é 歩_poses.npz"}
"""Changes to `small_clip`: several chunks, a fractional frame rate, names beyond ASCII."""


def make_clip(**changes: Any) -> Clip:
    return small_clip(**(LONG | changes))


def assert_same(clip: Clip, other: Clip) -> None:
    for field in dataclasses.fields(Clip):
        value, other_value = getattr(clip, field.name), getattr(other, field.name)
        if field.name in ARRAYS:
            assert value.dtype == other_value.dtype
            np.testing.assert_array_equal(value, other_value)
        else:
            assert (value, type(value)) == (other_value, type(other_value)), field.name


def test_round_trip(tmp_path: Path) -> None:
    clip, path = make_clip(), tmp_path / "KIT" / "3" / "a b é.h5"
    assert write_clip(path, clip) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert_same(clip, read_clip(path))
    assert read_clip(path).duration == pytest.approx(599 / 59.94)


def test_activations_are_stored_if_present(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    activation = np.random.default_rng(1).random((600, 416)).astype(np.float32)
    write_clip(path, make_clip(activation=activation, activation_residual=activation[:, :31]))
    result = read_clip(path)
    np.testing.assert_array_equal(result.activation, activation)
    np.testing.assert_array_equal(result.activation_residual, activation[:, :31])
    with pytest.raises(ClipError, match="activation has shape"):
        write_clip(path, make_clip(activation=activation[:10]))


SUPPORTS = ("left_foot", "right_foot")
FORCES: dict[str, Any] = {
    "support_names": SUPPORTS,
    "bearing": np.tile(np.array([[0, 1]], np.uint8), (600, 1)),
    "ground_force": np.full((600, 2, 3), 350.5, np.float32),
    "centre_of_pressure": np.full((600, 2, 3), 0.25, np.float32),
    "moment_names": ("knee_angle_r", "knee_angle_l"),
    "joint_moment": np.full((600, 2), -20.5, np.float32),
    "muscle_names": ("soleus_r", "soleus_l", "médial"),
    "activation": np.full((600, 3), 0.5, np.float32),
}
"""Members of `Clip` that only clips with computed forces have."""


PLATES: dict[str, Any] = {
    "plate_names": ("plate_1", "plate_2", "plate_3"),
    "plate_force": np.full((600, 3, 3), 250.25, np.float32),
    "plate_centre": np.full((600, 3, 3), -0.5, np.float32),
    "plate_free_moment": np.full((600, 3), 1.5, np.float32),
    "plate_foot": np.tile(np.array([[1, 0], [1, 1], [0, 0]], np.uint8), (600, 1, 1)),
    "measured": np.tile(np.array([[0, 1]], np.uint8), (600, 1)),
    "estimated_force": np.full((600, 2, 3), 340.5, np.float32),
    "force_source": "walk_grf.mot " + 64 * "a",
}
"""Members of `Clip` that only clips with force plates have; the last but one needs `FORCES`."""


def test_plates_survive_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write_clip(path, make_clip(**FORCES, **PLATES))
    result = read_clip(path)
    for key, value in PLATES.items():
        if isinstance(value, np.ndarray):
            assert getattr(result, key).dtype == value.dtype
            np.testing.assert_array_equal(getattr(result, key), value)
        else:
            assert getattr(result, key) == value
    write_clip(path, make_clip())
    assert read_clip(path).force_source == ""
    assert read_clip(path).frames(slice(0, 5)).plate_force is None
    foot = result.frames(slice(0, 5)).plate_foot
    assert foot is not None
    assert foot.shape == (5, 3, 2)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"plate_force": None}, "lacks other datasets of its force plates"),
        ({"plate_names": ("a", "b")}, "plate_force has shape .* for 2 plate_names"),
        ({"plate_foot": np.ones((600, 3, 3), np.uint8)}, "plate_foot has shape"),
        ({"plate_foot": np.full((600, 3, 2), 2, np.uint8)}, "plate_foot must hold 0 or 1"),
        ({"measured": np.ones((600, 3), np.uint8)}, "measured must have 2 columns"),
        ({"estimated_force": np.ones((600, 3, 3), np.float32)}, "estimated_force has shape"),
        ({"plate_centre": np.full((600, 3, 3), np.nan, np.float32)}, "plate_centre is not finite"),
        ({"force_source": "a\0b"}, "force_source contains a null"),
    ],
)
def test_plates_that_break_the_contract(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ClipError, match=text):
        write_clip(tmp_path / "clip.h5", make_clip(**{**FORCES, **PLATES, **changes}))


def test_forces_survive_a_round_trip(tmp_path: Path) -> None:
    clip, path = make_clip(**FORCES), tmp_path / "clip.h5"
    write_clip(path, clip)
    result = read_clip(path)
    for key, value in FORCES.items():
        if isinstance(value, tuple):
            assert getattr(result, key) == value
        else:
            assert getattr(result, key).dtype == value.dtype
            np.testing.assert_array_equal(getattr(result, key), value)
    with h5py.File(path) as file:
        assert set(file) == {*ARRAYS, *(key for key, value in FORCES.items() if not isinstance(value, tuple))}
        assert list(np.asarray(file.attrs["muscle_names"])) == list(FORCES["muscle_names"])


def test_clips_of_earlier_releases_have_no_forces(tmp_path: Path) -> None:
    """Activations without names are read; a clip without forces has the same bytes as before they existed."""
    path = tmp_path / "clip.h5"
    write_clip(path, make_clip(activation=FORCES["activation"]))
    with h5py.File(path) as file:
        assert not {"muscle_names", "support_names", "moment_names"} & set(file.attrs)
    clip = read_clip(path)
    assert (clip.muscle_names, clip.support_names, clip.moment_names) == ((), (), ())
    assert clip.bearing is clip.ground_force is clip.centre_of_pressure is clip.joint_moment is None


def test_file_obeys_the_contract(tmp_path: Path) -> None:
    """Check what other tools rely on, with h5py alone."""
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
    assert_same(clip, read_clip(tmp_path / "clip.h5"))


def test_absent_source_rate_and_short_clips(tmp_path: Path) -> None:
    clip = make_clip(nframe=1, source_fps=None, reasons=(), metrics={}, joint_names=(), source_sha256="")
    write_clip(tmp_path / "clip.h5", clip)
    assert_same(clip, read_clip(tmp_path / "clip.h5"))


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
    """HDF5 stores small attributes in an object's header, which is limited to 64 KiB."""
    reasons = ({"rule": "floor", "value": 1.0, "limit": 0.0, "frames": list(range(20_000))},)
    assert len(json.dumps(reasons)) > 100 * 1024
    write_clip(tmp_path / "clip.h5", make_clip(reasons=reasons))
    assert read_clip(tmp_path / "clip.h5").reasons == reasons


def test_name_that_is_not_unicode(tmp_path: Path) -> None:
    """Old archives unpack to names in other encodings, which Python represents with surrogates."""
    clip = make_clip(source=os.fsdecode(b"KIT/gr\xfc\xdfen_poses.npz"))
    write_clip(tmp_path / "clip.h5", clip)
    assert read_clip(tmp_path / "clip.h5").source == clip.source


def test_same_clip_same_bytes(tmp_path: Path) -> None:
    """The bytes are the same a second later, over an old file, in another process and with reordered dictionaries."""
    clip = make_clip()
    write_clip(tmp_path / "a.h5", clip)
    time.sleep(1.1)
    write_clip(tmp_path / "b.h5", make_clip(config={key: clip.config[key] for key in ("fps", "solver")}))
    (tmp_path / "c.h5").write_bytes(b"old")
    write_clip(tmp_path / "c.h5", clip)
    code = (
        "import ast, importlib.util, pathlib, sys\n"
        "spec = importlib.util.spec_from_file_location('module', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "module.write_clip(pathlib.Path(sys.argv[2]), module.small_clip(**ast.literal_eval(sys.argv[3])))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", code, str(small_clip_module.__file__), str(tmp_path / "d.h5"), repr(LONG)]
    subprocess.run(command, check=True, env=environment)
    assert len({(tmp_path / name).read_bytes() for name in ("a.h5", "b.h5", "c.h5", "d.h5")}) == 1


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_write_error_leaves_only_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
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
    ("changes", "message"),
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
        (FORCES | {"bearing": np.full((600, 2), 2)}, "bearing must hold 0 or 1"),
        (FORCES | {"bearing": np.full((600, 2), 0.5)}, "bearing holds other values"),
        (FORCES | {"bearing": np.zeros((600, 3))}, "bearing has shape .* for 2 support_names"),
        (FORCES | {"support_names": ()}, "bearing has shape .* for 0 support_names"),
        (FORCES | {"support_names": ("foot", "foot")}, "support_names has the same name twice"),
        (FORCES | {"ground_force": np.zeros((600, 2, 2))}, "ground_force has shape"),
        (FORCES | {"ground_force": np.full((600, 2, 3), np.nan)}, "ground_force is not finite in 600 frames"),
        (FORCES | {"centre_of_pressure": np.zeros((600, 6))}, "centre_of_pressure has shape"),
        (FORCES | {"centre_of_pressure": np.full((600, 2, 3), 2e9)}, "centre_of_pressure is beyond 1e"),
        (FORCES | {"joint_moment": np.zeros((600, 3))}, "joint_moment has shape .* for 2 moment_names"),
        (FORCES | {"joint_moment": np.zeros((599, 2))}, "joint_moment has shape"),
        (FORCES | {"muscle_names": ("a", "b")}, "activation has shape .* for 2 muscle_names"),
        (FORCES | {"muscle_names": ("a", "b", "c\0")}, "muscle_names contains a null character"),
        (FORCES | {"moment_names": ("a", 3)}, "moment_names is 3, not text"),
    ],
)
def test_clip_that_breaks_the_contract_is_not_written(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ClipError, match=message):
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
    ("key", "value", "message"),
    [
        ("format", None, "format is None"),
        ("format", "other", "'other', not 'musclemap-clip'"),
        ("version", 2, "version 2; this release reads version 1"),
        ("qvel", None, "no dataset qvel; it has: contact, landmark_pos, qpos, target_pos"),
        ("verdict", None, "no attribute verdict; it has: "),
        ("qpos", np.zeros((600, 9)), "qpos is of type float64, not float32"),
        ("contact", np.zeros((600, 4), np.int8), "contact is of type int8"),
        ("qpos", BAD, "qpos is not finite"),
        ("qvel", np.zeros((10, 8), np.float32), "qvel has shape"),
        ("config", "{broken", "config is not valid JSON"),
        ("metrics", "[1]", r"metrics is \[1\], not a JSON object"),
        ("reasons", "{}", "reasons is not a list"),
        ("fps", "fast", "fps is 'fast', not a number"),
        ("fps", np.nan, "fps is nan"),
        ("model", 3, "model is of type"),
        ("joint_names", "root", "joint_names is of type str, not a list"),
        ("joint_names", np.arange(3), "joint_names is of type ndarray, not a list of text"),
        ("landmark_names", np.array(["pelvis"], dtype=h5py.string_dtype()), "1 landmark_names"),
    ],
)
def test_reader_names_the_fault(tmp_path: Path, key: str, value: Any, message: str) -> None:
    path = tmp_path / "clip.h5"
    write_clip(path, make_clip())
    with h5py.File(path, "r+") as file:
        if value is None:
            delete(file, key)
        else:
            put(file, key, value)
    with pytest.raises(ClipError, match=message):
        read_clip(path)


def test_additions_of_later_versions_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write_clip(path, make_clip())
    with h5py.File(path, "r+") as file:
        file["mood"] = np.zeros((600, 416), np.float32)
        file.attrs["mood"] = "good"
    assert_same(make_clip(), read_clip(path))


def test_damaged_files(tmp_path: Path) -> None:
    """A missing, truncated or non-HDF5 file is refused; if the hash is known, so is any changed byte."""
    path = tmp_path / "clip.h5"
    with pytest.raises(ClipError, match="cannot be read"):
        read_clip(path)
    for data in (b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"):
        path.write_bytes(data)
        with pytest.raises(ClipError, match="cannot be read"):
            read_clip(path)
    sha256 = write_clip(path, make_clip(nframe=40))
    assert_same(make_clip(nframe=40), read_clip(path, sha256=sha256))
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    for cut in rng.integers(1, len(whole) - 1, 30):
        path.write_bytes(whole[:cut])
        with pytest.raises(ClipError):
            read_clip(path)
    for position in rng.integers(0, len(whole), 100):
        damaged = bytearray(whole)
        damaged[position] ^= 0x01
        path.write_bytes(damaged)
        with pytest.raises(ClipError, match="not the file that was written"):
            read_clip(path, sha256=sha256)


@pytest.mark.parametrize("key", ARRAYS)
def test_damaged_arrays_are_detected_without_a_hash(tmp_path: Path, key: str) -> None:
    path = tmp_path / "clip.h5"
    write_clip(path, make_clip(nframe=300))
    data = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        dataset = file[key]
        assert isinstance(dataset, h5py.Dataset)
        chunk = dataset.id.get_chunk_info(1)
    middle = chunk.byte_offset + chunk.size // 2
    data[middle : middle + 4] = bytes(255 - byte for byte in data[middle : middle + 4])
    path.write_bytes(data)
    with pytest.raises(ClipError, match="cannot be read as HDF5"):
        read_clip(path)


def test_bytes_do_not_depend_on_a_running_profiler(tmp_path: Path) -> None:
    """Dask's workers run one: it keeps h5py's objects alive longer, which must not move what they write on deletion."""
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
