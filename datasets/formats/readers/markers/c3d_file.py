"""Points of a C3D file, read by ezc3d, which is optional."""

from pathlib import Path

import numpy as np

from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode

from .recording import Recording

INSTALL = 'pip install "musclemap[markers]"'


def is_c3d(head: bytes) -> bool:
    """Whether a file starts as a C3D file does: the second byte is 80, the first the block of the parameters."""
    return len(head) >= 512 and head[1] == 0x50 and 2 <= head[0] < 128


def read_c3d(path: Path) -> Recording:
    """Read the points of a C3D file.

    Points with a negative residual, and those exactly at the origin, are markers that are not seen.

    Raises:
        SourceError: If ezc3d is not installed ("missing_package"), the file is damaged ("truncated"), or it has no
            points ("not_markers").
    """
    try:
        import ezc3d
    except ImportError as error:
        raise SourceError(
            ReasonCode.MISSING_PACKAGE, f"C3D files are read by ezc3d, which is not installed: {INSTALL}"
        ) from error
    try:
        content = ezc3d.c3d(str(path))
        point = content["parameters"]["POINT"]
        pos = np.asarray(content["data"]["points"], np.float64)[:3].transpose(2, 1, 0).copy()
        residual = np.asarray(content["data"]["meta_points"]["residuals"])[0].T
        rate = float(point["RATE"]["value"][0])
        width = 4 if point["SCALE"]["value"][0] < 0.0 else 2  # bytes per number: floating point or integers
        numbers = 4 * pos.shape[0] * pos.shape[1] + content["data"]["analogs"].size
        size = 512 * (int(point["DATA_START"]["value"][0]) - 1) + width * numbers
    except (OSError, ValueError, RuntimeError, KeyError, IndexError) as error:
        raise SourceError(
            ReasonCode.TRUNCATED, f"the C3D file is damaged ({str(error)[:80]}): export it again"
        ) from error
    if path.stat().st_size < size:  # which ezc3d does not notice
        raise SourceError(ReasonCode.TRUNCATED, "the C3D file ends before its last frame: export it again")
    if not pos.size:
        raise SourceError(ReasonCode.NOT_MARKERS, "the C3D file holds no points: give the recording with markers")
    labels = [label for key in ("LABELS", "LABELS2", "LABELS3") for label in point.get(key, {}).get("value", ())]
    labels += [""] * (pos.shape[1] - len(labels))
    pos[~np.isfinite(pos).all(axis=2) | ~pos.any(axis=2) | (residual < 0.0)] = np.nan
    units = point.get("UNITS", {}).get("value", ())
    return Recording(
        labels=tuple(str(label).strip() for label in labels[: pos.shape[1]]),
        pos=pos,
        rate=rate,
        clock=None,
        unit=str(units[0]).strip() if len(units) else "",
        upright="z",
    )
