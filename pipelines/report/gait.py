"""Strides of a clip, and its curves over the gait cycle beside those of healthy adults."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.synthetic.gait_tables import SPREAD, curve
from musclemap.intervals import runs

from .anatomy import joint_title
from .encoding import Band, Chart, Curve, Section, encode

SIDES = ("left", "right")

STRIDE_SECONDS = (0.4, 2.5)
"""Shortest and longest stride [s]. Sprinters swing a leg in 0.36 s and stand on it for 0.1 s (Weyand et al. 2000, J.
Appl. Physiol. 89:1991); the longest is more than twice a stride of walking (`gait_tables`)."""

AIRBORNE_SECONDS = 0.06
"""A foot that leaves the ground for a shorter time has not begun a swing [s]; swing takes 0.3 s and more (Perry)."""

ANGLES = {"hip_flexion": "hip_flexion", "knee_angle": "knee_flexion", "ankle_angle": "ankle_dorsiflexion"}
"""Joint of each panel, without its side, and its curve in `gait_tables`."""

CYCLE = np.linspace(0.0, 1.0, 101)

BAND_SOURCE = (
    "Band: healthy adults walking at their own speed, mean ± one standard deviation (hip and ankle: Perry & Burnfield "
    "2010; knee: Schwartz et al. 2008; deviation: Kadaba et al. 1990; rounded values)"
)
"""Sources of the curves and spreads of `gait_tables`."""


def strides(clip: Clip, side: str) -> list[tuple[int, int]]:
    """Strides of one foot: from each of its first contacts to the next.

    The foot is on the ground while it bears load or, in a clip without forces, while its heel or toe is held still.

    Args:
        clip: The clip.
        side: "left" or "right".

    Returns:
        First frame of each stride and first frame of the next; times outside `STRIDE_SECONDS` are no strides.
    """
    support = f"{side}_foot"
    if clip.bearing is not None and support in clip.support_names:
        down = clip.bearing[:, clip.support_names.index(support)] > 0
    else:
        parts = clip.contact[:, {"left": slice(0, 2), "right": slice(2, 4)}[side]]
        down = np.max(parts, axis=1) > 0
    lifted = [(a, b) for a, b in runs(np.logical_not(down)) if a > 0 and b - a >= AIRBORNE_SECONDS * clip.fps]
    strikes = [b for _, b in lifted if b < clip.nframe]
    shortest, longest = STRIDE_SECONDS
    return [(a, b) for a, b in itertools.pairwise(strikes) if shortest <= (b - a) / clip.fps <= longest]


def over_cycle(values: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Values of one stride at the 101 points of `CYCLE`, interpolated linearly, shape (101,)."""
    return np.interp(start + CYCLE * (stop - start), np.arange(len(values)), values)


def gait_curves(clip: Clip, angles: Mapping[str, np.ndarray], *, weight: float) -> dict[str, Any] | None:
    """Mean strides of both legs as data for a page.

    Args:
        clip: The clip.
        angles: Angles of the independent joints by name, shape (nframe,) [deg].
        weight: Body weight [N], for the force of the ground.

    Returns:
        Plain values with charts over the gait cycle, the number of strides of each side and the source of the band;
        None if no foot strikes the ground twice.
    """
    found = {side: strides(clip, side) for side in SIDES}
    if not any(found.values()):
        return None
    charts = [_angle_chart(joint, name, angles, found) for joint, name in ANGLES.items()]
    charts.append(_force_chart(clip, found, weight=weight))
    drawn = tuple(chart for chart in charts if chart is not None)
    if not drawn:
        return None
    section = Section(title="Mean stride", charts=drawn)
    return {
        "curves": encode([section], nframe=len(CYCLE), fps=1.0),
        "nframe": len(CYCLE),
        "strides": {side: len(found[side]) for side in SIDES},
        "source": BAND_SOURCE,
    }


def _angle_chart(
    joint: str, name: str, angles: Mapping[str, np.ndarray], found: Mapping[str, Sequence[tuple[int, int]]]
) -> Chart | None:
    values = {side: angles[f"{joint}_{side[0]}"] for side in SIDES if f"{joint}_{side[0]}" in angles}
    curves = _mean_strides(values, found)
    mean, spread = np.degrees(curve(name, phase=CYCLE)), SPREAD[name]
    title, label = joint_title(joint)
    band = Band(lower=mean - spread, upper=mean + spread)
    return Chart(title=title, unit="°", curves=curves, label=label, band=band) if curves else None


def _force_chart(clip: Clip, found: Mapping[str, Sequence[tuple[int, int]]], *, weight: float) -> Chart | None:
    if clip.ground_force is None or weight <= 0:
        return None
    feet = {side: f"{side}_foot" for side in SIDES if f"{side}_foot" in clip.support_names}
    values = {
        side: clip.ground_force[:, clip.support_names.index(foot), 2].astype(np.float64) / weight
        for side, foot in feet.items()
    }
    curves = _mean_strides(values, found)
    return Chart(title="Vertical ground force", unit="body weights", curves=curves, label="up") if curves else None


def _mean_strides(
    values: Mapping[str, np.ndarray], found: Mapping[str, Sequence[tuple[int, int]]]
) -> tuple[Curve, ...]:
    return tuple(
        Curve(
            name=side, side=side[0],
            values=np.mean([over_cycle(series, *stride) for stride in found[side]], axis=0),
        )
        for side, series in values.items()
        if found[side]
    )  # fmt: skip
