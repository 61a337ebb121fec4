"""AMASS files: every layout gives the same motion, every damage its reason; doubtful frame rates are detected."""

import hashlib
import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from musclemap.datasets.amass.frame_rate import check_frame_rate
from musclemap.datasets.amass.reader import find_motions, is_motion_file, read_motion
from musclemap.errors import SettingsError, SourceError
from musclemap.files import read_bytes

NFRAME = 7
MOCAP = Path(__file__).resolve().parents[2].parent / "shared" / "mocap"
needs_mocap = pytest.mark.skipif(not MOCAP.is_dir(), reason="the openly licensed sample recordings are not available")


def arrays(**changes: object) -> dict[str, object]:
    """Arrays of a small SMPL-H file; a change to None removes the key."""
    rng = np.random.default_rng(0)
    content: dict[str, object] = {
        "poses": rng.uniform(-0.3, 0.3, (NFRAME, 156)),
        "trans": rng.uniform(-1, 1, (NFRAME, 3)),
        "betas": rng.uniform(-1, 1, 16),
        "gender": "female",
        "mocap_framerate": 120.0,
        "dmpls": np.zeros((NFRAME, 8)),
    }
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


def save(folder: Path, **changes: object) -> Path:
    path = folder / "motion_poses.npz"
    np.savez(path, **arrays(**changes))  # type: ignore[arg-type]
    return path


def read(path: Path, **options: float):
    return read_motion(path, name=path.name, **options)


def refused(path: Path, **options: float) -> SourceError:
    with pytest.raises(SourceError) as caught:
        read(path, **options)
    return caught.value


# Layouts


@pytest.mark.parametrize(
    ("width", "family", "first_finger"), [(72, "smpl", None), (156, "smplh", 66), (165, "smplx", 75)]
)
def test_packed_layouts(tmp_path: Path, width: int, family: str, first_finger: int | None) -> None:
    poses = np.random.default_rng(1).uniform(-0.3, 0.3, (NFRAME, width)).astype(np.float32)
    motion = read(save(tmp_path, poses=poses))
    assert motion.family == family
    assert motion.rotvec.dtype == np.float64
    np.testing.assert_array_equal(motion.rotvec.reshape(NFRAME, -1), poses[:, :66])
    if first_finger is None:
        assert motion.hand_rotvec is None
    else:
        assert motion.hand_rotvec is not None
        np.testing.assert_array_equal(
            motion.hand_rotvec.reshape(NFRAME, -1), poses[:, first_finger : first_finger + 90]
        )


@pytest.mark.parametrize(
    ("extra", "family"),
    [
        ({}, "smplh"),
        ({"pose_jaw": np.zeros((NFRAME, 3)), "pose_eye": np.zeros((NFRAME, 6))}, "smplx"),
        ({"surface_model_type": "smplx"}, "smplx"),
        ({"surface_model_type": b"smplh", "pose_jaw": np.zeros((NFRAME, 3))}, "smplh"),
    ],
)
def test_split_layout_equals_packed(tmp_path: Path, extra: dict[str, object], family: str) -> None:
    packed = arrays()["poses"]
    assert isinstance(packed, np.ndarray)
    parts = {"root_orient": packed[:, :3], "pose_body": packed[:, 3:66], "pose_hand": packed[:, 66:]}
    whole = read(save(tmp_path))
    split = read(save(tmp_path, poses=None, **parts, **extra))
    assert split.family == family
    assert whole.hand_rotvec is not None
    assert split.hand_rotvec is not None
    np.testing.assert_array_equal(split.rotvec, whole.rotvec)
    np.testing.assert_array_equal(split.hand_rotvec, whole.hand_rotvec)
    assert read(save(tmp_path, poses=None, **(parts | {"pose_hand": None}))).hand_rotvec is None


def test_split_arrays_replace_poses_of_unknown_width(tmp_path: Path) -> None:
    packed = arrays()["poses"]
    assert isinstance(packed, np.ndarray)
    motion = read(save(tmp_path, poses=packed[:, :70], root_orient=packed[:, :3], pose_body=packed[:, 3:66]))
    np.testing.assert_array_equal(motion.rotvec.reshape(NFRAME, -1), packed[:, :66])
    assert "unknown shape" in motion.warnings[0].text


@pytest.mark.parametrize(
    "licence", [np.array("CC-BY-4.0"), np.array(b"CC-BY-4.0"), np.array(["CC-BY-4.0"]), np.array(" CC-BY-4.0 ", ">U11")]
)
def test_licence_stated_by_the_file(tmp_path: Path, licence: np.ndarray) -> None:
    motion = read(save(tmp_path, licence=licence))
    assert (motion.licence, motion.warnings) == ("CC-BY-4.0", ())
    assert read(save(tmp_path)).licence == "unknown"


@pytest.mark.parametrize(
    "licence",
    [
        np.array(""), np.array("x" * 201), np.array("x" * 900), np.array("MIT\nCC0-1.0"), np.array("MIT\x1b[2J"),
        np.array(["MIT", "CC0-1.0"]), np.array(["MIT", ""]), np.array(3), np.array([]), np.array("MIT", dtype=object),
    ],
)  # fmt: skip
def test_invalid_licence_is_unknown_with_a_warning(tmp_path: Path, licence: np.ndarray) -> None:
    motion = read(save(tmp_path, licence=licence))
    assert motion.licence == "unknown"
    assert len(motion.warnings) == 1
    assert "unknown" in motion.warnings[0].text


@pytest.mark.parametrize(
    "gender",
    [
        "male",
        b"male",
        np.array("male"),
        np.array([b"male"]),
        "b'male'",
        np.array("b'male'"),
        b"b'male'",
        "Male",
        "m",
        np.array("male", ">U4"),
    ],
)
def test_gender_in_every_spelling(tmp_path: Path, gender: object) -> None:
    motion = read(save(tmp_path, gender=gender))
    assert (motion.gender, motion.warnings) == ("male", ())


@pytest.mark.parametrize(
    "gender",
    [
        None,
        "unknown",
        "",
        3.0,
        np.full(1, 2**32 - 1, np.uint32).view("U1"),
        np.array(["male", "female"]),
        np.array({"a": 1}, dtype=object),
    ],
)
def test_unusable_gender_is_neutral_with_a_warning(tmp_path: Path, gender: object) -> None:
    motion = read(save(tmp_path, gender=gender))
    assert motion.gender == "neutral"
    assert "neutral was assumed" in motion.warnings[0].text


def test_betas_in_every_shape(tmp_path: Path) -> None:
    betas = np.arange(20.0)
    for shape in ((10,), (16,), (1, 16)):
        motion = read(save(tmp_path, betas=betas[: shape[-1]].reshape(shape)))
        np.testing.assert_array_equal(motion.betas, betas[: shape[-1]])
        assert motion.warnings == ()
    same = read(save(tmp_path, betas=np.tile(betas[:16], (NFRAME, 1))))
    np.testing.assert_array_equal(same.betas, betas[:16])
    assert same.warnings == ()
    long = read(save(tmp_path, betas=betas))
    np.testing.assert_array_equal(long.betas, betas[:16])
    assert "20 coefficients" in long.warnings[0].text
    changing = read(save(tmp_path, betas=np.stack([betas[:16], betas[:16] + 2])))
    np.testing.assert_allclose(changing.betas, betas[:16] + 1)
    assert "change" in changing.warnings[0].text
    absent = read(save(tmp_path, betas=None))
    assert not absent.betas.any()
    assert "no betas" in absent.warnings[0].text


# Declared frame rate


@pytest.mark.parametrize("key", ["mocap_framerate", "mocap_frame_rate"])
@pytest.mark.parametrize("rate", [59.94, np.float64(59.94), np.array([59.94]), 120, np.int64(30)])
def test_frame_rate_is_kept_to_the_last_digit(tmp_path: Path, key: str, rate: float) -> None:
    motion = read(save(tmp_path, **({"mocap_framerate": None} | {key: rate})))
    assert motion.fps == motion.source_fps == float(np.asarray(rate).item())
    assert motion.fps_source == key


def test_absent_frame_rate(tmp_path: Path) -> None:
    path = save(tmp_path, mocap_framerate=None)
    assert refused(path).code == "no_frame_rate"
    motion = read(path, default_fps=60.0)
    assert (motion.fps, motion.fps_source, motion.source_fps) == (60.0, "assumed", None)
    assert motion.warnings[0].code == "no_frame_rate"
    assert "60 Hz was assumed" in motion.warnings[0].text
    assert read(save(tmp_path), default_fps=60.0).fps == 120.0


@pytest.mark.parametrize("rate", [0.0, -120.0, np.nan, np.inf, 1e-3, 1e9, np.array([120.0, 60.0]), np.zeros(0)])
def test_bad_frame_rate(tmp_path: Path, rate: object) -> None:
    path = save(tmp_path, mocap_framerate=rate)
    assert refused(path).code == "bad_frame_rate"
    assert refused(path, default_fps=60.0).code == "bad_frame_rate"
    motion = read(path, fps_override=120.0)
    assert (motion.fps, motion.fps_source) == (120.0, "corrected")
    assert "was given instead" in motion.warnings[0].text


def test_override_and_contradicting_keys(tmp_path: Path) -> None:
    motion = read(save(tmp_path), fps_override=60.0)
    assert (motion.fps, motion.fps_source, motion.source_fps, motion.warnings) == (60.0, "corrected", 120.0, ())
    both = read(save(tmp_path, mocap_frame_rate=60.0))
    assert both.fps == 120.0
    assert "two frame rates" in both.warnings[0].text
    with pytest.raises(SettingsError, match="fps_override"):
        read(save(tmp_path), fps_override=0.0)


# Refusals


@pytest.mark.parametrize(
    ("changes", "reason", "message"),
    [
        ({"poses": None}, "missing_key", "betas, dmpls, gender, mocap_framerate, trans"),
        ({"trans": None}, "missing_key", "poses"),
        ({"poses": None, "root_orient": np.zeros((NFRAME, 3))}, "missing_key", "root_orient"),
        ({"poses": np.zeros((NFRAME, 63))}, "bad_shape", "156"),
        ({"poses": np.zeros(156)}, "bad_shape", "(156,)"),
        ({"poses": np.zeros((NFRAME, 50, 3))}, "bad_shape", "50"),
        ({"trans": np.zeros((NFRAME, 2))}, "bad_shape", "(7, 2)"),
        ({"trans": np.zeros((NFRAME + 1, 3))}, "bad_shape", "8"),
        ({"betas": np.zeros((2, 2, 2))}, "bad_shape", "betas"),
        ({"betas": np.zeros(0)}, "bad_shape", "betas"),
        ({"poses": np.zeros((NFRAME, 156), complex)}, "bad_type", "complex"),
        ({"trans": np.full((NFRAME, 3), "x")}, "bad_type", "trans"),
        ({"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, "no_frames", "no frames"),
        ({"poses": np.zeros((1, 156)), "trans": np.zeros((1, 3))}, "single_frame", "single frame"),
        ({"poses": np.zeros((NFRAME, 156), object)}, "pickled", "poses"),
        ({"trans": np.full((NFRAME, 3), 1e6)}, "out_of_range", "trans"),
        ({"poses": np.full((NFRAME, 156), -1e9)}, "out_of_range", "rad"),
        (
            {"poses": np.zeros((20_000, 72), np.int8), "trans": np.zeros((20_000, 3)), "mocap_framerate": 1},
            "too_large",
            "h",
        ),
    ],
)
def test_refusals(tmp_path: Path, changes: dict[str, object], reason: str, message: str) -> None:
    error = refused(save(tmp_path, **changes))
    assert error.code == reason
    assert message in str(error)


@pytest.mark.parametrize("key", ["poses", "trans", "betas"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_names_the_first_frames(tmp_path: Path, key: str, value: float) -> None:
    array = arrays()[key]
    assert isinstance(array, np.ndarray)
    array[3:] = value
    error = refused(save(tmp_path, **{key: array}))
    assert error.code == "non_finite"
    assert key == "betas" or "3, 4, 5, 6" in str(error)


def test_split_parts_of_different_length(tmp_path: Path) -> None:
    parts = {"root_orient": np.zeros((NFRAME, 3)), "pose_body": np.zeros((NFRAME - 1, 63))}
    assert refused(save(tmp_path, poses=None, **parts)).code == "bad_shape"


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(tmp_path / "absent.npz").code == "unreadable"
    assert refused(tmp_path).code == "unreadable"
    (tmp_path / "broken.npz").symlink_to(tmp_path / "nowhere.npz")
    (tmp_path / "itself.npz").symlink_to("itself.npz")
    assert refused(tmp_path / "broken.npz").code == "unreadable"
    assert refused(tmp_path / "itself.npz").code == "unreadable"
    os.mkfifo(tmp_path / "pipe.npz")
    assert refused(tmp_path / "pipe.npz").code == "unreadable"  # without waiting for a writer
    path = save(tmp_path)

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", denied)
        error = refused(path)
    assert error.code == "unreadable"
    assert "Permission denied" in str(error)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "truncated"), (b"\x80\x04\x95pickle", "pickled"), (b"<html>", "not_npz"), (b"\x93NUMPY\x01\x00", "not_npz")],
)
def test_not_an_archive(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "motion.npz"
    path.write_bytes(data)
    assert refused(path).code == reason


def test_archive_without_arrays(tmp_path: Path) -> None:
    path = tmp_path / "motion.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    error = refused(path)
    assert error.code == "missing_key"
    assert "no arrays" in str(error)


@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_files_and_flipped_bytes_are_refused_or_harmless(tmp_path: Path, compressed: bool) -> None:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays())  # type: ignore[arg-type]
    data = buffer.getvalue()
    whole, path = tmp_path / "whole.npz", tmp_path / "damaged.npz"
    whole.write_bytes(data)
    good = read(whole)
    rng = np.random.default_rng(2)
    for cut in rng.integers(1, len(data) - 1, 40):
        path.write_bytes(data[:cut])
        assert refused(path).code in ("truncated", "not_npz")
    for position in rng.integers(0, len(data), 150):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            motion = read(path, default_fps=120.0)
        except SourceError:
            continue
        np.testing.assert_array_equal(motion.rotvec, good.rotvec)
        np.testing.assert_array_equal(motion.trans, good.trans)


def test_damage_in_the_middle_is_truncated(tmp_path: Path) -> None:
    path = save(tmp_path)
    data = bytearray(path.read_bytes())
    position = data.index(b"poses.npy") + 1000
    data[position : position + 100] = bytes(100)
    path.write_bytes(data)
    error = refused(path)
    assert error.code == "truncated"
    assert "poses" in str(error)


def test_false_shape_is_refused_before_allocation(tmp_path: Path) -> None:
    """An array header that claims 10 TB allocates nothing."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d, 156), }" % 10**10
    header += b" " * (117 - len(header)) + b"\n"
    path = tmp_path / "motion.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("poses.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(8))
    error = refused(path)
    assert error.code == "truncated"
    assert "10000000000" in str(error)


def test_zip_bomb_is_refused_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musclemap.datasets.amass.reader.MAX_BYTES", 1_000_000)
    path = tmp_path / "motion.npz"
    np.savez_compressed(path, **arrays(poses=np.zeros((10_000, 156)), trans=np.zeros((10_000, 3))))  # type: ignore[arg-type]
    assert path.stat().st_size < 100_000
    assert refused(path).code == "too_large"
    np.savez(path, **arrays(poses=np.zeros((10_000, 156)), trans=np.zeros((10_000, 3))))  # type: ignore[arg-type]
    assert refused(path).code == "too_large"


def test_unneeded_object_arrays_do_no_harm(tmp_path: Path) -> None:
    assert read(save(tmp_path, labels=np.array([["a"], {"b": 1}], dtype=object))).nframe == NFRAME


def test_hash_is_that_of_the_parsed_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is read once: even if it is replaced immediately afterwards, hash and arrays belong together."""
    path = save(tmp_path)
    data = path.read_bytes()
    opened = []

    def once(path: Path, *, limit: int) -> bytes:
        opened.append(path)
        content = read_bytes(path, limit=limit)
        path.write_bytes(b"something else")
        return content

    monkeypatch.setattr("musclemap.datasets.amass.reader.read_bytes", once)
    motion = read(path)
    assert opened == [path]
    assert motion.sha256 == hashlib.sha256(data).hexdigest()
    np.testing.assert_array_equal(motion.trans, arrays()["trans"])


# Finding files


def test_find_motions(tmp_path: Path) -> None:
    names = ["b/2/x_poses.npz", "a/C2 - Run to stand_poses.npz", "a/é ü/歩く_stageii.npz", "a.npz", "b/10/y.NPZ"]
    others = ["a/shape.npz", "a/male_stagei.npz", "a/.hidden.npz", "a/._x_poses.npz", ".git/x_poses.npz", "a/notes.txt"]
    for name in names + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    motions = find_motions(tmp_path)
    assert [name for _, name in motions] == sorted(names)
    assert all(path == tmp_path / name for path, name in motions)
    assert find_motions(tmp_path / "a.npz") == [(tmp_path / "a.npz", "a.npz")]
    assert [is_motion_file(name) for name in ("shape.npz", "neutral_stagei.npz", "x_stageii.npz")] == [
        False,
        False,
        True,
    ]
    with pytest.raises(SourceError, match="neither"):
        find_motions(tmp_path / "absent")


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "KIT").mkdir(parents=True)
    (tmp_path / "elsewhere" / "KIT" / "x.npz").write_bytes(b"")
    root = tmp_path / "root"
    (root / "z").mkdir(parents=True)
    (root / "z" / "y.npz").write_bytes(b"")
    (root / "KIT").symlink_to(tmp_path / "elsewhere" / "KIT")
    (root / "a_link_to_z").symlink_to(root / "z")
    (root / "zz_link_to_z").symlink_to(root / "z")
    (root / "z" / "up").symlink_to(root)
    (root / "itself").symlink_to("itself")
    (root / "broken.npz").symlink_to("nowhere.npz")
    (tmp_path / "elsewhere" / "KIT" / "back").symlink_to(root)
    assert [name for _, name in find_motions(root)] == ["KIT/x.npz", "broken.npz", "z/y.npz"]


def test_a_folder_that_cannot_be_listed_stays_in_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "x.npz").write_bytes(b"")
    scandir = os.scandir

    def denied(folder: Path):
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", denied)
    motions = find_motions(tmp_path)
    assert [name for _, name in motions] == ["locked", "x.npz"]
    assert refused(motions[0][0]).code == "unreadable"
    with pytest.raises(SourceError, match="cannot be listed"):
        find_motions(tmp_path / "locked")


# Declared frame rate compared with the motion


def jump(*, fps: float, flight: float = 0.4, rest: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Crouch, push off, fly on a parabola, land: a T-pose except for the legs, at the true frame rate `fps` [Hz]."""
    takeoff = 9.81 * flight / 2
    time = np.arange(0, 2 * rest + flight, 1 / fps) - rest
    depth = 0.25
    half = np.pi * depth / takeoff / 2  # a quarter sine from rest at -depth reaches 0 at take-off speed
    outside = np.where(time < 0, -time, time - flight)
    height = np.where(outside < 2 * half, -depth * np.sin(np.clip(outside / half, 0, 2) * np.pi / 2), 0.0)
    flying = (time >= 0) & (time <= flight)
    height = np.where(flying, takeoff * time - 9.81 * time**2 / 2, height)
    bend = np.arccos(np.clip(1 + np.minimum(height, 0) / 0.8, 0, 1))  # thigh and shank of about 0.4 m each
    rotvec = np.zeros((len(time), 22, 3))
    rotvec[:, 0, 0] = np.pi / 2  # y up to z up
    rotvec[:, 1:3, 0], rotvec[:, 4:6, 0], rotvec[:, 7:9, 0] = -bend[:, None], 2 * bend[:, None], -bend[:, None]
    return rotvec, np.stack([0.5 * time, 0 * time, 1.2 + height], axis=1)


@pytest.mark.parametrize("true", [30.0, 59.94, 120.0])
@pytest.mark.parametrize("declared", [1.0, 2.0, 0.5, 1.25, 0.8])
def test_free_fall_reveals_the_frame_rate(true: float, declared: float) -> None:
    rotvec, trans = jump(fps=true)
    report = check_frame_rate(rotvec, trans, fps=true * declared)
    assert report.suspicious == (declared != 1.0)
    assert report.estimate == pytest.approx(true, rel=0.05)
    assert "free fall" in report.evidence[-1]


def test_motion_without_flight_gives_no_evidence() -> None:
    rotvec, trans = jump(fps=120.0)
    still = check_frame_rate(np.repeat(rotvec[:1], 300, axis=0), np.repeat(trans[:1], 300, axis=0), fps=120.0)
    assert (still.estimate, still.suspicious, still.evidence) == (None, False, ())
    time = np.arange(360) / 120
    standing, on_box = np.repeat(rotvec[:1], 360, axis=0), np.interp(time, [0.5, 1.0, 2.0, 2.5], [0, 0.4, 0.4, 0])
    rocking = 0.005 * np.clip(np.sin(np.pi * time), 0, None) * (time < 1)
    for height in (-2 * time, on_box, rocking):
        trans = np.stack([0 * time, 0 * time, height], axis=1)
        assert check_frame_rate(standing, trans, fps=120.0).evidence == ()


def test_reader_warns_and_never_corrects(tmp_path: Path) -> None:
    rotvec, trans = jump(fps=120.0)
    poses = np.zeros((len(trans), 72))
    poses[:, :66] = rotvec.reshape(-1, 66)
    assert read(save(tmp_path, poses=poses, trans=trans)).warnings == ()
    path = save(tmp_path, poses=poses, trans=trans, mocap_framerate=60.0)
    motion = read(path)
    assert motion.fps == motion.source_fps == 60.0
    assert motion.frame_rate is not None
    assert motion.frame_rate.suspicious
    assert motion.warnings[0].code == "doubtful_frame_rate"
    assert "60 Hz is doubtful, about 1" in motion.warnings[0].text
    assert read(path, fps_override=120.0).warnings == ()


@pytest.mark.parametrize("changes", [{"mocap_framerate": None}, {"mocap_frame_rate": 60.0}])
def test_other_warnings_about_the_frame_rate_are_not_contradictions(tmp_path: Path, changes: dict[str, object]) -> None:
    """Whether a rate is assumed, or given twice, says nothing about free fall."""
    rotvec, trans = jump(fps=120.0)
    poses = np.zeros((len(trans), 72))
    poses[:, :66] = rotvec.reshape(-1, 66)
    motion = read(save(tmp_path, poses=poses, trans=trans, **changes), default_fps=120.0)
    assert len(motion.warnings) == 1
    assert motion.frame_rate is not None
    assert not motion.frame_rate.suspicious
    assert "free fall" in motion.frame_rate.evidence[-1]


@needs_mocap
def test_real_recordings_are_read_without_a_warning() -> None:
    motions = find_motions(MOCAP)
    assert len(motions) == 26
    for path, name in motions:
        motion = read_motion(path, name=name)
        assert motion.warnings == (), name
        assert motion.fps == (120.0 if name.startswith("cmu") else 30.0)


@needs_mocap
@pytest.mark.parametrize("factor", [2.0, 0.5, 1.25, 0.8])
@pytest.mark.parametrize("name", ["cmu/02/02_04_poses.npz", "video/single_foot_jump_level1_poses.npz"])
def test_real_jumps_at_a_wrong_rate(name: str, factor: float) -> None:
    motion = read_motion(MOCAP / name, name=name)
    report = check_frame_rate(motion.rotvec, motion.trans, fps=motion.fps * factor)
    assert report.suspicious
    assert report.estimate == pytest.approx(motion.fps, rel=0.05)


@needs_mocap
@pytest.mark.parametrize("name", ["cmu/02/02_01_poses.npz", "cmu/03/03_01_poses.npz"])
def test_real_walks_at_twice_or_half_the_rate(name: str) -> None:
    """A factor of 1.25 is not detectable in walking, because people vary more than that."""
    motion = read_motion(MOCAP / name, name=name)
    reports = {f: check_frame_rate(motion.rotvec, motion.trans, fps=motion.fps * f) for f in (1.0, 1.25, 0.8, 2.0, 0.5)}
    assert {factor: report.suspicious for factor, report in reports.items()} == {
        1.0: False, 1.25: False, 0.8: False, 2.0: True, 0.5: True}  # fmt: skip
    for factor in (2.0, 0.5):
        assert reports[factor].estimate == pytest.approx(motion.fps, rel=0.3)
