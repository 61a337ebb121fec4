"""Who is in which part of a data set: no person in two, unless asked."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from musclemap.datasets.downloads.bundle_manifest import SPLITS
from musclemap.datasets.groups import group_names, load_group, motion_key, select
from musclemap.errors import FileError, SettingsError
from musclemap.files import read_bytes

LONGEST_GROUP = 1 << 26
"""Bytes of a list of motions."""

_PERSON_OF_FOLDER = re.compile(r"((?:Female|Male)\d+)\w*_c3d")
"""ACCAD has several folders a person, such as Female1Walking_c3d and Female1Running_c3d."""

_SCANNED = re.compile(r"50\d{3}")
"""DFaust and MoSh recorded some of the same people, under the same numbers."""


def subject_of(source: str) -> str:
    """The person who moves, as far as a path tells: data set and subject's folder.

    Files of one folder are taken to be of one person, and so are all files that lie in no folder.
    """
    *folders, _ = motion_key(source)
    if not folders:
        return "."
    person = _PERSON_OF_FOLDER.fullmatch(folders[-1])
    if folders[0] == "ACCAD" and person:
        return f"ACCAD/{person[1]}"
    if folders[0] in ("DFaust", "MoSh") and _SCANNED.fullmatch(folders[-1]):
        return f"DFaust and MoSh/{folders[-1]}"
    return "/".join(folders)


def parse_shares(text: str) -> dict[str, float]:
    """Shares of the three splits, from three numbers such as 0.8,0.1,0.1; they are made to add up to 1.

    Raises:
        SettingsError: There are not three numbers, or one is negative, or none is positive.
    """
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) != len(SPLITS) or not all(0 <= share < 1e9 for share in shares) or sum(shares) <= 0:
        raise SettingsError(f"shares of {', '.join(SPLITS)} are three numbers such as 0.8,0.1,0.1, not {text!r}")
    return {split: share / sum(shares) for split, share in zip(SPLITS, shares, strict=True)}


def split_by_subject(seconds: Mapping[str, float], shares: Mapping[str, float], *, seed: int = 0) -> dict[str, str]:
    """Give every person to one split, so that durations come near the shares.

    People come in an order that the seed decides, each to the split that then lacks most. No split with a share stays
    empty where there are as many people as splits.

    Args:
        seconds: Duration of every source [s].
        shares: From `parse_shares`.
        seed: Another number gives another division.

    Returns:
        The split of every source.
    """
    people: dict[str, float] = {}
    for source in sorted(seconds):
        people[subject_of(source)] = people.get(subject_of(source), 0.0) + seconds[source]
    total, have = sum(people.values()), dict.fromkeys(SPLITS, 0.0)
    requested = [split for split in SPLITS if shares[split] > 0]
    of: dict[str, str] = {}
    for person in sorted(people, key=lambda name: _drawn(name, seed)):
        of[person] = max(requested, key=lambda split: shares[split] * total - have[split])
        have[of[person]] += people[person]
    _fill(of, people, requested)
    return {source: of[subject_of(source)] for source in seconds}


def _drawn(person: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{person}".encode("utf-8", "surrogateescape")).digest()


def _fill(of: dict[str, str], people: Mapping[str, float], requested: Sequence[str]) -> None:
    """Where there are people enough, let no split be empty: the one with most people gives the one with least time."""
    for split in requested:
        members = {each: [person for person in of if of[person] == each] for each in requested}
        crowded = max(requested, key=lambda each: len(members[each]))
        if not members[split] and len(members[crowded]) > 1:
            of[min(members[crowded], key=lambda person: (people[person], person))] = split


def split_by_groups(
    sources: Sequence[str], groups: Mapping[str, str], *, shared_subjects: bool = False
) -> dict[str, str]:
    """Give every source to the split whose group of motions has it.

    Args:
        sources: Sources.
        groups: For some of the splits the name of a built-in group, or a file with one motion a line.
        shared_subjects: Allow people in more than one split.

    Returns:
        The split of the sources that are in one. Without a group for "train" all that are in no other group are.

    Raises:
        SettingsError: There is no such group, one has no clip, a source is in two, or a person is, without leave.
    """
    of: dict[str, str] = {}
    for split, name in groups.items():
        members = select(sources, _members(name)).names
        if not members:
            raise SettingsError(f"none of the clips is in {name}, which is to be {split}")
        twice = [source for source in members if source in of]
        if twice:
            raise SettingsError(f"{twice[0]} is in {split} ({name}) and in {of[twice[0]]} ({groups[of[twice[0]]]})")
        of |= dict.fromkeys(members, split)
    if "train" not in groups:
        of |= {source: "train" for source in sources if source not in of}
    if not shared_subjects:
        _refuse_shared(of)
    return of


def shared(of: Mapping[str, str]) -> dict[str, list[str]]:
    """People who are in more than one split, and in which."""
    splits: dict[str, set[str]] = {}
    for source, split in of.items():
        splits.setdefault(subject_of(source), set()).add(split)
    return {person: sorted(result, key=SPLITS.index) for person, result in sorted(splits.items()) if len(result) > 1}


def _refuse_shared(of: Mapping[str, str]) -> None:
    both = shared(of)
    if both:
        person, splits = next(iter(both.items()))
        raise SettingsError(
            f"{len(both)} people are in more than one split, such as {person} in {' and '.join(splits)}; "
            "--shared-subjects allows it"
        )


def _members(name: str) -> tuple[str, ...]:
    if name in group_names() or not Path(name).is_file():
        return load_group(name)
    try:
        lines = read_bytes(Path(name), limit=LONGEST_GROUP).decode("utf-8").split("\n")
    except (FileError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name} is no list of motions: {error}") from error
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
