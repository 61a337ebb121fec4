"""Every kind of file that the package reads: a valid example, its reader, and mutations that keep the format valid."""

import copy
import io
import json
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from musclemap.datasets.amass.reader import read_motion
from musclemap.datasets.clip import read_clip
from musclemap.datasets.downloads.bundle_manifest import MAX_MANIFEST_BYTES, parse_bundle
from musclemap.datasets.formats.locomujoco import read_trajectory
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.datasets.manifest import Manifest
from musclemap.datasets.track_file import read_track, write_track
from musclemap.files import read_bytes
from musclemap.pipelines.track.track_folder import ListedTrack, read_track_lines
from musclemap.skeletons.smpl.body_model import find_body_models, load_body_model

from ...support.data.body_model_files import synthetic_model, write_npz, write_smpl_pkl
from ...support.data.source_files import joblib_bytes, save_torch
from . import bundle_manifests
from .fuzz_training import TRAINING_KINDS
from .fuzzing import PLAIN, Kind
from .reader_mutations import pickle_piece, pickle_program, zip_directory, zip_members

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**400, 1.5, -0.0, float("nan"), float("inf"), 1e308, 1e-308,
    "", "x", "\ud800", "\udcff", "\x00", "../../etc/passwd", "/etc/passwd", "=1+1", "<img src=x onerror=alert(1)>",
    "\x1b[31m", "9" * 5000, [], [[]], {}, {"": {}}, "__proto__", [None] * 50,
)  # fmt: skip
"""Values that every reader must handle."""


def _nodes(tree: Any) -> list[tuple[Any, Any]]:
    """Every container in a JSON tree, with each of its keys."""
    nodes, pending = [], [tree]
    while pending:
        node = pending.pop()
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        nodes += [(node, key) for key in keys]
        pending += [node[key] for key in keys if isinstance(node[key], dict | list)]
    return nodes


def mutate_tree(tree: Any, rng: random.Random) -> Any:
    """Replace, remove, rename or nest a node of a JSON tree."""
    tree = copy.deepcopy(tree)
    nodes = _nodes(tree)
    if not nodes:
        return rng.choice(ODD)
    node, key = rng.choice(nodes)
    how = rng.randrange(5)
    if how == 0:
        del node[key]
    elif how == 1 and isinstance(node, dict):
        node[rng.choice(("", "__proto__", "\ud800", "x" * 1000, rng.choice([*node, key])))] = node.pop(key)
    elif how == 2:
        for _ in range(rng.choice((1, 40))):
            node[key] = [node[key]] if rng.random() < 0.5 else {"a": node[key]}
    elif how == 3 and isinstance(node[key], list):
        node[key] = node[key] * rng.choice((0, 2, 100))
    else:
        node[key] = rng.choice(ODD)
    return tree


def json_text(data: bytes, rng: random.Random) -> bytes:
    """Mutate a JSON file as a tree, or nest it too deeply."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return data
    if rng.random() < 0.02:
        return b"[" * 100_000 + data + b"]" * 100_000
    return json.dumps(mutate_tree(tree, rng)).encode()


def json_lines(data: bytes, rng: random.Random) -> bytes:
    """Mutate one line of a JSON Lines file."""
    lines = data.split(b"\n")
    number = rng.randrange(len(lines))
    lines[number] = json_text(lines[number], rng)
    return b"\n".join(lines)


def zip_member(data: bytes, rng: random.Random) -> bytes:
    """Mutate the content of one member of a zip archive and correct its checksum."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:  # noqa: BLE001 an earlier mutation broke the archive
        return data
    if not members:
        return data
    name = rng.choice(list(members))
    if rng.random() < 0.6:
        members[name] = _npy_header(members[name], rng)
    else:
        members[name] = rng.choice(PLAIN)(members[name], rng) if members[name] else b""
    if rng.random() < 0.1:
        del members[name]
    out = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(out, "w", method) as archive:
        for key, content in members.items():
            archive.writestr(key, content)
    return out.getvalue()


_TYPES = ("<f4", ">f8", "<i8", "|b1", "|O", "<c16", "<U3", "|S8", "<M8[ns]", "|V8", "<f16", "<f2", "(2,)<f8", "<f0",
          "|S0")  # fmt: skip
_SHAPES = ((), (0,), (1,), (10**9, 156), (2**62, 2), (-1,), (3, 0, 5), (1,) * 40, (10, 156), (10, 3))


def _npy_header(content: bytes, rng: random.Random) -> bytes:
    """Replace the header of an .npy file by a well-formed one with other content."""
    try:
        stream = io.BytesIO(content)
        np.lib.format.read_magic(stream)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except Exception:  # noqa: BLE001 an earlier mutation broke the array
        return content
    shape = rng.choice(_SHAPES) if rng.random() < 0.5 else shape
    text = rng.choice(_TYPES) if rng.random() < 0.5 else dtype.str
    header = repr({"descr": text, "fortran_order": rng.choice((fortran, True, 3)), "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content[stream.tell() :]


def _arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "poses": 0.1 * rng.normal(size=(12, 156)), "trans": rng.normal(size=(12, 3)), "betas": np.zeros(10),
        "gender": np.array("male"), "mocap_framerate": np.array(60.0),
    }  # fmt: skip


def _motion(folder: Path) -> bytes:
    out = io.BytesIO()
    np.savez(out, **_arrays())  # type: ignore[arg-type]
    return out.getvalue()


def _torch(folder: Path) -> bytes:
    arrays = {key: array for key, array in _arrays().items() if array.ndim}
    return save_torch(folder / "m.pt", arrays | {"fps": np.array([60.0])}).read_bytes()


def _npy(folder: Path) -> bytes:
    out = io.BytesIO()
    np.save(out, 0.1 * np.random.default_rng(0).normal(size=(12, 322)))
    return out.getvalue()


def _read_motions(path: Path) -> object:
    return read_motions(path, name="m")


def _written(name: str, write: Callable[[Path], object]) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        write(folder / name)
        data = (folder / name).read_bytes()
        (folder / name).unlink()
        return data

    return make


def _clip(path: Path) -> None:
    from musclemap.datasets.clip import write_clip
    from musclemap.imitation.task.arm_motions import arm_clips

    write_clip(path, arm_clips(1, 0.3)[0][1])


def _track(path: Path) -> None:
    from musclemap.imitation.physics.bodies import load_simulation_body
    from musclemap.imitation.task.arm_motions import arm_clips
    from musclemap.imitation.tracking.config import TrackingConfig
    from musclemap.imitation.tracking.storage import stored_track

    from ..arm_tracks import constant_track

    body, clip = load_simulation_body("SmallArm"), arm_clips(1, 0.3)[0][1]
    track = constant_track(body, clip, TrackingConfig())
    write_track(path, stored_track(body, clip, track, name="a.h5", config={"tracking": {"seed": 0}}))


def _track_list(folder: Path) -> bytes:
    metrics = {"frames": 31, "activation": 0.1}
    lines = [
        ListedTrack(clip=f"{k}.h5", sha256="ab" * 32, verdict="tracked", failure="", metrics=metrics) for k in range(4)
    ]
    return b"".join(line.to_line() for line in lines)


def _manifest(folder: Path) -> bytes:
    from ...support.data.clip_examples import manifest_entries

    return b"".join(entry.to_line() for entry in manifest_entries())


def _body_model(path: Path) -> None:
    find_body_models(path.parent)
    load_body_model(path)


def _bundle(path: Path) -> object:
    return parse_bundle(read_bytes(path, limit=MAX_MANIFEST_BYTES), url=str(path))


_SMPL = synthetic_model("smpl", ndir=4, nvertex=30)
_NPZ = (zip_member, zip_members, zip_directory)

KINDS = {
    "motion": Kind(
        suffix=".npz", make=_motion, read=lambda path: read_motion(path, name="m.npz"), mutations=_NPZ,
    ),
    "motion pickle": Kind(
        suffix=".pkl", make=lambda folder: pickle.dumps(_arrays()), read=_read_motions,
        mutations=(pickle_program, pickle_piece),
    ),
    "motion joblib": Kind(
        suffix=".pkl", make=lambda folder: joblib_bytes({k: v for k, v in _arrays().items() if v.dtype.kind == "f"}),
        read=_read_motions, mutations=(pickle_program, pickle_piece),
    ),
    "motion torch": Kind(suffix=".pt", make=_torch, read=_read_motions, mutations=(zip_members, zip_directory)),
    "motion npy": Kind(suffix=".npy", make=_npy, read=_read_motions, mutations=(_npy_header,)),
    "body model npz": Kind(
        suffix="_male.npz", make=_written("a_male.npz", lambda path: write_npz(path, _SMPL)), read=_body_model,
        mutations=_NPZ,
    ),
    "body model pkl": Kind(
        suffix="_male.pkl", make=_written("a_male.pkl", lambda path: write_smpl_pkl(path, _SMPL)), read=_body_model,
        mutations=(pickle_program, pickle_piece),
    ),
    "clip": Kind(suffix=".h5", make=_written("a.h5", _clip), read=read_clip),
    "track": Kind(suffix=".h5", make=_written("a.h5", _track), read=read_track),
    "track list": Kind(suffix=".jsonl", make=_track_list, read=read_track_lines, mutations=(json_lines,)),
    "bundle manifest": Kind(
        suffix=".json", make=lambda folder: bundle_manifests.make_valid(), read=_bundle, mutations=(json_text,),
    ),
    "trajectory": Kind(
        suffix=".npz", make=lambda folder: bundle_manifests.make_valid_trajectory(), read=read_trajectory,
        mutations=_NPZ,
    ),
    "manifest": Kind(suffix=".jsonl", make=_manifest, read=Manifest.read, mutations=(json_lines,)),
    **TRAINING_KINDS,
}  # fmt: skip
