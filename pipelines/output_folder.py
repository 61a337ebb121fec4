"""The folder a conversion writes to: one run at a time, nothing half done, each line on disk as soon as it is known."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

from musclemap.datasets.folder_lock import locked
from musclemap.datasets.manifest import Manifest, ManifestEntry, ManifestJournal
from musclemap.skeletons.errors import ClipError, MusclemapError

MANIFEST = "manifest.jsonl"
JOURNAL = "manifest.jsonl.partial"


class OutputError(MusclemapError):
    """The output folder cannot be written to, or another run is writing to it."""


class OutputFolder:
    """An output folder that this process alone writes to. Made by `open_output`.

    Attributes:
        root: The folder.
        entries: Last known line of every source, from earlier runs and this one.
        problems: Sentences about damaged lines of earlier runs.
    """

    def __init__(self, root: Path, journal: ManifestJournal) -> None:
        manifest = Manifest.read(root / MANIFEST, missing_ok=True)
        self.root = root
        self.entries = _by_source(manifest.updated(journal.recovered.entries))
        self.problems = manifest.problems + journal.recovered.problems
        self._journal = journal

    def record(self, entry: ManifestEntry) -> None:
        """Keep a line.

        Raises:
            OSError: It cannot be put on disk; it is kept in memory all the same, for `write_manifest`.
        """
        self.entries[entry.source] = entry
        self._journal.append(entry)

    def write_manifest(self) -> None:
        """Write all lines, old and new, in one step, and drop the journal.

        Raises:
            OutputError: They cannot be written. What the journal holds is taken over by the next run.
        """
        try:
            Manifest(entries=tuple(self.entries.values())).write(self.root / MANIFEST)
            self._journal.close()
            self._journal.path.unlink()
        except OSError as error:
            raise OutputError(f"cannot write {self.root / MANIFEST}: {error.strerror}") from error


def read_manifest(root: Path) -> Manifest:
    """Last known line of every source, and sentences about damaged lines; nothing is locked or changed."""
    manifest, journal = (Manifest.read(root / name, missing_ok=True) for name in (MANIFEST, JOURNAL))
    return replace(manifest.updated(journal.entries), problems=manifest.problems + journal.problems)


def read_entries(root: Path) -> dict[str, ManifestEntry]:
    """The same by source, without the sentences."""
    return _by_source(read_manifest(root))


def clip_path(root: Path, clip: str | None) -> Path:
    """Where a clip lies that a manifest names.

    Raises:
        ClipError: It names none, or one outside the folder.
    """
    if not isinstance(clip, str) or not clip:
        raise ClipError("the manifest names no clip")
    path = PurePosixPath(clip)
    if path.is_absolute() or ".." in path.parts or "\0" in clip:
        raise ClipError(f"the manifest names a clip outside the folder: {clip!r}")
    return root / path


@contextmanager
def open_output(root: Path) -> Iterator[OutputFolder]:
    """Make and lock an output folder, remove what a dead run left half done, and take over the lines it finished.

    Raises:
        OutputError: The folder cannot be written to, or another run is writing to it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(root))
            for path in sorted(root.rglob(".musclemap-*.tmp")):
                path.unlink(missing_ok=True)  # a worker that an earlier run lost may still be writing
            journal = stack.enter_context(ManifestJournal(root / JOURNAL))
        except BlockingIOError as error:
            raise OutputError(f"another run is writing to {root}; wait for it, or choose another folder") from error
        except OSError as error:
            raise OutputError(f"cannot write to {root}: {error.strerror}") from error
        yield OutputFolder(root, journal)


def _by_source(manifest: Manifest) -> dict[str, ManifestEntry]:
    return {entry.source: entry for entry in manifest.entries}
