"""The frame rate of a file that states one number."""

from musclemap.datasets.amass.frame_checks import check_duration
from musclemap.datasets.amass.limits import FPS_RANGE
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode

EXACT_RATE = 5e-4
"""Frame times are rounded: a rate this close to a whole number, relatively, is that number. 29.97 Hz is not 30."""


def checked_rate(stated: float, *, nframe: int, key: str, source_fps: float | None) -> tuple[float, str]:
    """Frame rate to use, and where it is from.

    Args:
        stated: Rate that the file states [Hz].
        nframe: Number of frames.
        key: What the file calls it.
        source_fps: Rate that the user gives instead [Hz], or None.

    Raises:
        SourceError: If the rate is implausible ("bad_frame_rate") or the motion too long ("too_large").
    """
    fps = stated if source_fps is None else source_fps
    if not FPS_RANGE[0] <= fps <= FPS_RANGE[1]:
        raise SourceError(
            ReasonCode.BAD_FRAME_RATE,
            f"{key} gives {fps:g} Hz; expected {FPS_RANGE[0]:g} to {FPS_RANGE[1]:g} Hz: state it with --source-fps",
        )
    check_duration(nframe, fps)
    if source_fps is not None:
        return source_fps, "corrected"
    whole = float(round(fps))
    return (whole if abs(whole / fps - 1.0) < EXACT_RATE else fps), key
