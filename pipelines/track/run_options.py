"""Processes and progress of a tracking run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from musclemap.cores import available_cores
from musclemap.imitation.tracking.track import TrackingProgress


@dataclass(frozen=True, kw_only=True)
class TrackWorkers:
    """Processes that track.

    Attributes:
        count: Number of processes on this machine; None for one per core, but no more than there are clips.
        scheduler: Address of an existing Dask scheduler, or None.
        scheduler_file: File that an existing scheduler wrote, in place of its address.
        on_message: Called with messages for the user.
    """

    count: int | None = None
    scheduler: str | None = None
    scheduler_file: Path | None = None
    on_message: Callable[[str], None] = lambda text: None

    @property
    def existing(self) -> bool:
        """Whether the processes are those of an existing cluster."""
        return self.scheduler is not None or self.scheduler_file is not None

    def number(self, clips: int) -> int:
        """Number of processes for so many clips."""
        return max(min(self.count or len(available_cores()), clips), 1)


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """State of a run.

    Attributes:
        stage: "plan" or "track".
        done: Clips done in this stage.
        total: Clips of this stage.
        clip: Clip that is being tracked in this process, or "".
        moment: Its progress, or None.
        running: Clips that workers are tracking.
        clip_seconds: Time spent on the current clip, or on all clips that workers are tracking [s].
    """

    stage: str
    done: int
    total: int
    clip: str = ""
    moment: TrackingProgress | None = None
    running: int = 0
    clip_seconds: float = 0.0


Report = Callable[[RunProgress], None]
