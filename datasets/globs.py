"""Selection of files by globs. A glob is matched against the path and the bare name, and `*` also matches `/`."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath


def matches_globs(name: str, *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> bool:
    """Whether a POSIX path matches one of `include`, unless that is empty, and none of `exclude`."""
    return (not include or _matches(name, include)) and not _matches(name, exclude)


def _matches(name: str, globs: Sequence[str]) -> bool:
    bare = PurePosixPath(name).name
    return any(fnmatchcase(name, glob) or fnmatchcase(bare, glob) for glob in globs)
