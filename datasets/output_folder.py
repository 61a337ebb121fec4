"""The folder a conversion writes to: one run at a time, nothing half done, each line on disk as soon as it is known.

A clip and its line in the manifest are two files, and a kill can fall between any two writes. So a clip is written in
this order: its bytes under a temporary name, its line in the journal, the rename, and at the end of the run the
manifest. Of the lines that a source then has, in the manifest and after it in journals, that one counts which has the
hash of the clip on disk, the last of them where there are several:

    killed                                   clip     manifest  journal     what counts
    before the line, or within it            old      old       torn, none  the old line
    between the line and the rename          old      old       new         the old line
    the same, for a source without a clip    none     none      new         no line: it is not converted yet
    after the rename                         new      old       new         the new line
    while the manifest is written            new      old       new         the new line
    between the manifest and the journal     new      new       new         the new line, which is there twice
    between a source's failure and the       old      old       failed      the old line, until the next run finds the
    removal of its clip                                                     same failure

Where no line has the hash, the last one counts and the clip is a damaged one. Every reader goes through
`read_manifest`, and the next run that locks the folder writes what counts into the manifest, so nothing has to be
repaired by hand. Workers have journals of their own beside the run's.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

from musclemap.errors import ClipError, MusclemapError, SettingsError

from .atomic_file import remove_leftovers
from .clip import Clip, write_clip
from .folder_lock import locked
from .journal import Journal
from .manifest import DamagedLine, Manifest, ManifestEntry, read_lines

MANIFEST = "manifest.jsonl"
JOURNAL = "manifest.jsonl.partial"
"""Name of the run's journal; those of workers begin with it."""
LATE_NOTES = ".musclemap-late-*"
"""Files by which workers tell a run that a clip took too long."""


class OutputError(MusclemapError):
    """The output folder cannot be written to, or another run is writing to it."""


class OutputFolder:
    """An output folder that this process alone writes to. Made by `open_output`.

    Attributes:
        root: The folder.
        entries: Line of every source that counts, from earlier runs and this one.
        problems: Sentences about damaged lines of earlier runs.
    """

    def __init__(self, root: Path, journal: Journal) -> None:
        manifest = read_manifest(root)
        self.root = root
        self.entries = {entry.source: entry for entry in manifest.entries}
        self.problems = manifest.problems
        self._journal = journal
        self._announced: dict[str, ManifestEntry] = {}

    def announce(self, entry: ManifestEntry) -> None:
        """Put a line on disk that becomes true when its clip takes its name; see `write_listed`.

        Raises:
            OSError: It cannot be put on disk.
        """
        self._journal.append(entry.to_line())
        self._announced[entry.source] = entry

    def record(self, entry: ManifestEntry) -> None:
        """Keep a line that is true.

        Raises:
            OSError: It cannot be put on disk; it is kept in memory all the same, for `write_manifest`.
        """
        self.entries[entry.source] = entry
        if self._announced.pop(entry.source, None) != entry:
            self._journal.append(entry.to_line())

    def write_manifest(self) -> None:
        """Write all lines, old and new, in one step, and drop the journals.

        Raises:
            OutputError: They cannot be written. What the journals hold is taken over by the next run.
        """
        try:
            Manifest(entries=tuple(self.entries.values())).write(self.root / MANIFEST)
            self._journal.close()
            for path in self.root.glob(f"{JOURNAL}*"):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write {self.root / MANIFEST}: {error.strerror}") from error


def write_listed(
    path: Path, clip: Clip, *, line: Callable[[str], ManifestEntry], announce: Callable[[ManifestEntry], None]
) -> ManifestEntry:
    """Write a clip that a manifest lists.

    Args:
        path: File to write.
        clip: The clip.
        line: Makes its line from the file's SHA-256.
        announce: Puts the line on disk; called before the clip takes its name.

    Returns:
        The line.

    Raises:
        ClipError: The clip breaks the contract.
        OSError: It or its line cannot be written. An earlier clip stays as it was.
    """
    lines: list[ManifestEntry] = []

    def before_rename(sha256: str) -> None:
        lines.append(line(sha256))
        announce(lines[0])

    write_clip(path, clip, before_rename=before_rename)
    return lines[0]


def read_manifest(root: Path) -> Manifest:
    """The line of every source that counts, and damaged ones; nothing is locked or changed.

    Clips are hashed where a source has several lines.
    """
    later: dict[str, list[ManifestEntry]] = {}
    damaged: list[DamagedLine] = []
    for path in _journals(root):  # before the manifest: a run that ends meanwhile has its lines there by then
        try:
            entries, unread = read_lines(path)
        except SettingsError:
            if path.exists():
                raise
            continue
        damaged += unread
        for entry in entries:
            later.setdefault(entry.source, []).append(entry)
    manifest = Manifest.read(root / MANIFEST, missing_ok=True)
    listed = {entry.source: entry for entry in manifest.entries}
    for source, entries in later.items():
        counts = _counting(root, listed.get(source), entries)
        if counts is not None:
            listed[source] = counts
    return Manifest(entries=tuple(listed.values()), damaged=(*manifest.damaged, *damaged))


def read_entries(root: Path) -> dict[str, ManifestEntry]:
    """The same by source."""
    return {entry.source: entry for entry in read_manifest(root).entries}


def has_lines(root: Path) -> bool:
    """Whether a conversion wrote here: there is a manifest, or a journal that is not empty."""
    return (root / MANIFEST).is_file() or was_cut_off(root)


def was_cut_off(root: Path) -> bool:
    """Whether there are lines of a run that has not come to its end; it may still be under way."""
    return bool(_journals(root))


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


def refuse_own_source(source: Path, out: Path) -> None:
    """Refuse to write into the folder that is read, by whatever path it is given.

    A folder below it, or above it, is allowed: what is written is not what is read.

    Raises:
        SettingsError: They are the same.
    """
    if source.is_dir() and source.resolve() == out.resolve():
        raise SettingsError(f"{out} is the folder that is read; give another one for the output")


@contextmanager
def open_output(root: Path) -> Iterator[OutputFolder]:
    """Make and lock an output folder, remove what a dead run left half done, and take over the lines it finished.

    Raises:
        OutputError: The folder cannot be written to, or another run is writing to it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(root))
            remove_leftovers(root)
            for path in root.glob(LATE_NOTES):
                path.unlink(missing_ok=True)
            folder = OutputFolder(root, stack.enter_context(Journal(root / JOURNAL)))
        except BlockingIOError as error:
            raise OutputError(f"another run is writing to {root}; wait for it, or choose another folder") from error
        except OSError as error:
            raise OutputError(f"cannot write to {root}: {error.strerror}") from error
        yield folder


def _journals(root: Path) -> list[Path]:
    """The journals that hold anything; one of 0 bytes is of a run that had nothing to say."""
    result = []
    for path in sorted(root.glob(f"{JOURNAL}*")):
        with contextlib.suppress(OSError):
            result += [path] if path.is_file() and path.stat().st_size else []
    return result


def _counting(root: Path, listed: ManifestEntry | None, later: Sequence[ManifestEntry]) -> ManifestEntry | None:
    """Of the lines of a source the one that counts, as the table above has it; None where no line is true yet."""
    lines = later if listed is None else [listed, *later]
    if len(lines) > 1:
        hashes = {clip: _sha256(root, clip) for clip in {line.clip for line in lines}}
        for line in reversed(lines):
            if line.clip_sha256 is not None and hashes[line.clip] == line.clip_sha256:
                return line
    there = [line for line in later if line.clip is None or _is_there(root, line.clip)]
    return there[-1] if there else listed


def _sha256(root: Path, clip: str | None) -> str | None:
    """Hash of a clip; None where it cannot be read."""
    try:
        path = clip_path(root, clip)
        if not path.is_file():  # a pipe would not end
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ClipError):
        return None


def _is_there(root: Path, clip: str) -> bool:
    try:
        return clip_path(root, clip).is_file()
    except ClipError:
        return True  # whoever reads it says what is wrong
