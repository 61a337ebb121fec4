"""Clips as tables: the names and units of their columns, joint angles, data frames and labelled arrays."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from musclemap.api.optional import require
from musclemap.datasets.clip import Clip
from musclemap.datasets.clip_schema import ARRAYS, CONTACTS, OPTIONAL
from musclemap.datasets.formats.tables import ROOT_COLUMNS, clip_times
from musclemap.errors import ClipError
from musclemap.skeletons.bodies import BODIES, load_body_version
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.couplings import couplings

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

ROOT_VELOCITIES = ("root_vx", "root_vy", "root_vz", "root_wx", "root_wy", "root_wz")
"""Velocity of a free root in MuJoCo's order: translation in the world, rotation in the root's own axes."""

_QPOS_OF_FREE, _QVEL_OF_FREE = len(ROOT_COLUMNS), len(ROOT_VELOCITIES)

_FOOT_PARTS = tuple(part.replace(" ", "_") for part in CONTACTS)

DIMENSIONS: Mapping[str, tuple[str, str]] = {
    "qpos": ("coordinate", "m, rad; quaternion wxyz"),
    "qvel": ("dof", "m/s, rad/s"),
    "landmark_pos": ("landmark", "m"),
    "target_pos": ("landmark", "m"),
    "contact": ("foot_part", "1"),
    "activation": ("muscle", "1"),
    "activation_residual": ("joint", "N m"),
    "bearing": ("support", "1"),
    "ground_force": ("support", "N"),
    "centre_of_pressure": ("support", "m"),
    "joint_moment": ("joint", "N m"),
}
"""Name of the second dimension of each array of a clip, and its unit."""


def column_names(clip: Clip, key: str) -> tuple[str, ...]:
    """Names along the second dimension of an array of a clip.

    Args:
        clip: The clip.
        key: Name of the array, one of `DIMENSIONS`.

    Raises:
        ClipError: If the body has joints that are neither hinges nor slides, besides a free root.
    """
    if key in ("qpos", "qvel"):
        return _joint_columns(clip, key)
    if key == "contact":
        return _FOOT_PARTS
    names = {
        "landmark": clip.landmark_names,
        "muscle": clip.muscle_names,
        "support": clip.support_names,
        "joint": clip.moment_names,
    }[DIMENSIONS[key][0]]
    count = getattr(clip, key).shape[1]
    # clips of earlier releases have arrays without names
    return names if len(names) == count else tuple(f"{DIMENSIONS[key][0]}_{k}" for k in range(count))


def _joint_columns(clip: Clip, key: str) -> tuple[str, ...]:
    names, columns = clip.joint_names, getattr(clip, key).shape[1]
    if columns == len(names):
        return names
    root, width = (ROOT_COLUMNS, _QPOS_OF_FREE) if key == "qpos" else (ROOT_VELOCITIES, _QVEL_OF_FREE)
    if columns != len(names) - 1 + width:
        raise ClipError(f"{key} has {columns} columns for {len(names)} joints, which are not a free root and hinges")
    return (*root, *names[1:])


def stored_arrays(clip: Clip) -> dict[str, np.ndarray]:
    """Arrays of a clip that are present, by name."""
    return {key: array for key in (*ARRAYS, *OPTIONAL) if (array := getattr(clip, key)) is not None}


def body_of(clip: Clip) -> TargetBody:
    """Body of a clip, in the version that it was made for.

    Raises:
        ClipError: If this release does not know the body, or has only another version of it.
    """
    if clip.model not in BODIES:
        raise ClipError(f"{clip.model} is not a known body; known: {', '.join(BODIES)}")
    body = load_body_version(clip.model, clip.model_sha256, variant=clip.variant)
    if clip.joint_names != body.joint_names:
        raise ClipError(f"the clip is of another {clip.model} than the installed version {body.version}")
    return body


def joint_angles(clip: Clip, *, degrees: bool, every: bool) -> dict[str, np.ndarray]:
    """See `Clip.angles`."""
    import mujoco

    body = body_of(clip)
    model = body.model
    hidden = set() if every else {coupling.driven for coupling in couplings(model)}
    if not every and clip.hands == "locked":
        hidden |= {model.joint(name).id for name in body.finger_joints}
    hinges = [j for j in np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE).tolist() if j not in hidden]
    values = clip.qpos[:, model.jnt_qposadr[hinges]].astype(np.float64)
    values = np.degrees(values) if degrees else values
    return {body.joint_names[j]: values[:, k] for k, j in enumerate(hinges)}


def clip_frame(clip: Clip) -> "pd.DataFrame":
    """See `Clip.to_dataframe`."""
    pd = require("pandas", what="Clip.to_dataframe()")
    columns, parts = [], []
    for key, array in stored_arrays(clip).items():
        names = column_names(clip, key)
        if array.ndim == 3:
            names = tuple(f"{name}_{axis}" for name in names for axis in "xyz")
        columns += [(key, name) for name in names]
        parts.append(array.reshape(clip.nframe, -1).astype(np.float32))
    index = pd.Index(clip_times(clip), name="time")
    labels = pd.MultiIndex.from_tuples(columns, names=["quantity", "name"])
    return pd.DataFrame(np.concatenate(parts, axis=1), index=index, columns=labels)


def clip_dataset(clip: Clip) -> "xr.Dataset":
    """See `Clip.to_xarray`."""
    xr = require("xarray", what="Clip.to_xarray()")
    coordinates: dict[str, Any] = {"time": ("time", clip_times(clip), {"units": "s"})}
    variables = {}
    for key, array in stored_arrays(clip).items():
        dimension, unit = DIMENSIONS[key]
        names = column_names(clip, key)
        if dimension in coordinates and tuple(coordinates[dimension]) != names:
            dimension = f"{key}_{dimension}"  # an array without names beside one that has them
        coordinates[dimension] = list(names)
        dimensions = ("time", dimension) if array.ndim == 2 else ("time", dimension, "axis")
        variables[key] = (dimensions, array, {"units": unit})
    coordinates["axis"] = ["x", "y", "z"]
    facts = ("source", "fps", "model", "model_version", "model_sha256", "licence", "verdict", "subject_scale")
    variant = {"variant": clip.variant.canonical} if clip.variant else {}
    return xr.Dataset(variables, coordinates, {key: getattr(clip, key) for key in facts} | variant)
