"""Prior on the centre of pressure of a stepping foot: it rolls from the heel to the toes as the body passes over it.

Inverse dynamics hardly determines the centre of pressure: an error of 1 mm in the position of the trunk at 4 Hz moves
it by 6 cm. In walking it moves steadily from heel to toes. On force plates under one walk (Rajagopal et al. 2016) its
position along the foot, as a fraction of the foot's length, is 0.34 + 0.30 d / length, where d is the distance of the
centre of mass ahead of the heel. While the body stands nearly still the centre of pressure follows from balance alone,
and the prior has no weight.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from musclemap.intervals import runs
from musclemap.retarget.ramps import smoothstep
from musclemap.skeletons.support import SupportPoints

HEEL_FRACTION, COM_SHARE = 0.34, 0.30
"""Centre of pressure as a fraction of the foot's length when the centre of mass is above the heel, and the distance
that it moves per distance of the centre of mass."""

LOWEST, HIGHEST = 0.0, 0.88
"""Range of the centre of pressure along the foot, as fractions of its length, on the same plates."""

STILL, STEPPING = 0.25, 0.6
"""Speeds of the centre of mass relative to the foot between which the prior's weight rises from 0 to 1 [m/s]."""


@dataclass(frozen=True, kw_only=True)
class RollOver:
    """Expected centre of pressure of each foot.

    Attributes:
        centre: Position on the ground, world frame, shape (nframe, 2, 2) [m].
        weight: Weight, 0 to 1, shape (nframe, 2); 0 while the foot does not bear or the body stands.
    """

    centre: np.ndarray
    weight: np.ndarray

    def __getitem__(self, frames: slice) -> "RollOver":
        return RollOver(centre=self.centre[frames], weight=self.weight[frames])


def roll_over(support: SupportPoints, points: np.ndarray, bearing: np.ndarray, com: np.ndarray, fps: float) -> RollOver:
    """Find the expected centre of pressure of both feet, the first two parts.

    Args:
        support: Support points of the body.
        points: Lowest point of each, shape (nframe, npoint, 3) [m].
        bearing: Whether each part bears, shape (nframe, npart) bool.
        com: Centre of mass, shape (nframe, 3) [m].
        fps: Frame rate [Hz].
    """
    nframe = len(points)
    centre, weight = np.zeros((nframe, 2, 2)), np.zeros((nframe, 2))
    velocity = np.gradient(com[:, :2], 1.0 / fps, axis=0) if nframe > 1 else np.zeros((nframe, 2))
    velocity = uniform_filter1d(velocity, max(1, round(0.2 * fps)), axis=0, mode="nearest")
    for foot in range(2):
        own = support.part == foot
        carriers = np.unique(support.carrier[own])
        if len(carriers) < 2:  # heel and toes, in this order
            continue
        rear, front = (points[:, own & (support.carrier == carrier), :2].mean(axis=1) for carrier in carriers[:2])
        for start, stop in runs(bearing[:, foot]):
            part = slice(start, stop)
            flat = start + int(np.abs(points[part][:, own, 2]).max(axis=1).argmin())
            axis = front[flat] - rear[flat]
            axis /= max(float(np.linalg.norm(axis)), 1e-6)
            along = points[flat][own, :2] @ axis
            heel, length = along.min(), np.ptp(along)
            ahead = com[part, :2] @ axis - heel
            position = np.clip(HEEL_FRACTION * length + COM_SHARE * ahead, LOWEST * length, HIGHEST * length)
            across = 0.5 * (rear[flat] + front[flat])
            across = across - (across @ axis) * axis
            centre[part, foot] = across + (heel + position)[:, None] * axis
            speed = np.abs(velocity[part] @ axis)
            rise = np.clip((speed - STILL) / (STEPPING - STILL), 0.0, 1.0)
            weight[part, foot] = smoothstep(rise)
    return RollOver(centre=centre, weight=weight)
