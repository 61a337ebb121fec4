"""Checks of length, of single frames and of the frame rate: what is doubtful becomes a warning of the motion.

Nothing is changed here, except that frames of zeros at either end are left out: estimators leave them where they saw
nobody, and generators fill motions up to a common length with them.
"""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion, SourceWarning
from musclemap.errors import SourceError
from musclemap.intervals import runs
from musclemap.reason_codes import ReasonCode

from .frame_rate import check_frame_rate
from .limits import MAX_FRAMES, MAX_SECONDS
from .repeated_frames import find_repeats

USUAL_RATES = frozenset((24, 25, 29.97, 30, 48, 50, 59.94, 60, 90, 100, 120, 125, 128, 150, 180, 200, 240, 250, 300))
"""Frame rates of cameras [Hz], which may equal the number of frames by chance."""

GLITCH_ROTATION, GLITCH_DISTANCE = 1.2, 0.3
"""Smallest step of a joint [rad] or the pelvis [m] into an outlier and back."""

GLITCH_RETURN = 0.35
"""Largest step over the outlier, relative to that into it: the body is back where it was."""

CALM = 0.25
"""Largest median step of the frames around an outlier, relative to that into it."""

LONGEST_GLITCH = 3
"""Frames."""

JUMP_SPEED = 12.0
"""Pelvis speed that no person has without a vehicle [m/s]; sprinters reach 12."""

JUMP_RATIO = 8.0
"""A jump is this much faster than the frames around it."""

_NEIGHBOURS = 15
_CHUNK = 8192


def check_length(nframe: int) -> None:
    """Refuse a motion without frames, of a single frame, or of too many.

    Raises:
        SourceError: With the code no_frames, single_frame or too_large.
    """
    if nframe == 0:
        raise SourceError(ReasonCode.NO_FRAMES, "the file holds no frames")
    if nframe == 1:
        raise SourceError(ReasonCode.SINGLE_FRAME, "the file holds a single frame, which is not a motion")
    if nframe > MAX_FRAMES:
        raise SourceError(ReasonCode.TOO_LARGE, f"the file holds {nframe} frames; at most {MAX_FRAMES} are read")


def check_duration(nframe: int, fps: float) -> None:
    """Refuse a motion that lasts longer than MAX_SECONDS.

    Raises:
        SourceError: With the code too_large.
    """
    if nframe / fps > MAX_SECONDS:
        raise SourceError(ReasonCode.TOO_LARGE, f"{nframe} frames at {fps:g} Hz last over {MAX_SECONDS / 3600:g} hours")


def without_empty_ends(motion: SourceMotion) -> SourceMotion:
    """Leave out frames of zeros at either end of a motion as read; others are only named.

    Args:
        motion: Motion in the axes and the unit of its file.
    """
    empty = np.logical_not(motion.rotvec.any(axis=(1, 2)) | motion.trans.any(axis=1)).reshape(-1)
    count = int(empty.sum())
    if not count or count >= len(empty) - 1:
        return motion
    filled = np.flatnonzero(~empty)
    first, stop = int(filled[0]), int(filled[-1]) + 1
    inside = int(empty[first:stop].sum())
    ends = ((first, "first"), (len(empty) - stop, "last"))
    parts = [f"the {end} {f'{n} frames' if n > 1 else 'frame'}" for n, end in ends if n]
    texts = [f"only zeros in {' and '.join(parts)} (no person seen, or padding), left out"] * bool(parts)
    texts += [f"only zeros in {inside} frames within the motion: fill or cut them"] * bool(inside)
    hands = motion.hand_rotvec
    return replace(
        motion, rotvec=motion.rotvec[first:stop], trans=motion.trans[first:stop],
        hand_rotvec=None if hands is None else hands[first:stop],
        warnings=(*motion.warnings, SourceWarning(ReasonCode.EMPTY_FRAMES, "; ".join(texts))),
    )  # fmt: skip


def with_frame_checks(motion: SourceMotion, *, scale: float | None) -> SourceMotion:
    """Check the frame rate and the frames of a motion; adds the report and warnings.

    Args:
        motion: Motion with z up, in metres.
        scale: Size of the subject relative to a mean adult, from `stance_scale`, or None.
    """
    rotvec, trans, fps = motion.rotvec, motion.trans, motion.fps
    report = check_frame_rate(rotvec, trans, fps=fps, scale=scale)
    warnings = list(motion.warnings)
    counted = motion.source_fps == fps and fps in (motion.nframe, motion.nframe - 1) and fps not in USUAL_RATES
    if report.suspicious or counted:
        fits = f", about {report.estimate:.0f} Hz would fit" if report.suspicious else ""
        evidence = [*report.evidence] if report.suspicious else []
        evidence += [f"the file has {motion.nframe} frames, so its rate may be their number"] if counted else []
        text = f"frame rate {fps:g} Hz is doubtful{fits}: {'; '.join(evidence)}; to correct it, add --source-fps N"
        warnings.append(SourceWarning(ReasonCode.DOUBTFUL_FRAME_RATE, text))
    repeats = find_repeats(rotvec, trans, fps=fps)
    if repeats.repeated.any():
        warnings.append(SourceWarning(ReasonCode.REPEATED_FRAMES, repeats.sentence(fps)))
    warnings += _outliers(rotvec, trans)
    if not any(warning.code is ReasonCode.DROPPED_FRAMES for warning in warnings):
        warnings += _jumps(trans, fps)
    return replace(motion, frame_rate=report, warnings=tuple(warnings))


def _outliers(rotvec: np.ndarray, trans: np.ndarray) -> list[SourceWarning]:
    """A warning that names frames in which a joint or the pelvis leaves its path for up to LONGEST_GLITCH frames."""
    found = _excursions(_distances(trans), GLITCH_DISTANCE)
    for low in range(0, len(rotvec), _CHUNK):
        part = rotvec[max(low - _NEIGHBOURS, 0) : low + _CHUNK + _NEIGHBOURS]
        found |= {frame + max(low - _NEIGHBOURS, 0) for frame in _excursions(_angles(part), GLITCH_ROTATION)}
    if not found:
        return []
    frames = sorted(found)
    more = f" and {len(frames) - 5} more" if len(frames) > 5 else ""
    text = f"the body leaves its path for an instant, a glitch: frame {', '.join(map(str, frames[:5]))}{more}"
    return [SourceWarning(ReasonCode.OUTLIER_FRAMES, text)]


def _angles(rotvec: np.ndarray) -> list[np.ndarray]:
    """Angle of each joint between frames that are 1, 2, .. LONGEST_GLITCH + 1 apart, shape (nframe - k, njoint)."""
    quat = Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_quat().reshape(*rotvec.shape[:2], 4)
    cosines = [np.abs(np.sum(quat[k:] * quat[:-k], axis=2)) for k in range(1, min(LONGEST_GLITCH + 2, len(quat)))]
    return [2 * np.arccos(np.minimum(cosine, 1.0)) for cosine in cosines]


def _distances(trans: np.ndarray) -> list[np.ndarray]:
    """Distance between frames that are 1, 2, .. apart, shape (nframe - k, 1)."""
    apart = range(1, min(LONGEST_GLITCH + 2, len(trans)))
    return [np.linalg.norm(trans[k:] - trans[:-k], axis=1)[:, None] for k in apart]


def _excursions(apart: list[np.ndarray], threshold: float) -> set[int]:
    """Frames that lie off the path, from distances between frames k + 1 apart in entry k."""
    steps = apart[0]
    if not (steps > threshold).any():
        return set()
    from scipy.ndimage import median_filter  # here, because readers have to be imported quickly

    around = median_filter(steps, size=(2 * _NEIGHBOURS + 1, 1), mode="nearest")
    large = (steps > threshold) & (around < CALM * steps)
    frames: set[int] = set()
    for length in range(1, len(apart)):
        count = len(apart[length])
        into, back = steps[:count], steps[length : length + count]
        off = large[:count] & large[length : length + count] & (apart[length] < GLITCH_RETURN * np.minimum(into, back))
        for start in np.flatnonzero(off.any(axis=1)):
            frames |= set(range(int(start) + 1, int(start) + 1 + length))
    return frames


def _jumps(trans: np.ndarray, fps: float) -> list[SourceWarning]:
    """A warning that names places where the pelvis jumps and does not come back, as where frames are missing."""
    speed = np.linalg.norm(np.diff(trans, axis=0), axis=1) * fps
    from scipy.ndimage import median_filter

    around = median_filter(speed, size=2 * _NEIGHBOURS + 1, mode="nearest")
    fast = (speed > JUMP_SPEED) & (speed > JUMP_RATIO * around)
    places = [start for start, stop in runs(fast) if stop - start == 1]
    if not places:
        return []
    place, distance = places[0], float(speed[places[0]] / fps)
    many = f" ({len(places)} such jumps)" if len(places) > 1 else ""
    text = (
        f"the body jumps by {distance:.2g} m after frame {place}{many}: frames are missing or wrong there; cut the file"
    )
    return [SourceWarning(ReasonCode.DROPPED_FRAMES, text)]
