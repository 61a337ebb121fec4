"""Lock that lets only one run write to a folder; the kernel releases it whenever the process ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .atomic_file import open_no_follow

LOCK = ".musclemap.lock"

_TRIES, _PAUSE = 10, 0.02
"""`is_held` holds the lock for an instant; a run that starts at that moment waits up to 0.2 s."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create a folder and lock it against other runs.

    Raises:
        BlockingIOError: If another run is writing to it.
        OSError: If it cannot be created or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with os.fdopen(open_no_follow(folder / LOCK, os.O_WRONLY | os.O_CREAT), "wb") as lock:
        for remaining in reversed(range(_TRIES)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not remaining:
                    raise
                time.sleep(_PAUSE)
        yield


def is_held(folder: Path) -> bool:
    """Whether a run is writing to a folder; changes nothing and creates no lock."""
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
