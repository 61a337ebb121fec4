"""From a source motion to what the target body is asked to do: landmark positions, orientations, contacts, floor."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.resample import CHUNK
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.source_kinematics import source_fk

from .contacts import Stance, estimate_stance, velocity
from .foot_lock import contact_weight, foot_shift, lock_contacts
from .proportions import Proportions, leg_length

_JOINT = {name: k for k, name in enumerate(BODY_NAMES)}
_CONTACT_CARRIER = np.array([_JOINT[name] for name in ("left_ankle", "left_foot", "right_ankle", "right_foot")])


@dataclass(frozen=True, kw_only=True)
class MotionTargets:
    """Targets of one motion at the clip's frame rate, in a canonical frame: heading and place of the first frame
    removed.

    Attributes:
        pos: Landmark positions, feet put where they stand, shape (nframe, nlandmark, 3) [m].
        rot: Orientations of the oriented landmarks, shape (nframe, noriented, 3, 3).
        carrier_rot: Orientation of the carriers of the calibrated landmarks, shape (nframe, ncalibrated, 3, 3).
        anchor: Where each contact point stands, shape (nframe, 4, 3) [m]; meaningless where `contact` is 0.
        contact: How firmly each point stands, 0 to 1, with soft ends, shape (nframe, 4).
        floor: Floor under each foot, right then left, shape (nframe, 2) [m].
        stance: Scale, floor and contacts as found.
        heading: Turn about the vertical that leads from the canonical frame back to the world [rad].
        origin: Canonical origin in the world, shape (3,) [m].
        stance_speed: Mean speed of the source's own standing points, in the target's size [m/s].
        foot_shift: Mean distance that standing feet were moved to stand still on the floor [m].
        fps: Frames a second.
    """

    pos: np.ndarray
    rot: np.ndarray
    carrier_rot: np.ndarray
    anchor: np.ndarray
    contact: np.ndarray
    floor: np.ndarray
    stance: Stance
    heading: float
    origin: np.ndarray
    stance_speed: float
    foot_shift: float
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


class _Carried(NamedTuple):
    """What the source's bones carry, relative to the pelvis joint; see `MotionTargets` for the shapes."""

    feet: np.ndarray
    pos: np.ndarray
    rot: np.ndarray
    carrier_rot: np.ndarray


def _carry(body: TargetBody, rotvec: np.ndarray, proportions: Proportions) -> _Carried:
    """Run the source's kinematics a stretch of frames at a time: matrices of 22 joints are the largest thing here."""
    nframe, joints = len(rotvec), proportions.joints
    carrier = np.array([_JOINT[landmark.carrier] for landmark in body.landmarks])
    orienting = np.array([_JOINT[body.landmarks[k].orientation or ""] for k in body.oriented])
    calibrated = carrier[[body.landmark_names.index(name) for name in body.fit.calibrated]]
    out = _Carried(
        feet=np.empty((nframe, 4, 3)),
        pos=np.empty((nframe, body.nlandmark, 3)),
        rot=np.empty((nframe, len(orienting), 3, 3), np.float32),
        carrier_rot=np.empty((nframe, len(calibrated), 3, 3), np.float32),
    )
    for low in range(0, nframe, CHUNK):
        part = slice(low, low + CHUNK)
        origin = np.broadcast_to(-joints[0], (len(rotvec[part]), 3))
        xpos, xmat = source_fk(rotvec[part], origin, joints)
        place = lambda bones, offset, x=xpos, r=xmat: x[:, bones] + np.einsum("tbij,bj->tbi", r[:, bones], offset)  # noqa: E731
        out.feet[part] = place(_CONTACT_CARRIER, proportions.contact_offset)
        out.pos[part] = place(carrier, proportions.landmark_offset)
        out.rot[part] = xmat[:, orienting] @ proportions.landmark_rot[body.oriented]
        out.carrier_rot[part] = xmat[:, calibrated]
    return out


def build_targets(
    body: TargetBody, motion: SourceMotion, proportions: Proportions, config: RetargetConfig, *,
    source_joints: np.ndarray,
) -> MotionTargets:  # fmt: skip
    """Carry the target's landmarks on the source's rotations.

    Args:
        body: Target.
        motion: Source at the clip's frame rate.
        proportions: Fitted skeleton and offsets.
        source_joints: The subject's own rest joints, as well as they are known, shape (22, 3) [m]: where the pelvis
            lies from `trans`, and the stature that is the scale's first guess.
        config: Thresholds of scale and contact.
    """
    pelvis = motion.trans + source_joints[0]
    heading = heading_of(Rotation.from_rotvec(motion.rotvec[0, 0]).as_matrix())
    prior = leg_length(proportions.joints) / leg_length(source_joints)
    back = Rotation.from_euler("z", -heading).as_matrix()
    place = np.array([*pelvis[0, :2], 0.0])
    rotvec = motion.rotvec.copy()
    rotvec[:, 0] = (Rotation.from_matrix(back) * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    travel = (pelvis - place) @ back.T

    carried = _carry(body, rotvec, proportions)
    feet = carried.feet
    stance = estimate_stance(travel, feet, fps=motion.fps, prior=prior, scale=config.scale, contact=config.contact)
    root = stance.scale * travel - [0.0, 0.0, stance.floor]
    points = feet + root[:, None]
    anchor = lock_contacts(points, stance, fps=motion.fps)
    shift = foot_shift(points, anchor, stance.contact, motion.fps)
    pos = carried.pos
    pos += root[:, None]
    for landmark, along in body.fit.along_foot.items():
        heel, toe = (2, 3) if landmark.endswith("_r") else (0, 1)
        pos[:, body.landmark_names.index(landmark)] += (1 - along) * shift[:, heel] + along * shift[:, toe]
    stands = stance.contact
    return MotionTargets(
        pos=pos,
        rot=carried.rot,
        carrier_rot=carried.carrier_rot,
        anchor=anchor,
        contact=contact_weight(stands, motion.fps),
        floor=_floor(stance),
        stance=stance,
        heading=heading,
        origin=stance.scale * place,
        stance_speed=_mean_speed(points, stands, motion.fps),
        foot_shift=float(np.linalg.norm(shift, axis=2)[stands].mean()) if stands.any() else 0.0,
        fps=motion.fps,
    )


def _mean_speed(points: np.ndarray, contact: np.ndarray, fps: float) -> float:
    speed = np.linalg.norm(velocity(points, fps), axis=2)
    return float(speed[contact].mean()) if contact.any() else 0.0


def _floor(stance: Stance) -> np.ndarray:
    """Floor under the right and the left foot: 0, or lower where the foot is seen to stand lower, shape (nframe, 2)."""
    left = np.minimum(stance.height[:, :2].min(axis=1), 0.0)
    right = np.minimum(stance.height[:, 2:].min(axis=1), 0.0)
    return np.stack([right, left], axis=1)
