"""Conversion of a list of files: read, retarget in batches, write clips, and yield one result per file.

Runs in the main process or in a worker process on any machine.
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

from .batch import BatchRetargeter, MotionResult, RetargetCrash, retarget_batch
from .prepare import Loaded, Skipped, entry_with_clip, entry_without_clip

Announce = Callable[[ManifestEntry], None]
"""Writes a clip's manifest line to disk before the clip itself is there."""

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class StopRun(Exception):
    """The run cannot continue; the message says why."""


@dataclass(frozen=True, kw_only=True)
class ConversionResult:
    """Result for one file.

    Attributes:
        item: The file.
        entry: Its manifest line.
        kept: Whether its existing clip was up to date and was kept.
        warnings: Doubts about a source that was used.
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
    load: Callable[..., list[Loaded]],
    retargeter: BatchRetargeter,
    batch_frames: int,
) -> Iterator[ConversionResult]:
    """Convert files in batches of at least `batch_frames` frames.

    Args:
        items: The files.
        root: Output folder; clips are written below it.
        announce: Writes each clip's manifest line to disk before the clip takes its name.
        known: Manifest lines of earlier runs, by source.
        load: `load_or_skip` with every argument bound except the file and the known lines.
        retargeter: Makes the clips.
        batch_frames: Smallest number of source frames that are converted together.

    Raises:
        StopRun: If the disk is full; the result of the file that filled it has been yielded.
    """
    batch: list[tuple[Selected, SourceMotion]] = []
    nframe = 0
    for item in items:
        for person, loaded in load(item, known=known):
            if isinstance(loaded, Skipped):
                yield ConversionResult(item=person, entry=loaded.entry, kept=loaded.kept)
                continue
            batch.append((person, loaded))
            nframe += loaded.nframe
        if nframe >= batch_frames:
            yield from _convert_batch(batch, root, announce, retargeter)
            batch, nframe = [], 0
    yield from _convert_batch(batch, root, announce, retargeter)


def _convert_batch(
    batch: Sequence[tuple[Selected, SourceMotion]], root: Path, announce: Announce, retargeter: BatchRetargeter
) -> Iterator[ConversionResult]:
    results = retarget_batch(retargeter, [motion for _, motion in batch])
    for (item, motion), result in zip(batch, results, strict=True):
        entry = _write_result(item, motion, result, root, announce)
        yield ConversionResult(item=item, entry=entry, warnings=motion.warnings)
        stop_if_disk_full(entry, root)


def _write_result(
    item: Selected, motion: SourceMotion, result: MotionResult, root: Path, announce: Announce
) -> ManifestEntry:
    """Write the clip, if there is one; return the manifest line."""
    failure_entry = partial(entry_without_clip, item, motion=motion)
    if result.clip is None:
        status = "failed" if isinstance(result, RetargetCrash) else "rejected"
        return failure_entry(status=status, code=result.code or ReasonCode.UNKNOWN, message=result.message)
    return write_clip_entry(item, result.clip, root, announce=announce, failure_entry=failure_entry)


def write_clip_entry(
    item: Selected, clip: Clip, root: Path, *, announce: Announce, failure_entry: Callable[..., ManifestEntry]
) -> ManifestEntry:
    """Write a clip and return its manifest line.

    If the clip cannot be written, the line is the result of `failure_entry` called with status, code and message.
    """
    source_entry = ManifestEntry(source=item.name, status="ok", source_sha256=clip.source_sha256)
    written = attempt(
        lambda: write_listed(
            root / item.clip, clip, announce=announce,
            line=lambda sha256: entry_with_clip(source_entry, clip, path=item.clip, sha256=sha256),
        )
    )  # fmt: skip
    if not isinstance(written, Failure):
        return written
    code = written.code
    if isinstance(written.error, ClipError):
        code = ReasonCode.BAD_CLIP
    elif isinstance(written.error, OSError):
        code = ReasonCode.DISK_FULL if is_disk_full(written.error) else ReasonCode.WRITE_FAILED
    return failure_entry(status="failed", code=code, message=written.message)


def is_disk_full(error: Exception) -> bool:
    """Whether an error means that the disk, or the user's quota, is full."""
    return isinstance(error, OSError) and error.errno in _DISK_FULL


def stop_if_disk_full(entry: ManifestEntry, root: Path) -> None:
    """Raise StopRun if a manifest line says that its clip did not fit on the disk."""
    if entry.code is ReasonCode.DISK_FULL:
        raise StopRun(f"the disk of {root} is full")
