"""Malicious clips, each described by the edit that makes it from a valid one."""

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from ...support.data.small_clip import small_clip_bytes

NFRAME = 40
Edit = Callable[[h5py.File], object]


def write_edited(path: Path, edit: Edit) -> None:
    """Write the small clip and edit it with h5py, so that the file stays well-formed."""
    path.write_bytes(small_clip_bytes(nframe=NFRAME))
    with h5py.File(path, "r+") as file:
        edit(file)


def _link(target: object) -> Edit:
    return lambda file: [file.__delitem__("qpos"), file.__setitem__("qpos", target)]


def _dataset(key: str, **content: object) -> Edit:
    return lambda file: [file.__delitem__(key) if key in file else None, file.create_dataset(key, **content)]


def _attribute(key: str, value: object, **kind: object) -> Edit:
    return lambda file: [file.attrs.pop(key, None), file.attrs.create(key, value, **kind)]


def _text(key: str, value: str | bytes) -> Edit:
    return _attribute(key, value, dtype=h5py.string_dtype())


def _bearing(value: int) -> Edit:
    names = np.array(["left_foot", "right_foot"], object)
    return lambda file: [
        _attribute("support_names", names, dtype=h5py.string_dtype())(file),
        _dataset("bearing", data=np.full((NFRAME, 2), value, "u1"))(file),
    ]


def _virtual(file: h5py.File) -> None:
    shape = (NFRAME, 9)
    layout = h5py.VirtualLayout(shape=shape, dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "qpos", shape=shape)
    del file["qpos"]
    file.create_virtual_dataset("qpos", layout, fillvalue=0.0)


def _half_written(file: h5py.File) -> None:
    del file["qpos"]
    dataset = file.create_dataset("qpos", shape=(NFRAME, 9), dtype="f4", chunks=(8, 9), compression="gzip")
    dataset[:8] = 1.0


def _bomb(file: h5py.File) -> None:
    """1.2 GB of zeros in 1.2 MB, with every number written."""
    nframe = 4_000_000
    del file["qpos"]
    dataset = file.create_dataset(
        "qpos", shape=(nframe, 80), dtype="f4", chunks=(100_000, 80), compression="gzip", compression_opts=1
    )
    chunk = _zero_chunk(100_000 * 80 * 4)
    for low in range(0, nframe, 100_000):
        dataset.id.write_direct_chunk((low, 0), chunk)
    for key, columns in (("qvel", (8,)), ("landmark_pos", (2, 3)), ("target_pos", (2, 3)), ("contact", (4,))):
        kind = np.dtype("u1" if key == "contact" else "f4")
        del file[key]
        dataset = file.create_dataset(
            key, shape=(nframe, *columns), dtype=kind, chunks=(1_000_000, *columns), compression="gzip"
        )
        chunk = _zero_chunk(1_000_000 * int(np.prod(columns)) * kind.itemsize)
        for low in range(0, nframe, 1_000_000):
            dataset.id.write_direct_chunk((low, *(0 for _ in columns)), chunk)


def _zero_chunk(nbyte: int) -> bytes:
    return zlib.compress(bytes(nbyte), 5)


def _unknown_filter(file: h5py.File) -> None:
    del file["qpos"]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((10, 9))
    plist.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((NFRAME, 9))
    h5py.h5d.create(file.id, b"qpos", h5py.h5t.IEEE_F32LE, space, plist)


REFUSED: dict[str, tuple[Edit, str]] = {
    "external link": (_link(h5py.ExternalLink("other.h5", "/qpos")), "qpos is a link to another place"),
    "external link to a text": (_link(h5py.ExternalLink("/etc/passwd", "/qpos")), "qpos is a link"),
    "soft link to itself": (_link(h5py.SoftLink("/qpos")), "qpos is a link"),
    "soft link in the file": (_link(h5py.SoftLink("/qvel")), "qpos is a link"),
    "group for a dataset": (lambda f: [f.__delitem__("qpos"), f.create_group("qpos")], "qpos is not a dataset"),
    "root for a dataset": (lambda f: f.__setitem__("activation", f["/"]), "activation is not a dataset"),
    "numbers in another file": (
        _dataset("qpos", shape=(NFRAME, 1), dtype="f4", external=[("/etc/passwd", 0, 4 * NFRAME)]), "in other files",
    ),
    "numbers in a device": (
        _dataset("qpos", shape=(NFRAME, 9), dtype="f4", external=[("/dev/zero", 0, 36 * NFRAME)]), "in other files",
    ),
    "optional numbers in another file": (
        _dataset("activation", shape=(NFRAME, 1), dtype="f4", external=[("/etc/passwd", 0, 4 * NFRAME)]),
        "activation is stored in other files",
    ),
    "view of another file": (_virtual, "qpos is a view of other datasets"),
    "1e9 frames, none written": (
        _dataset("qpos", shape=(10**9, 130), dtype="f4", chunks=(256, 130), compression="gzip"), "chunks",
    ),
    "14 GB, none written": (
        _dataset("qpos", shape=(27_000_000, 130), dtype="f4", chunks=(256, 130)), "is incomplete: it has 0 of",
    ),
    "1e9 frames in one piece, none written": (_dataset("qpos", shape=(10**9, 130), dtype="f4"), "never written"),
    "one chunk of five written": (_half_written, "1 of 5 chunks"),
    "fill value NaN": (_dataset("qpos", shape=(NFRAME, 9), dtype="f4", fillvalue=np.nan), "never written"),
    "chunks beyond memory": (
        _dataset("qpos", shape=(7_000_000, 130), dtype="f4", chunks=(700_000, 130), compression="gzip"), "chunks of",
    ),
    "zeros that unpack to a thousand times": (_bomb, "implausible for a motion"),
    "filter that is a program": (_unknown_filter, r"filters \[32001\]"),
    "filter not needed": (
        _dataset("qpos", data=np.zeros((NFRAME, 9), "f4"), chunks=(10, 9), scaleoffset=2), "qpos has filters",
    ),
    "32 dimensions": (_dataset("qpos", data=np.zeros((1,) * 32, "f4")), "qpos has shape"),
    "no dataspace": (_link(h5py.Empty("f4")), "not an array"),
    "single number": (_link(np.float32(1)), "not an array"),
    "no frames": (_dataset("qpos", shape=(0, 9), dtype="f4"), "qpos has shape"),
    "other end first": (_dataset("qpos", data=np.zeros((NFRAME, 9), ">f4")), "qpos is of type >f4"),
    "texts for numbers": (_dataset("qpos", data=[["a"] * 9] * NFRAME), "qpos is of type TypeStringID"),
    "too many columns": (_dataset("activation", data=np.zeros((NFRAME, 9000), "f4")), "8192 numbers"),
    "numbers beyond any motion": (_dataset("qpos", data=np.full((NFRAME, 9), 1e30, "f4")), "qpos is beyond 1e\\+09"),
    "contact of 255": (_dataset("contact", data=np.full((NFRAME, 4), 255, "u1")), "contact must hold"),
    "fps as bytes": (_attribute("fps", np.void(b"abcd")), "fps is of type void"),
    "fps complex": (_attribute("fps", 100 + 1j), "fps is of type complex"),
    "fps true": (_attribute("fps", True), "fps is of type bool"),
    "fps a reference": (lambda f: f.attrs.__setitem__("fps", f["qpos"].ref), "fps is of type reference"),
    "fps a list": (_attribute("fps", np.array([100.0, 100.0])), "fps is of type ndarray"),
    "fps without a value": (_attribute("fps", h5py.Empty("f8")), "fps is of type"),
    "fps huge": (_attribute("fps", 1e308), "fps is 1e"),
    "fps tiny": (_attribute("fps", 1e-300), "fps is 1e-300"),
    "fps beyond float": (_attribute("fps", np.longdouble("1e4000")), "fps is inf"),
    "format a list": (_attribute("format", np.array([1, 2])), "it is not a clip"),
    "format bytes": (_attribute("format", np.void(b"musclemap-clip")), "it is not a clip"),
    "version a text": (_text("version", "1"), "version 1; this release reads"),
    "version absent": (lambda f: f.attrs.pop("version"), "version None"),
    "text of a million": (_text("licence", "x" * 10**6), "licence has 1000000 characters"),
    "text for names": (_text("joint_names", "root"), "joint_names is of type str"),
    "names in rows": (
        _attribute("joint_names", np.array([["a", "b"]], object), dtype=h5py.string_dtype()), "joint_names is of type",
    ),
    "many names": (
        _attribute("joint_names", np.array(["a"] * 5000, object), dtype=h5py.string_dtype()), "joint_names is of type",
    ),
    "name of a million": (
        _attribute("joint_names", np.array(["a" * 10**6], object), dtype=h5py.string_dtype()),
        "joint_names has 1000000",
    ),
    "JSON without end": (_text("metrics", '{"a":' + "[" * 50_000 + "]" * 50_000 + "}"), "nested deeper"),
    "JSON of 400 digits": (_text("metrics", '{"a": %s}' % ("9" * 400)), "400 digits"),
    "JSON of 5 MB": (_text("config", '{"a": "%s"}' % ("x" * 5 * 10**6)), "at most"),
    "half of a surrogate pair": (_text("config", '{"a": "\\ud800"}'), "surrogate"),
    "metric an object": (_text("metrics", '{"a": {"b": 1}}'), "metrics: 'a' is"),
    "metric a list of lists": (_text("metrics", '{"a": [[1]]}'), "metrics: 'a' is"),
    "many metrics": (_text("metrics", json.dumps(dict.fromkeys(map(str, range(2000)), 1))), "2000 entries"),
    "software a list": (_text("software", "[]"), "software is not a JSON object"),
    "software of objects": (_text("software", '{"numpy": {"a": 1}}'), "software: 'numpy' is"),
    "reasons of numbers": (_text("reasons", "[1]"), "not a list of JSON objects"),
    "reason without a rule": (_text("reasons", "[{}]"), "rule is None"),
    "rule a number": (_text("reasons", '[{"rule": 5}]'), "rule is 5"),
    "value a text": (_text("reasons", '[{"rule": "a", "value": "x"}]'), "value is 'x'"),
    "limit an object": (_text("reasons", '[{"rule": "a", "limit": {}}]'), "limit is {}"),
    "frames a text": (_text("reasons", '[{"rule": "a", "frames": "abc"}]'), "frames is 'abc'"),
    "frames of three": (_text("reasons", '[{"rule": "a", "frames": [[1, 2, 3]]}]'), "frames is"),
    "frames backwards": (_text("reasons", '[{"rule": "a", "frames": [[3, 1]]}]'), "frames is"),
    "at a number": (_text("reasons", '[{"rule": "a", "at": 3}]'), "at is 3"),
    "licence of bytes": (_text("licence", b"\xff\xfe"), "licence is not valid Unicode"),
    "metric of bytes": (_text("metrics", '{"a": "\\udcff"}'), "not valid Unicode"),
    "version of bytes": (_text("software", '{"a": "\\udcff"}'), "not valid Unicode"),
    "forces without names": (
        _dataset("ground_force", data=np.zeros((NFRAME, 2, 3), "f4")), "ground_force has shape .* for 0 support_names",
    ),
    "moments without names": (
        _dataset("joint_moment", data=np.zeros((NFRAME, 2), "f4")), "joint_moment has shape .* for 0 moment_names",
    ),
    "bearing of two": (_bearing(2), "bearing must hold 0 or 1"),
    "bearing of floats": (_dataset("bearing", data=np.ones((NFRAME, 2), "f4")), "bearing is of type float32"),
    "forces elsewhere": (
        lambda f: f.__setitem__("ground_force", h5py.ExternalLink("/etc/passwd", "/")), "ground_force is a link",
    ),
    "centres never written": (
        _dataset("centre_of_pressure", shape=(NFRAME, 2, 3), dtype="f4", chunks=(8, 2, 3), compression="gzip"),
        "centre_of_pressure is incomplete",
    ),
    "moments of another length": (_dataset("joint_moment", data=np.zeros((3, 2), "f4")), "joint_moment has shape"),
    "supports a text": (_text("support_names", "left_foot"), "support_names is of type str, not a list"),
    "muscles by number": (_attribute("muscle_names", np.arange(416)), "muscle_names is of type ndarray"),
    "many supports": (
        _attribute("support_names", np.array(["a"] * 5000, object), dtype=h5py.string_dtype()), "support_names is of",
    ),
    "supports of the same name": (
        _attribute("support_names", np.array(["a", "a"], object), dtype=h5py.string_dtype()), "the same name twice",
    ),
    "verdict of its own": (_text("verdict", "splendid"), "verdict is 'splendid'"),
}  # fmt: skip
"""The edit, and a part of the error message."""

HARMLESS: dict[str, Edit] = {
    "links in a circle beside it": lambda f: f.create_group("g").__setitem__("up", f["/"]),
    "three hundred groups beside it": lambda f: [f.create_group(f"junk/{k}") for k in range(300)],
    "a link to nowhere beside it": lambda f: f.__setitem__("more", h5py.ExternalLink("/etc/passwd", "/")),
    "NaN in JSON": _text("metrics", '{"a": NaN, "b": Infinity}'),
    "refitted, without its metrics": _text("metrics", '{"refitted": true}'),
    "refitted, with texts for metrics": _text("metrics", '{"refitted": 1, "self_penetration_mm": "x"}'),
    "names of JavaScript's own": _text("metrics", '{"__proto__": 1, "constructor": 2, "toString": "<b>"}'),
    "name of bytes": _text("source", b"\xff\xfe.npz"),
    "reasons without figures": _text("reasons", '[{"rule": "a", "value": null}, {"rule": "b", "frames": [3]}]'),
}
"""Unusual but valid clips."""


def make_odd_files(folder: Path) -> list[Path]:
    """Files, folders and links named like clips that cannot be read to the end."""
    pipe, device, inner, loop = (folder / f"{name}.h5" for name in ("pipe", "device", "folder", "loop"))
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    inner.mkdir()
    loop.symlink_to(loop)
    sparse = folder / "sparse.h5"
    sparse.write_bytes(small_clip_bytes(nframe=NFRAME))
    os.truncate(sparse, 3_000_000_000)
    huge = folder / "huge.h5"
    huge.touch()
    os.truncate(huge, 2**40)
    passwd = folder / "passwd.h5"
    passwd.symlink_to("/etc/passwd")
    return [pipe, device, inner, loop, sparse, huge, passwd]
