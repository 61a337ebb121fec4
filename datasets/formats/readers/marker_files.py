"""Files of optical markers, .trc and .c3d: the motion of an SMPL-family skeleton of the subject's size.

Markers are recognised by the names of four sets (`markers/marker_sets.py`). Others, and points without names, are
ignored and counted.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from musclemap.datasets.amass.frame_checks import check_length
from musclemap.datasets.formats.readers.forces.companion import measured_forces
from musclemap.datasets.motion import SourceMotion, SourceWarning
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode

from .axes import UP_TO_Z
from .markers.c3d_file import is_c3d, read_c3d
from .markers.interpretation import body_size, file_unit, known_markers, say_gaps, seen_part, up_axis
from .markers.marker_body import MarkerBody
from .markers.marker_motion import marker_motion
from .markers.marker_sets import MARKER_SETS
from .markers.recording import Recording, bridge_gaps
from .markers.static_subject import subject_of_static_trial
from .markers.static_trial import is_static
from .markers.trc_text import is_trc, parse_trc
from .motion_reader import MotionReader, ReadOptions, SourceFile, own_skeleton_motion
from .rates import checked_rate

RATE_TOLERANCE = 0.01
"""Relative difference between the header's rate and the times of the frames from which they contradict."""

MAX_RMS = 0.05
"""Largest root mean square distance between markers and the fitted body [m]; beyond it, labels are swapped."""


def read_markers(
    recording: Recording, file: SourceFile, options: ReadOptions, *, earlier: Sequence[SourceWarning] = ()
) -> SourceMotion:
    """Fit a subject and its motion to the markers of a file.

    Args:
        recording: Markers of the file.
        file: The file; measured ground forces may be beside it.
        options: What the user states about the file.
        earlier: Warnings of its reader.

    Returns:
        The motion in metres and with z up, with the subject's skeleton as `rest_joints`. Its `warnings` say which
        markers were ignored, which gaps remain, and what was deduced.

    Raises:
        SourceError: If too few markers are known ("unknown_markers"), the unit or the rate is implausible
            ("unclear_unit", "bad_frame_rate"), too few markers are seen ("marker_gaps"), or they do not fit a body
            ("marker_misfit").
    """
    check_length(len(recording.pos))
    warnings = list(earlier)
    fps, fps_source = checked_rate(
        recording.rate, nframe=len(recording.pos), key="the header", source_fps=options.source_fps
    )
    if recording.clock is not None and abs(recording.clock / recording.rate - 1.0) > RATE_TOLERANCE:
        text = (
            f"the header says {recording.rate:g} Hz, the times of the frames {recording.clock:.4g} Hz; {fps:g} Hz was "
            "used: if it is wrong, add --source-fps"
        )
        warnings.append(SourceWarning(ReasonCode.TWO_FRAME_RATES, text))
    markers = known_markers(recording, warnings)
    subject = subject_of_static_trial(
        file.path, markers, stated=options.static_trial, up=options.up, units=options.units, warnings=warnings
    )
    if subject is not None:
        markers = subject.markers
    body = MarkerBody(markers.places)
    pos, gaps = bridge_gaps(recording.pos[:, list(markers.columns)], markers.labels, fps=fps)
    say_gaps(gaps, warnings)
    part = seen_part(pos, fps, warnings)
    pos = pos[part]
    size = body_size(body, pos)
    metres = file_unit(size, recording.unit, options.units, warnings)
    axis = up_axis(body, pos, recording.upright, warnings) if options.up == "auto" else options.up
    turn = np.array(UP_TO_Z[axis], np.float64)
    turned = metres * pos @ turn.T
    shape = None if subject is None else subject.shape
    motion = marker_motion(body, turned, size=metres * size, fps=fps, shape=shape)
    if motion.rms > MAX_RMS:
        raise SourceError(
            ReasonCode.MARKER_MISFIT,
            f"the markers are {1e3 * motion.rms:.0f} mm off any body on average: check labels that are swapped, or "
            "state the unit with --units",
        )
    own = recording.forces
    if own is not None:  # a corrected rate is that of points and analog channels
        own = replace(own, time=recording.start + own.time * recording.rate / fps)
    forces = measured_forces(
        file.path, own=own, stated=options.force_file, mass=options.mass, turn=turn, metres=metres,
        first=recording.start + part.start / fps, warnings=warnings,
    )  # fmt: skip
    return own_skeleton_motion(
        name=file.name,
        rotvec=motion.rotvec,
        trans=motion.trans,
        fps=fps,
        fps_source=fps_source,
        source_fps=recording.rate,
        sha256=file.sha256,
        warnings=tuple(warnings),
        rest_joints=motion.rest_joints,
        forces=forces,
        calibration_source="" if subject is None else subject.source,
        file_up=axis,
        file_unit=metres,
    )


def _refuse_static(file: SourceFile, options: ReadOptions) -> None:
    if is_static(file.path, options.static_trial):
        raise SourceError(
            ReasonCode.STATIC_TRIAL,
            "it is a static trial, which calibrates the other files of its folder; --static-trial none converts it too",
        )


def _read_trc(file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    _refuse_static(file, options)
    return [read_markers(parse_trc(file.data), file, options)]


def _read_c3d(file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    _refuse_static(file, options)
    warnings: list[SourceWarning] = []
    recording = read_c3d(file.path, sha256=file.sha256, warnings=warnings)
    return [read_markers(recording, file, options, earlier=warnings)]


def _is_trc(head: bytes, path: Path) -> bool:
    return path.suffix.lower() == ".trc" or is_trc(head)


def _is_c3d(head: bytes, path: Path) -> bool:
    return path.suffix.lower() == ".c3d" or is_c3d(head)


_READS = (
    f"Labelled markers of one person: {', '.join(MARKER_SETS)}; lengths, marker offsets and motion are fitted "
    "together. Force plates of C3D, or of the table of ground reaction beside the file."
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
