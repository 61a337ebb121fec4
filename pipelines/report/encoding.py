"""Curves made small enough for a page: fewer points, 16 bits each, as text."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_POINTS = 400
"""Points of one curve: about as many as there are pixels to draw them in."""

MAX_CURVE_BYTES = 125_000
"""Text that the curves of one clip may take; beyond it every curve gets fewer points."""

_LINE_BYTES = 110  # text around the numbers of a line: its name, side, limits
_MIN_POINTS = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """One curve.

    Attributes:
        name: What it is, within its panel.
        values: Shape (nframe,), in the panel's unit.
        side: "r", "l" or "" for its colour.
        lower: Limit below, or None.
        upper: Limit above, or None.
        dashed: Draw it broken, to tell two of one side apart.
    """

    name: str
    values: np.ndarray
    side: str = ""
    lower: float | None = None
    upper: float | None = None
    dashed: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """Curves that share one pair of axes.

    Attributes:
        title: What is drawn.
        unit: Of the values.
        lines: The curves.
        bars: Stretches of time drawn as bars under the curves: name, side, and a mask of shape (nframe,).
        least: Smallest span of the axis, so that noise on a still joint is not drawn as a motion.
        wide: Give it the whole width of the page.
    """

    title: str
    unit: str
    lines: tuple[Line, ...]
    bars: tuple[tuple[str, str, np.ndarray], ...] = ()
    least: float = 1.0
    wide: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """Panels under one heading, shown at once or only when asked for."""

    title: str
    panels: tuple[Panel, ...]
    shown: bool = True


def encode(sections: Sequence[Section], *, nframe: int, fps: float) -> dict[str, Any]:
    """Turn curves into plain values for JSON.

    Args:
        sections: The curves, each of `nframe` values.
        nframe: Frames of the clip.
        fps: Frames a second.

    Returns:
        `sections` with every line's points as [lowest value, step, base64 of little-endian uint16], `start` and `step`,
        the times of the first point and between points [s], and `per_point`, frames that a pair of points stands for:
        1 where nothing was left out.
    """
    count = max(sum(len(panel.lines) for section in sections for panel in section.panels), 1)
    room = int((MAX_CURVE_BYTES / count - _LINE_BYTES) * 3 / 8)
    width = _bin_width(nframe, points=int(np.clip(room, _MIN_POINTS, MAX_POINTS)))
    start, step = (0.0, 1.0) if width == 1 else (width / 4 - 0.5, width / 2)
    return {
        "start": start / fps,
        "step": step / fps,
        "per_point": width,
        "sections": [
            {"title": section.title, "shown": section.shown, "panels": [_panel(p, width) for p in section.panels]}
            for section in sections
        ],
    }


def _bin_width(nframe: int, *, points: int) -> int:
    """Frames that two points, a smallest and a largest value, stand for; 1 where every frame has its point."""
    return 1 if nframe <= points else -(-nframe // (points // 2))


def _panel(panel: Panel, width: int) -> dict[str, Any]:
    lines = [
        {
            "name": line.name, "side": line.side, "dashed": line.dashed, "lower": line.lower, "upper": line.upper,
            "points": quantise(decimate(line.values, width=width)),
        }
        for line in panel.lines
    ]  # fmt: skip
    bars = [{"name": name, "side": side, "frames": runs(mask, width=width)} for name, side, mask in panel.bars]
    plain = {key: getattr(panel, key) for key in ("title", "unit", "least", "wide")}
    return plain | {"lines": lines, "bars": bars}


def decimate(values: np.ndarray, *, width: int) -> np.ndarray:
    """Keep the smallest and the largest of every `width` values, in the order they come in, so that no peak is lost.

    Args:
        values: Shape (nframe,).
        width: Values that one pair stands for; 1 keeps all as they are. The last pair may stand for fewer.

    Returns:
        Shape (nframe,) for width 1, otherwise twice the number of pairs.
    """
    if width == 1:
        return values
    filled = np.pad(values, (0, -len(values) % width), mode="edge").reshape(-1, width)
    pair = np.sort(np.stack([filled.argmin(axis=1), filled.argmax(axis=1)], axis=1), axis=1)
    return np.take_along_axis(filled, pair, axis=1).ravel()


def quantise(values: np.ndarray) -> list[float | str]:
    """Store values, shape (n,), as whole steps above the lowest: off by at most half of 1/65535 of their range."""
    low, high = float(values.min()), float(values.max())
    step = (high - low) / 65535
    level = np.round((values - low) / step) if step > 0 else np.zeros(len(values))
    return [low, step, base64.b64encode(level.astype("<u2").tobytes()).decode()]


def runs(mask: np.ndarray, *, width: int) -> list[list[int]]:
    """Stretches [start, stop) in which a mask, shape (nframe,), holds, to within `width` frames."""
    nframe = len(mask)
    coarse = np.pad(mask.astype(bool), (0, -nframe % width)).reshape(-1, width).any(axis=1)
    edge = np.flatnonzero(np.diff(np.pad(coarse, 1).astype(int)))
    return [[int(a) * width, min(int(b) * width, nframe)] for a, b in zip(edge[::2], edge[1::2], strict=True)]
