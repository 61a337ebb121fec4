"""Charts of a policy: tracking of a clip, and training."""

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

from .anatomy import SIDE_WORD, joint_title, side_of
from .encoding import MAX_POINTS, Chart, Curve, Section, encode
from .stick_figure import animation

MAX_BYTES = 2**28
"""Largest metrics file [B]: two weeks of a run."""

MAX_LINE = 2**14
"""Longest line of a metrics file [B]; ours have 1 kB."""

MAX_ROWS = 20_000
"""Maximum number of lines read, evenly spaced over the file: far more than the points of a curve."""

LARGEST_METRIC, LARGEST_STEPS = 1e15, 2**53
"""Metrics and steps beyond these limits cannot come from a run, and would flatten the rest of a curve."""

LEARNING = (
    ("Reward (at most 1), and published reward relative to its maximum", "0 to 1", ("reward", "published_reward")),
    ("Fraction of the clip before a failure, and of episodes that terminate", "0 to 1", ("coverage", "terminated")),
    ("Errors", "mm", ("landmark_error_mm", "root_error_mm")),
    ("Mean excitation, and action noise", "", ("excitation", "noise")),
    ("Episode length in steps", "", ("episode_steps",)),
    ("KL divergence from the policy that acted", "", ("kl",)),
    ("Explained variance of the returns", "", ("explained_variance",)),
    ("Control steps per second", "", ("steps_per_second",)),
)
"""Title, unit and metrics of each chart; metrics that a run lacks are left out."""

LARGEST_POSITION = 1e3
"""Configurations beyond this limit [m or rad] come from unstable physics and are not drawn."""

_DRAWN = ("steps", *(key for _, _, keys in LEARNING for key in keys))


def clip_curves(clip: Clip, result: ClipEvaluation, body: SimulationBody) -> dict[str, Any]:
    """Curves of a recorded clip as data for the page; frames after a failure are shaded.

    Args:
        clip: The clip.
        result: Evaluation of the policy on the clip, with a recording.
        body: Body that the policy moved.
    """
    recording, score = result.recording, result.score
    assert recording is not None
    nframe = len(recording.qpos)
    sections = [
        _errors(recording, body, covered=score.covered),
        *_joints(clip, recording, body),
        _muscles(clip, recording, body),
    ]
    failure = {"rule": "failure", "limit": 0, "frames": [[score.covered + 1, nframe]], "dropped": 0}
    return {
        "fps": clip.fps,
        "nframe": nframe,
        "curves": encode(sections, nframe=nframe, fps=clip.fps),
        "animation": _animation(clip, recording, body),
        "reasons": [] if score.success else [failure],
    }


def _animation(clip: Clip, recording: Recording, body: SimulationBody) -> dict[str, Any]:
    """Landmarks of the policy and of the clip. The policy stays at its last pose before physics became unstable."""
    bad = np.flatnonzero(~np.all(np.abs(recording.qpos) < LARGEST_POSITION, axis=1))  # NaN is not smaller
    stop = int(bad[0]) if bad.size else len(recording.qpos)
    data, position = mujoco.MjData(body.model), np.empty((stop, len(body.landmark_ids), 3))
    for frame, qpos in enumerate(recording.qpos[:stop]):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(body.model, data)
        position[frame] = data.xpos[body.landmark_ids]
    tracks = [("policy", position), ("reference", clip.landmark_pos[: len(recording.qpos)])]
    return animation(tracks, body.landmark_names, fps=clip.fps)


def _with_first(values: Any, first: float) -> np.ndarray:
    """Prepend the value of the first frame, in which the body matches the reference, to the values of the steps."""
    return np.concatenate([[first], np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)])


def _errors(recording: Recording, body: SimulationBody, *, covered: int) -> Section:
    measures = recording.step_metrics
    earned = np.where(np.arange(len(measures.published)) < covered, measures.published, 0.0) / MAX_PUBLISHED_REWARD
    distances = tuple(
        Curve(name=name, side=side, values=1e3 * _with_first(values, 0.0))
        for name, side, values in (
            ("root", "", measures.root_position_error),
            ("landmarks from the root", "r", measures.relative_landmark_error),
            ("landmarks in the world", "l", measures.absolute_landmark_error),
        )
        if body.free or name != "root"
    )
    reward = Curve(name="reward", values=_with_first(earned, 1.0))
    charts = (
        Chart(title="Distance from the reference", unit="mm", curves=distances, least=10.0, wide=True),
        Chart(
            title="Published reward relative to its maximum; zero after a failure",
            unit="0 to 1",
            curves=(reward,),
            least=0.1,
            wide=True,
        ),
    )
    return Section(title="Errors", charts=charts)


def _joints(clip: Clip, recording: Recording, body: SimulationBody) -> list[Section]:
    """Independent joints with their limits; the reference is dashed."""
    model, nframe = body.model, len(recording.qpos)
    ref_qpos = clip.qpos[:nframe, body.clip_qpos]
    charts: dict[tuple[str, str], list[Curve]] = {}
    for joint, name in zip(body.joint_ids, body.joint_names, strict=True):
        column, hinge = model.jnt_qposadr[joint], model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE
        unit, scale = ("°", math.degrees(1.0)) if hinge else ("cm", 100.0)
        stem, side = side_of(name)
        side_word = SIDE_WORD.get(side, "")
        low, high = model.jnt_range[joint] * scale
        values, reference = recording.qpos[:, column] * scale, ref_qpos[:, column] * scale
        charts.setdefault((stem, unit), []).extend(
            (
                Curve(
                    name=f"{side_word} policy".strip(), side=side, values=values, lower=float(low), upper=float(high)
                ),
                Curve(name=f"{side_word} reference".strip(), side=side, values=reference, dashed=True),
            )
        )
    joint_charts = tuple(
        Chart(title=joint_title(stem)[0], unit=unit, curves=tuple(curves), label=joint_title(stem)[1])
        for (stem, unit), curves in charts.items()
    )
    return [Section(title="Joints (reference dashed)", charts=joint_charts)]


def _muscles(clip: Clip, recording: Recording, body: SimulationBody) -> Section:
    nframe = len(recording.qpos)
    curves = [Curve(name="policy", values=recording.act.mean(axis=1))]
    if clip.activation is not None:
        ref_activation = clip.activation[:nframe, body.clip_act].mean(axis=1)
        curves.append(Curve(name="static optimisation", values=ref_activation, dashed=True))
    effort = np.sqrt(recording.step_metrics.effort)
    charts = (
        Chart(title="Mean activation", unit="0 to 1", curves=tuple(curves), least=0.05, wide=True),
        Chart(
            title="Root mean square of the excitations", unit="0 to 1", least=0.05, wide=True,
            curves=(Curve(name="policy", values=_with_first(effort, float(effort[0]))),),
        ),
    )  # fmt: skip
    return Section(title="Muscles", charts=charts)


def learning_curves(run: Path) -> dict[str, Any] | None:
    """Curves of a run's metrics over control steps; None if fewer than two rows are available.

    Raises:
        FileError: If the metrics file is too large or cannot be read.
    """
    rows = _read_rows(run / METRICS)
    if len(rows) < 2:
        return None
    steps = np.array([row["steps"] for row in rows], float)
    count = min(len(rows), MAX_POINTS)
    grid = np.linspace(steps[0], steps[-1], count)
    charts = [chart for spec in LEARNING if (chart := _learning_chart(rows, steps, grid, *spec)) is not None]
    if not charts:
        return None
    scale, unit = next(
        ((10.0**k, prefix) for k, prefix in ((6, " M"), (3, " k")) if steps[-1] >= 10.0 ** (k + 1)), (1, "")
    )
    fps = (count - 1) * scale / (steps[-1] - steps[0])
    section = Section(title="Over control steps", charts=tuple(charts))
    curves = encode([section], nframe=count, fps=fps)
    return {"fps": fps, "nframe": count, "curves": curves, "reasons": [], "unit": unit}


def _learning_chart(
    rows: list[Mapping[str, float]], steps: np.ndarray, grid: np.ndarray, title: str, unit: str, keys: tuple[str, ...]
) -> Chart | None:
    """Chart of the available metrics, interpolated over rows with non-finite values; None if there are none."""
    curves = []
    for key, side in zip(keys, ("l", "r"), strict=False):
        values = np.array([row[key] for row in rows])
        finite = np.isfinite(values)
        if finite.sum() < 2:
            continue
        scale = 1.0 / MAX_PUBLISHED_REWARD if key == "published_reward" else 1.0
        drawn = np.interp(grid, steps[finite], values[finite] * scale)
        curves.append(Curve(name=key.removesuffix("_mm").replace("_", " "), side=side, values=drawn))
    return Chart(title=title, unit=unit, curves=tuple(curves), least=1e-3) if curves else None


def _read_rows(path: Path) -> list[Mapping[str, float]]:
    """Read the metrics of a run in order of steps; rows that a resumed run repeats replace the earlier ones."""
    if not os.path.lexists(path):
        return []
    data = read_bytes(path, limit=MAX_BYTES)
    every = data.count(b"\n") // MAX_ROWS + 1
    rows: list[Mapping[str, float]] = []
    for number, line in enumerate(io.BytesIO(data)):
        if number % every or len(line) > MAX_LINE:
            continue
        row = _parse_row(line)
        if row is not None:
            while rows and rows[-1]["steps"] >= row["steps"]:
                rows.pop()
            rows.append(row)
    return rows


def _parse_row(line: bytes) -> Mapping[str, float] | None:
    """Parse the metrics to draw from one line; None if it is damaged, as the last line of a killed run can be."""
    try:
        row = parse_json(line)
    except FileError:
        return None
    if not isinstance(row, dict) or not _number(row.get("steps"), limit=LARGEST_STEPS) >= 0:
        return None
    return {key: _number(row.get(key), limit=LARGEST_STEPS if key == "steps" else LARGEST_METRIC) for key in _DRAWN}


def _number(value: Any, *, limit: float) -> float:
    """Convert a value to a float; NaN if it is not a number or exceeds a limit."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= limit else math.nan
