"""What a reader of motion files is: its description, how it recognises a file, and how it reads one."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from musclemap.datasets.amass.limits import FPS_RANGE
from musclemap.datasets.amass.reader import check_translation
from musclemap.datasets.motion import JointAngles, SourceMotion, SourceWarning
from musclemap.datasets.plates.plate_forces import PlateForces
from musclemap.errors import SettingsError

from .skeletons.joint_map import JointMap
from .units import checked_unit

UpAxis = Literal["auto", "z", "y"]

HEAD_BYTES = 4096
"""First bytes of a file by which its reader is chosen [B]."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What the user knows about a file better than the file itself.

    Attributes:
        up: Axis of the file's world that points up; "auto" turns a world with y up only if the motion proves it.
        units: Unit of the file's positions, as `unit_length` takes it; "auto" converts centimetres and millimetres only
            if the motion proves them.
        source_fps: Frame rate [Hz] that replaces the file's own, or None.
        default_fps: Frame rate [Hz] of a file that states none, or None to refuse such files.
        joint_map: Mapping of the joints of a file with its own skeleton; None to find it by their names or positions.
        force_file: File of ground forces of each motion (see `forces/companion.py`); empty to find it by its name.
        mass: Mass of the subject [kg], or None.
        static_trial: Static trial of each folder (see `markers/static_trial.py`); empty to find it by its name.

    Raises:
        SettingsError: If a frame rate is outside FPS_RANGE, or the unit is none.
    """

    up: UpAxis = "auto"
    units: str = "auto"
    source_fps: float | None = None
    default_fps: float | None = None
    joint_map: JointMap | None = None
    force_file: str = ""
    mass: float | None = None
    static_trial: str = ""

    def __post_init__(self) -> None:
        for key in ("source_fps", "default_fps"):
            value = getattr(self, key)
            if value is not None and not FPS_RANGE[0] <= value <= FPS_RANGE[1]:
                raise SettingsError(f"{key} must be from {FPS_RANGE[0]:g} to {FPS_RANGE[1]:g} Hz, not {value}")
        checked_unit(self.units)


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file to read.

    Attributes:
        path: Path of the file.
        name: Name of its motion: its POSIX path below the input root.
        data: All bytes of the file.
    """

    path: Path
    name: str
    data: bytes

    @cached_property
    def sha256(self) -> str:
        """Hash of the bytes."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, kw_only=True)
class MotionReader:
    """Reader of one file format.

    `read` returns one motion per person, all of them in the axes and units of the file: what is common to all formats
    (turning the world, converting units, checking rate and frames) follows in `read_motions`. A motion with its own
    skeleton (`rest_joints`) is returned with z up and in metres, because its skeleton shows its unit and its zero pose.
    `read` raises SourceError or FileError on a file that it cannot use.

    Attributes:
        name: Name of the format, for `--list-formats` and messages.
        suffixes: Suffixes of file names, lower case with the dot; files with other suffixes are not searched for in
            folders.
        written_by: Programs and data sets that write such files.
        reads: What is read.
        assumes: What is assumed because the file does not say it.
        recognises: Returns whether a file is of this format, from its first HEAD_BYTES bytes and its path.
        read: Reads a recognised file.
    """

    name: str
    suffixes: tuple[str, ...]
    written_by: str
    reads: str
    assumes: str
    recognises: Callable[[bytes, Path], bool]
    read: Callable[[SourceFile, ReadOptions], list[SourceMotion]]


def own_skeleton_motion(
    *,
    name: str,
    sha256: str,
    rotvec: np.ndarray,
    trans: np.ndarray,
    rest_joints: np.ndarray,
    fps: float,
    fps_source: str,
    source_fps: float,
    warnings: tuple[SourceWarning, ...],
    file_up: str,
    file_unit: float,
    hand_rotvec: np.ndarray | None = None,
    angles: JointAngles | None = None,
    forces: PlateForces | None = None,
    calibration_source: str = "",
) -> SourceMotion:
    """A motion of a file that has a skeleton and no body model; for the arguments see `SourceMotion`.

    Raises:
        SourceError: If the translation is implausible ("out_of_range").
    """
    check_translation(trans)
    return SourceMotion(
        name=name,
        rotvec=rotvec,
        hand_rotvec=hand_rotvec,
        trans=trans,
        betas=np.zeros(0),
        gender="neutral",
        family="smplh",
        fps=fps,
        fps_source=fps_source,
        source_fps=source_fps,
        sha256=sha256,
        warnings=warnings,
        rest_joints=rest_joints,
        angles=angles,
        forces=forces,
        calibration_source=calibration_source,
        file_up=file_up,
        file_unit=file_unit,
    )
