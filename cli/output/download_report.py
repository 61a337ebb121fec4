"""Text output of `mm-download`: progress and failures on stderr, and the check of an archive."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .conversion_report import entry_line
from .progress import ProgressDisplay
from .terminal_text import echo, printable

if TYPE_CHECKING:
    from musclemap.datasets.downloads.amass_check import ArchiveState
    from musclemap.datasets.downloads.bundle import DownloadProgress
    from musclemap.datasets.manifest import ManifestEntry
    from musclemap.pipelines.download import TrajectorySelection

NAMED = 50
"""Number of failed files that are listed by name."""


def bundle_listener(display: ProgressDisplay) -> Callable[["DownloadProgress"], None]:
    """Return a listener for `fetch_bundle`."""

    def show(moved: "DownloadProgress") -> None:
        text = f"{moved.nfile} of {moved.files} files, {amount(moved.nbyte)} of {amount(moved.size)}"
        display.update(moved.nbyte / max(moved.size, 1), text, line=text)

    return show


def file_listener(display: ProgressDisplay, chosen: "TrajectorySelection") -> Callable[[int, int], None]:
    """Return a listener for the downloads of `download_data_set`."""

    def show(nfile: int, nbyte: int) -> None:
        text = f"downloading {nfile} of {len(chosen.files)} files, {amount(nbyte)}"
        display.update(nbyte / max(chosen.size, 1), text, line=text)

    return show


def clip_listener(display: ProgressDisplay, *, verbose: bool = False) -> Callable[["ManifestEntry", int, int], None]:
    """Return a listener for the clips of `download_data_set`.

    Args:
        display: Shows the progress.
        verbose: Also print a line per clip.
    """

    def show(entry: "ManifestEntry", nclip: int, total: int) -> None:
        if verbose:
            display.print(entry_line(entry))
        text = f"{nclip} of {total} clips"
        display.update(nclip / max(total, 1), text, line=text)

    return show


def quiet_hub() -> None:
    """Turn off huggingface_hub's bars and retry messages, and give up on slow servers. For this process."""
    from huggingface_hub.utils import disable_progress_bars, logging

    from musclemap.datasets.downloads.hub_speed_guard import watch_hub
    from musclemap.datasets.downloads.speed_guard import TransferLimits

    disable_progress_bars()
    logging.set_verbosity_error()
    watch_hub(TransferLimits())


def amount(nbyte: int) -> str:
    """A number of bytes with its unit, in powers of 1000."""
    size = float(nbyte)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def print_failed_files(failed: Mapping[str, str]) -> None:
    """Print every file that was not downloaded, with its reason."""
    for name, reason in list(failed.items())[:NAMED]:
        echo(f"failed {name}: {reason}", err=True)
    if len(failed) > NAMED:
        echo(f"and {len(failed) - NAMED} more", err=True)


def archive_lines(state: "ArchiveState", *, brief: bool = False) -> list[str]:
    """The state of an archive as lines; only the missing parts if `brief`."""
    lines = []
    if not brief:
        lines.append(f"{state.root}: {sum(state.parts.values()) + state.unmatched:,} motions")
        lines += [f"  {part}: {count:,}" for part, count in state.parts.items()]
        if state.unmatched:
            lines.append(f"  of no known part: {state.unmatched:,}")
        lines.append(f"missing parts: {', '.join(state.absent) or 'none'}")
        lines.append("motion lists:")
        for name, group in state.groups.items():
            short = ", ".join(f"{part} {count}" for part, count in sorted(group.missing.items()))
            lines.append(f"  {name}: {group.found} of {group.entries}" + (f"; missing from {short}" if short else ""))
        if state.body_models is not None:
            lines.append("body models:")
            lines += [f"  {family} {gender}: {file}" for (family, gender), file in state.body_models.items()]
            if not state.body_models:
                lines.append("  none")
            lines += [f"  unreadable: {reason}" for reason in state.unreadable.values()]
    steps = state.steps()
    if steps:
        lines.append("to download by hand (their licences forbid redistribution):")
        lines += [f"  {step}" for step in steps]
    return [printable(line) for line in lines]
