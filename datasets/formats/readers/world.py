"""Axes and unit of a file's world: noticed from the motion, named, and corrected if they are certain.

- Up axis. People are upright most of the time, so the mean direction of trunk and legs is up. A body that lies or does
  push-ups has the same rotations as one that stands in a world with y up; what tells them apart is the floor: the body
  rests on z = 0, or it travels or stands on y = 0.
- Unit. Standing feet give the size of the body in the unit of the translation (`subject_scale.py`). Without steps, the
  height of the pelvis above the floor does: 0.9 in metres, 90 in centimetres.

The pelvis is at trans + J0, and J0 of the body model is not known here: a turned world is off by less than 2 cm, the
difference between J0 of people and its usual value.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.amass.subject_scale import stance_scale
from musclemap.datasets.motion import SourceMotion, SourceWarning
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import PELVIS_ORIGIN, mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk

from .axes import UP_TO_Z, UPRIGHT
from .motion_reader import ReadOptions
from .units import DEDUCED, UNIT_LENGTHS, unit_length

BODY_SIZES = (0.3, 2.2)
"""Sizes of people relative to a mean adult, with a margin; those in two units do not overlap."""

HEIGHTS = (0.3, 1.7)
"""Pelvis heights of a standing body relative to the length of its legs, with a margin."""

RESTING = (-0.1, 0.15)
"""Heights of the lowest joint of a body that rests on the floor [m]."""

STANDING = (-0.03, 0.08)
"""Heights of the lowest joint, that of the toes, of a body that stands on the floor [m]."""

TRAVEL = 0.8
"""A body that travels this far on standing feet neither lies nor does push-ups [m]."""

MIN_FRAMES = 12
"""Frames of the shortest motion that shows its axes and unit."""

MAX_SAMPLES = 500
"""Frames examined."""

_JOINT = {name: k for k, name in enumerate(BODY_NAMES)}
_UNIT_NAMES = {"m": "metres", "cm": "centimetres", "mm": "millimetres"}


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """What a motion says about its world.

    Attributes:
        direction: Mean direction of trunk and legs in the file's axes, shape (3,); shorter than 1 if it varies.
        joints: Joints of a mean adult relative to the pelvis, shape (nsample, 22, 3) [m].
        trans: Translation of the samples, shape (nsample, 3), in the file's unit.
        size: Size of the body in the file's unit relative to a mean adult in metres, or None.
    """

    direction: np.ndarray
    joints: np.ndarray
    trans: np.ndarray
    size: float | None


def to_world(motion: SourceMotion, options: ReadOptions) -> tuple[SourceMotion, float | None]:
    """Turn and scale a motion to z up and metres, as far as the user says so or the motion proves it.

    Args:
        motion: Motion in the axes and unit of its file.
        options: `up` and `units`.

    Returns:
        The motion with its warnings about what was done or is doubtful, and the size of the subject relative to a mean
        adult, or None if the motion does not tell it.
    """
    evidence = _evidence(motion)
    up = _up_axis(evidence.direction)
    factor, texts = _unit(evidence, up, options)
    warnings = [SourceWarning(ReasonCode.OTHER_UNITS, text) for text in texts]
    if factor != 1.0:
        motion = replace(motion, trans=factor * motion.trans)
    turned, more = _turn(evidence, up, factor, options)
    warnings += more
    if turned:
        motion = _turned(motion)
    size = None if evidence.size is None else factor * evidence.size
    return replace(motion, warnings=(*motion.warnings, *warnings)), size


def _evidence(motion: SourceMotion) -> _Evidence:
    if motion.nframe < MIN_FRAMES:
        return _Evidence(direction=np.zeros(3), joints=np.zeros((0, 22, 3)), trans=np.zeros((0, 3)), size=None)
    every = max(1, motion.nframe // MAX_SAMPLES)
    rotvec, trans = motion.rotvec[::every], motion.trans[::every]
    joints, _ = source_fk(rotvec, np.zeros((len(rotvec), 3)), mean_joints() - mean_joints()[0])
    trunk = joints[:, _JOINT["neck"]] - joints[:, 0]
    legs = joints[:, 0] - joints[:, [_JOINT["left_ankle"], _JOINT["right_ankle"]]].mean(axis=1)
    directions = [(part / np.linalg.norm(part, axis=1, keepdims=True)).mean(axis=0) for part in (trunk, legs)]
    weakest = np.where(np.abs(directions[0]) < np.abs(directions[1]), directions[0], directions[1])
    agree = np.sign(directions[0]) == np.sign(directions[1])
    size = stance_scale(motion.rotvec, motion.trans, fps=motion.fps)
    return _Evidence(direction=np.where(agree, weakest, 0.0), joints=joints, trans=trans, size=size)


def _up_axis(direction: np.ndarray) -> str:
    """Axis along which the body is upright: "z", "y" or "-y"; "" if it is along none of these."""
    for axis, component in (("z", direction[2]), ("y", direction[1]), ("-y", -direction[1])):
        if component > UPRIGHT:
            return axis
    return ""


def _unit(evidence: _Evidence, up: str, options: ReadOptions) -> tuple[float, list[str]]:
    """Length of the translation's unit [m], and sentences about it."""
    if options.units != "auto":
        return unit_length(options.units), []
    axis = {"z": 2, "y": 1, "-y": 1}.get({"y": "y", "z": "z"}.get(options.up, up), -1)
    unit, reason = _unit_by_size(evidence.size)
    if evidence.size is None and axis >= 0:
        unit, reason = _unit_by_height(evidence, axis)
    if unit == "m":
        return 1.0, []
    if unit is None:
        return 1.0, [f"the translation fits no unit: {reason}; to state it, add --units, such as --units cm"]
    return UNIT_LENGTHS[unit], [
        f"looks like {_UNIT_NAMES[unit]} ({reason}): converted to metres like --units {unit}; --units m keeps the "
        "file's numbers"
    ]


def _unit_by_size(size: float | None) -> tuple[str | None, str]:
    """Unit in which the body has the size of a person; None if it has it in none."""
    if size is None:
        return "m", ""
    for unit in DEDUCED:
        if BODY_SIZES[0] <= UNIT_LENGTHS[unit] * size <= BODY_SIZES[1]:
            return unit, f"in metres, feet would stand still in a body {size:.0f} times as large as an adult"
    return None, f"feet stand still in a body {size:.3g} times as large as an adult"


def _unit_by_height(evidence: _Evidence, axis: int) -> tuple[str, str]:
    """Unit by the height of the pelvis above z or y = 0, for a motion without steps; metres if none fits."""
    height = float(np.median(np.abs(evidence.trans[:, axis])))
    reach = float(np.median(-evidence.joints[:, :, axis].min(axis=1)))
    for unit in ("cm", "mm"):
        if reach > 0 and HEIGHTS[0] <= UNIT_LENGTHS[unit] * height / reach <= HEIGHTS[1]:
            return unit, f"the pelvis is {height:.0f} above the floor, and the legs are {reach:.1f} m long"
    return "m", ""


def _turn(evidence: _Evidence, up: str, factor: float, options: ReadOptions) -> tuple[bool, list[SourceWarning]]:
    """Whether to turn the world from y up to z up, and sentences about its axes."""
    if options.up == "y":
        if up == "z":
            text = "the body is upright along z, but --up y turned it: leave --up out"
            return True, [SourceWarning(ReasonCode.Y_UP, text)]
        return True, []
    if options.up == "z":
        return False, []
    if up == "-y":
        text = (
            "looks like camera coordinates (y down): the body drifts and leans with the camera; give the estimator's "
            "result in the world (GVHMR smpl_params_global, WHAM pose_world and trans_world)"
        )
        return False, [SourceWarning(ReasonCode.CAMERA_COORDINATES, text)]
    if up != "y":
        return False, []
    share = f"trunk and legs point along y, by {evidence.direction[1]:.2f} on average"
    if _is_certainly_y_up(evidence, factor):
        text = f"looks Y-up ({share}): turned to z up like --up y; --up z keeps the file's axes"
        return True, [SourceWarning(ReasonCode.Y_UP, text)]
    text = f"looks Y-up ({share}), unless the body lies on the floor: add --up y, or --up z if it lies"
    return False, [SourceWarning(ReasonCode.Y_UP, text)]


def _is_certainly_y_up(evidence: _Evidence, factor: float) -> bool:
    """Whether a body that is upright along y stands or walks, and does not lie on the floor of a world with z up."""
    pos = evidence.joints + factor * evidence.trans[:, None] + np.asarray(PELVIS_ORIGIN)
    rests = np.mean(_within(pos[:, :, 2].min(axis=1), RESTING)) > 0.9
    path = factor * evidence.trans
    travels = bool(np.linalg.norm(np.ptp(path[:, [0, 2]], axis=0)) > TRAVEL)
    if evidence.size is not None and travels:
        return True
    stands = np.mean(_within(pos[:, :, 1].min(axis=1), STANDING)) > 0.9
    return bool(stands and not rests)


def _within(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (values > limits[0]) & (values < limits[1])


def _turned(motion: SourceMotion) -> SourceMotion:
    """A motion in metres with y up, turned to z up about the origin of its world."""
    origin, to_z = np.asarray(PELVIS_ORIGIN), np.array(UP_TO_Z["y"], float)
    rotvec = motion.rotvec.copy()
    rotvec[:, 0] = (Rotation.from_matrix(to_z) * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    return replace(motion, rotvec=rotvec, trans=(motion.trans + origin) @ to_z.T - origin)
