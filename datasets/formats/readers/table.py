"""The table of readers, and the one way in: any motion file, recognised by its content."""

import codecs
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from musclemap.datasets.amass.frame_checks import with_frame_checks
from musclemap.datasets.amass.limits import MAX_FILE_BYTES
from musclemap.datasets.amass.reader import check_translation, find_motions, refusing
from musclemap.datasets.motion import SourceMotion
from musclemap.errors import FileError, SourceError
from musclemap.files import read_bytes
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import leg_length

from .bvh import BVH
from .marker_files import C3D, TRC
from .motion_reader import HEAD_BYTES, MotionReader, ReadOptions, SourceFile
from .opensim_files import OPENSIM
from .other_files import other_by_content, other_by_name, refuse_other_file
from .smpl_files import NPY, NPZ, PICKLE, TORCH
from .world import to_world

READERS: tuple[MotionReader, ...] = (TORCH, NPZ, NPY, PICKLE, BVH, TRC, C3D, OPENSIM)
"""Readers in the order in which they are asked whether they recognise a file."""


_CONTAINERS = (TORCH, NPZ, NPY, PICKLE)
"""Readers of files that can hold anything, and that are read quickly."""

_NO_MOTION = frozenset((
    ReasonCode.NOT_MOTION, ReasonCode.UNKNOWN_FORMAT, ReasonCode.UNSUPPORTED_FORMAT, ReasonCode.NOT_NPZ,
    ReasonCode.PICKLED, ReasonCode.TRUNCATED, ReasonCode.AMBIGUOUS_LAYOUT,
))  # fmt: skip
"""Codes of files that are no motion whatever the user states about them."""


def suffixes() -> frozenset[str]:
    """Suffixes of the files that are searched for in folders, lower case with the dot."""
    return frozenset(suffix for reader in READERS for suffix in reader.suffixes)


def is_source_file(name: str) -> bool:
    """Whether a file name denotes a motion: the suffix of a reader, not hidden, and not known to be another file."""
    path = Path(name)
    return path.suffix.lower() in suffixes() and not name.startswith(".") and other_by_name(path) is None


def find_sources(root: Path) -> list[tuple[Path, str]]:
    """List the files of all formats below a folder, or the one file given; see `find_motions`."""
    return find_motions(root, accept=is_source_file)


def person_name(name: str, person: int) -> str:
    """Name of a person's motion, counted from 1: that of the file for the first, and below the file for others."""
    return name if person == 1 else f"{name}/person{person}"


def file_of(name: str) -> str:
    """Name of the file of a motion, from `person_name`."""
    file, _, person = name.rpartition("/person")
    return file if person.isdecimal() else name


@refusing
def read_motions(path: Path, *, name: str, options: ReadOptions = ReadOptions()) -> list[SourceMotion]:  # noqa: B008
    """Read all motions of a file of any supported format.

    Args:
        path: File to read.
        name: Name of the file: its POSIX path below the input root.
        options: What the user states about the file.

    Returns:
        One motion per person, z up and in metres. The first has the name of the file, the second NAME/person2 and so
        on.

    Raises:
        SourceError: If no reader recognises the file, or the reader refuses it; the message says what was found and
            what to do.
    """
    refuse_other_file(path)
    return _motions(SourceFile(path=path, name=name, data=read_bytes(path, limit=MAX_FILE_BYTES)), options)


@refusing
def motions_of_arrays(
    arrays: Mapping[str, ArrayLike], *, name: str, options: ReadOptions = ReadOptions()  # noqa: B008
) -> list[SourceMotion]:  # fmt: skip
    """Motions of arrays in memory: those of the .npz file that holds these arrays, but without a file's hash.

    Args:
        arrays: Arrays, numbers and texts by the names that a file of the SMPL family has.
        name: Name of the motion.
        options: What the user states about the arrays.

    Raises:
        SourceError: As `read_motions`.
    """
    stream, converted = io.BytesIO(), {key: np.asarray(array) for key, array in arrays.items()}
    for key, array in converted.items():
        if array.dtype.hasobject:
            raise SourceError(ReasonCode.BAD_TYPE, f"{key} holds {type(array.flat[0]).__name__} objects, not numbers")
    np.savez(stream, allow_pickle=False, **converted)
    file = SourceFile(path=Path(f"{name}.npz"), name=name, data=stream.getvalue())
    return [replace(motion, sha256="") for motion in _motions(file, options)]


def _motions(file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    motions = _reader_of(file.data[:HEAD_BYTES], file.path).read(file, options)
    return [_finished(motion, person_name(file.name, k), options) for k, motion in enumerate(motions, start=1)]


def refuse_no_motion(path: Path) -> None:
    """Refuse the only file of a conversion if it is no motion, before anything heavy is imported.

    Raises:
        SourceError: If no reader recognises the file, or it is a container that holds no motion.
    """
    try:
        refuse_other_file(path)
        with path.open("rb") as stream:
            reader = _reader_of(stream.read(HEAD_BYTES), path)
        if reader in _CONTAINERS:
            read_motions(path, name=path.name)
    except SourceError as error:
        if error.code in _NO_MOTION:
            raise
    except FileError as error:
        if error.code is not None and error.code in _NO_MOTION:
            raise SourceError(error.code, f"{path.name}: {error}") from error
    except OSError:
        return  # the conversion says why, in the manifest


def _reader_of(head: bytes, path: Path) -> MotionReader:
    if not head:
        raise FileError("the file is empty", code=ReasonCode.TRUNCATED)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SourceError(
            ReasonCode.UNKNOWN_FORMAT,
            f"{path.name} is UTF-16 text; save it as UTF-8: iconv -f UTF-16 -t UTF-8 {path.name} > NEW",
        )
    other = other_by_content(head)
    for reader in READERS:
        if (other is None or other.is_archive) and reader.recognises(head, path):
            return reader
    if other is not None:
        raise SourceError(other.code, other.sentence(path.name))
    raise SourceError(
        ReasonCode.UNKNOWN_FORMAT,
        f"{path.name} has no known format: it starts with {head[:8]!r}; mm-retarget --list-formats lists those read",
    )


def _finished(motion: SourceMotion, name: str, options: ReadOptions) -> SourceMotion:
    """A motion as read, in the world of all others and with its checks."""
    motion = replace(motion, name=name)
    if motion.rest_joints is None:
        motion, size = to_world(motion, options)
        check_translation(motion.trans)
    else:
        size = leg_length(motion.rest_joints) / leg_length(mean_joints())
    return with_frame_checks(motion, scale=size)
