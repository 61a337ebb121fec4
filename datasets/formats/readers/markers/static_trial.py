"""Static trials: short recordings of a standing subject that calibrate the other recordings of their folder.

The rule: a file of markers whose name has the word static (`static.trc`, `S1_Static01.c3d`) is one. If a folder has
one, it gives the lengths of the segments and the places of the markers for all others in it.
"""

import re
from pathlib import Path

from musclemap.errors import SourceError
from musclemap.files import shown
from musclemap.reason_codes import ReasonCode

SUFFIXES = (".trc", ".c3d")

NONE = "none"
"""The statement that no file is a static trial."""

_NOT_LETTERS = re.compile("[^a-z]+")


def is_static(path: Path, stated: str) -> bool:
    """Whether a file is a static trial, by its name or as the user states it.

    Args:
        path: Path of the file.
        stated: Name of the static trial of each folder; "none" for none; empty to find it by the rule above.
    """
    if stated:
        return stated != NONE and path.name == stated
    return path.suffix.casefold() in SUFFIXES and "static" in _NOT_LETTERS.split(path.stem.casefold())


def find_static(motion: Path, stated: str) -> Path | None:
    """The static trial beside a motion, or None.

    Raises:
        SourceError: If there are several, or the one that is stated is missing ("static_trial").
    """
    if stated == NONE:
        return None
    found = sorted(path for path in motion.parent.iterdir() if path != motion and is_static(path, stated))
    if len(found) > 1:
        names = shown(", ".join(path.name for path in found))
        raise SourceError(ReasonCode.STATIC_TRIAL, f"{names} are static trials: name one with --static-trial")
    if stated and not found:
        raise SourceError(ReasonCode.STATIC_TRIAL, f"there is no static trial {shown(stated)}")
    return found[0] if found else None
