"""A clip as the files that OpenSim reads: angles, ground reaction, joint moments and activations.

All have OpenSim's ground axes, x forward, y up and z right (the clip's -y, z and -x), and a header that defines the
columns. OpenSim takes header lines with an equals sign as settings, so the definitions have none.
"""

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.errors import ClipError

from .export_body import ExportBody
from .readers.forces.grf_table import ESTIMATED, NOT_RAW
from .tables import MOT_HEADER, WORLD_TO_OPENSIM, base_columns, clip_times, mot_values, table_text

POSITIVE = {
    "pelvis_tilt": "the front of the pelvis goes up (posterior tilt)",
    "pelvis_list": "the right side of the pelvis goes down",
    "pelvis_rotation": "the pelvis turns to the left",
    "flex_extension": "lumbar extension",
    "lat_bending": "lumbar bending to the right",
    "axial_rotation": "the thorax turns to the left",
    "elv_angle": "plane of arm elevation, 0 is abduction and 90 is flexion",
    "shoulder_elv": "elevation of the arm in that plane",
    "shoulder_rot": "internal rotation of the arm",
    "elbow_flex": "elbow flexion",
    "pro_sup": "pronation",
    "deviation": "radial deviation",
    "flexion": "palmar flexion of the wrist",
    "hip_flexion": "hip flexion",
    "hip_adduction": "hip adduction",
    "hip_rotation": "internal rotation of the hip",
    "knee_angle": "knee flexion",
    "ankle_angle": "dorsiflexion",
    "subtalar_angle": "inversion",
    "mtp_angle": "flexion of the toes, negative at push-off",
}
"""Positive direction of the independent coordinates; names of limbs end in _r or _l and have it on both sides."""

ZERO = "Zero is upright standing with straight knees, arms hanging and thumbs forward."
ZERO_ARMS = "Zero is arms hanging with thumbs forward."

FEET = ("left_foot", "right_foot")
"""Supports that force plates measure, in the order of a clip's `measured`."""

_STO_HEADER = """{title}
version=1
nRows={rows}
nColumns={columns}
inDegrees=no

{notes}

endheader
"""


def opensim_motion(clip: Clip, body: ExportBody) -> bytes:
    """Encode the angles like `mot_bytes`, with their definitions in the header.

    Raises:
        ClipError: If the clip is of another body, or has no forces.
    """
    angles = opensim_angles(clip, body)
    on_ground = clip.ground_force is not None and clip.centre_of_pressure is not None
    if clip.joint_moment is None or (body.target.support_parts and not on_ground):
        raise ClipError(
            "it has no ground forces and joint moments: run mm-validate on its folder (with --muscles for "
            "activations too), then export again; --to mot writes the angles alone"
        )
    return angles


def opensim_angles(clip: Clip, body: ExportBody) -> bytes:
    """Encode the angles alone, with their definitions in the header.

    Raises:
        ClipError: If the clip is of another body.
    """
    columns, values = mot_values(clip, body)
    present = {name.removesuffix("_r").removesuffix("_l") for name in columns}
    notes = [
        *(["Pelvis rotations are about z (right), then x (forward), then y (up) of the pelvis."] if body.nroot else []),
        f"{ZERO if body.nroot else ZERO_ARMS} The other joints are driven by these or are fingers.",
        *(f"Positive {name}: {meaning}." for name, meaning in POSITIVE.items() if name in present),
    ]
    header = MOT_HEADER.format(rows=len(values), columns=len(columns))
    header = header.replace("\nendheader\n", "\n".join([*notes, "", "endheader", ""]))
    return (header + table_text(columns, clip_times(clip), values, separator="\t", number="%.8f")).encode()


def opensim_companions(clip: Clip, body: ExportBody) -> dict[str, bytes]:
    """Encode forces, moments and activations, each as one file by the end of its name; activations only if present."""
    assert clip.joint_moment is not None
    mass = body.target.mass
    moments, times = tuple(f"{name}_moment" for name in clip.moment_names), clip_times(clip)
    about = "Net moment that muscles supply, positive in the positive direction of the coordinate (see the .mot)."
    files = {
        "_moments.sto": sto_bytes(
            "moments", moments, times, clip.joint_moment, ["Units are newton metres.", about, _filter(clip)]
        ),
        "_moments_per_kg.sto": sto_bytes(
            "moments per kilogram", moments, times, clip.joint_moment / mass,
            [f"Units are newton metres per kilogram of the model's mass, {mass:.3f} kg.", about, _filter(clip)],
        ),
    }  # fmt: skip
    if clip.ground_force is not None and clip.centre_of_pressure is not None:
        files["_grf.mot"] = _grf(clip, clip.ground_force, clip.centre_of_pressure, mass)
    if clip.base_motion is not None:
        files["_base_motion.sto"] = _base(clip, clip.base_motion)
    if (plates := plate_table(clip)) is not None:
        files["_plates.mot"] = _plates(clip, *plates)
    if clip.activation is not None and clip.muscle_names:
        notes = ["Activations from 0 to 1 by static optimisation; they precede no force, unlike EMG."]
        files["_activations.sto"] = sto_bytes("activations", clip.muscle_names, times, clip.activation, notes)
    return files


def grf_columns(supports: Sequence[str]) -> tuple[str, ...]:
    """Headings of the ground reaction, with the names of OpenSim's external loads after the support's name."""
    quantities = ("ground_force_v", "ground_force_p", "ground_torque_")
    return tuple(f"{support}_{quantity}{axis}" for support in supports for quantity in quantities for axis in "xyz")


def _grf(clip: Clip, force: np.ndarray, centre: np.ndarray, mass: float) -> bytes:
    """Table of the forces on the body, with the free moments of measured ones."""
    moment = _free_moments(clip, force, mass)
    measured = "Forces on feet are measured by force plates, scaled to the model's weight, where they are known."
    notes = [
        ESTIMATED if clip.measured is None else f"{measured} {NOT_RAW}",
        "Force of the ground on the body [N], where it acts [m], and free moment [Nm], in the ground frame:",
        "x forward, y up, z right. A support without force has its lowest point as point of application.",
        "Free moments of estimates are part of the forces' distribution over the sole and are written as zero.",
        "In an external load, force_identifier is NAME_ground_force_v and point_identifier NAME_ground_force_p.",
        _filter(clip),
    ]
    turned = [np.asarray(array, np.float64) @ WORLD_TO_OPENSIM.T for array in (force, centre, moment)]
    values = np.concatenate(turned, axis=2).reshape(clip.nframe, -1)
    return sto_bytes("ground reaction", grf_columns(clip.support_names), clip_times(clip), values, notes)


def _base(clip: Clip, motion: np.ndarray) -> bytes:
    notes = [
        "Motion of the chest that the arms hang from, in the axes of the model's world, which moves with it:",
        "gravity and acceleration [m/s^2], angular velocity [rad/s] and angular acceleration [rad/s^2].",
    ]
    return sto_bytes("base motion", base_columns(), clip_times(clip), motion.reshape(clip.nframe, -1), notes)


def _free_moments(clip: Clip, force: np.ndarray, mass: float) -> np.ndarray:
    """Vertical moments about the centres of pressure on the body, world frame, shape of `force` [Nm]."""
    moment = np.zeros(force.shape)
    subject = clip.metrics.get("subject_mass_kg")
    if clip.measured is None or clip.plate_free_moment is None or clip.plate_foot is None or not _is_mass(subject):
        return moment
    for foot, name in enumerate(FEET):
        alone = (clip.plate_foot[..., foot] > 0) & (clip.plate_foot[..., 1 - foot] == 0)
        total = np.sum(clip.plate_free_moment * alone, axis=1) * (clip.measured[:, foot] > 0)
        moment[:, clip.support_names.index(name), 2] = mass / subject * clip.subject_scale * total
    return moment


def _is_mass(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def plate_table(clip: Clip) -> tuple[tuple[str, ...], np.ndarray] | None:
    """Headings and values of the forces of plates as measured, in OpenSim's axes; None for a clip without plates."""
    if clip.plate_force is None or clip.plate_centre is None or clip.plate_free_moment is None:
        return None
    moment = np.zeros(clip.plate_force.shape)
    moment[..., 2] = clip.plate_free_moment
    turned = [np.asarray(array, np.float64) @ WORLD_TO_OPENSIM.T
              for array in (clip.plate_force, clip.plate_centre, moment)]  # fmt: skip
    return grf_columns(clip.plate_names), np.concatenate(turned, axis=2).reshape(clip.nframe, -1)


def _plates(clip: Clip, columns: tuple[str, ...], values: np.ndarray) -> bytes:
    notes = [
        "Forces of force plates on the subject as measured [N], free moments [Nm], not scaled to the model's weight.",
        "Centres of pressure are under the model's feet as they were under the subject's [m].",
        NOT_RAW,
    ]
    return sto_bytes("measured ground reaction", columns, clip_times(clip), values, notes)


def _filter(clip: Clip) -> str:
    """How the motion was filtered before its forces were computed."""
    validation = clip.config.get("validation")
    before_forces = validation.get("cutoff") if isinstance(validation, dict) else None
    if _is_frequency(before_forces):
        return (
            f"Forces come from velocities after a zero-phase fourth-order Butterworth filter of {before_forces:g} Hz."
        )
    cutoffs = {key: value for key, value in clip.metrics.items() if key.startswith("filter_cutoff_")}
    known = [
        f"{key.removeprefix('filter_cutoff_').removesuffix('_hz')} {value:.1f} Hz"
        for key, value in sorted(cutoffs.items())
        if _is_frequency(value) and key.isidentifier()
    ]
    if known:
        return (
            f"Forces come from the stored motion; its source was low-pass filtered with zero phase: {', '.join(known)}."
        )
    return "Forces come from low-pass filtered velocities."


def _is_frequency(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6


def sto_bytes(title: str, names: Sequence[str], times: np.ndarray, values: np.ndarray, notes: Sequence[str]) -> bytes:
    """Encode a table as a storage file of OpenSim.

    Args:
        title: First line of the file.
        names: Headings of the columns after the time.
        times: Time of each row [s], shape (nrow,).
        values: Values, shape (nrow, ncolumn).
        notes: Lines of the header.

    Raises:
        ClipError: If a name cannot be a heading.
    """
    columns = ("time", *names)
    text = _STO_HEADER.format(title=title, rows=len(values), columns=len(columns), notes="\n".join(notes))
    table = table_text(columns, times, np.asarray(values, np.float64), separator="\t", number="%.8f")
    return (text + table).encode()
