"""Text output of a training run: its plan, then a live table of its figures."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from musclemap.pipelines.wording import counted

from .progress import ProgressDisplay, clock

if TYPE_CHECKING:
    from musclemap.pipelines.train.plan import TrainingPlan
    from musclemap.pipelines.train.training import TrainingProgress

PUBLISHED_STEPS = 2e9
"""Control steps that the published recipe takes to learn one walking clip (MuscleMimic, arXiv 2603.25544)."""

CPU_STEPS = 90
"""Control steps of MyoFullBody that a core simulates per second (460 physics steps, 5 per control step)."""

_ROWS = (
    ("steps", "control steps", "{:,.0f}"),
    ("steps_per_second", "steps per second", "{:,.0f}"),
    ("reward", "reward (at most 1)", "{:.3f}"),
    ("published_reward", "published reward (at most 1.21)", "{:.3f}"),
    ("coverage", "clip tracked before failure", "{:.2f}"),
    ("terminated", "terminated episodes", "{:.0%}"),
    ("landmark_error_mm", "landmark error [mm]", "{:.0f}"),
    ("root_error_mm", "root error [mm]", "{:.0f}"),
    ("excitation", "mean excitation", "{:.3f}"),
    ("kl", "KL divergence of an update", "{:.4f}"),
    ("start_kl", "KL divergence from the starting policy", "{:.3f}"),
    ("imagined_reward", "imagined reward (at most 1)", "{:.3f}"),
    ("model_error_mm_8", "model error after 8 steps [mm]", "{:.1f}"),
    ("horizon", "imagined steps", "{:.0f}"),
    ("round", "round", "{:.0f}"),
    ("labels", "labels of the controller", "{:,.0f}"),
    ("imitation_loss", "imitation loss", "{:.4f}"),
    ("student_survived", "frames survived by the policy alone", "{:.0%}"),
    ("student_return", "its normalised return", "{:.3f}"),
)

_OPTIONAL = (
    "kl",
    "start_kl",
    "imagined_reward",
    "model_error_mm_8",
    "horizon",
    "round",
    "labels",
    "imitation_loss",
    "student_survived",
    "student_return",
)
"""Figures of one algorithm only; left out if missing."""


def plan_lines(plan: "TrainingPlan", run: Path, *, max_seconds: float | None, max_steps: int | None) -> list[str]:
    """Describe what a run will do and, without a GPU, what to expect from it."""
    body, config = plan.body, plan.config
    bare = plan.library.without_activation
    lines = [
        f"{body.name}: {body.model.nu} muscles, {len(body.joint_ids)} independent joints"
        + (" and a free root" if body.free else ""),
        f"{counted(len(plan.library.names), 'clip')}, {plan.seconds / 60:.1f} minutes"
        + (f"; {bare} without muscle activations (mm-validate --muscles adds them)" if bare else ""),
        f"{plan.algorithm} in {config.num_envs:,} worlds of {'MuJoCo Warp' if plan.engine == 'warp' else 'MuJoCo'}, "
        f"{body.control_fps:g} control steps per second, seed {config.seed}; networks on {plan.device}",
        f"to {run}, {_until(max_seconds, max_steps)}",
    ]
    if plan.tracks:
        others = len(plan.clips) - len(plan.tracks)
        lines.append(
            f"the teacher holds to the stored track of {counted(len(plan.tracks), 'clip')}"
            + (f", and to the tracking controller's motion of {others} more" if others else "")
        )
    if plan.engine == "mujoco" and body.model.nu > 100:
        lines.append(_without_gpu(plan.algorithm))
    return lines


def _without_gpu(algorithm: str) -> str:
    """What to expect from training on a CPU."""
    speed = f"without a GPU, a core simulates about {CPU_STEPS} control steps of this body per second"
    if algorithm == "world-model":
        return (
            f"{speed}, and imagined steps take as long: set world_model.hidden, .batch_size and .dynamics.hidden low. "
            "Expect a body that stays up slightly longer than at the start, but does not walk"
        )
    if algorithm == "dagger":
        return (
            f"{speed}; the teacher's linear model takes minutes a clip. "
            "A policy cannot follow a clip that neither mm-track has tracked nor the tracking controller can follow"
        )
    days = PUBLISHED_STEPS / CPU_STEPS / 86400
    return (
        f"{speed}; the published recipe takes {PUBLISHED_STEPS:.0e} for one walking clip, {days:,.0f} days on a core. "
        "Expect a body that stays up slightly longer than at the start, but does not walk"
    )


def _until(max_seconds: float | None, max_steps: int | None) -> str:
    parts = [f"{max_seconds:,.0f} s"] if max_seconds is not None else []
    parts += [f"{max_steps:,} control steps in total"] if max_steps is not None else []
    return f"for {' or '.join(parts)}" if parts else "until Ctrl-C"


def training_listener(
    display: ProgressDisplay, *, max_seconds: float | None, max_steps: int | None
) -> Callable[["TrainingProgress"], None]:
    """Return a listener for `train`.

    Args:
        display: Shows a table on a terminal, otherwise the first line, one per minute, and the last.
        max_seconds: Time limit of this command [s]; None for none.
        max_steps: Limit of the run's control steps; None for none.
    """
    started = time.monotonic()
    first = True

    def show(moment: "TrainingProgress") -> None:
        nonlocal first
        left = _time_left(moment.figures, started, max_seconds, max_steps)
        table, line = figure_table(moment.figures, left), training_line(moment.figures, left)
        display.show_table(table, line=line, now=first or moment.final)
        first = False

    return show


def training_line(figures: Mapping[str, float], left: str) -> str:
    """Current figures as one line."""
    shown = (
        ("steps_per_second", "{:,.0f} per second"), ("reward", "reward {:.3f}"), ("coverage", "coverage {:.2f}"),
        ("landmark_error_mm", "landmarks {:.0f} mm"),
    )  # fmt: skip
    parts = [form.format(figures[name]) for name, form in shown if not math.isnan(figures.get(name, math.nan))]
    return ", ".join([f"{figures['steps']:,.0f} steps", *parts, *([f"{left} left"] if left else [])])


def figure_table(figures: Mapping[str, float], left: str) -> Table:
    """Current figures as a table; `left` is empty if the run has no limit."""
    table = Table(show_header=False, box=None)
    for name, heading, form in _ROWS:
        if name in _OPTIONAL and name not in figures:
            continue
        value = figures.get(name, math.nan)
        table.add_row(Text(heading), "-" if math.isnan(value) else form.format(value))
    table.add_row("time left", left or "until Ctrl-C")
    return table


def _time_left(figures: Mapping[str, float], started: float, max_seconds: float | None, max_steps: int | None) -> str:
    """Time to the nearer limit; empty if there is none."""
    left = []
    if max_seconds is not None:
        left.append(max_seconds - (time.monotonic() - started))
    if max_steps is not None and figures.get("steps_per_second"):
        left.append((max_steps - figures["steps"]) / figures["steps_per_second"])
    return clock(min(left)) if left else ""
