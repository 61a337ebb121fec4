"""Atomic replacement of a folder: it is written beside its destination and renamed in one step once complete."""

import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from musclemap.datasets.atomic_file import sync_folder

_RENAME_EXCHANGE, _AT_FDCWD = 2, -100
"""Constants of renameat2 from Linux' fs.h and fcntl.h, which Python's os module lacks."""


@contextmanager
def replace_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder; if the block ends without an error, move it to `out` in place of any earlier folder.

    Even if the process is killed, `out` is either the complete earlier folder or the complete new one, and the next
    call for the same `out` removes temporary files beside it. If the file system cannot exchange two names, there is a
    moment between two renames at which `out` does not exist; the next call then first restores the earlier folder.

    Raises:
        BlockingIOError: If another process is replacing the same folder.
        OSError: If the folder cannot be written.
    """
    name = f".musclemap-{hashlib.sha256(os.fsencode(out.name)).hexdigest()[:16]}"
    temporary, backup = out.with_name(f"{name}.pack"), out.with_name(f"{name}.pack.old")
    out.parent.mkdir(parents=True, exist_ok=True)
    locked = [_locked_folder(temporary)]
    try:
        if backup.exists() and not out.exists():
            backup.rename(out)
        for leftover in (backup, *temporary.iterdir()):
            _remove(leftover)
        yield temporary
        for folder in (*(path for path in temporary.rglob("*") if path.is_dir()), temporary):
            sync_folder(folder)
        if out.exists():
            # The folder is about to get the temporary name, where no other process may mistake it for a leftover.
            locked.append(_lock(out))
        _move_into_place(temporary, out, backup)
        sync_folder(out.parent)
    finally:
        for leftover in (temporary, backup):
            if out.exists() or leftover != backup:
                _remove_if_locked(leftover, locked)
        for descriptor in locked:
            os.close(descriptor)


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _locked_folder(path: Path) -> int:
    """Create a folder, or take over one that a dead process left; return its descriptor, opened and locked."""
    while True:
        path.mkdir(exist_ok=True)
        descriptor = _lock(path)
        if _is_one_of(path, [descriptor]):
            return descriptor
        os.close(descriptor)  # another process has moved the folder into place meanwhile


def _is_one_of(path: Path, descriptors: Sequence[int]) -> bool:
    """Whether a path is one of the open folders."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return any(os.path.samestat(status, os.fstat(descriptor)) for descriptor in descriptors)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_if_locked(path: Path, locked: Sequence[int]) -> None:
    """Remove a folder if this process holds its lock; by now, another process may have created its own there."""
    if _is_one_of(path, locked):
        shutil.rmtree(path, ignore_errors=True)


def _move_into_place(temporary: Path, out: Path, backup: Path) -> None:
    if not out.exists():
        temporary.rename(out)
    elif not _exchange(temporary, out):
        out.rename(backup)
        try:
            temporary.rename(out)
        except OSError:
            backup.rename(out)
            raise


def _exchange(first: Path, second: Path) -> bool:
    """Exchange the names of two folders in one step; return False if the system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    error_number = ctypes.get_errno()
    if error_number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(error_number, os.strerror(error_number), str(second))
