"""Which files of a collection are wanted."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which files are wanted.

    Attributes:
        include: Globs; a file is taken when one matches its name or its bare name.
        exclude: Globs of files to leave out.
        group: Motion list; only its members are taken.
        limit: Largest number of files.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    group: str | None = None
    limit: int | None = None

    def wants(self, name: str) -> bool:
        """Whether the globs take a name."""
        return (not self.include or _matches(name, self.include)) and not _matches(name, self.exclude)


def _matches(name: str, globs: Sequence[str]) -> bool:
    bare = PurePosixPath(name).name
    return any(fnmatchcase(name, glob) or fnmatchcase(bare, glob) for glob in globs)
