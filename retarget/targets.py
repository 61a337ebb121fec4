"""From a source motion to what the target body is asked to do: landmark positions, orientations, contacts, floor."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion
from musclemap.skeletons.myofullbody import LANDMARKS
from musclemap.skeletons.smpl import BODY_NAMES
from musclemap.skeletons.source_kinematics import source_fk

from .config import RetargetConfig
from .contacts import SOURCE_PELVIS_HEIGHT, Stance, estimate_stance, runs
from .proportions import Proportions

_JOINT = {name: k for k, name in enumerate(BODY_NAMES)}
_CARRIER = np.array([_JOINT[landmark.carrier] for landmark in LANDMARKS])
_CONTACT_CARRIER = np.array([_JOINT[name] for name in ("left_ankle", "left_foot", "right_ankle", "right_foot")])
ORIENTED = np.array([k for k, landmark in enumerate(LANDMARKS) if landmark.orientation is not None])
"""Indices of the landmarks that have an orientation target."""
_ORIENTING = np.array([_JOINT[LANDMARKS[k].orientation or ""] for k in ORIENTED])


@dataclass(frozen=True, kw_only=True)
class MotionTargets:
    """Targets of one motion at the clip's frame rate, in a canonical frame: heading and place of the first frame removed.

    Attributes:
        pos: Landmark positions, shape (nframe, 17, 3) [m].
        rot: Orientations of the oriented landmarks, shape (nframe, noriented, 3, 3).
        anchor: Where each contact point stands, shape (nframe, 4, 3) [m]; meaningless where `contact` is false.
        contact: Shape (nframe, 4) bool.
        floor: Floor under each foot, right then left, shape (nframe, 2) [m].
        stance: Scale, floor and contacts as found.
        heading: Turn about the vertical that leads from the canonical frame back to the world [rad].
        origin: Canonical origin in the world, shape (3,) [m].
        fps: Frames a second.
    """

    pos: np.ndarray
    rot: np.ndarray
    anchor: np.ndarray
    contact: np.ndarray
    floor: np.ndarray
    stance: Stance
    heading: float
    origin: np.ndarray
    fps: float

    @property
    def nframe(self) -> int:
        """Number of frames."""
        return len(self.pos)


def heading_of(pelvis_rot: np.ndarray) -> float:
    """Heading of a pelvis about the vertical, from its left axis and, where that is upright, its forward axis [rad].

    Zero when the subject's left is the world's x.
    """
    left, forward = pelvis_rot[:, 0], pelvis_rot[:, 2]
    if np.hypot(*left[:2]) >= 0.5:
        return float(np.arctan2(left[1], left[0]))
    return float(np.arctan2(forward[1], forward[0]) + np.pi / 2)


def build_targets(motion: SourceMotion, proportions: Proportions, config: RetargetConfig) -> MotionTargets:
    """Carry the target's landmarks on the source's rotations.

    Args:
        motion: Source at the clip's frame rate.
        proportions: Fitted skeleton and offsets.
        config: Thresholds of scale and contact.
    """
    pelvis = motion.trans + [0.0, 0.0, SOURCE_PELVIS_HEIGHT]
    heading = heading_of(Rotation.from_rotvec(motion.rotvec[0, 0]).as_matrix())
    back = Rotation.from_euler("z", -heading).as_matrix()
    place = np.array([*pelvis[0, :2], 0.0])
    rotvec = motion.rotvec.copy()
    rotvec[:, 0] = (Rotation.from_matrix(back) * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    travel = (pelvis - place) @ back.T

    joints = proportions.joints
    xpos, xmat = source_fk(rotvec, np.broadcast_to(-joints[0], travel.shape), joints)
    feet = xpos[:, _CONTACT_CARRIER] + np.einsum("tcij,cj->tci", xmat[:, _CONTACT_CARRIER], proportions.contact_offset)
    stance = estimate_stance(
        travel, feet, fps=motion.fps, prior=proportions.leg_ratio, scale=config.scale, contact=config.contact
    )
    root = stance.scale * travel - [0.0, 0.0, stance.floor]
    pos = xpos[:, _CARRIER] + np.einsum("tlij,lj->tli", xmat[:, _CARRIER], proportions.landmark_offset)
    points = feet + root[:, None]
    return MotionTargets(
        pos=pos + root[:, None],
        rot=xmat[:, _ORIENTING] @ proportions.landmark_rot[ORIENTED],
        anchor=hold(points, stance),
        contact=stance.contact,
        floor=_floor(stance),
        stance=stance,
        heading=heading,
        origin=stance.scale * place,
        fps=motion.fps,
    )


def hold(points: np.ndarray, stance: Stance) -> np.ndarray:
    """Replace every contact by one place: its median over the contact, on the ground under it.

    Args:
        points: Contact points, shape (nframe, 4, 3) [m].
        stance: Contacts and ground.
    """
    anchor = points.copy()
    for k in range(points.shape[1]):
        for start, stop in runs(stance.contact[:, k]):
            anchor[start:stop, k, :2] = np.median(points[start:stop, k, :2], axis=0)
            anchor[start:stop, k, 2] = stance.height[start:stop, k]
    return anchor


def _floor(stance: Stance) -> np.ndarray:
    """Floor under the right and the left foot: 0, or lower where the foot is seen to stand lower, shape (nframe, 2)."""
    left = np.minimum(stance.height[:, :2].min(axis=1), 0.0)
    right = np.minimum(stance.height[:, 2:].min(axis=1), 0.0)
    return np.stack([right, left], axis=1)
