"""Damaged clips: bytes of a small clip changed at random, also where HDF5 keeps a checksum, which is then made right.

HDF5 finds most damage by the checksums of its metadata, so only damage with right checksums gets to the code behind.
"""

import struct
from pathlib import Path

import numpy as np

from musclemap.datasets.clip import Clip, read_clip

from ...support.data.small_clip import small_clip_bytes

SIGNED = (b"OHDR", b"OCHK", b"FRHP", b"BTHD", b"BTLF", b"BTIN", b"FAHD", b"FADB", b"FHIB")
"""Parts of a file that end in a checksum of themselves. That of the superblock is at a fixed place."""

SUPERBLOCK = 44
"""Bytes of a superblock of version 3 before its checksum."""

M = 2**32 - 1

LONGEST = 512
"""Longest part that is looked for [B]."""

VALUES = (0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def make_valid() -> bytes:
    """A small clip whose datasets are of one chunk and of several."""
    return small_clip_bytes(nframe=300)


def read(data: bytes, tmp_path: Path) -> Clip:
    """Read bytes as a clip; they are written over the file of the call before."""
    path = tmp_path / "damaged.h5"
    path.write_bytes(data)
    return read_clip(path)


def lookup3(data: bytes) -> int:
    """Bob Jenkins' lookup3 hash with initial value 0, which is HDF5's checksum of metadata."""
    padded = data.ljust(-(-len(data) // 12) * 12, b"\0")
    words = struct.unpack(f"<{len(padded) // 4}I", padded)
    a = b = c = (0xDEADBEEF + len(data)) & M
    for k in range(0, len(words), 3):
        a, b, c = a + words[k] & M, b + words[k + 1] & M, c + words[k + 2] & M
        a, b, c = _mix(a, b, c) if k + 3 < len(words) else _final(a, b, c)
    return c


def sealed_parts(data: bytes) -> list[tuple[int, int]]:
    """Where each part with a checksum begins and where its checksum lies."""
    parts = [(0, SUPERBLOCK)]
    for signature in SIGNED:
        for start in places(data, signature):
            ends = range(start + 8, min(start + LONGEST, len(data) - 4))
            right = (end for end in ends if data[end : end + 4] == _checksum(data[start:end]))
            parts += [(start, end) for end in right][:1]
    return parts


def places(data: bytes, signature: bytes) -> list[int]:
    """Where a part begins with these bytes."""
    result = [data.find(signature)]
    while result[-1] >= 0:
        result.append(data.find(signature, result[-1] + 1))
    return result[:-1]


def _checksum(data: bytes) -> bytes:
    return lookup3(data).to_bytes(4, "little")


def mutated(valid: bytes, parts: list[tuple[int, int]], rng: np.random.Generator) -> bytes:
    """One damaged version: a few changes of one kind, and in three of four the checksums made right again."""
    data = bytearray(valid)
    heaps = places(valid, b"GCOL") if rng.random() < 0.3 else []
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
    """One change, in a part with a checksum, in the heap of texts, or anywhere."""
    low, high = parts[rng.integers(len(parts))]
    if heaps:
        low = heaps[rng.integers(len(heaps))]
        high = low + 4096
    elif rng.random() < 0.3:
        low, high = 0, len(valid)
    at = int(rng.integers(low, max(min(high, len(data)), low + 1)))
    kind = rng.integers(6)
    if at >= len(data):
        return
    if kind == 0:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[at] = int(rng.integers(256))
    elif kind == 2:
        width = int(rng.choice([1, 2, 4, 8]))
        value = VALUES[rng.integers(len(VALUES))] % 2 ** (8 * width)
        data[at : at + width] = value.to_bytes(width, "little")[: len(data) - at]
    elif kind == 3:
        source, length = int(rng.integers(len(valid))), int(rng.integers(1, 64))
        piece = valid[source : source + length][: len(data) - at]
        data[at : at + len(piece)] = piece
    elif kind == 4 and rng.random() < 0.2:
        del data[at:]
    elif kind == 5 and rng.random() < 0.2:
        del data[at : at + int(rng.integers(1, 16))]
    else:  # an address or a size near what it was
        value = int.from_bytes(data[at : at + 8], "little") + int(rng.integers(-64, 65))
        data[at : at + 8] = (value % 2**64).to_bytes(8, "little")[: len(data) - at]


def _rot(x: int, k: int) -> int:
    return (x << k | x >> (32 - k)) & M


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    a, c = (a - c & M) ^ _rot(c, 4), c + b & M
    b, a = (b - a & M) ^ _rot(a, 6), a + c & M
    c, b = (c - b & M) ^ _rot(b, 8), b + a & M
    a, c = (a - c & M) ^ _rot(c, 16), c + b & M
    b, a = (b - a & M) ^ _rot(a, 19), a + c & M
    c, b = (c - b & M) ^ _rot(b, 4), b + a & M
    return a, b, c


def _final(a: int, b: int, c: int) -> tuple[int, int, int]:
    c = (c ^ b) - _rot(b, 14) & M
    a = (a ^ c) - _rot(c, 11) & M
    b = (b ^ a) - _rot(a, 25) & M
    c = (c ^ b) - _rot(b, 16) & M
    a = (a ^ c) - _rot(c, 4) & M
    b = (b ^ a) - _rot(a, 14) & M
    c = (c ^ b) - _rot(b, 24) & M
    return a, b, c
