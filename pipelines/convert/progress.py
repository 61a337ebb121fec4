"""How far a conversion is, told after every file."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.selection import Selected


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a conversion is.

    Attributes:
        entry: Manifest line of the source that was just done, or None at the start.
        nclip: Sources done.
        total: Sources in all.
        nframe: Frames written to clips so far.
        share: Part of the input, by bytes, that is done, 0 to 1.
        seconds: Time since the start [s].
    """

    entry: ManifestEntry | None
    nclip: int
    total: int
    nframe: int
    share: float
    seconds: float


class Tracker:
    """Adds up what is done and tells a listener."""

    def __init__(self, items: Sequence[Selected], *, report: Callable[[Progress], None] | None) -> None:
        self._sizes = {item.name: _size(item) for item in items}
        self._total = max(sum(self._sizes.values()), 1)
        self._report = report
        self._started = time.perf_counter()
        self._nclip = self._nbyte = self._nframe = 0
        self._tell(None)

    def done(self, item: Selected, entry: ManifestEntry, *, kept: bool) -> None:
        """Count a file as settled; frames count unless its clip was there already."""
        self._nclip += 1
        self._nbyte += self._sizes[item.name]
        self._nframe += 0 if kept else entry.nframe
        self._tell(entry)

    def _tell(self, entry: ManifestEntry | None) -> None:
        if self._report is not None:
            self._report(
                Progress(
                    entry=entry,
                    nclip=self._nclip,
                    total=len(self._sizes),
                    nframe=self._nframe,
                    share=self._nbyte / self._total,
                    seconds=time.perf_counter() - self._started,
                )
            )


def _size(item: Selected) -> int:
    """Bytes of a file; 0 for a broken link, which is done in no time."""
    return item.path.stat().st_size if item.path.is_file() else 0
