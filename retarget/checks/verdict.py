"""Verdict of a clip from its metrics: a table with one rule per fault, its limits and their source."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from musclemap.errors import SettingsError
from musclemap.intervals import runs


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric, the value above which it gives a warning, and the value above which the clip is infeasible or None."""

    metric: str
    warn: float
    infeasible: float | None

    def severity(self, value: float) -> int:
        """Rate a value: 0 within the limits, 1 for a warning, 2 for infeasible."""
        if not value > self.warn:
            return 0
        return 2 if self.infeasible is not None and value > self.infeasible else 1


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A fault, and the limits above which it gives a warning or makes a clip infeasible.

    Attributes:
        metric: Name of the clip's metric that measures the fault.
        warn: Values above this limit give a warning.
        infeasible: Values above this limit make the clip infeasible; None if this fault alone never does.
        source: Source of the limits.
        also: Other metrics of the same fault, each with its value where `metric` would be 1. Most come from the fit and
            serve clips that were not checked on the full body.
    """

    metric: str
    warn: float
    infeasible: float | None
    source: str
    also: tuple[tuple[str, float], ...] = ()

    @property
    def measures(self) -> tuple[Measure, ...]:
        """All metrics of the fault with their limits, `metric` first."""
        return tuple(
            Measure(
                metric=metric,
                warn=self.warn * unit,
                infeasible=None if self.infeasible is None else self.infeasible * unit,
            )
            for metric, unit in ((self.metric, 1.0), *self.also)
        )

    def broken(self, value_of: Callable[[str], float]) -> Measure | None:
        """Find the first measure of the highest severity; None if all are within their limits.

        Args:
            value_of: Returns the value of a metric, 0 if it is missing.
        """
        worst = max(self.measures, key=lambda measure: measure.severity(value_of(measure.metric)))
        return worst if worst.severity(value_of(worst.metric)) else None


MAX_REFIT_MOVE_MM, MAX_STEP_INCREASE_DEG = 30.0, 1.0
"""Largest displacement of a landmark [mm], and largest increase of a joint's largest step in 10 ms [deg], for which a
refit against self-collision replaces the first fit."""

RULES = (
    Rule(metric="limit_excess_rad", warn=1e-5, infeasible=1e-2, source="numerical: the fit holds limits exactly"),
    Rule(metric="driven_limit_excess_rad", warn=5e-4, infeasible=1e-2, source="overshoot of the couplings, 2.5e-4"),
    Rule(metric="coupling_residual_rad", warn=1e-5, infeasible=0.05, source="float32 rounding; policies fall at 0.05"),
    Rule(metric="quaternion_error", warn=1e-4, infeasible=0.1, source="float32 rounding"),
    Rule(
        metric="landmark_error_p95_mm", warn=30.0, infeasible=100.0, source="published mean: 25 mm",
        also=(("landmark_error_max_mm", 5.0),),
    ),
    Rule(metric="orientation_error_p95_deg", warn=25.0, infeasible=60.0, source="ours: good fits have 6 to 18"),
    Rule(metric="stored_landmark_error_mm", warn=1.0, infeasible=50.0, source="landmarks belong to the stored qpos"),
    Rule(
        metric="floor_penetration_mm", warn=15.0, infeasible=50.0, source="any part; a soft sole yields about 10 mm",
        also=(("floor_depth_max_mm", 1.0),),
    ),
    Rule(metric="floor_deep_fraction", warn=0.01, infeasible=None, source="1 % of frames deeper than 5 mm"),
    Rule(metric="floating_p95_mm", warn=20.0, infeasible=100.0, source="ours: a foot in contact above the floor"),
    Rule(
        metric="skate_m_s", warn=0.1, infeasible=0.5, source="standing feet move at 0.05 in optical recordings",
        also=(("stance_speed_m_s", 1.0),),
    ),
    Rule(metric="foot_shift_mm", warn=50.0, infeasible=None, source="half a foot's width: contacts may be wrong"),
    Rule(metric="self_penetration_mm", warn=10.0, infeasible=50.0, source="soft tissue yields 10 mm; a forearm is 60"),
    Rule(
        metric="refit_rejected_moved_mm", warn=MAX_REFIT_MOVE_MM, infeasible=None,
        source="as the p95 landmark error: further is another motion",
        also=(("refit_rejected_step_deg", MAX_STEP_INCREASE_DEG / MAX_REFIT_MOVE_MM),),
    ),
    Rule(
        metric="joint_velocity_ratio", warn=1.0, infeasible=3.0, source="largest rates of people, see joint_rates.py",
        also=(("joint_step_max_deg", 20.0),),  # in 10 ms, of any joint: 2000 deg/s
    ),
    Rule(metric="joint_acceleration_ratio", warn=2.0, infeasible=10.0, source="these rates reached in 20 ms"),
    Rule(metric="root_speed_max_m_s", warn=13.0, infeasible=18.0, source="sprinters reach 12.4 m/s"),
    Rule(metric="root_jitter_mm", warn=5.0, infeasible=50.0, source="above 12 Hz; 4 mm in recorded runs"),
    Rule(
        metric="repeated_source_fraction", warn=0.0, infeasible=1.0, source="a frame repeated while the body moves",
        also=(("frozen_fraction", 0.05),),
    ),
    Rule(metric="filter_moved_joints_mm", warn=80.0, infeasible=None, source="ours: noise gives 20; more is a glitch"),
    Rule(
        metric="velocity_mismatch", warn=0.02, infeasible=0.3, source="qvel is the derivative of qpos at the clip's fps"
    ),
    Rule(
        metric="tendon_jump_fraction", warn=0.005, infeasible=0.05, source="MuscleMimic's rule, arXiv 2603.25544",
        also=(("tendon_step_max", 40.0),),
    ),
    Rule(
        metric="muscle_range_excess",
        warn=5.0,
        infeasible=None,
        source="ours: hand muscles reach 2 in any configuration",
    ),
    Rule(
        metric="residual_force_p99_bw", warn=0.05, infeasible=1.0,
        source="5 % of the external force, Hicks et al. 2015", also=(("residual_force_peak_bw", 2.0),),
    ),
    Rule(
        metric="residual_moment_p99_bw_height", warn=0.01, infeasible=None,
        source="1 % of height times force, Hicks et al. 2015", also=(("residual_moment_peak_bw_height", 2.0),),
    ),
    Rule(metric="unsupported_s", warn=0.1, infeasible=0.5, source="ours: only a contact found late may be missing"),
    Rule(metric="stance_deviation", warn=0.05, infeasible=None, source="walking: 55 to 70 %, Perry & Burnfield 2010"),
    Rule(metric="limit_time_fraction", warn=0.9, infeasible=None, source="ours: 0.5 in standing on one straight leg"),
    Rule(metric="unmet_torque_nm", warn=50.0, infeasible=None, source="ours: half of the hip torque in walking"),
    Rule(metric="activation_saturated_fraction", warn=0.03, infeasible=None, source="ours: 1 % in level walking"),
    Rule(metric="overflow_fraction", warn=0.0, infeasible=None, source="contacts beyond the buffer were not checked"),
    Rule(metric="frame_rate_doubt", warn=0.5, infeasible=None, source="free fall or stride rate contradicts the file"),
)  # fmt: skip


def rules_with(changes: Sequence[str]) -> tuple[Rule, ...]:
    """Return the table of rules with some thresholds replaced.

    Args:
        changes: Thresholds as "METRIC=WARN:INFEASIBLE"; INFEASIBLE is "none" if the metric alone must not reject a
            clip. Any metric of a fault sets the limits of all its metrics, in its own unit.

    Raises:
        SettingsError: If a metric has no rule or its thresholds are malformed.
    """
    rules = {rule.metric: rule for rule in RULES}
    units = {metric: (rule.metric, unit) for rule in RULES for metric, unit in ((rule.metric, 1.0), *rule.also)}
    for change in changes:
        metric, _, limits = change.partition("=")
        warn, _, infeasible = limits.partition(":")
        if metric.strip() not in units:
            raise SettingsError(f"there is no rule for {metric.strip()!r}; there are: {', '.join(units)}")
        name, unit = units[metric.strip()]
        try:
            highest = None if infeasible.strip() == "none" else float(infeasible) / unit
            rules[name] = replace(rules[name], warn=float(warn) / unit, infeasible=highest)
        except ValueError as error:
            raise SettingsError(f"{change!r} is not METRIC=WARN:INFEASIBLE, such as skate_m_s=0.1:0.5") from error
    return tuple(rules.values())


def judge(
    metrics: Mapping[str, Any],
    *,
    series: Mapping[str, np.ndarray] | None = None,
    details: Mapping[str, str] | None = None,
    rules: Sequence[Rule] = RULES,
) -> tuple[str, tuple[dict[str, Any], ...]]:
    """Compare a clip's metrics with every rule. Missing metrics break no rule.

    Args:
        metrics: Metrics by name.
        series: Values by frame, by metric, from `validator.CheckResult`.
        details: Joint, geoms or muscle with the worst value, by metric.
        rules: Rules with their thresholds.

    Returns:
        "feasible", "warn" or "infeasible", and one reason per fault: rule (the metric that breaks it), value, limit,
        frames as half-open intervals (empty if unknown), and "at" with the metric's entry in `details`.
    """
    verdict, reasons = "feasible", []
    for rule in rules:
        measure = rule.broken(lambda metric: _as_number(metrics.get(metric)))
        if measure is None:
            continue
        metric, value = measure.metric, _as_number(metrics.get(measure.metric))
        infeasible = measure.severity(value) == 2
        verdict = "infeasible" if infeasible or verdict == "infeasible" else "warn"
        limit = measure.infeasible if infeasible else measure.warn
        frames = frames_over(series[metric], measure.warn) if series and metric in series else []
        reason = {"rule": metric, "value": value, "limit": limit, "frames": frames}
        if details and metric in details:
            reason["at"] = details[metric]
        reasons.append(reason)
    return verdict, tuple(reasons)


def _as_number(value: Any) -> float:
    """Convert a metric to a number; 0, which breaks no rule, if it is missing or not a number."""
    return float(value) if isinstance(value, int | float | np.number) else 0.0


def frames_over(series: np.ndarray, limit: float, *, min_gap: int = 5, max_intervals: int = 20) -> list[list[int]]:
    """Find the longest intervals in which a series exceeds a limit.

    Args:
        series: Values by frame, shape (nframe,).
        limit: Largest allowed value.
        min_gap: Intervals with fewer frames than this between them are merged.
        max_intervals: Largest number of intervals to return.

    Returns:
        Half-open intervals [start, stop) in ascending order.
    """
    intervals: list[list[int]] = []
    for start, stop in runs(series > limit):
        if intervals and start - intervals[-1][1] < min_gap:
            intervals[-1][1] = stop
        else:
            intervals.append([start, stop])
    return sorted(sorted(intervals, key=lambda run: run[0] - run[1])[:max_intervals])
