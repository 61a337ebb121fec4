"""Results of the checks of one segment of a clip, and of a clip as its segments joined."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .inverse_dynamics import GroundReaction
from .measured_checks import MeasuredGround
from .muscle_optimisation import StaticOptimization

Reduction = Callable[[np.ndarray], Any]
"""Function that reduces the values of all frames to the clip's metric."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """Results of the checks of one clip.

    Attributes:
        metrics: Metrics by name; names end in their unit.
        series: Value in every frame, shape (nframe,), of each metric that has one. Reasons list the frames in which it
            exceeds the limit.
        details: Joint, geoms or muscle responsible for the metric's worst value, by metric.
        optimization: Activations, or None if they were not requested.
        ground: Ground reaction, and the torques that remain for the muscles.
        bearing: Whether each part of the body bears, shape (nframe, npart) bool.
        measured: Measured forces and the estimate beside them, or None without force plates.
    """

    metrics: dict[str, Any]
    series: dict[str, np.ndarray]
    details: dict[str, str]
    optimization: StaticOptimization | None
    ground: GroundReaction
    bearing: np.ndarray
    measured: MeasuredGround | None


@dataclass(kw_only=True)
class SegmentResult:
    """Results of the checks of one segment of a clip.

    Attributes:
        ground: Ground reaction of its frames.
        optimization: Activations of its frames, or None if they were not requested.
        bearing: Whether each part bears.
        measured: As in `CheckResult`.
        series: As in `CheckResult`.
        parts: Values by frame and their reduction to a metric, by metric.
        locations: Joint, geoms or muscle with the worst value in this segment, by metric.
    """

    ground: GroundReaction
    optimization: StaticOptimization | None
    bearing: np.ndarray
    measured: MeasuredGround | None = None
    series: dict[str, np.ndarray] = field(default_factory=dict)
    parts: dict[str, tuple[np.ndarray, Reduction]] = field(default_factory=dict)
    locations: dict[str, str] = field(default_factory=dict)

    def record(
        self, metric: str, series: np.ndarray | None = None, *, values: np.ndarray | None = None,
        reduction: Reduction = np.max, location: str = "",
    ) -> None:  # fmt: skip
        """Record a metric.

        Args:
            metric: Name of the metric.
            series: Value in every frame, from which a reason lists the frames over the limit; None for no list.
            values: Values to reduce to the metric, if they differ from `series`; the first axis is the frame.
            reduction: Function that reduces the values of all frames.
            location: Joint, geoms or muscle with the worst value.
        """
        values = series if values is None else values
        assert values is not None
        self.parts[metric] = (values, reduction)
        self.locations[metric] = location
        if series is not None:
            self.series[metric] = np.nan_to_num(series)

    def trim(self, frames: slice) -> "SegmentResult":
        """Drop the overlap with neighbouring segments."""
        cut = lambda kind, values: kind(**{f: getattr(values, f)[frames] for f in kind.__dataclass_fields__})  # noqa: E731
        return SegmentResult(
            ground=cut(GroundReaction, self.ground),
            optimization=None if self.optimization is None else cut(StaticOptimization, self.optimization),
            bearing=self.bearing[frames],
            measured=None if self.measured is None else cut(MeasuredGround, self.measured),
            series={metric: values[frames] for metric, values in self.series.items()},
            parts={metric: (values[frames], reduction) for metric, (values, reduction) in self.parts.items()},
            locations=self.locations,
        )


def join_segments(segments: Sequence[SegmentResult]) -> CheckResult:
    """Join the segments of a clip; the location of each metric is that of its worst segment."""
    first = segments[0]
    metrics, details = {}, {}
    for metric, (_, reduction) in first.parts.items():
        values = [segment.parts[metric][0] for segment in segments]
        metrics[metric] = _metric_value(reduction, np.concatenate(values))
        worst = max(range(len(segments)), key=lambda k: _metric_value(reduction, values[k]))
        if metrics[metric] > 0 and segments[worst].locations[metric]:
            details[metric] = segments[worst].locations[metric]
    measured = [segment.measured for segment in segments if segment.measured is not None]
    optimizations = [segment.optimization for segment in segments if segment.optimization is not None]
    return CheckResult(
        metrics=metrics,
        series={metric: np.concatenate([segment.series[metric] for segment in segments]) for metric in first.series},
        details=details,
        optimization=concatenate_frames(StaticOptimization, optimizations) if optimizations else None,
        ground=concatenate_frames(GroundReaction, [segment.ground for segment in segments]),
        bearing=np.concatenate([segment.bearing for segment in segments]),
        measured=concatenate_frames(MeasuredGround, measured) if measured else None,
    )


def _metric_value(reduction: Reduction, values: np.ndarray) -> float:
    """Reduce values by frame to a metric; 0 if no value is finite."""
    return float(max(reduction(values), 0.0)) if np.isfinite(values).any() else 0.0


def concatenate_frames(kind: type, parts: Sequence[Any]) -> Any:
    """Concatenate every field of dataclasses whose first axis is the frame."""
    return kind(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in kind.__dataclass_fields__})
