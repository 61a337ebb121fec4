"""BVH files of motion capture and animation: a skeleton of its own, with any joint names, becomes a `SourceMotion`.

A BVH file states neither its unit nor which axis is up; both are deduced and said. The unit is the one in which the
legs are as long as a person's. Up is where trunk and legs point in the mean over the motion, or in the zero pose of a
motion that is not upright.
"""

import hashlib
from pathlib import Path

import numpy as np

from musclemap.datasets.amass.frame_checks import check_length
from musclemap.datasets.motion import SourceMotion, SourceWarning
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.smpl.source_kinematics import leg_length

from .axes import UP_TO_Z, UPRIGHT, assumed_up, nearest_axis
from .motion_reader import MotionReader, ReadOptions, SourceFile, UpAxis, own_skeleton_motion
from .rates import checked_rate
from .skeletons.bvh_text import Bvh, is_bvh, parse_bvh
from .skeletons.calibration import Calibration, unit
from .skeletons.families import FAMILIES, find_family
from .skeletons.joint_map import JointMap
from .skeletons.own_skeleton import own_motion
from .skeletons.topology import guess_joints
from .units import UNIT_LENGTHS, unit_length

LEG = (0.45, 1.3)
"""Plausible lengths from hip to ankle [m], from small children to tall adults."""

USUAL_LEG = {"cmu": (0.6, 1.05)}
"""The same of units that are rare outside their data set, whose subjects are adults. Beyond, they are a doubt."""

HIP_HEIGHT = (0.7, 1.4)
"""Height of the pelvis of a standing or walking body, relative to the length of the legs."""


def read_bvh(
    data: bytes,
    *,
    name: str,
    up: UpAxis = "auto",
    units: str = "auto",
    source_fps: float | None = None,
    joint_map: JointMap | None = None,
) -> SourceMotion:
    """Read the motion of a BVH file.

    Args:
        data: Bytes of the file.
        name: Name of the motion: its POSIX path below the input root.
        up: Axis of the file's world that points up, or "auto".
        units: Unit of the file's lengths, as `unit_length` takes it, or "auto".
        source_fps: Frame rate [Hz] that replaces the file's own, or None.
        joint_map: Mapping of the joints; None to take it from the joints' names, or else to guess it.

    Returns:
        The motion, with its own skeleton as `rest_joints`. Its `warnings` say what was deduced.

    Raises:
        SourceError: As `parse_bvh`, and with one of these codes: unknown_skeleton, unclear_unit, single_frame,
            bad_frame_rate, too_large, out_of_range.
    """
    bvh = parse_bvh(data)
    check_length(len(bvh.values))
    warnings: list[SourceWarning] = []
    stated, nframe = 1.0 / bvh.frame_time, len(bvh.values)
    fps, fps_source = checked_rate(stated, nframe=nframe, key="Frame Time", source_fps=source_fps)
    index = _joints(bvh, joint_map, warnings)
    calibration = Calibration(bvh, index)
    axis = _up(calibration, warnings) if up == "auto" else up
    metres = _metres(calibration, warnings) if units == "auto" else unit_length(units)
    to_world = np.array(UP_TO_Z[axis], np.float64)
    motion = own_motion(bvh, index, calibration, to_world=to_world, metres=metres)
    return own_skeleton_motion(
        name=name,
        rotvec=motion.rotvec,
        hand_rotvec=motion.hand_rotvec,
        trans=motion.trans,
        fps=fps,
        fps_source=fps_source,
        source_fps=stated,
        sha256=hashlib.sha256(data).hexdigest(),
        warnings=tuple(warnings),
        rest_joints=motion.rest_joints,
        file_up=axis,
        file_unit=metres,
    )


def find_joint_map(data: bytes) -> JointMap:
    """Map the joints of a BVH file by their names, or else by topology and position.

    Raises:
        SourceError: As `parse_bvh`, or if the skeleton is no person's ("unknown_skeleton").
    """
    return _find_joint_map(parse_bvh(data))


def _find_joint_map(bvh: Bvh) -> JointMap:
    return find_family(bvh.names, bvh.parents) or guess_joints(bvh)


def _joints(bvh: Bvh, joint_map: JointMap | None, warnings: list[SourceWarning]) -> dict[str, int]:
    """Index of the file's joint by name of the SMPL family's."""
    joint_map = joint_map or _find_joint_map(bvh)
    if joint_map.family == "guess":
        text = (
            f"the joints have no names of {', '.join(FAMILIES)}; guessed from the skeleton's shape: "
            f"{', '.join(joint_map.pairs)}; to correct it, edit the file of --save-joint-map and add --joint-map"
        )
        warnings.append(SourceWarning(ReasonCode.GUESSED_JOINTS, text))
    return joint_map.indices(bvh.names, bvh.parents)


def _up(calibration: Calibration, warnings: list[SourceWarning]) -> str:
    """The axis that points up, such as "y" or "-y"; a doubt if the motion is not upright."""
    axis, rest = nearest_axis(calibration.up), nearest_axis(calibration.body[:, 1])
    upright = np.abs(calibration.up).max() > UPRIGHT
    if not calibration.posed[0]:
        if upright:
            return axis
        axis, evidence = "y", "it usually is, and neither the motion nor the zero pose is upright"
    elif upright and (axis == rest or _stands_along(calibration)):
        return axis
    else:
        axis, evidence = rest, "the body stands along it in the zero pose"
    warnings.append(assumed_up(axis, evidence))
    return axis


def _stands_along(calibration: Calibration) -> bool:
    """Whether the pelvis is as high above the origin, along the body, as legs are long; that of a lying body is not."""
    height = calibration.pelvis @ unit(calibration.up) / leg_length(calibration.rest_joints)
    return HIP_HEIGHT[0] < height < HIP_HEIGHT[1]


def _metres(calibration: Calibration, warnings: list[SourceWarning]) -> float:
    """Length of the file's unit [m]: the first in which legs are as long as a person's; a doubt if others fit too."""
    leg = leg_length(calibration.rest_joints)
    fits = lambda name, low, high: low <= UNIT_LENGTHS[name] * leg <= high  # noqa: E731
    usual = [name for name in UNIT_LENGTHS if fits(name, *USUAL_LEG.get(name, LEG))]
    chosen = usual or [name for name in UNIT_LENGTHS if fits(name, *LEG)]
    if not chosen:
        raise SourceError(
            ReasonCode.UNCLEAR_UNIT,
            f"the legs are {leg:.4g} long, which is a person's length in none of {', '.join(UNIT_LENGTHS)}; state the "
            f"length of one unit in metres: --units {0.8 / leg:.2g} makes them 0.8 m long",
        )
    first, *others = chosen
    if others or not usual:
        text = f"1 unit was read as 1 {first}: the legs are {UNIT_LENGTHS[first] * leg:.2f} m long"
        text += f"; as 1 {others[0]}, {UNIT_LENGTHS[others[0]] * leg:.2f} m" if others else ", those of a child"
        warnings.append(SourceWarning(ReasonCode.ASSUMED_UNIT, f"{text}; if not, add --units"))
    return UNIT_LENGTHS[first]


def _recognises(head: bytes, path: Path) -> bool:
    return path.suffix.lower() == ".bvh" or is_bvh(head)


def _read(file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    return [
        read_bvh(
            file.data,
            name=file.name,
            up=options.up,
            units=options.units,
            source_fps=options.source_fps,
            joint_map=options.joint_map,
        )
    ]


BVH = MotionReader(
    name="BVH, .bvh",
    suffixes=(".bvh",),
    written_by=f"animation programs; {', '.join(FAMILIES)}, 100STYLE",
    reads="skeleton and motion of one person, with fingers where they are; any joint names and channel orders",
    assumes="degrees; unit from the length of the legs, vertical axis from the posture, unknown joints from the shape",
    recognises=_recognises,
    read=_read,
)
