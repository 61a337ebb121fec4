"""Progress of a conversion, reported after every file."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.selection import Selected


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of a conversion.

    Attributes:
        entry: Manifest line of the source that was just finished, or None at the start.
        nclip: Number of finished sources.
        total: Number of all sources.
        nframe: Frames written to clips so far.
        fraction: Finished part of the input, by bytes, 0 to 1.
        seconds: Time since the start [s].
    """

    entry: ManifestEntry | None
    nclip: int
    total: int
    nframe: int
    fraction: float
    seconds: float


class Tracker:
    """Counts finished files, bytes and frames, and reports progress to a callback."""

    def __init__(self, items: Sequence[Selected], *, report: Callable[[Progress], None] | None) -> None:
        self._sizes = {item.name: _size(item) for item in items}
        self._total = max(sum(self._sizes.values()), 1)
        self._report = report
        self._started = time.perf_counter()
        self._nclip = self._nbyte = self._nframe = 0
        self._report_progress(None)

    def done(self, item: Selected, entry: ManifestEntry, *, kept: bool) -> None:
        """Count a file, or a further person in one, as finished; frames count unless an existing clip was kept."""
        is_file = item.name in self._sizes
        self._nclip += is_file
        self._nbyte += self._sizes[item.name] if is_file else 0
        self._nframe += 0 if kept else entry.nframe
        self._report_progress(entry)

    def _report_progress(self, entry: ManifestEntry | None) -> None:
        if self._report is not None:
            self._report(
                Progress(
                    entry=entry,
                    nclip=self._nclip,
                    total=len(self._sizes),
                    nframe=self._nframe,
                    fraction=self._nbyte / self._total,
                    seconds=time.perf_counter() - self._started,
                )
            )


def _size(item: Selected) -> int:
    """Size of a file [bytes]; 0 for a broken link, which takes no time to process."""
    return item.path.stat().st_size if item.path.is_file() else 0
