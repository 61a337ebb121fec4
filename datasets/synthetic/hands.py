"""Moving hands for built-in motions, whose own hands are flat."""

from dataclasses import replace

import numpy as np

from musclemap.datasets.motion import SourceMotion
from musclemap.skeletons.smpl.joints import HAND_NAMES

CLOSED = {"1": np.deg2rad(55.0), "2": np.deg2rad(70.0), "3": np.deg2rad(35.0)}
"""Flexion of the fingers' three joints in the closed hand [rad]: a loose fist, within every range of the targets."""

THUMB = np.deg2rad(25.0)
"""Flexion of the thumb's two outer joints in the closed hand [rad]."""


def close_hands(motion: SourceMotion, *, period: float = 2.0) -> SourceMotion:
    """Open and close both hands, the left half a period after the right, from a flat hand at the start.

    Args:
        motion: Motion whose fingers are replaced.
        period: Time from one closed hand to the next [s].
    """
    time = np.arange(motion.nframe) / motion.fps
    fade = np.clip(time / (0.25 * period), 0.0, 1.0)
    rotvec = np.zeros((motion.nframe, 2 * len(HAND_NAMES["left"]), 3))
    for side, first, phase in (("left", 0, 0.5), ("right", len(HAND_NAMES["left"]), 0.0)):
        closed = fade * 0.5 * (1.0 - np.cos(2.0 * np.pi * (time / period - phase)))
        curl = -1.0 if side == "left" else 1.0  # about the source's z axis, which points forward
        for k, name in enumerate(HAND_NAMES[side], start=first):
            if "thumb" in name:
                # Flexion of the thumb turns about the hand's own axis and the vertical.
                rotvec[:, k, 1] = 0.0 if name.endswith("1") else -curl * THUMB * closed
            else:
                rotvec[:, k, 2] = curl * CLOSED[name[-1]] * closed
    return replace(motion, hand_rotvec=rotvec)
