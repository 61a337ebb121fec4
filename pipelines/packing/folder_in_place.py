"""A folder made beside its place, that takes its name in one step once it is whole."""

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
"""Of renameat2 in Linux' fs.h and fcntl.h, which Python's os module does not have."""


@contextmanager
def folder_in_place_of(out: Path) -> Iterator[Path]:
    """Make a folder; when the block ends without an error it is at `out`, in place of an earlier folder there.

    Killed at any moment, `out` is the earlier folder or the new one, whole, and the next call for the same place
    removes what was left beside it. Where the file system cannot exchange two names there is a moment between two
    renames without either; the next call then puts the earlier folder back first.

    Raises:
        BlockingIOError: Another process does the same.
        OSError: It cannot be written.
    """
    name = f".musclemap-{hashlib.sha256(os.fsencode(out.name)).hexdigest()[:16]}"
    temporary, aside = out.with_name(f"{name}.pack"), out.with_name(f"{name}.pack.old")
    out.parent.mkdir(parents=True, exist_ok=True)
    held = [_locked_folder(temporary)]
    try:
        if aside.exists() and not out.exists():
            aside.rename(out)
        for left in (aside, *temporary.iterdir()):
            _remove(left)
        yield temporary
        for folder in (*(path for path in temporary.rglob("*") if path.is_dir()), temporary):
            sync_folder(folder)
        if out.exists():
            held.append(_lock(out))  # soon it has the temporary name, where nobody else may take it for a leftover
        _take_place(temporary, out, aside)
        sync_folder(out.parent)
    finally:
        for left in (temporary, aside):
            if out.exists() or left != aside:
                _remove_if(left, held)
        for descriptor in held:
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
    """Make a folder, or take the one that a dead process left; open and locked."""
    while True:
        path.mkdir(exist_ok=True)
        descriptor = _lock(path)
        if _is_one_of(path, [descriptor]):
            return descriptor
        os.close(descriptor)  # whoever had it has put it in its place meanwhile


def _is_one_of(path: Path, descriptors: Sequence[int]) -> bool:
    """Whether a path leads to one of some open folders."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return any(os.path.samestat(there, os.fstat(descriptor)) for descriptor in descriptors)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_if(path: Path, held: Sequence[int]) -> None:
    """Remove a folder that this process has; by now another one may be making its own there."""
    if _is_one_of(path, held):
        shutil.rmtree(path, ignore_errors=True)


def _take_place(temporary: Path, out: Path, aside: Path) -> None:
    if not out.exists():
        temporary.rename(out)
    elif not _exchange(temporary, out):
        out.rename(aside)
        try:
            temporary.rename(out)
        except OSError:
            aside.rename(out)
            raise


def _exchange(one: Path, other: Path) -> bool:
    """Give two folders each other's name in one step; False where that is not to be had."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))
