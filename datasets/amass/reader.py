"""Reader of AMASS motion files: converts every layout of the archive's releases to one form or refuses with a reason.

A file's bytes are read once; the hash, the arrays and hence the clip come from the same bytes. Nothing is unpickled.
"""

import hashlib
import math
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np

from musclemap.datasets.motion import UNKNOWN_LICENCE, SourceMotion, SourceWarning
from musclemap.errors import FileError, SettingsError, SourceError
from musclemap.failures import Failure, attempt
from musclemap.files import read_bytes
from musclemap.folders import find_files
from musclemap.npz_arrays import NpzArrays, text_of
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.smpl.joints import FIRST_HAND_JOINT

from .frame_rate import check_frame_rate
from .limits import (
    FPS_RANGE,
    MAX_BETA,
    MAX_BETAS,
    MAX_BYTES,
    MAX_FILE_BYTES,
    MAX_FRAMES,
    MAX_LICENCE,
    MAX_ROTATION,
    MAX_SECONDS,
    MAX_TRANSLATION,
)
from .repeated_frames import find_repeats

POSE_WIDTHS = {72: "smpl", 156: "smplh", 165: "smplx"}
"""Number of columns of `poses` for each family: 3 per joint."""

FPS_KEYS = ("mocap_framerate", "mocap_frame_rate")
"""Older releases use the first key, newer ones the second."""

_ParamsT = ParamSpec("_ParamsT")
_ResultT = TypeVar("_ResultT")

_BODY = slice(0, 66)
_GENDERS = {"m": "male", "male": "male", "f": "female", "female": "female", "n": "neutral", "neutral": "neutral"}


def is_motion_file(path: Path) -> bool:
    """Whether a file name denotes a motion: an .npz, not hidden, no subject's shape, no first stage of a fit."""
    name = path.name.lower()
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
def find_motions(root: Path) -> list[tuple[Path, str]]:
    """List the motion files below a folder, or the one file given.

    Links are followed. A folder reachable by several paths is listed once, under its real path if that is below the
    root, so link loops end. Broken links and folders that cannot be listed stay in the list, so that reading them fails
    with a reason and they get an entry in the manifest.

    Args:
        root: Folder or file.

    Returns:
        Path and name of each, sorted by name. The name is the POSIX path below the root, with its suffix.

    Raises:
        SourceError: If `root` does not exist or cannot be listed ("unreadable").
    """
    if root.is_file():
        return [(root, root.name)]
    if not root.is_dir():
        raise SourceError(ReasonCode.UNREADABLE, f"{root} is neither a file nor a folder")
    motions, unlisted = find_files(root, accept=lambda name: is_motion_file(Path(name)))
    motions += unlisted
    return sorted(((path, path.relative_to(root).as_posix()) for path in motions), key=lambda pair: pair[1])


@refusing
def read_motion(
    path: Path, *, name: str, default_fps: float | None = None, fps_override: float | None = None
) -> SourceMotion:
    """Read one motion.

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
            bad_type, bad_shape, no_frames, single_frame, non_finite, out_of_range, no_frame_rate, bad_frame_rate,
            out_of_memory.
        SettingsError: If `default_fps` or `fps_override` is outside FPS_RANGE.
    """
    for key, value in (("default_fps", default_fps), ("fps_override", fps_override)):
        if value is not None and not FPS_RANGE[0] <= value <= FPS_RANGE[1]:
            raise SettingsError(f"{key} must be from {FPS_RANGE[0]:g} to {FPS_RANGE[1]:g} Hz, not {value}")
    data = read_bytes(path, limit=MAX_FILE_BYTES)
    arrays = NpzArrays(data, limit=MAX_BYTES)
    warnings: list[SourceWarning] = []
    poses, hand_rotvec, family = _poses(arrays, warnings=warnings)
    trans = arrays.numbers("trans", width=3)
    if len(trans) != len(poses):
        raise SourceError(ReasonCode.BAD_SHAPE, f"trans has {len(trans)} frames and the poses have {len(poses)}")
    _check_motion({"poses": poses, "hands": hand_rotvec, "trans": trans})
    fps, fps_source, source_fps = _frame_rate(arrays, default=default_fps, override=fps_override, warnings=warnings)
    if len(poses) / fps > MAX_SECONDS:
        raise SourceError(
            ReasonCode.TOO_LARGE, f"{len(poses)} frames at {fps:g} Hz last over {MAX_SECONDS / 3600:g} hours"
        )

    rotvec = poses.reshape(-1, 22, 3)
    report = check_frame_rate(rotvec, trans, fps=fps)
    if report.suspicious:
        evidence = "; ".join(report.evidence)
        warnings.append(
            SourceWarning(
                ReasonCode.DOUBTFUL_FRAME_RATE,
                f"frame rate {fps:g} Hz is doubtful, about {report.estimate:.0f} Hz would fit: {evidence}",
            )
        )
    repeats = find_repeats(rotvec, trans, fps=fps)
    if repeats.repeated.any():
        warnings.append(SourceWarning(ReasonCode.REPEATED_FRAMES, repeats.sentence(fps)))
    return SourceMotion(
        name=name,
        rotvec=rotvec,
        hand_rotvec=hand_rotvec,
        trans=trans,
        betas=_betas(arrays, warnings=warnings),
        gender=_gender(arrays, warnings=warnings),
        family=family,
        fps=fps,
        fps_source=fps_source,
        source_fps=source_fps,
        sha256=hashlib.sha256(data).hexdigest(),
        licence=_licence(arrays, warnings=warnings),
        frame_rate=report,
        warnings=tuple(warnings),
    )


def _poses(arrays: NpzArrays, *, warnings: list[SourceWarning]) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Body pose (nframe, 66), finger pose (nframe, 30, 3) or None, and the family."""
    split = "root_orient" in arrays and "pose_body" in arrays
    if "poses" in arrays:
        poses = arrays.numbers("poses")
        family = POSE_WIDTHS.get(poses.shape[1]) if poses.ndim == 2 else None
        if family is not None:
            hand = None
            if family in FIRST_HAND_JOINT:
                first = 3 * FIRST_HAND_JOINT[family]
                hand = poses[:, first : first + 90].reshape(-1, 30, 3)
            return poses[:, _BODY], hand, family
        if not split:
            known = ", ".join(f"{width} ({family})" for width, family in POSE_WIDTHS.items())
            raise SourceError(
                ReasonCode.BAD_SHAPE, f"poses has shape {poses.shape}; known second dimensions are {known}"
            )
        warnings.append(
            SourceWarning(
                ReasonCode.BAD_SHAPE,
                f"poses has the unknown shape {poses.shape}; root_orient and pose_body were read instead",
            )
        )
        del poses  # may be as large as the arrays read next
    if not split:
        raise arrays.missing("poses, nor root_orient and pose_body")

    parts = [arrays.numbers("root_orient", width=3), arrays.numbers("pose_body", width=63)]
    if "pose_hand" in arrays:
        parts.append(arrays.numbers("pose_hand", width=90))
    if len({len(part) for part in parts}) > 1:
        raise SourceError(
            ReasonCode.BAD_SHAPE, f"root_orient, pose_body, pose_hand have {[len(p) for p in parts]} frames"
        )
    body = np.concatenate(parts[:2], axis=1)
    hand = parts[2].reshape(-1, 30, 3) if len(parts) > 2 else None
    return body, hand, _declared_family(arrays)


def _declared_family(arrays: NpzArrays) -> str:
    """Family of a split layout: the one the file states, else SMPL-X if it has a jaw or eyes, else SMPL-H."""
    if "surface_model_type" in arrays:
        stated = _text(arrays.array("surface_model_type"))
        if stated in POSE_WIDTHS.values():
            return stated
    return "smplx" if "pose_jaw" in arrays or "pose_eye" in arrays else "smplh"


def _check_motion(parts: dict[str, np.ndarray | None]) -> None:
    """Refuse a motion that is too short, too long, not finite or implausibly large."""
    nframe, present = 0, {}
    for key, part in parts.items():
        if part is not None:
            nframe, present[key] = len(part), part.reshape(len(part), math.prod(part.shape[1:]))
    if nframe == 0:
        raise SourceError(ReasonCode.NO_FRAMES, "the file holds no frames")
    if nframe == 1:
        raise SourceError(ReasonCode.SINGLE_FRAME, "the file holds a single frame, which is not a motion")
    if nframe > MAX_FRAMES:
        raise SourceError(ReasonCode.TOO_LARGE, f"the file holds {nframe} frames; at most {MAX_FRAMES} are read")
    for key, part in present.items():
        bad = np.flatnonzero(~np.isfinite(part).all(axis=1))
        if bad.size:
            more = f" and {bad.size - 5} more" if bad.size > 5 else ""
            raise SourceError(
                ReasonCode.NON_FINITE, f"{key} is not finite in frames {', '.join(map(str, bad[:5]))}{more}"
            )
        limit, unit = (MAX_TRANSLATION, "m") if key == "trans" else (MAX_ROTATION, "rad")
        largest = max(part.max(), -part.min())  # np.abs would make a second copy
        if largest > limit:
            raise SourceError(
                ReasonCode.OUT_OF_RANGE, f"{key} reaches {largest:.3g} {unit}; at most {limit:g} is plausible"
            )


def _frame_rate(
    arrays: NpzArrays, *, default: float | None, override: float | None, warnings: list[SourceWarning]
) -> tuple[float, str, float | None]:
    """Frame rate to use [Hz], its origin, and the file's own frame rate or None."""
    rates = {key: arrays.numbers(key, max_count=MAX_FRAMES) for key in FPS_KEYS if key in arrays}
    for key, rate in rates.items():
        if rate.size != 1 or not FPS_RANGE[0] <= rate.item() <= FPS_RANGE[1]:
            shown = rate.reshape(-1)[:5].tolist()
            limits = f"{FPS_RANGE[0]:g} to {FPS_RANGE[1]:g} Hz"
            if override is None:
                raise SourceError(ReasonCode.BAD_FRAME_RATE, f"{key} is {shown}, not one number from {limits}")
            warnings.append(
                SourceWarning(
                    ReasonCode.BAD_FRAME_RATE,
                    f"{key} is {shown}, not one number from {limits}; {override:g} Hz was given instead",
                )
            )
    stated = {key: float(rate.item()) for key, rate in rates.items() if rate.size == 1}
    if len(set(stated.values())) > 1:
        warnings.append(
            SourceWarning(
                ReasonCode.TWO_FRAME_RATES,
                "the file gives two frame rates: " + ", ".join(f"{k} {v:g}" for k, v in stated.items()),
            )
        )
    source_key = next(iter(stated), None)
    source_fps = stated[source_key] if source_key is not None else None
    if override is not None:
        return float(override), "corrected", source_fps if source_fps is None or math.isfinite(source_fps) else None
    if source_key is not None and source_fps is not None:
        return source_fps, source_key, source_fps
    if default is None:
        error = arrays.missing(" and no ".join(FPS_KEYS) + ", and no default was given")
        raise SourceError(ReasonCode.NO_FRAME_RATE, str(error))
    warnings.append(
        SourceWarning(ReasonCode.NO_FRAME_RATE, f"the file gives no frame rate; {default:g} Hz was assumed")
    )
    return float(default), "assumed", None


def _betas(arrays: NpzArrays, *, warnings: list[SourceWarning]) -> np.ndarray:
    """Shape coefficients, shape (nbeta,), nbeta at most 16."""
    if "betas" not in arrays:
        warnings.append(SourceWarning(ReasonCode.NO_BETAS, "the file gives no betas; the mean shape was used"))
        return np.zeros(MAX_BETAS)
    betas = arrays.numbers("betas", max_count=MAX_FRAMES * MAX_BETAS)
    if betas.ndim not in (1, 2) or betas.size == 0:
        raise SourceError(ReasonCode.BAD_SHAPE, f"betas has shape {betas.shape}, not (nbeta,) or (nframe, nbeta)")
    if not np.isfinite(betas).all():
        raise SourceError(ReasonCode.NON_FINITE, "betas is not finite")
    largest = max(betas.max(), -betas.min())
    if largest > MAX_BETA:
        raise SourceError(ReasonCode.OUT_OF_RANGE, f"betas reaches {largest:.3g}; at most {MAX_BETA:g} is plausible")
    rows = np.atleast_2d(betas)
    if np.ptp(rows, axis=0).max() > 1e-6:
        warnings.append(
            SourceWarning(ReasonCode.CHANGING_BETAS, f"betas change over its {len(rows)} rows; their mean was used")
        )
        rows = rows.mean(axis=0, keepdims=True)
    if rows.shape[1] > MAX_BETAS:
        warnings.append(
            SourceWarning(
                ReasonCode.MANY_BETAS, f"betas has {rows.shape[1]} coefficients; the first {MAX_BETAS} were used"
            )
        )
    return rows[0, :MAX_BETAS].copy()


def _gender(arrays: NpzArrays, *, warnings: list[SourceWarning]) -> str:
    """The subject's gender, or "neutral" with a warning if the file does not state a usable one."""
    if "gender" not in arrays:
        warnings.append(SourceWarning(ReasonCode.NO_GENDER, "the file gives no gender; neutral was assumed"))
        return "neutral"
    try:
        text = _text(arrays.array("gender"))
    except FileError as error:
        warnings.append(SourceWarning(ReasonCode.BAD_GENDER, f"{error}; neutral was assumed"))
        return "neutral"
    if text not in _GENDERS:
        warnings.append(SourceWarning(ReasonCode.BAD_GENDER, f"gender is {text!r}; neutral was assumed"))
    return _GENDERS.get(text, "neutral")


def _licence(arrays: NpzArrays, *, warnings: list[SourceWarning]) -> str:
    """Text of the array `licence`, our addition to AMASS's layout, or "unknown" with a warning if it is not a name."""
    if "licence" not in arrays:
        return UNKNOWN_LICENCE
    try:
        array = arrays.array("licence")
    except FileError as error:
        warnings.append(SourceWarning(ReasonCode.BAD_LICENCE, f"{error}; the licence is taken as unknown"))
        return UNKNOWN_LICENCE
    text = text_of(array) if array.itemsize <= 4 * MAX_LICENCE else ""
    if not text or not text.isprintable() or len(text) > MAX_LICENCE:
        warnings.append(
            SourceWarning(
                ReasonCode.BAD_LICENCE,
                f"licence is not one line of at most {MAX_LICENCE} characters; it is taken as unknown",
            )
        )
        return UNKNOWN_LICENCE
    return text


def _text(array: np.ndarray) -> str:
    """One word from a string or bytes array of size 1; also from bytes that were converted to text, as in "b'male'"."""
    text = text_of(array).lower()
    word = re.fullmatch(r"b?['\"]?(\w+)['\"]?", text)
    return word.group(1) if word else text
