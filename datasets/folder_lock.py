"""One run at a time writes to a folder; the kernel drops the lock when the process ends, however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .atomic_file import not_by_link

LOCK = ".musclemap.lock"

_TRIES, _PAUSE = 10, 0.02
"""`is_held` holds the lock for an instant; a run that starts just then waits up to 0.2 s."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder and keep other runs out of it.

    Raises:
        BlockingIOError: Another run is writing to it.
        OSError: It cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with os.fdopen(not_by_link(folder / LOCK, os.O_WRONLY | os.O_CREAT), "wb") as lock:
        for left in reversed(range(_TRIES)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not left:
                    raise
                time.sleep(_PAUSE)
        yield


def is_held(folder: Path) -> bool:
    """Whether a run is writing to a folder; nothing is changed, not even where there is no lock yet."""
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
