"""Repeated frames of a source: frames that equal their predecessor exactly while the body moves.

They come from recordings stored at a higher rate than they were made at (30 Hz as 60 Hz: every second frame is
repeated; 100 Hz as 120 Hz: every sixth), and from frames that a camera dropped. Between them the body appears to stop,
so speeds and forces are wrong. A body that stands still is not affected: its neighbouring frames do not move either.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion
from musclemap.intervals import runs

MOVING_ROTATION = 0.5
"""The body moves if a joint turns faster than this [rad/s]; steps of numbers stored in 16 bits are slower."""

LONGEST_HOLD = 0.12
"""Repeated frames over a longer time are a pause [s]."""

MAX_PERIOD = 12
"""Longest period of a regular pattern in frames."""

MIN_STEPS = 10
"""Smallest number of movements, or of repeated frames, that shows a pattern."""

_REGULAR = 0.97
"""Fraction of the movements (or repeated frames) that a regular pattern has to explain."""

_CHUNK = 8192
"""Frames compared at once."""

_ORDINALS = {2: "second", 3: "third", 4: "fourth", 5: "fifth", 6: "sixth", 7: "seventh", 8: "eighth", 9: "ninth"}


@dataclass(frozen=True, kw_only=True)
class RepeatReport:
    """Repeated frames of one motion.

    Attributes:
        repeated: Whether each frame repeats its predecessor while the body moves, shape (nframe,) bool.
        keep: Frames that remain if the pattern is regular, shape (nkept,); None if it is not.
        fps: Frame rate of the frames that remain [Hz], or None.
        pattern: The pattern in words; empty without repeated frames.
    """

    repeated: np.ndarray
    keep: np.ndarray | None = None
    fps: float | None = None
    pattern: str = ""

    @property
    def fraction(self) -> float:
        """Fraction of repeated frames."""
        return float(self.repeated.mean())

    def sentence(self, fps: float) -> str:
        """Describe the repeated frames of a motion that is stored at `fps` [Hz], and what is done about them."""
        if self.fps is None:
            return f"{self.pattern}; interpolation replaces repeated frames"
        return (
            f"{self.pattern}: the motion was probably recorded at {self.fps:g} Hz and stored at {fps:g} Hz; the "
            "repeated frames are left out"
        )


def find_repeats(rotvec: np.ndarray, trans: np.ndarray, *, fps: float) -> RepeatReport:
    """Find the frames that repeat their predecessor, and their pattern.

    Args:
        rotvec: Axis-angles, shape (nframe, njoint, 3) [rad].
        trans: Translation, shape (nframe, 3) [m].
        fps: Frame rate [Hz].
    """
    rotation = _largest_steps(rotvec.reshape(len(rotvec), -1)) * fps
    speed = _largest_steps(trans) * fps
    same = (rotation == 0.0) & (speed == 0.0)
    same[0] = False
    moves = rotation > MOVING_ROTATION
    repeated = np.zeros(len(same), bool)
    for start, stop in runs(same):
        between_movements = moves[start - 1] and stop < len(same) and moves[stop]
        repeated[start:stop] = between_movements and stop - start <= LONGEST_HOLD * fps
    if not repeated.any():
        return RepeatReport(repeated=repeated)
    return (
        _held(repeated, same, moves, fps)
        or _inserted(repeated, np.append(False, moves[:-1]) & np.append(moves[1:], False), fps)
        or RepeatReport(repeated=repeated, pattern=_listed(repeated))
    )


def _largest_steps(values: np.ndarray) -> np.ndarray:
    """Largest change of each frame from its predecessor, 0 for the first; in chunks, which bounds the memory."""
    steps = np.zeros(len(values))
    for low in range(1, len(values), _CHUNK):
        part = values[low - 1 : low + _CHUNK]
        steps[low : low + _CHUNK] = np.abs(np.diff(part, axis=0)).max(axis=1)
    return steps


def _held(repeated: np.ndarray, same: np.ndarray, moves: np.ndarray, fps: float) -> RepeatReport | None:
    """Report that every frame is held for a whole number of frames, or None."""
    steps = np.flatnonzero(moves & ~same)
    if len(steps) < MIN_STEPS:
        return None
    for period in range(MAX_PERIOD, 1, -1):
        phase = int(np.bincount(steps % period).argmax())
        if np.mean(steps % period == phase) < _REGULAR:
            continue
        keep = np.arange(phase, len(repeated), period)
        times = f"every frame is repeated {period - 1} times"
        pattern = "every second frame is repeated" if period == 2 else times
        return RepeatReport(repeated=repeated, keep=keep, fps=fps / period, pattern=pattern)
    return None


def _inserted(repeated: np.ndarray, moving: np.ndarray, fps: float) -> RepeatReport | None:
    """Report that one frame in a constant number of frames is a repeated one, or None.

    `moving` is whether the body moves before and after each frame, shape (nframe,).
    """
    found = np.flatnonzero(repeated)
    if len(found) < MIN_STEPS:
        return None
    for period in range(3, MAX_PERIOD + 1):
        phase = int(np.bincount(found % period).argmax())
        expected = np.flatnonzero(moving)
        expected = expected[expected % period == phase]
        if np.mean(found % period == phase) < _REGULAR or np.mean(repeated[expected]) < _REGULAR:
            continue
        frames = np.arange(len(repeated))
        ordinal = _ORDINALS.get(period, f"{period}th")
        return RepeatReport(
            repeated=repeated,
            keep=frames[frames % period != phase],
            fps=fps * (period - 1) / period,
            pattern=f"every {ordinal} frame is repeated",
        )
    return None


def _listed(repeated: np.ndarray) -> str:
    count, first = int(repeated.sum()), int(np.flatnonzero(repeated)[0])
    if count == 1:
        return f"frame {first} is repeated"
    return f"{count} frames are repeated while the body moves, the first is frame {first}"


def without_repeats(motion: SourceMotion, report: RepeatReport) -> SourceMotion:
    """Remove the repeated frames of a motion.

    With a regular pattern the remaining frames have the report's frame rate. Otherwise the repeated frames are replaced
    by interpolation between their neighbours.
    """
    if not report.repeated.any():
        return motion
    hands, angles = motion.hand_rotvec, motion.angles
    if report.keep is not None and report.fps is not None:
        keep = report.keep
        return replace(
            motion, rotvec=motion.rotvec[keep], trans=motion.trans[keep], fps=report.fps,
            hand_rotvec=None if hands is None else hands[keep],
            angles=None if angles is None else replace(angles, values=angles.values[keep]),
        )  # fmt: skip
    rotvec, trans = motion.rotvec.copy(), motion.trans.copy()
    hands = None if hands is None else np.array(hands)
    angles = None if angles is None else replace(angles, values=angles.values.copy())
    vectors = (trans,) if angles is None else (trans, angles.values)
    for start, stop in runs(report.repeated):
        _interpolate((rotvec, hands), vectors, start, stop, report.repeated)
    return replace(motion, rotvec=rotvec, trans=trans, hand_rotvec=hands, angles=angles)


_NEIGHBOURS = 6
"""Frames on either side that a gap is interpolated from."""


def _interpolate(
    rotvecs: Sequence[np.ndarray | None], vectors: Sequence[np.ndarray], start: int, stop: int, repeated: np.ndarray
) -> None:
    """Replace frames [start, stop) by cubic splines through the frames near them that are not repeated.

    Rotations (nframe, njoint, 3) and other vectors (nframe, n) are changed in place.
    """
    near = np.arange(max(start - _NEIGHBOURS, 0), min(stop + _NEIGHBOURS, len(repeated)))
    near, gap = near[~repeated[near]], np.arange(start, stop)
    for values in vectors:
        values[gap] = CubicSpline(near, values[near])(gap)
    for rotations in rotvecs:
        if rotations is None:
            continue
        quat = Rotation.from_rotvec(rotations[near].reshape(-1, 3)).as_quat().reshape(len(near), -1, 4)
        quat *= np.where(np.sum(quat * quat[:1], axis=-1, keepdims=True) < 0, -1.0, 1.0)
        filled = CubicSpline(near, quat)(gap)
        rotations[gap] = Rotation.from_quat(filled.reshape(-1, 4)).as_rotvec().reshape(len(gap), -1, 3)
