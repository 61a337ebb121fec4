"""Retargeters for worker processes: some of their motions kill, hang or break them, told by the file's name."""

import os
import signal
import time
from pathlib import Path

from .fake_retargeter import FakeRetargeter


class Hazardous(FakeRetargeter):
    """`kill` kills its process; `once` does the first time; `hang` never comes back; `slow` takes 0.1 s."""

    def retarget(self, motions):
        for motion in motions:
            name = Path(motion.name).stem
            if "kill" in name:
                os.kill(os.getpid(), signal.SIGKILL)
            if "once" in name:
                mark = Path(os.environ["MUSCLEMAP_TEST_MARKS"]) / name
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            if "hang" in name:
                time.sleep(600)
            if "slow" in name:
                time.sleep(0.1)
        return super().retarget(motions)
