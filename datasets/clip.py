"""Clip files: one HDF5 file per motion, ready to be tracked, with its full provenance.

The layout is a contract with other tools. Arrays are float32 (flags uint8), chunked by time, shuffled, gzip 1:

    /qpos         (nframe, nq)             full target model, MuJoCo's order; root quaternion wxyz
    /qvel         (nframe, nv)
    /landmark_pos (nframe, nlandmark, 3)   [m], reached, world
    /target_pos   (nframe, nlandmark, 3)   [m], requested, world
    /contact      (nframe, 4) uint8        left heel, left toe, right heel, right toe: 1 while it is held still

Clips whose forces were computed also have these. The support is a part of the body that can bear load:

    /bearing            (nframe, nsupport) uint8      1 while the support bears load
    /ground_force       (nframe, nsupport, 3)         [N], world, on the body
    /centre_of_pressure (nframe, nsupport, 3)         [m], world; the support's lowest point if it has no force
    /joint_moment       (nframe, nmoment)             [Nm], that the muscles have to supply
    /activation         (nframe, nu)                  0 to 1, if muscles were requested
    /activation_residual (nframe, nmoment)            [Nm], that they cannot supply

with the names of their second dimension in the attributes support_names, moment_names and muscle_names. Clips of
motions that were recorded on force plates also have these, with plate_names:

    /plate_force       (nframe, nplate, 3)   [N], world, on the subject, as measured: not scaled to the body's mass
    /plate_centre      (nframe, nplate, 3)   [m], under the body's foot as it was under the subject's; held without load
    /plate_free_moment (nframe, nplate)      [Nm], vertical, as measured
    /plate_foot        (nframe, nplate, 2) uint8  left, right: 1 while that foot alone is on the plate; both 1 where the
                                             feet cannot be told apart, or the recording does not cover the frame
    /measured          (nframe, 2) uint8     left, right: 1 where /ground_force of the foot is measured
    /estimated_force   (nframe, nsupport, 3) [N], what /ground_force is without plates; if any of it is measured

Clips of a body that is fixed to a moving base, such as arms to a chest, have the motion of that base:

    /base_motion (nframe, 4, 3)   gravity and acceleration of the root body's origin [m/s^2], angular velocity [rad/s],
                                  angular acceleration [rad/s^2], in the axes of the model's world, which is the base's

Clips of an altered body have the attribute variant: what differs from the body's table, as in `BodyVariant`.

The other attributes are the fields of `Clip` plus format and version; dictionaries and reasons are JSON text. The same
clip always gives the same bytes: no times, no random order, a pinned file format version.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from musclemap.datasets.hdf5.attributes import attribute_value, check_identity, from_json, variant_attribute
from musclemap.datasets.hdf5.process import read_contents
from musclemap.datasets.hdf5.protocol import FileContents
from musclemap.datasets.hdf5.writing import file_bytes
from musclemap.errors import ClipError, FileError, SettingsError
from musclemap.skeletons.variants.variant import UNALTERED, BodyVariant

from .atomic_file import write_hashed
from .clip_schema import (
    ARRAYS,
    FLAGS,
    FORMAT,
    JSON,
    LAYOUT,
    NAMES,
    NUMBERS,
    OPTIONAL,
    OPTIONAL_JSON,
    OPTIONAL_NAMES,
    OPTIONAL_TEXTS,
    VARIANT,
    check_arrays,
    check_shapes,
    check_values,
    dtype_of,
)
from .manifest import strict_json

VERSION = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """One retargeted motion.

    Attributes:
        qpos: Configurations of the full target model, shape (nframe, nq).
        qvel: Velocities, shape (nframe, nv).
        landmark_pos: Landmarks as reached, shape (nframe, nlandmark, 3) [m], world.
        target_pos: Landmarks as requested, shape (nframe, nlandmark, 3) [m], world.
        contact: 1 for a part of a foot that is held still on the ground, shape (nframe, 4): left heel, left toe, right
            heel, right toe.
        fps: Frames per second.
        joint_names: Joints of the target model in its order.
        landmark_names: Names along the second dimension of the landmark arrays.
        model: Name of the target model.
        model_version: Version of the package that provides it.
        model_sha256: Hash of the compiled model's description.
        source: POSIX path of the source below the input root.
        source_sha256: Hash of the source file; empty if the motion has no file.
        source_fps: Frame rate stated by the source, or None.
        fps_source: Origin of the source's frame rate.
        body_model: "mean", "source" for a source with its own skeleton, or file name and hash of the body model.
        subject_scale: Size of the subject relative to the body model.
        hands: "locked" or "tracked".
        config: Settings of the run.
        software: Versions.
        licence: Licence of the source, as far as it is known.
        metrics: Metrics by name.
        verdict: "feasible", "warn" or "infeasible".
        reasons: For each broken rule: rule, value, limit, frames.
        warnings: For each doubt about the source: code and text.
        activation: Muscle activations that would produce the joint torques, shape (nframe, nu), 0 to 1; None if not
            computed.
        activation_residual: Torque that they cannot produce at each independent joint, shape (nframe, njoint) [Nm].
        muscle_names: Names along the second dimension of `activation`; empty in clips of earlier releases.
        support_names: Parts of the body that can bear load, along the second dimension of the next three arrays.
        bearing: 1 for a support that bears load, shape (nframe, nsupport); None if not computed.
        ground_force: Force of the ground on each support, world frame, shape (nframe, nsupport, 3) [N], or None.
        centre_of_pressure: Where it acts, world frame, shape (nframe, nsupport, 3) [m]; the lowest point of a support
            without force. None if not computed.
        moment_names: Names along the second dimension of `joint_moment`.
        joint_moment: Net moment that the muscles have to supply at each independent joint, shape (nframe, njoint) [Nm]:
            inverse dynamics minus the moments of the ground; None if not computed.
        base_motion: Motion of the base that the body is fixed to, shape (nframe, 4, 3): acceleration by gravity,
            acceleration of the root body's origin [m/s^2], angular velocity [rad/s], angular acceleration [rad/s^2], in
            the axes of the model's world. None for a free body, and for a base at rest.
        plate_names: Force plates, along the second dimension of the next four arrays; None without plates.
        plate_force: Force of each plate on the subject as measured, world frame, shape (nframe, nplate, 3) [N].
        plate_centre: Centre of pressure, under the body's foot as it was under the subject's, shape (nframe, nplate, 3)
            [m]; held where the plate is not loaded.
        plate_free_moment: Vertical moment about it as measured, shape (nframe, nplate) [Nm].
        plate_foot: Whether the left and the right foot are on each plate, shape (nframe, nplate, 2); both where they
            cannot be told apart, or the recording does not cover the frame.
        measured: 1 where `ground_force` of the left or right foot is measured, scaled to the body's weight, shape
            (nframe, 2); None if it is estimated throughout.
        estimated_force: `ground_force` as it would be without plates, same shape; None if `measured` is.
        force_source: Name and hash of the file of the measured forces; empty without.
        calibration_source: Name and hash of the static trial that calibrated the subject's markers; empty without.
        variant: What differs from the table of the target model; `model_sha256` includes it.
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
    warnings: tuple[Mapping[str, Any], ...] = ()
    activation: np.ndarray | None = None
    activation_residual: np.ndarray | None = None
    muscle_names: tuple[str, ...] = ()
    support_names: tuple[str, ...] = ()
    bearing: np.ndarray | None = None
    ground_force: np.ndarray | None = None
    centre_of_pressure: np.ndarray | None = None
    moment_names: tuple[str, ...] = ()
    joint_moment: np.ndarray | None = None
    base_motion: np.ndarray | None = None
    plate_names: tuple[str, ...] = ()
    plate_force: np.ndarray | None = None
    plate_centre: np.ndarray | None = None
    plate_free_moment: np.ndarray | None = None
    plate_foot: np.ndarray | None = None
    measured: np.ndarray | None = None
    estimated_force: np.ndarray | None = None
    force_source: str = ""
    calibration_source: str = ""
    variant: BodyVariant = UNALTERED

    @property
    def nframe(self) -> int:
        """Number of frames."""
        return len(self.qpos)

    @property
    def nroot(self) -> int:
        """Columns of `qpos` that hold a free root: 7, or 0 for a body without one."""
        return 7 if self.qpos.shape[1] > self.qvel.shape[1] else 0

    @property
    def duration(self) -> float:
        """Time from the first frame to the last [s]."""
        return (self.nframe - 1) / self.fps

    @property
    def broken_rules(self) -> str:
        """Names of the broken rules, separated by commas."""
        return ", ".join(str(reason.get("rule")) for reason in self.reasons)

    def frames(self, rows: slice | np.ndarray) -> "Clip":
        """The clip with some of its frames only: every array by frame is indexed; metrics and verdict stay as they are.

        Args:
            rows: Frames to keep.
        """
        arrays = {name: getattr(self, name) for name in (*ARRAYS, *OPTIONAL)}
        return replace(self, **{name: array[rows] for name, array in arrays.items() if array is not None})


_ATTRIBUTES = tuple(field.name for field in fields(Clip) if field.name not in (*ARRAYS, *OPTIONAL))


def write_clip(path: Path, clip: Clip, *, before_rename: Callable[[str], None] | None = None) -> str:
    """Write a clip atomically: a reader finds the old file, the new one or none, never a part.

    Args:
        path: File to write; missing folders are created.
        clip: Clip; float arrays are stored as float32, NaN inside dictionaries as null.
        before_rename: Called with the SHA-256 after the bytes are on disk and before the file is renamed.

    Returns:
        SHA-256 of the file.

    Raises:
        ClipError: If the clip breaks the contract; the message names the field.
    """
    present = (*ARRAYS, *(key for key in OPTIONAL if getattr(clip, key) is not None))
    arrays = {key: np.asarray(getattr(clip, key)) for key in present}
    with np.errstate(over="ignore"):  # values beyond float32 become infinite and are refused below
        stored = {key: array.astype(dtype_of(key)) for key, array in arrays.items()}
    for key in FLAGS:
        if key in stored and not np.array_equal(stored[key], arrays[key]):
            raise ClipError(f"{key} holds other values than 0 and 1")
    try:
        texts = {key: strict_json(getattr(clip, key)) for key in (*JSON, *OPTIONAL_JSON)}
        values = {key: getattr(clip, key) for key in _ATTRIBUTES}
        # check what a reader will get
        values |= {key: _from_json(from_json(text, key), key) for key, text in texts.items()}
        _check({key: array.shape for key, array in stored.items()}, stored, values)
    except (FileError, SettingsError) as error:
        raise ClipError(f"the clip: {error}") from error
    texts[VARIANT] = clip.variant.canonical
    optional = (*OPTIONAL_NAMES, *OPTIONAL_JSON, *OPTIONAL_TEXTS, VARIANT)
    written = [key for key in _ATTRIBUTES if key not in optional or values[key]]
    numbers = {key: float(values[key]) for key in NUMBERS if values[key] is not None}
    attributes = {key: texts.get(key, numbers.get(key, values[key])) for key in written}
    data = file_bytes(stored, {"format": FORMAT, "version": VERSION, **attributes})
    return write_hashed(path, data, before_rename=before_rename)


def read_clip(path: Path, *, sha256: str | None = None) -> Clip:
    """Read a clip and check all of it. Datasets and attributes that this version does not know are ignored.

    The file is untrusted: another process opens it (`hdf5/process.py`), nothing outside it is read, and the result has
    the types and limits of `clip_schema`.

    Args:
        path: File to read.
        sha256: Hash of the clip in the manifest. With it any damage is detected. Without it damage to the text of
            attributes can go unnoticed, because HDF5 keeps no checksum there.

    Raises:
        ClipError: If the file is missing, damaged, of another format or version, or breaks the contract; the message
            names the place.
    """
    try:
        contents = read_contents(path, layout=LAYOUT, sha256=sha256)
    except FileError as error:
        raise ClipError(str(error)) from error
    try:
        check_identity(contents, format_=FORMAT, version=VERSION, noun="clip")
        values = {key: _value(contents, key) for key in _ATTRIBUTES}
        _check({key: array.shape for key, array in contents.arrays.items()}, contents.arrays, values)
    except FileError as error:
        raise ClipError(f"{path}: {error}") from error
    return Clip(**contents.arrays, **values)


def _value(contents: FileContents, key: str) -> Any:
    """Value of an attribute as `Clip` holds it."""
    if key == VARIANT:
        return variant_attribute(contents)
    if key in (*OPTIONAL_NAMES, *OPTIONAL_JSON, *OPTIONAL_TEXTS) and key not in contents.attributes:
        return "" if key in OPTIONAL_TEXTS else ()
    names, json = (*NAMES, *OPTIONAL_NAMES), (*JSON, *OPTIONAL_JSON)
    value = attribute_value(contents, key, names=names, numbers=NUMBERS, json=json)
    if key == "source_fps" and math.isnan(value):
        return None
    return _from_json(value, key)


def _from_json(value: Any, key: str) -> Any:
    """A decoded value as `Clip` holds it."""
    return tuple(value) if key in ("reasons", *OPTIONAL_JSON) and isinstance(value, list) else value


def _check(
    shapes: Mapping[str, tuple[int, ...]], arrays: Mapping[str, np.ndarray], values: Mapping[str, Any]
) -> None:  # fmt: skip
    """Refuse values that break the contract; the message names the field."""
    check_shapes(shapes)
    check_values(values)
    check_arrays(arrays, values)
