"""The subject of a recording of markers as the static trial of its folder shows it."""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from musclemap.datasets.amass.frame_checks import check_length
from musclemap.datasets.amass.limits import MAX_FILE_BYTES
from musclemap.datasets.formats.readers.axes import UP_TO_Z
from musclemap.datasets.formats.readers.motion_reader import UpAxis
from musclemap.datasets.motion import SourceWarning
from musclemap.errors import FileError, SourceError
from musclemap.files import read_bytes, shown
from musclemap.reason_codes import ReasonCode

from .c3d_file import read_c3d
from .interpretation import body_size, file_unit, known_markers, missing_segments, seen_part, up_axis
from .marker_body import MarkerBody, Shape
from .marker_motion import calibrated_shape, calibration_frames
from .marker_sets import MarkerSet
from .recording import Recording
from .static_trial import find_static
from .trc_text import parse_trc

MAX_SUBJECTS = 64
"""Calibrations by static trials that are kept, one for each folder."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Markers of a recording that a static trial has calibrated, the shape of the subject, and name and hash of the
    trial."""

    markers: MarkerSet
    shape: Shape
    source: str


def subject_of_static_trial(
    motion: Path, markers: MarkerSet, *, stated: str, up: UpAxis, units: str, warnings: list[SourceWarning]
) -> Subject | None:
    """The subject by the static trial beside a motion. Markers that the trial lacks are left out.

    Args:
        motion: Path of the motion.
        markers: Its markers.
        stated: As for `find_static`.
        up: As in `ReadOptions`.
        units: See there.
        warnings: Gets a warning if the static trial cannot be used, or lacks markers.

    Returns:
        The subject; None if there is no static trial, or it cannot be used.
    """
    try:
        path = find_static(motion, stated)
        if path is None:
            return None
        data = read_bytes(path, limit=MAX_FILE_BYTES)
        digest = hashlib.sha256(data).hexdigest()
        labels, shape = _calibrated(path, digest, up, units)
        common = [k for k, label in enumerate(markers.labels) if label in labels]
        kept = MarkerSet(
            name=markers.name, labels=tuple(markers.labels[k] for k in common),
            columns=tuple(markers.columns[k] for k in common), places=tuple(markers.places[k] for k in common),
        )  # fmt: skip
        if missing := missing_segments(kept):
            raise SourceError(ReasonCode.STATIC_TRIAL, f"{path.name} has too few of its markers on {shown(missing)}")
    except (SourceError, FileError, OSError) as error:
        text = f"calibrated on its own frames, because the static trial cannot be used: {error}"
        warnings.append(SourceWarning(ReasonCode.STATIC_TRIAL, text))
        return None
    lacking = len(markers.labels) - len(common)
    if lacking:
        text = f"{lacking} markers that {path.name} lacks are left out"
        warnings.append(SourceWarning(ReasonCode.UNUSED_MARKERS, text))
    offsets = shape.offsets[[labels.index(label) for label in kept.labels]]
    return Subject(markers=kept, shape=replace(shape, offsets=offsets), source=f"{path.name} {digest}")


@lru_cache(maxsize=MAX_SUBJECTS)
def _calibrated(path: Path, digest: str, up: UpAxis, units: str) -> tuple[tuple[str, ...], Shape]:
    """Labels of the markers of a static trial, and the shape of the subject; once for the files of a folder.

    Args:
        path: Path of the trial.
        digest: Hash of its bytes, so that a changed file is calibrated again.
        up: As in `ReadOptions`.
        units: See there.
    """
    unsaid: list[SourceWarning] = []
    recording = _recording(path, digest, unsaid)
    check_length(len(recording.pos))
    markers = known_markers(recording, unsaid)
    body, pos = MarkerBody(markers.places), recording.pos[:, list(markers.columns)]
    pos = pos[seen_part(pos, recording.rate, unsaid)]
    size = body_size(body, pos)
    metres = file_unit(size, recording.unit, units, unsaid)
    axis = up_axis(body, pos, recording.upright, unsaid) if up == "auto" else up
    turned = metres * pos @ np.array(UP_TO_Z[axis], np.float64).T
    shape, _ = calibrated_shape(body, turned[calibration_frames(len(turned))], size=metres * size)
    return markers.labels, shape


def _recording(path: Path, digest: str, warnings: list[SourceWarning]) -> Recording:
    """Markers of a file of either format."""
    if path.suffix.casefold() == ".c3d":
        return read_c3d(path, sha256=digest, warnings=warnings)
    return parse_trc(read_bytes(path, limit=MAX_FILE_BYTES))
