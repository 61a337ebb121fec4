"""Runs work in a child process and kills it: before its k-th change of the file system, or after some time.

The parent imports everything once and then forks, so a trial costs no imports. The parent must not use JAX itself,
whose threads do not survive a fork.
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
"""Audit events of calls that change names; opening a file for writing and syncing one count too."""

RENAMEAT2 = "ctypes.dlsym"
"""Symbol look-up before two folders are exchanged, which has no audit event of its own."""

LOG = "log.txt"


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        status: Exit status; negative for a signal.
        changes: Number of changes to the file system; 0 if it was killed.
        seconds: Duration [s].
    """

    status: int
    changes: int
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether it was killed before it finished."""
        return self.status == -signal.SIGKILL


def in_child(
    work: Callable[[], int], folder: Path, *, before_change: int | None = None, after_seconds: float | None = None
) -> Ended:
    """Run work in a child whose working directory is `folder`; its output is appended to `LOG` in the parent folder.

    Args:
        work: Returns an exit status.
        folder: Changes to files below it count.
        before_change: Number of the change before which to kill it, from 0.
        after_seconds: Time after which to kill it [s].
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
    """Do the work and exit; never returns."""
    status = 99
    try:
        log = os.open(folder.parent / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.chdir(folder)
        count = _count_changes(folder, before_change)
        status = work()
        os.write(pipe, str(count()).encode())
    finally:  # the child must never continue with the parent's code
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _count_changes(folder: Path, before_change: int | None) -> Callable[[], int]:
    changes = 0
    prefix = f"{folder}/"

    def change() -> None:
        nonlocal changes
        if changes == before_change:
            os.kill(os.getpid(), signal.SIGKILL)
        changes += 1

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == RENAMEAT2 and arguments[1] == "renameat2"):
            change()
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            path = arguments[0]
            if isinstance(path, str | bytes | os.PathLike) and os.path.abspath(os.fsdecode(path)).startswith(prefix):
                change()

    def counted_sync(descriptor: int) -> None:
        """Count a sync. Written data survives the end of the process anyway; the disk itself is not tested."""
        change()

    sys.addaudithook(audit)
    os.fsync = counted_sync
    return lambda: changes


def preload_imports(work: Callable[[], int], folder: Path) -> None:
    """Run work in a child and import the same modules here, so that later children need not import them."""
    listed = folder.parent / "modules.txt"

    def list_modules() -> int:
        status = work()
        listed.write_text("\n".join(sys.modules))
        return status

    in_child(list_modules, folder)
    for name in listed.read_text().split("\n") if listed.exists() else ():
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def change_numbers(count: int, *, most: int | None, rng: random.Random) -> list[int]:
    """Numbers of the changes before which to kill: all, or a random selection that includes the first and the last."""
    if most is None or most >= count:
        return list(range(count))
    return sorted({0, count - 1, *rng.sample(range(count), most)})[:most]
