"""Atomic file writes, and removal of the temporary files that killed writers leave behind."""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_TEMPORARY = re.compile(r"\.musclemap-[0-9a-f]{16}\.tmp")


def write_atomically(path: Path, data: bytes, *, before_rename: Callable[[], None] | None = None) -> None:
    """Write a file atomically: a reader, even after a crash, sees either the old content or the new.

    The bytes go to a hidden temporary file in the same folder, which is synced and then renamed; finally the folder is
    synced. Missing folders are created. On any error the temporary file is removed.

    Args:
        path: File to write.
        data: Content of the file.
        before_rename: Called after the bytes are on disk and before the file is renamed; an exception from it cancels
            the write.
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


def write_hashed(path: Path, data: bytes, *, before_rename: Callable[[str], None] | None = None) -> str:
    """Write a file atomically and return the SHA-256 of its content.

    Args:
        path: File to write.
        data: Content of the file.
        before_rename: Called with the SHA-256 after the bytes are on disk and before the file is renamed.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    write_atomically(path, data, before_rename=None if before_rename is None else lambda: before_rename(sha256))
    return sha256


def remove_leftovers(folder: Path, *, deep: bool = True) -> None:
    """Remove temporary files of dead writers. Running writers hold a lock on theirs, which stay.

    Args:
        folder: Folder to search; it need not exist.
        deep: Whether to search its subfolders too.
    """
    for path in sorted((folder.rglob if deep else folder.glob)(".musclemap-*.tmp")):
        if _TEMPORARY.fullmatch(path.name):
            with contextlib.suppress(OSError), path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)


def open_no_follow(path: str | Path, flags: int) -> int:
    """Open a file for writing in place, refusing links: in somebody else's folder a link could lead to any file."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)


def sync_folder(folder: Path) -> None:
    """Sync a folder's entries to disk if the file system supports it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)


def _open_temporary(folder: Path) -> tuple[Path, BinaryIO]:
    """Create a new file, locked while it is open, so that `remove_leftovers` can tell that its writer is running."""
    while True:
        path = folder / f".musclemap-{secrets.token_hex(8)}.tmp"
        file = path.open("xb")
        with contextlib.suppress(OSError):  # without lock support `remove_leftovers` removes nothing either
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return path, file
        file.close()  # another process removed it between its creation and its lock
