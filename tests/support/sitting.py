"""Sitting down on a chair that the motion does not have: nothing can bear the body while it sits."""

import numpy as np

from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.exercises import (
    ANKLE_HEIGHT,
    AT_SIDE,
    ELBOW,
    HIPS_AHEAD,
    HIPS_HEIGHT,
    compose,
    planted,
    there_and_back,
    vector,
)
from musclemap.datasets.synthetic.pose import SHANK, THIGH, arm, turn

SIT_START, SIT_END = 1.6, 5.2
"""Time between which the hips are behind the feet or on the seat [s]."""


def sit_on_chair(*, standing: float = 0.0, fps: float = 60.0) -> SourceMotion:
    """Stand, sit on a seat at knee height for two seconds, and stand up, with the feet where they are.

    Args:
        standing: Additional time of standing before and after [s].
        fps: Frame rate [Hz].
    """
    time = np.arange(round((7.0 + 2 * standing) * fps) + 1) / fps - standing
    down = there_and_back(time, 0.6, 2.4, 4.4, 6.2)
    lean = there_and_back(time, 0.6, 1.6, 1.6, 2.4) + there_and_back(time, 4.4, 5.2, 5.2, 6.2)
    seat_height, behind = ANKLE_HEIGHT - float(SHANK[1]), -0.97 * float(THIGH[1])
    hips = vector(0.0, HIPS_HEIGHT + (seat_height - HIPS_HEIGHT) * down, HIPS_AHEAD - (behind + HIPS_AHEAD) * down)
    trunk = turn("x", np.deg2rad(40.0) * lean)
    ankles, feet = planted(time)
    still = np.zeros_like(time)
    arms = arm(still, AT_SIDE + still, ELBOW + still)
    rotvec, trans = compose(hips, trunk, trunk, ankles, feet, {"left": arms, "right": arms})
    return SourceMotion(
        name="sit_on_chair.npz", rotvec=rotvec, hand_rotvec=None, trans=trans, betas=np.zeros(16), gender="neutral",
        family="smplh", fps=fps, fps_source="synthetic", source_fps=fps, sha256="", licence="CC0-1.0",
    )  # fmt: skip
