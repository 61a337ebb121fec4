"""Text output of `mm-track`: progress, the table of the tracks, plans and replays."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from musclemap.pipelines.wording import counted

from .console import ClipName, clean_console
from .progress import ProgressDisplay, clock
from .terminal_text import printable

if TYPE_CHECKING:
    from musclemap.pipelines.track.plan import ClipOutcome
    from musclemap.pipelines.track.replaying import ReplayedTrack
    from musclemap.pipelines.track.run_options import RunProgress
    from musclemap.pipelines.track.tracking import TrackingRun

NAMED = 50
"""Number of clips that are listed by name."""

ROWS = 200
"""Number of clips in the table; --json has all."""

COLUMNS = (
    ("landmark_error_mean_mm", "landmarks\n[mm]", "{:.0f}"),
    ("root_error_mean_mm", "root\n[mm]", "{:.0f}"),
    ("joint_angle_error_deg", "joints\n[°]", "{:.1f}"),
    ("activation", "activa-\ntion", "{:.3f}"),
    ("seconds", "time\n[s]", "{:.0f}"),
)
"""Metric, heading in two lines and format."""

_STAGES = {"track": "tracking", "search": "searching"}


def tracking_listener(display: ProgressDisplay, *, seconds: float) -> "Callable[[RunProgress], None]":
    """Return a listener for `track_clips`.

    Args:
        display: Shows the progress.
        seconds: Computing time per clip [s].
    """

    def show(moment: "RunProgress") -> None:
        text = progress_text(moment)
        if moment.stage == "plan":
            display.update(None, text, line=text)
            return
        share, left = _share(moment, seconds), (moment.total - moment.done) * seconds - moment.clip_seconds
        left = f" at most {clock(left / max(moment.running, 1))} left"
        display.update(share, text, line=f"{text}{left}", left=left)

    return show


def progress_text(moment: "RunProgress") -> str:
    """State of a run in a few words."""
    if moment.stage == "plan":
        return f"reading clips, {moment.done} of {moment.total}"
    text = f"{moment.done}/{counted(moment.total, 'clip')}"
    if moment.running:
        return f"{text}, {moment.running} in progress"
    if not moment.clip:
        return text
    text = f"{text}  {moment.clip.rpartition('/')[2]}"
    if moment.moment is None:
        return text
    stage = _STAGES.get(moment.moment.stage, moment.moment.stage)
    return f"{text}: {stage} {moment.moment.done}/{moment.moment.total} frames, {moment.moment.reached} followed"


def _share(moment: "RunProgress", seconds: float) -> float:
    """Share of the work: of the current clip, the larger of frames followed and time used."""
    part = 0.99 * min(moment.clip_seconds / seconds, moment.running)
    if moment.clip:
        followed = moment.moment.reached / max(moment.moment.total, 1) if moment.moment is not None else 0.0
        part = min(max(followed, moment.clip_seconds / seconds), 0.99)
    return (moment.done + part) / max(moment.total, 1)


def print_tracks(result: "TrackingRun") -> None:
    """Print a row per track, then the totals."""
    console = clean_console()
    rows = [outcome for outcome in result.outcomes if outcome.track is not None]
    if rows:
        console.print(_table(rows[:ROWS]))
    if len(rows) > ROWS:
        console.print(f"and {len(rows) - ROWS} more; --json has all")
    console.print(printable(totals(result)), markup=False, soft_wrap=True)


def _table(rows: "list[ClipOutcome]") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("clip", overflow="fold")
    for heading in ("frames", *(heading for _, heading, _ in COLUMNS)):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        frames = f"{row.metrics.get('frames', '-')}/{row.metrics.get('frames_total', '-')}"
        cells = [_cell(row.metrics.get(key), form) for key, _, form in COLUMNS]
        verdict = "tracked" if row.status == "tracked" else f"lost {row.seconds_reached:.2f} s"
        table.add_row(ClipName(row.clip), frames, *cells, verdict)
    return table


def _cell(value: object, form: str) -> str:
    return form.format(value) if isinstance(value, int | float) and not isinstance(value, bool) else "-"


def totals(result: "TrackingRun") -> str:
    """One sentence about the whole run."""
    counts = result.counts
    parts = [f"{counts['tracked']} tracked, {counts['lost']} lost"]
    parts += [f"{counts['skipped']} infeasible"] * bool(counts["skipped"])
    parts += [f"{counts['failed']} failed"] * bool(counts["failed"])
    parts += [f"{counts['kept']} kept from earlier runs"] * bool(counts["kept"])
    parts += [f"{counts['planned']} without an up-to-date track"] * bool(counts["planned"])
    return f"{', '.join(parts)}; {clock(result.seconds)}, tracks in {result.root / 'tracks'}"


def compensation_lines(clip: str, facts: Mapping[str, Any]) -> list[str]:
    """Which muscles of an altered body saturate first, and which rise most against the track of the clip's own body.

    Args:
        clip: Path of the clip.
        facts: As of `Compensation.to_dict`.
    """
    saturated = [
        f"{one['muscle']} from {one['first']:.2f} s on ({one['seconds']:.2f} s"
        + (")" if one["seconds_before"] is None else f", {one['seconds_before']:.2f} s before)")
        for one in facts["saturated"]
    ]
    lines = [f"{clip} with {facts['variant']}:", f"  saturated first: {', '.join(saturated) or 'none'}"]
    if facts["risen"] is None:
        return [*lines, "  no track of the clip's own body to compare with; mm-track without these options makes it"]
    for name, key in (("muscles", "risen"), ("groups", "groups")):
        risen = ", ".join(f"{name} +{rise:.2f}" for name, rise in facts[key])
        lines.append(f"  {name} whose mean activation rises most in {facts['seconds']:.2f} s: {risen or 'none'}")
    return [printable(line) for line in lines]


def plan_lines(result: "TrackingRun", *, seconds: float) -> list[str]:
    """What a run would do."""
    counts = result.counts
    lines = [f"track {item.name}: {item.nframe} frames{f', {item.why}' * bool(item.why)}" for item in result.planned]
    if len(lines) > NAMED:
        lines = [*lines[:NAMED], f"and {len(lines) - NAMED} more"]
    done = f"{counts['kept']} up to date, {counts['skipped']} infeasible, {counts['failed']} unusable"
    limit = f"at most {clock(counts['planned'] * seconds)} on one core"
    return [*lines, f"{counts['planned']} to track ({limit}), {done}; nothing written"]


def problem_lines(result: "TrackingRun", *, plan: bool) -> list[str]:
    """A line for each clip that is not tracked to its end, and why the run ended early."""
    noted = [outcome for outcome in result.outcomes if outcome.status != "tracked"]
    lines = [f"{outcome.status} {outcome.clip}: {outcome.reason}" for outcome in noted[:NAMED]]
    lines += [f"and {len(noted) - NAMED} more"] * (len(noted) > NAMED)
    new = sum(outcome.track is not None and not outcome.kept for outcome in result.outcomes)
    if result.stopped:
        lines.append(f"stopped early: {result.stopped}")
    if result.interrupted:
        left = len(result.planned)
        lines.append(f"interrupted; new tracks kept: {new}, clips left: {left}; repeat the command to resume")
    elif result.planned and not plan:
        lines += [f"no track {item.name}{f': {item.why}' * bool(item.why)}" for item in result.planned[:NAMED]]
    return lines


def replay_line(result: "ReplayedTrack") -> str:
    """Result of a replay."""
    if result.difference is None:
        return f"cannot replay {result.clip}: {result.problem}"
    if result.identical:
        return f"identical {result.clip}: {result.steps} control steps, bit for bit"
    note = f"; {result.problem}" if result.problem else ""
    return f"different {result.clip}: up to {result.difference:.3g} m or rad in {result.steps} control steps{note}"
