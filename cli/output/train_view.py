"""What a training run tells a person: what it will do, then a table that is kept up to date."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table
from rich.text import Text

from .console import clean_console

if TYPE_CHECKING:
    from musclemap.pipelines.train.plan import Plan
    from musclemap.pipelines.train.training import Moment

LINE_SECONDS = 60.0
"""Time between two lines where there is no terminal [s]."""

PUBLISHED_STEPS = 2e9
"""Control steps in which one walking clip was learned (MuscleMimic, arXiv 2603.25544)."""

CPU_STEPS = 90
"""Control steps a second that a core makes of MyoFullBody (460 physics steps a second, 5 a control step)."""

_ROWS = (
    ("steps", "control steps", "{:,.0f}"),
    ("steps_per_second", "steps a second", "{:,.0f}"),
    ("reward", "reward (at most 1)", "{:.3f}"),
    ("published_reward", "published reward (at most 1.21)", "{:.3f}"),
    ("coverage", "share of the clip before a failure", "{:.2f}"),
    ("terminated", "terminated episodes", "{:.0%}"),
    ("landmark_error_mm", "landmark error [mm]", "{:.0f}"),
    ("root_error_mm", "root error [mm]", "{:.0f}"),
    ("excitation", "mean excitation", "{:.3f}"),
    ("kl", "KL of an update", "{:.4f}"),
    ("imagined_reward", "imagined reward (at most 1)", "{:.3f}"),
    ("model_error_mm_8", "model's error after 8 steps [mm]", "{:.1f}"),
    ("horizon", "steps imagined", "{:.0f}"),
)

_OF_ONE_ALGORITHM = ("kl", "imagined_reward", "model_error_mm_8", "horizon")
"""Figures that are not shown where there are none."""


def plan_lines(plan: "Plan", run: Path, *, max_seconds: float | None, max_steps: int | None) -> list[str]:
    """What a run will do, in sentences; on a machine without a GPU, what to expect of it."""
    body, config = plan.body, plan.config
    bare = plan.library.without_activation
    lines = [
        f"{body.name}: {body.model.nu} muscles, {len(body.joint_ids)} independent joints"
        + (" and a free root" if body.free else ""),
        f"{len(plan.library.names)} clips, {plan.seconds / 60:.1f} minutes"
        + (f"; {bare} without muscle activations (mm-validate --muscles adds them)" if bare else ""),
        f"{plan.algorithm} in {config.num_envs:,} worlds of {'MuJoCo Warp' if plan.engine == 'warp' else 'MuJoCo'}, "
        f"{body.control_fps:g} control steps a second, seed {config.seed}; networks on {plan.device}",
        f"to {run}, {_until(max_seconds, max_steps)}",
    ]
    if plan.engine == "mujoco" and body.model.nu > 100:
        lines.append(_without_gpu(plan.algorithm))
    return lines


def _without_gpu(algorithm: str) -> str:
    """What to expect of a processor."""
    speed = f"without a GPU a core makes about {CPU_STEPS} control steps a second of this body"
    if algorithm == "world-model":
        return (
            f"{speed}, and imagining them takes as long: set world_model.hidden, .batch_size and .dynamics.hidden low. "
            "Expect a body that stays up a little longer than at first, no walking"
        )
    days = PUBLISHED_STEPS / CPU_STEPS / 86400
    return (
        f"{speed}; the published recipe takes {PUBLISHED_STEPS:.0e} for one walking clip, {days:,.0f} days of a core. "
        "Expect a body that stays up a little longer than at first, no walking"
    )


def _until(max_seconds: float | None, max_steps: int | None) -> str:
    parts = [f"{max_seconds:,.0f} s"] if max_seconds is not None else []
    parts += [f"{max_steps:,} control steps in all"] if max_steps is not None else []
    return f"for {' or '.join(parts)}" if parts else "until Ctrl-C"


@contextmanager
def show_training(
    *, hidden: bool, max_seconds: float | None, max_steps: int | None
) -> Iterator[Callable[["Moment"], None]]:
    """Give a listener for `train`: a table on a terminal, else a line a minute on stderr."""
    console = clean_console(err=True)
    started = time.monotonic()
    left = lambda figures: _left(figures, started, max_seconds, max_steps)  # noqa: E731
    if hidden:
        yield lambda moment: None
    elif console.is_terminal:
        with Live(console=console, refresh_per_second=2) as live:
            yield lambda moment: live.update(_table(moment.figures, left(moment.figures)))
    else:
        last = [-math.inf]

        def show(moment: "Moment") -> None:
            if moment.final or time.monotonic() - last[0] >= LINE_SECONDS:
                last[0] = time.monotonic()
                console.print(training_line(moment.figures, left(moment.figures)), markup=False, soft_wrap=True)

        yield show


def training_line(figures: Mapping[str, float], left: str) -> str:
    """Figures of one moment on a line."""
    message = (
        ("steps_per_second", "{:,.0f} a second"), ("reward", "reward {:.3f}"), ("coverage", "coverage {:.2f}"),
        ("landmark_error_mm", "landmarks {:.0f} mm"),
    )  # fmt: skip
    parts = [form.format(figures[name]) for name, form in message if not math.isnan(figures.get(name, math.nan))]
    return ", ".join([f"{figures['steps']:,.0f} steps", *parts, f"{left} left"])


def _table(figures: Mapping[str, float], left: str) -> Table:
    table = Table(show_header=False, box=None)
    for name, message, form in _ROWS:
        if name in _OF_ONE_ALGORITHM and name not in figures:
            continue
        value = figures.get(name, math.nan)
        table.add_row(Text(message), "-" if math.isnan(value) else form.format(value))
    table.add_row("time left", left)
    return table


def _left(figures: Mapping[str, float], started: float, max_seconds: float | None, max_steps: int | None) -> str:
    rest = []
    if max_seconds is not None:
        rest.append(max_seconds - (time.monotonic() - started))
    if max_steps is not None and figures.get("steps_per_second"):
        rest.append((max_steps - figures["steps"]) / figures["steps_per_second"])
    if not rest:
        return "no end of time"
    seconds = max(round(min(rest)), 0)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
