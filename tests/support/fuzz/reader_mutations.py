"""Damage to .npz files and pickles that keeps the format's own checks content, for the fuzzer."""

import io
import random
import warnings
import zipfile
import zlib

import numpy as np

from ...support.hostile import pickle_programs


def zip_directory(data: bytes, rng: random.Random) -> bytes:
    """Put other numbers into the directory of a zip archive, or into what precedes each member."""
    made = bytearray(data)
    marks = [at for mark in (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06") for at in _all(data, mark)]
    for _ in range(rng.randint(1, 3)):
        at = rng.choice(marks or [0]) + rng.randint(4, 45)
        value = rng.choice((0, 1, 8, 0x21, 2**16 - 1, 2**31 - 1, 2**32 - 1, zlib.crc32(data[:40])))
        width = rng.choice((2, 4))
        made[at : at + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")
    return bytes(made)


def _all(data: bytes, mark: bytes) -> list[int]:
    result, at = [], data.find(mark)
    while at >= 0:
        result.append(at)
        at = data.find(mark, at + 1)
    return result


def zip_members(data: bytes, rng: random.Random) -> bytes:
    """Leave members out, write them twice, or under another's name; or put numbers into an array that no body has."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except Exception:  # noqa: BLE001 damaged already, in whatever way
        return data
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, content in members:
            chosen = rng.choice(members)[0] if rng.random() < 0.05 else name
            content = _odd_numbers(content, rng) if rng.random() < 0.2 else content
            for _ in range(rng.choice((0, 1, 1, 1, 1, 1, 1, 1, 1, 2))):
                archive.writestr(chosen, content)
    return made.getvalue()


def _odd_numbers(content: bytes, rng: random.Random) -> bytes:
    try:
        array = np.lib.format.read_array(io.BytesIO(content)).copy("C")
    except Exception:  # noqa: BLE001 damaged already, in whatever way
        return content
    if array.dtype.kind == "f" and array.size:
        with np.errstate(all="ignore"):
            value = rng.choice((np.nan, np.inf, -np.inf, 1e308, -1e300, 1e7, 0.0, 1e-310))
            array.reshape(-1)[rng.randrange(array.size) :: rng.choice((1, 7))] = value
    made = io.BytesIO()
    np.lib.format.write_array(made, array)
    return made.getvalue()


def pickle_program(data: bytes, rng: random.Random) -> bytes:
    """Another pickle: opcodes at random, or values of a grammar."""
    return pickle_programs.random_program(np.random.default_rng(rng.getrandbits(64)))


def pickle_piece(data: bytes, rng: random.Random) -> bytes:
    """Put a value of a grammar somewhere into a pickle."""
    at = rng.randrange(len(data) + 1)
    value = pickle_programs.random_value(np.random.default_rng(rng.getrandbits(64)), depth=2)
    return data[:at] + value + data[at + rng.choice((0, len(value))) :]
