"""Points and force plates of a C3D file, read by ezc3d, which is optional."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from musclemap.datasets.formats.readers.forces.raw_forces import RawForces
from musclemap.datasets.motion import SourceWarning
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode

from .c3d_plates import plates_of
from .recording import Recording

INSTALL = 'pip install "musclemap[markers]"'


def is_c3d(head: bytes) -> bool:
    """Whether a file starts as a C3D file does: the second byte is 80, the first the block of the parameters."""
    return len(head) >= 512 and head[1] == 0x50 and 2 <= head[0] < 128


def read_c3d(path: Path, *, sha256: str, warnings: list[SourceWarning]) -> Recording:
    """Read the points of a C3D file, and its force plates.

    Points with a negative residual, and those exactly at the origin, are markers that are not seen.

    Args:
        path: File to read.
        sha256: Hash of the file.
        warnings: Gets a warning if the file has force plates that cannot be read.

    Raises:
        SourceError: If ezc3d is not installed ("missing_package"), the file is damaged ("truncated"), or it has no
            points ("not_markers").
    """
    try:
        ezc3d = import_module("ezc3d")
    except ImportError as error:
        raise SourceError(
            ReasonCode.MISSING_PACKAGE, f"C3D files are read by ezc3d, which is not installed: {INSTALL}"
        ) from error
    with path.open("rb") as stream:
        head = stream.read(512)
    try:
        content = ezc3d.c3d(str(path))
        point = content["parameters"]["POINT"]
        pos = np.asarray(content["data"]["points"], np.float64)[:3].transpose(2, 1, 0).copy()
        residual = np.asarray(content["data"]["meta_points"]["residuals"])[0].T
        rate = float(point["RATE"]["value"][0])
    except (OSError, ValueError, RuntimeError, KeyError, IndexError) as error:
        raise SourceError(
            ReasonCode.TRUNCATED, f"the C3D file is damaged ({str(error)[:80]}): export it again"
        ) from error
    announced = _frames_of_header(head)
    if announced is not None and len(pos) < announced:  # which ezc3d does not say
        raise SourceError(
            ReasonCode.TRUNCATED,
            f"the C3D file has {len(pos)} of the {announced} frames of its header: export it again",
        )
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
        forces=_forces(content, path, sha256, warnings),
    )


def _forces(content: Mapping[str, Any], path: Path, sha256: str, warnings: list[SourceWarning]) -> RawForces | None:
    try:
        return plates_of(content, source=f"{path.name} {sha256}")
    except SourceError as error:
        warnings.append(SourceWarning(ReasonCode.BAD_FORCES, f"its force plates are not used: {error}"))
        return None


def _frames_of_header(head: bytes) -> int | None:
    """Number of frames that the header announces; None if it does not fit into its 16 bits."""
    first, last = (int.from_bytes(head[low : low + 2], "little") for low in (6, 8))
    return last - first + 1 if first <= last < 65535 else None
