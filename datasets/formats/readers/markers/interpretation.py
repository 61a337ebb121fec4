"""What a recording of markers leaves open: its known markers, gaps, the size of the body, unit and vertical axis."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from musclemap.datasets.formats.readers.axes import UPRIGHT, assumed_up, nearest_axis
from musclemap.datasets.formats.readers.units import DEDUCED, UNIT_LENGTHS, unit_length
from musclemap.datasets.motion import SourceWarning
from musclemap.errors import SourceError
from musclemap.files import shown
from musclemap.reason_codes import ReasonCode

from .marker_body import INDEX, MarkerBody
from .marker_sets import BONE, MARKER_SETS, MarkerSet, find_marker_set
from .recording import LONGEST_BRIDGE, METRES, Gaps, Recording

BODY_SIZES = (0.45, 1.5)
"""Sizes of people relative to a mean adult, with a margin; those in two of the units do not overlap."""

FEWEST_SEEN = 0.5
"""Fraction of the markers that a frame needs; frames with fewer are left out at the ends."""

_NEEDED = {
    "pelvis": ("pelvis", 3), "thorax": ("spine3 left_collar right_collar", 3), "left thigh": ("left_hip", 1),
    "right thigh": ("right_hip", 1), "left shank": ("left_knee", 1), "right shank": ("right_knee", 1),
    "left foot": ("left_ankle", 1), "right foot": ("right_ankle", 1), "left upper arm": ("left_shoulder", 1),
    "right upper arm": ("right_shoulder", 1), "left forearm": ("left_elbow", 1), "right forearm": ("right_elbow", 1),
}  # fmt: skip
"""Segments that need markers, and how many."""


def known_markers(recording: Recording, warnings: list[SourceWarning]) -> MarkerSet:
    """Markers of a known set that are seen at all."""
    seen = np.isfinite(recording.pos[..., 0]).mean(axis=0) > 0.1
    markers = find_marker_set([label if seen[k] else "" for k, label in enumerate(recording.labels)])
    if missing := missing_segments(markers):
        named = [label for label in recording.labels if _has_name(label)]
        raise SourceError(
            ReasonCode.UNKNOWN_MARKERS,
            f"too few known markers on {shown(missing)}; the file has "
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


def missing_segments(markers: MarkerSet) -> str:
    """Segments with too few markers, separated by commas."""
    segments = [place.segment for place in markers.places]
    return ", ".join(
        part for part, (names, count) in _NEEDED.items() if sum(name in names.split() for name in segments) < count
    )


def _has_name(label: str) -> bool:
    return bool(label) and not label.startswith("*") and not label.casefold().startswith(("unlabel", "uname"))


def say_gaps(gaps: Gaps, warnings: list[SourceWarning]) -> None:
    if gaps.bridged or gaps.open:
        text = f"gaps of markers: {gaps.bridged} of up to {LONGEST_BRIDGE:g} s are bridged"
        if gaps.open:
            text += (
                f"; in {gaps.open} others, up to {gaps.longest:.2f} s ({gaps.label}), the pose is solved without the "
                "marker"
            )
        warnings.append(SourceWarning(ReasonCode.MARKER_GAPS, text))


def seen_part(pos: np.ndarray, fps: float, warnings: list[SourceWarning]) -> slice:
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


def body_size(body: MarkerBody, pos: np.ndarray) -> float:
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


def file_unit(size: float, unit: str, units: str, warnings: list[SourceWarning]) -> float:
    """Length of the file's unit [m]: as the user says, as the header says if that can be, or by the body's size."""
    if units != "auto":
        return unit_length(units)
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


def up_axis(body: MarkerBody, pos: np.ndarray, usual: str, warnings: list[SourceWarning]) -> str:
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
