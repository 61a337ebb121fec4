"""Scores of clips from the figures of their steps, and totals over clips.

After a failure a clip earns nothing more, and its frames do not count as covered. Errors are given twice: over the
frames before the failure, and, with the ending `_to_end`, over all that were simulated, falls and all. A clip that is
tracked to its end has the same of both.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from musclemap.imitation.task.measures import Measures
from musclemap.imitation.task.reward import PUBLISHED_MOST

ERRORS = (
    "root_position_error", "root_position_rms_axis", "joint_angle_error", "joint_angle_error_deg",
    "joint_velocity_error", "relative_landmark_error", "absolute_landmark_error",
)  # fmt: skip
"""Means over frames. `root_position_error` is the mean distance [m]; `root_position_rms_axis` is what the published
code calls by that name, a root mean square over the three axes, which is smaller by sqrt(3)."""

OTHERS = ("activation", "effort", "contact_agreement")
"""Means over the frames before a failure."""

TO_END = "_to_end"


@dataclass(frozen=True, kw_only=True)
class ClipScore:
    """How well a clip was tracked.

    Attributes:
        name: The clip.
        steps: Control steps from its first frame to its last.
        covered: Steps before the failure; all where there is none.
        simulated: Steps that were simulated.
        failure: "landmarks", "root" or "physics": what failed first; empty where nothing did.
        metrics: Figures by name; those that do not apply are left out.
    """

    name: str
    steps: int
    covered: int
    simulated: int
    failure: str
    metrics: Mapping[str, float]

    @property
    def success(self) -> bool:
        """Tracked to its end."""
        return not self.failure

    @property
    def coverage(self) -> float:
        """Share of the steps before the failure."""
        return self.covered / self.steps

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        own = {key: getattr(self, key) for key in ("name", "success", "failure", "steps", "covered", "simulated")}
        return own | {"coverage": self.coverage, **self.metrics}


def score_clip(name: str, curves: Measures, *, steps: int, root_limit: float) -> ClipScore:
    """Score a clip.

    Args:
        name: The clip.
        curves: Figures of every step that was simulated, from the first on, shapes (nsimulated,).
        steps: Steps that the clip has.
        root_limit: Distance of the root that is a failure [m]; it tells which limit was broken.
    """
    failed = np.flatnonzero(curves.failed)
    covered = int(failed[0]) if len(failed) else len(curves.failed)
    failure = ""
    if len(failed):
        root = curves.root_position_error[covered] > root_limit
        failure = "physics" if curves.bad[covered] else "root" if root else "landmarks"
    fine = int(np.flatnonzero(curves.bad)[0]) if curves.bad.any() else len(curves.bad)
    before, errors, to_end = _means(curves, covered), _errors(curves, covered), _errors(curves, fine)
    metrics = {
        "normalised_return": float(np.sum(curves.published[:covered], dtype=np.float64)) / (PUBLISHED_MOST * steps),
        **errors,
        **{key: before[key] for key in OTHERS},
        **{key + TO_END: value for key, value in to_end.items()},
        "bad_steps": int(np.sum(curves.bad)),
        "overflow_steps": int(np.sum(curves.overflow)),
    }
    return ClipScore(
        name=name,
        steps=steps,
        covered=covered,
        simulated=len(curves.failed),
        failure=failure,
        metrics={key: value for key, value in metrics.items() if not math.isnan(value)},
    )


def _means(curves: Measures, count: int) -> dict[str, float]:
    """Means over the first steps; NaN where there are none."""
    parts = {name: np.asarray(values[:count], np.float64) for name, values in curves._asdict().items()}
    return {name: float(part.mean()) if count else math.nan for name, part in parts.items()}


def _errors(curves: Measures, count: int) -> dict[str, float]:
    means = _means(curves, count)
    means["root_position_rms_axis"] = means["root_position_error"] / math.sqrt(3.0)
    means["joint_angle_error_deg"] = math.degrees(means["joint_angle_error"])
    return {name: means[name] for name in ERRORS}


def totals(scores: Sequence[ClipScore]) -> dict[str, Any]:
    """Totals over clips.

    Returns:
        `clips`, `tracked`, `success_rate`, `steps`; `mean`, where every clip counts the same, and `by_frame`, where
        every frame does, of `coverage` and the metrics; sums `bad_steps` and `overflow_steps`. Clips without a figure,
        such as errors of a clip that failed at once, are left out of its mean.
    """
    mean: dict[str, float] = {}
    by_frame: dict[str, float] = {}
    for key in ("coverage", "normalised_return", *ERRORS, *OTHERS, *(name + TO_END for name in ERRORS)):
        result = [(value, _frames(score, key)) for score in scores if (value := _figure(score, key)) is not None]
        if result:
            values, frames = np.array(result).T
            mean[key], by_frame[key] = float(values.mean()), float(values @ frames / frames.sum())
    tracked = sum(score.success for score in scores)
    return {
        "clips": len(scores),
        "tracked": tracked,
        "success_rate": tracked / max(len(scores), 1),
        "steps": sum(score.steps for score in scores),
        "mean": mean,
        "by_frame": by_frame,
        **{key: int(sum(score.metrics[key] for score in scores)) for key in ("bad_steps", "overflow_steps")},
    }


def _figure(score: ClipScore, key: str) -> float | None:
    return score.coverage if key == "coverage" else score.metrics.get(key)


def _frames(score: ClipScore, key: str) -> int:
    """How many frames a figure of a clip is of."""
    if key in ("coverage", "normalised_return"):
        return score.steps
    return score.simulated if key.endswith(TO_END) else score.covered
