"""Positions of markers as a file states them, and their gaps."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from musclemap.datasets.formats.readers.forces.raw_forces import RawForces
from musclemap.datasets.formats.readers.units import UNIT_LENGTHS
from musclemap.intervals import runs

LONGEST_BRIDGE = 0.1
"""Longest gap that is bridged by interpolation [s]. The hand of a walker turns back within about 0.3 s."""

METRES = {**UNIT_LENGTHS, "meters": 1.0, "metres": 1.0, "millimeters": 0.001, "inches": 0.0254}
"""Length of the units that files name [m]."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Markers of a file.

    Attributes:
        labels: Label of every marker, shape (nmarker,); empty or starting with * if the marker has no name.
        pos: Positions, shape (nframe, nmarker, 3), in the file's unit and axes; NaN where a marker is not seen.
        rate: Frame rate that the header states [Hz].
        clock: Frame rate by the times of the frames [Hz], or None if the file has no times.
        unit: Unit that the header states, as written; empty if it states none.
        upright: Axis that points up by the convention of the format, used where the motion does not show it.
        start: Time of the first frame by the file's clock [s].
        forces: Force plates of the same file, in its unit and axes; None if it has none.
    """

    labels: tuple[str, ...]
    pos: np.ndarray
    rate: float
    clock: float | None
    unit: str
    upright: str
    start: float = 0.0
    forces: RawForces | None = None


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """What was done about the gaps of some markers.

    Attributes:
        bridged: Number of gaps that were bridged.
        open: Number of gaps that were too long.
        longest: Length of the longest of those [s].
        label: Label of the marker that has it.
    """

    bridged: int
    open: int
    longest: float
    label: str


def bridge_gaps(pos: np.ndarray, labels: tuple[str, ...], *, fps: float) -> tuple[np.ndarray, Gaps]:
    """Interpolate the short gaps of markers.

    Args:
        pos: Positions, shape (nframe, nmarker, 3); NaN where a marker is not seen.
        labels: Labels, shape (nmarker,).
        fps: Frame rate [Hz].

    Returns:
        Positions with gaps of up to `LONGEST_BRIDGE` filled by cubic splines, and the gaps. Those at the ends of
        the recording stay open.
    """
    filled, bridged, left, longest, label = pos.copy(), 0, 0, 0, ""
    for column, name in enumerate(labels):
        missing = np.isnan(pos[:, column, 0])
        seen = np.flatnonzero(~missing)
        if not missing.any() or len(seen) < 2:
            continue
        short = np.zeros(len(missing), bool)
        for start, end in runs(missing):
            inside = start > 0 and end < len(missing)
            if inside and end - start <= round(LONGEST_BRIDGE * fps):
                short[start:end] = True
                bridged += 1
            else:
                left += 1
                longest, label = max((longest, label), (end - start, name))
        if short.any():
            filled[short, column] = CubicSpline(seen, pos[seen, column])(np.flatnonzero(short))
    return filled, Gaps(bridged=bridged, open=left, longest=longest / fps, label=label)
