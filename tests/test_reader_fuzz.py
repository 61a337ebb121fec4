"""Motions and body models with random damage: each is read, or refused with its own error, soon and in little memory.

A kind of file is three functions: `make_valid` writes a good one, `mutate` damages it, and `read` reads it.
More than the usual 2,000 mutations, each kind alone, in a process whose memory is limited:

    python -m tests.test_reader_fuzz motion_npz 50000 [SEED]
"""

import io
import resource
import struct
import sys
import tempfile
import time
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from musclemap.datasets.amass import read_motion
from musclemap.skeletons.body_model import find_body_models, load_body_model
from musclemap.skeletons.errors import BodyModelError, SourceError

from . import pickle_programs
from .body_model_files import synthetic_model, write_npz, write_smpl_pkl

LONGEST = 10.0
"""Time that one file may take [s]."""

_BOLD = (b"\x00", b"\xff", b"\x7f", b"\x80", b"9", b"-", b"(", b"'", b"O", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00",
         b"\xff\xff\xff\x7f", b"\xff" * 8)  # fmt: skip
_DESCRS = (
    "<f8",
    ">f8",
    "<f4",
    "<f2",
    "|i1",
    "<u8",
    "<g",
    "|O",
    "<c16",
    "|V8",
    "<U9",
    "|S8",
    "|S0",
    "<M8[s]",
    "f8,f8",
    "",
)


def make_motion_npz() -> bytes:
    """A motion of SMPL-H."""
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, poses=rng.uniform(-0.3, 0.3, (4, 156)), trans=rng.uniform(-1, 1, (4, 3)), betas=rng.normal(size=16),
        gender=np.array("male"), mocap_framerate=np.array(120.0), licence=np.array("CC0-1.0"),
    )  # fmt: skip
    return buffer.getvalue()


def read_motion_npz(data: bytes, folder: Path) -> None:
    """Read it."""
    (folder / "motion.npz").write_bytes(data)
    read_motion(folder / "motion.npz", name="motion.npz")


def make_body_npz() -> bytes:
    """A body model of SMPL-H."""
    with tempfile.TemporaryDirectory() as folder:
        write_npz(Path(folder) / "male.npz", synthetic_model("smplh", ndir=4, nvertex=8), gender="male")
        return (Path(folder) / "male.npz").read_bytes()


def read_body_npz(data: bytes, folder: Path) -> None:
    """Find and read it."""
    (folder / "male.npz").write_bytes(data)
    find_body_models(folder)
    load_body_model(folder / "male.npz")


def make_body_pkl() -> bytes:
    """A body model of SMPL, as Python 2 wrote it."""
    with tempfile.TemporaryDirectory() as folder:
        write_smpl_pkl(Path(folder) / "male.pkl", synthetic_model("smpl", ndir=4, nvertex=8), wrapping="Select")
        return (Path(folder) / "male.pkl").read_bytes()


def read_body_pkl(data: bytes, folder: Path) -> None:
    """Find and read it."""
    (folder / "male.pkl").write_bytes(data)
    find_body_models(folder)
    load_body_model(folder / "male.pkl")


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes flipped, replaced, cut out, doubled or cut off."""
    made = bytearray(data)
    for _ in range(1 + rng.geometric(0.5)):
        at, size = int(rng.integers(len(made) + 1)), int(rng.integers(1, 40))
        kind = rng.integers(6)
        if kind == 0 and at < len(made):
            made[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            made[at : at + size] = rng.bytes(size)
        elif kind == 2:
            bold = _BOLD[int(rng.integers(len(_BOLD)))]
            made[at : at + len(bold)] = bold
        elif kind == 3:
            del made[at : at + size]
        elif kind == 4:
            made[at:at] = made[at : at + size]
        elif rng.random() < 0.2:
            del made[at:]
    return bytes(made)


def mutate_npz(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage the archive, or the arrays in a sound archive: other shapes and types, other numbers, other bytes."""
    if rng.random() < 0.3:
        return damaged(data, rng)
    members = []
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            if rng.random() < 0.3:
                content = _other_array(content, rng)
            members += [(name, content)] * int(rng.choice([0, 1, 1, 1, 1, 1, 1, 1, 1, 2]))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            method = int(rng.choice([0, 8, 12], p=[0.49, 0.49, 0.02]))
            _write(archive, name if rng.random() < 0.98 else name[1:], content, method)
    return buffer.getvalue() if rng.random() < 0.7 else _other_directory(buffer.getvalue(), rng)


def _write(archive: zipfile.ZipFile, name: str, content: bytes, method: int) -> None:
    info = zipfile.ZipInfo(name)
    info.compress_type = method
    with archive.open(info, "w") as member:  # unlike writestr, says nothing of a name that is there twice
        member.write(content)


def _other_array(content: bytes, rng: np.random.Generator) -> bytes:
    kind = rng.integers(4)
    if kind == 0:
        return damaged(content, rng)
    array = np.lib.format.read_array(io.BytesIO(content))
    if kind == 1 and array.dtype.kind == "f" and array.size:
        array.flat[rng.integers(array.size, size=3)] = rng.choice([np.nan, np.inf, -np.inf, 1e308, -1e300, 1e7, 0.0], 3)
        descr, shape, body = array.dtype.str, array.shape, array.tobytes()
    elif kind == 2:
        shape = tuple(int(n) for n in rng.choice([0, 1, 2, 3, 4, 156, 2**31, -1, -4, 2**63], rng.integers(0, 4)))
        descr = _DESCRS[int(rng.integers(len(_DESCRS)))]
        body = rng.bytes(int(rng.integers(0, 3)) * 8) if rng.random() < 0.5 else array.tobytes()
    else:
        descr, body = _DESCRS[int(rng.integers(len(_DESCRS)))], array.tobytes()
        size = int(descr[2:]) if descr[2:].isdigit() else 8
        shape = (len(body) // max(size, 1),)
    header = f"{{'descr': {descr!r}, 'fortran_order': {rng.random() < 0.2}, 'shape': {shape}}}".encode()
    header = damaged(header, rng) if rng.random() < 0.2 else header
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def _other_directory(data: bytes, rng: np.random.Generator) -> bytes:
    """Other numbers in the directory at the end and in the one before each array, and checksums that fit."""
    made = bytearray(data)
    marks = [at for mark in (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06") for at in _all(data, mark)]
    for _ in range(rng.integers(1, 4)):
        at = marks[int(rng.integers(len(marks)))] + int(rng.integers(4, 46))
        value = int(rng.choice([0, 1, 8, 0x21, 2**16 - 1, 2**31 - 1, 2**32 - 1, zlib.crc32(data[:40])]))
        width = int(rng.choice([2, 4]))
        made[at : at + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")
    return bytes(made)


def _all(data: bytes, mark: bytes) -> list[int]:
    found, at = [], data.find(mark)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 1)
    return found


def mutate_pkl(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage a body model, or write a program at random."""
    return damaged(data, rng) if rng.random() < 0.5 else pickle_programs.random_program(rng)


class Kind(NamedTuple):
    """A kind of file: how a good one is made, damaged and read, and the error that a bad one may raise."""

    make_valid: Callable[[], bytes]
    mutate: Callable[[bytes, np.random.Generator], bytes]
    read: Callable[[bytes, Path], None]
    error: type[Exception]


KINDS = {
    "motion_npz": Kind(make_motion_npz, mutate_npz, read_motion_npz, SourceError),
    "body_npz": Kind(make_body_npz, mutate_npz, read_body_npz, BodyModelError),
    "body_pkl": Kind(make_body_pkl, mutate_pkl, read_body_pkl, BodyModelError),
}


def fuzz(kind: Kind, folder: Path, *, count: int, seed: int = 0) -> tuple[Counter[str], float]:
    """Read damaged files.

    Returns:
        How often each outcome came, and the longest time that a file took [s].

    Raises:
        Exception: Any other error than the kind's own; the file that caused it stays in the folder.
    """
    valid, outcomes, longest = kind.make_valid(), Counter[str](), 0.0
    for number in range(count):
        data = kind.mutate(valid, np.random.default_rng((seed, number)))
        started = time.perf_counter()
        outcome, message = "read", "read"
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                kind.read(data, folder)
            except kind.error as error:
                outcome, message = getattr(error, "reason", "refused"), str(error)
        seen = [w for w in warned if not issubclass(w.category, DeprecationWarning)]
        assert not seen, (number, str(seen[0].message))
        assert 0 < len(message) < 2000, number
        outcomes[outcome] += 1
        longest = max(longest, time.perf_counter() - started)
    return outcomes, longest


@pytest.mark.parametrize("name", KINDS)
def test_a_good_file_is_read(name: str, tmp_path: Path) -> None:
    KINDS[name].read(KINDS[name].make_valid(), tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", KINDS)
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    outcomes, longest = fuzz(KINDS[name], tmp_path, count=2000)
    assert longest < LONGEST
    assert outcomes["read"] > 20, outcomes
    assert outcomes.total() - outcomes["read"] > 200, outcomes


if __name__ == "__main__":
    chosen, number = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as place:
        fuzz(KINDS[chosen], Path(place), count=20)  # what the libraries take is in memory now
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**31, resource.RLIM_INFINITY))
        begun = time.perf_counter()
        counts, slowest = fuzz(KINDS[chosen], Path(place), count=number, seed=int((sys.argv[3:] or ["1"])[0]))
    took = time.perf_counter() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    line = (
        f"{chosen}: {number} files in {took:.0f} s, slowest {slowest:.2f} s, {memory:.2f} GiB at most; {dict(counts)}\n"
    )
    sys.stdout.write(line)
