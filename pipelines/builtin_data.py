"""Built-in data sets: clips that the package makes itself, without a network."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from musclemap.datasets.downloads.errors import DownloadError
from musclemap.datasets.downloads.file_filter import FileFilter
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.output_folder import open_output
from musclemap.datasets.selection import Selected, clip_name
from musclemap.datasets.summary import Summary
from musclemap.imitation.task.arm_motions import arm_clip, arm_name, arm_source

from .convert.conversion import ConversionResult, stop_if_disk_full, write_clip_entry
from .convert.prepare import entry_without_clip
from .convert.progress import Tracker
from .convert.run_recorder import RunRecorder

BUILTIN_ARM = "builtin-arm"
"""Name of the small arm's motions in the catalogue."""

ARM_CLIPS, ARM_SECONDS, ARM_SEED = 12, 4.0, 1
"""Number of clips, their duration [s] and their seed, as in `benchmarks/learning.py`."""


def select_arm_clips(file_filter: FileFilter) -> tuple[int, ...]:
    """Numbers of the arm clips that match a filter.

    Raises:
        DownloadError: If none matches.
    """
    selected = [number for number in range(ARM_CLIPS) if file_filter.matches(arm_path(number))]
    if not selected:
        raise DownloadError(f"none of the {ARM_CLIPS} clips of {BUILTIN_ARM} matches; one is {arm_path(0)}")
    return tuple(selected[: file_filter.limit])


def arm_path(number: int) -> str:
    """Path of a clip below the output folder."""
    return clip_name(arm_name(number))


def write_arm_clips(
    out: Path, file_filter: FileFilter, *, on_clip: Callable[[ManifestEntry, int, int], None] | None = None
) -> Summary:
    """Write motions of the small arm as a data set. The same files are written again with the same bytes.

    Args:
        out: Output folder: clips and manifest.
        file_filter: Which clips to write.
        on_clip: Called after each clip with its manifest line, the number of finished clips, and the total.

    Raises:
        DownloadError: If no clip matches the filter.
        OutputError: If the folder cannot be written to, or another run is writing to it.
    """
    started = time.perf_counter()
    numbers = select_arm_clips(file_filter)
    items = [Selected(path=Path(), name=arm_source(k, ARM_SEED), clip=arm_path(k)) for k in numbers]
    report = None
    if on_clip is not None:
        report = lambda now: on_clip(now.entry, now.nclip, now.total) if now.entry is not None else None  # noqa: E731
    with open_output(out) as folder:
        run = RunRecorder(folder, items, track=Tracker(items, report=report))

        def results() -> Iterator[ConversionResult]:
            for number, item in zip(numbers, items, strict=True):
                clip = arm_clip(number, ARM_SECONDS, seed=ARM_SEED)
                failure_entry = partial(entry_without_clip, item)
                entry = write_clip_entry(item, clip, folder.root, announce=folder.announce, failure_entry=failure_entry)
                yield ConversionResult(item=item, entry=entry)
                stop_if_disk_full(entry, folder.root)

        run.record_all(results())
        folder.write_manifest()
    return Summary(
        out=out,
        entries=tuple(sorted(run.recorded.values(), key=lambda entry: entry.source)),
        problems=folder.problems,
        seconds=time.perf_counter() - started,
        stopped=run.stopped,
    )
