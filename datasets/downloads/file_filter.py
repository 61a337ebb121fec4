"""Filter for the files of a collection."""

from dataclasses import dataclass

from musclemap.datasets.globs import matches_globs


@dataclass(frozen=True, kw_only=True)
class FileFilter:
    """Selection of files.

    Attributes:
        include: Globs; a file is included if one matches its path or its bare name.
        exclude: Globs of files to leave out.
        group: Motion list; only its members are included.
        limit: Maximum number of files.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    group: str | None = None
    limit: int | None = None

    def matches(self, name: str) -> bool:
        """Whether the globs include a name."""
        return matches_globs(name, include=self.include, exclude=self.exclude)
