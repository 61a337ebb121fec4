"""Files of ground forces with known content: OpenSim's tables and C3D files with force plates."""

from importlib import import_module
from pathlib import Path

import numpy as np

CORNERS = np.array([[0.2, 0.3, 0.0], [-0.2, 0.3, 0.0], [-0.2, -0.3, 0.0], [0.2, -0.3, 0.0]])
"""Corners of a plate in its axes: x and y in the surface, z down [m]."""


def grf_text(time: np.ndarray, loads: dict[str, np.ndarray], *, note: str = "") -> bytes:
    """A table of OpenSim.

    Args:
        time: Times, shape (nrow,) [s].
        loads: Force, point and torque of each load, shape (nrow, 9), by the names of its columns with `{}` in place of
            v, p and torque's m, such as "1_ground_{}" (1_ground_force_vx, 1_ground_torque_x) or "ground_{}_r".
        note: Line of the header.
    """
    names, columns = ["time"], [time]
    for pattern, values in loads.items():
        before, between = pattern.split("{}")
        middle = f"{between.strip('_')}_" if between else ""
        for kind in ("force_{}v", "force_{}p", "torque_{}"):
            names += [before + kind.format(middle) + axis for axis in "xyz"]
        columns += list(values.T)
    rows = "\n".join("\t".join(f"{value:.10f}" for value in row) for row in np.column_stack(columns))
    head = f"forces\nversion=1\nnRows={len(time)}\nnColumns={len(names)}\ninDegrees=yes\n{note}\nendheader\n"
    return (head + "\t".join(names) + "\n" + rows + "\n").encode()


def plate_channels(kind: int, force: np.ndarray, moment: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Signals of a plate of a type, shape (nchannel, nsample), for a force and a moment about its surface's centre.

    Args:
        kind: Type of the plate, 1 to 4; the calibration matrix of type 4 is `MATRIX`.
        force: Force in the plate's axes, shape (nsample, 3) [N].
        moment: Moment, shape (nsample, 3), in newtons times the unit of `origin`.
        origin: FORCE_PLATFORM:ORIGIN, shape (3,).
    """
    if kind == 1:
        x, y = -moment[:, 1] / force[:, 2], moment[:, 0] / force[:, 2]
        free = moment[:, 2] - (x * force[:, 1] - y * force[:, 0])
        return np.column_stack([force, x, y, free]).T
    if kind == 3:
        a, b, depth = origin
        mx, my, mz = (moment + np.cross([0.0, 0.0, depth], force)).T
        fx, fy, fz = force.T
        x34 = 0.5 * (fx + 0.4 * mz / b)
        y14 = 0.5 * (fy + 0.6 * mz / a)
        first, second, twist = mx / b, my / a, 3.0  # z1+z2-z3-z4, -z1+z2+z3-z4, and any z1-z2+z3-z4
        z = [fz + first - second + twist, fz + first + second - twist,
             fz - first + second + twist, fz - first - second - twist]  # fmt: skip
        return np.array([fx - x34, x34, y14, fy - y14, *(0.25 * values for values in z)])
    signal = np.column_stack([force, moment + np.cross(origin, force)]).T
    return np.linalg.solve(MATRIX, signal) if kind == 4 else signal


MATRIX = np.eye(6) + 0.1 * np.arange(36.0).reshape(6, 6) / 36.0
"""Calibration matrix of the plates of type 4; not symmetric."""


def add_plates(
    content: object,
    *,
    corners: np.ndarray,
    kinds: list[int],
    origins: np.ndarray,
    signals: list[np.ndarray],
    rate: float,
) -> None:
    """Put plates into a C3D file of ezc3d.

    Args:
        content: The file; its points determine the number of frames.
        corners: Corners of each plate, shape (nplate, 4, 3), in the unit of the points.
        kinds: Types.
        origins: FORCE_PLATFORM:ORIGIN, shape (nplate, 3).
        signals: Channels of each plate.
        rate: Rate of the channels [Hz].
    """
    channels = np.concatenate(signals)
    counts = [len(signal) for signal in signals]
    starts = np.cumsum([1, *counts[:-1]])
    index = np.zeros((max(counts), len(kinds)))
    for plate, (start, count) in enumerate(zip(starts, counts, strict=True)):
        index[:count, plate] = np.arange(start, start + count)
    analog = content["parameters"]["ANALOG"]  # type: ignore[index]
    analog["RATE"]["value"] = [rate]
    analog["LABELS"]["value"] = [f"channel {k}" for k in range(len(channels))]
    content["data"]["analogs"] = channels[None]  # type: ignore[index]
    values = {"USED": [len(kinds)], "TYPE": kinds, "ZERO": [1, 0], "CORNERS": corners.transpose(2, 1, 0),
              "ORIGIN": origins.T, "CHANNEL": index.astype(int),
              "CAL_MATRIX": np.repeat(MATRIX[:, :, None], len(kinds), axis=2)}  # fmt: skip
    for key, value in values.items():
        content["parameters"]["FORCE_PLATFORM"][key]["value"] = value  # type: ignore[index]


def new_c3d(labels: tuple[str, ...], pos: np.ndarray, *, fps: float, metres: float = 0.001) -> object:
    """A C3D file of ezc3d with points, shape (nframe, npoint, 3) [m], stored in millimetres."""
    content = import_module("ezc3d").c3d()
    content["parameters"]["POINT"]["RATE"]["value"] = [fps]
    content["parameters"]["POINT"]["LABELS"]["value"] = list(labels)
    content["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    points = np.ones((4, len(labels), len(pos)))
    points[:3] = pos.transpose(2, 1, 0) / metres
    content["data"]["points"] = points
    return content


def write(content: object, path: Path) -> None:
    """Write a file of ezc3d."""
    content.write(str(path))  # type: ignore[attr-defined]
