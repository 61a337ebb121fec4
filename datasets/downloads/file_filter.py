"""Which files of a collection are wanted."""

from dataclasses import dataclass

from musclemap.datasets.globs import taken


@dataclass(frozen=True, kw_only=True)
class FileFilter:
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
        return taken(name, include=self.include, exclude=self.exclude)
