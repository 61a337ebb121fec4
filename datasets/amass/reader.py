"""Motions of arrays of the SMPL family: every unambiguous layout in one form, or a reason why it cannot be used.

A file's bytes are read once; the hash, the arrays and hence the clip come from the same bytes. Nothing is unpickled.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import ParamSpec, TypeVar

import numpy as np

from musclemap.datasets.motion import SourceMotion, SourceWarning
from musclemap.errors import FileError, SettingsError, SourceError
from musclemap.failures import Failure, attempt
from musclemap.files import read_bytes
from musclemap.folders import find_files
from musclemap.npz_arrays import NpzArrays
from musclemap.reason_codes import ReasonCode

from .arrays import Arrays
from .frame_checks import check_duration, check_length, with_frame_checks, without_empty_ends
from .limits import (
    FPS_RANGE,
    MAX_BYTES,
    MAX_FILE_BYTES,
    MAX_FRAMES,
    MAX_ROTATION,
    MAX_TRANSLATION,
    MILLIMETRES,
)
from .poses import first_key, read_poses
from .subject import frame_rate, gender_of, licence_of, shape_coefficients
from .subject_scale import stance_scale

_ParamsT = ParamSpec("_ParamsT")
_ResultT = TypeVar("_ResultT")

FRAME_NUMBER_KEYS = ("frame_ids", "frame_id", "frames", "frame")
"""Keys of frame numbers in the original recording or video."""


def is_motion_file(name: str) -> bool:
    """Whether a file name denotes a motion: an .npz, not hidden, no subject's shape, no first stage of a fit."""
    name = name.lower()
    return name.endswith(".npz") and not (name.startswith(".") or name.endswith("_stagei.npz") or name == "shape.npz")


def refusing(read: Callable[_ParamsT, _ResultT]) -> Callable[_ParamsT, _ResultT]:
    """Decorate a reader of source files so that every fault of a file raises SourceError; a bad call does not.

    A `FileError` keeps its code. An unexpected error gets the code UNREADABLE or OUT_OF_MEMORY.
    """

    @wraps(read)
    def refuse(*args: _ParamsT.args, **kwargs: _ParamsT.kwargs) -> _ResultT:
        result = attempt(lambda: read(*args, **kwargs), code=ReasonCode.UNREADABLE, passing=(SettingsError,))
        if not isinstance(result, Failure):
            return result
        if isinstance(result.error, SourceError):
            raise result.error
        code = result.error.code if isinstance(result.error, FileError) else None
        raise SourceError(code or result.code, result.message) from result.error

    return refuse


@refusing
def find_motions(root: Path, *, accept: Callable[[str], bool] = is_motion_file) -> list[tuple[Path, str]]:
    """List the motion files below a folder, or the one file given.

    Links are followed. A folder reachable by several paths is listed once, under its real path if that is below the
    root, so link loops end. Broken links and folders that cannot be listed stay in the list, so that reading them fails
    with a reason and they get an entry in the manifest.

    Args:
        root: Folder or file.
        accept: Returns whether to list a file, from its name without the folder.

    Returns:
        Path and name of each, sorted by name. The name is the POSIX path below the root, with its suffix.

    Raises:
        SourceError: If `root` does not exist or cannot be listed ("unreadable").
    """
    if root.is_file():
        return [(root, root.name)]
    if not root.is_dir():
        raise SourceError(ReasonCode.UNREADABLE, f"{root} is neither a file nor a folder")
    motions, unlisted = find_files(root, accept=accept)
    motions += unlisted
    return sorted(((path, path.relative_to(root).as_posix()) for path in motions), key=lambda pair: pair[1])


@refusing
def read_motion(
    path: Path, *, name: str, default_fps: float | None = None, fps_override: float | None = None
) -> SourceMotion:
    """Read one motion from an .npz file with z up and metres, as AMASS has them.

    `musclemap.datasets.formats.readers.table.read_motions` reads every format, and other axes and units.

    Args:
        path: File to read.
        name: Name of the motion: its POSIX path below the input root.
        default_fps: Frame rate [Hz] for a file that has none; without it such a file is refused.
        fps_override: Frame rate [Hz] that replaces the file's own.

    Returns:
        The motion. Its `warnings` list everything doubtful that was accepted, including a frame rate that the motion
        itself contradicts; such a rate is never changed.

    Raises:
        SourceError: With one of these codes: unreadable, not_npz, truncated, pickled, too_large, missing_key,
            bad_type, bad_shape, ambiguous_layout, no_frames, single_frame, non_finite, out_of_range, no_frame_rate,
            bad_frame_rate, several_motions, out_of_memory.
        SettingsError: If `default_fps` or `fps_override` is outside FPS_RANGE.
    """
    for key, value in (("default_fps", default_fps), ("fps_override", fps_override)):
        if value is not None and not FPS_RANGE[0] <= value <= FPS_RANGE[1]:
            raise SettingsError(f"{key} must be from {FPS_RANGE[0]:g} to {FPS_RANGE[1]:g} Hz, not {value}")
    data = read_bytes(path, limit=MAX_FILE_BYTES)
    arrays = NpzArrays(data, limit=MAX_BYTES)
    sha256 = hashlib.sha256(data).hexdigest()
    motions = motions_of(arrays, name=name, sha256=sha256, default_fps=default_fps, fps_override=fps_override)
    if len(motions) > 1:
        raise SourceError(ReasonCode.SEVERAL_MOTIONS, f"the file holds {len(motions)} people; one is expected here")
    motion = motions[0]
    check_translation(motion.trans)
    return with_frame_checks(motion, scale=stance_scale(motion.rotvec, motion.trans, fps=motion.fps))


def motions_of(
    arrays: Arrays,
    *,
    name: str,
    sha256: str,
    default_fps: float | None = None,
    fps_override: float | None = None,
    published: Mapping[str, tuple[float, str]] = MappingProxyType({}),
) -> list[SourceMotion]:
    """Motions of arrays of the SMPL family, one per person, in the axes and unit of the file.

    Args:
        arrays: Arrays of the file.
        name: Name of the motions.
        sha256: Hash of the file.
        default_fps: Frame rate [Hz] of a file that states none, or None to refuse it.
        fps_override: Frame rate [Hz] that replaces the file's own, or None.
        published: Frame rate [Hz] and name of a data set by a key that only its files have.

    Raises:
        SourceError: As `read_motion`.
    """
    shared: list[SourceWarning] = []
    people = read_poses(arrays, warnings=shared)
    for person in people:
        check_frames({"poses": person.body, "hands": person.hands, "trans": person.trans})
    nframe = len(people[0].body) if people else 0
    fps, fps_source, source_fps = frame_rate(
        arrays, nframe=nframe, default=default_fps, override=fps_override, published=published, warnings=shared
    )
    check_duration(nframe, fps)
    licence = licence_of(arrays, warnings=shared)
    shared += _dropped_frames(arrays, nframe)
    motions = []
    for k, person in enumerate(people):
        warnings = list(shared)
        betas = shape_coefficients(arrays, person=k, npeople=len(people), nframe=nframe, warnings=warnings)
        gender = gender_of(arrays, person=k, npeople=len(people), warnings=warnings)
        motions.append(
            SourceMotion(
                name=name,
                rotvec=person.body.reshape(-1, 22, 3),
                hand_rotvec=person.hands,
                trans=person.trans,
                betas=betas,
                gender=gender,
                family=person.family,
                fps=fps,
                fps_source=fps_source,
                source_fps=source_fps,
                sha256=sha256,
                licence=licence,
                warnings=tuple(warnings),
            )
        )
    return [without_empty_ends(motion) for motion in motions]


def check_frames(parts: dict[str, np.ndarray | None]) -> None:
    """Refuse a motion that is too short, too long, not finite, or with numbers that are too large in any unit.

    Args:
        parts: Arrays by name, each with one row per frame.

    Raises:
        SourceError: With one of these codes: no_frames, single_frame, too_large, non_finite, out_of_range.
    """
    nframe, present = 0, {}
    for key, part in parts.items():
        if part is not None:
            nframe, present[key] = len(part), part.reshape(len(part), math.prod(part.shape[1:]))
    check_length(nframe)
    for key, part in present.items():
        bad = np.flatnonzero(~np.isfinite(part).all(axis=1))
        if bad.size:
            more = f" and {bad.size - 5} more" if bad.size > 5 else ""
            raise SourceError(
                ReasonCode.NON_FINITE, f"{key} is not finite in frames {', '.join(map(str, bad[:5]))}{more}"
            )
        if key == "trans":
            _check_largest(key, part, MAX_TRANSLATION * MILLIMETRES, "in the unit of the file")
        else:
            _check_largest(key, part, MAX_ROTATION, "rad")


def check_translation(trans: np.ndarray) -> None:
    """Refuse an implausible translation [m].

    Raises:
        SourceError: If it exceeds MAX_TRANSLATION ("out_of_range").
    """
    _check_largest("trans", trans, MAX_TRANSLATION, "m")


def _check_largest(key: str, part: np.ndarray, limit: float, unit: str) -> None:
    largest = max(part.max(), -part.min())  # np.abs would make a second copy
    if largest > limit:
        raise SourceError(
            ReasonCode.OUT_OF_RANGE, f"{key} reaches {largest:.3g} {unit}; at most {limit:g} is plausible"
        )


def _dropped_frames(arrays: Arrays, nframe: int) -> list[SourceWarning]:
    """A warning if the file numbers its frames and skips some."""
    key = first_key(arrays, FRAME_NUMBER_KEYS)
    if key is None:
        return []
    numbers = attempt(lambda: arrays.numbers(key, max_count=MAX_FRAMES).reshape(-1))
    if isinstance(numbers, Failure) or len(numbers) != nframe or not np.isfinite(numbers).all():
        return []
    steps = np.diff(numbers)
    usual = float(np.median(steps))
    gaps = np.flatnonzero(steps > 1.5 * usual) if usual > 0 else np.zeros(0, int)
    if not gaps.size:
        return []
    lost = round(float((steps[gaps] / usual - 1).sum()))
    text = (
        f"{key} skips {lost} frames, first after frame {gaps[0]}: the body jumps there; cut the file at the gap, or "
        "fill it"
    )
    return [SourceWarning(ReasonCode.DROPPED_FRAMES, text)]
