"""Arrays of .npz files are those that numpy reads; headers are checked before memory is allocated."""

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from musclemap.datasets.amass import limits
from musclemap.datasets.amass import reader as amass
from musclemap.datasets.amass.poses import POSE_WIDTHS
from musclemap.errors import FileError, SourceError
from musclemap.npz_arrays import MAX_RATIO, NpzArrays, text_of

LIMIT = 2**28


def npz(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def npy(header: str, body: bytes, *, version: bytes = b"\x01\x00") -> bytes:
    length = struct.pack("<H" if version[0] == 1 else "<I", len(header) + 1)
    return b"\x93NUMPY" + version + length + header.encode("latin1") + b"\n" + body


def described(shape: object, dtype: str = "'<f8'") -> str:
    return f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}"


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        for name, data in members:
            made.writestr(name, data)
    return buffer.getvalue()


def refused(data: bytes, key: str = "a", *, limit: int = LIMIT) -> FileError:
    with pytest.raises(FileError) as caught:
        NpzArrays(data, limit=limit).numbers(key)
    return caught.value


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "g", "i1", "<i4", ">u2", "u8"])
@pytest.mark.parametrize("shape", [(), (0,), (0, 7), (1,), (5, 3), (400, 3, 200)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_and_memory_order_match_numpy(dtype: str, shape: tuple[int, ...], order: str) -> None:
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype, order=order)  # type: ignore[call-overload]
    read = NpzArrays(npz(a=array), limit=LIMIT).numbers("a")
    expected = np.load(io.BytesIO(npz(a=array)))["a"].astype(np.float64)
    np.testing.assert_array_equal(read, expected)
    assert read.dtype == np.float64
    assert read.strides == expected.strides or not read.size


@pytest.mark.parametrize("array", [np.array("é走"), np.array(b"ab"), np.array([["x", "yz"]], ">U2", order="F")])
def test_text_matches_numpy(array: np.ndarray) -> None:
    np.testing.assert_array_equal(NpzArrays(npz(a=array), limit=LIMIT).array("a"), array)
    assert text_of(array) == {1: "é走" if array.dtype.kind == "U" else "ab", 2: ""}[array.size]


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (npy(described("(2,)"), bytes(8)), "truncated"),
        (npy(described("(1,)"), bytes(16)), "truncated"),
        (npy(described("(-1, -2)"), bytes(16)), "truncated"),
        (npy(described("(10**9,)"), bytes(8)), "truncated"),
        (npy(described("(1000000000000,)", "'S0'"), b""), "truncated"),
        (npy(described(f"(0, {2**64})"), b""), "truncated"),
        (npy(described("(True,)"), bytes(8)), "truncated"),
        (npy(described("(1,)", "'O'"), bytes(8)), "pickled"),
        (npy(described("(1,)", "[('a', 'O')]"), bytes(8)), "pickled"),
        (npy(described("(1,)", "[('a', '<f8')]"), bytes(8)), "bad_type"),
        (npy(described("(1,)", "'M8[s]'"), bytes(8)), "bad_type"),
        (npy(described("(1,)", "'c16'"), bytes(16)), "bad_type"),
        (npy(described("(1,)", "'S8'"), bytes(8)), "bad_type"),
        (npy(described("(1,)"), bytes(8), version=b"\x03\x00"), "not_npz"),
        (npy("(" * 5000, b""), "truncated"),
        (npy("-" * 9000 + "1", b""), "truncated"),
        (npy("{" + "'a':" * 2000, b""), "truncated"),
        (npy("x" * 60_000, b""), "truncated"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(2**22), "truncated"),
        (b"", "truncated"),
        (b"\x93NUM", "truncated"),
    ],
)
def test_false_header_is_refused_without_allocation(member: bytes, reason: str) -> None:
    data = archive(("a.npy", member))
    tracemalloc.start()
    try:
        assert refused(data).code == reason
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_array_is_limited_as_stored_and_as_float64() -> None:
    assert refused(npz(a=np.zeros(101, np.int8)), limit=800).code == "too_large"
    assert len(NpzArrays(npz(a=np.zeros(60, np.int8)), limit=800).numbers("a")) == 60
    assert refused(npz(a=np.zeros(101)), limit=800).code == "too_large"
    assert NpzArrays(npz(a=np.zeros(3)), limit=800).numbers("a", max_count=3).size == 3
    with pytest.raises(FileError, match="at most 2 numbers"):
        NpzArrays(npz(a=np.zeros(3)), limit=800).numbers("a", max_count=2)


def test_zip_bomb_is_refused_by_its_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros compress a thousandfold, measured numbers do not. A small array may consist of zeros."""
    zeros, measured = np.zeros(2**18), np.random.default_rng(0).normal(size=2**18)
    data = npz(a=zeros, b=measured)
    assert len(npz(a=zeros)) < zeros.nbytes / MAX_RATIO
    assert NpzArrays(data, limit=LIMIT).numbers("a").size == 2**18
    monkeypatch.setattr("musclemap.npz_arrays._RATIO_FROM", 2**20)
    assert refused(data).code == "too_large"
    np.testing.assert_array_equal(NpzArrays(data, limit=LIMIT).numbers("b"), measured)
    lying = bytearray(npz(a=zeros))  # states a compressed size larger than the file
    position = lying.index(b"PK\x01\x02") + 20
    lying[position : position + 4] = (2**30).to_bytes(4, "little")
    assert refused(bytes(lying)).code == "too_large"


def test_zip_bomb_of_text_is_refused() -> None:
    data = npz(a=np.zeros(2**22, "S1"))
    with pytest.raises(FileError) as caught:
        NpzArrays(data, limit=LIMIT).array("a")
    assert caught.value.code == "too_large"


def test_numbers_are_in_memory_only_once() -> None:
    array = np.random.default_rng(0).normal(size=2**21)
    data = npz(a=array)
    tracemalloc.start()
    try:
        NpzArrays(data, limit=LIMIT).numbers("a")
        assert tracemalloc.get_traced_memory()[1] < 1.4 * array.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_name_is_refused_if_needed() -> None:
    one, two = npy(described("(1,)"), bytes(8)), npy(described("(2,)"), bytes(16))
    data = archive(("a.npy", one), ("b.npy", one), ("a.npy", two))
    assert refused(data).code == "not_npz"
    assert len(NpzArrays(data, limit=LIMIT).numbers("b")) == 1


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(method: int) -> None:
    assert refused(archive(("a.npy", npy(described("(1,)"), bytes(8))), method=method)).code == "not_npz"


def test_encrypted_array_is_refused() -> None:
    data = bytearray(archive(("a.npy", npy(described("(1,)"), bytes(8)))))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    assert refused(bytes(data)).code == "not_npz"


def test_long_directory_is_refused_before_reading() -> None:
    data = archive(*((f"{k}{'x' * 100}.npy", b"") for k in range(10_000)))
    with pytest.raises(FileError, match="directory") as caught:
        NpzArrays(data, limit=LIMIT)
    assert caught.value.code == "too_large"
    short = archive(*((f"{k}.npy", b"") for k in range(5_000)))
    message = str(refused(short, "z"))
    assert "and 4980 more" in message
    assert len(message) < 500


# The limits of motions are consistent


@pytest.mark.parametrize("fps", [30, 60, 100, 120, 150])
@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_longest_motion_is_within_every_limit(fps: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four hours in the widest layout, both packed and split as newer releases store it; the file has only a header."""
    monkeypatch.setattr("musclemap.npz_arrays.MAX_RATIO", 2**40)  # its numbers are absent
    nframe = int(limits.MAX_SECONDS * fps)
    assert nframe <= limits.MAX_FRAMES
    columns = {"poses": max(POSE_WIDTHS), "trans": 3, "dmpls": 8}
    split = {"root_orient": 3, "pose_body": 63, "pose_hand": 90, "pose_jaw": 3, "pose_eye": 6}
    assert nframe * sum((columns | split).values()) * 8 + 10_000 <= limits.MAX_FILE_BYTES
    size = nframe * columns["poses"] * np.dtype(dtype).itemsize
    header = npy(described(f"({nframe}, {columns['poses']})", f"'{dtype}'"), b"")
    data = archive(("poses.npy", header + bytes(2**15)), method=zipfile.ZIP_STORED)
    sizes = struct.pack("<II", *[len(header) + 2**15] * 2)
    longer = struct.pack("<II", *[len(header) + size] * 2)
    arrays = NpzArrays(data.replace(sizes, longer), limit=limits.MAX_BYTES)
    assert arrays.header("poses").shape == (nframe, columns["poses"])
    with pytest.raises(FileError) as caught:  # only the missing bytes are wrong
        NpzArrays(data.replace(sizes, longer), limit=8 * nframe * columns["poses"]).array("poses")
    assert "at most" in str(caught.value)


def test_motion_with_too_many_frames_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "motion.npz"
    path.write_bytes(npz(poses=np.zeros((21, 72)), trans=np.zeros((21, 3)), mocap_framerate=100.0))
    assert amass.read_motion(path, name="m", fps_override=100.0).nframe == 21
    monkeypatch.setattr("musclemap.datasets.amass.frame_checks.MAX_FRAMES", 20)
    with pytest.raises(SourceError, match="21 frames") as caught:
        amass.read_motion(path, name="m")
    assert caught.value.code == "too_large"
    monkeypatch.setattr(amass, "MAX_FILE_BYTES", 100)
    with pytest.raises(SourceError, match="at most 100") as caught:
        amass.read_motion(path, name="m")
    assert caught.value.code == "too_large"


def test_implausible_shape_coefficients_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "motion.npz"
    for betas in (np.full(16, 1e300), np.full(16, -1e4)):
        path.write_bytes(npz(poses=np.zeros((5, 72)), trans=np.zeros((5, 3)), betas=betas, mocap_framerate=100.0))
        with pytest.raises(SourceError, match="betas") as caught:
            amass.read_motion(path, name="m")
        assert caught.value.code == "out_of_range"


def test_any_error_with_a_file_becomes_a_source_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "motion.npz"
    path.write_bytes(npz(poses=np.zeros((5, 72)), trans=np.zeros((5, 3)), mocap_framerate=100.0))

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(amass, "with_frame_checks", fails)
    cases: list[tuple[Exception, str]] = [(MemoryError(), "out_of_memory"), (AssertionError("odd"), "unreadable")]
    for error, reason in cases:  # noqa: B007 - raised above
        with pytest.raises(SourceError) as caught:
            amass.read_motion(path, name="m")
        assert caught.value.code == reason
