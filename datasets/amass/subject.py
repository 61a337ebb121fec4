"""Facts of a motion beside its poses: frame rate, shape coefficients, gender and licence."""

import math
import re
from collections.abc import Mapping

import numpy as np

from musclemap.datasets.motion import UNKNOWN_LICENCE, SourceWarning
from musclemap.errors import FileError, SourceError
from musclemap.npz_arrays import text_of
from musclemap.reason_codes import ReasonCode

from .arrays import Arrays
from .limits import FPS_RANGE, MAX_BETA, MAX_BETAS, MAX_FRAMES, MAX_LICENCE

FPS_KEYS = ("mocap_framerate", "mocap_frame_rate")
"""Older releases of AMASS use the first key, newer ones the second."""

OTHER_FPS_KEYS = ("fps", "framerate", "frame_rate", "mocap_fps")
"""Keys of other tools, read if the file has none of `FPS_KEYS`."""

BETAS_KEYS = ("betas", "beta", "smpl_betas", "pred_shape")
GENDER_KEYS = ("gender", "genders")

_GENDERS = {"m": "male", "male": "male", "f": "female", "female": "female", "n": "neutral", "neutral": "neutral"}
_NUMBERED_GENDERS = {0: "neutral", 1: "male", 2: "female"}  # ISO/IEC 5218


def frame_rate(
    arrays: Arrays,
    *,
    nframe: int,
    default: float | None,
    override: float | None,
    published: Mapping[str, tuple[float, str]],
    warnings: list[SourceWarning],
) -> tuple[float, str, float | None]:
    """Frame rate of a motion.

    Args:
        arrays: Arrays of the file.
        nframe: Number of frames; a rate may be stated once a frame.
        default: Frame rate [Hz] of a file that states none, or None to refuse it.
        override: Frame rate [Hz] that replaces the file's own, or None.
        published: Frame rate [Hz] and name of a data set by a key that only its files have.
        warnings: Doubtful data that was accepted is added.

    Returns:
        The frame rate to use [Hz], its origin, and the file's own frame rate or None.

    Raises:
        SourceError: If there is no frame rate ("no_frame_rate") or no usable one ("bad_frame_rate").
    """
    keys = [key for key in FPS_KEYS if key in arrays] or [key for key in OTHER_FPS_KEYS if key in arrays]
    rates = {key: _rate_numbers(arrays, key, nframe) for key in keys}
    for key, rate in rates.items():
        if rate.size != 1 or not FPS_RANGE[0] <= rate.item() <= FPS_RANGE[1]:
            shown = rate.reshape(-1)[:5].tolist()
            limits = f"{FPS_RANGE[0]:g} to {FPS_RANGE[1]:g} Hz"
            if override is None:
                raise SourceError(
                    ReasonCode.BAD_FRAME_RATE, f"{key} is {shown}, not one number from {limits}: add --source-fps N"
                )
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
    known = next((rate for key, rate in published.items() if key in arrays), None)
    if known is None and default is None:
        error = arrays.missing(" and no ".join(FPS_KEYS) + ", and no default was given (add --source-fps N)")
        raise SourceError(ReasonCode.NO_FRAME_RATE, str(error))
    rate, data_set = known if known is not None else (float(default or 0.0), "")
    text = f"the file gives no frame rate; {rate:g} Hz was assumed" + f", that of {data_set}" * bool(data_set)
    warnings.append(SourceWarning(ReasonCode.NO_FRAME_RATE, text))
    return rate, "assumed", None


def _rate_numbers(arrays: Arrays, key: str, nframe: int) -> np.ndarray:
    """Numbers of a frame rate that is stated as a number, as text, or equally for every frame."""
    try:
        rate = arrays.numbers(key, max_count=MAX_FRAMES)
    except FileError as error:
        if error.code is not ReasonCode.BAD_TYPE:
            raise
        text = re.fullmatch(r"b?['\"]?([0-9.]+)['\"]?(?: ?(?:hz|fps))?", text_of(arrays.array(key)).lower())
        if text is None or text.group(1).count(".") > 1 or not text.group(1).strip("."):
            raise
        return np.array([float(text.group(1))])
    if rate.size == nframe and np.ptp(rate) == 0.0:
        return rate.reshape(-1)[:1]
    return rate


def shape_coefficients(
    arrays: Arrays, *, person: int = 0, npeople: int = 1, nframe: int, warnings: list[SourceWarning]
) -> np.ndarray:
    """Shape coefficients of one person, shape (nbeta,), nbeta at most 16; their mean if they change over the frames.

    Args:
        arrays: Arrays of the file.
        person: Index of the person.
        npeople: Number of people in the file.
        nframe: Number of frames.
        warnings: Doubtful data that was accepted is added.

    Raises:
        SourceError: If they are unusable: bad_type, bad_shape, non_finite, out_of_range or too_large.
    """
    key = next((key for key in BETAS_KEYS if key in arrays), None)
    if key is None:
        warnings.append(SourceWarning(ReasonCode.NO_BETAS, "the file gives no betas; the mean shape was used"))
        return np.zeros(MAX_BETAS)
    betas = arrays.numbers(key, max_count=MAX_FRAMES * MAX_BETAS)
    shape = betas.shape
    if npeople > 1 and betas.ndim >= 2 and shape[0] == npeople:
        betas = betas[person]
    if betas.ndim == 2 and betas.shape[1] == 1 and betas.shape[0] > 1:  # (10, 1): a column
        betas = betas[:, 0]
    if betas.ndim == 3 and 1 in betas.shape[:2]:  # (nframe, 1, nbeta) or (1, nframe, nbeta)
        betas = betas.reshape(-1, betas.shape[2])
    if betas.ndim not in (1, 2) or betas.size == 0:
        raise SourceError(ReasonCode.BAD_SHAPE, f"{key} has shape {shape}, not (nbeta,) or (nframe, nbeta)")
    if not np.isfinite(betas).all():
        raise SourceError(ReasonCode.NON_FINITE, f"{key} is not finite")
    largest = max(betas.max(), -betas.min())
    if largest > MAX_BETA:
        raise SourceError(ReasonCode.OUT_OF_RANGE, f"{key} reaches {largest:.3g}; at most {MAX_BETA:g} is plausible")
    rows = np.atleast_2d(betas)
    if np.ptp(rows, axis=0).max() > 1e-6:
        warnings.append(
            SourceWarning(ReasonCode.CHANGING_BETAS, f"{key} change over its {len(rows)} rows; their mean was used")
        )
        rows = rows.mean(axis=0, keepdims=True)
    if rows.shape[1] > MAX_BETAS:
        warnings.append(
            SourceWarning(
                ReasonCode.MANY_BETAS, f"{key} has {rows.shape[1]} coefficients; the first {MAX_BETAS} were used"
            )
        )
    return rows[0, :MAX_BETAS].copy()


def gender_of(arrays: Arrays, *, person: int = 0, npeople: int = 1, warnings: list[SourceWarning]) -> str:
    """The person's gender, or "neutral" with a warning if the file does not state a usable one."""
    key = next((key for key in GENDER_KEYS if key in arrays), None)
    if key is None:
        warnings.append(SourceWarning(ReasonCode.NO_GENDER, "the file gives no gender; neutral was assumed"))
        return "neutral"
    try:
        array = arrays.array(key)
    except FileError as error:
        warnings.append(SourceWarning(ReasonCode.BAD_GENDER, f"{error}; neutral was assumed"))
        return "neutral"
    if npeople > 1 and array.ndim and len(array) == npeople:
        array = array[person]
    if array.size > 1 and (array == array.flat[0]).all():  # once a frame
        array = array.reshape(-1)[:1]
    if array.size == 1 and array.dtype.kind in "iuf" and float(array.item()) in _NUMBERED_GENDERS:
        gender = _NUMBERED_GENDERS[int(array.item())]
        text = f"{key} is the number {int(array.item())}, read as {gender} (ISO/IEC 5218)"
        warnings.append(SourceWarning(ReasonCode.NUMBERED_GENDER, text))
        return gender
    word = word_of(array)
    if word not in _GENDERS:
        warnings.append(SourceWarning(ReasonCode.BAD_GENDER, f"{key} is {word!r}; neutral was assumed"))
    return _GENDERS.get(word, "neutral")


def licence_of(arrays: Arrays, *, warnings: list[SourceWarning]) -> str:
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


def word_of(array: np.ndarray) -> str:
    """One word from a string or bytes array of size 1; also from bytes that were converted to text, as in "b'male'"."""
    text = text_of(array).lower()
    word = re.fullmatch(r"b?['\"]?(\w+)['\"]?", text)
    return word.group(1) if word else text
