"""Force plates of a C3D file, from its parameters and analog channels.

The group FORCE_PLATFORM has the corners, the channels, the origin of the transducers and, for some, a calibration
matrix. Types 1 to 4 of the format's manual are read (https://www.c3d.org/HTML, force platform types):

    1   force, centre of pressure, free moment          3   eight channels of four corners (Kistler)
    2   force, and moment about the transducers' origin 4   the same as 2 through a calibration matrix

A plate's axes follow from its corners, which begin in the quadrant of positive x and y and go on to negative x.
Files differ in whether they hold the force on the plate or that on the subject; `raw_forces.in_world` tells by which
of the two pushes the subject up. FORCE_PLATFORM:ZERO, a range of frames without load, is not applied: an offset below
the threshold of a loaded plate has no effect.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from musclemap.datasets.formats.readers.forces.raw_forces import MAX_PLATES, RawForces
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode

CHANNELS = {1: 6, 2: 6, 3: 8, 4: 6}
"""Analog channels of a plate, by its type."""


def plates_of(content: Mapping[str, Any], *, source: str) -> RawForces | None:
    """Forces of the plates, in the file's axes and unit, times after its first frame.

    Args:
        content: The file as ezc3d reads it.
        source: Name and hash of the file.

    Returns:
        The forces, with unknown sign; None if the file has no plates.

    Raises:
        SourceError: If a plate is of an unknown type or its parameters do not match the channels ("bad_forces").
    """
    group = content["parameters"].get("FORCE_PLATFORM", {})
    used = _numbers(group, "USED")
    count = int(used[0]) if used.size else 0
    if not count:
        return None
    try:
        return _plates(content, group, count, source)
    except (KeyError, IndexError, ValueError) as error:
        raise SourceError(
            ReasonCode.BAD_FORCES, f"the parameters of its force plates are incomplete ({str(error)[:80]})"
        ) from error


def _plates(content: Mapping[str, Any], group: Mapping[str, Any], count: int, source: str) -> RawForces:
    if count > MAX_PLATES:
        raise SourceError(ReasonCode.BAD_FORCES, f"it has {count} force plates; at most {MAX_PLATES} are read")
    analogs = np.asarray(content["data"]["analogs"], np.float64)[0]
    rate = float(_numbers(content["parameters"]["ANALOG"], "RATE")[0])
    if not rate > 0.0:
        raise ValueError(f"rate of the analog channels {rate:g}")
    types = _numbers(group, "TYPE").astype(int)
    if len(types) < count or any(kind not in CHANNELS for kind in types[:count]):
        raise SourceError(
            ReasonCode.BAD_FORCES,
            f"its force plates are of the types {', '.join(map(str, types))}; types 1 to 4 are read",
        )
    corners = _numbers(group, "CORNERS").reshape(3, 4, -1)
    origins, channels = _numbers(group, "ORIGIN").reshape(3, -1), _numbers(group, "CHANNEL").astype(int)
    channels = channels.reshape(-1, channels.shape[-1]) if channels.ndim > 1 else channels[:, None]
    matrices = _numbers(group, "CAL_MATRIX")
    shape = (analogs.shape[1], count, 3)
    force, point, moment = np.empty(shape), np.empty(shape), np.empty(shape)
    for plate in range(count):
        kind = int(types[plate])
        chosen = channels[: CHANNELS[kind], plate] - 1
        if chosen.min() < 0 or chosen.max() >= len(analogs):
            raise SourceError(ReasonCode.BAD_FORCES, f"plate {plate + 1} names channels that the file lacks")
        signal = analogs[chosen]
        if kind == 4:
            signal = matrices.reshape(6, 6, -1)[:, :, plate] @ signal
        rot, centre = _axes(corners[:, :, plate])
        own_force, own_moment = _at_surface(kind, signal, origins[:, plate])
        force[:, plate], moment[:, plate], point[:, plate] = own_force @ rot.T, own_moment @ rot.T, centre
    return RawForces(
        names=tuple(f"plate_{plate + 1}" for plate in range(count)), feet=("",) * count,
        time=np.arange(analogs.shape[1]) / rate, force=force, point=point, moment=moment,
        corners=corners[:, :, :count].transpose(2, 1, 0), source=source, mass=_mass(content), sign_known=False,
    )  # fmt: skip


def _axes(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation from a plate's axes to the file's, shape (3, 3), and the centre of its surface; corners (3, 4)."""
    x = corners[:, 0] + corners[:, 3] - corners[:, 1] - corners[:, 2]
    y = corners[:, 0] + corners[:, 1] - corners[:, 2] - corners[:, 3]
    length = np.linalg.norm(x)
    z = np.cross(x, y)
    if not (length > 0 and np.linalg.norm(z) > 0):
        raise ValueError("corners in a line")
    x, z = x / length, z / np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z], axis=1), corners.mean(axis=1)


def _at_surface(kind: int, signal: np.ndarray, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Force, and moment about the centre of the surface, in the plate's axes, each (nsample, 3).

    The origin of types 2 to 4 is the vector from the transducers to the centre of the surface, so the moment there is
    the moment of the transducers minus origin x force. For type 3 its first two numbers are the distances of the
    transducers from the plate's axes, and only the third is such a vector.
    """
    if kind == 1:
        force, x, y = signal[:3].T, signal[3], signal[4]
        pressed = np.stack([y * signal[2], -x * signal[2], x * signal[1] - y * signal[0] + signal[5]], axis=1)
        return force, pressed
    if kind == 3:
        x12, x34, y14, y23, z1, z2, z3, z4 = signal
        a, b, depth = origin
        force = np.stack([x12 + x34, y14 + y23, z1 + z2 + z3 + z4], axis=1)
        moment = np.stack(
            [b * (z1 + z2 - z3 - z4), a * (-z1 + z2 + z3 - z4), b * (x34 - x12) + a * (y14 - y23)], axis=1
        )
        arm = np.array([0.0, 0.0, depth])
    else:
        force, moment, arm = signal[:3].T, signal[3:].T, origin
    return force, moment - np.cross(arm, force)


def _numbers(group: Mapping[str, Any], key: str) -> np.ndarray:
    """Numbers of a parameter; empty if it is missing."""
    return np.asarray(group.get(key, {}).get("value", ()), np.float64)


def _mass(content: Mapping[str, Any]) -> float | None:
    """Mass of the subject that Vicon stores [kg]."""
    values = _numbers(content["parameters"].get("PROCESSING", {}), "Bodymass")
    return float(values[0]) if values.size and 20.0 < values[0] < 300.0 else None
