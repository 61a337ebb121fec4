"""Where muscles cannot supply the torque that a motion requires."""

from dataclasses import dataclass

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.intervals import runs
from musclemap.pipelines.report.anatomy import body_part
from musclemap.retarget.checks.verdict import RULES

LACK_NM = next(rule.warn for rule in RULES if rule.metric == "unmet_torque_nm")
"""Torque that muscles must lack [Nm], the limit of the rule for the mean of a clip."""

LACK_SECONDS = 0.1
"""Shortest time without it [s], as for support (`unsupported_s`): the impact of a landing is shorter."""

GAP_SECONDS = 0.05
"""Times apart by less than this are one [s], as in the reasons of a verdict at 100 Hz."""


@dataclass(frozen=True, kw_only=True)
class Shortfall:
    """The joint that lacks the most torque for a time.

    Attributes:
        joint: Name of the joint.
        torque: Largest torque that its muscles lack in this time [Nm].
        start: Start of the time [s].
        stop: End of the time [s].
    """

    joint: str
    torque: float
    start: float
    stop: float

    @property
    def text(self) -> str:
        """Such as "lower back lacks 149 Nm from 0.80 to 1.45 s"."""
        return f"{body_part(self.joint)} lacks {self.torque:.0f} Nm from {self.start:.2f} to {self.stop:.2f} s"


def find_shortfall(clip: Clip) -> Shortfall | None:
    """Find the largest lack of torque of more than `LACK_NM` for `LACK_SECONDS` or longer.

    Args:
        clip: The clip. One without activations, or whose torques have no names, has no known shortfall.

    Returns:
        The shortfall, or None.
    """
    if clip.activation_residual is None or len(clip.moment_names) != clip.activation_residual.shape[1]:
        return None
    lack = np.abs(clip.activation_residual.astype(np.float64))
    found = []
    for column in np.flatnonzero(lack.max(axis=0) > LACK_NM):
        for start, stop in _joined(runs(lack[:, column] > LACK_NM), gap=GAP_SECONDS * clip.fps):
            if stop - start >= LACK_SECONDS * clip.fps:
                torque = float(lack[start:stop, column].max())
                found.append((torque, start, stop, clip.moment_names[column]))
    if not found:
        return None
    torque, start, stop, joint = max(found)
    return Shortfall(joint=joint, torque=torque, start=start / clip.fps, stop=stop / clip.fps)


def _joined(intervals: list[tuple[int, int]], *, gap: float) -> list[tuple[int, int]]:
    """Join intervals with fewer frames than `gap` between them."""
    joined: list[tuple[int, int]] = []
    for start, stop in intervals:
        if joined and start - joined[-1][1] < gap:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined
