"""Size of the body in a motion, relative to a mean adult, from feet that stand.

A standing foot does not move: the pelvis's velocity is opposite to that of the foot relative to the pelvis, and the
latter is proportional to the size of the body. So the ratio of the two is that size in the unit of the translation:
0.55 for a child, 100 for an adult whose translation is in centimetres. It depends neither on the frame rate, nor on the
height of the floor, nor on the axes of the world.
"""

import numpy as np

from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk

SCALES = np.geomspace(0.2, 4000.0, 100)
"""Sizes that are tried first; the step is 10 %."""

FINER = np.geomspace(0.9, 1.1, 21)
"""Factors on the best of them; the step is 1 %."""

MAX_FRAMES = 6_000
"""Frames examined, from the start."""

MAX_SAMPLES = 500
"""Frames compared with each size."""

MIN_SAMPLES = 12
"""Smallest number of frames with moving feet that shows a size."""

STANDING = 0.3
"""Largest speed of a standing foot relative to that of the pelvis."""

_FOOT_SPEED = 0.2  # of a foot relative to the pelvis, in frames that show the size [m/s]
_FEET = [BODY_NAMES.index(f"{side}_{part}") for side in ("left", "right") for part in ("ankle", "foot")]


def stance_scale(rotvec: np.ndarray, trans: np.ndarray, *, fps: float) -> float | None:
    """Size of the body in the unit of the translation, relative to a mean adult in metres.

    Args:
        rotvec: Axis-angle of the 22 common joints, shape (nframe, 22, 3) [rad].
        trans: Translation, shape (nframe, 3), in any unit.
        fps: Frame rate [Hz].

    Returns:
        The size, to a few per cent; None if no foot stands, or the body hardly moves.
    """
    rotvec, trans = rotvec[:MAX_FRAMES], trans[:MAX_FRAMES]
    if len(rotvec) < MIN_SAMPLES:
        return None
    xpos, _ = source_fk(rotvec, np.zeros((len(rotvec), 3)), mean_joints())
    feet = np.gradient(xpos[:, _FEET], 1.0 / fps, axis=0)
    pelvis = np.gradient(trans, 1.0 / fps, axis=0)
    rows = np.flatnonzero(np.linalg.norm(feet, axis=2).max(axis=1) > _FOOT_SPEED)
    rows = rows[:: max(1, len(rows) // MAX_SAMPLES)]
    speed = float(np.median(np.linalg.norm(pelvis[rows], axis=1))) if len(rows) >= MIN_SAMPLES else 0.0
    if speed <= 0.0:
        return None
    feet, pelvis = feet[rows], pelvis[rows, None]

    def slip(scale: float) -> float:
        """Median speed of the slowest foot."""
        return float(np.median(np.linalg.norm(pelvis + scale * feet, axis=2).min(axis=1)))

    coarse = int(np.argmin([slip(scale) for scale in SCALES]))
    if coarse in (0, len(SCALES) - 1):
        return None
    best = min((float(SCALES[coarse] * factor) for factor in FINER), key=slip)
    return best if slip(best) < STANDING * speed else None
