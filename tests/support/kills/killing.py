"""Work done in a child process that is killed: before its k-th change of the file system, or after some time.

The parent imports everything once and then forks, so a trial costs no imports. It must not have used JAX itself, whose
threads a fork does not take along.
"""

import contextlib
import importlib
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate")
"""Audit events of calls that change names; opening a file for writing, and syncing one, count as well."""

RENAMEAT2 = "ctypes.dlsym"
"""The look-up before two folders exchange their names, which has no event of its own."""

LOG = "log.txt"


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        status: Its exit status; less than zero for a signal.
        changes: Changes that it made to the file system before it ended; 0 where it was killed.
        seconds: How long it took.
    """

    status: int
    changes: int
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether it was killed, rather than coming to its end before that."""
        return self.status == -signal.SIGKILL


def in_child(
    work: Callable[[], int], folder: Path, *, before_change: int | None = None, after_seconds: float | None = None
) -> Ended:
    """Do some work in a child, whose working directory is `folder`; what it prints is added to `LOG` beside that.

    Args:
        work: Returns an exit status.
        folder: Changes to files below it count.
        before_change: Number of the change that it is killed before, from 0.
        after_seconds: Time after which it is killed [s].
    """
    read, write = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(read)
        _work(work, folder, before_change, write)
    os.close(write)
    if after_seconds is not None:
        _kill_after(child, after_seconds)
    with os.fdopen(read, "rb") as pipe:
        output = pipe.read()
    _, status = os.waitpid(child, 0)
    return Ended(
        status=os.waitstatus_to_exitcode(status), changes=int(output or b"0"), seconds=time.monotonic() - started
    )


def _kill_after(child: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            return
        time.sleep(min(0.01, max(deadline - time.monotonic(), 0.0)))
    os.kill(child, signal.SIGKILL)


def _work(work: Callable[[], int], folder: Path, before_change: int | None, pipe: int) -> None:
    """Never returns."""
    status = 99
    try:
        log = os.open(folder.parent / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.chdir(folder)
        count = _count_changes(folder, before_change)
        status = work()
        os.write(pipe, str(count()).encode())
    finally:  # this child must not go on with the parent's work, whatever happens
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _count_changes(folder: Path, before_change: int | None) -> Callable[[], int]:
    made = 0
    prefix = f"{folder}/"

    def change() -> None:
        nonlocal made
        if made == before_change:
            os.kill(os.getpid(), signal.SIGKILL)
        made += 1

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == RENAMEAT2 and arguments[1] == "renameat2"):
            change()
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            path = arguments[0]
            if isinstance(path, str | bytes | os.PathLike) and os.path.abspath(os.fsdecode(path)).startswith(prefix):
                change()

    def counted_sync(descriptor: int) -> None:
        """What was written survives the end of the process in any case; the disk itself is not tried here."""
        change()

    sys.addaudithook(hear)
    os.fsync = counted_sync
    return lambda: made


def import_what_it_imports(work: Callable[[], int], folder: Path) -> None:
    """Do some work in a child and import here what it imports, so that the next children need not."""
    listed = folder.parent / "modules.txt"

    def noted() -> int:
        status = work()
        listed.write_text("\n".join(sys.modules))
        return status

    in_child(noted, folder)
    for name in listed.read_text().split("\n") if listed.exists() else ():
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def moments(count: int, *, most: int | None, rng: random.Random) -> list[int]:
    """Numbers of changes to be killed before: all, or so many at random, the first and the last among them."""
    if most is None or most >= count:
        return list(range(count))
    return sorted({0, count - 1, *rng.sample(range(count), most)})[:most]
