"""Mutations of .npz files and pickles that keep the format's own checks valid, for the fuzzer."""

import io
import random
import warnings
import zipfile
import zlib

import numpy as np

from ...support.hostile import pickle_programs


def zip_directory(data: bytes, rng: random.Random) -> bytes:
    """Change numbers in a zip archive's directory or in the headers of its members."""
    out = bytearray(data)
    marks = [position for mark in (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06") for position in _all(data, mark)]
    for _ in range(rng.randint(1, 3)):
        position = rng.choice(marks or [0]) + rng.randint(4, 45)
        value = rng.choice((0, 1, 8, 0x21, 2**16 - 1, 2**31 - 1, 2**32 - 1, zlib.crc32(data[:40])))
        width = rng.choice((2, 4))
        out[position : position + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")
    return bytes(out)


def _all(data: bytes, mark: bytes) -> list[int]:
    positions, position = [], data.find(mark)
    while position >= 0:
        positions.append(position)
        position = data.find(mark, position + 1)
    return positions


def zip_members(data: bytes, rng: random.Random) -> bytes:
    """Remove, duplicate or rename members, or write implausible numbers into an array."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except Exception:  # noqa: BLE001 an earlier mutation broke the archive
        return data
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about duplicate names
        for name, content in members:
            new_name = rng.choice(members)[0] if rng.random() < 0.05 else name
            content = _odd_numbers(content, rng) if rng.random() < 0.2 else content
            for _ in range(rng.choice((0, 1, 1, 1, 1, 1, 1, 1, 1, 2))):
                archive.writestr(new_name, content)
    return out.getvalue()


def _odd_numbers(content: bytes, rng: random.Random) -> bytes:
    try:
        array = np.lib.format.read_array(io.BytesIO(content)).copy("C")
    except Exception:  # noqa: BLE001 an earlier mutation broke the array
        return content
    if array.dtype.kind == "f" and array.size:
        with np.errstate(all="ignore"):
            value = rng.choice((np.nan, np.inf, -np.inf, 1e308, -1e300, 1e7, 0.0, 1e-310))
            array.reshape(-1)[rng.randrange(array.size) :: rng.choice((1, 7))] = value
    out = io.BytesIO()
    np.lib.format.write_array(out, array)
    return out.getvalue()


def pickle_program(data: bytes, rng: random.Random) -> bytes:
    """Replace a pickle by another: random opcodes, or values of a grammar."""
    return pickle_programs.random_program(np.random.default_rng(rng.getrandbits(64)))


def pickle_piece(data: bytes, rng: random.Random) -> bytes:
    """Insert a value of a grammar at a random position of a pickle, or overwrite with it."""
    position = rng.randrange(len(data) + 1)
    value = pickle_programs.random_value(np.random.default_rng(rng.getrandbits(64)), depth=2)
    return data[:position] + value + data[position + rng.choice((0, len(value))) :]
