"""A source motion as read or synthesised, before retargeting."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from musclemap.datasets.plates.plate_forces import PlateForces
from musclemap.reason_codes import ReasonCode

UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True, kw_only=True)
class FrameRateReport:
    """What the motion says about its frame rate.

    Attributes:
        estimate: Frame rate that the motion's own clock gives [Hz], or None when it has none to read. From free fall it
            is good to a few per cent, from walking to about a third.
        suspicious: Whether that and the declared frame rate disagree by more than people and bodies vary.
        evidence: One sentence for each clock that could be read; empty if there was none.
    """

    estimate: float | None
    suspicious: bool
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class SourceWarning:
    """Something doubtful in a source that is used all the same: a code, and a sentence for people."""

    code: ReasonCode
    text: str

    def to_dict(self) -> dict[str, str]:
        """The warning as plain values, as in clips and manifest lines."""
        return {"code": str(self.code), "text": self.text}


@dataclass(frozen=True, kw_only=True)
class JointAngles:
    """Angles that a source states for joints of the target, by the target's names and definitions.

    Attributes:
        names: Joints, shape (njoint,).
        values: Their angles, shape (nframe, njoint) [rad].
    """

    names: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True, kw_only=True)
class SourceMotion:
    """One motion of the SMPL family, unpacked.

    Attributes:
        name: POSIX path of its file below the input root, with its suffix; for further people in the file, below that.
        rotvec: Axis-angle of the 22 common joints, shape (nframe, 22, 3) [rad]; joint 0 is the global orientation, in a
            world with z up.
        hand_rotvec: Axis-angle of the fingers, shape (nframe, 30, 3) [rad], left 15 then right 15 in SMPL-H order, or
            None if the layout has no fingers.
        trans: Translation of the model, shape (nframe, 3) [m]. The pelvis is at trans + J0, J0 not rotated.
        betas: Shape coefficients, shape (nbeta,), nbeta at most 16.
        gender: "neutral", "male" or "female".
        family: "smpl", "smplh" or "smplx".
        fps: Frames per second that the retargeter uses.
        fps_source: Origin of `fps`: the key of the file, "assumed" or "corrected".
        source_fps: Frame rate stated by the file, or None.
        sha256: Hash of the file's bytes; empty for a motion without a file.
        licence: Licence of the motion, as far as its file states it.
        frame_rate: How well the motion itself agrees with `fps`; None if not tested.
        warnings: Doubtful data that was accepted.
        rest_joints: Rest positions of the source's own skeleton, shape (22, 3) [m], order BODY_NAMES; x to the
            subject's left, y up, z forward. Its limbs have the rest directions of the SMPL family, to which `rotvec`
            refers, and its own lengths. None if a body model or the mean skeleton gives the joints.
        angles: Angles of joints that the target has by the same definition; None if the file has only rotations.
        forces: Ground forces on force plates, in the world of `trans` and in the subject's size; None without plates.
        calibration_source: Name and hash of the static trial that gave `rest_joints`; empty if the motion itself did.
        file_up: Axis that pointed up in the file of such a source, such as "y" or "-y"; otherwise "".
        file_unit: Length of one unit in the file of such a source [m]; otherwise 0.
    """

    name: str
    rotvec: np.ndarray
    hand_rotvec: np.ndarray | None
    trans: np.ndarray
    betas: np.ndarray
    gender: str
    family: str
    fps: float
    fps_source: str
    source_fps: float | None
    sha256: str
    licence: str = UNKNOWN_LICENCE
    frame_rate: FrameRateReport | None = None
    warnings: tuple[SourceWarning, ...] = ()
    rest_joints: np.ndarray | None = None
    angles: JointAngles | None = None
    forces: PlateForces | None = None
    calibration_source: str = ""
    file_up: str = ""
    file_unit: float = 0.0

    @property
    def nframe(self) -> int:
        """Number of frames."""
        return len(self.rotvec)

    @property
    def duration(self) -> float:
        """Time from the first frame to the last [s]."""
        return (self.nframe - 1) / self.fps

    @property
    def reading(self) -> dict[str, Any]:
        """How the file was read: frames, rate and its origin, duration, body, and the file's axis and unit if known."""
        facts = {"nframe": self.nframe, "fps": self.fps, "fps_source": self.fps_source, "seconds": self.duration}
        facts |= {"family": self.family, "gender": self.gender, "fingers": self.hand_rotvec is not None}
        return facts | ({"up": self.file_up, "unit_m": self.file_unit} if self.file_up else {})
