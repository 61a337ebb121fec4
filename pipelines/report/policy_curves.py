"""What is drawn of a policy: how it tracked a clip, and how it learned."""

import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.errors import FileError
from musclemap.files import parse_json, read_bytes
from musclemap.imitation.eval.evaluation import ClipEvaluation, Recording
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.runs.logs import METRICS
from musclemap.imitation.task.reward import MAX_PUBLISHED_REWARD

from .encoding import MAX_POINTS, Line, Panel, Section, encode
from .sides import SIDE_WORD, side_of

MAX_BYTES = 2**28
"""Largest file of figures [B]: two weeks of a run."""

MAX_LINE = 2**14
"""Longest line of it [B]; ours have 1 kB."""

MAX_MOMENTS = 20_000
"""Most lines that are looked at, evenly over the file: far more than a curve has points."""

LARGEST_FIGURE, LARGEST_STEPS = 1e15, 2**53
"""Figures and steps beyond these are no figures of a run; they would make others invisible in a curve."""

LEARNING = (
    ("Reward (at most 1) and published reward over its most", "0 to 1", ("reward", "published_reward")),
    ("Share of the clip before a failure, and of episodes that terminate", "0 to 1", ("coverage", "terminated")),
    ("Errors", "mm", ("landmark_error_mm", "root_error_mm")),
    ("Mean excitation, and noise of the actions", "", ("excitation", "noise")),
    ("Steps of an episode", "", ("episode_steps",)),
    ("KL divergence of an update", "", ("kl",)),
    ("Variance of the returns that the value explains", "", ("explained_variance",)),
    ("Control steps a second", "", ("steps_per_second",)),
)
"""Title, unit and figures of each panel; those that a run does not have are left out."""

_DRAWN = ("steps", *(key for _, _, keys in LEARNING for key in keys))


def clip_curves(clip: Clip, result: ClipEvaluation, body: SimulationBody) -> dict[str, Any]:
    """Curves of a clip that was recorded, as the page draws them; frames after a failure are shaded.

    Args:
        clip: The clip.
        result: What the policy made of it.
        body: What the policy moved.
    """
    recording, score = result.recording, result.score
    assert recording is not None
    nframe = len(recording.qpos)
    sections = [
        _errors(recording, body, covered=score.covered),
        *_joints(clip, recording, body),
        _muscles(clip, recording, body),
    ]
    lost = {"rule": "lost", "limit": 0, "frames": [[score.covered + 1, nframe]], "lost": 0}
    return {
        "fps": clip.fps,
        "nframe": nframe,
        "curves": encode(sections, nframe=nframe, fps=clip.fps),
        "reasons": [] if score.success else [lost],
    }


def _from_first(values: Any, first: float) -> np.ndarray:
    """Figures of the steps, with that of the first frame before them, in which the body is the reference."""
    return np.concatenate([[first], np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)])


def _errors(recording: Recording, body: SimulationBody, *, covered: int) -> Section:
    curves = recording.step_metrics
    earned = np.where(np.arange(len(curves.published)) < covered, curves.published, 0.0) / MAX_PUBLISHED_REWARD
    distances = tuple(
        Line(name=name, side=side, values=1e3 * _from_first(values, 0.0))
        for name, side, values in (
            ("root", "", curves.root_position_error),
            ("landmarks from the root", "r", curves.relative_landmark_error),
            ("landmarks in the world", "l", curves.absolute_landmark_error),
        )
        if body.free or name != "root"
    )
    reward = Line(name="reward", values=_from_first(earned, 1.0))
    panels = (
        Panel(title="Distance from the reference", unit="mm", lines=distances, least=10.0, wide=True),
        Panel(
            title="Published reward over its most; nothing counts after a loss",
            unit="0 to 1",
            lines=(reward,),
            least=0.1,
            wide=True,
        ),
    )
    return Section(title="Errors", panels=panels)


def _joints(clip: Clip, recording: Recording, body: SimulationBody) -> list[Section]:
    """Independent joints with their limits, the reference dashed."""
    model, nframe = body.model, len(recording.qpos)
    requested = clip.qpos[:nframe, body.clip_qpos]
    panels: dict[tuple[str, str], list[Line]] = {}
    for joint, name in zip(body.joint_ids, body.joint_names, strict=True):
        column, hinge = model.jnt_qposadr[joint], model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE
        unit, scale = ("deg", math.degrees(1.0)) if hinge else ("cm", 100.0)
        stem, side = side_of(name)
        word = SIDE_WORD.get(side, "")
        low, high = model.jnt_range[joint] * scale
        values, reference = recording.qpos[:, column] * scale, requested[:, column] * scale
        panels.setdefault((stem, unit), []).extend(
            (
                Line(name=f"{word} policy".strip(), side=side, values=values, lower=float(low), upper=float(high)),
                Line(name=f"{word} reference".strip(), side=side, values=reference, dashed=True),
            )
        )
    result = tuple(Panel(title=stem, unit=unit, lines=tuple(lines)) for (stem, unit), lines in panels.items())
    return [Section(title="Joints, the reference dashed", panels=result)]


def _muscles(clip: Clip, recording: Recording, body: SimulationBody) -> Section:
    nframe = len(recording.qpos)
    lines = [Line(name="policy", values=recording.act.mean(axis=1))]
    if clip.activation is not None:
        requested = clip.activation[:nframe, body.clip_act].mean(axis=1)
        lines.append(Line(name="least that would do", values=requested, dashed=True))
    effort = np.sqrt(recording.step_metrics.effort)
    panels = (
        Panel(title="Mean activation", unit="0 to 1", lines=tuple(lines), least=0.05, wide=True),
        Panel(
            title="Root mean square of the excitations", unit="0 to 1", least=0.05, wide=True,
            lines=(Line(name="policy", values=_from_first(effort, float(effort[0]))),),
        ),
    )  # fmt: skip
    return Section(title="Muscles", panels=panels)


def learning_curves(run: Path) -> dict[str, Any] | None:
    """Curves of a run's figures over control steps; None where there are not two moments of it.

    Raises:
        FileError: The file of figures cannot be read, or is too large.
    """
    rows = _moments(run / METRICS)
    if len(rows) < 2:
        return None
    steps = np.array([row["steps"] for row in rows], float)
    count = min(len(rows), MAX_POINTS)
    grid = np.linspace(steps[0], steps[-1], count)
    panels = [panel for spec in LEARNING if (panel := _learning_panel(rows, steps, grid, *spec)) is not None]
    if not panels:
        return None
    scale, unit = next(((10.0**k, word) for k, word in ((6, " M"), (3, " k")) if steps[-1] >= 10.0 ** (k + 1)), (1, ""))
    fps = (count - 1) * scale / (steps[-1] - steps[0])
    section = Section(title="Over control steps", panels=tuple(panels))
    curves = encode([section], nframe=count, fps=fps)
    return {"fps": fps, "nframe": count, "curves": curves, "reasons": [], "unit": unit}


def _learning_panel(
    rows: list[Mapping[str, float]], steps: np.ndarray, grid: np.ndarray, title: str, unit: str, keys: tuple[str, ...]
) -> Panel | None:
    """A panel with those of its figures that there are, drawn through moments at which they are numbers."""
    lines = []
    for key, side in zip(keys, ("l", "r"), strict=False):
        values = np.array([row[key] for row in rows])
        there = np.isfinite(values)
        if there.sum() < 2:
            continue
        scale = 1.0 / MAX_PUBLISHED_REWARD if key == "published_reward" else 1.0
        drawn = np.interp(grid, steps[there], values[there] * scale)
        lines.append(Line(name=key.removesuffix("_mm").replace("_", " "), side=side, values=drawn))
    return Panel(title=title, unit=unit, lines=tuple(lines), least=1e-3) if lines else None


def _moments(path: Path) -> list[Mapping[str, float]]:
    """Lines of a run's figures in the order of their steps; what a resumed run went through again counts once."""
    if not os.path.lexists(path):
        return []
    data = read_bytes(path, limit=MAX_BYTES)
    every = data.count(b"\n") // MAX_MOMENTS + 1
    rows: list[Mapping[str, float]] = []
    for number, line in enumerate(io.BytesIO(data)):
        if number % every or len(line) > MAX_LINE:
            continue
        row = _moment(line)
        if row is not None:
            while rows and rows[-1]["steps"] >= row["steps"]:
                rows.pop()
            rows.append(row)
    return rows


def _moment(line: bytes) -> Mapping[str, float] | None:
    """The figures of a line that are drawn; None where it is damaged, as the last one of a killed run may be."""
    try:
        row = parse_json(line)
    except FileError:
        return None
    if not isinstance(row, dict) or not _number(row.get("steps"), most=LARGEST_STEPS) >= 0:
        return None
    return {key: _number(row.get(key), most=LARGEST_STEPS if key == "steps" else LARGEST_FIGURE) for key in _DRAWN}


def _number(value: Any, *, most: float) -> float:
    """A number, or NaN where the value is none or is beyond a limit."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= most else math.nan
