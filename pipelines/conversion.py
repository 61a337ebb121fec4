"""One pass over the files of an archive: read, convert together, write, and give each its line."""

import errno
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from musclemap.datasets.clip import Clip, write_clip
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.motion import SourceMotion
from musclemap.skeletons.errors import ClipError

from .batch import BatchRetargeter, Crash, Outcome, retarget_batch
from .intake import Settled, unconverted
from .output_folder import OutputFolder
from .progress import Tracker
from .selection import Selected

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class _Stop(Exception):
    """The run cannot go on; the text says why."""


class Conversion:
    """A run over the selected files.

    Attributes:
        settled: Line of each source that is done.
        kept: Sources whose clip was up to date.
        warnings: What is doubtful about sources that were used.
        stopped: Why the run ended early, or empty.
    """

    def __init__(
        self,
        folder: OutputFolder,
        items: Sequence[Selected],
        *,
        look: Callable[..., SourceMotion | Settled],
        retargeter: BatchRetargeter,
        track: Tracker,
    ) -> None:
        self.folder = folder
        self.items = items
        self.settled: dict[str, ManifestEntry] = {}
        self.kept: set[str] = set()
        self.warnings: dict[str, tuple[str, ...]] = {}
        self.stopped = ""
        self._look = look
        self._retargeter = retargeter
        self._track = track

    def run(self, *, batch_frames: int) -> None:
        """Settle every file. Where the disk is full the rest is settled as not converted."""
        try:
            for batch in self._batches(batch_frames):
                outcomes = retarget_batch(self._retargeter, [motion for _, motion in batch])
                for (item, motion), outcome in zip(batch, outcomes, strict=True):
                    self._finish(item, motion, outcome)
        except _Stop as stop:
            self.stopped = str(stop)
            for item in self.items:
                if item.name not in self.settled:
                    self._settle(item, unconverted(item, status="failed", reason="not_converted", message=self.stopped))

    def _batches(self, batch_frames: int) -> Iterator[list[tuple[Selected, SourceMotion]]]:
        """Motions to convert, in groups of at least `batch_frames` frames but for the last."""
        batch: list[tuple[Selected, SourceMotion]] = []
        nframe = 0
        for item in self.items:
            found = self._look(item, known=self.folder.entries.get(item.name))
            if isinstance(found, Settled):
                self._settle(item, found.entry, kept=found.kept)
                continue
            if found.warnings:
                self.warnings[item.name] = found.warnings
            batch.append((item, found))
            nframe += found.nframe
            if nframe >= batch_frames:
                yield batch
                batch, nframe = [], 0
        if batch:
            yield batch

    def _finish(self, item: Selected, motion: SourceMotion, outcome: Outcome) -> None:
        """Write a clip and its line."""
        tell = partial(unconverted, item, motion=motion)
        if outcome.clip is None:
            status = "failed" if isinstance(outcome, Crash) else "rejected"
            self._settle(item, tell(status=status, reason=outcome.reason or "unknown", message=outcome.message))
            return
        try:
            sha256 = write_clip(self.folder.root / item.clip, outcome.clip)
        except ClipError as error:
            self._settle(item, tell(status="failed", reason="bad_clip", message=str(error)))
        except OSError as error:
            full = error.errno in _DISK_FULL
            self._settle(
                item, tell(status="failed", reason="disk_full" if full else "write_failed", message=str(error))
            )
            if full:
                raise _Stop(f"the disk of {self.folder.root} is full") from error
        else:
            self._settle(item, _line(item, motion, outcome.clip, sha256=sha256))

    def _settle(self, item: Selected, entry: ManifestEntry, *, kept: bool = False) -> None:
        """Give a file its line, in the manifest and in the summary."""
        self.settled[item.name] = entry
        if kept:
            self.kept.add(item.name)
        elif not self._earlier_line_stands(item, entry):
            try:
                self._put(item, entry)
            except OSError as error:
                raise _Stop(f"cannot write to {self.folder.root}: {error.strerror}") from error
        self._track.done(item, entry, kept=kept)

    def _earlier_line_stands(self, item: Selected, entry: ManifestEntry) -> bool:
        """Whether this run did not touch the clip that an earlier one made: its line goes on being true."""
        old = self.folder.entries.get(item.name)
        untouched = entry.reason.startswith(("not_converted:", "disk_full:"))
        return untouched and old is not None and old.clip is not None and (self.folder.root / old.clip).is_file()

    def _put(self, item: Selected, entry: ManifestEntry) -> None:
        old = self.folder.entries.get(item.name)
        if entry.clip is None and old is not None and old.clip == item.clip and not item.clash:
            (self.folder.root / item.clip).unlink(missing_ok=True)  # no line tells of the earlier clip any more
        if self.stopped:
            self.folder.entries[item.name] = entry  # the journal is full; the manifest has the room that it gives free
        else:
            self.folder.record(entry)


def _line(item: Selected, motion: SourceMotion, clip: Clip, *, sha256: str) -> ManifestEntry:
    return ManifestEntry(
        source=item.name,
        status="ok",
        clip=item.clip,
        source_sha256=motion.sha256,
        clip_sha256=sha256,
        nframe=clip.nframe,
        seconds=clip.duration,
        verdict=clip.verdict,
        metrics=clip.metrics,
        reasons=clip.reasons,
    )
