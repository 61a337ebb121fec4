"""Damaged clips: bytes of a small clip changed at random, also where HDF5 keeps a checksum, which is then made right.

HDF5 finds most damage by the checksums of its metadata, so only damage with right checksums gets to the code behind.
"""

from pathlib import Path

import numpy as np

from musclemap.datasets.clip import Clip, read_clip

from .small_clip import small_clip_bytes

SIGNED = (b"OHDR", b"OCHK", b"FRHP", b"BTHD", b"BTLF", b"BTIN", b"FAHD", b"FADB", b"FHIB")
"""Parts of a file that end in a checksum of themselves. That of the superblock is at a fixed place."""

SUPERBLOCK = 44
"""Bytes of a superblock of version 3 before its checksum."""

LONGEST = 2048
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
    return int(_lookup3(data, np.array([len(data)]))[0])


def sealed_parts(data: bytes) -> list[tuple[int, int]]:
    """Where each part with a checksum begins and where its checksum lies."""
    parts = [(0, SUPERBLOCK)]
    for signature in SIGNED:
        start = data.find(signature)
        while start >= 0:
            lengths = np.arange(8, min(LONGEST, len(data) - start - 4))
            if lengths.size:
                window = np.frombuffer(data, np.uint8, offset=start)
                stored = np.lib.stride_tricks.sliding_window_view(window, 4)[lengths].copy().view("<u4").ravel()
                right = np.flatnonzero(stored == _lookup3(data[start : start + LONGEST], lengths))
                parts += [(start, start + int(lengths[k])) for k in right[:1]]
            start = data.find(signature, start + 1)
    return parts


def mutated(valid: bytes, parts: list[tuple[int, int]], rng: np.random.Generator) -> bytes:
    """One damaged version: a few changes of one kind, and in three of four the checksums made right again."""
    data = bytearray(valid)
    heaps = [k for k in range(len(valid) - 4) if valid[k : k + 4] == b"GCOL"] if rng.random() < 0.3 else []
    for _ in range(int(rng.integers(1, 5))):
        _change(data, valid, parts, heaps, rng)
    if rng.random() < 0.75:
        for start, end in parts:
            if end + 4 <= len(data):
                data[end : end + 4] = lookup3(bytes(data[start:end])).to_bytes(4, "little")
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


def _lookup3(data: bytes, lengths: np.ndarray) -> np.ndarray:
    """lookup3 of the first bytes of `data`, for each of these lengths."""
    longest = int(lengths.max())
    blocks = -(-longest // 12)
    padded = np.frombuffer(data[:longest].ljust(blocks * 12, b"\0"), np.uint8)
    a = (np.uint32(0xDEADBEEF) + lengths).astype(np.uint32)
    b, c = a.copy(), a.copy()
    result = c.copy()
    for block in range(blocks):
        left = lengths - 12 * block
        kept = np.arange(12) < left[:, None]
        words = np.where(kept, padded[12 * block : 12 * block + 12], 0).astype(np.uint8).view("<u4")
        a, b, c = a + words[:, 0], b + words[:, 1], c + words[:, 2]
        last = (left > 0) & (left <= 12)
        if last.any():
            result = np.where(last, _final(a, b, c), result)
        a, b, c = _mix(a, b, c)
    return result


def _rot(x: np.ndarray, k: int) -> np.ndarray:
    return (x << np.uint32(k)) | (x >> np.uint32(32 - k))


def _mix(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a = (a - c) ^ _rot(c, 4)
    c = c + b
    b = (b - a) ^ _rot(a, 6)
    a = a + c
    c = (c - b) ^ _rot(b, 8)
    b = b + a
    a = (a - c) ^ _rot(c, 16)
    c = c + b
    b = (b - a) ^ _rot(a, 19)
    a = a + c
    c = (c - b) ^ _rot(b, 4)
    b = b + a
    return a, b, c


def _final(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    c = (c ^ b) - _rot(b, 14)
    a = (a ^ c) - _rot(c, 11)
    b = (b ^ a) - _rot(a, 25)
    c = (c ^ b) - _rot(b, 16)
    a = (a ^ c) - _rot(c, 4)
    b = (b ^ a) - _rot(a, 14)
    return (c ^ b) - _rot(b, 24)
