"""Built-in data sets: clips that need no network."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from musclemap.datasets.clip import Clip
from musclemap.datasets.downloads.errors import DownloadError
from musclemap.datasets.downloads.file_filter import FileFilter
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.output_folder import OutputFolder, open_output
from musclemap.datasets.selection import Selected, clip_name
from musclemap.datasets.summary import Summary
from musclemap.imitation.task.arm_motions import arm_clip, arm_name, arm_source

from .builtin_walk import BUILTIN_WALK, WALK_CLIP, read_walk, write_walk_policy, write_walk_track
from .convert.conversion import ConversionResult, stop_if_disk_full, write_clip_entry
from .convert.prepare import entry_without_clip
from .convert.progress import Tracker
from .convert.run_recorder import RunRecorder
from .wording import counted

BUILTIN_ARM = "builtin-arm"
"""Name of the small arm's motions in the catalogue."""

ARM_CLIPS, ARM_SECONDS, ARM_SEED = 12, 4.0, 1
"""Number of clips, their duration [s] and their seed, as in `benchmarks/learning.py`."""

OnClip = Callable[[ManifestEntry, int, int], None]
"""Called after each clip with its manifest line, the number of finished clips, and the total."""


def select_builtin_clips(name: str, file_filter: FileFilter) -> tuple[str, ...]:
    """Paths of the clips of a built-in data set that match a filter.

    Args:
        name: `BUILTIN_ARM` or `BUILTIN_WALK`.
        file_filter: Which clips.

    Raises:
        DownloadError: If none matches.
    """
    paths = (WALK_CLIP,) if name == BUILTIN_WALK else tuple(arm_path(number) for number in range(ARM_CLIPS))
    selected = [path for path in paths if file_filter.matches(path)]
    if not selected:
        raise DownloadError(f"none of the {counted(len(paths), 'clip')} of {name} matches; one is {paths[0]}")
    return tuple(selected[: file_filter.limit])


def arm_path(number: int) -> str:
    """Path of a clip below the output folder."""
    return clip_name(arm_name(number))


def write_builtin_clips(name: str, out: Path, file_filter: FileFilter, *, on_clip: OnClip | None = None) -> Summary:
    """Write a built-in data set. The same clips are written again with the same bytes.

    Args:
        name: `BUILTIN_ARM` or `BUILTIN_WALK`.
        out: Output folder: clips, tracks, policy and manifest.
        file_filter: Which clips to write.
        on_clip: Called after each clip.

    Raises:
        DownloadError: If no clip matches the filter, or if the clips do not fit the installed body.
        OutputError: If the folder cannot be written to, or another run is writing to it.
    """
    paths = select_builtin_clips(name, file_filter)
    if name == BUILTIN_WALK:
        clip, track = read_walk()
        item = Selected(path=Path(), name=clip.source, clip=WALK_CLIP)

        def finish(folder: OutputFolder) -> None:
            write_walk_track(folder.root, track)
            write_walk_policy(folder.root)

        return _write(out, [item], lambda _: clip, on_clip=on_clip, finish=finish)
    numbers = {arm_path(number): number for number in range(ARM_CLIPS)}
    items = [Selected(path=Path(), name=arm_source(numbers[path], ARM_SEED), clip=path) for path in paths]
    return _write(out, items, lambda item: arm_clip(numbers[item.clip], ARM_SECONDS, seed=ARM_SEED), on_clip=on_clip)


def _write(
    out: Path,
    items: Sequence[Selected],
    make: Callable[[Selected], Clip],
    *,
    on_clip: OnClip | None,
    finish: Callable[[OutputFolder], None] = lambda folder: None,
) -> Summary:
    """Write clips with their manifest lines, then whatever belongs to them."""
    started = time.perf_counter()
    report = None
    if on_clip is not None:
        report = lambda now: on_clip(now.entry, now.nclip, now.total) if now.entry is not None else None  # noqa: E731
    with open_output(out) as folder:
        run = RunRecorder(folder, items, track=Tracker(items, report=report))

        def results() -> Iterator[ConversionResult]:
            for item in items:
                failure_entry = partial(entry_without_clip, item)
                entry = write_clip_entry(
                    item, make(item), folder.root, announce=folder.announce, failure_entry=failure_entry
                )
                yield ConversionResult(item=item, entry=entry)
                stop_if_disk_full(entry, folder.root)

        run.record_all(results())
        folder.write_manifest()
        if all(entry.status == "ok" for entry in run.recorded.values()):
            finish(folder)
    return Summary(
        out=out,
        entries=tuple(sorted(run.recorded.values(), key=lambda entry: entry.source)),
        problems=folder.problems,
        seconds=time.perf_counter() - started,
        stopped=run.stopped,
    )
