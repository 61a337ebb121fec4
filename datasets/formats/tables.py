"""Clips as text: a CSV table, and OpenSim's motion files."""

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.clip import Clip
from musclemap.datasets.clip_schema import BASE_ROWS
from musclemap.errors import ClipError

from .spreadsheet import safe_cell

if TYPE_CHECKING:
    from .export_body import ExportBody

ROOT_COLUMNS = ("root_x", "root_y", "root_z", "root_qw", "root_qx", "root_qy", "root_qz")

PELVIS_COLUMNS = ("pelvis_tilt", "pelvis_list", "pelvis_rotation", "pelvis_tx", "pelvis_ty", "pelvis_tz")
"""Pelvis coordinates of OpenSim's gait models: rotations about z, then x, then y of the body."""

WORLD_TO_OPENSIM = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])
"""OpenSim's ground has y up and x forward, which is -y here; the pelvis already has OpenSim's axes."""

MOT_HEADER = """Coordinates
version=1
nRows={rows}
nColumns={columns}
inDegrees=yes

Units are S.I. units (second, meters, Newtons, ...)
If the header above contains a line with 'inDegrees', this indicates whether rotational values are in degrees (yes) or radians (no).

endheader
"""  # noqa: E501 - as OpenSim 4's tool for inverse kinematics writes it


def csv_bytes(clip: Clip, body: "ExportBody") -> bytes:
    """Encode a clip as a table with one row per frame: time [s], free root (position [m], quaternion), joints [rad, m].

    Nine digits reproduce the clip's float32 numbers exactly.

    Raises:
        ClipError: If the clip is of another body, or a joint's name cannot be a column heading.
    """
    qpos, _ = body.state(clip)
    columns = ("time", *(ROOT_COLUMNS if body.nroot else ()), *body.moving_joints)
    return table_text(columns, clip_times(clip), qpos, separator=",", number="%.9g").encode()


def mot_bytes(clip: Clip, body: "ExportBody") -> bytes:
    """Encode a clip as an OpenSim motion file: time [s], free pelvis, all joints; angles in degrees, slides in metres.

    Joints keep the names, zeros and signs that the model takes from OpenSim models.

    Raises:
        ClipError: If the clip is of another body.
    """
    columns, values = mot_values(clip, body)
    header = MOT_HEADER.format(rows=len(values), columns=len(columns))
    return (header + table_text(columns, clip_times(clip), values, separator="\t", number="%.8f")).encode()


def mot_values(clip: Clip, body: "ExportBody") -> tuple[tuple[str, ...], np.ndarray]:
    """Headings of a motion file, the first is time, and the other columns [deg, m], shape (nframe, ncolumn).

    Raises:
        ClipError: If the clip is of another body.
    """
    qpos, qvel = body.state(clip)
    import mujoco  # here because the readers import this module for its axes, and commands have to start fast

    joints, hinge = qpos[:, body.nroot :], body.model.jnt_type[body.nroot > 0 :] == mujoco.mjtJoint.mjJNT_HINGE
    joints = np.where(hinge, np.degrees(joints), joints)
    if not body.nroot:
        return ("time", *body.moving_joints), joints
    motion, pelvis = body.motion(qpos, qvel), body.body_names.index("pelvis")
    turn = WORLD_TO_OPENSIM @ motion.xmat[:, pelvis].reshape(-1, 3, 3)
    with warnings.catch_warnings():  # in gimbal lock any split between the two angles is correct
        warnings.simplefilter("ignore", UserWarning)
        angles = np.unwrap(Rotation.from_matrix(turn).as_euler("ZXY"), axis=0)
    values = np.concatenate([np.degrees(angles), motion.xpos[:, pelvis] @ WORLD_TO_OPENSIM.T, joints], axis=1)
    return ("time", *PELVIS_COLUMNS, *body.moving_joints), values


def base_columns() -> tuple[str, ...]:
    """Headings of the motion of a base [m/s^2, rad/s, rad/s^2]."""
    return tuple(f"base_{row.replace(' ', '_')}_{axis}" for row in BASE_ROWS for axis in "xyz")


def csv_companions(clip: Clip, _: "ExportBody") -> dict[str, bytes]:
    """Encode the forces [N, m, world axes], moments [Nm], activations and base motion of a clip, if present, as tables.

    Returns:
        Tables by the end of the file name.
    """
    tables: dict[str, tuple[list[str], np.ndarray]] = {}
    if clip.ground_force is not None and clip.centre_of_pressure is not None:
        both = np.concatenate([clip.ground_force, clip.centre_of_pressure], axis=2).reshape(clip.nframe, -1)
        quantities = ("force_x", "force_y", "force_z", "centre_x", "centre_y", "centre_z")
        tables["_ground_forces.csv"] = [f"{name}_{q}" for name in clip.support_names for q in quantities], both
    if clip.base_motion is not None:
        tables["_base_motion.csv"] = list(base_columns()), clip.base_motion.reshape(clip.nframe, -1)
    if clip.plate_force is not None and clip.plate_centre is not None and clip.plate_free_moment is not None:
        free = clip.plate_free_moment[..., None]
        quantities = ("force_x", "force_y", "force_z", "centre_x", "centre_y", "centre_z", "free_moment")
        plates = np.concatenate([clip.plate_force, clip.plate_centre, free], axis=2).reshape(clip.nframe, -1)
        tables["_plates.csv"] = [f"{name}_{q}" for name in clip.plate_names for q in quantities], plates
    if clip.joint_moment is not None:
        tables["_moments.csv"] = list(clip.moment_names), clip.joint_moment
    if clip.activation is not None and clip.muscle_names:
        tables["_activations.csv"] = list(clip.muscle_names), clip.activation
    return {
        end: table_text(("time", *names), clip_times(clip), values, separator=",", number="%.9g").encode()
        for end, (names, values) in tables.items()
    }


def clip_times(clip: Clip) -> np.ndarray:
    """Time of every frame from the first [s]."""
    return np.arange(clip.nframe) / clip.fps


def table_text(columns: tuple[str, ...], times: np.ndarray, values: np.ndarray, *, separator: str, number: str) -> str:
    """Lines of a table: headings, then the time and the values of every frame.

    Raises:
        ClipError: If a name cannot be a heading.
    """
    invalid = [name for name in columns if separator in name or not name.isprintable()]
    if invalid:
        raise ClipError(f"a name cannot be a column heading: {invalid[0]!r}")
    columns = tuple(str(safe_cell(name)) for name in columns)
    line = separator.join(["%.9g", *[number] * values.shape[1]])
    lines = [line % (time, *row) for time, row in zip(times.tolist(), values.tolist(), strict=True)]
    return "\n".join([separator.join(columns), *lines, ""])
