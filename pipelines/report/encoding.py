"""Compact encoding of curves for a page: fewer points, 16 bits each, in base64."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_POINTS = 400
"""Maximum number of points per curve: about the width of a chart in pixels."""

MAX_CURVE_BYTES = 125_000
"""Maximum size of the curves of one clip [B]; if they need more, every curve gets fewer points."""

SMOOTH = 0.01
"""Largest error of a sampled curve relative to its range: about one pixel of a chart."""

_CURVE_BYTES = 110  # overhead of a curve: its name, side and limits
_MIN_POINTS = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """One curve.

    Attributes:
        name: Name within its chart.
        values: Values in the unit of the chart, shape (nframe,).
        side: "r", "l" or ""; sets the colour.
        lower: Lower limit, or None.
        upper: Upper limit, or None.
        dashed: Whether the line is dashed, to distinguish two curves of one side.
    """

    name: str
    values: np.ndarray
    side: str = ""
    lower: float | None = None
    upper: float | None = None
    dashed: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Band:
    """Range of published values, drawn behind the curves: two arrays of shape (nframe,)."""

    lower: np.ndarray
    upper: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Chart:
    """Curves that share one pair of axes.

    Attributes:
        title: Title.
        unit: Unit of the values.
        curves: The curves.
        bars: Intervals drawn as bars under the curves: name, side, and mask of shape (nframe,).
        least: Smallest span of the vertical axis, so that noise on a still joint does not look like motion.
        wide: Whether the chart takes the full width of the page.
        label: Text beside the vertical axis, such as the positive direction, or "".
        note: One sentence shown under the title on demand, or "".
        band: Published range, or None.
    """

    title: str
    unit: str
    curves: tuple[Curve, ...]
    bars: tuple[tuple[str, str, np.ndarray], ...] = ()
    least: float = 1.0
    wide: bool = False
    label: str = ""
    note: str = ""
    band: Band | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """Charts under one heading, unfolded at first if `shown`."""

    title: str
    charts: tuple[Chart, ...]
    shown: bool = True


def encode(sections: Sequence[Section], *, nframe: int, fps: float) -> dict[str, Any]:
    """Convert curves to plain values for JSON.

    Args:
        sections: The curves, with `nframe` values each.
        nframe: Number of frames of the clip.
        fps: Frames per second.

    Returns:
        `sections`, with the points of every curve as [lowest value, step, base64 of little-endian uint16]; `start` and
        `step`, the time of the first point and the time between points [s]; and `per_point`, the number of frames that
        a pair of points stands for, or 1 if every frame has its own point.
    """
    count = max(sum(len(chart.curves) for section in sections for chart in section.charts), 1)
    budget = int((MAX_CURVE_BYTES / count - _CURVE_BYTES) * 3 / 8)
    width = _bin_width(nframe, points=int(np.clip(budget, _MIN_POINTS, MAX_POINTS)))
    start, step = (0.0, 1.0) if width == 1 else (width / 4 - 0.5, width / 2)
    return {
        "start": start / fps,
        "step": step / fps,
        "per_point": width,
        "sections": [
            {"title": section.title, "shown": section.shown, "panels": [_chart(p, width) for p in section.charts]}
            for section in sections
        ],
    }


def _bin_width(nframe: int, *, points: int) -> int:
    """Frames per pair of points, a minimum and a maximum; 1 if every frame has its own point."""
    return 1 if nframe <= points else -(-nframe // (points // 2))


def _chart(chart: Chart, width: int) -> dict[str, Any]:
    curves = [
        {
            "name": curve.name, "side": curve.side, "dashed": curve.dashed, "lower": curve.lower, "upper": curve.upper,
            "points": quantise(decimate(curve.values, width=width)),
        }
        for curve in chart.curves
    ]  # fmt: skip
    bars = [{"name": name, "side": side, "frames": runs(mask, width=width)} for name, side, mask in chart.bars]
    plain = {key: getattr(chart, key) for key in ("title", "unit", "least", "wide", "label", "note")}
    edges = (chart.band.lower, chart.band.upper) if chart.band else ()
    band = [quantise(decimate(edge, width=width)) for edge in edges]
    return plain | {"lines": curves, "bars": bars, "band": band}


def decimate(values: np.ndarray, *, width: int) -> np.ndarray:
    """Keep two of every `width` values so that no peak is lost.

    A smooth curve is sampled at the times at which the page draws the points. Where straight lines between these would
    miss a value by more than `SMOOTH` of the range, the minimum and the maximum of each bin are kept, in their order.

    Args:
        values: Shape (nframe,).
        width: Number of values per pair; 1 keeps all values. The last pair may stand for fewer.

    Returns:
        Shape (nframe,) for width 1, otherwise twice the number of pairs.
    """
    if width == 1:
        return values
    frames, count = np.arange(len(values)), 2 * -(-len(values) // width)
    drawn = width / 4 - 0.5 + np.arange(count) * width / 2
    sampled = np.interp(drawn, frames, values)
    within = drawn[drawn <= frames[-1]]
    outside = (frames < within[0]) | (frames > within[-1])  # the first and last half of a point: a little off
    error = np.abs(np.interp(frames, drawn, sampled) - values) / np.where(outside, 5.0, 1.0)
    if error.max() <= SMOOTH * np.ptp(values):
        return sampled
    bins = np.pad(values, (0, -len(values) % width), mode="edge").reshape(-1, width)
    pair = np.sort(np.stack([bins.argmin(axis=1), bins.argmax(axis=1)], axis=1), axis=1)
    return np.take_along_axis(bins, pair, axis=1).ravel()


def quantise(values: np.ndarray) -> list[float | str]:
    """Store values, shape (n,), as integer steps above the lowest; the error is at most 1/131070 of their range."""
    low, high = float(values.min()), float(values.max())
    step = (high - low) / 65535
    level = np.round((values - low) / step) if step > 0 else np.zeros(len(values))
    return [low, step, base64.b64encode(level.astype("<u2").tobytes()).decode()]


def runs(mask: np.ndarray, *, width: int) -> list[list[int]]:
    """Intervals [start, stop) in which a mask, shape (nframe,), is true, to within `width` frames."""
    nframe = len(mask)
    coarse = np.pad(mask.astype(bool), (0, -nframe % width)).reshape(-1, width).any(axis=1)
    edge = np.flatnonzero(np.diff(np.pad(coarse, 1).astype(int)))
    return [[int(a) * width, min(int(b) * width, nframe)] for a, b in zip(edge[::2], edge[1::2], strict=True)]
