"""Curves of a clip over time: muscles, joint angles, moments and ground forces, found by their names."""

import difflib
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.formats.tables import clip_times
from musclemap.errors import ClipError

from .tables import column_names, joint_angles

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _activations(clip: Clip) -> dict[str, np.ndarray]:
    return _columns(clip, "activation")


def _angles(clip: Clip) -> dict[str, np.ndarray]:
    return joint_angles(clip, degrees=True, every=True)


def _moments(clip: Clip) -> dict[str, np.ndarray]:
    return _columns(clip, "joint_moment")


def _forces(clip: Clip) -> dict[str, np.ndarray]:
    """Vertical component of the ground's force on each support."""
    return {name: force[:, 2] for name, force in _columns(clip, "ground_force").items()}


QUANTITIES: dict[str, tuple[Callable[[Clip], dict[str, np.ndarray]], str]] = {
    "activation": (_activations, "activation (0 to 1)"),
    "angle": (_angles, "angle [deg]"),
    "force": (_forces, "vertical ground force [N]"),
    "moment": (_moments, "joint moment [Nm]"),
}
"""Curves by name, and the label of their axis; a name is searched in this order."""


def plot_curves(
    clip: Clip, names: Sequence[str], *, quantity: str | None = None, ax: "Axes | None" = None
) -> "Axes":
    """See `Clip.plot`."""
    if not names:
        raise ClipError("plot needs the name of a muscle, a joint or a support, such as clip.plot('soleus_r')")
    if quantity is not None and quantity not in QUANTITIES:
        raise ClipError(f"there is no quantity {quantity!r}; the quantities are {', '.join(QUANTITIES)}")
    curves, label = _find(clip, names, [quantity] if quantity else list(QUANTITIES))
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots(layout="constrained")[1]
    for name, values in curves.items():
        ax.plot(clip_times(clip), values, label=name)
    ax.set(xlabel="time [s]", ylabel=label, title=clip.source)
    ax.legend()
    return ax


def _find(clip: Clip, names: Sequence[str], quantities: Sequence[str]) -> tuple[dict[str, np.ndarray], str]:
    """Curves of the first quantity that has all the names, and the label of their axis."""
    known: list[str] = []
    for quantity in quantities:
        read, label = QUANTITIES[quantity]
        curves = read(clip)
        found = {name: [key for key in curves if fnmatchcase(key, name)] for name in names}
        if all(found.values()):
            return {key: curves[key] for keys in found.values() for key in keys}, label
        known += curves
    wrong = next((name for name in names if not any(fnmatchcase(key, name) for key in known)), None)
    if wrong is None:
        raise ClipError(f"{', '.join(names)} are of different quantities; plot each in its own call, with ax=")
    close = difflib.get_close_matches(wrong, known, n=5, cutoff=0.4)
    if close:
        raise ClipError(f"there is no {wrong!r} in this clip; close names: {', '.join(close)}")
    reason = "" if clip.activation is not None else "; it has no activations: mm.validate(..., muscles=True) adds them"
    raise ClipError(f"there is no {wrong!r} in this clip{reason}")


def _columns(clip: Clip, key: str) -> dict[str, np.ndarray]:
    """Columns of an array by name; empty if the clip lacks the array."""
    array = getattr(clip, key)
    return {} if array is None else dict(zip(column_names(clip, key), np.moveaxis(array, 1, 0), strict=True))
