"""Which files of a folder are converted, and what the clip of each is called."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from musclemap.datasets.amass.reader import find_motions
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode

from .globs import taken
from .groups import load_group
from .groups import select as select_members


@dataclass(frozen=True, kw_only=True)
class Selected:
    """One input file.

    Attributes:
        path: Where it lies.
        name: POSIX path below the input root, with its ending.
        clip: POSIX path of its clip below the output folder.
        clash: Name of the earlier input that has the same clip, or empty.
    """

    path: Path
    name: str
    clip: str
    clash: str = ""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is to be converted.

    Attributes:
        items: The files, sorted by name.
        missing: Members of the wanted group that are not among the files.
    """

    items: tuple[Selected, ...]
    missing: tuple[str, ...] = ()


def clip_name(name: str) -> str:
    """Path of the clip of a source: its own, with .h5 in place of .npz."""
    return (name[:-4] if name.lower().endswith(".npz") else name) + ".h5"


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
        include: Globs; a file is taken when one matches its path below the folder or its bare name. `*` crosses `/`.
        exclude: Globs; a file that one of these matches is left out.
        group: Name of a motion group; only its members are taken.
        limit: Largest number of files, the first ones.

    Raises:
        SourceError: There is no such folder or file, or nothing in it that is wanted.
        SettingsError: There is no such group.
    """
    members = load_group(group) if group is not None else None
    result = _with_clips(find_motions(source))
    if not result:
        raise SourceError(
            ReasonCode.NO_MOTIONS, f"no motion below {source}; a motion is an .npz file with poses and trans"
        )
    requested = [item for item in result if taken(item.name, include=include, exclude=exclude)]
    missing: tuple[str, ...] = ()
    if members is not None:
        part = select_members((item.name for item in requested), members)
        names, missing = set(part.names), part.missing
        requested = [item for item in requested if item.name in names]
    if not requested:
        raise SourceError(
            ReasonCode.NO_MOTIONS, f"none of {len(result)} motions below {source} is wanted; one is {result[0].name}"
        )
    return Selection(items=tuple(requested[:limit]), missing=missing)


def _with_clips(result: Sequence[tuple[Path, str]]) -> list[Selected]:
    """Name the clips; of several sources with one clip the first by name has it, whatever else is selected."""
    owners: dict[str, str] = {}
    chosen = []
    for path, name in result:
        clip = clip_name(name)
        owner = owners.setdefault(clip, name)
        chosen.append(Selected(path=path, name=name, clip=clip, clash=owner if owner != name else ""))
    return chosen
