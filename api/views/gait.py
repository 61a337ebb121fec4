"""Strides of a clip, and its curves over the gait cycle beside those of healthy adults."""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.synthetic.gait_tables import SPREAD, curve
from musclemap.errors import ClipError
from musclemap.intervals import runs

from .plots import QUANTITIES
from .tables import body_of, joint_angles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDES = {"left": "tab:blue", "right": "tab:orange"}

STRIDE_SECONDS = (0.4, 2.5)
"""Shortest and longest stride [s]. Sprinters swing a leg in 0.36 s and stand on it for 0.1 s (Weyand et al. 2000, J.
Appl. Physiol. 89:1991); the longest is more than twice a stride of walking (`gait_tables`)."""

AIRBORNE_SECONDS = 0.06
"""A foot that leaves the ground for a shorter time has not begun a swing [s]; swing takes 0.3 s and more (Perry)."""

ANGLES = {"hip_flexion": "hip_flexion", "knee_angle": "knee_flexion", "ankle_angle": "ankle_dorsiflexion"}
"""Joint of each panel, without its side, and its curve in `gait_tables`."""

MUSCLES = ("soleus", "tibant", "recfem", "vaslat", "bflh")
"""Muscles of the panels, without their side: one for each task of the leg in walking."""

CYCLE = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One quantity of both legs.

    Attributes:
        title: Name and unit.
        values: Values of each side over all frames, shape (nframe,).
        reference: Mean and standard deviation of healthy adults over `CYCLE`, or None.
    """

    title: str
    values: dict[str, np.ndarray]
    reference: tuple[np.ndarray, float] | None = None


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


def plot_gait(clip: Clip) -> "np.ndarray[Any, Any]":
    """See `Clip.plot_gait`."""
    found = {side: strides(clip, side) for side in SIDES}
    if not any(found.values()):
        raise ClipError("no foot strikes the ground twice in this clip; plot_gait needs a complete stride")
    from matplotlib import pyplot

    panels = _panels(clip)
    rows = -(-len(panels) // 3)
    size = (10.0, 2.6 * rows)
    figure, axes = pyplot.subplots(rows, 3, figsize=size, sharex=True, squeeze=False, layout="constrained")
    for ax, panel in zip(axes.flat, panels, strict=False):
        _draw(ax, panel, found)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("gait cycle [%]")
    counts = ", ".join(f"{len(found[side])} strides {side}" for side in SIDES)
    figure.suptitle(f"{clip.source}: {counts}; grey: healthy adults, mean and standard deviation", fontsize="medium")
    axes[0, 0].legend(fontsize="small")
    return axes


def _draw(ax: "Axes", panel: Panel, found: dict[str, list[tuple[int, int]]]) -> None:
    percent = 100.0 * CYCLE
    if panel.reference is not None:
        mean, spread = panel.reference
        ax.fill_between(percent, mean - spread, mean + spread, color="0.88", linewidth=0)
    for side, colour in SIDES.items():
        cycles = [over_cycle(panel.values[side], *stride) for stride in found[side]]
        for cycle in cycles:
            ax.plot(percent, cycle, color=colour, alpha=0.3, linewidth=0.8)
        if cycles:
            ax.plot(percent, np.mean(cycles, axis=0), color=colour, label=side)
    ax.set_title(panel.title, fontsize="small")


def _panels(clip: Clip) -> list[Panel]:
    """Angles of hip, knee and ankle; then forces and muscles, as far as the clip has them."""
    angles = joint_angles(clip, degrees=True, every=False)
    panels = [
        Panel(
            title=f"{joint} [deg]", values={side: angles[f"{joint}_{side[0]}"] for side in SIDES},
            reference=(np.degrees(curve(name, phase=CYCLE)), SPREAD[name]),
        )
        for joint, name in ANGLES.items()
        if all(f"{joint}_{side[0]}" in angles for side in SIDES)
    ]  # fmt: skip
    forces = QUANTITIES["force"][0](clip)
    if all(f"{side}_foot" in forces for side in SIDES):
        body = body_of(clip)
        weight = -body.model.opt.gravity[2] * body.mass
        values = {side: forces[f"{side}_foot"] / weight for side in SIDES}
        panels.append(Panel(title="vertical ground force [body weights]", values=values))
    muscles = QUANTITIES["activation"][0](clip)
    for name in MUSCLES:
        if all(f"{name}_{side[0]}" in muscles for side in SIDES):
            panels.append(Panel(title=f"{name}, activation", values={s: muscles[f"{name}_{s[0]}"] for s in SIDES}))
    return panels
