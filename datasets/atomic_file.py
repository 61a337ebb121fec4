"""Files written in one step, and what a killed process left behind while it wrote."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_TEMPORARY = re.compile(r"\.musclemap-[0-9a-f]{16}\.tmp")


def write_atomically(path: Path, data: bytes, *, before_rename: Callable[[], None] | None = None) -> None:
    """Write a file so that a reader, or a crash, meets the old content or the new and nothing between.

    The bytes go to a hidden temporary file in the same folder, are synced, and take the name in one step; then the
    folder is synced. Missing folders are made. On any error the temporary file is removed.

    Args:
        path: File to write.
        data: Its content.
        before_rename: Called once the bytes are on disk and before they take the name; what it raises ends the writing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, file = _open_temporary(path.parent)
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if before_rename is not None:
                before_rename()
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def remove_leftovers(folder: Path, *, deep: bool = True) -> None:
    """Remove temporary files of dead writers; those of writers at work are locked and stay.

    Args:
        folder: Where to look; it need not be there.
        deep: Look below it too.
    """
    for path in sorted((folder.rglob if deep else folder.glob)(".musclemap-*.tmp")):
        if _TEMPORARY.fullmatch(path.name):
            with contextlib.suppress(OSError), path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)


def not_by_link(path: str | Path, flags: int) -> int:
    """Open a file that is written in place: in a folder from somebody else a link could lead to any other file."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)


def _open_temporary(folder: Path) -> tuple[Path, BinaryIO]:
    """A new file, locked as long as it is open, so that `remove_leftovers` knows that its writer lives."""
    while True:
        path = folder / f".musclemap-{secrets.token_hex(8)}.tmp"
        file = path.open("xb")
        with contextlib.suppress(OSError):  # without locks nothing is taken for a leftover either
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return path, file
        file.close()  # removed between its making and its lock
