"""Every selected file gets exactly one line, whatever happens to the run."""

from collections.abc import Iterable, Sequence

from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.motion import SourceWarning
from musclemap.datasets.output_folder import OutputFolder
from musclemap.datasets.selection import Selected
from musclemap.reason_codes import ReasonCode

from .conversion import ConversionResult, StopRun
from .prepare import unconverted
from .progress import Tracker

_UNTOUCHED = (ReasonCode.NOT_CONVERTED, ReasonCode.DISK_FULL, ReasonCode.DOWNLOAD)
"""Codes of files whose earlier clip, if there is one, this run did not change."""


class RunRecorder:
    """Lines of a run, put on disk as they come.

    Attributes:
        settled: Manifest line of each source that is done.
        kept: Sources whose clip was up to date.
        warnings: What is doubtful about sources that were used.
        stopped: Why the run ended early, or empty.
    """

    def __init__(self, folder: OutputFolder, items: Sequence[Selected], *, track: Tracker) -> None:
        self.folder = folder
        self.items = items
        self.recorded: dict[str, ManifestEntry] = {}
        self.kept: set[str] = set()
        self.warnings: dict[str, tuple[SourceWarning, ...]] = {}
        self.stopped = ""
        self._track = track

    def take(self, lines: Iterable[ConversionResult]) -> None:
        """Settle files as their lines come. Where the run cannot go on the rest is settled as not converted."""
        try:
            for line in lines:
                self.record(line)
        except StopRun as stop:
            self.stopped = str(stop)
            for item in self.items:
                if item.name not in self.recorded:
                    entry = unconverted(item, status="failed", code=ReasonCode.NOT_CONVERTED, message=self.stopped)
                    self.record(ConversionResult(item=item, entry=entry))

    def record(self, line: ConversionResult) -> None:
        """Give a file its line, in the manifest and in the summary.

        Raises:
            StopRun: The line cannot be written.
        """
        self.recorded[line.item.name] = line.entry
        if line.warnings:
            self.warnings[line.item.name] = line.warnings
        if line.kept:
            self.kept.add(line.item.name)
        elif not self._earlier_line_stands(line.item, line.entry):
            try:
                self._put(line.item, line.entry)
            except OSError as error:
                raise StopRun(f"cannot write to {self.folder.root}: {error.strerror}") from error
        self._track.done(line.item, line.entry, kept=line.kept)

    def _earlier_line_stands(self, item: Selected, entry: ManifestEntry) -> bool:
        """Whether this run did not touch the clip that an earlier one made: its line goes on being true."""
        old = self.folder.entries.get(item.name)
        return (
            entry.code in _UNTOUCHED
            and old is not None
            and old.clip is not None
            and (self.folder.root / old.clip).is_file()
        )

    def _put(self, item: Selected, entry: ManifestEntry) -> None:
        old = self.folder.entries.get(item.name)
        lost = entry.clip is None and old is not None and old.clip == item.clip and not item.clash
        if self.stopped:
            if not lost:  # else the earlier clip and its line stay as they are
                self.folder.entries[item.name] = entry  # the journal is full; the manifest has the room it gives free
            return
        try:
            self.folder.record(entry)
        except OSError:
            if lost and old is not None:
                self.folder.entries[item.name] = old
            raise
        if lost:
            (self.folder.root / item.clip).unlink(missing_ok=True)  # no line tells of the earlier clip any more
