"""The folder of the tracks: one run at a time, no incomplete files, and a list of the tracks with their hashes.

The list, `tracks.jsonl`, gets a line before each track takes its name, so a kill between the two leaves at most a line
of a track that is not there. A clip may then have several lines; the one with the hash of the file counts. At the end
of a run the list is written again with those alone.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musclemap.datasets.atomic_file import remove_leftovers, write_atomically
from musclemap.datasets.folder_lock import locked
from musclemap.datasets.journal import Journal
from musclemap.datasets.manifest import strict_json
from musclemap.datasets.output_folder import TRACK_LIST, TRACKS, OutputError
from musclemap.datasets.track_file import StoredTrack, read_track, track_path, write_track
from musclemap.errors import FileError, TrackError
from musclemap.failures import Failure, attempt
from musclemap.files import check_fields, open_regular, parse_json, shown

MAX_LIST, MAX_LINE = 2**30, 2**20
"""Largest list that is read, and its longest line [B]."""

MAX_TRACK = 2**32
"""Largest track that is hashed [B]."""

_VARIANT = re.compile(r"variant-[0-9a-f]{8}|")


@dataclass(frozen=True, kw_only=True)
class ListedTrack:
    """A line of the list: path of the clip, hash of its track's file, and what a reader of the list wants to know.

    `variant` is the short name of the variant by which the simulated body differs from the clip's, or "".
    """

    clip: str
    sha256: str
    verdict: str
    failure: str
    metrics: Mapping[str, Any]
    variant: str = ""

    def to_line(self) -> bytes:
        """The line, with its newline."""
        fields = {name: value for name, value in vars(self).items() if value or name != "variant"}
        return f"{strict_json(fields)}\n".encode()


class TrackFolder:
    """The tracks of a data set, locked by this process. Created by `open_tracks`.

    Attributes:
        root: Folder of the data set.
    """

    def __init__(self, root: Path, journal: Journal) -> None:
        self.root, self._journal = root, journal
        self._lines = read_track_list(root)

    def find(self, clip: str, variant: str = "") -> StoredTrack | Failure | None:
        """Track of a clip by a variant, None if there is none, or why it cannot be used; see `find_track`."""
        return find_track(self.root, clip, self._lines, variant=variant)

    def write(self, track: StoredTrack, *, variant: str = "") -> str:
        """Write a track, with a line in the list.

        Args:
            track: The track.
            variant: As for `track_path`.

        Returns:
            SHA-256 of its file.

        Raises:
            TrackError: If the track breaks the contract.
            OSError: If it cannot be written.
        """

        def announce(sha256: str) -> None:
            line = ListedTrack(
                clip=track.clip, sha256=sha256, verdict=track.verdict, failure=track.failure, metrics=track.metrics,
                variant=variant,
            )  # fmt: skip
            self._journal.append(line.to_line())
            self._lines.setdefault(track.clip, []).append(line)

        return write_track(track_path(self.root, track.clip, variant=variant), track, before_rename=announce)

    def write_list(self) -> None:
        """Write the list again, with one line per track.

        Raises:
            OutputError: If it cannot be written; the next run then reads the longer list.
        """
        current = []
        for clip, lines in sorted(self._lines.items()):
            for variant in sorted({line.variant for line in lines}):
                path = attempt(lambda clip=clip, variant=variant: track_path(self.root, clip, variant=variant))
                sha256 = path if isinstance(path, Failure) else attempt(lambda path=path: file_sha256(path))
                current += [line for line in lines if (line.variant, line.sha256) == (variant, sha256)][-1:]
        self._journal.close()
        try:
            write_atomically(self.root / TRACKS / TRACK_LIST, b"".join(line.to_line() for line in current))
        except OSError as error:
            raise OutputError(f"cannot write {self.root / TRACKS / TRACK_LIST}: {error.strerror}") from error


@contextmanager
def open_tracks(root: Path) -> Iterator[TrackFolder]:
    """Create and lock the folder of the tracks, and remove incomplete files of a killed run.

    Args:
        root: Folder of the data set.

    Raises:
        OutputError: If the folder is not writable, or another run is writing to it.
    """
    folder = root / TRACKS
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder))
            remove_leftovers(folder)
            tracks = TrackFolder(root, stack.enter_context(Journal(folder / TRACK_LIST)))
        except BlockingIOError as error:
            raise OutputError(f"another run is writing to {folder}; wait for it") from error
        except OSError as error:
            raise OutputError(f"cannot write to {folder}: {error.strerror}") from error
        yield tracks


def read_track_list(root: Path) -> dict[str, list[ListedTrack]]:
    """Read the lines of a data set's list by clip, oldest first; damaged lines are skipped.

    Raises:
        OutputError: If the list is not a regular file, is too large or cannot be read.
    """
    path = root / TRACKS / TRACK_LIST
    return read_track_lines(path) if path.exists() else {}


def read_track_lines(path: Path) -> dict[str, list[ListedTrack]]:
    """Read a list of tracks; see `read_track_list`.

    Raises:
        OutputError: If the list is not a regular file, is too large or cannot be read.
    """
    lines = dict[str, list[ListedTrack]]()
    try:
        with open_regular(path, limit=MAX_LIST) as file:
            while text := file.readline(MAX_LINE):
                line = attempt(lambda text=text: _parse(text))
                if isinstance(line, ListedTrack):
                    lines.setdefault(line.clip, []).append(line)
    except FileError as error:
        raise OutputError(str(error)) from error
    return lines


def find_track(
    root: Path, clip: str, lines: Mapping[str, list[ListedTrack]], *, variant: str = ""
) -> StoredTrack | Failure | None:
    """Read the track of a clip.

    Args:
        root: Folder of the data set.
        clip: POSIX path of the clip below it.
        lines: From `read_track_list`. A file without a line is read without comparing hashes.
        variant: As for `track_path`.

    Returns:
        The track, None if there is none, or why it cannot be used.
    """

    def read() -> StoredTrack | None:
        path = track_path(root, clip, variant=variant)
        if not path.exists():
            return None
        known = {line.sha256 for line in lines.get(clip, ()) if line.variant == variant}
        sha256 = file_sha256(path)
        if known and sha256 not in known:
            raise TrackError(f"{path} is not the file that was written: its SHA-256 is not in {TRACK_LIST}")
        track = read_track(path, sha256=sha256)
        if track.clip != clip:
            raise TrackError(f"{path} is the track of {track.clip}")
        return track

    return attempt(read)


def _parse(text: bytes) -> ListedTrack:
    fields = parse_json(text, limit=MAX_LINE)
    kinds: dict[str, type | tuple[type, ...]] = {
        "clip": str, "sha256": str, "verdict": str, "failure": str, "metrics": dict,
    }  # fmt: skip
    if not isinstance(fields, dict):
        raise FileError("it is not a JSON object")
    check_fields(fields, kinds, where="it")
    variant = fields.get("variant", "")
    if not isinstance(variant, str) or not _VARIANT.fullmatch(variant):
        raise FileError(f"its variant is {shown(variant)}, not a short name")
    return ListedTrack(**{key: fields[key] for key in kinds}, variant=variant)


def file_sha256(path: Path) -> str:
    """Hash of a file.

    Raises:
        FileError: If it is not a regular file or cannot be read.
    """
    with open_regular(path, limit=MAX_TRACK) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
