"""Trajectories of feet and pelvis for contact detection: built-in motions and standing."""

from typing import NamedTuple

import numpy as np

from musclemap.datasets.synthetic.pose import BALL, HEEL, TURNS
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.retarget.config import ContactConfig, ScaleConfig
from musclemap.retarget.targets.contacts import Stance, estimate_stance, velocity
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk

FPS = 100.0
CONTACT = ContactConfig()


class Moving(NamedTuple):
    """Pelvis, shape (nframe, 3), and heels and balls in contact order, shape (nframe, 4, 3), world frame [m]."""

    pelvis: np.ndarray
    points: np.ndarray


def builtin(name: str) -> Moving:
    """Trajectories of a built-in motion on the mean skeleton."""
    motion = synthesise(name, fps=FPS)
    pos, mat = source_fk(motion.rotvec, motion.trans, mean_joints())
    points = []
    for side in ("left", "right"):
        ankle = BODY_NAMES.index(f"{side}_ankle")
        points += [pos[:, ankle] + mat[:, ankle] @ TURNS[ankle] @ point for point in (HEEL, BALL)]
    return Moving(pos[:, 0], np.stack(points, axis=1))


def stance_of(moving: Moving, *, subject: float = 1.0, floor: float = 0.0, prior: float = 1.0) -> Stance:
    """Estimate stance for a subject scaled by `subject` on a floor at `floor` [m]; the feet keep the target's size."""
    pelvis = subject * moving.pelvis + [0.0, 0.0, floor]
    feet = moving.points - moving.pelvis[:, None]
    return estimate_stance(pelvis, feet, fps=FPS, prior=prior, scale_config=ScaleConfig(), contact_config=CONTACT)


def truly_standing(moving: Moving) -> np.ndarray:
    """Whether each point is on the ground and still from three frames before to three after, shape (nframe, 4)."""
    still = (np.linalg.norm(velocity(moving.points, FPS), axis=2) < 0.02) & (moving.points[..., 2] < 0.003)
    return np.array([still[max(0, t - 3) : t + 4].all(axis=0) for t in range(len(still))])


def standing_still(nframe: int = 300) -> Moving:
    """Standing with both feet flat on the ground, 0.2 m apart, below the pelvis."""
    feet = np.array([[0.0, 0.1, 0.0], [0.15, 0.1, 0.0], [0.0, -0.1, 0.0], [0.15, -0.1, 0.0]])
    return Moving(np.tile([0.05, 0.0, 0.9], (nframe, 1)), np.tile(feet, (nframe, 1, 1)))


def eased(start: int, stop: int, nframe: int) -> np.ndarray:
    """Quintic smoothstep: 0 until `start`, 1 from `stop` on, shape (nframe,)."""
    s = np.clip((np.arange(nframe) - start) / (stop - start), 0.0, 1.0)
    return s**3 * (10 - 15 * s + 6 * s**2)
