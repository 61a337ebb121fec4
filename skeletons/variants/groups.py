"""Names that stand for several parts of a body: groups of muscles, and parts of both sides."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from musclemap.errors import TargetError
from musclemap.files import shown

from .names import nearest_names

_SUFFIXES = (("_r", "r"), ("_left", "l"), ("_l", "l"))
"""Ends of names and their side. Muscles of the arm have none on the right."""


def stem_and_side(name: str) -> tuple[str, str]:
    """A part's name without the suffix of its side, and the side, "r" or "l"; right without a suffix."""
    for suffix, side in _SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix), side
    return name, "r"


def grouped(names: Iterable[str], table: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Members of every group on both sides and on each side, in the order of the names.

    Args:
        names: Muscles of the body.
        table: Stems of the members of each group, or patterns of them; see `TargetBody.muscle_groups`.

    Returns:
        Muscles by "group", "group_r" and "group_l"; groups without a member are left out.
    """
    sided = [(name, *stem_and_side(name)) for name in names]
    groups: dict[str, tuple[str, ...]] = {}
    for group, patterns in table.items():
        members = [(name, side) for name, stem, side in sided if any(fnmatchcase(stem, p) for p in patterns)]
        groups[group] = tuple(name for name, _ in members)
        for wanted in ("r", "l"):
            groups[f"{group}_{wanted}"] = tuple(name for name, side in members if side == wanted)
    return {group: members for group, members in groups.items() if members}


def members(given: str, names: Sequence[str], groups: Mapping[str, Sequence[str]], *, noun: str) -> tuple[str, ...]:
    """Parts that a name stands for: the part itself, those of a group, or those of both sides.

    Args:
        given: What the user says.
        names: Parts of the body.
        groups: From `grouped`, or none.
        noun: What the parts are, for the message.

    Raises:
        TargetError: If it stands for none; the message names similar ones.
    """
    if given in names:
        return (given,)
    if given in groups:
        return tuple(groups[given])
    if both := tuple(name for name in names if name != given and stem_and_side(name)[0] == given):
        return both
    close = nearest_names(given, [*groups, *names])
    kinds = f"{noun} or group of them" if groups else noun
    raise TargetError(f"the body has no {kinds} {shown(given)}{f'; close to it: {close}' * bool(close)}")
