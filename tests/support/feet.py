"""Feet and pelvis of built-in motions and of someone who stands, as contact detection sees them."""

from typing import NamedTuple

import numpy as np

from musclemap.datasets.synthetic.pose import BALL, HEEL
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.retarget.config import ContactConfig, ScaleConfig
from musclemap.retarget.targets.contacts import Stance, estimate_stance, velocity
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk

FPS = 100.0
CONTACT = ContactConfig()


class Moving(NamedTuple):
    """Pelvis, shape (nframe, 3), and heels and balls in the order of contacts, shape (nframe, 4, 3), world [m]."""

    pelvis: np.ndarray
    points: np.ndarray


def builtin(name: str) -> Moving:
    motion = synthesise(name, fps=FPS)
    pos, mat = source_fk(motion.rotvec, motion.trans, mean_joints())
    points = []
    for side in ("left", "right"):
        ankle = BODY_NAMES.index(f"{side}_ankle")
        points += [pos[:, ankle] + mat[:, ankle] @ HEEL, pos[:, ankle] + mat[:, ankle] @ BALL]
    return Moving(pos[:, 0], np.stack(points, axis=1))


def stance_of(moving: Moving, *, subject: float = 1.0, floor: float = 0.0, prior: float = 1.0) -> Stance:
    """Stance of a subject of another size, on a floor at another height; the feet are of the target's size."""
    pelvis = subject * moving.pelvis + [0.0, 0.0, floor]
    feet = moving.points - moving.pelvis[:, None]
    return estimate_stance(pelvis, feet, fps=FPS, prior=prior, scale_config=ScaleConfig(), contact_config=CONTACT)


def truly_standing(moving: Moving) -> np.ndarray:
    """Points on the ground that have not moved for three frames and will not for three, shape (nframe, 4)."""
    still = (np.linalg.norm(velocity(moving.points, FPS), axis=2) < 0.02) & (moving.points[..., 2] < 0.003)
    return np.array([still[max(0, t - 3) : t + 4].all(axis=0) for t in range(len(still))])


def standing_still(nframe: int = 300) -> Moving:
    """Both feet flat on the ground, a hand's breadth apart, the pelvis above them."""
    feet = np.array([[0.0, 0.1, 0.0], [0.15, 0.1, 0.0], [0.0, -0.1, 0.0], [0.15, -0.1, 0.0]])
    return Moving(np.tile([0.05, 0.0, 0.9], (nframe, 1)), np.tile(feet, (nframe, 1, 1)))


def eased(start: int, stop: int, nframe: int) -> np.ndarray:
    """0 until `start`, 1 from `stop` on, smooth between, shape (nframe,)."""
    s = np.clip((np.arange(nframe) - start) / (stop - start), 0.0, 1.0)
    return s**3 * (10 - 15 * s + 6 * s**2)
