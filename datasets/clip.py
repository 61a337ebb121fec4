"""Clip files: one HDF5 file a motion, ready to be tracked, with everything needed to know where it came from.

The layout is a contract with outside tools. Arrays are float32 (contacts uint8), chunked by time, shuffled, gzip 1:

    /qpos         (nframe, nq)             whole target model, MuJoCo's order; root quaternion wxyz
    /qvel         (nframe, nv)
    /landmark_pos (nframe, nlandmark, 3)   [m], reached, world
    /target_pos   (nframe, nlandmark, 3)   [m], asked for, world
    /contact      (nframe, 4) uint8        left heel, left toe, right heel, right toe

Attributes are those of `Clip`, with format and version; dictionaries and reasons are JSON text. The same clip gives the
same bytes: no times, no random order, the format's version pinned.
"""

import hashlib
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from musclemap.skeletons.errors import ClipError

from .atomic_file import write_atomically
from .manifest import VERDICTS, strict_json

FORMAT = "musclemap-clip"
VERSION = 1
HANDS = ("locked", "tracked")
CONTACTS = ("left heel", "left toe", "right heel", "right toe")

CHUNK_FRAMES = 256
"""Frames in one chunk: 2.56 s at the control rate, about 130 kB of qpos."""

_ARRAYS = {"qpos": 2, "qvel": 2, "landmark_pos": 3, "target_pos": 3, "contact": 2}
"""Dataset and number of dimensions."""

_OPTIONAL = {"activation": 2, "activation_residual": 2}
"""Datasets that only clips have whose muscles were looked at."""

_JSON = ("config", "software", "metrics", "reasons")
_NAMES = ("joint_names", "landmark_names")
_NUMBERS = ("fps", "source_fps", "subject_scale")
_FILE_FORMAT = ("v110", "v110")
"""Range of HDF5 releases whose format is used; pinned, or the bytes would follow the library's default."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """One retargeted motion.

    Attributes:
        qpos: Postures of the whole target model, shape (nframe, nq).
        qvel: Velocities, shape (nframe, nv).
        landmark_pos: Landmarks as reached, shape (nframe, nlandmark, 3) [m], world.
        target_pos: Landmarks as asked for, shape (nframe, nlandmark, 3) [m], world.
        contact: 1 where the ground is touched, shape (nframe, 4): left heel, left toe, right heel, right toe.
        fps: Frames a second.
        joint_names: Joints of the target model in its order.
        landmark_names: Names along the second dimension of the landmark arrays.
        model: Name of the target model.
        model_version: Version of the package it is from.
        model_sha256: Hash of the compiled model's description.
        source: POSIX path of the source below the input root.
        source_sha256: Hash of the source file; empty when there was none.
        source_fps: Frame rate as the source gives it, or None.
        fps_source: Where the source's frame rate was taken from.
        body_model: "mean", or file name and hash of the body model.
        subject_scale: Size of the subject relative to the body model.
        hands: "locked" or "tracked".
        config: Settings of the run.
        software: Versions.
        licence: Licence the source is under, as far as it is known.
        metrics: Figures by name.
        verdict: "feasible", "warn" or "infeasible".
        reasons: For each rule broken: rule, value, limit, frames.
        activation: Activations that would give the joints' torques, shape (nframe, nu), 0 to 1; None where not looked
            for.
        activation_residual: Torque that they leave unmet at each independent joint, shape (nframe, njoint) [Nm].
    """

    qpos: np.ndarray
    qvel: np.ndarray
    landmark_pos: np.ndarray
    target_pos: np.ndarray
    contact: np.ndarray
    fps: float
    joint_names: tuple[str, ...]
    landmark_names: tuple[str, ...]
    model: str
    model_version: str
    model_sha256: str
    source: str
    source_sha256: str
    source_fps: float | None
    fps_source: str
    body_model: str
    subject_scale: float
    hands: str
    config: Mapping[str, Any]
    software: Mapping[str, Any]
    licence: str
    metrics: Mapping[str, Any]
    verdict: str
    reasons: tuple[Mapping[str, Any], ...]
    activation: np.ndarray | None = None
    activation_residual: np.ndarray | None = None

    @property
    def nframe(self) -> int:
        """Number of frames."""
        return len(self.qpos)

    @property
    def duration(self) -> float:
        """Time from the first frame to the last [s]."""
        return (self.nframe - 1) / self.fps


_ATTRIBUTES = tuple(field.name for field in fields(Clip) if field.name not in (*_ARRAYS, *_OPTIONAL))
_TEXTS = tuple(key for key in _ATTRIBUTES if key not in (*_JSON, *_NAMES, *_NUMBERS))


def write_clip(path: Path, clip: Clip, *, before_rename: Callable[[str], None] | None = None) -> str:
    """Write a clip in one step: a reader finds the old file, the new one or none, never a part.

    Args:
        path: File to write; folders are made.
        clip: Clip; float arrays are stored as float32, and NaN inside dictionaries as null.
        before_rename: Called with the SHA-256 once the bytes are on disk and before they take the file's name.

    Returns:
        SHA-256 of the file.

    Raises:
        ClipError: The clip breaks the contract; the message names the field.
    """
    there = (*_ARRAYS, *(key for key in _OPTIONAL if getattr(clip, key) is not None))
    arrays = {key: np.asarray(getattr(clip, key)) for key in there}
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is refused below
        stored = {key: array.astype(_dtype(key)) for key, array in arrays.items()}
    if not np.array_equal(stored["contact"], arrays["contact"]):
        raise ClipError("contact holds other values than 0 and 1")
    _check(stored, {key: getattr(clip, key) for key in _ATTRIBUTES}, where="the clip")
    image = io.BytesIO()
    with h5py.File(image, "w", libver=_FILE_FORMAT) as file:
        for key, array in stored.items():
            dataset = file.create_dataset(
                key,
                data=array,
                chunks=(min(len(array), CHUNK_FRAMES), *array.shape[1:]),
                shuffle=True,
                compression="gzip",
                compression_opts=1,
                track_times=False,
            )
            dataset.flush()  # not whenever the last reference to it goes: a profiler may hold one, and move bytes
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSION
        for key in _ATTRIBUTES:
            _write_attribute(file, key, getattr(clip, key))
    data = image.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    write_atomically(path, data, before_rename=None if before_rename is None else lambda: before_rename(sha256))
    return sha256


def read_clip(path: Path, *, sha256: str | None = None) -> Clip:
    """Read a clip and check all of it. Datasets and attributes that this version does not know are passed over.

    Args:
        path: File to read.
        sha256: Hash that the manifest has for the clip. With it any damage is found. Without it damage to the text of
            attributes can go unseen, as HDF5 keeps no checksum there, and some makes the HDF5 library wait for ever.

    Raises:
        ClipError: The file is missing, damaged, of another format or version, or breaks the contract; the message says
            where.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ClipError(f"{path} cannot be read: {error.strerror}") from error
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise ClipError(f"{path} is not the file that was written: its SHA-256 is not {sha256}")
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            found = file.attrs.get("format")
            if found != FORMAT:
                raise ClipError(f"{path} is no clip: its format is {found!r}, not {FORMAT!r}")
            if file.attrs.get("version") != VERSION:
                raise ClipError(f"{path} has version {file.attrs.get('version')}; this reads version {VERSION}")
            there = (*_ARRAYS, *(key for key in _OPTIONAL if key in file))
            arrays = {key: _read_array(file, key, path=path) for key in there}
            values = {key: _read_attribute(file, key, path=path) for key in _ATTRIBUTES}
    except (OSError, RuntimeError, KeyError, UnicodeDecodeError) as error:
        raise ClipError(f"{path} cannot be read as HDF5: {error}") from error
    _check(arrays, values, where=str(path))
    return Clip(**arrays, **values)


def _dtype(key: str) -> type[np.generic]:
    return np.uint8 if key == "contact" else np.float32


def _write_attribute(file: h5py.File, key: str, value: Any) -> None:
    """Strings are of variable length, which HDF5's limit of 64 KiB an attribute does not touch.

    A file name in another encoding than UTF-8 keeps its bytes, as the file system has them.
    """
    if key in _NUMBERS:
        file.attrs[key] = math.nan if value is None else float(value)
    elif key in _NAMES:
        file.attrs[key] = np.array(value, dtype=h5py.string_dtype())
    else:
        text = strict_json(value) if key in _JSON else value
        file.attrs.create(key, text.encode("utf-8", "surrogateescape"), dtype=h5py.string_dtype())


def _read_array(file: h5py.File, key: str, *, path: Path) -> np.ndarray:
    dataset = file.get(key)
    if not isinstance(dataset, h5py.Dataset):
        raise ClipError(f"{path} has no dataset {key}; it has: {', '.join(file)}")
    if dataset.dtype != _dtype(key):
        raise ClipError(f"{path}: {key} is of type {dataset.dtype}, not {_dtype(key).__name__}")
    return dataset[()]


def _read_attribute(file: h5py.File, key: str, *, path: Path) -> Any:
    if key not in file.attrs:
        raise ClipError(f"{path} has no attribute {key}; it has: {', '.join(file.attrs)}")
    value = file.attrs[key]
    if key in _NAMES:
        if not isinstance(value, np.ndarray) or not all(isinstance(name, str) for name in value.flat):
            raise ClipError(f"{path}: {key} is of type {type(value).__name__}, not a list of text")
        return tuple(value.flat)
    if key in _NUMBERS:
        if not isinstance(value, float | int | np.number):
            raise ClipError(f"{path}: {key} is {value!r}, not a number")
        return None if key == "source_fps" and math.isnan(value) else float(value)
    if not isinstance(value, str):
        raise ClipError(f"{path}: {key} is of type {type(value).__name__}, not text")
    if key not in _JSON:
        return value
    try:
        decoded = json.loads(value)
    except ValueError as error:
        raise ClipError(f"{path}: {key} is no JSON: {error}") from error
    return tuple(decoded) if key == "reasons" and isinstance(decoded, list) else decoded


def _check(arrays: Mapping[str, np.ndarray], values: Mapping[str, Any], *, where: str) -> None:
    """Refuse what breaks the contract, naming it."""
    nframe = arrays["qpos"].shape[:1]
    for key, array in arrays.items():
        ndim = (_ARRAYS | _OPTIONAL)[key]
        if array.ndim != ndim or array.shape[:1] != nframe or array.size == 0:
            raise ClipError(f"{where}: {key} has shape {array.shape} beside qpos {arrays['qpos'].shape}")
        if not np.isfinite(array).all():
            frames = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
            raise ClipError(f"{where}: {key} is not finite in {frames.size} frames, the first is {frames[0]}")
    if arrays["contact"].shape[1:] != (len(CONTACTS),) or arrays["contact"].max() > 1:
        raise ClipError(f"{where}: contact must hold 0 or 1 in 4 columns: {', '.join(CONTACTS)}")
    landmarks = (len(values["landmark_names"]), 3)
    for key in ("landmark_pos", "target_pos"):
        if arrays[key].shape[1:] != landmarks:
            raise ClipError(f"{where}: {key} has shape {arrays[key].shape} for {landmarks[0]} landmark_names")
    nv = arrays["qvel"].shape[1]
    if not len(values["joint_names"]) <= nv <= arrays["qpos"].shape[1]:
        raise ClipError(f"{where}: {len(values['joint_names'])} joint_names do not go with qvel of {nv} columns")
    for key in _TEXTS:
        if not isinstance(values[key], str):
            raise ClipError(f"{where}: {key} is {values[key]!r}, not text")
    for key in ("fps", "subject_scale"):
        if not (math.isfinite(values[key]) and values[key] > 0):
            raise ClipError(f"{where}: {key} is {values[key]}, not a positive number")
    for key, known in (("verdict", VERDICTS), ("hands", HANDS)):
        if values[key] not in known:
            raise ClipError(f"{where}: {key} is {values[key]!r}, not one of {', '.join(known)}")
    for key in ("config", "software", "metrics"):
        if not isinstance(values[key], Mapping):
            raise ClipError(f"{where}: {key} is no JSON object")
    if not isinstance(values["reasons"], tuple) or not all(isinstance(r, Mapping) for r in values["reasons"]):
        raise ClipError(f"{where}: reasons is no list of JSON objects")
