"""The table of readers, and the one way in: any motion file, recognised by its content."""

from dataclasses import replace
from pathlib import Path

from musclemap.datasets.amass.limits import MAX_FILE_BYTES
from musclemap.datasets.amass.reader import refusing
from musclemap.datasets.motion import SourceMotion
from musclemap.errors import SourceError
from musclemap.files import read_bytes
from musclemap.reason_codes import ReasonCode

from .bvh import BVH
from .motion_reader import HEAD_BYTES, MotionReader, ReadOptions, SourceFile
from .npz import NPZ

READERS: tuple[MotionReader, ...] = (NPZ, BVH)
"""Readers in the order in which they are asked whether they recognise a file."""


def suffixes() -> frozenset[str]:
    """Suffixes of the files that are searched for in folders, lower case with the dot."""
    return frozenset(suffix for reader in READERS for suffix in reader.suffixes)


def person_name(name: str, person: int) -> str:
    """Name of a person's motion, counted from 1: that of the file for the first, and below the file for others."""
    return name if person == 1 else f"{name}/person{person}"


@refusing
def read_motions(path: Path, *, name: str, options: ReadOptions = ReadOptions()) -> list[SourceMotion]:  # noqa: B008
    """Read all motions of a file of any supported format.

    Args:
        path: File to read.
        name: Name of the file: its POSIX path below the input root.
        options: What the user states about the file.

    Returns:
        One motion per person. The first has the name of the file, the second NAME/person2 and so on.

    Raises:
        SourceError: If no reader recognises the file, or the reader refuses it; the message says what was found and
            what to do.
    """
    data = read_bytes(path, limit=MAX_FILE_BYTES)
    for reader in READERS:
        if reader.recognises(data[:HEAD_BYTES], path):
            motions = reader.read(SourceFile(path=path, name=name, data=data), options)
            return [replace(motion, name=person_name(name, k)) for k, motion in enumerate(motions, start=1)]
    raise SourceError(ReasonCode.UNREADABLE, f"{path.name} is of no supported format")
