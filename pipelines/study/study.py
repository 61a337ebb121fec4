"""A study in figures: what the manifest of a whole conversion says, in one number for each quantity."""

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

BUILT_IN, WHOLE, MEAN = "builtin", "amass", "-mean-skeleton"
"""Study of the built-in motions, of an archive without a group, and what ends the name of one without body models."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number of a study and how far another machine may be from it.

    Attributes:
        name: For a metric of the manifest its name and the statistic, such as "skate_m_s.mean".
        measure: Makes it of the manifest's lines, NaN where one lacks the metric or is not finite.
        direction: "at_most" where only more is worse, "at_least" where only less is, "both" where either is a change.
        absolute: Tolerance in the quantity's unit, or None.
        relative: Tolerance as part of the expected value, or None.
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
"""What is made of a metric's values, one a clip: mean over frames, maximum, percentile of clips, clips above zero."""


def _metric(
    metric: str, statistic: str, *, absolute: float | None = None, relative: float | None = None,
    direction: Direction = "at_most",
) -> Quantity:  # fmt: skip
    def measure(entries: Sequence[ManifestEntry]) -> float:
        clips = _clips(entries)
        result = [number(entry.metrics.get(metric)) for entry in clips]
        values = np.array([np.nan if value is None else value for value in result])
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
"""What a study is compared by; docs/reproduce.md says how the tolerances were found."""


def study_figures(out: Path, study: str) -> dict[str, float]:
    """Read a conversion's manifest as a study.

    Args:
        out: Folder of its clips and manifest.
        study: "builtin", "amass" or the name of a group, the latter two with "-mean-skeleton" where no body models were
            used.

    Returns:
        Every quantity by name; NaN where a clip lacks the metric, or there is no clip.

    Raises:
        SettingsError: There is no manifest or no such study, or the manifest tells of motions that are not the study's.
    """
    entries = read_entries(out)
    if not entries:
        raise SettingsError(f"there is no {MANIFEST} in {out}, or nothing in it; give the output folder of mm-retarget")
    strangers = _strangers(sorted(entries), study)
    if strangers:
        raise SettingsError(
            f"{len(strangers)} of {len(entries)} motions in {out} are not of {study}; the first is {strangers[0]}; "
            "give each study a folder of its own"
        )
    lines = [entry for _, entry in sorted(entries.items())]
    return {quantity.name: float(quantity.measure(lines)) for quantity in QUANTITIES}


def _strangers(sources: Sequence[str], study: str) -> list[str]:
    """Sources that do not belong to a study."""
    if study == BUILT_IN:
        names = {f"{name}_poses.npz" for name in motion_names()}
        return [source for source in sources if source.rpartition("/")[2] not in names]
    group = study.removesuffix(MEAN)
    if group == WHOLE:
        return []
    if group not in group_names():
        known = ", ".join((BUILT_IN, WHOLE, *group_names()))
        raise SettingsError(
            f"there is no study {study!r}; there are: {known}; all but the first also with {MEAN} at the end"
        )
    members = set(select(sources, load_group(group)).names)
    return [source for source in sources if source not in members]
