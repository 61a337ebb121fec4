"""Summary of a whole conversion: one number per quantity, computed from the manifest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from musclemap.datasets.groups import group_names, load_group, select
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.output_folder import MANIFEST, read_entries
from musclemap.datasets.synthetic.synthesis import motion_names
from musclemap.errors import SettingsError
from musclemap.pipelines.report.source_rows import number

Direction = Literal["both", "at_most", "at_least"]

BUILTIN, AMASS, MEAN_SKELETON_SUFFIX = "builtin", "amass", "-mean-skeleton"
"""Study of the built-in motions, study of a whole archive, and suffix of studies without body models."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number that describes a study, and its tolerance between machines.

    Attributes:
        name: Name; for a metric of the manifest, the metric and the statistic, such as "skate_m_s.mean".
        measure: Computes the number from the manifest lines; NaN if a line lacks the metric or has a non-finite value.
        direction: "at_most" if only larger values are worse, "at_least" if only smaller ones are, otherwise "both".
        absolute: Tolerance in the quantity's unit, or None.
        relative: Tolerance as a fraction of the expected value, or None.
    """

    name: str
    measure: Callable[[Sequence[ManifestEntry]], float]
    direction: Direction
    absolute: float | None = None
    relative: float | None = None


def _clips(entries: Sequence[ManifestEntry]) -> list[ManifestEntry]:
    return [entry for entry in entries if entry.status == "ok"]


def _exactly(name: str, measure: Callable[[Sequence[ManifestEntry]], float], direction: Direction = "both") -> Quantity:
    return Quantity(name=name, measure=measure, direction=direction, absolute=0.0)


def _status(status: str, direction: Direction) -> Quantity:
    return _exactly(f"status.{status}", lambda entries: sum(e.status == status for e in entries), direction)


def _verdict(verdict: str, direction: Direction) -> Quantity:
    return _exactly(f"verdict.{verdict}", lambda entries: sum(e.verdict == verdict for e in entries), direction)


_STATISTICS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mean": lambda values, nframe: float(np.average(values, weights=nframe)),
    "max": lambda values, nframe: float(values.max()),
    "p95": lambda values, nframe: float(np.percentile(values, 95)),
    "clips": lambda values, nframe: float((values > 0).sum()),
}
"""Statistics of a metric's values, one per clip: mean over frames, maximum, percentile of clips, clips above zero."""


def _metric(
    metric: str, statistic: str, *, absolute: float | None = None, relative: float | None = None,
    direction: Direction = "at_most",
) -> Quantity:  # fmt: skip
    def measure(entries: Sequence[ManifestEntry]) -> float:
        clips = _clips(entries)
        numbers = [number(entry.metrics.get(metric)) for entry in clips]
        values = np.array([np.nan if value is None else value for value in numbers])
        if not len(values) or not np.isfinite(values).all():
            return np.nan
        return _STATISTICS[statistic](values, np.array([entry.nframe for entry in clips]))

    return Quantity(
        name=f"{metric}.{statistic}", measure=measure, direction=direction, absolute=absolute, relative=relative
    )


QUANTITIES = (
    _exactly("sources", len),
    _status("ok", "at_least"),
    _status("rejected", "at_most"),
    _status("failed", "at_most"),
    _verdict("feasible", "at_least"),
    _verdict("warn", "at_most"),
    _verdict("infeasible", "at_most"),
    _exactly("frames", lambda entries: sum(entry.nframe for entry in _clips(entries))),
    Quantity(
        name="hours", measure=lambda entries: sum(e.seconds for e in _clips(entries)) / 3600, direction="both",
        relative=1e-6,
    ),
    _metric("landmark_error_mm", "mean", relative=0.01),
    _metric("landmark_error_mm", "p95", relative=0.01),
    _metric("landmark_error_p95_mm", "mean", relative=0.01),
    _metric("foot_error_mm", "mean", relative=0.01),
    _metric("limit_excess_rad", "max", absolute=1e-6),
    _metric("driven_limit_excess_rad", "max", absolute=1e-6),
    _metric("coupling_residual_rad", "max", absolute=1e-6),
    _metric("floor_penetration_mm", "max", absolute=0.5),
    _metric("floor_deep_fraction", "mean", absolute=0.001),
    _metric("skate_m_s", "mean", relative=0.01),
    _metric("foot_shift_mm", "max", relative=0.01),
    _metric("self_penetration_mm", "max", absolute=0.5),
    _metric("joint_velocity_ratio", "max", relative=0.01),
    _metric("root_jitter_mm", "max", relative=0.01),
    _metric("tendon_jump_fraction", "clips", absolute=0.0),
    _metric("residual_force_bw", "mean", relative=0.01),
    _metric("residual_torque_nm", "mean", relative=0.01),
    _metric("unmet_torque_nm", "mean", relative=0.02),
    _metric("activation_mean", "mean", relative=0.02, direction="both"),
    _metric("activation_saturated_fraction", "mean", relative=0.02),
)  # fmt: skip
"""Quantities that describe a study; docs/reproduce.md explains how the tolerances were determined."""


def study_figures(out: Path, study: str) -> dict[str, float]:
    """Compute the quantities of a study from a conversion's manifest.

    Args:
        out: Folder of the clips and the manifest.
        study: "builtin", "amass" or the name of a group; "amass" and groups with the suffix "-mean-skeleton" if no body
            models were used.

    Returns:
        Every quantity by name; NaN if a clip lacks the metric, or there is no clip.

    Raises:
        SettingsError: If there is no manifest or no such study, or the manifest lists motions of other studies.
    """
    entries = read_entries(out)
    if not entries:
        raise SettingsError(f"{out} has no {MANIFEST}, or an empty one; give the output folder of mm-retarget")
    foreign = _foreign_sources(sorted(entries), study)
    if foreign:
        raise SettingsError(
            f"{len(foreign)} of {len(entries)} motions in {out} do not belong to {study}; the first is {foreign[0]}; "
            "use a separate folder for each study"
        )
    lines = [entry for _, entry in sorted(entries.items())]
    return {quantity.name: float(quantity.measure(lines)) for quantity in QUANTITIES}


def _foreign_sources(sources: Sequence[str], study: str) -> list[str]:
    """Sources that do not belong to a study."""
    if study == BUILTIN:
        names = {f"{name}_poses.npz" for name in motion_names()}
        return [source for source in sources if source.rpartition("/")[2] not in names]
    group = study.removesuffix(MEAN_SKELETON_SUFFIX)
    if group == AMASS:
        return []
    if group not in group_names():
        known = ", ".join((BUILTIN, AMASS, *group_names()))
        raise SettingsError(
            f"unknown study {study!r}; known: {known}; all but the first also with the suffix {MEAN_SKELETON_SUFFIX}"
        )
    members = set(select(sources, load_group(group)).names)
    return [source for source in sources if source not in members]
