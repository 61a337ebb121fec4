"""Files chosen by globs over their names; a glob is tried on the path and on the bare name, and `*` crosses `/`."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath


def taken(name: str, *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> bool:
    """Whether a POSIX path is wanted: one of `include` matches, or there is none, and none of `exclude` does."""
    return (not include or _matches(name, include)) and not _matches(name, exclude)


def _matches(name: str, globs: Sequence[str]) -> bool:
    bare = PurePosixPath(name).name
    return any(fnmatchcase(name, glob) or fnmatchcase(bare, glob) for glob in globs)
