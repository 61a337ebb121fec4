"""Motion lists and their matching across the spellings that the archive's releases use.

The same recording is `ACCAD/ACCAD/Female1Running_c3d/C2 - Run to stand_poses` in one release and
`ACCAD/Female1Running_c3d/C2_-_Run_to_stand_stageii` in another, `BMLrub` and `BioMotionLab_NTroje` are the same data
set, and users unpack archives into folders of their own.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from musclemap.errors import SettingsError

_FOLDER = Path(__file__).resolve().parent / "groups"

DATA_SETS = {
    "ACCAD": (),
    "BMLhandball": (),
    "BMLmovi": (),
    "BMLrub": ("BioMotionLab_NTroje",),
    "CMU": (),
    "CNRS": (),
    "DanceDB": (),
    "DFaust": ("DFaust_67",),
    "EKUT": (),
    "EyesJapanDataset": ("Eyes_Japan_Dataset",),
    "GRAB": (),
    "HDM05": ("MPI_HDM05",),
    "HUMAN4D": (),
    "HumanEva": (),
    "KIT": (),
    "MoSh": ("MPI_mosh",),
    "PosePrior": ("MPI_Limits",),
    "SFU": (),
    "SOMA": (),
    "SSM": ("SSM_synced",),
    "TCDHands": ("TCD_handMocap",),
    "TotalCapture": (),
    "Transitions": ("Transitions_mocap",),
    "WEIZMANN": (),
}
"""Data sets of the archive and the other names of their folders: the key is the newer one, aliases are older ones."""


def _normalise(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


_DATA_SET_OF = {_normalise(alias): name for name, aliases in DATA_SETS.items() for alias in (name, *aliases)}


@dataclass(frozen=True, kw_only=True)
class GroupSelection:
    """The part of a collection that belongs to a motion list.

    Attributes:
        names: Motions of the collection that are in the list, in the collection's order.
        missing: Entries of the list that the collection lacks, in the list's order.
    """

    names: tuple[str, ...]
    missing: tuple[str, ...]


def group_names() -> tuple[str, ...]:
    """Names of the built-in motion lists, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.txt")))


def load_group(name: str) -> tuple[str, ...]:
    """Entries of a built-in motion list, as published: relative paths without suffix.

    Raises:
        SettingsError: If the list does not exist; the message lists the known ones.
    """
    known = group_names()
    if name not in known:
        raise SettingsError(f"there is no group {name!r}; the groups are: {', '.join(known)}")
    lines = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").split("\n")
    return tuple(line.strip() for line in lines if line.strip())


def motion_key(path: str) -> tuple[str, ...]:
    """Key shared by all spellings of one recording: data set (if the path names one), subject folder, recording.

    The data set is the last folder that names one. Folders before it are dropped, and so are suffixes (.npz, .h5,
    _poses, _stageii). Runs of spaces and underscores become one underscore. Case is kept except in the data set.
    """
    *folders, recording = unicodedata.normalize("NFC", path).replace("\\", "/").strip("/").split("/")
    recording = re.sub(r"\.(npz|h5)$", "", recording, flags=re.IGNORECASE)
    parts = [re.sub(r"[\s_]+", "_", part) for part in (*folders, re.sub(r"_(poses|stageii)$", "", recording))]
    for k in range(len(folders) - 1, -1, -1):
        if _normalise(folders[k]) in _DATA_SET_OF:
            return (_DATA_SET_OF[_normalise(folders[k])], *parts[k + 1 :])
    return tuple(parts)


def matches(path: str, entry: str) -> bool:
    """Whether a path and an entry of a motion list denote the same recording.

    If only one of them names a data set (the input root may be inside it), subject folder and recording decide: no two
    data sets of the lists share both. A recording without its subject matches nothing, because names such as
    walking_slow08 occur under many subjects.
    """
    return _same(motion_key(path), motion_key(entry))


def select(names: Iterable[str], group: Iterable[str]) -> GroupSelection:
    """Select the motions of a list from a collection.

    Args:
        names: Names of motions, as from `find_motions`. Two releases of one recording are both selected.
        group: Entries of the list, as from `load_group`.

    Returns:
        The matching names, and the entries without a match.
    """
    entries = {entry: motion_key(entry) for entry in group}
    by_tail: dict[tuple[str, ...], list[str]] = {}
    for entry, key in entries.items():
        by_tail.setdefault(key[-2:], []).append(entry)
    selected, matched = [], set()
    for name in names:
        key = motion_key(name)
        found = [entry for entry in by_tail.get(key[-2:], []) if _same(key, entries[entry])]
        matched.update(found)
        if found:
            selected.append(name)
    return GroupSelection(names=tuple(selected), missing=tuple(entry for entry in entries if entry not in matched))


def _same(key: tuple[str, ...], other: tuple[str, ...]) -> bool:
    if key[0] in DATA_SETS and other[0] in DATA_SETS:
        return key == other
    return len(key) > 1 and key[-2:] == other[-2:]
