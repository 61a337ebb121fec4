"""Malicious and randomly damaged lines of a manifest."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from musclemap.datasets.manifest import Manifest, ManifestEntry

GOOD: dict[str, Any] = {
    "source": "b/odd.npz", "clip": "b/odd.h5", "source_sha256": "ab" * 32, "clip_sha256": "cd" * 32, "status": "ok",
    "code": None, "reason": "", "nframe": 300, "seconds": 2.99, "verdict": "warn",
    "metrics": {"landmark_error_mm": 9.5},
    "reasons": [{"rule": "skate_m_s", "value": 0.3, "limit": 0.1, "frames": [[3, 7]], "at": "toes_r"}],
}  # fmt: skip


def line(**changes: object) -> bytes:
    """A valid line except for the changes."""
    return json.dumps(GOOD | changes).encode() + b"\n"


def raw(key: str, text: str) -> bytes:
    """A line with a value given as literal JSON text."""
    rest = json.dumps({name: value for name, value in GOOD.items() if name != key})
    return f'{rest[:-1]}, "{key}": {text}}}\n'.encode()


REFUSED: dict[str, tuple[bytes, str]] = {
    "half a line": (line()[:200] + b"\n", "not complete JSON"),
    "nulls": (b"\0\0\0\n", "not complete JSON"),
    "not UTF-8": (b'\xff\xfe{"a": 1}\n', "not complete JSON"),
    "a list": (b"[1]\n", "not a JSON object"),
    "a number": (b"3\n", "not a JSON object"),
    "nothing in it": (b"{}\n", "no source and no status"),
    "long names of fields": (json.dumps({"x" * 10**6: 1}).encode() + b"\n", "no source and no status"),
    "deep": (raw("metrics", '{"a": %s}' % ("[" * 100_000 + "]" * 100_000)), "nested deeper"),
    "17 MB": (line(reason="x" * 17 * 10**6), "at most 16777216"),
    "400 digits": (raw("nframe", "9" * 400), "400 digits"),
    "5000 digits": (raw("nframe", "9" * 5000), "5000 digits"),
    "400 digits in metrics": (raw("metrics", '{"a": %s}' % ("9" * 400)), "400 digits"),
    "nframe text": (line(nframe="many"), "nframe is 'many'"),
    "nframe null": (line(nframe=None), "nframe is None"),
    "nframe negative": (line(nframe=-1), "nframe is -1"),
    "nframe a fraction": (line(nframe=3.5), "nframe is 3.5"),
    "nframe true": (line(nframe=True), "nframe is True"),
    "nframe huge": (line(nframe=10**15), "nframe is 1"),
    "seconds NaN": (raw("seconds", "NaN"), "seconds is None"),
    "seconds infinite": (raw("seconds", "1e999"), "seconds is None"),
    "seconds negative": (line(seconds=-1.0), "seconds is -1"),
    "seconds a list": (line(seconds=[1]), r"seconds is \[1\]"),
    "seconds of a century": (line(seconds=3e9), "seconds is 3"),
    "clip a number": (line(clip=5), "clip is 5"),
    "clip a list": (line(clip=["a"]), "clip is"),
    "clip with a null": (line(clip="b/\0.h5"), "clip contains a null"),
    "clip without end": (line(clip="x" * 5000), "clip has 5000"),
    "clip with half a pair": (line(clip="b/\ud800.h5"), "surrogate"),
    "source with half a pair": (line(source="b/\ud800.npz"), "surrogate"),
    "source with a null": (line(source="b/\0.npz"), "source contains a null"),
    "source an object": (line(source={"a": 1}), "source is"),
    "source empty": (line(source=""), "source must be a path"),
    "source without end": (line(source="x" * 5000), "source has 5000"),
    "hash a number": (line(clip_sha256=5), "clip_sha256 is 5"),
    "hash a list": (line(clip_sha256=[]), r"clip_sha256 is \[\]"),
    "hash short": (line(source_sha256="ab"), "source_sha256 is 'ab'"),
    "hash of other letters": (line(source_sha256="xy" * 32), "source_sha256 is"),
    "status of its own": (line(status="splendid"), "status must be one of"),
    "status a list": (line(status=["ok"]), "status must be one of"),
    "code of its own": (line(status="rejected", code="splendid", clip=None), "code is 'splendid'"),
    "code empty": (line(status="rejected", code="", clip=None), "code is ''"),
    "code a number": (line(status="rejected", code=5, clip=None), "code is 5"),
    "code a list": (line(status="rejected", code=["crash"], clip=None), "code is"),
    "reason an object": (line(status="rejected", reason={"a": 1}, clip=None), "reason is"),
    "verdict of its own": (line(verdict="splendid"), "verdict must be"),
    "verdict a list": (line(verdict=[]), "verdict must be"),
    "metrics a list": (line(metrics=[1]), "metrics must be"),
    "metrics of objects": (line(metrics={"a": {"b": 1}}), "metrics: 'a' is"),
    "metrics without end": (line(metrics=dict.fromkeys(map(str, range(2000)), 1)), "2000 entries"),
    "metric of a long name": (line(metrics={"x" * 5000: 1}), "5000 characters"),
    "reasons an object": (line(reasons={"a": 1}), "reasons is not a list"),
    "reasons of numbers": (line(reasons=[1]), "not a list of JSON objects"),
    "reasons odd": (line(reasons=[{"rule": None, "frames": {}}]), "rule is None"),
    "frames an object": (line(reasons=[{"rule": "a", "frames": {}}]), "frames is {}"),
    "value a text": (line(reasons=[{"rule": "a", "value": "x"}]), "value is 'x'"),
}  # fmt: skip
"""The line, and a part of the error message."""

READ: dict[str, bytes] = {
    "Windows' ends of lines": line().replace(b"\n", b"\r\n"),
    "verdict null": line(verdict=None),
    "no hashes": line(source_sha256="", clip_sha256=None),
    "metrics of JavaScript's own names": line(metrics={"__proto__": 1, "constructor": 2, "toString": "<b>"}),
    "metrics of texts and lists": line(metrics={"a": "<img src=x onerror=alert(1)>", "b": [1, None], "c": True}),
    "NaN in metrics": raw("metrics", '{"a": NaN}'),
    "a name in another encoding": line(source="b/\udcff.npz"),
    "clip outside the folder": line(clip="../../../etc/passwd"),  # the reader of the clip refuses it
    "fields of later versions": line(mood="good"),
}


def make_valid() -> bytes:
    """A manifest of four lines."""
    entries = [ManifestEntry.from_line(line(source=f"b/{k}.npz", clip=f"b/{k}.h5")) for k in range(3)]
    entries.append(ManifestEntry(source="c.npz", status="rejected", reason="no_poses: nothing in it"))
    return b"".join(entry.to_line() for entry in entries)


def read(data: bytes, tmp_path: Path) -> Manifest:
    """Write bytes as a manifest, replacing the previous file, and read it."""
    path = tmp_path / "damaged.jsonl"
    path.write_bytes(data)
    return Manifest.read(path)


TOKENS = (
    b"null", b"true", b"-1", b"1e999", b"NaN", b"9" * 30, b"[]", b"{}", b'"\\ud800"', b'"\\u0000"', b"[[[[",
    b'""', b"}", b"{", b'"', b",", b":", b"\n", b"\0", b"\xff", b"1.5", b'"x"', b"\xef\xbb\xbf", b'{"rule": 1}',
    b"[[1, 2, 3]]",
)  # fmt: skip


def mutated(valid: bytes, rng: np.random.Generator) -> bytes:
    """One damaged version: bytes changed, pieces moved, and values replaced."""
    data = bytearray(valid)
    for _ in range(int(rng.integers(1, 5))):
        position, kind = int(rng.integers(len(data) + 1)), rng.integers(6)
        if kind == 0 and position < len(data):
            data[position] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[position:position] = TOKENS[rng.integers(len(TOKENS))]
        elif kind == 2:  # a value, from a colon to the next comma
            start = data.find(b": ", position)
            stop = data.find(b",", start)
            if 0 <= start < stop:
                data[start + 2 : stop] = TOKENS[rng.integers(len(TOKENS))]
        elif kind == 3:
            source, length = int(rng.integers(len(valid))), int(rng.integers(1, 80))
            data[position : position + length] = valid[source : source + length]
        elif kind == 4:
            del data[position : position + int(rng.integers(1, 40))]
        elif rng.random() < 0.1:
            del data[position:]
    return bytes(data)
