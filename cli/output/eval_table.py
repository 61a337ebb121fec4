"""PolicyEvaluation as a table: a row per clip, and totals per group of clips."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from musclemap.pipelines.wording import counted

from .console import ClipName, clean_console

if TYPE_CHECKING:
    from musclemap.pipelines.train.evaluation import PolicyEvaluation

ROWS = 60
"""Number of clips shown, the worst first; --json and the HTML report have all."""

Column = tuple[str, str, str, float]

COLUMNS: tuple[Column, ...] = (
    ("coverage", "covered", "{:.0%}", 1.0),
    ("normalised_return", "return", "{:.3f}", 1.0),
    ("root_position_error", "root\n[mm]", "{:.0f}", 1e3),
    ("relative_landmark_error", "landmarks\n[mm]", "{:.0f}", 1e3),
    ("fingertip_error", "fingertips\n[mm]", "{:.1f}", 1e3),
    ("fingertip_in_hand_error", "in the hand\n[mm]", "{:.1f}", 1e3),
    ("joint_angle_error_deg", "joints\n[°]", "{:.1f}", 1.0),
    ("joint_velocity_error", "joints\n[rad/s]", "{:.2f}", 1.0),
    ("activation", "activation", "{:.3f}", 1.0),
    ("effort", "effort", "{:.4f}", 1.0),
    ("contact_agreement", "contacts", "{:.0%}", 1.0),
)
"""Figure, heading, format and factor."""

NARROW = 5
"""Columns that fit into 80 characters."""

WIDE, FINGERS = 120, 25
"""Characters that all columns need without those of the fingers, and these in addition."""

WORDS = {"all": "all clips", "held_out": "held out", "training": "training", "unknown": "unknown"}


def print_evaluation(result: "PolicyEvaluation") -> None:
    """Print the clips, the worst first, then the totals: means over clips and over frames."""
    from musclemap.pipelines.train.evaluation import worst_first

    console = clean_console()
    fingers = result.body.fingertips is not None
    possible = [c for c in COLUMNS if fingers or "finger" not in c[0]]
    shown = possible[: None if console.width >= WIDE + FINGERS * fingers else NARROW]
    columns = [c for c in shown if result.body.free or "root" not in c[0]]
    learned = {judged.result.score.name: judged.trained_on for judged in result.clips}
    rows = worst_first([judged.result for judged in result.clips])
    clips = Table(box=None, pad_edge=False)
    clips.add_column("clip", overflow="fold")
    _add_columns(clips, ("", "failure"), columns)
    for one in rows[:ROWS]:
        group = {True: WORDS["training"], False: WORDS["held_out"], None: ""}[learned[one.score.name]]
        figures = {"coverage": one.score.coverage, **one.score.metrics}
        clips.add_row(ClipName(one.score.name), group, one.score.failure, *_cells(figures, columns))
    console.print(clips)
    if len(rows) > ROWS:
        console.print(f"and {len(rows) - ROWS} better clips; --json has all")
    console.print()
    console.print(_totals(result.totals, columns))
    whole = result.totals["all"]
    console.print(
        f"{whole['steps'] / result.body.control_fps:,.1f} s of motion in {result.seconds:,.1f} s, {result.engine}; "
        f"{counted(whole['bad_steps'], 'step')} with bad physics, {whole['overflow_steps']} with contact overflow",
        markup=False, soft_wrap=True,
    )  # fmt: skip


def _totals(totals: Mapping[str, Mapping[str, Any]], columns: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False)
    _add_columns(table, ("", "tracked", "mean over"), columns)
    for name, total in totals.items():
        if name == "all" and len(totals) == 2:
            continue  # the only group holds all clips
        tracked = f"{total['tracked']} of {total['clips']}"
        table.add_row(WORDS[name], tracked, "clips", *_cells(total["mean"], columns))
        table.add_row("", f"{total['success_rate']:.1%}", "frames", *_cells(total["by_frame"], columns))
    return table


def _add_columns(table: Table, first: Sequence[str], columns: Sequence[Column]) -> None:
    for heading in first:
        table.add_column(heading, no_wrap=True)
    for _, heading, _, _ in columns:
        table.add_column(Text(heading), justify="right", no_wrap=True)


def _cells(figures: Mapping[str, Any], columns: Sequence[Column]) -> list[str]:
    return [form.format(figures[key] * scale) if key in figures else "-" for key, _, form, scale in columns]
