"""Which axis of a file's world points up, for skeletons and markers that show it by their posture."""

import numpy as np

from musclemap.datasets.motion import SourceWarning
from musclemap.reason_codes import ReasonCode

UPRIGHT = 0.75
"""Component of the mean direction of trunk and legs along an axis from which that axis is certainly up."""

UP_TO_Z = {
    "x": [[0, 0, -1], [0, 1, 0], [1, 0, 0]], "-x": [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
    "y": [[1, 0, 0], [0, 0, -1], [0, 1, 0]], "-y": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    "z": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "-z": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
}  # fmt: skip
"""Rotation from a world with an axis up to one with z up, shape (3, 3), by the axis."""


def nearest_axis(direction: np.ndarray) -> str:
    """The axis closest to a direction, such as "y" or "-y"."""
    k = int(np.argmax(np.abs(direction)))
    return f"{'-' if direction[k] < 0 else ''}{'xyz'[k]}"


def assumed_up(axis: str, evidence: str) -> SourceWarning:
    """The warning that an axis was taken as the vertical one, and why."""
    text = f"{axis} was taken as the vertical axis: {evidence}; if not, add --up"
    return SourceWarning(ReasonCode.ASSUMED_UP, text)
