"""The file of ground forces that belongs to a motion, by its name or as the user states it.

The rule: beside `walk.trc`, `walk.mot` or `walk_ik.mot` it is `walk_grf`, `walk_forces`, `walk_ground_forces`,
`walk_ground_reaction` or `walk_external_loads`, with the suffix .mot or .sto for a table and .xml for ExternalLoads,
which name their table; upper and lower case do not matter.
"""

import hashlib
from pathlib import Path

import numpy as np

from musclemap.datasets.amass.limits import MAX_FILE_BYTES
from musclemap.datasets.formats.readers.opensim.storage_text import parse_storage
from musclemap.datasets.motion import SourceWarning
from musclemap.datasets.plates.plate_forces import PlateForces
from musclemap.errors import FileError, SourceError
from musclemap.files import read_bytes, shown
from musclemap.reason_codes import ReasonCode

from .file_names import LOADS, TABLES, force_names
from .grf_table import ESTIMATED, NOT_RAW, Load, find_loads, forces_of_table, parse_external_loads
from .raw_forces import RawForces, in_world

NONE = "none"
"""The statement that a motion has no file of forces."""


def read_companion(motion: Path, stated: str) -> RawForces | None:
    """Read the forces of the file that belongs to a motion.

    Args:
        motion: Path of the motion.
        stated: File of the forces relative to the motion's folder, in which * stands for the motion's name without
            its suffix; "none" for no forces; empty to look for a file by the rule above.

    Returns:
        Forces in the axes of the file and metres, times by its clock; None if there is no such file.

    Raises:
        SourceError: If the stated file does not exist, several files fit the rule, or the file cannot be used
            ("bad_forces").
    """
    if stated == NONE:
        return None
    path = _stated(motion, stated) if stated else _found(motion)
    if path is None:
        return None
    try:
        return _read(path)
    except (FileError, SourceError, OSError) as error:
        raise SourceError(ReasonCode.BAD_FORCES, f"{path.name}: {error}") from error


def _stated(motion: Path, stated: str) -> Path:
    path = motion.parent / stated.replace("*", motion.stem)
    if not path.is_file():
        raise SourceError(ReasonCode.BAD_FORCES, f"there is no file of ground forces {shown(str(path.name))}")
    return path


def _found(motion: Path) -> Path | None:
    """The file beside a motion that fits the rule; ExternalLoads come before the table that they name."""
    names = force_names(motion.stem)
    beside = sorted(
        path for path in motion.parent.iterdir()
        if path.stem.casefold() in names and path.suffix.casefold() in (*TABLES, LOADS) and path != motion
    )  # fmt: skip
    loads = [path for path in beside if path.suffix.casefold() == LOADS]
    chosen = loads or beside
    if len(chosen) > 1:
        raise SourceError(
            ReasonCode.BAD_FORCES,
            f"{shown(', '.join(path.name for path in chosen))} all fit the motion: name one with --force-file",
        )
    return chosen[0] if chosen else None


def _read(path: Path) -> RawForces:
    data = read_bytes(path, limit=MAX_FILE_BYTES)
    if path.suffix.casefold() != LOADS:
        return _read_table(path, data, None)
    external = parse_external_loads(data)
    table = path.parent / external.table
    if not table.is_file():
        raise SourceError(ReasonCode.BAD_FORCES, f"its table {shown(external.table)} is not beside it")
    return _read_table(table, read_bytes(table, limit=MAX_FILE_BYTES), (path, data, external.loads))


def _read_table(path: Path, data: bytes, loads: tuple[Path, bytes, tuple[Load, ...]] | None) -> RawForces:
    storage = parse_storage(data)
    if any(sentence.encode() in data[:8192] for sentence in (ESTIMATED, NOT_RAW)):
        raise SourceError(ReasonCode.BAD_FORCES, "mm-export wrote it: its forces are those of a clip, not a recording")
    digest = hashlib.sha256(data)
    if loads is None:
        return forces_of_table(storage, find_loads(storage.columns), source=f"{path.name} {digest.hexdigest()}")
    settings, content, columns = loads
    digest.update(content)
    return forces_of_table(storage, columns, source=f"{settings.name} {digest.hexdigest()}")


def measured_forces(
    motion: Path,
    *,
    own: RawForces | None,
    stated: str,
    mass: float | None,
    turn: np.ndarray,
    metres: float,
    first: float,
    warnings: list[SourceWarning],
) -> PlateForces | None:
    """Forces of a motion in its world: the plates of its own file, or else those of the file that belongs to it.

    Args:
        motion: Path of the motion.
        own: Plates of the motion's own file, times by the clock of the motion; a file that the user states replaces
            them.
        stated: See `read_companion`.
        mass: Mass of the subject that the user states [kg], or None.
        turn: Rotation from the motion's axes to the world, shape (3, 3).
        metres: Unit of length of the motion's own file [m]; tables of forces are in metres.
        first: Time of the motion's first frame by its clock [s].
        warnings: Gets a warning if there are forces that cannot be used.

    Returns:
        The forces, or None.
    """
    try:
        table = read_companion(motion, stated) if stated or own is None else None
        raw, unit = (own, metres) if table is None and stated != NONE else (table, 1.0)
        if raw is None:
            return None
        return in_world(raw, turn=turn, metres=unit, mass=mass).later(first)
    except SourceError as error:
        text = f"measured ground forces are not used, but estimated ({error})"
        warnings.append(SourceWarning(ReasonCode.BAD_FORCES, text))
        return None
