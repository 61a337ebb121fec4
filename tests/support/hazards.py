"""Retargeter for worker processes that crashes or hangs on certain motions, selected by file name."""

import errno
import os
import signal
import time
from pathlib import Path

from ..support.data.fake_retargeter import FakeRetargeter

MARKS = "MUSCLEMAP_TEST_MARKS"
"""Environment variable with a folder in which a test and its workers exchange marker files."""

FULL = "disk is full"
"""Name of a marker file. While it exists, workers cannot write files to disk."""

_sync = os.fsync


class Hazardous(FakeRetargeter):
    """Names with `kill` kill the process, `once` only the first time; `hang` never returns; `slow` takes 0.1 s."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        if MARKS in os.environ:
            os.fsync = _sync_unless_full

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


def _sync_unless_full(descriptor):
    if (Path(os.environ[MARKS]) / FULL).exists():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    _sync(descriptor)
