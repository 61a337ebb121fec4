"""Records exactly one manifest line per selected file, however the run ends."""

from collections.abc import Iterable, Sequence

from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.motion import SourceWarning
from musclemap.datasets.output_folder import OutputFolder
from musclemap.datasets.selection import Selected
from musclemap.reason_codes import ReasonCode

from .conversion import ConversionResult, StopRun
from .prepare import entry_without_clip
from .progress import Tracker

_UNTOUCHED = (ReasonCode.NOT_CONVERTED, ReasonCode.DISK_FULL, ReasonCode.DOWNLOAD)
"""Codes of files whose existing clip, if there is one, was not changed by this run."""


class RunRecorder:
    """Writes the manifest lines of a run to disk as they arrive.

    Attributes:
        recorded: Manifest line of each finished source.
        kept: Sources whose clip was up to date.
        warnings: Doubts about sources that were used.
        stopped: Why the run ended early, or an empty string.
    """

    def __init__(self, folder: OutputFolder, items: Sequence[Selected], *, track: Tracker) -> None:
        self.folder = folder
        self.items = items
        self.recorded: dict[str, ManifestEntry] = {}
        self.kept: set[str] = set()
        self.warnings: dict[str, tuple[SourceWarning, ...]] = {}
        self.stopped = ""
        self._track = track

    def record_all(self, results: Iterable[ConversionResult]) -> None:
        """Record results as they arrive. If the run stops early, record the remaining files as not converted."""
        try:
            for result in results:
                self.record(result)
        except StopRun as stop:
            self.stopped = str(stop)
            for item in self.items:
                if item.name not in self.recorded:
                    entry = entry_without_clip(
                        item, status="failed", code=ReasonCode.NOT_CONVERTED, message=self.stopped
                    )
                    self.record(ConversionResult(item=item, entry=entry))

    def record(self, result: ConversionResult) -> None:
        """Record the result of one file in the manifest and the summary.

        Raises:
            StopRun: If the manifest line cannot be written.
        """
        item, entry = result.item, result.entry
        self.recorded[item.name] = entry
        if result.warnings:
            self.warnings[item.name] = result.warnings
        if result.kept:
            self.kept.add(item.name)
        elif not self._earlier_entry_is_valid(item, entry):
            try:
                self._write(item, entry)
            except OSError as error:
                raise StopRun(f"cannot write to {self.folder.root}: {error.strerror}") from error
        self._track.done(item, entry, kept=result.kept)

    def _earlier_entry_is_valid(self, item: Selected, entry: ManifestEntry) -> bool:
        """Whether the manifest line of an earlier run still describes the clip, which this run did not touch."""
        old = self.folder.entries.get(item.name)
        return (
            entry.code in _UNTOUCHED
            and old is not None
            and old.clip is not None
            and (self.folder.root / old.clip).is_file()
        )

    def _write(self, item: Selected, entry: ManifestEntry) -> None:
        old = self.folder.entries.get(item.name)
        drops_clip = entry.clip is None and old is not None and old.clip == item.clip and not item.clash
        if self.stopped:
            if not drops_clip:  # otherwise the earlier clip and its line are left as they are
                # The disk is full, so the journal cannot grow; rewriting the manifest frees the journal's space.
                self.folder.entries[item.name] = entry
            return
        try:
            self.folder.record(entry)
        except OSError:
            if drops_clip and old is not None:
                self.folder.entries[item.name] = old
            raise
        if drops_clip:
            (self.folder.root / item.clip).unlink(missing_ok=True)  # no manifest line refers to the earlier clip now
