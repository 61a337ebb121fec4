"""Selects the files of a folder to convert, and names the clip of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from musclemap.datasets.formats.readers.other_files import describe_folder
from musclemap.datasets.formats.readers.table import find_sources, person_name, suffixes
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode

from .globs import matches_globs
from .groups import load_group
from .groups import select as select_members


@dataclass(frozen=True, kw_only=True)
class Selected:
    """One input file, or a further person in one.

    Attributes:
        path: Path of the file.
        name: POSIX path below the input root, with its suffix.
        clip: POSIX path of its clip below the output folder.
        clash: Name of an earlier input with the same clip, or empty.
    """

    path: Path
    name: str
    clip: str
    clash: str = ""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Files to convert.

    Attributes:
        items: The files, sorted by name.
        missing: Members of the requested group that are not among the files.
    """

    items: tuple[Selected, ...]
    missing: tuple[str, ...] = ()


def clip_name(name: str) -> str:
    """Path of a source's clip: the source's path with .h5 in place of .npz, or after the suffix of other formats.

    So two files of one recording in different formats get two clips.
    """
    return (name[:-4] if name.lower().endswith(".npz") else name) + ".h5"


def select_person(item: Selected, person: int) -> Selected:
    """The input for one person of a file, counted from 1; the first has the name and clip of the file."""
    name = person_name(item.name, person)
    return item if person == 1 else replace(item, name=name, clip=clip_name(name))


def select(
    source: Path,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    group: str | None = None,
    limit: int | None = None,
) -> Selection:
    """List the motions to convert, sorted by name.

    Args:
        source: A folder, or one file.
        include: Globs; a file is included if one matches its path below the folder or its bare name. `*` matches `/`
            too.
        exclude: Globs; a file that matches one of these is left out.
        group: Name of a motion list; only its members are included.
        limit: Maximum number of files; the first ones are used.

    Raises:
        SourceError: If the folder or file does not exist, or no file is selected.
        SettingsError: If the group does not exist.
    """
    members = load_group(group) if group is not None else None
    motions = _with_clips(find_sources(source))
    if not motions:
        raise SourceError(ReasonCode.NO_MOTIONS, describe_folder(source, suffixes=suffixes()))
    requested = [item for item in motions if matches_globs(item.name, include=include, exclude=exclude)]
    missing: tuple[str, ...] = ()
    if members is not None:
        part = select_members((item.name for item in requested), members)
        names, missing = set(part.names), part.missing
        requested = [item for item in requested if item.name in names]
    if not requested:
        raise SourceError(
            ReasonCode.NO_MOTIONS,
            f"none of {len(motions)} motions below {source} is selected; one is {motions[0].name}",
        )
    return Selection(items=tuple(requested[:limit]), missing=missing)


def _with_clips(motions: Sequence[tuple[Path, str]]) -> list[Selected]:
    """Name the clips. If several sources have the same clip, the first by name gets it, whatever else is selected."""
    owners: dict[str, str] = {}
    items = []
    for path, name in motions:
        clip = clip_name(name)
        owner = owners.setdefault(clip, name)
        items.append(Selected(path=path, name=name, clip=clip, clash=owner if owner != name else ""))
    return items
