"""Motion files of OpenSim."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from musclemap.datasets.formats.readers.opensim.coordinates import PELVIS_POSITION
from musclemap.datasets.formats.tables import MOT_HEADER, table_text


def write_mot(values: Mapping[str, np.ndarray], *, fps: float = 100.0, header: str = MOT_HEADER) -> bytes:
    """A motion file of coordinates in degrees and metres."""
    table = np.column_stack(list(values.values()))
    text = header.format(rows=len(table), columns=len(values) + 1)
    times = np.arange(len(table)) / fps
    return (text + table_text(("time", *values), times, table, separator="\t", number="%.8f")).encode()


def known_walk(folder: Path) -> bytes:
    """The walk with known joint angles as a motion file."""
    with np.load(folder / "reference.npz", allow_pickle=False) as reference:
        angles = {key.removeprefix("angle__"): reference[key] for key in reference if key.startswith("angle__")}
    return write_mot({name: angles[name] if name in PELVIS_POSITION else np.rad2deg(angles[name]) for name in angles})
