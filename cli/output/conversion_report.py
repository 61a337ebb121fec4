"""Text output of a conversion: progress and problems on stderr, totals and the worst clips on stdout."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.summary import Summary
from musclemap.pipelines.wording import counted
from musclemap.reason_codes import ReasonCode
from musclemap.retarget.summary_line import summary_line

from .console import ClipName, clean_console
from .progress import STARTING, ProgressDisplay, time_left
from .terminal_text import printable

if TYPE_CHECKING:
    from musclemap.pipelines.convert.progress import Progress

WORST = 5
"""Number of clips in the table."""

NAMED = 50
"""Number of files without a clip that are listed by name; the manifest lists all."""

SERIOUS = frozenset((
    ReasonCode.DOUBTFUL_FRAME_RATE, ReasonCode.Y_UP, ReasonCode.CAMERA_COORDINATES, ReasonCode.OTHER_UNITS,
    ReasonCode.DROPPED_FRAMES, ReasonCode.BAD_FORCES, ReasonCode.STATIC_TRIAL,
))  # fmt: skip
"""Doubts that concern a whole clip, which are always printed."""

COLUMNS = (("landmark_error_mm", "landmarks [mm]"), ("foot_error_mm", "feet [mm]"))
"""Metrics shown, with their headings. The first ranks the clips."""

FRAMES_PER_SECOND = 400
"""Frames per second that one core of a 2023 processor converts and checks; for the estimate of a dry run
(benchmarks/archive.py)."""

_SEVERITY = ("infeasible", "warn", "feasible")


def conversion_listener(display: ProgressDisplay, *, verbose: bool = False) -> "Callable[[Progress], None]":
    """Return a listener for `convert_archive`.

    Args:
        display: Shows the progress.
        verbose: Also print a line per file.
    """

    def show(progress: "Progress") -> None:
        if verbose:
            display.print(file_line(progress))
        display.update(
            progress.fraction,
            f"{progress.nclip}/{progress.total} clips  {_rate(progress)} frames/s "
            if progress.nclip
            else f"0/{progress.total} clips  {STARTING} ",
            line=progress_line(progress),
            left=f" {time_left(progress.fraction, progress.seconds)} left",
        )

    return show


def progress_line(progress: "Progress") -> str:
    """Clips done, frames per second and the time left, as a sentence."""
    if not progress.nclip:
        return f"0 of {progress.total} clips, {STARTING}"
    left = time_left(progress.fraction, progress.seconds)
    return f"{progress.nclip} of {progress.total} clips, {_rate(progress)} frames/s, {left} left"


def file_line(progress: "Progress") -> str:
    """The file that was just done, with its result."""
    return f"{progress.total} files" if progress.entry is None else entry_line(progress.entry)


def entry_line(entry: ManifestEntry) -> str:
    """One manifest entry: status, source, and verdict with what was done to the motion, or the reason."""
    result = entry.reason
    if entry.clip:
        changes = summary_line(entry.metrics)
        result = f"{entry.nframe} frames, {entry.verdict}" + f"; {changes}" * bool(changes)
    return f"{entry.status:8} {printable(entry.source)}: {printable(result)}"


def print_summary(summary: Summary, *, dry_run: bool = False) -> None:
    """Print totals, then the worst clips."""
    console = clean_console()
    console.print(totals(summary, dry_run=dry_run), markup=False, soft_wrap=True)
    converted = [entry for entry in summary.entries if entry.status == "ok"]
    if converted and not dry_run:
        console.print(_table(worst(converted)))


def print_failures(summary: Summary) -> None:
    """Print every source that should have a clip and has none, with its reason, and the problems of the whole run."""
    console = clean_console(err=True)
    failures = summary.failures
    message = [f"{entry.status} {entry.source}: {entry.reason}" for entry in failures[:NAMED]]
    if len(failures) > NAMED:
        codes = Counter(entry.code or ReasonCode.UNKNOWN for entry in failures)
        kinds = ", ".join(f"{count} {code}" for code, count in codes.most_common())
        message.append(f"and {len(failures) - NAMED} more, see {summary.out / 'manifest.jsonl'}; in all {kinds}")
    message += summary.problems
    if summary.missing:
        message.append(f"{len(summary.missing)} motions of the group are missing; the first is {summary.missing[0]}")
    if summary.stopped:
        message.append(f"stopped early: {summary.stopped}")
    for line in message:
        console.print(printable(line), markup=False, soft_wrap=True)


def print_idle_mass(summary: Summary) -> None:
    """Say that a mass without a size changed nothing, where no file has measured forces."""
    converted = [entry for entry in summary.entries if entry.clip]
    if converted and not any("forces" in entry.metrics for entry in converted):
        text = "--mass changed nothing, because no file has measured forces; --height gives the body a size"
        clean_console(err=True).print(f"mm-retarget: {text}", markup=False, soft_wrap=True)


def reading_lines(summary: Summary) -> list[str]:
    """How each file was read that a dry run would convert: what the user may want to correct before."""
    lines = []
    for name, read in summary.readings.items():
        parts = [f"{counted(read['nframe'], 'frame')} at {read['fps']:g} Hz ({read['fps_source']})"]
        parts += [f"{read['up']} up, unit {read['unit_m']:g} m"] if "up" in read else []
        parts += [read["family"], read["gender"], *["with fingers"] * read["fingers"]]
        lines.append(f"planned  {name}: {', '.join(parts)}")
    return lines


def print_doubts(summary: Summary, *, every: bool) -> None:
    """Print the doubts about sources that were converted.

    Args:
        summary: Outcome of the conversion.
        every: Whether to print all of them, or only the first NAMED of those that spoil a whole clip.
    """
    console = clean_console(err=True)
    doubts = [(name, warning) for name, warnings in summary.warnings.items() for warning in warnings]
    shown = [f"doubt {name}: {warning.text}" for name, warning in doubts if every or warning.code in SERIOUS]
    if len(shown) > NAMED and not every:
        shown = [*shown[:NAMED], f"and {len(shown) - NAMED} more doubts, see {summary.out / 'manifest.jsonl'}"]
    for line in shown:
        console.print(printable(line), markup=False, soft_wrap=True)


def totals(summary: Summary, *, dry_run: bool = False) -> str:
    """One sentence about the whole run."""
    counts = summary.counts
    no_clip = f"{counts['rejected']} rejected, {counts['failed']} failed"
    if dry_run:
        hours, megabytes = summary.planned_seconds / 3600, summary.planned_bytes / 1e6
        much = f"{hours:.2f} h, {summary.planned_frames:,} frames, {megabytes:,.1f} MB"
        minutes = summary.planned_frames / FRAMES_PER_SECOND / 60
        plan = f"{len(summary.planned)} to convert ({much}; about {minutes:,.0f} min on one core)"
        return f"{plan}, {counts['kept']} up to date, {no_clip}; nothing written"
    verdicts = Counter(entry.verdict for entry in summary.entries if entry.clip)
    message = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in reversed(_SEVERITY) if verdicts[verdict])
    speed = summary.nframe / summary.seconds
    rate = f"{counted(summary.nframe, 'frame')} in {summary.seconds:.1f} s ({speed:,.0f} frames/s)"
    clips = f"{counted(counts['ok'], 'clip')} in {summary.out}" + (f" ({message})" if message else "")
    return printable(f"{clips}, {counts['kept']} of them up to date, {no_clip}; {rate}")


def worst(entries: Sequence[ManifestEntry]) -> list[ManifestEntry]:
    """The worst clips, ordered by verdict, then by the first column, then by name."""

    def rank(entry: ManifestEntry) -> tuple[int, float, str]:
        severity = _SEVERITY.index(entry.verdict) if entry.verdict in _SEVERITY else len(_SEVERITY)
        return severity, -_number(entry, COLUMNS[0][0]), entry.source

    return sorted(entries, key=rank)[:WORST]


def _table(entries: Sequence[ManifestEntry]) -> Table:
    table = Table(title="Worst clips", title_justify="left", box=None, pad_edge=False)
    table.add_column("clip", overflow="fold")
    table.add_column("verdict")
    for heading in ("frames", *(heading for _, heading in COLUMNS)):
        table.add_column(Text(heading), justify="right")  # as text, or [mm] would count as markup
    for entry in entries:
        numbers = [f"{_number(entry, key):.1f}" if key in entry.metrics else "-" for key, _ in COLUMNS]
        table.add_row(ClipName(entry.clip or ""), entry.verdict, str(entry.nframe), *numbers)
    return table


def _rate(progress: "Progress") -> str:
    return f"{progress.nframe / progress.seconds:,.0f}" if progress.nframe else "-"


def _number(entry: ManifestEntry, key: str) -> float:
    value = entry.metrics.get(key)
    return float(value) if isinstance(value, int | float) else 0.0
