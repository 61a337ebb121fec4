"""OpenSim's motions, .mot and .sto: joint angles of its full-body models become an SMPL-family motion."""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.amass.frame_checks import check_length
from musclemap.datasets.amass.subject_scale import stance_scale
from musclemap.datasets.formats.readers.forces.companion import measured_forces
from musclemap.datasets.formats.tables import WORLD_TO_OPENSIM
from musclemap.datasets.motion import JointAngles, SourceMotion, SourceWarning
from musclemap.errors import SourceError
from musclemap.files import shown
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.neutral_pose import neutral_turns
from musclemap.skeletons.smpl.source_kinematics import source_fk

from .motion_reader import MotionReader, ReadOptions, SourceFile, own_skeleton_motion
from .opensim.coordinates import (
    FEET,
    LEGS_AND_TRUNK,
    OPTIONAL,
    PELVIS_POSITION,
    REQUIRED,
    SAME_DEFINITION,
    SPHERICAL_ARM,
    skeleton_motion,
)
from .opensim.storage_text import Storage, parse_storage
from .rates import checked_rate
from .skeletons.toes import TOE_JOINTS, toe_rotations
from .units import unit_length

MOST_RADIANS = 7.0
"""Largest angle that can be in radians: a body that has turned once. Turning bodies exceed it, limbs never do."""

EVEN = 0.02
"""Relative deviation from the median time step up to which rows are evenly spaced."""

BODY_SIZES = (0.5, 1.35)
"""Plausible sizes relative to the mean adult; for others, the mean adult is taken."""

LOCKED = np.deg2rad(0.1)
"""A joint of the foot that moves less is locked: many models hold it still, so its angle is no measurement [rad]."""

_OTHER_TABLES = (
    ("ground_force_", "ground reaction forces", "give the motion beside it"),
    ("_moment", "joint moments", "give the file of joint angles from which they were computed"),
    ("activation", "muscle activations", "give the file of joint angles beside it"),
)
"""Tables of OpenSim that hold no motion, by a part of a column's name."""


def read_opensim(file: SourceFile, options: ReadOptions) -> SourceMotion:
    """Read the motion of a .mot or .sto file.

    Args:
        file: The file; measured ground forces may be beside it.
        options: What the user states about the file; by default it is in OpenSim's ground, with y up and metres.

    Returns:
        The motion with z up and in metres. Its skeleton is the mean adult in the size that feet on the ground show, as
        the file has no lengths.

    Raises:
        SourceError: As `parse_storage`, and if coordinates are missing ("missing_key"), the table is another one
            ("not_motion"), there are too few rows ("single_frame"), times do not increase ("bad_frame_rate"), or the
            pelvis is too far away ("out_of_range").
    """
    storage = parse_storage(file.data)
    warnings: list[SourceWarning] = []
    names = [SAME_DEFINITION.get(column, column) for column in storage.columns]
    columns = {column: k for k, column in reversed(list(enumerate(names)))}
    _check_columns(columns)
    storage, rate = _even(storage, warnings)
    fps, fps_source = checked_rate(rate, nframe=len(storage.time), key="time", source_fps=options.source_fps)
    arms = [f"{name}_{side}" for name in SPHERICAL_ARM for side in "rl"]
    names = [key for key in (*REQUIRED, *OPTIONAL, *arms) if key in columns and key not in PELVIS_POSITION]
    values = storage.values[:, [columns[key] for key in names]]
    values = np.deg2rad(values) if _in_degrees(storage, names, columns, warnings) else values
    angles = dict(zip(names, values.T, strict=True))
    _turn_knees(angles, warnings)
    spherical = all(key in columns for key in arms)
    missing = [key for key in OPTIONAL if key not in columns and not (spherical and key.startswith("arm_"))]
    if missing:
        text = f"the file has no {shown(', '.join(missing))}: they were left as in upright standing"
        warnings.append(SourceWarning(ReasonCode.MISSING_COORDINATES, text))
    metres = 1.0 if options.units == "auto" else unit_length(options.units)
    position = metres * storage.values[:, [columns[key] for key in PELVIS_POSITION]]
    to_world = np.eye(3) if options.up == "z" else WORLD_TO_OPENSIM.T
    rotvec, hips = skeleton_motion(angles, position, to_world=to_world)
    size = stance_scale(rotvec, hips, fps=fps) or 1.0
    size = size if BODY_SIZES[0] <= size <= BODY_SIZES[1] else 1.0
    rest = size * (mean_joints() - mean_joints()[0])
    trans = hips - Rotation.from_rotvec(rotvec[:, 0]).apply(rest[1:3].mean(axis=0))
    stated = _stated_angles(angles)
    if not any(name.startswith("mtp_angle") for name in stated.names):
        bent = toe_rotations(*source_fk(rotvec, trans, rest), neutral_turns(mean_joints()), size=size, level=True)
        rotvec[:, TOE_JOINTS] = Rotation.from_matrix(bent.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 2, 3)
    forces = measured_forces(
        file.path, own=None, stated=options.force_file, mass=options.mass, turn=to_world, metres=metres,
        first=float(storage.time[0]), warnings=warnings,
    )  # fmt: skip
    return own_skeleton_motion(
        name=file.name,
        rotvec=rotvec,
        trans=trans,
        fps=fps,
        fps_source=fps_source,
        source_fps=rate,
        sha256=file.sha256,
        warnings=tuple(warnings),
        rest_joints=rest,
        angles=stated,
        forces=forces,
        file_up="z" if options.up == "z" else "y",
        file_unit=metres,
    )


def _check_columns(columns: dict[str, int]) -> None:
    missing = [key for key in REQUIRED if key not in columns]
    if not missing:
        return
    for part, what, advice in _OTHER_TABLES:
        if len(missing) == len(REQUIRED) and any(part in column for column in columns):
            raise SourceError(ReasonCode.NOT_MOTION, f"the table holds {what}: {advice}")
    raise SourceError(
        ReasonCode.MISSING_KEY,
        f"the table lacks {shown(', '.join(missing))}; it has {shown(', '.join(columns))}: coordinates must be named "
        "as in Rajagopal's or OpenCap's model",
    )


def _even(storage: Storage, warnings: list[SourceWarning]) -> tuple[Storage, float]:
    """The table in even steps of time, and its rate [Hz]."""
    check_length(len(storage.time))
    steps = np.diff(storage.time)
    step = float(np.median(steps))
    if steps.min() <= 0.0:
        raise SourceError(ReasonCode.BAD_FRAME_RATE, "the times of the rows do not increase: export the file again")
    if np.abs(steps / step - 1.0).max() <= EVEN:
        return storage, len(steps) / (storage.time[-1] - storage.time[0])
    time = np.arange(storage.time[0], storage.time[-1] + 1e-9, step)
    values = np.column_stack([np.interp(time, storage.time, column) for column in storage.values.T])
    text = (
        f"the times of the rows are uneven ({steps.min():.3g} to {steps.max():.3g} s); resampled to {1.0 / step:.4g} Hz"
    )
    warnings.append(SourceWarning(ReasonCode.UNEVEN_TIMES, text))
    return Storage(columns=storage.columns, time=time, values=values, in_degrees=storage.in_degrees), 1.0 / step


def _in_degrees(storage: Storage, names: list[str], columns: dict[str, int], warnings: list[SourceWarning]) -> bool:
    if storage.in_degrees is not None:
        return storage.in_degrees
    limbs = [columns[name] for name in names if not name.startswith("pelvis")]
    degrees = bool(np.abs(storage.values[:, limbs]).max() > MOST_RADIANS)
    text = (
        f"the header does not say inDegrees; angles were read in {'degrees' if degrees else 'radians'} by their size: "
        "if not, add a line inDegrees=yes or no to the header"
    )
    warnings.append(SourceWarning(ReasonCode.ASSUMED_UNIT, text))
    return degrees


def _turn_knees(angles: dict[str, np.ndarray], warnings: list[SourceWarning]) -> None:
    """Make flexion positive; it is negative in gait2392 and its relatives."""
    knees = ("knee_angle_r", "knee_angle_l")
    both = np.concatenate([angles[name] for name in knees])
    if both.min() > -np.deg2rad(20.0) or both.max() > np.deg2rad(20.0):
        return
    for name in knees:
        angles[name] = -angles[name]
    text = "knee_angle is negative in flexion, as in gait2392: its sign was changed"
    warnings.append(SourceWarning(ReasonCode.OTHER_SIGNS, text))


def _stated_angles(angles: dict[str, np.ndarray]) -> JointAngles:
    """Coordinates that MyoFullBody has by the same definition, by its names."""
    own_names = {name: own for own, name in SAME_DEFINITION.items()}
    names = [name for name in (*LEGS_AND_TRUNK, *FEET) if name in angles]
    names = [name for name in names if name not in FEET or np.ptp(angles[name]) > LOCKED]
    values = np.column_stack([angles[name] for name in names])
    return JointAngles(names=tuple(own_names.get(name, name) for name in names), values=values)


def _recognises(head: bytes, path: Path) -> bool:
    return path.suffix.lower() in OPENSIM.suffixes or b"\nendheader" in head.replace(b"\r", b"")


def _read(file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    return [read_opensim(file, options)]


OPENSIM = MotionReader(
    name="OpenSim, .mot and .sto",
    suffixes=(".mot", ".sto"),
    written_by="OpenSim, OpenCap, AddBiomechanics, Moco; models with the coordinates of Rajagopal et al. 2016",
    reads="Coordinates of pelvis, legs, lumbar joint and arms, and the table of ground reaction beside the file; no "
    "wrists, other joints or moments.",
    assumes="Rajagopal's definitions; y up and metres; a mean adult in the size that feet on the ground show.",
    recognises=_recognises,
    read=_read,
)
