"""Verdict of a clip from its kinematic metrics: one table of rules, each with where its limits are from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
    Rule(metric="landmark_error_p95_mm", warn=30.0, infeasible=100.0, source="published retargeter's mean is 25 mm"),
    Rule(metric="floor_depth_max_mm", warn=15.0, infeasible=50.0, source="a soft sole yields about 10 mm"),
    Rule(metric="floor_deep_fraction", warn=0.01, infeasible=None, source="one frame in a hundred deeper than 5 mm"),
    Rule(
        metric="stance_speed_m_s",
        warn=0.1,
        infeasible=0.5,
        source="an optical system's standing foot creeps below 0.05",
    ),
    Rule(metric="foot_shift_mm", warn=50.0, infeasible=None, source="half a foot's width: contacts may be misread"),
    Rule(
        metric="joint_step_max_deg", warn=20.0, infeasible=60.0, source="2000 deg/s; pitching reaches 7000 at one joint"
    ),
    Rule(metric="frame_rate_doubt", warn=0.5, infeasible=None, source="free fall or stride rate contradict the file"),
)


def judge(metrics: Mapping[str, Any]) -> tuple[str, tuple[dict[str, Any], ...]]:
    """Compare a clip's metrics with every rule.

    Returns:
        "feasible", "warn" or "infeasible", and the reasons: rule, value, limit, and frames where they are known.
    """
    verdict, reasons = "feasible", []
    for rule in RULES:
        value = float(metrics.get(rule.metric, 0.0))
        if not value > rule.warn:
            continue
        broken = rule.infeasible is not None and value > rule.infeasible
        verdict = "infeasible" if broken or verdict == "infeasible" else "warn"
        limit = rule.infeasible if broken else rule.warn
        reasons.append({"rule": rule.metric, "value": value, "limit": limit, "frames": []})
    return verdict, tuple(reasons)
