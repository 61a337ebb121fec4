"""Splits of a data set into train, val and test, by subject or by groups of motions."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from musclemap.datasets.downloads.bundle_manifest import SPLITS
from musclemap.datasets.groups import group_names, load_group, motion_key, select
from musclemap.errors import FileError, SettingsError
from musclemap.files import read_bytes

MAX_GROUP_BYTES = 1 << 26
"""Largest size of a list of motions [bytes]."""

_SUBJECT_OF_FOLDER = re.compile(r"((?:Female|Male)\d+)\w*_c3d")
"""ACCAD has several folders per subject, such as Female1Walking_c3d and Female1Running_c3d."""

_DFAUST_SUBJECT = re.compile(r"50\d{3}")
"""Subject numbers of DFaust and MoSh, which recorded some of the same subjects under the same numbers."""


def subject_of(source: str) -> str:
    """Subject of a motion, inferred from its path: data set and the subject's folder.

    All files of a folder are assumed to be of one subject, and so are all files that are not in a folder.
    """
    *folders, _ = motion_key(source)
    if not folders:
        return "."
    subject = _SUBJECT_OF_FOLDER.fullmatch(folders[-1])
    if folders[0] == "ACCAD" and subject:
        return f"ACCAD/{subject[1]}"
    if folders[0] in ("DFaust", "MoSh") and _DFAUST_SUBJECT.fullmatch(folders[-1]):
        return f"DFaust and MoSh/{folders[-1]}"
    return "/".join(folders)


def parse_shares(text: str) -> dict[str, float]:
    """Parse the shares of the three splits, such as 0.8,0.1,0.1, and normalise them to a sum of 1.

    Raises:
        SettingsError: If there are not three numbers, one is negative, or none is positive.
    """
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) != len(SPLITS) or not all(0 <= share < 1e9 for share in shares) or sum(shares) <= 0:
        raise SettingsError(
            f"give the shares of {', '.join(SPLITS)} as three numbers such as 0.8,0.1,0.1, not {text!r}"
        )
    return {split: share / sum(shares) for split, share in zip(SPLITS, shares, strict=True)}


def split_by_subject(seconds: Mapping[str, float], shares: Mapping[str, float], *, seed: int = 0) -> dict[str, str]:
    """Assign every subject to one split, so that the durations of the splits approximate the shares.

    Subjects are assigned in an order that depends on the seed, each to the split that lacks the most time. No split
    with a positive share stays empty if there are at least as many subjects as such splits.

    Args:
        seconds: Duration of every source [s].
        shares: From `parse_shares`.
        seed: Seed of the order of subjects.

    Returns:
        The split of every source.
    """
    durations: dict[str, float] = {}
    for source in sorted(seconds):
        durations[subject_of(source)] = durations.get(subject_of(source), 0.0) + seconds[source]
    total, assigned = sum(durations.values()), dict.fromkeys(SPLITS, 0.0)
    splits = [split for split in SPLITS if shares[split] > 0]
    split_of: dict[str, str] = {}
    for subject in sorted(durations, key=lambda subject: _order_key(subject, seed)):
        split_of[subject] = max(splits, key=lambda split: shares[split] * total - assigned[split])
        assigned[split_of[subject]] += durations[subject]
    _fill_empty_splits(split_of, durations, splits)
    return {source: split_of[subject_of(source)] for source in seconds}


def _order_key(subject: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{subject}".encode("utf-8", "surrogateescape")).digest()


def _fill_empty_splits(split_of: dict[str, str], durations: Mapping[str, float], splits: Sequence[str]) -> None:
    """Move to each empty split the subject with the least time from the split with the most subjects, if possible."""
    for split in splits:
        members = {each: [subject for subject in split_of if split_of[subject] == each] for each in splits}
        largest = max(splits, key=lambda each: len(members[each]))
        if not members[split] and len(members[largest]) > 1:
            split_of[min(members[largest], key=lambda subject: (durations[subject], subject))] = split


def split_by_groups(
    sources: Sequence[str], groups: Mapping[str, str], *, shared_subjects: bool = False
) -> dict[str, str]:
    """Assign every source to the split whose group of motions contains it.

    Args:
        sources: Sources.
        groups: Group per split: the name of a built-in group, or a file with one motion per line.
        shared_subjects: Allow a subject to be in several splits.

    Returns:
        The split of every source that is in a group. Without a group for "train", all other sources are in "train".

    Raises:
        SettingsError: If a group does not exist or has no clip, a source is in two groups, or a subject is in several
            splits and `shared_subjects` is False.
    """
    split_of: dict[str, str] = {}
    for split, name in groups.items():
        members = select(sources, _members(name)).names
        if not members:
            raise SettingsError(f"no clip is in {name}, the group of split {split}")
        for source in members:
            if source in split_of:
                earlier = split_of[source]
                raise SettingsError(f"{source} is in {split} ({name}) and in {earlier} ({groups[earlier]})")
        split_of |= dict.fromkeys(members, split)
    if "train" not in groups:
        split_of |= {source: "train" for source in sources if source not in split_of}
    if not shared_subjects:
        _check_disjoint_subjects(split_of)
    return split_of


def subjects_in_several_splits(split_of: Mapping[str, str]) -> dict[str, list[str]]:
    """Subjects that are in more than one split, each with its splits."""
    splits: dict[str, set[str]] = {}
    for source, split in split_of.items():
        splits.setdefault(subject_of(source), set()).add(split)
    return {subject: sorted(names, key=SPLITS.index) for subject, names in sorted(splits.items()) if len(names) > 1}


def _check_disjoint_subjects(split_of: Mapping[str, str]) -> None:
    repeated = subjects_in_several_splits(split_of)
    if repeated:
        subject, splits = next(iter(repeated.items()))
        raise SettingsError(
            f"{len(repeated)} subjects are in more than one split, such as {subject} in {' and '.join(splits)}; "
            "--shared-subjects allows this"
        )


def _members(name: str) -> tuple[str, ...]:
    if name in group_names() or not Path(name).is_file():
        return load_group(name)
    try:
        lines = read_bytes(Path(name), limit=MAX_GROUP_BYTES).decode("utf-8").split("\n")
    except (FileError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name} is not a list of motions: {error}") from error
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
