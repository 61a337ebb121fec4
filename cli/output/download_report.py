"""What `mm-download` shows: how far it is, on stderr, and what a user has of an archive."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rich.progress as bars

from .console import clean_console
from .terminal_text import printable

if TYPE_CHECKING:
    from musclemap.datasets.downloads.amass_check import ArchiveState
    from musclemap.datasets.downloads.bundle import DownloadProgress
    from musclemap.datasets.manifest import ManifestEntry
    from musclemap.pipelines.download import Chosen

LINE_SECONDS = 60.0
NAMED = 50
"""Files that are named one by one."""

Show = Callable[[float, str], None]
"""Takes the part that is done, 0 to 1, and words about it."""


@contextmanager
def show_moved(*, hidden: bool = False) -> Iterator[Callable[["DownloadProgress"], None]]:
    """Give a listener for `fetch_bundle`."""
    with _shown(hidden=hidden) as show:
        yield lambda moved: show(
            moved.nbyte / max(moved.size, 1),
            f"{moved.nfile} of {moved.files} files, {amount(moved.nbyte)} of {amount(moved.size)}",
        )


@contextmanager
def show_files(chosen: "Chosen", *, hidden: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Give a listener for the downloads of `download_data_set`."""
    with _shown(hidden=hidden) as show:
        yield lambda nfile, nbyte: show(
            nbyte / max(chosen.size, 1), f"downloading {nfile} of {len(chosen.files)} files, {amount(nbyte)}"
        )


@contextmanager
def show_converted(
    *, hidden: bool = False, verbose: bool = False
) -> Iterator[Callable[["ManifestEntry", int, int], None]]:
    """Give a listener for the clips of `download_data_set`."""
    console = clean_console(err=True)
    with _shown(hidden=hidden) as show:

        def message(entry: "ManifestEntry", nclip: int, total: int) -> None:
            if verbose:
                came = f"{entry.nframe} frames, {entry.verdict}" if entry.clip else entry.reason
                console.print(printable(f"{entry.status:8} {entry.source}: {came}"), markup=False, soft_wrap=True)
            show(nclip / max(total, 1), f"{nclip} of {total} clips")

        yield message


@contextmanager
def _shown(*, hidden: bool) -> Iterator[Show]:
    """A bar on a terminal, which appears with the first word; otherwise a plain line a minute."""
    console = clean_console(err=True)
    if hidden:
        yield lambda share, words: None
        return
    if not console.is_terminal:
        message = [time.monotonic()]

        def line(share: float, words: str) -> None:
            if time.monotonic() - message[0] >= LINE_SECONDS:
                message[0] = time.monotonic()
                console.print(words, markup=False, soft_wrap=True)

        yield line
        return
    bar = bars.Progress(
        bars.BarColumn(),
        bars.TextColumn("{task.fields[words]}", markup=False),
        bars.TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    tasks: list[bars.TaskID] = []

    def show(share: float, words: str) -> None:
        if not tasks:
            bar.start()
            tasks.append(bar.add_task("", total=1.0, words=words))
        bar.update(tasks[0], completed=share, words=words)
        if share >= 1.0:
            bar.stop()

    try:
        yield show
    finally:
        bar.stop()


def calm_hub() -> None:
    """Let huggingface_hub show no bars, log no retries, and wait for no server that is too slow. For this process."""
    from huggingface_hub.utils import disable_progress_bars, logging

    from musclemap.datasets.downloads.hub_speed_guard import watch_hub
    from musclemap.datasets.downloads.speed_guard import TransferLimits

    disable_progress_bars()
    logging.set_verbosity_error()
    watch_hub(TransferLimits())


def amount(nbyte: int) -> str:
    """Bytes in words, by thousands."""
    size = float(nbyte)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def print_lost(failed: Mapping[str, str]) -> None:
    """Every file that is not here, with its reason."""
    console = clean_console(err=True)
    for name, reason in list(failed.items())[:NAMED]:
        console.print(printable(f"failed {name}: {reason}"), markup=False, soft_wrap=True)
    if len(failed) > NAMED:
        console.print(f"and {len(failed) - NAMED} more", markup=False)


def archive_lines(state: "ArchiveState", *, brief: bool = False) -> list[str]:
    """What of an archive is here, as lines; only what is to be done if `brief`."""
    lines = []
    if not brief:
        lines.append(f"{state.root}: {sum(state.parts.values()) + state.unmatched:,} motions")
        lines += [f"  {part}: {count:,}" for part, count in state.parts.items()]
        if state.unmatched:
            lines.append(f"  of no known part: {state.unmatched:,}")
        lines.append(f"not here: {', '.join(state.absent) or 'nothing'}")
        lines.append("motion lists:")
        for name, group in state.groups.items():
            short = ", ".join(f"{part} {count}" for part, count in sorted(group.missing.items()))
            lines.append(f"  {name}: {group.found} of {group.entries}" + (f"; missing of {short}" if short else ""))
        if state.body_models is not None:
            lines.append("body models:")
            lines += [f"  {family} {gender}: {file}" for (family, gender), file in state.body_models.items()]
            if not state.body_models:
                lines.append("  none")
            lines += [f"  not read: {reason}" for reason in state.unreadable.values()]
    steps = state.steps()
    if steps:
        lines.append("to fetch by hand; their licences allow nobody to pass them on:")
        lines += [f"  {step}" for step in steps]
    return [printable(line) for line in lines]
