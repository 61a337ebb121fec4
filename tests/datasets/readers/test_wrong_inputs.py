"""Wrong inputs: each is answered in one line that says what it is and what to give instead."""

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from musclemap.datasets.formats.readers import other_files
from musclemap.datasets.formats.readers.table import READERS, find_sources, suffixes
from musclemap.datasets.selection import select
from musclemap.errors import SourceError

from ...support.data.source_files import columns, read_all, walk

ROTVEC, TRANS = walk()


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def hdf5() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["poses"] = columns(ROTVEC, 72)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("KIT/3/walk_poses.npz", npz(poses=columns(ROTVEC, 72), trans=TRANS))
    return buffer.getvalue()


MODEL = {"v_template": np.zeros((9, 3)), "shapedirs": np.zeros((9, 3, 10)), "J_regressor": np.zeros((24, 9))}
POSES = npz(poses=columns(ROTVEC, 72), trans=TRANS)

WRONG: list[tuple[str, bytes, str, str]] = [  # name, content, code, words of the message
    ("dance.fbx", b"Kaydara FBX Binary  \0", "unsupported_format", "FBX scene: open it in Blender (free)"),
    ("dance.dat", b"Kaydara FBX Binary  \0", "unsupported_format", "FBX scene"),
    ("dance.glb", b"glTF\2\0\0\0", "unsupported_format", "Blender"),
    ("01_01.amc", b"#!OML:ASF\n:FULLY-SPECIFIED\n", "unsupported_format", "in AMASS, as .npz"),
    ("trial.mvnx", b"<?xml version='1.0'?>", "unsupported_format", "MVN Analyze"),
    ("photo.png", b"\x89PNG\r\n\x1a\n", "not_motion", "an image: a pose estimator"),
    ("video.mp4", b"\0\0\0\x20ftypisom", "not_motion", "GVHMR"),
    ("keypoints.json", b"[]", "not_motion", "keypoints are not rotations"),
    ("angles.csv", b"a,b\n1,2\n", "not_motion", "poses and trans"),
    ("KIT.zip", zipped(), "not_motion", "an archive: unpack it"),
    ("KIT.tar.bz2", b"BZh91AY", "not_motion", "an archive: unpack it"),
    ("KIT.npz", zipped(), "not_motion", "unpack it and give the folder"),
    ("clip.h5", hdf5(), "unsupported_format", "HDF5"),
    ("clip.bin", hdf5(), "unsupported_format", "HDF5"),
    ("page.npz", b"<!DOCTYPE html><html>", "not_motion", "a web page: the download failed"),
    ("lfs.pkl", b"version https://git-lfs.github.com/spec/v1\n", "not_motion", "git lfs pull"),
    ("subject_stagei.npz", POSES, "not_motion", "give *_stageii.npz"),
    ("shape.npz", npz(betas=np.zeros(10), gender="male"), "not_motion", "*_poses.npz"),
    ("male.npz", npz(betas=np.zeros(10), gender="male"), "not_motion", "a subject's shape"),
    ("SMPLH_MALE.npz", npz(**MODEL), "not_motion", "--body-models DIR"),
    ("SMPL_MALE.pkl", pickle.dumps(MODEL), "not_motion", "--body-models DIR"),
    (
        "trajectory.npz",
        npz(qpos=np.zeros((5, 89)), joint_names=np.array(["a"])),
        "not_motion",
        "robot or another model",
    ),
    ("mesh.obj", b"v 0 0 0\n", "not_motion", "a mesh"),
    ("model.osim", b"<OpenSimDocument/>", "not_motion", "OpenSim model"),
    ("manifest.jsonl", b"{}\n", "not_motion", "give the folder of the motions"),
    ("settings.toml", b"fps = 50\n", "not_motion", "--config"),
    ("features.npy", b"", "truncated", "empty"),
    ("data.mat", b"MATLAB 5.0 MAT-file", "unsupported_format", "MATLAB"),
    ("rate.npz", POSES, "no_frame_rate", "--source-fps N"),
    ("old.pt", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "unsupported_format", "torch.save"),
    ("walk.trc", "PathFileType\t4".encode("utf-16"), "unknown_format", "iconv -f UTF-16 -t UTF-8 walk.trc"),
    ("noise.xyz", b"\x01\x02\x03\x04\x05\x06\x07\x08", "unknown_format", "--list-formats"),
]


@pytest.mark.parametrize(("name", "content", "code", "words"), WRONG, ids=[name for name, *_ in WRONG])
def test_each_wrong_file_gets_one_line(tmp_path: Path, name: str, content: bytes, code: str, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        read_all(path)
    message = str(caught.value)
    assert caught.value.code == code, message
    assert words in message
    assert "\n" not in message
    assert len(message) < 300


def images(folder: Path) -> None:
    for frame in range(3):
        (folder / f"{frame:06}.jpg").write_bytes(b"\xff\xd8\xff")


def output(folder: Path) -> None:
    (folder / "manifest.jsonl").write_bytes(b"")
    (folder / "walk.h5").write_bytes(hdf5())


def archives(folder: Path) -> None:
    (folder / "KIT.tar.bz2").write_bytes(b"BZh")


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (images, "3 files of .jpg (an image"),
        (output, "an output folder of mm-retarget"),
        (archives, "unpack it"),
        (lambda folder: None, "it holds no files"),
    ],
)
def test_each_wrong_folder_gets_one_line(tmp_path: Path, fill: Callable[[Path], None], words: str) -> None:
    fill(tmp_path)
    with pytest.raises(SourceError) as caught:
        select(tmp_path)
    assert caught.value.code == "no_motions"
    assert words in str(caught.value)


def test_only_readable_files_are_searched_for(tmp_path: Path) -> None:
    names = ["a.npz", "b/c.pkl", "b/d.PT", "e.npy"]
    others = ["x.fbx", "x.txt", "shape.npz", "male_stagei.npz", ".hidden.pkl", ".cache/a.npz"]
    for name in names + others:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [name for _, name in find_sources(tmp_path)] == sorted(names)
    assert [item.clip for item in select(tmp_path).items] == ["a.h5", "b/c.pkl.h5", "b/d.PT.h5", "e.npy.h5"]


def test_the_table_of_readers_is_complete() -> None:
    """Each reader says everything that --list-formats and docs/formats.md tell; its suffixes are no one else's."""
    docs = (Path(__file__).resolve().parents[3] / "docs" / "formats.md").read_text()
    for reader in READERS:
        assert all((reader.name, reader.written_by, reader.reads, reader.assumes, reader.suffixes))
        assert reader.name in docs
    assert sum(len(reader.suffixes) for reader in READERS) == len(suffixes())
    assert all(other_files.other_by_name(Path(f"x{suffix}")) is None for suffix in suffixes())


def test_a_wrong_suffix_is_refused_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    (tmp_path / "dance.fbx").write_bytes(b"")
    program = (
        "import sys, json\nfrom musclemap.cli.retarget import app\n"
        f"try: app([{str(tmp_path / 'dance.fbx')!r}, {str(tmp_path / 'out')!r}])\n"
        "except SystemExit as end:\n"
        "    print(json.dumps([end.code, sorted({'jax', 'mujoco', 'scipy'} & sys.modules.keys())]))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(result.stdout) == [2, []]
    assert result.stderr.strip() == (
        "mm-retarget: dance.fbx is an FBX scene: open it in Blender (free) and export Motion Capture (.bvh)"
    )
    assert not (tmp_path / "out").exists()
