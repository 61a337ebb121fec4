"""Files of optical markers, .trc and .c3d: the motion of an SMPL-family skeleton of the subject's size.

Markers are recognised by the names of four sets (`markers/marker_sets.py`). Others, and points without names, are
ignored and counted.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from musclemap.datasets.amass.frame_checks import check_length
from musclemap.datasets.motion import SourceMotion, SourceWarning
from musclemap.errors import SourceError
from musclemap.files import shown
from musclemap.reason_codes import ReasonCode

from .axes import UP_TO_Z, UPRIGHT, assumed_up, nearest_axis
from .markers.c3d_file import is_c3d, read_c3d
from .markers.marker_body import INDEX, MarkerBody
from .markers.marker_motion import marker_motion
from .markers.marker_sets import BONE, MARKER_SETS, MarkerSet, find_marker_set
from .markers.recording import LONGEST_BRIDGE, METRES, Gaps, Recording, bridge_gaps
from .markers.trc_text import is_trc, parse_trc
from .motion_reader import MotionReader, ReadOptions, SourceFile, own_skeleton_motion
from .rates import checked_rate
from .units import DEDUCED, UNIT_LENGTHS, unit_length

BODY_SIZES = (0.45, 1.5)
"""Sizes of people relative to a mean adult, with a margin; those in two of the units do not overlap."""

RATE_TOLERANCE = 0.01
"""Relative difference between the header's rate and the times of the frames from which they contradict."""

FEWEST_SEEN = 0.5
"""Fraction of the markers that a frame needs; frames with fewer are left out at the ends."""

MAX_RMS = 0.05
"""Largest root mean square distance between markers and the fitted body [m]; beyond it, labels are swapped."""

_NEEDED = {
    "pelvis": ("pelvis", 3), "thorax": ("spine3 left_collar right_collar", 3), "left thigh": ("left_hip", 1),
    "right thigh": ("right_hip", 1), "left shank": ("left_knee", 1), "right shank": ("right_knee", 1),
    "left foot": ("left_ankle", 1), "right foot": ("right_ankle", 1), "left upper arm": ("left_shoulder", 1),
    "right upper arm": ("right_shoulder", 1), "left forearm": ("left_elbow", 1), "right forearm": ("right_elbow", 1),
}  # fmt: skip
"""Segments that need markers, and how many."""


def read_markers(recording: Recording, *, name: str, sha256: str, options: ReadOptions) -> SourceMotion:
    """Fit a subject and its motion to the markers of a file.

    Args:
        recording: Markers of the file.
        name: Name of the motion.
        sha256: Hash of the file.
        options: What the user states about the file.

    Returns:
        The motion in metres and with z up, with the subject's skeleton as `rest_joints`. Its `warnings` say which
        markers were ignored, which gaps remain, and what was deduced.

    Raises:
        SourceError: If too few markers are known ("unknown_markers"), the unit or the rate is implausible
            ("unclear_unit", "bad_frame_rate"), too few markers are seen ("marker_gaps"), or they do not fit a body
            ("marker_misfit").
    """
    check_length(len(recording.pos))
    warnings: list[SourceWarning] = []
    fps, fps_source = checked_rate(
        recording.rate, nframe=len(recording.pos), key="the header", source_fps=options.source_fps
    )
    if recording.clock is not None and abs(recording.clock / recording.rate - 1.0) > RATE_TOLERANCE:
        text = (
            f"the header says {recording.rate:g} Hz, the times of the frames {recording.clock:.4g} Hz; {fps:g} Hz was "
            "used: if it is wrong, add --source-fps"
        )
        warnings.append(SourceWarning(ReasonCode.TWO_FRAME_RATES, text))
    markers = _known_markers(recording, warnings)
    body = MarkerBody(markers.places)
    pos, gaps = bridge_gaps(recording.pos[:, list(markers.columns)], markers.labels, fps=fps)
    _say_gaps(gaps, warnings)
    pos = pos[_seen_part(pos, fps, warnings)]
    size = _size(body, pos)
    metres = _metres(size, recording.unit, options, warnings)
    axis = _up(body, pos, recording.upright, warnings) if options.up == "auto" else options.up
    turned = metres * pos @ np.array(UP_TO_Z[axis], np.float64).T
    motion = marker_motion(body, turned, size=metres * size, fps=fps)
    if motion.rms > MAX_RMS:
        raise SourceError(
            ReasonCode.MARKER_MISFIT,
            f"the markers are {1e3 * motion.rms:.0f} mm off any body on average: check labels that are swapped, or "
            "state the unit with --units",
        )
    return own_skeleton_motion(
        name=name,
        rotvec=motion.rotvec,
        trans=motion.trans,
        fps=fps,
        fps_source=fps_source,
        source_fps=recording.rate,
        sha256=sha256,
        warnings=tuple(warnings),
        rest_joints=motion.rest_joints,
        file_up=axis,
        file_unit=metres,
    )


def _known_markers(recording: Recording, warnings: list[SourceWarning]) -> MarkerSet:
    """Markers of a known set that are seen at all."""
    seen = np.isfinite(recording.pos[..., 0]).mean(axis=0) > 0.1
    markers = find_marker_set([label if seen[k] else "" for k, label in enumerate(recording.labels)])
    segments = [place.segment for place in markers.places]
    missing = [
        part for part, (names, count) in _NEEDED.items() if sum(name in names.split() for name in segments) < count
    ]
    if missing:
        named = [label for label in recording.labels if _has_name(label)]
        raise SourceError(
            ReasonCode.UNKNOWN_MARKERS,
            f"too few known markers on {shown(', '.join(missing))}; the file has "
            f"{shown(', '.join(named) or 'no names')}; rename them as in {', '.join(MARKER_SETS)}",
        )
    others = [label for k, label in enumerate(recording.labels) if k not in markers.columns and _has_name(label)]
    unnamed = sum(not _has_name(label) for label in recording.labels)
    if others or unnamed:
        text = (
            f"{len(markers.labels)} markers of the set {markers.name} are used; {unnamed} without a name and "
            f"{len(others)} others are ignored" + (f": {shown(', '.join(others))}" if others else "")
        )
        warnings.append(SourceWarning(ReasonCode.UNUSED_MARKERS, text))
    return markers


def _has_name(label: str) -> bool:
    return bool(label) and not label.startswith("*") and not label.casefold().startswith(("unlabel", "uname"))


def _say_gaps(gaps: Gaps, warnings: list[SourceWarning]) -> None:
    if gaps.bridged or gaps.open:
        text = f"gaps of markers: {gaps.bridged} of up to {LONGEST_BRIDGE:g} s are bridged"
        if gaps.open:
            text += (
                f"; in {gaps.open} others, up to {gaps.longest:.2f} s ({gaps.label}), the pose is solved without the "
                "marker"
            )
        warnings.append(SourceWarning(ReasonCode.MARKER_GAPS, text))


def _seen_part(pos: np.ndarray, fps: float, warnings: list[SourceWarning]) -> slice:
    """The frames from the first to the last with enough markers."""
    enough = np.isfinite(pos[..., 0]).mean(axis=1) >= FEWEST_SEEN
    frames = np.flatnonzero(enough)
    if len(frames) < 2:
        raise SourceError(
            ReasonCode.MARKER_GAPS, "no two frames have half of the markers: fill the gaps and export again"
        )
    first, last = int(frames[0]), int(frames[-1]) + 1
    if not enough[first:last].all():
        lost = first + int(np.argmin(enough[first:last]))
        raise SourceError(
            ReasonCode.MARKER_GAPS,
            f"fewer than half of the markers are seen at {lost / fps:.2f} s: fill the gap, or cut the file there",
        )
    if last - first < len(pos):
        text = f"{len(pos) - last + first} frames at the ends have fewer than half of the markers and were left out"
        warnings.append(SourceWarning(ReasonCode.EMPTY_FRAMES, text))
    return slice(first, last)


def _size(body: MarkerBody, pos: np.ndarray) -> float:
    """Size of the body in the file's unit relative to the mean adult in metres, from markers of the same segment."""
    bony = body.spread <= BONE
    pairs = [
        (a, b)
        for a, b in combinations(np.flatnonzero(bony), 2)
        if body.carrier[a] == body.carrier[b] and np.linalg.norm(body.table[a] - body.table[b]) > 0.06
    ]
    first, second = (np.array([pair[k] for pair in pairs], int) for k in (0, 1))
    length = np.nanmedian(np.linalg.norm(pos[:, first] - pos[:, second], axis=2), axis=0)
    return float(np.median(length / np.linalg.norm(body.table[first] - body.table[second], axis=1)))


def _metres(size: float, unit: str, options: ReadOptions, warnings: list[SourceWarning]) -> float:
    """Length of the file's unit [m]: as the user says, as the header says if that can be, or by the body's size."""
    if options.units != "auto":
        return unit_length(options.units)
    stated = METRES.get(unit.casefold())
    fits = lambda metres: BODY_SIZES[0] <= metres * size <= BODY_SIZES[1]  # noqa: E731
    if stated is not None and fits(stated):
        return stated
    for name in DEDUCED:
        if fits(UNIT_LENGTHS[name]):
            if unit:
                text = f"lengths were read in {name} (the header says {unit}, but the body fits only {name}); if not, "
                warnings.append(SourceWarning(ReasonCode.OTHER_UNITS, f"{text}add --units"))
            return UNIT_LENGTHS[name]
    raise SourceError(
        ReasonCode.UNCLEAR_UNIT,
        f"the body would be {size:.3g} times as large as an adult in metres, which fits neither m, cm nor mm; "
        f"state the unit, such as --units {1.0 / size:.2g}",
    )


def _up(body: MarkerBody, pos: np.ndarray, usual: str, warnings: list[SourceWarning]) -> str:
    """The axis that points up, such as "y"."""
    direction = np.zeros(3)
    for low, high in ((_LOW, _MIDDLE), (_MIDDLE, _HIGH)):
        step = _centre(body, pos, high) - _centre(body, pos, low)
        direction += 0.5 * np.nanmean(step / np.linalg.norm(step, axis=1, keepdims=True), axis=0)
    if np.abs(direction).max() >= UPRIGHT:
        return nearest_axis(direction)
    warnings.append(assumed_up(usual, "it usually is in such files, and the body is not upright"))
    return usual


_LOW = ("left_knee", "right_knee", "left_ankle", "right_ankle")
_MIDDLE = ("pelvis",)
_HIGH = ("spine3", "left_collar", "right_collar", "head")


def _centre(body: MarkerBody, pos: np.ndarray, segments: Sequence[str]) -> np.ndarray:
    """Mean of the seen markers of some segments, shape (nframe, 3); NaN where none is seen."""
    chosen = pos[:, np.isin(body.carrier, [INDEX[name] for name in segments])]
    seen = np.isfinite(chosen[..., :1])
    count = seen.sum(axis=1)
    return np.where(count > 0, np.where(seen, chosen, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def _read_trc(file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    return [read_markers(parse_trc(file.data), name=file.name, sha256=file.sha256, options=options)]


def _read_c3d(file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    return [read_markers(read_c3d(file.path), name=file.name, sha256=file.sha256, options=options)]


def _is_trc(head: bytes, path: Path) -> bool:
    return path.suffix.lower() == ".trc" or is_trc(head)


def _is_c3d(head: bytes, path: Path) -> bool:
    return path.suffix.lower() == ".c3d" or is_c3d(head)


_READS = (
    f"Labelled markers of one person: {', '.join(MARKER_SETS)}; lengths, marker offsets and motion are fitted "
    "together. Force plates are not read."
)
_ASSUMES = (
    "Vertical axis from the posture; unit and rate from the header, if a body of that size can be; toes bend on the "
    "floor."
)

TRC = MotionReader(
    name="TRC, .trc",
    suffixes=(".trc",),
    written_by="Motion Analysis Cortex, OpenSim, OpenCap, Theia",
    reads=_READS,
    assumes=_ASSUMES,
    recognises=_is_trc,
    read=_read_trc,
)

C3D = MotionReader(
    name="C3D, .c3d",
    suffixes=(".c3d",),
    written_by="Vicon, Qualisys, OptiTrack and other motion capture; needs the extra [markers]",
    reads=_READS,
    assumes=_ASSUMES,
    recognises=_is_c3d,
    read=_read_c3d,
)
