"""One line that says what was done to the motion of a clip: axes, unit, filter, treadmill, floor, contacts, fits."""

import math
from collections.abc import Mapping
from typing import Any

_FILTER_PREFIX, _FILTER_SUFFIX = "filter_cutoff_", "_hz"

AXES = ("x", "-x", "y", "-y", "z", "-z")

_ENTRIES = (
    ("floor_height_mm", "floor {:+.0f} mm"),
    ("contact_count", "{:.0f} contacts"),
    ("foot_shift_mm", "feet moved {:.0f} mm onto them"),
    ("calibration_max_mm", "landmark offsets up to {:.0f} mm"),
    ("dynamics_moved_mm", "moved by {:.1f} mm so that ground forces explain the motion"),
)
"""Metrics of the line after the filter and the treadmill, with their texts; missing metrics are left out."""


def summary_line(metrics: Mapping[str, Any], *, body: str = "") -> str:
    """Describe what a conversion did to a motion.

    Args:
        metrics: Metrics of the clip; entries that are missing or not finite numbers are left out.
        body: Version of the body, or "".

    Returns:
        The line, such as "filtered at 5.4 Hz (trunk) to 8.6 Hz (legs), joints moved by up to 10 mm; floor +12 mm; 14
        contacts"; empty if nothing is known.
    """
    values = {name: float(value) for name, value in metrics.items() if _is_finite(value)}
    parts = [*_world(metrics.get("source_up"), values), *_repeats(values), *_filter(values), *_treadmill(values)]
    parts += [text.format(values[name]) for name, text in _ENTRIES if name in values]
    if values.get("refitted"):
        parts.append(f"refit moved landmarks by up to {values.get('refit_moved_mm', 0.0):.0f} mm")
    return "; ".join(parts + [f"body {body}"] * bool(body))


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _world(up: Any, values: Mapping[str, float]) -> list[str]:
    """Axis and unit of a file that may have any."""
    unit = values.get("source_unit_m", 0.0)
    return [f"read with {up} up, 1 unit as {1e3 * unit:.4g} mm"] if up in AXES and unit > 0 else []


def _repeats(values: Mapping[str, float]) -> list[str]:
    fraction = values.get("repeated_source_fraction", 0.0)
    return [f"{100 * fraction:.2g} % of the source's frames are repeated and were replaced"] if fraction > 0 else []


def _filter(values: Mapping[str, float]) -> list[str]:
    """Lowest and highest cutoff frequency with their groups, and the largest displacement of a joint."""
    cutoffs = {
        name.removeprefix(_FILTER_PREFIX).removesuffix(_FILTER_SUFFIX).replace("_", " "): value
        for name, value in values.items()
        if name.startswith(_FILTER_PREFIX) and name.endswith(_FILTER_SUFFIX)
    }
    if not cutoffs:
        return []
    low, high = min(cutoffs, key=lambda name: cutoffs[name]), max(cutoffs, key=lambda name: cutoffs[name])
    text = f"filtered at {cutoffs[low]:.3g} Hz"
    if not math.isclose(cutoffs[low], cutoffs[high]):
        text = f"{text} ({low}) to {cutoffs[high]:.3g} Hz ({high})"
    if "filter_moved_joints_mm" in values:
        moved = values["filter_moved_joints_mm"]
        text += f", joints moved by up to {moved:.{0 if moved >= 10 else 1}f} mm"
    return [text]


def _treadmill(values: Mapping[str, float]) -> list[str]:
    speed = values.get("treadmill_speed_m_s", 0.0)
    if speed <= 0:
        return []
    kept = "the clip stays in place" if values.get("treadmill_in_place") else "its travel was added"
    return [f"treadmill at {speed:.2f} m/s, {kept}"]
