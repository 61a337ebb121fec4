"""Scores of clips, computed from their step metrics, and totals over clips.

After a failure a clip earns no more reward, and its frames do not count as covered. Errors are reported twice: over the
frames before the failure, and, with the suffix `_to_end`, over all simulated frames, including falls. For a clip that
is tracked to its end both are equal.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from musclemap.imitation.task.reward import MAX_PUBLISHED_REWARD
from musclemap.imitation.task.step_metrics import StepMetrics

ERRORS = (
    "root_position_error", "root_position_rms_axis", "joint_angle_error", "joint_angle_error_deg",
    "joint_velocity_error", "relative_landmark_error", "absolute_landmark_error", "fingertip_error",
    "fingertip_in_hand_error",
)  # fmt: skip
"""Errors averaged over frames. `root_position_error` is the mean distance [m]; `root_position_rms_axis` is what the
published code calls by that name, the root mean square over the three axes, which is smaller by sqrt(3)."""

OTHER_MEANS = ("activation", "effort", "contact_agreement")
"""Other metrics averaged over the frames before a failure."""

TO_END = "_to_end"


@dataclass(frozen=True, kw_only=True)
class ClipScore:
    """How well a clip was tracked.

    Attributes:
        name: Name of the clip.
        steps: Control steps from its first frame to its last.
        covered: Steps before the failure; all steps if there is none.
        simulated: Simulated steps.
        failure: Cause of the first failure: "landmarks", "root" or "physics"; empty if there is none.
        metrics: Metrics by name, without those that do not apply.
    """

    name: str
    steps: int
    covered: int
    simulated: int
    failure: str
    metrics: Mapping[str, float]

    @property
    def success(self) -> bool:
        """Whether the clip was tracked to its end."""
        return not self.failure

    @property
    def coverage(self) -> float:
        """Fraction of the steps before the failure."""
        return self.covered / self.steps

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        fields = {key: getattr(self, key) for key in ("name", "success", "failure", "steps", "covered", "simulated")}
        return fields | {"coverage": self.coverage, **self.metrics}


def score_clip(name: str, step_metrics: StepMetrics, *, steps: int, root_limit: float) -> ClipScore:
    """Score a clip.

    Args:
        name: Name of the clip.
        step_metrics: Metrics of all simulated steps, starting with the first, shapes (nsimulated,).
        steps: Control steps of the clip.
        root_limit: Failure limit of the root's distance [m], used to tell the causes of failure apart.
    """
    terminations = np.flatnonzero(step_metrics.terminated)
    covered = int(terminations[0]) if len(terminations) else len(step_metrics.terminated)
    failure = ""
    if len(terminations):
        root_failed = step_metrics.root_position_error[covered] > root_limit
        failure = "physics" if step_metrics.bad[covered] else "root" if root_failed else "landmarks"
    nfinite = int(np.flatnonzero(step_metrics.bad)[0]) if step_metrics.bad.any() else len(step_metrics.bad)
    means, errors = _means(step_metrics, covered), _errors(step_metrics, covered)
    to_end = _errors(step_metrics, nfinite)
    total_reward = float(np.sum(step_metrics.published[:covered], dtype=np.float64))
    metrics = {
        "normalised_return": total_reward / (MAX_PUBLISHED_REWARD * steps),
        **errors,
        **{key: means[key] for key in OTHER_MEANS},
        **{key + TO_END: value for key, value in to_end.items()},
        "bad_steps": int(np.sum(step_metrics.bad)),
        "overflow_steps": int(np.sum(step_metrics.overflow)),
    }
    return ClipScore(
        name=name,
        steps=steps,
        covered=covered,
        simulated=len(step_metrics.terminated),
        failure=failure,
        metrics={key: value for key, value in metrics.items() if not math.isnan(value)},
    )


def _means(step_metrics: StepMetrics, nstep: int) -> dict[str, float]:
    """Means over the first steps; NaN if `nstep` is 0."""
    columns = {name: np.asarray(values[:nstep], np.float64) for name, values in step_metrics._asdict().items()}
    return {name: float(column.mean()) if nstep else math.nan for name, column in columns.items()}


def _errors(step_metrics: StepMetrics, nstep: int) -> dict[str, float]:
    means = _means(step_metrics, nstep)
    means["root_position_rms_axis"] = means["root_position_error"] / math.sqrt(3.0)
    means["joint_angle_error_deg"] = math.degrees(means["joint_angle_error"])
    return {name: means[name] for name in ERRORS}


def totals(scores: Sequence[ClipScore]) -> dict[str, Any]:
    """Compute totals over clips.

    Returns:
        `clips`, `tracked`, `success_rate`, `steps`; `mean` and `by_frame` of `coverage` and the metrics, in which every
        clip or every frame has equal weight; and the sums `bad_steps` and `overflow_steps`. A mean leaves out clips
        without the metric, such as the errors of a clip that failed in its first step.
    """
    mean: dict[str, float] = {}
    by_frame: dict[str, float] = {}
    for key in ("coverage", "normalised_return", *ERRORS, *OTHER_MEANS, *(name + TO_END for name in ERRORS)):
        pairs = [(value, _nframe(score, key)) for score in scores if (value := _metric(score, key)) is not None]
        if pairs:
            values, frames = np.array(pairs).T
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


def _metric(score: ClipScore, key: str) -> float | None:
    return score.coverage if key == "coverage" else score.metrics.get(key)


def _nframe(score: ClipScore, key: str) -> int:
    """Number of frames over which a clip's metric is averaged."""
    if key in ("coverage", "normalised_return"):
        return score.steps
    return score.simulated if key.endswith(TO_END) else score.covered
