"""Names, types, shapes and limits of a clip and of a manifest entry, for both writing and reading.

All data written or read passes these checks, so the rest of the package relies on them.
"""

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np

from musclemap.datasets.file_layout import FileLayout
from musclemap.errors import FileError
from musclemap.files import MAX_INTEGER, shown

FORMAT = "musclemap-clip"

VERDICTS = ("feasible", "warn", "infeasible")
HANDS = ("locked", "tracked")
CONTACTS = ("left heel", "left toe", "right heel", "right toe")

ARRAYS = {"qpos": 2, "qvel": 2, "landmark_pos": 3, "target_pos": 3, "contact": 2}
"""Number of dimensions of each dataset."""

OPTIONAL = {
    "activation": 2, "activation_residual": 2,
    "bearing": 2, "ground_force": 3, "centre_of_pressure": 3, "joint_moment": 2, "base_motion": 3,
    "measured": 2, "estimated_force": 3,
    "plate_force": 3, "plate_centre": 3, "plate_free_moment": 2, "plate_foot": 3,
}  # fmt: skip
"""Number of dimensions of each dataset that a clip may lack: activations, forces computed by the checks, forces
measured by plates, and the motion of what the body is fixed to."""

BASE_ROWS = ("gravity", "acceleration", "angular velocity", "angular acceleration")
"""What `base_motion` holds along its second dimension."""

PLATES = ("plate_force", "plate_centre", "plate_free_moment", "plate_foot")
"""Datasets of force plates; a clip has all of them or none."""

FLAGS = ("contact", "bearing", "measured", "plate_foot")
"""Datasets of zeros and ones, stored as uint8."""

JSON = ("config", "software", "metrics", "reasons")
OPTIONAL_JSON = ("warnings",)
"""Lists that a clip may lack; an empty one is not stored."""
NAMES = ("joint_names", "landmark_names")
OPTIONAL_NAMES = {
    "support_names": ("bearing", "ground_force", "centre_of_pressure", "estimated_force"),
    "moment_names": ("joint_moment",),
    "muscle_names": ("activation",),
    "plate_names": ("plate_force", "plate_centre", "plate_free_moment"),
}
"""Lists of unique names that a clip may lack, and the datasets whose second dimension they name."""

OPTIONAL_TEXTS = ("force_source", "calibration_source")
"""Texts that a clip may lack; an empty one is not stored."""

VARIANT = "variant"
"""JSON text that a clip or track of an altered body has: see `BodyVariant`."""

NUMBERS = ("fps", "source_fps", "subject_scale")
TEXTS = (
    "model", "model_version", "model_sha256", "source", "source_sha256", "fps_source", "body_model", "hands", "licence",
    "verdict",
)  # fmt: skip

MAX_FRAMES = 4 * 3600 * 1000
"""Four hours, the longest source, at the highest frame rate of a conversion."""

MAX_COLUMNS = 8192
"""Numbers per frame in one dataset; MyoFullBody has 416 muscles."""

MAX_BYTES = 2**33
"""Size of all arrays of a clip [B]; four hours of MyoFullBody at 100 Hz with activations and forces have 5.5e9."""

MAX_PACKED = 64
"""Largest compression ratio of a clip beyond `UNPACKED_ANYWAY`; motions have 1.5, zeros up to 1000."""

UNPACKED_ANYWAY = 2**30
"""Uncompressed size that is accepted whatever the compression ratio [B]."""

MAX_NAMES, MAX_NAME = 1024, 256
"""Number of joints, landmarks, muscles or supports, and characters of each name."""

MAX_TEXT, MAX_JSON_TEXT = 2**16, 2**22
"""Length of a text attribute, and of one that holds JSON [B]."""

MAX_METRICS, MAX_LIST = 1000, 10_000
"""Number of metrics of a clip, and of values in a metric that is a list."""

MAX_WARNINGS = 100
"""Number of warnings about the source of a clip."""

MAX_REASONS, MAX_RANGES = 1000, 100_000
"""Number of rules that a clip breaks, and of frame ranges for each."""

MAX_VALUE = 1e9
"""Largest number in a dataset, whatever its unit; its square is still far below the largest float32."""

FPS = (1.0, 10_000.0)
SOURCE_FPS = (1e-3, 1e6)
SUBJECT_SCALE = (1e-3, 1e3)

_FILE_NAMES = ("source", "body_model", "force_source", "calibration_source")
_RANGES = {"fps": FPS, "source_fps": SOURCE_FPS, "subject_scale": SUBJECT_SCALE}


def dtype_of(key: str) -> type[np.generic]:
    """Type of a dataset's numbers."""
    return np.uint8 if key in FLAGS else np.float32


def check_shapes(shapes: Mapping[str, tuple[int, ...]], *, nbyte: int | None = None) -> None:
    """Refuse datasets that are inconsistent or too large, before reading any of them.

    Args:
        shapes: Shape of each dataset that is present.
        nbyte: Size of the file, or None if there is no file.

    Raises:
        FileError: If a shape is wrong; the message names the dataset.
    """
    nframe = shapes["qpos"][:1]
    for key, shape in shapes.items():
        ndim = (ARRAYS | OPTIONAL)[key]
        if len(shape) != ndim or shape[:1] != nframe or 0 in shape:
            raise FileError(f"{key} has shape {shape}, which does not match qpos {shapes['qpos']}")
        if shape[0] > MAX_FRAMES or math.prod(shape[1:]) > MAX_COLUMNS:
            raise FileError(f"{key} has shape {shape}; at most {MAX_FRAMES} frames of {MAX_COLUMNS} numbers are read")
    total = sum(math.prod(shape) * np.dtype(dtype_of(key)).itemsize for key, shape in shapes.items())
    if total > MAX_BYTES:
        raise FileError(f"its datasets total {total} bytes; at most {MAX_BYTES} are read")
    if nbyte is not None and total > max(UNPACKED_ANYWAY, MAX_PACKED * nbyte):
        raise FileError(f"its {nbyte} bytes unpack to {total}, which is implausible for a motion")


def check_arrays(arrays: Mapping[str, np.ndarray], values: Mapping[str, Any]) -> None:
    """Refuse numbers that are not finite or implausibly large, contacts other than 0 and 1, and shapes that contradict
    the names.

    Raises:
        FileError: If an array is wrong; the message names the dataset and the first bad frame.
    """
    for key, array in arrays.items():
        if array.dtype != np.uint8 and (bad := _frames_beyond(array, MAX_VALUE)).size:
            fault = f"beyond {MAX_VALUE:g}" if np.isfinite(array[bad]).all() else "not finite"
            raise FileError(f"{key} is {fault} in {bad.size} frames, the first is {bad[0]}")
    if arrays["contact"].shape[1:] != (len(CONTACTS),) or arrays["contact"].max() > 1:
        raise FileError(f"contact must hold 0 or 1 in 4 columns: {', '.join(CONTACTS)}")
    landmarks = (len(values["landmark_names"]), 3)
    for key in ("landmark_pos", "target_pos"):
        if arrays[key].shape[1:] != landmarks:
            raise FileError(f"{key} has shape {arrays[key].shape} for {landmarks[0]} landmark_names")
    nv = arrays["qvel"].shape[1]
    if not len(values["joint_names"]) <= nv <= arrays["qpos"].shape[1]:
        raise FileError(f"{len(values['joint_names'])} joint_names do not match qvel of {nv} columns")
    _check_optional(arrays, values)


def _check_optional(arrays: Mapping[str, np.ndarray], values: Mapping[str, Any]) -> None:
    """Refuse optional datasets whose shape contradicts their names, and flags other than 0 and 1.

    Only activations may lack their names, because clips of earlier releases do.
    """
    for key, named in OPTIONAL_NAMES.items():
        count = len(values[key])
        for dataset in named:
            if dataset not in arrays or (dataset == "activation" and not count):
                continue
            columns = (count, 3) if OPTIONAL[dataset] == 3 else (count,)
            if arrays[dataset].shape[1:] != columns:
                raise FileError(f"{dataset} has shape {arrays[dataset].shape} for {count} {key}")
    if "base_motion" in arrays and arrays["base_motion"].shape[1:] != (len(BASE_ROWS), 3):
        raise FileError(
            f"base_motion has shape {arrays['base_motion'].shape}; it holds vectors of {', '.join(BASE_ROWS)}"
        )
    for key in ("bearing", "measured", "plate_foot"):
        if key in arrays and arrays[key].max() > 1:
            raise FileError(f"{key} must hold 0 or 1")
    if "measured" in arrays and arrays["measured"].shape[1:] != (2,):
        raise FileError("measured must have 2 columns: left foot, right foot")
    plates = [key for key in PLATES if key in arrays]
    if plates and len(plates) < len(PLATES):
        raise FileError(f"it has {', '.join(plates)} and lacks other datasets of its force plates")
    if plates and arrays["plate_foot"].shape[1:] != (len(values["plate_names"]), 2):
        count = len(values["plate_names"])
        raise FileError(f"plate_foot has shape {arrays['plate_foot'].shape} for {count} plate_names")


def _frames_beyond(array: np.ndarray, limit: float, *, rows: int = 4096) -> np.ndarray:
    """Indices of frames with a number beyond the limit. Works on blocks of rows, which limits the memory."""
    flat = array.reshape(len(array), -1)
    bad = []
    for low in range(0, len(flat), rows):
        part = flat[low : low + rows]
        if not (part.min() >= -limit and part.max() <= limit):  # also true for NaN
            bad.append(low + np.flatnonzero(~(np.abs(part) <= limit).all(axis=1)))
    return np.concatenate(bad) if bad else np.empty(0, int)


def check_values(values: Mapping[str, Any]) -> None:
    """Refuse attributes of a clip whose type or range breaks the contract.

    Args:
        values: Every attribute by name; JSON as decoded objects, names as tuples, missing optional names as ().

    Raises:
        FileError: If an attribute is wrong; the message names it.
    """
    for key in (*TEXTS, *OPTIONAL_TEXTS):
        check_text(values[key], MAX_TEXT, where=key, is_name=key in _FILE_NAMES)
    for key, (low, high) in _RANGES.items():
        if not (values[key] is None and key == "source_fps"):
            check_range(values[key], low, high, where=key)
    for key, known in (("verdict", VERDICTS), ("hands", HANDS)):
        if values[key] not in known:
            raise FileError(f"{key} is {shown(values[key])}, not one of {', '.join(known)}")
    for key in (*NAMES, *OPTIONAL_NAMES):
        check_names(values[key], where=key)
        if key in OPTIONAL_NAMES and len(set(values[key])) < len(values[key]):
            raise FileError(f"{key} has the same name twice: {shown(values[key])}")
    if not isinstance(values["config"], Mapping):
        raise FileError("config is not a JSON object")
    check_versions(values["software"])
    check_metrics(values["metrics"])
    check_reasons(values["reasons"])
    check_warnings(values["warnings"])


def check_warnings(warnings: object) -> None:
    """Refuse malformed warnings about a source. Each has a code and a text; other keys are ignored.

    Raises:
        FileError: If the value is refused.
    """
    if not isinstance(warnings, tuple | list) or len(warnings) > MAX_WARNINGS:
        raise FileError(f"warnings is not a list of at most {MAX_WARNINGS} warnings")
    for warning in warnings:
        if not isinstance(warning, Mapping):
            raise FileError(f"warnings is not a list of JSON objects: {shown(warning)}")
        check_text(warning.get("code"), MAX_NAME, where="warnings: code")
        check_text(warning.get("text"), MAX_TEXT, where="warnings: text")


def check_names(names: object, *, where: str) -> None:
    """Refuse a value that is not a list of at most `MAX_NAMES` short names.

    Raises:
        FileError: If the value is refused.
    """
    if not isinstance(names, tuple | list) or len(names) > MAX_NAMES:
        raise FileError(f"{where} is {shown(names)}, not a list of at most {MAX_NAMES} names")
    for name in names:
        check_text(name, MAX_NAME, where=where)


def check_versions(software: object) -> None:
    """Refuse a value that is not an object of version texts or numbers.

    Raises:
        FileError: If the value is refused.
    """
    if not isinstance(software, Mapping):
        raise FileError("software is not a JSON object")
    for name, version in software.items():
        check_text(name, MAX_NAME, where="software: a name")
        if not (version is None or isinstance(version, int | float)):
            check_text(version, MAX_NAME, where=f"software: {shown(name)}")


def check_range(value: object, low: float, high: float, *, where: str) -> None:
    """Refuse a value that is not a number from `low` to `high`.

    Raises:
        FileError: If the value is refused.
    """
    if not _is_number(value) or not low <= value <= high:
        raise FileError(f"{where} is {shown(value)}, not a number from {low:g} to {high:g}")


def check_count(value: object, high: int, *, where: str) -> None:
    """Refuse a value that is not a whole number from 0 to `high`.

    Raises:
        FileError: If the value is refused.
    """
    if not _is_frame(value) or value > high:
        raise FileError(f"{where} is {shown(value)}, not a whole number from 0 to {high}")


def check_text(value: object, limit: int, *, where: str, is_name: bool = False) -> None:
    """Refuse a value that is not text, exceeds `limit` characters, contains a null character or is not valid Unicode.

    Args:
        value: The text.
        limit: Maximum number of characters.
        where: Name of the value, for messages.
        is_name: Whether the text is or contains a file name. Bytes in an encoding other than UTF-8 are then allowed, as
            surrogates U+DC80 to U+DCFF.

    Raises:
        FileError: If the text is refused.
    """
    if not isinstance(value, str):
        raise FileError(f"{where} is {shown(value)}, not text")
    if len(value) > limit:
        raise FileError(f"{where} has {len(value)} characters; at most {limit} are read")
    if "\0" in value:
        raise FileError(f"{where} contains a null character: {shown(value)}")
    if not value.isascii():
        try:
            value.encode("utf-8", "surrogateescape" if is_name else "strict")
        except UnicodeEncodeError as error:
            raise FileError(f"{where} is not valid Unicode: a surrogate at {error.start}") from error


def check_metrics(metrics: object) -> None:
    """Refuse metrics that are not a JSON object of numbers, booleans, texts, nulls, or lists of these.

    Raises:
        FileError: If a metric is refused; the message names it.
    """
    if not isinstance(metrics, Mapping):
        raise FileError(f"metrics is {shown(metrics)}, not a JSON object")
    if len(metrics) > MAX_METRICS:
        raise FileError(f"metrics has {len(metrics)} entries; at most {MAX_METRICS} are read")
    for name, value in metrics.items():
        check_text(name, MAX_NAME, where="the name of a metric")
        items = value if isinstance(value, list | tuple) else (value,)
        if len(items) > MAX_LIST or not all(_is_metric(item) for item in items):
            raise FileError(f"metrics: {shown(name)} is {shown(value)}, not a number, a text or a list of these")
        for item in items:
            if isinstance(item, str):
                check_text(item, MAX_TEXT, where=f"metrics: {shown(name)}")


def check_reasons(reasons: object) -> None:
    """Refuse malformed reasons. Each has a rule and may have a value, a limit, frames and a text that names the place.

    Frames are frame numbers or half-open ranges [start, stop). Other keys are ignored.

    Raises:
        FileError: If a reason is refused; the message names the rule.
    """
    if not isinstance(reasons, tuple | list) or len(reasons) > MAX_REASONS:
        raise FileError(f"reasons is not a list of at most {MAX_REASONS} rules")
    for reason in reasons:
        if not isinstance(reason, Mapping):
            raise FileError(f"reasons is not a list of JSON objects: {shown(reason)}")
        rule = reason.get("rule")
        check_text(rule, MAX_NAME, where="reasons: rule")
        check_text(reason.get("at", ""), MAX_TEXT, where=f"reasons: {shown(rule)}: at")
        for key in ("value", "limit"):
            value = reason.get(key)
            if value is not None and not _is_number(value):
                raise FileError(f"reasons: {shown(rule)}: {key} is {shown(value)}, not a number")
        frames = reason.get("frames", ())
        if not isinstance(frames, list | tuple) or len(frames) > MAX_RANGES or not all(map(_is_range, frames)):
            raise FileError(f"reasons: {shown(rule)}: frames is {shown(frames)}, not a list of frame ranges")


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number of at most 64 bits and not a boolean."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= MAX_INTEGER
    return isinstance(value, float) and math.isfinite(value)


def _is_metric(value: object) -> bool:
    return value is None or isinstance(value, str | bool | float) or _is_number(value)


def _is_frame(value: object) -> TypeGuard[int]:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= int(value) <= MAX_INTEGER


def _is_range(frames: object) -> bool:
    if isinstance(frames, list | tuple):
        return len(frames) == 2 and _is_frame(frames[0]) and _is_frame(frames[1]) and frames[0] <= frames[1]
    return _is_frame(frames)


LAYOUT = FileLayout(
    name="clip",
    format=FORMAT,
    arrays=ARRAYS,
    optional=OPTIONAL,
    attributes=(*TEXTS, *JSON, *NAMES, *NUMBERS),
    optional_attributes=(*OPTIONAL_NAMES, *OPTIONAL_JSON, *OPTIONAL_TEXTS, VARIANT),
    dtype_of=dtype_of,
    check_shapes=check_shapes,
)
"""What a clip file may contain."""
