"""Plot of a clip's curves over the gait cycle beside those of healthy adults."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.synthetic.gait_tables import SPREAD, curve
from musclemap.errors import ClipError
from musclemap.pipelines.report.gait import ANGLES, CYCLE, over_cycle, strides
from musclemap.pipelines.wording import counted

from .plots import QUANTITIES
from .tables import body_of, joint_angles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDES = {"left": "tab:blue", "right": "tab:orange"}

MUSCLES = ("soleus", "tibant", "recfem", "vaslat", "bflh")
"""Muscles of the panels, without their side: one for each task of the leg in walking."""


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
    counts = ", ".join(f"{counted(len(found[side]), 'stride')} {side}" for side in SIDES)
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
