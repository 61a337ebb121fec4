"""Track files: the muscle excitations by which a body follows a clip, and the motion that they cause.

One HDF5 file per clip, with the clip's path, below the folder `tracks` of the data set; the track of an altered body
has the variant's short name before its suffix. The layout is a contract with other tools. Arrays are float32,
compressed like those of a clip, and the state at the start is float64:

    /excitation       (nstep, nu)       0 to 1, held during a control step
    /tracked_qpos     (nstep + 1, nq)   before and after each control step, columns of the clip
    /tracked_qvel     (nstep + 1, nv)
    /tracked_act      (nstep + 1, nu)   activations, 0 to 1
    /landmark_error   (nstep,)          [m], mean distance from the clip's landmarks, relative to the first
    /root_error       (nstep,)          [m], distance of the first landmark from the clip's
    /start_qpos       (nq_simulated,)   state of the simulated body, which lacks locked joints
    /start_qvel       (nv_simulated,)
    /start_act        (nu,)
    /start_warmstart  (nv_simulated,)   accelerations from which the constraint solver starts
    /base_motion      (nstep, 4, 3)     as in a clip, during each control step; only on a moving base

Row k of the tracked motion belongs to frame `start` + k of the clip. Joints that the simulated body lacks have the
clip's values. Simulating the excitations from the start reproduces the motion bit for bit on the same machine;
`qpos_sha256` is the hash of its float64 configurations. The attributes are the other fields of `StoredTrack` plus
format and version; dictionaries are JSON text. The same track always gives the same bytes.
Tracks by an altered body have the attribute variant, as clips have.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from musclemap.datasets.hdf5.attributes import attribute_value, check_identity, from_json, variant_attribute
from musclemap.datasets.hdf5.process import read_contents
from musclemap.datasets.hdf5.writing import file_bytes
from musclemap.errors import FileError, SettingsError, TrackError
from musclemap.skeletons.variants.variant import UNALTERED, BodyVariant

from .atomic_file import write_hashed
from .manifest import strict_json
from .output_folder import TRACKS, clip_path
from .track_schema import (
    ARRAYS,
    FORMAT,
    JSON,
    LAYOUT,
    NAMES,
    NUMBERS,
    OPTIONAL,
    VARIANT,
    check_arrays,
    check_shapes,
    check_values,
    dtype_of,
)

VERSION = 1

_WHOLE = ("start", "clip_frames", "control_steps")


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredTrack:
    """A track as its file holds it.

    Attributes:
        excitation: Muscle excitations during each control step, shape (nstep, nu), 0 to 1.
        tracked_qpos: Configurations in the clip's columns, shape (nstep + 1, nq).
        tracked_qvel: Velocities in the clip's columns, shape (nstep + 1, nv).
        tracked_act: Activations, shape (nstep + 1, nu), 0 to 1.
        landmark_error: Mean distance of the landmarks from the clip's, relative to the first, shape (nstep,) [m].
        root_error: Distance of the first landmark from the clip's, shape (nstep,) [m].
        start_qpos: Configuration of the simulated body at the start, float64, shape (nq_simulated,).
        start_qvel: Its velocity, shape (nv_simulated,).
        start_act: Its activations, shape (nu,).
        start_warmstart: Accelerations from which the constraint solver starts, shape (nv_simulated,).
        clip: POSIX path of the clip below its folder.
        clip_sha256: Hash of the clip's file; empty if unknown.
        clip_motion_sha256: Hash of the motion alone; it stays the same when a clip is validated again.
        qpos_sha256: Hash of all float64 configurations of the simulated body.
        source: Source of the clip.
        licence: Licence of that source.
        model: Name of the body.
        model_version: Version of the package that provides it.
        model_sha256: Hash of its complete model.
        verdict: "tracked" if the body follows the clip to its end within the published limits, otherwise "lost".
        failure: "" or why the track ends early: "root", "landmarks", "time" or "physics".
        config: Settings of the tracker and of the physics.
        software: Versions.
        metrics: Metrics by name.
        joint_names: Joints of the clip.
        muscle_names: Muscles of the simulated body.
        fps: Control steps per second, the clip's frame rate.
        start: Frame of the clip at which the simulation begins.
        clip_frames: Frames of the clip.
        seconds: Computing time [s].
        control_steps: Simulated control steps, discarded ones included.
        variant: What differs from the body's table; `model_sha256` includes it. The clip may be of another variant.
        base_motion: Motion of the base during each control step, shape (nstep, 4, 3), as in a clip; None if it does not
            move.
    """

    excitation: np.ndarray
    tracked_qpos: np.ndarray
    tracked_qvel: np.ndarray
    tracked_act: np.ndarray
    landmark_error: np.ndarray
    root_error: np.ndarray
    start_qpos: np.ndarray
    start_qvel: np.ndarray
    start_act: np.ndarray
    start_warmstart: np.ndarray
    clip: str
    clip_sha256: str
    clip_motion_sha256: str
    qpos_sha256: str
    source: str
    licence: str
    model: str
    model_version: str
    model_sha256: str
    verdict: str
    failure: str
    config: Mapping[str, Any]
    software: Mapping[str, Any]
    metrics: Mapping[str, Any]
    joint_names: tuple[str, ...]
    muscle_names: tuple[str, ...]
    fps: float
    start: int
    clip_frames: int
    seconds: float
    control_steps: int
    base_motion: np.ndarray | None = None
    variant: BodyVariant = UNALTERED

    @property
    def nstep(self) -> int:
        """Number of control steps."""
        return len(self.excitation)

    @property
    def tracked(self) -> bool:
        """Whether the body followed the clip to its end."""
        return self.verdict == "tracked"


_ATTRIBUTES = tuple(field.name for field in fields(StoredTrack) if field.name not in (*ARRAYS, *OPTIONAL))


def track_path(root: Path, clip: str, *, variant: str = "") -> Path:
    """Path of a clip's track below the folder of its data set.

    Args:
        root: Folder of the data set.
        clip: POSIX path of the clip below it.
        variant: Short name of the variant by which the simulated body differs from the clip's; "" for the clip's body.

    Raises:
        ClipError: If the path leads outside the folder.
    """
    suffix = f".{variant}.h5" if variant else ".h5"
    return clip_path(root / TRACKS, PurePosixPath(clip).with_suffix(suffix).as_posix())


def write_track(path: Path, track: StoredTrack, *, before_rename: Callable[[str], None] | None = None) -> str:
    """Write a track atomically: a reader finds the old file, the new one or none, never a part.

    Args:
        path: File to write; missing folders are created.
        track: Track; float arrays are stored as float32, except for the state at the start.
        before_rename: Called with the SHA-256 after the bytes are on disk and before the file is renamed.

    Returns:
        SHA-256 of the file.

    Raises:
        TrackError: If the track breaks the contract; the message names the field.
    """
    with np.errstate(over="ignore"):  # values beyond float32 become infinite and are refused below
        present = (*ARRAYS, *(key for key in OPTIONAL if getattr(track, key) is not None))
        arrays = {key: np.asarray(getattr(track, key)).astype(dtype_of(key)) for key in present}
    try:
        texts = {key: strict_json(getattr(track, key)) for key in JSON}
        values = {key: getattr(track, key) for key in _ATTRIBUTES}
        values |= {key: from_json(text, key) for key, text in texts.items()}  # check what a reader will get
        _check(arrays, values)
    except (FileError, SettingsError) as error:
        raise TrackError(f"the track: {error}") from error
    numbers = {key: float(values[key]) for key in NUMBERS}
    variant = values.pop(VARIANT)
    texts |= {VARIANT: variant.canonical} if variant else {}
    data = file_bytes(arrays, {"format": FORMAT, "version": VERSION, **values, **texts, **numbers})
    return write_hashed(path, data, before_rename=before_rename)


def read_track(path: Path, *, sha256: str | None = None) -> StoredTrack:
    """Read a track and check all of it. Datasets and attributes that this version does not know are ignored.

    The file is untrusted and read like a clip; see `read_clip`.

    Args:
        path: File to read.
        sha256: Hash of the file, which detects any damage.

    Raises:
        TrackError: If the file is missing, damaged, of another format or version, or breaks the contract; the message
            names the place.
    """
    try:
        contents = read_contents(path, layout=LAYOUT, sha256=sha256)
    except FileError as error:
        raise TrackError(str(error)) from error
    try:
        check_identity(contents, format_=FORMAT, version=VERSION, noun="track")
        values = {
            key: attribute_value(contents, key, names=NAMES, numbers=NUMBERS, json=JSON)
            for key in _ATTRIBUTES if key != VARIANT
        }  # fmt: skip
        values[VARIANT] = variant_attribute(contents)
        _check(contents.arrays, values)
    except FileError as error:
        raise TrackError(f"{path}: {error}") from error
    whole: dict[str, Any] = {key: int(values[key]) for key in _WHOLE}
    return StoredTrack(**contents.arrays, **{**values, **whole})


def _check(arrays: Mapping[str, np.ndarray], values: Mapping[str, Any]) -> None:
    check_shapes({key: array.shape for key, array in arrays.items()})
    check_values(values)
    check_arrays(arrays, values)
