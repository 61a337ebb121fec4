"""Damaged clips: random changes to the bytes of a small clip, usually with HDF5's checksums corrected afterwards.

HDF5 detects most damage by its metadata checksums, so only damage with correct checksums reaches the code behind them.
"""

import struct
from pathlib import Path

import numpy as np

from musclemap.datasets.clip import Clip, read_clip

from ...support.data.small_clip import small_clip_bytes

CHECKSUMMED = (b"OHDR", b"OCHK", b"FRHP", b"BTHD", b"BTLF", b"BTIN", b"FAHD", b"FADB", b"FHIB")
"""Signatures of parts that end in their own checksum. The superblock's checksum is at a fixed offset."""

SUPERBLOCK = 44
"""Bytes of a superblock of version 3 before its checksum."""

MASK = 2**32 - 1

MAX_PART = 512
"""Longest part that is searched for [B]."""

VALUES = (0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def make_valid() -> bytes:
    """A small clip with datasets of one chunk and of several."""
    return small_clip_bytes(nframe=300)


def read(data: bytes, tmp_path: Path) -> Clip:
    """Write bytes as a clip, replacing the previous file, and read it."""
    path = tmp_path / "damaged.h5"
    path.write_bytes(data)
    return read_clip(path)


def lookup3(data: bytes) -> int:
    """Bob Jenkins' lookup3 hash with initial value 0, HDF5's metadata checksum."""
    padded = data.ljust(-(-len(data) // 12) * 12, b"\0")
    words = struct.unpack(f"<{len(padded) // 4}I", padded)
    a = b = c = (0xDEADBEEF + len(data)) & MASK
    for k in range(0, len(words), 3):
        a, b, c = a + words[k] & MASK, b + words[k + 1] & MASK, c + words[k + 2] & MASK
        a, b, c = _mix(a, b, c) if k + 3 < len(words) else _final(a, b, c)
    return c


def sealed_parts(data: bytes) -> list[tuple[int, int]]:
    """Start of each part with a checksum, and offset of that checksum."""
    parts = [(0, SUPERBLOCK)]
    for signature in CHECKSUMMED:
        for start in offsets(data, signature):
            ends = range(start + 8, min(start + MAX_PART, len(data) - 4))
            valid = (end for end in ends if data[end : end + 4] == _checksum(data[start:end]))
            parts += [(start, end) for end in valid][:1]
    return parts


def offsets(data: bytes, signature: bytes) -> list[int]:
    """Offsets of the parts that begin with a signature."""
    found = [data.find(signature)]
    while found[-1] >= 0:
        found.append(data.find(signature, found[-1] + 1))
    return found[:-1]


def _checksum(data: bytes) -> bytes:
    return lookup3(data).to_bytes(4, "little")


def mutated(valid: bytes, parts: list[tuple[int, int]], rng: np.random.Generator) -> bytes:
    """One damaged version: a few changes of one kind, with corrected checksums in three cases out of four."""
    data = bytearray(valid)
    heaps = offsets(valid, b"GCOL") if rng.random() < 0.3 else []
    for _ in range(int(rng.integers(1, 5))):
        _change(data, valid, parts, heaps, rng)
    if rng.random() < 0.75:
        for start, end in parts:
            if end + 4 <= len(data) and data[start:end] != valid[start:end]:
                data[end : end + 4] = _checksum(bytes(data[start:end]))
    return bytes(data)


def _change(
    data: bytearray, valid: bytes, parts: list[tuple[int, int]], heaps: list[int], rng: np.random.Generator
) -> None:
    """Apply one change, in a part with a checksum, in the global heap of texts, or anywhere."""
    low, high = parts[rng.integers(len(parts))]
    if heaps:
        low = heaps[rng.integers(len(heaps))]
        high = low + 4096
    elif rng.random() < 0.3:
        low, high = 0, len(valid)
    position = int(rng.integers(low, max(min(high, len(data)), low + 1)))
    kind = rng.integers(6)
    if position >= len(data):
        return
    if kind == 0:
        data[position] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[position] = int(rng.integers(256))
    elif kind == 2:
        width = int(rng.choice([1, 2, 4, 8]))
        value = VALUES[rng.integers(len(VALUES))] % 2 ** (8 * width)
        data[position : position + width] = value.to_bytes(width, "little")[: len(data) - position]
    elif kind == 3:
        source, length = int(rng.integers(len(valid))), int(rng.integers(1, 64))
        piece = valid[source : source + length][: len(data) - position]
        data[position : position + len(piece)] = piece
    elif kind == 4 and rng.random() < 0.2:
        del data[position:]
    elif kind == 5 and rng.random() < 0.2:
        del data[position : position + int(rng.integers(1, 16))]
    else:  # an address or a size close to the original
        value = int.from_bytes(data[position : position + 8], "little") + int(rng.integers(-64, 65))
        data[position : position + 8] = (value % 2**64).to_bytes(8, "little")[: len(data) - position]


def _rot(x: int, k: int) -> int:
    return (x << k | x >> (32 - k)) & MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    a, c = (a - c & MASK) ^ _rot(c, 4), c + b & MASK
    b, a = (b - a & MASK) ^ _rot(a, 6), a + c & MASK
    c, b = (c - b & MASK) ^ _rot(b, 8), b + a & MASK
    a, c = (a - c & MASK) ^ _rot(c, 16), c + b & MASK
    b, a = (b - a & MASK) ^ _rot(a, 19), a + c & MASK
    c, b = (c - b & MASK) ^ _rot(b, 4), b + a & MASK
    return a, b, c


def _final(a: int, b: int, c: int) -> tuple[int, int, int]:
    c = (c ^ b) - _rot(b, 14) & MASK
    a = (a ^ c) - _rot(c, 11) & MASK
    b = (b ^ a) - _rot(a, 25) & MASK
    c = (c ^ b) - _rot(b, 16) & MASK
    a = (a ^ c) - _rot(c, 4) & MASK
    b = (b ^ a) - _rot(a, 14) & MASK
    c = (c ^ b) - _rot(b, 24) & MASK
    return a, b, c
