"""Names, types, shapes and limits of a track file, for both writing and reading."""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from musclemap.datasets.file_layout import FileLayout
from musclemap.errors import FileError
from musclemap.files import shown

from .clip_schema import (
    BASE_ROWS,
    FPS,
    MAX_BYTES,
    MAX_COLUMNS,
    MAX_FRAMES,
    MAX_PACKED,
    MAX_TEXT,
    MAX_VALUE,
    UNPACKED_ANYWAY,
    VARIANT,
    check_metrics,
    check_names,
    check_range,
    check_text,
    check_versions,
)

FORMAT = "musclemap-track"

VERDICTS = ("tracked", "lost")

FAILURES = ("", "root", "landmarks", "time", "physics")
"""Why a track ends before its clip; empty if it does not."""

EXACT = ("start_qpos", "start_qvel", "start_act", "start_warmstart")
"""Datasets of float64: the state from which a simulation reproduces the motion bit for bit."""

STEPS = ("excitation", "landmark_error", "root_error")
STATES = ("tracked_qpos", "tracked_qvel", "tracked_act")
ARRAYS = {
    "excitation": 2, "tracked_qpos": 2, "tracked_qvel": 2, "tracked_act": 2, "landmark_error": 1, "root_error": 1,
    **dict.fromkeys(EXACT, 1),
}  # fmt: skip
"""Number of dimensions of each dataset."""

OPTIONAL = {"base_motion": 3}
"""Number of dimensions of each dataset that a track may lack: the motion of what the body is fixed to."""

TEXTS = (
    "clip", "clip_sha256", "clip_motion_sha256", "qpos_sha256", "source", "licence", "model", "model_version",
    "model_sha256", "verdict", "failure",
)  # fmt: skip
JSON = ("config", "software", "metrics")
NAMES = ("joint_names", "muscle_names")
NUMBERS = ("fps", "start", "clip_frames", "seconds", "control_steps")

MAX_SECONDS, MAX_STEPS = 1e9, 2**53
"""Largest computing time [s] and number of simulated control steps."""

ROUNDING = 1e-6
"""Amount by which an integrated activation may leave the range 0 to 1."""

_FILE_NAMES = ("clip", "source")
_HASHES = ("clip_sha256", "clip_motion_sha256", "qpos_sha256")
_SHA256 = re.compile(r"[0-9a-f]{64}|")


def dtype_of(key: str) -> type[np.generic]:
    """Type of a dataset's numbers."""
    return np.float64 if key in EXACT else np.float32


def check_shapes(shapes: Mapping[str, tuple[int, ...]], *, nbyte: int | None = None) -> None:
    """Refuse datasets that are inconsistent or too large, before reading any of them.

    Args:
        shapes: Shape of each dataset.
        nbyte: Size of the file, or None if there is no file.

    Raises:
        FileError: If a shape is wrong; the message names the dataset.
    """
    missing = ARRAYS.keys() - shapes.keys()
    if missing:
        raise FileError(f"no dataset {min(missing)}")
    nstep, muscles = shapes["excitation"][:1], shapes["excitation"][1:]
    for key, ndim in ARRAYS.items():
        shape = shapes[key]
        if len(shape) != ndim or (key in STEPS and shape[:1] != nstep):
            raise FileError(f"{key} has shape {shape}, which does not match excitation {shapes['excitation']}")
        if key in STATES and shape[0] != nstep[0] + 1:
            raise FileError(f"{key} has shape {shape}; it must have one row more than excitation")
        width = math.prod(shape[1:]) if ndim == 2 else 1 if key in STEPS else shape[0]
        if shape[0] > MAX_FRAMES or not 0 < width <= MAX_COLUMNS:
            raise FileError(
                f"{key} has shape {shape}; at most {MAX_FRAMES} frames of 1 to {MAX_COLUMNS} numbers are read"
            )
    if "base_motion" in shapes and shapes["base_motion"] != (*nstep, len(BASE_ROWS), 3):
        raise FileError(f"base_motion has shape {shapes['base_motion']}, which does not match {nstep[0]} steps")
    if not muscles == shapes["tracked_act"][1:] == shapes["start_act"]:
        raise FileError("excitation, tracked_act and start_act have different numbers of muscles")
    if shapes["start_warmstart"] != shapes["start_qvel"]:
        raise FileError("start_warmstart and start_qvel have different numbers of velocities")
    total = sum(math.prod(shape) * np.dtype(dtype_of(key)).itemsize for key, shape in shapes.items())
    if total > MAX_BYTES:
        raise FileError(f"its datasets total {total} bytes; at most {MAX_BYTES} are read")
    if nbyte is not None and total > max(UNPACKED_ANYWAY, MAX_PACKED * nbyte):
        raise FileError(f"its {nbyte} bytes unpack to {total}, which is implausible for a track")


def check_arrays(arrays: Mapping[str, np.ndarray], values: Mapping[str, Any]) -> None:
    """Refuse numbers that are not finite, implausibly large or out of range, and shapes that contradict the names.

    Raises:
        FileError: If an array is wrong; the message names the dataset.
    """
    for key, array in arrays.items():
        if array.size and not (array.min() >= -MAX_VALUE and array.max() <= MAX_VALUE):  # also true for NaN
            raise FileError(f"{key} is {f'beyond {MAX_VALUE:g}' if np.isfinite(array).all() else 'not finite'}")
    for key, margin in (("excitation", 0.0), ("tracked_act", ROUNDING), ("start_act", ROUNDING)):
        if arrays[key].size and not (arrays[key].min() >= -margin and arrays[key].max() <= 1.0 + margin):
            raise FileError(f"{key} has values outside 0 to 1")
    nu = arrays["excitation"].shape[1]
    if len(values["muscle_names"]) != nu:
        raise FileError(f"excitation has {nu} columns for {len(values['muscle_names'])} muscle_names")
    nv = arrays["tracked_qvel"].shape[1]
    if not len(values["joint_names"]) <= nv <= arrays["tracked_qpos"].shape[1]:
        raise FileError(f"{len(values['joint_names'])} joint_names do not match tracked_qvel of {nv} columns")
    if values["start"] + len(arrays["tracked_qpos"]) > values["clip_frames"]:
        raise FileError(f"its {len(arrays['tracked_qpos'])} frames exceed the clip's {values['clip_frames']:g}")


def check_values(values: Mapping[str, Any]) -> None:
    """Refuse attributes whose type or range breaks the contract.

    Args:
        values: Every attribute by name; JSON as decoded objects, names as tuples.

    Raises:
        FileError: If an attribute is wrong; the message names it.
    """
    for key in TEXTS:
        check_text(values[key], MAX_TEXT, where=key, is_name=key in _FILE_NAMES)
    for key in _HASHES:
        if not _SHA256.fullmatch(values[key]):
            raise FileError(f"{key} is {shown(values[key])}, not 64 hexadecimal digits")
    for key, known in (("verdict", VERDICTS), ("failure", FAILURES)):
        if values[key] not in known:
            raise FileError(f"{key} is {shown(values[key])}, not one of {', '.join(map(repr, known))}")
    check_range(values["fps"], *FPS, where="fps")
    check_range(values["seconds"], 0.0, MAX_SECONDS, where="seconds")
    for key, high in (("start", MAX_FRAMES), ("clip_frames", MAX_FRAMES), ("control_steps", MAX_STEPS)):
        check_range(values[key], 0, high, where=key)
        if values[key] != int(values[key]):
            raise FileError(f"{key} is {shown(values[key])}, not a whole number")
    for key in NAMES:
        check_names(values[key], where=key)
        if len(set(values[key])) < len(values[key]):
            raise FileError(f"{key} has the same name twice: {shown(values[key])}")
    if not isinstance(values["config"], Mapping):
        raise FileError("config is not a JSON object")
    check_versions(values["software"])
    check_metrics(values["metrics"])


LAYOUT = FileLayout(
    name="track",
    format=FORMAT,
    arrays=ARRAYS,
    optional=OPTIONAL,
    attributes=(*TEXTS, *JSON, *NAMES, *NUMBERS),
    optional_attributes=(VARIANT,),
    dtype_of=dtype_of,
    check_shapes=check_shapes,
)
"""What a track file may contain."""
