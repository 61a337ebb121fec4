"""The output folder of a conversion: one run at a time, no incomplete files, each entry on disk as soon as it is known.

A clip and its manifest entry are two files, and a kill can occur between any two writes. A clip is therefore written in
this order: its bytes under a temporary name, its entry in the journal, the rename, and at the end of the run the
manifest. A source may then have several entries, in the manifest and after it in journals. The current one is the last
whose hash is that of the clip on disk:

    killed                                   clip     manifest  journal     current entry
    before or during the journal's line      old      old       torn, none  the old one
    between the line and the rename          old      old       new         the old one
    the same for a source without a clip     none     none      new         none: the source is not converted yet
    after the rename                         new      old       new         the new one
    while the manifest is written            new      old       new         the new one
    between the manifest and the removal     new      new       new         the new one, listed twice
    of the journal
    between a source's failure and the       old      old       failed      the old one; the next run fails the same
    removal of its clip                                                     way

If no entry has the hash, the last one is current and the clip is damaged. Every reader uses `read_manifest`, and the
next run that locks the folder writes the current entries to the manifest, so no manual repair is needed. Workers have
their own journals next to the run's.
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
"""Name of the run's journal, and prefix of the workers' journals."""
TRACKS = "tracks"
"""Folder of the tracks, with the paths of their clips."""
TRACK_LIST = "tracks.jsonl"
"""File in that folder that lists the tracks; without it, `tracks` is a folder like any other."""
TIMEOUT_NOTES = ".musclemap-late-*"
"""Files in which workers report clips that took too long."""


class OutputError(MusclemapError):
    """The output folder is not writable, or another run is writing to it."""


class OutputFolder:
    """An output folder locked by this process. Created by `open_output`.

    Attributes:
        root: The folder.
        entries: Current entry of every source, from earlier runs and this one.
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
        """Write an entry to the journal before its clip is renamed, which makes it current; see `write_listed`.

        Raises:
            OSError: If the entry cannot be written.
        """
        self._journal.append(entry.to_line())
        self._announced[entry.source] = entry

    def record(self, entry: ManifestEntry) -> None:
        """Record a current entry.

        Raises:
            OSError: If the entry cannot be written; it is still kept in memory for `write_manifest`.
        """
        self.entries[entry.source] = entry
        if self._announced.pop(entry.source, None) != entry:
            self._journal.append(entry.to_line())

    def write_manifest(self) -> None:
        """Write all entries, old and new, atomically, and remove the journals.

        Raises:
            OutputError: If the manifest cannot be written. The next run then recovers the entries from the journals.
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
    """Write a clip together with its manifest entry.

    Args:
        path: File to write.
        clip: The clip.
        line: Creates the entry from the file's SHA-256.
        announce: Writes the entry to disk; called before the clip is renamed.

    Returns:
        The entry.

    Raises:
        ClipError: If the clip breaks the contract.
        OSError: If the clip or its entry cannot be written. An earlier clip is unchanged.
    """
    entries: list[ManifestEntry] = []

    def before_rename(sha256: str) -> None:
        entries.append(line(sha256))
        announce(entries[0])

    write_clip(path, clip, before_rename=before_rename)
    return entries[0]


def read_manifest(root: Path) -> Manifest:
    """Read the current entry of every source and the damaged lines, without locking or changing anything.

    If a source has several entries, its clips are hashed.
    """
    later: dict[str, list[ManifestEntry]] = {}
    damaged: list[DamagedLine] = []
    for path in _journals(root):  # first: a run that ends meanwhile moves its entries to the manifest
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
        current = _current_entry(root, listed.get(source), entries)
        if current is not None:
            listed[source] = current
    return Manifest(entries=tuple(listed.values()), damaged=(*manifest.damaged, *damaged))


def read_entries(root: Path) -> dict[str, ManifestEntry]:
    """Read the current entries by source."""
    return {entry.source: entry for entry in read_manifest(root).entries}


def has_lines(root: Path) -> bool:
    """Whether the folder holds the manifest or a journal of a conversion."""
    return (root / MANIFEST).is_file() or has_unfinished_run(root)


def has_unfinished_run(root: Path) -> bool:
    """Whether the folder holds entries of a run that was killed or is still running."""
    return bool(_journals(root))


def clip_path(root: Path, clip: str | None) -> Path:
    """Path of a clip that a manifest entry names.

    Raises:
        ClipError: If the entry names no clip, or one outside the folder.
    """
    if not isinstance(clip, str) or not clip:
        raise ClipError("the manifest names no clip")
    path = PurePosixPath(clip)
    if path.is_absolute() or ".." in path.parts or "\0" in clip:
        raise ClipError(f"the manifest names a clip outside the folder: {clip!r}")
    return root / path


def refuse_own_source(source: Path, out: Path) -> None:
    """Refuse an output folder that is also the input folder, by whatever path it is given.

    A folder below or above it is allowed, because the outputs are not read as inputs.

    Raises:
        SettingsError: If the folders are the same.
    """
    if source.is_dir() and source.resolve() == out.resolve():
        raise SettingsError(f"{out} is the input folder; choose another folder for the output")


def clip_files(root: Path) -> list[Path]:
    """Paths of all clips (.h5) below a folder, sorted. Tracks of the clips are left out."""
    tracks = root / TRACKS
    holds_tracks = (tracks / TRACK_LIST).is_file()
    return sorted(path for path in root.rglob("*.h5") if not (holds_tracks and tracks in path.parents))


@contextmanager
def open_output(root: Path) -> Iterator[OutputFolder]:
    """Create and lock an output folder, remove incomplete files of a killed run and recover its entries.

    Raises:
        OutputError: If the folder is not writable, or another run is writing to it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(root))
            remove_leftovers(root)
            for path in root.glob(TIMEOUT_NOTES):
                path.unlink(missing_ok=True)
            folder = OutputFolder(root, stack.enter_context(Journal(root / JOURNAL)))
        except BlockingIOError as error:
            raise OutputError(f"another run is writing to {root}; wait for it, or choose another folder") from error
        except OSError as error:
            raise OutputError(f"cannot write to {root}: {error.strerror}") from error
        yield folder


def _journals(root: Path) -> list[Path]:
    """Journals that are not empty."""
    journals = []
    for path in sorted(root.glob(f"{JOURNAL}*")):
        with contextlib.suppress(OSError):
            journals += [path] if path.is_file() and path.stat().st_size else []
    return journals


def _current_entry(root: Path, listed: ManifestEntry | None, later: Sequence[ManifestEntry]) -> ManifestEntry | None:
    """The current entry among those of a source, by the table above; None if there is none yet."""
    entries = later if listed is None else [listed, *later]
    if len(entries) > 1:
        hashes = {clip: _sha256(root, clip) for clip in {entry.clip for entry in entries}}
        for entry in reversed(entries):
            if entry.clip_sha256 is not None and hashes[entry.clip] == entry.clip_sha256:
                return entry
    valid = [entry for entry in later if entry.clip is None or _clip_exists(root, entry.clip)]
    return valid[-1] if valid else listed


def _sha256(root: Path, clip: str | None) -> str | None:
    """Hash of a clip; None if it cannot be read."""
    try:
        path = clip_path(root, clip)
        if not path.is_file():  # reading a pipe would block
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ClipError):
        return None


def _clip_exists(root: Path, clip: str) -> bool:
    try:
        return clip_path(root, clip).is_file()
    except ClipError:
        return True  # its reader reports the error
