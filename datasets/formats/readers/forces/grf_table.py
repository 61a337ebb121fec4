"""OpenSim's tables of ground reaction (.mot, .sto), and ExternalLoads (.xml) that say which column acts on which foot.

Names of columns vary: the parts v, p and the torque follow `ground_force`, with the name of the load before, between or
nowhere (`1_ground_force_vx`, `ground_force_r_vx`, `ground_force_vx`). Loads that name a side bear that foot. The plain
and the numbered ones of OpenSim's examples do not, so their feet are found from the motion.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from musclemap.datasets.formats.readers.opensim.storage_text import Storage
from musclemap.errors import SourceError
from musclemap.files import shown
from musclemap.reason_codes import ReasonCode

from .raw_forces import MAX_PLATES, RawForces

ESTIMATED, NOT_RAW = "Forces are estimated, not measured.", "They belong to a clip and are no recording."
"""Sentences in the headers of our own exports, by which they are recognised: their sizes and weights are the body's."""

MAX_NAME = 64
"""Longest name of a load that is kept."""

_FORCE = re.compile(r"^(.*?)ground_force_(.*?)_?v([xyz])$", re.IGNORECASE)
_SIDES = {"r": "right", "right": "right", "l": "left", "left": "left"}
_WORDS = re.compile(r"[^a-zA-Z]+")


@dataclass(frozen=True, kw_only=True)
class Load:
    """Columns of one load: their names without the axis; `foot` is "left", "right" or "" if it is not stated."""

    name: str
    foot: str
    force: str
    point: str
    torque: str


@dataclass(frozen=True, kw_only=True)
class ExternalLoads:
    """An ExternalLoads file: name of the table, and the loads on feet."""

    table: str
    loads: tuple[Load, ...]


def side_of(name: str) -> str:
    """Foot that a name states: a part of it, between other characters than letters, is a side."""
    sides = {_SIDES[word] for word in _WORDS.split(name.casefold()) if word in _SIDES}
    return sides.pop() if len(sides) == 1 else ""


def find_loads(columns: tuple[str, ...]) -> tuple[Load, ...]:
    """Loads of a table by the names of its columns; empty if it has none."""
    known = {column.casefold() for column in columns}
    loads = []
    for column in columns:
        found = _FORCE.match(column)
        if found is None or found[3].casefold() != "x":
            continue
        before, between = found[1], found[2]
        middle = f"{between}_" if between else ""
        torques = (f"{before}ground_{kind}_{middle}{letter}" for kind in ("torque", "moment") for letter in ("", "m"))
        torque = next((name for name in torques if f"{name}x".casefold() in known), "")
        name = "_".join(part.strip("_") for part in (before, between) if part.strip("_")) or "ground_force"
        stem = f"{before}ground_force_{middle}"
        loads.append(Load(name=name, foot=side_of(name), force=f"{stem}v", point=f"{stem}p", torque=torque))
    return tuple(loads)


def forces_of_table(storage: Storage, loads: tuple[Load, ...], *, source: str) -> RawForces:
    """Forces of a table, in its axes and metres.

    Args:
        storage: The table.
        loads: Its loads.
        source: Name and hash of the file.

    Raises:
        SourceError: If columns are missing, or times do not increase ("bad_forces").
    """
    if not 0 < len(loads) <= MAX_PLATES:
        raise SourceError(
            ReasonCode.BAD_FORCES,
            f"it has {len(loads)} loads; expected columns such as ground_force_vx, ground_force_px, ground_torque_x; "
            f"it has {shown(', '.join(storage.columns))}",
        )
    if len(storage.time) < 2 or np.diff(storage.time).min() <= 0.0:
        raise SourceError(ReasonCode.BAD_FORCES, "the times of its rows do not increase")
    place = {column.casefold(): k for k, column in reversed(list(enumerate(storage.columns)))}
    force, point = (np.stack([_vectors(storage, place, getattr(load, key)) for load in loads], axis=1)
                    for key in ("force", "point"))  # fmt: skip
    moment = np.stack(
        [_vectors(storage, place, load.torque) if load.torque else np.zeros((len(storage.time), 3)) for load in loads],
        axis=1,
    )
    return RawForces(
        names=_unique(load.name for load in loads), feet=tuple(load.foot for load in loads), time=storage.time,
        force=force, point=point, moment=moment, corners=None, source=source,
    )  # fmt: skip


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    """Short names without spaces, with a number after those that occur before."""
    result: list[str] = []
    for given in names:
        name = "_".join(given.split())[:MAX_NAME] or "load"
        result.append(name if name not in result else f"{name}_{len(result) + 1}")
    return tuple(result)


def _vectors(storage: Storage, place: dict[str, int], stem: str) -> np.ndarray:
    """Three columns as vectors, shape (nrow, 3)."""
    missing = [f"{stem}{axis}" for axis in "xyz" if f"{stem}{axis}".casefold() not in place]
    if missing:
        raise SourceError(ReasonCode.BAD_FORCES, f"it lacks the columns {shown(', '.join(missing))}")
    return storage.values[:, [place[f"{stem}{axis}".casefold()] for axis in "xyz"]]


def parse_external_loads(data: bytes) -> ExternalLoads:
    """Read an ExternalLoads file. Loads on other bodies than feet, and disabled ones, are left out.

    Raises:
        SourceError: If the file is no such file, or its forces are not in the ground's axes ("bad_forces").
    """
    if b"<!doctype" in data.lower() or b"<!entity" in data.lower():  # entities can expand without end
        raise SourceError(ReasonCode.BAD_FORCES, "it declares a document type, which is not read")
    try:
        root = ET.fromstring(data)  # without a document type there are no entities
    except ET.ParseError as error:
        raise SourceError(ReasonCode.BAD_FORCES, f"it is no XML file: {error}") from error
    table = (root.findtext(".//datafile") or "").strip()
    loads = [_load(force) for force in root.iter("ExternalForce") if _applies(force)]
    feet = tuple(load for load in loads if load.foot)
    if not table or not feet:
        raise SourceError(ReasonCode.BAD_FORCES, "it names no table (datafile), or no ExternalForce on a foot")
    return ExternalLoads(table=table.replace("\\", "/").rpartition("/")[2], loads=feet)


def _applies(force: ET.Element) -> bool:
    text = lambda key: (force.findtext(key) or "").strip().casefold()  # noqa: E731
    return text("isDisabled") != "true" and text("appliesForce") != "false"


def _load(force: ET.Element) -> Load:
    text = lambda key: (force.findtext(key) or "").strip()  # noqa: E731
    frames = [text(key).rpartition("/")[2] for key in ("force_expressed_in_body", "point_expressed_in_body")]
    if any(frame.casefold() not in ("", "ground") for frame in frames):
        raise SourceError(ReasonCode.BAD_FORCES, f"a force is in the axes of {shown(', '.join(frames))}, not of ground")
    body = text("applied_to_body")
    is_foot = any(part in body.casefold() for part in ("calcn", "foot", "toes", "talus"))
    return Load(
        name=force.get("name") or text("force_identifier"), foot=side_of(body) if is_foot else "",
        force=text("force_identifier"), point=text("point_identifier"), torque=text("torque_identifier"),
    )  # fmt: skip
