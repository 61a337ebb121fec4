"""A curve over time beside the scene, with a cursor at the current frame."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .scene import Scene

COLOURS = ("#1c78cf", "#9a6600")
"""Colours of the first and the second motion: contrast at least 4.5 to white, and 3 to a dark page."""

_WIDTH, _HEIGHT = 300.0, 120.0  # units of the drawing, which is as wide as the panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 6.0, 6.0, 18.0  # margins
_MAX_POINTS = 300  # points of a curve: one per unit of the drawing


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Values of one motion.

    Attributes:
        values: Shape (nframe,).
        fps: Frames per second.
        title: Name of the motion, shown if there are two.
    """

    values: np.ndarray
    fps: float
    title: str = ""

    def at(self, time: float) -> float:
        """Value at a time [s]; the last one after the end."""
        return float(self.values[min(round(time * self.fps), len(self.values) - 1)])


class CurvePlot:
    """A drawing of curves as SVG. The curves are laid out once, and the cursor at every frame."""

    def __init__(self, curves: Sequence[Curve], *, name: str, unit: str, limits: tuple[float, float] | None) -> None:
        """Lay out the curves.

        Args:
            curves: One curve, or two.
            name: What they show.
            unit: Unit of the values, or "".
            limits: Lower and upper end of the axis; those of the values if None.
        """
        self._curves, self._name, self._unit = tuple(curves), name, unit
        self._duration = max((len(curve.values) - 1) / curve.fps for curve in curves) or 1.0
        low, high = limits or (
            min(float(curve.values.min()) for curve in curves), max(float(curve.values.max()) for curve in curves)
        )  # fmt: skip
        self._low, self._high = (low, high) if high - low > 1e-9 else (low - 1.0, high + 1.0)
        self._fixed = self._axes() + "".join(map(self._line, curves, COLOURS))

    def position(self, time: float, value: float) -> tuple[float, float]:
        """Where a value is in the drawing, x to the right and y down."""
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * time / self._duration
        y = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (self._high - value) / (self._high - self._low)
        return x, y

    def html(self, time: float) -> str:
        """HTML of the plot with its cursor at a time [s]."""
        x, _ = self.position(min(time, self._duration), self._low)
        cursor = f'<path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="currentColor" stroke-width="1"/>'
        values = []
        for curve, colour in zip(self._curves, COLOURS, strict=False):
            value = curve.at(time)
            px, py = self.position(min(time, (len(curve.values) - 1) / curve.fps), value)
            cursor += f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{colour}"/>'
            title = f"{html.escape(curve.title)} " if len(self._curves) > 1 else ""
            values.append(f'<span style="color:{colour}">●</span> {title}<b>{value:.2f}</b>')
        unit = f" [{html.escape(self._unit)}]" if self._unit else ""
        return (
            f'<div style="margin:0 0.75em 0.5em; font-size:0.8em">{html.escape(self._name)}{unit}: {", ".join(values)}'
            f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" style="width:100%; display:block" role="img" '
            f'aria-label="{html.escape(self._name)} against time">{self._fixed}{cursor}</svg></div>'
        )

    def _line(self, curve: Curve, colour: str) -> str:
        rows = np.unique(np.linspace(0, len(curve.values) - 1, _MAX_POINTS).round().astype(int))
        places = [self.position(row / curve.fps, float(curve.values[row])) for row in rows]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'

    def _axes(self) -> str:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        frame = f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#999" stroke-width="1"/>'
        texts = (
            (_LEFT - 3, _TOP + 8, "end", f"{self._high:.3g}"), (_LEFT - 3, bottom, "end", f"{self._low:.3g}"),
            (_LEFT, bottom + 13, "start", "0 s"), (right, bottom + 13, "end", f"{self._duration:.2f} s"),
        )  # fmt: skip
        return frame + "".join(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="11" fill="currentColor">{text}</text>'
            for x, y, anchor, text in texts
        )


def plot_of(
    scenes: Sequence[Scene], *, curve: str, muscle: str, colouring: str, titles: Sequence[str] = ("",)
) -> CurvePlot:
    """Plot the angle of a joint, or else the activation or length of a muscle, or of all muscles on average.

    Args:
        scenes: One clip, or two side by side; the second is left out if it is of another body.
        curve: Name of a joint; any other text for the muscle.
        muscle: Name of a muscle; any other text for the mean of all.
        colouring: "activation" or "length".
        titles: Title of each clip.
    """
    pairs = [(scene, title) for scene, title in zip(scenes, titles, strict=True) if scene.body is scenes[0].body]
    scenes, titles = [scene for scene, _ in pairs], [title for _, title in pairs]
    joints, muscles = scenes[0].body.joints, scenes[0].body.muscles
    active = [scene.activation for scene in scenes if scene.activation is not None]
    if curve in joints:
        values = [np.degrees(scene.clip.qpos[:, joints[curve]]) for scene in scenes]
        name, unit, limits = curve, "deg", None
    elif muscle in muscles and (colouring == "length" or len(active) < len(scenes)):
        values = [scene.lengths(muscle) for scene in scenes]
        name, unit, limits = f"{muscle}, length in its range", "", None
    elif len(active) == len(scenes):
        column = list(muscles).index(muscle) if muscle in muscles else slice(None)
        values = [activation[:, column].reshape(len(activation), -1).mean(axis=1) for activation in active]
        name = f"{muscle}, activation" if muscle in muscles else "mean activation of all muscles"
        unit, limits = "", (0.0, 1.0) if muscle in muscles else None
    else:
        values = [1000.0 * scene.errors for scene in scenes]
        name, unit, limits = "mean landmark error", "mm", None
    curves = [
        Curve(values=value, fps=scene.clip.fps, title=title)
        for value, scene, title in zip(values, scenes, titles, strict=True)
    ]
    return CurvePlot(curves, name=name, unit=unit, limits=limits)
