"""One pass over some files of an archive: read, convert together, write the clips, and tell of each what came of it.

It runs in whatever process has the files: the program itself, or a worker on another machine.
"""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from musclemap.datasets.clip import Clip
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.motion import SourceMotion, SourceWarning
from musclemap.datasets.output_folder import write_listed
from musclemap.datasets.selection import Selected
from musclemap.errors import ClipError
from musclemap.failures import Failure, attempt
from musclemap.reason_codes import ReasonCode

from .batch import BatchRetargeter, Crash, Outcome, retarget_batch
from .prepare import Skipped, converted, unconverted

Announce = Callable[[ManifestEntry], None]
"""Puts the line of a clip on disk before the clip is there."""

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class StopRun(Exception):
    """The run cannot go on; the text says why."""


@dataclass(frozen=True, kw_only=True)
class ConversionResult:
    """What came of one file.

    Attributes:
        item: The file.
        entry: Its line of the manifest.
        kept: Whether its clip was there already and is up to date.
        warnings: What is doubtful about a source that was used.
    """

    item: Selected
    entry: ManifestEntry
    kept: bool = False
    warnings: tuple[SourceWarning, ...] = ()


def convert_items(
    items: Sequence[Selected],
    *,
    root: Path,
    announce: Announce,
    known: Mapping[str, ManifestEntry],
    look: Callable[..., SourceMotion | Skipped],
    retargeter: BatchRetargeter,
    batch_frames: int,
) -> Iterator[ConversionResult]:
    """Convert files, so many frames at a time.

    Args:
        items: The files.
        root: Output folder; clips are written below it.
        announce: Puts the line of each clip on disk before the clip takes its name.
        known: Lines of earlier runs by source.
        look: `load_or_skip` with all but the file and its line.
        retargeter: Makes the clips.
        batch_frames: Source frames that are converted together, at least.

    Raises:
        StopRun: The disk is full; the file that filled it has had its line.
    """
    batch: list[tuple[Selected, SourceMotion]] = []
    nframe = 0
    for item in items:
        result = look(item, known=known.get(item.name))
        if isinstance(result, Skipped):
            yield ConversionResult(item=item, entry=result.entry, kept=result.kept)
            continue
        batch.append((item, result))
        nframe += result.nframe
        if nframe >= batch_frames:
            yield from _convert_batch(batch, root, announce, retargeter)
            batch, nframe = [], 0
    yield from _convert_batch(batch, root, announce, retargeter)


def _convert_batch(
    batch: Sequence[tuple[Selected, SourceMotion]], root: Path, announce: Announce, retargeter: BatchRetargeter
) -> Iterator[ConversionResult]:
    outcomes = retarget_batch(retargeter, [motion for _, motion in batch])
    for (item, motion), outcome in zip(batch, outcomes, strict=True):
        entry = _finish(item, motion, outcome, root, announce)
        yield ConversionResult(item=item, entry=entry, warnings=motion.warnings)
        stop_if_full(entry, root)


def _finish(item: Selected, motion: SourceMotion, outcome: Outcome, root: Path, announce: Announce) -> ManifestEntry:
    """Write a clip; returns its line."""
    tell = partial(unconverted, item, motion=motion)
    if outcome.clip is None:
        status = "failed" if isinstance(outcome, Crash) else "rejected"
        return tell(status=status, code=outcome.code or ReasonCode.UNKNOWN, message=outcome.message)
    return write_line(item, outcome.clip, root, announce=announce, lost=tell)


def write_line(
    item: Selected, clip: Clip, root: Path, *, announce: Announce, lost: Callable[..., ManifestEntry]
) -> ManifestEntry:
    """Write a clip; returns its line, or what `lost` makes of status, code and message."""
    first = ManifestEntry(source=item.name, status="ok", source_sha256=clip.source_sha256)
    line = partial(_line, first, clip, item.clip)
    written = attempt(lambda: write_listed(root / item.clip, clip, line=line, announce=announce))
    if not isinstance(written, Failure):
        return written
    code = written.code
    if isinstance(written.error, ClipError):
        code = ReasonCode.BAD_CLIP
    elif isinstance(written.error, OSError):
        code = ReasonCode.DISK_FULL if is_full(written.error) else ReasonCode.WRITE_FAILED
    return lost(status="failed", code=code, message=written.message)


def _line(first: ManifestEntry, clip: Clip, path: str, sha256: str) -> ManifestEntry:
    return converted(first, clip, path=path, sha256=sha256)


def is_full(error: Exception) -> bool:
    """Whether an error says that the disk, or the user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in _DISK_FULL


def stop_if_full(entry: ManifestEntry, root: Path) -> None:
    """Raise StopRun after the line of a clip that the disk did not take."""
    if entry.code is ReasonCode.DISK_FULL:
        raise StopRun(f"the disk of {root} is full")
