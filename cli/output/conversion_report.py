"""A conversion's summary for people: totals and the worst clips to stdout, what went wrong to stderr."""

from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.summary import Summary
from musclemap.reason_codes import ReasonCode

from .console import clean_console
from .terminal_text import printable

WORST = 5
"""Clips named in the table."""

NAMED = 50
"""Files without a clip that are named one by one; the manifest names all."""

COLUMNS = (("landmark_error_mm", "landmarks [mm]"), ("foot_error_mm", "feet [mm]"))
"""Metrics shown, and their headings. The first decides which clips are the worst."""

FRAMES_A_SECOND = 400
"""What one core of a processor of 2023 converts and checks, for the estimate of a dry run (benchmarks/archive.py)."""

_SEVERITY = ("infeasible", "warn", "feasible")


def print_summary(summary: Summary, *, dry_run: bool = False) -> None:
    """Totals, then the worst clips."""
    console = clean_console()
    console.print(totals(summary, dry_run=dry_run), markup=False, soft_wrap=True)
    made = [entry for entry in summary.entries if entry.status == "ok"]
    if made and not dry_run:
        console.print(_table(worst(made)))


def print_failures(summary: Summary) -> None:
    """Every source without a clip with its reason, and what else a person has to know."""
    console = clean_console(err=True)
    lost = [entry for entry in summary.entries if entry.status != "ok"]
    message = [f"{entry.status} {entry.source}: {entry.reason}" for entry in lost[:NAMED]]
    if len(lost) > NAMED:
        codes = Counter(entry.code or ReasonCode.UNKNOWN for entry in lost)
        kinds = ", ".join(f"{count} {code}" for code, count in codes.most_common())
        message.append(f"and {len(lost) - NAMED} more, see {summary.out / 'manifest.jsonl'}; in all {kinds}")
    message += summary.problems
    if summary.missing:
        message.append(f"{len(summary.missing)} members of the group are not there; the first is {summary.missing[0]}")
    if summary.stopped:
        message.append(f"stopped early: {summary.stopped}")
    for line in message:
        console.print(printable(line), markup=False, soft_wrap=True)


def print_doubts(summary: Summary) -> None:
    """What is doubtful in sources that were used."""
    console = clean_console(err=True)
    for name, warnings in summary.warnings.items():
        for warning in warnings:
            console.print(printable(f"doubt {name}: {warning.text}"), markup=False, soft_wrap=True)


def totals(summary: Summary, *, dry_run: bool = False) -> str:
    """One sentence on the whole run."""
    counts = summary.counts
    lost = f"{counts['rejected']} rejected, {counts['failed']} failed"
    if dry_run:
        hours, megabytes = summary.planned_seconds / 3600, summary.planned_bytes / 1e6
        much = f"{hours:.2f} h, {summary.planned_frames:,} frames, {megabytes:,.1f} MB"
        minutes = summary.planned_frames / FRAMES_A_SECOND / 60
        plan = f"{len(summary.planned)} to convert ({much}; about {minutes:,.0f} min on one core)"
        return f"{plan}, {counts['kept']} up to date, {lost}; nothing was written"
    verdicts = Counter(entry.verdict for entry in summary.entries if entry.clip)
    message = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in reversed(_SEVERITY) if verdicts[verdict])
    rate = f"{summary.nframe:,} frames in {summary.seconds:.1f} s ({summary.nframe / summary.seconds:,.0f} frames/s)"
    clips = f"{counts['ok']} clips in {summary.out}" + (f" ({message})" if message else "")
    return printable(f"{clips}, {counts['kept']} of them up to date, {lost}; {rate}")


def worst(entries: Sequence[ManifestEntry]) -> list[ManifestEntry]:
    """The clips to look at first: by verdict, then by the first column, then by name."""

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
        table.add_row(Text(printable(entry.clip or "")), entry.verdict, str(entry.nframe), *numbers)
    return table


def _number(entry: ManifestEntry, key: str) -> float:
    value = entry.metrics.get(key)
    return float(value) if isinstance(value, int | float) else 0.0
