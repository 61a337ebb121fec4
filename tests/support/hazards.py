"""Retargeters for worker processes: some of their motions kill, hang or break them, told by the file's name."""

import errno
import os
import signal
import time
from pathlib import Path

from ..support.data.fake_retargeter import FakeRetargeter

MARKS = "MUSCLEMAP_TEST_MARKS"
"""Names a folder, in the environment of workers, by which a test and its workers tell each other things."""

FULL = "disk is full"
"""Name of a file there. While it exists no file can be put on disk by a worker."""

_sync = os.fsync


class Hazardous(FakeRetargeter):
    """`kill` kills its process; `once` does the first time; `hang` never comes back; `slow` takes 0.1 s."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        if MARKS in os.environ:
            os.fsync = _sync_if_room

    def retarget(self, motions):
        for motion in motions:
            name = Path(motion.name).stem
            if "kill" in name:
                os.kill(os.getpid(), signal.SIGKILL)
            if "once" in name:
                mark = Path(os.environ[MARKS]) / name
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            if "hang" in name:
                time.sleep(600)
            if "slow" in name:
                time.sleep(0.1)
        return super().retarget(motions)


def _sync_if_room(descriptor):
    if (Path(os.environ[MARKS]) / FULL).exists():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    _sync(descriptor)
