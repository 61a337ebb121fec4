"""Every container of Python is read as data; hostile ones are refused without anything being run."""

import gzip
import pickle
import zipfile
import zlib
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musclemap.errors import SourceError
from musclemap.failures import Failure, attempt

from ...support.data.source_files import columns, joblib_bytes, read, read_all, save_torch, text_of, walk

ROTVEC, TRANS = walk()
NFRAME = len(ROTVEC)
POSE = columns(ROTVEC, 72)
ARRAYS = {"poses": POSE, "trans": TRANS, "betas": np.zeros(10), "gender": "female", "fps": 30}


def assert_walk(path: Path) -> None:
    motion = read(path)
    np.testing.assert_allclose(motion.rotvec, ROTVEC, atol=1e-6)
    np.testing.assert_allclose(motion.trans, TRANS, atol=1e-6)
    assert motion.fps == 30.0


def refused(path: Path) -> SourceError:
    with pytest.raises(SourceError) as caught:
        read_all(path)
    return caught.value


def dump(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    assert_walk(dump(tmp_path / "dance.pkl", ARRAYS, protocol))
    assert_walk(dump(tmp_path / "ordered.pkl", OrderedDict(ARRAYS), protocol))


def test_a_pickle_is_recognised_by_content(tmp_path: Path) -> None:
    assert_walk(dump(tmp_path / "dance.dat", ARRAYS))
    assert_walk(dump(tmp_path / "dance.npz", ARRAYS))


def test_aist_translation_is_divided_by_its_scaling(tmp_path: Path) -> None:
    content = {"smpl_poses": POSE, "smpl_trans": 94.0 * TRANS, "smpl_scaling": [94.0], "smpl_loss": 0.1}
    motion = read(dump(tmp_path / "gBR_sBM_cAll_d04_mBR0_ch01.pkl", content))
    np.testing.assert_allclose(motion.rotvec, ROTVEC, atol=1e-6)
    np.testing.assert_allclose(motion.trans, TRANS, atol=1e-6)
    assert (motion.fps, motion.fps_source) == (60.0, "assumed")
    assert "that of AIST++" in text_of(motion)
    for scaling in (0.0, [1.0, 2.0], np.nan):
        path = dump(tmp_path / "bad.pkl", content | {"smpl_scaling": scaling})
        assert refused(path).code in ("out_of_range", "too_large")


def test_lists_of_numbers_are_arrays(tmp_path: Path) -> None:
    assert_walk(dump(tmp_path / "lists.pkl", {"pose": POSE.tolist(), "trans": [list(row) for row in TRANS], "fps": 30}))


@pytest.mark.parametrize("pack", [bytes, zlib.compress, gzip.compress])
def test_joblib_dump(tmp_path: Path, pack: Any) -> None:
    content = {"pose": POSE, "trans": TRANS.astype(np.float32), "fps": np.array([30.0])}
    path = tmp_path / "wham_output.pkl"
    path.write_bytes(pack(joblib_bytes(content)))
    assert_walk(path)


def test_results_of_several_people_in_the_world(tmp_path: Path) -> None:
    """A dictionary by person, each with a pose in the camera's frame and one in the world."""
    person = {
        "pose": -POSE,
        "trans": 0 * TRANS,
        "pose_world": POSE,
        "trans_world": TRANS,
        "frame_ids": np.arange(NFRAME),
    }
    people = read_all(
        dump(tmp_path / "out.pkl", {0: person, 3: person | {"trans_world": TRANS + 1.0}}), default_fps=30.0
    )
    assert [motion.name for motion in people] == ["out.pkl", "out.pkl/person2"]
    np.testing.assert_allclose(people[0].rotvec, ROTVEC)
    np.testing.assert_allclose(people[1].trans, TRANS + 1.0)


def test_people_of_different_lengths(tmp_path: Path) -> None:
    """Trackers keep people that they saw in one frame; another fault says whose it is."""
    part = lambda first, stop: {"pose": POSE[first:stop], "trans": TRANS[first:stop], "fps": 30}  # noqa: E731
    people = read_all(dump(tmp_path / "out.pkl", {"a": part(0, NFRAME), "b": part(3, 4), "c": part(2, NFRAME)}))
    assert [motion.nframe for motion in people] == [NFRAME, NFRAME - 2]
    for motion in people:
        assert "motion 2 of 3: the file holds a single frame, which is not a motion; it was left out" in text_of(motion)
    assert refused(dump(tmp_path / "short.pkl", {"a": part(0, 1), "b": part(3, 4)})).code == "single_frame"
    broken = part(0, NFRAME) | {"trans": np.full((NFRAME, 3), np.nan)}
    error = refused(dump(tmp_path / "nan.pkl", {"a": part(0, NFRAME), "b": broken}))
    assert str(error).startswith("motion 2 of 2: trans is not finite")


def test_nested_parts_share_the_facts_above_them(tmp_path: Path) -> None:
    parts = {"poses_root": POSE[:, :3], "poses_body": POSE[:, 3:], "trans": TRANS}
    motion = read(
        dump(tmp_path / "P0_data.pkl", {"gender": "male", "fps": 30.0, "smpl": parts, "camera": {"width": 3}})
    )
    np.testing.assert_allclose(motion.rotvec, ROTVEC)
    assert (motion.gender, motion.family) == ("male", "smpl")


def test_lists_of_people_as_in_python_2(tmp_path: Path) -> None:
    content = {"poses": [POSE, POSE], "trans": [TRANS, TRANS + 1.0], "genders": ["m", "f"], "betas": [np.zeros(10)] * 2}
    people = read_all(dump(tmp_path / "courtyard.pkl", content, 2), default_fps=30.0)
    assert [motion.gender for motion in people] == ["male", "female"]
    np.testing.assert_allclose(people[1].trans, TRANS + 1.0)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_torch_file_of_nested_results(tmp_path: Path, transposed: bool, dtype: type) -> None:
    world = {"body_pose": ROTVEC[:, 1:].reshape(NFRAME, 63), "global_orient": ROTVEC[:, 0], "transl": TRANS}
    world = {key: value.astype(dtype) for key, value in world.items()} | {"betas": np.zeros((NFRAME, 10), dtype)}
    camera = world | {"transl": np.zeros((NFRAME, 3), dtype)}
    intermediate = {"pred": {"body_pose": world["body_pose"], "global_orient": world["global_orient"]}}
    content = {"smpl_params_global": world, "smpl_params_incam": camera, "net_outputs": intermediate}
    content |= {"K_fullimg": np.zeros((NFRAME, 3, 3), dtype)}
    path = save_torch(tmp_path / "hmr4d_results.pt", content, transposed=transposed)
    assert_walk(path)
    assert "30 Hz was assumed, that of GVHMR" in text_of(read(path))


def test_motion_x_columns(tmp_path: Path) -> None:
    columns_ = np.random.default_rng(0).uniform(-0.1, 0.1, (NFRAME, 322))
    columns_[:, :66], columns_[:, 309:312], columns_[:, 312:] = ROTVEC.reshape(NFRAME, 66), TRANS, 0.5
    np.save(tmp_path / "clip.npy", columns_)
    assert_walk(tmp_path / "clip.npy")
    motion = read(tmp_path / "clip.npy")
    assert motion.hand_rotvec is not None
    np.testing.assert_array_equal(motion.hand_rotvec.reshape(NFRAME, 90), columns_[:, 66:156])
    np.testing.assert_allclose(motion.betas, 0.5)
    assert motion.family == "smplx"
    assert "that of Motion-X" in text_of(motion)


def test_npy_of_a_dictionary(tmp_path: Path) -> None:
    np.save(tmp_path / "dict.npy", np.array(ARRAYS, dtype=object), allow_pickle=True)
    assert_walk(tmp_path / "dict.npy")


@pytest.mark.parametrize(
    ("shape", "code", "says"),
    [
        ((NFRAME, 263), "unsupported_format", "HumanML3D"),
        ((NFRAME, 251), "unsupported_format", "KIT-ML"),
        ((NFRAME, 22, 3), "ambiguous_layout", "joint positions"),
        ((NFRAME, 72), "ambiguous_layout", "poses, trans"),
    ],
)
def test_arrays_without_names_are_refused_with_a_reason(
    tmp_path: Path, shape: tuple[int, ...], code: str, says: str
) -> None:
    np.save(tmp_path / "array.npy", np.zeros(shape))
    error = refused(tmp_path / "array.npy")
    assert error.code == code
    assert says in str(error)


def test_rotations_without_a_translation_name_what_is_missing(tmp_path: Path) -> None:
    error = refused(dump(tmp_path / "a.pkl", {1: {"pose": POSE, "betas": np.zeros(10), "place": TRANS}}))
    assert error.code == "missing_key"
    assert "trans" in str(error)


def test_poses_at_two_places_are_refused(tmp_path: Path) -> None:
    content = {"first": {"smpl": ARRAYS}, "second": {"smpl": ARRAYS}}
    error = refused(dump(tmp_path / "two.pkl", content))
    assert error.code == "ambiguous_layout"
    assert "first/smpl, second/smpl" in str(error)


# Hostile files


class _Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_hostile_pickles_are_refused_and_nothing_is_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    program = pickle.dumps({"poses": POSE, "trans": _Runs(marker)})
    (tmp_path / "motion.pkl").write_bytes(program)
    with zipfile.ZipFile(tmp_path / "results.pt", "w") as archive:
        archive.writestr("archive/data.pkl", program)
    np.save(tmp_path / "dict.npy", np.array({"poses": _Runs(marker)}, dtype=object), allow_pickle=True)
    for name in ("motion.pkl", "results.pt", "dict.npy"):
        assert refused(tmp_path / name).code == "pickled"
    assert not marker.exists()


def test_persistent_ids_outside_torch_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02}X\x05\x00\x00\x00posesK\x01Qs.")
    assert refused(tmp_path / "x.pkl").code == "pickled"


def test_tensors_beyond_their_storage_are_refused(tmp_path: Path) -> None:
    path = save_torch(tmp_path / "x.pt", {"poses": POSE, "trans": TRANS, "fps": np.array([30.0])})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for cut in (0, 16, len(members["archive/data/0"]) - 8):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data[:cut] if name == "archive/data/0" else data)
        assert refused(path).code == "truncated"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data, zipfile.ZIP_DEFLATED if name == "archive/data/0" else zipfile.ZIP_STORED)
    assert refused(path).code == "too_large"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", members["archive/data.pkl"])
    assert "no part" in str(refused(path))


def test_truncated_containers_are_refused(tmp_path: Path) -> None:
    whole = {
        "a.pkl": pickle.dumps(ARRAYS), "b.pkl": joblib_bytes({"pose": POSE, "trans": TRANS, "fps": np.array(30.0)}),
        "c.pt": save_torch(tmp_path / "c.pt", {"poses": POSE, "trans": TRANS}).read_bytes(),
        "d.pkl": zlib.compress(pickle.dumps(ARRAYS)),
    }  # fmt: skip
    rng = np.random.default_rng(5)
    for name, data in whole.items():
        for cut in rng.integers(1, len(data) - 1, 25):
            (tmp_path / name).write_bytes(data[:cut])
            assert refused(tmp_path / name).code in ("truncated", "missing_key", "bad_type", "pickled", "no_frame_rate")


def test_flipped_bytes_never_crash(tmp_path: Path) -> None:
    data = save_torch(tmp_path / "x.pt", {"poses": POSE, "trans": TRANS, "fps": np.array([30.0])}).read_bytes()
    joblib = joblib_bytes({"pose": POSE, "trans": TRANS, "fps": np.array([30.0])})
    rng = np.random.default_rng(6)
    for suffix, whole in (("pt", data), ("pkl", joblib)):
        for position in rng.integers(0, min(len(whole), 600), 60):
            damaged = bytearray(whole)
            damaged[position] ^= int(rng.integers(1, 255))
            path = tmp_path / f"y.{suffix}"
            path.write_bytes(damaged)
            result = attempt(partial(read, path))
            assert not isinstance(result, Failure) or result.code not in ("unreadable", "crash"), result
