"""Verdict of a clip from its kinematic metrics: one table of rules, each with where its limits are from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from musclemap.errors import SettingsError
from musclemap.retarget.targets.contacts import runs


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A metric and the values above which it gives a warning or makes a clip infeasible.

    Attributes:
        metric: Name among the clip's metrics.
        warn: Values above this are a warning.
        infeasible: Values above this make the clip infeasible, or None where the metric alone never does.
        source: Where the limits are from.
    """

    metric: str
    warn: float
    infeasible: float | None
    source: str


RULES = (
    Rule(metric="limit_excess_rad", warn=1e-5, infeasible=1e-2, source="numerical: the fit holds limits exactly"),
    Rule(metric="driven_limit_excess_rad", warn=5e-4, infeasible=1e-2, source="the couplings' own overshoot, 2.5e-4"),
    Rule(metric="coupling_residual_rad", warn=1e-5, infeasible=0.05, source="float32 rounding; 0.05 fells policies"),
    Rule(metric="quaternion_error", warn=1e-4, infeasible=0.1, source="float32 rounding"),
    Rule(metric="landmark_error_p95_mm", warn=30.0, infeasible=100.0, source="published retargeter's mean is 25 mm"),
    Rule(metric="orientation_error_p95_deg", warn=25.0, infeasible=60.0, source="ours: good fits have 6 to 18"),
    Rule(metric="stored_landmark_error_mm", warn=1.0, infeasible=50.0, source="landmarks belong to the stored qpos"),
    Rule(metric="floor_depth_max_mm", warn=15.0, infeasible=50.0, source="a soft sole yields about 10 mm"),
    Rule(metric="floor_deep_fraction", warn=0.01, infeasible=None, source="one frame in a hundred deeper than 5 mm"),
    Rule(metric="floor_penetration_mm", warn=15.0, infeasible=50.0, source="any part; a soft sole yields about 10 mm"),
    Rule(metric="floating_p95_mm", warn=20.0, infeasible=100.0, source="ours: a foot that stands in the air"),
    Rule(metric="stance_speed_m_s", warn=0.1, infeasible=0.5, source="optical systems' standing feet creep at 0.05"),
    Rule(metric="skate_m_s", warn=0.1, infeasible=0.5, source="optical systems' standing feet creep at 0.05"),
    Rule(metric="foot_shift_mm", warn=50.0, infeasible=None, source="half a foot's width: contacts may be misread"),
    Rule(metric="self_penetration_mm", warn=10.0, infeasible=50.0, source="soft tissue yields 10 mm; a forearm is 60"),
    Rule(metric="joint_step_max_deg", warn=20.0, infeasible=60.0, source="2000 deg/s; pitching reaches 7000"),
    Rule(metric="joint_velocity_ratio", warn=1.0, infeasible=3.0, source="largest rates of people, joint_rates.py"),
    Rule(metric="joint_acceleration_ratio", warn=2.0, infeasible=10.0, source="those rates reached in 20 ms"),
    Rule(metric="root_speed_max_m_s", warn=13.0, infeasible=18.0, source="sprinters reach 12.4 m/s"),
    Rule(metric="root_jitter_mm", warn=5.0, infeasible=50.0, source="above 12 Hz; optical runs have 4 mm"),
    Rule(metric="frozen_fraction", warn=0.0, infeasible=0.05, source="a frame repeated while the body moves"),
    Rule(
        metric="velocity_mismatch", warn=0.02, infeasible=0.3, source="qvel is the derivative of qpos at the file's fps"
    ),
    Rule(metric="tendon_jump_fraction", warn=0.005, infeasible=0.05, source="MuscleMimic's rule, arXiv 2603.25544"),
    Rule(
        metric="muscle_range_excess",
        warn=5.0,
        infeasible=None,
        source="ours: hand muscles reach 2 in any configuration",
    ),
    Rule(metric="residual_force_bw", warn=0.25, infeasible=0.75, source="published clips have a median of 0.62"),
    Rule(metric="residual_torque_nm", warn=75.0, infeasible=None, source="ours: 0.1 body weights at 0.9 m"),
    Rule(metric="unmet_torque_nm", warn=50.0, infeasible=None, source="ours: half of walking's hip torque"),
    Rule(metric="overflow_fraction", warn=0.0, infeasible=None, source="contacts that did not fit were not checked"),
    Rule(metric="frame_rate_doubt", warn=0.5, infeasible=None, source="free fall or stride rate contradict the file"),
)


def rules_with(changes: Sequence[str]) -> tuple[Rule, ...]:
    """The table with other thresholds for some metrics.

    Args:
        changes: Each "METRIC=WARN:INFEASIBLE"; "none" as the second means that the metric alone never rejects a clip.

    Raises:
        SettingsError: There is no rule for a metric, or its thresholds cannot be read.
    """
    rules = {rule.metric: rule for rule in RULES}
    for change in changes:
        metric, _, limits = change.partition("=")
        warn, _, infeasible = limits.partition(":")
        if metric.strip() not in rules:
            raise SettingsError(f"there is no rule for {metric.strip()!r}; there are: {', '.join(rules)}")
        try:
            highest = None if infeasible.strip() == "none" else float(infeasible)
            rules[metric.strip()] = replace(rules[metric.strip()], warn=float(warn), infeasible=highest)
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
    """Compare a clip's metrics with every rule; one that is missing was not looked at.

    Args:
        metrics: Figures by name.
        series: Each metric's quantity by frame, from `feasibility.Findings`.
        details: Words about where a metric is at its worst.
        rules: Thresholds.

    Returns:
        "feasible", "warn" or "infeasible", and the reasons: rule, value, limit, frames as half-open intervals where
        they are known, and what is at fault.
    """
    verdict, reasons = "feasible", []
    for rule in rules:
        value = _figure(metrics.get(rule.metric))
        if not value > rule.warn:
            continue
        broken = rule.infeasible is not None and value > rule.infeasible
        verdict = "infeasible" if broken or verdict == "infeasible" else "warn"
        limit = rule.infeasible if broken else rule.warn
        where = frames_over(series[rule.metric], rule.warn) if series and rule.metric in series else []
        reason = {"rule": rule.metric, "value": value, "limit": limit, "frames": where}
        if details and rule.metric in details:
            reason["at"] = details[rule.metric]
        reasons.append(reason)
    return verdict, tuple(reasons)


def _figure(value: Any) -> float:
    """A metric as a number; one that is missing, or a text in a clip of another's, breaks no rule."""
    return float(value) if isinstance(value, int | float | np.number) else 0.0


def frames_over(series: np.ndarray, limit: float, *, gap: int = 5, most: int = 20) -> list[list[int]]:
    """Half-open intervals of frames over a limit, those closer than `gap` joined; the longest `most` of them.

    Args:
        series: Shape (nframe,).
        limit: What is allowed.
        gap: Frames between two intervals that are told as one.
        most: How many are told.
    """
    joined: list[list[int]] = []
    for start, stop in runs(series > limit):
        if joined and start - joined[-1][1] < gap:
            joined[-1][1] = stop
        else:
            joined.append([start, stop])
    return sorted(sorted(joined, key=lambda run: run[0] - run[1])[:most])
