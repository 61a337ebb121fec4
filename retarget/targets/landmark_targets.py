"""Targets of the fit from a source motion: landmark positions, orientations, contacts and floor."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.resample import FRAMES_PER_CHUNK
from musclemap.skeletons.base_motion import BasePath
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.source_kinematics import leg_length, source_fk

from .contacts import PartMotion, Stance, estimate_stance, velocity
from .foot_lock import contact_weight, foot_shift, lock_contacts
from .part_motion import part_motion
from .proportions import Proportions
from .treadmill import find_travel

_JOINT = {name: k for k, name in enumerate(BODY_NAMES)}
_CONTACT_CARRIER = np.array([_JOINT[name] for name in ("left_ankle", "left_foot", "right_ankle", "right_foot")])


@dataclass(frozen=True, kw_only=True)
class MotionTargets:
    """Targets of one motion at the clip's frame rate, in a canonical frame.

    In the canonical frame the pelvis of the first frame has no heading and is above the origin.

    Attributes:
        pos: Landmark positions, with feet locked to their contacts, shape (nframe, nlandmark, 3) [m].
        rot: Orientations of the oriented landmarks, shape (nframe, noriented, 3, 3).
        carrier_rot: Orientations of the carriers of the calibrated landmarks, shape (nframe, ncalibrated, 3, 3).
        anchor: Anchor of each contact point, shape (nframe, 4, 3) [m]; ignored where `contact` is 0.
        contact: Weight of each contact, 0 to 1, with ramps at its ends, shape (nframe, 4).
        floor: Height of the floor under each foot, right then left, shape (nframe, 2) [m].
        stance: Estimated scale, floor and contacts.
        heading: Rotation about the vertical from the canonical frame to the world [rad].
        origin: Origin of the canonical frame in the world, shape (3,) [m].
        stance_speed: Mean speed of the source's contact points during contact, in the target's size [m/s].
        foot_shift: Mean distance that contact points were moved to their anchors [m].
        fps: Frame rate [Hz].
        travel: Velocity that was added to a motion on a treadmill, canonical frame, shape (2,) [m/s]; otherwise zero.
        angles: Angles that the source states for joints of the body, shape (nframe, njoint) [rad], NaN for other
            joints; None if it states none.
        base: Path of what a fixed body is attached to, in a frame whose z is up; None for other bodies.
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
    travel: np.ndarray = field(default_factory=lambda: np.zeros(2))
    angles: np.ndarray | None = None
    base: BasePath | None = None

    @property
    def nframe(self) -> int:
        """Number of frames."""
        return len(self.pos)

    @property
    def held(self) -> np.ndarray:
        """Whether any part of the left and the right foot is in contact, shape (nframe, 2) bool."""
        return np.any(self.stance.contact.reshape(self.nframe, 2, -1), axis=2)


def heading_of(pelvis_rot: np.ndarray) -> float:
    """Heading of a pelvis about the vertical [rad]; 0 if the subject's left is the world's x.

    Uses the left axis of the pelvis, or its forward axis if the left axis is nearly vertical.
    """
    left, forward = pelvis_rot[:, 0], pelvis_rot[:, 2]
    if np.hypot(*left[:2]) >= 0.5:
        return float(np.arctan2(left[1], left[0]))
    return float(np.arctan2(forward[1], forward[0]) + np.pi / 2)


class _SourceKinematics(NamedTuple):
    """Points and orientations on the source's bones, relative to the pelvis joint; shapes as in `MotionTargets`.

    Attributes:
        feet: Contact points, shape (nframe, 4, 3) [m].
        pos: Landmark positions.
        rot: Orientations of the oriented landmarks.
        carrier_rot: Orientations of the carriers of the calibrated landmarks.
        parts: Lowest points of the parts of the body but the feet.
    """

    feet: np.ndarray
    pos: np.ndarray
    rot: np.ndarray
    carrier_rot: np.ndarray
    parts: PartMotion


def _source_kinematics(
    body: TargetBody, rotvec: np.ndarray, proportions: Proportions, fps: float
) -> _SourceKinematics:  # fmt: skip
    """Run the source's kinematics in chunks of frames, because the matrices of all 22 joints are large."""
    nframe, joints = len(rotvec), proportions.joints
    carrier = np.array([_JOINT[landmark.carrier] for landmark in body.landmarks])
    orienting = np.array([_JOINT[body.landmarks[k].orientation or ""] for k in body.oriented])
    calibrated = carrier[[body.landmark_names.index(name) for name in body.fit.calibrated]]
    source = _SourceKinematics(
        feet=np.empty((nframe, 4, 3)),
        pos=np.empty((nframe, body.nlandmark, 3)),
        rot=np.empty((nframe, len(orienting), 3, 3), np.float32),
        carrier_rot=np.empty((nframe, len(calibrated), 3, 3), np.float32),
        parts=PartMotion(*np.empty((2, nframe, body.support.nother, 3), np.float32)),
    )
    for low in range(0, nframe, FRAMES_PER_CHUNK):
        part = slice(low, low + FRAMES_PER_CHUNK)
        origin = np.broadcast_to(-joints[0], (len(rotvec[part]), 3))
        xpos, xmat = source_fk(rotvec[part], origin, joints)
        point = lambda bones, offset, x=xpos, r=xmat: x[:, bones] + np.einsum("tbij,bj->tbi", r[:, bones], offset)  # noqa: E731
        source.feet[part] = point(_CONTACT_CARRIER, proportions.contact_offset)
        source.pos[part] = point(carrier, proportions.landmark_offset)
        source.rot[part] = xmat[:, orienting] @ proportions.landmark_rot[body.oriented]
        source.carrier_rot[part] = xmat[:, calibrated]
        source.parts.pos[part], source.parts.velocity[part] = part_motion(body, proportions, xpos, xmat, fps)
    return source


def build_targets(
    body: TargetBody, motion: SourceMotion, proportions: Proportions, config: RetargetConfig, *,
    source_joints: np.ndarray,
) -> MotionTargets:  # fmt: skip
    """Compute the targets of a motion by moving the target's landmarks with the source's bones.

    Args:
        body: Target body.
        motion: Source at the clip's frame rate.
        proportions: Fitted skeleton and offsets.
        source_joints: Best estimate of the subject's rest joints, shape (22, 3) [m]. It gives the offset of the pelvis
            from `trans`, and the leg length that is the prior of the scale.
        config: Settings of scale and contact detection.
    """
    pelvis = motion.trans + source_joints[0]
    heading = heading_of(Rotation.from_rotvec(motion.rotvec[0, 0]).as_matrix())
    prior = leg_length(proportions.joints) / leg_length(source_joints)
    to_canonical = Rotation.from_euler("z", -heading).as_matrix()
    first_pos = np.array([*pelvis[0, :2], 0.0])
    rotvec = motion.rotvec.copy()
    rotvec[:, 0] = (Rotation.from_matrix(to_canonical) * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    pelvis_path = (pelvis - first_pos) @ to_canonical.T

    source = _source_kinematics(body, rotvec, proportions, motion.fps)
    feet = source.feet
    travel = np.zeros(2)
    if config.treadmill != "off":
        travel = find_travel(prior * pelvis_path, feet, motion.fps)
    path = np.arange(len(feet))[:, None] / motion.fps * [*travel, 0.0]
    # The travel is that of feet in the target's size, so it must not be scaled with the pelvis.
    parts = PartMotion(source.parts.pos + path[:, None], source.parts.velocity + np.array([*travel, 0.0]))
    stance = estimate_stance(
        pelvis_path, feet + path[:, None], parts=parts, fps=motion.fps, prior=prior, scale_config=config.scale,
        contact_config=config.contact, floor_is_zero=config.source.ground == "zero",
        body_is_scaled=bool(body.variant.size),
    )  # fmt: skip
    root = stance.scale * pelvis_path + path - [0.0, 0.0, stance.floor]
    points = feet + root[:, None]
    anchor = lock_contacts(points, stance, fps=motion.fps)
    shift = foot_shift(points, anchor, stance.contact, motion.fps)
    pos = source.pos
    pos += root[:, None]
    for landmark, along in body.fit.along_foot.items():
        heel, toe = (2, 3) if landmark.endswith("_r") else (0, 1)
        pos[:, body.landmark_names.index(landmark)] += (1 - along) * shift[:, heel] + along * shift[:, toe]
    standing = stance.contact
    return MotionTargets(
        pos=pos,
        rot=source.rot,
        carrier_rot=source.carrier_rot,
        anchor=anchor,
        contact=contact_weight(standing, motion.fps),
        floor=_floor(stance),
        stance=stance,
        heading=heading,
        origin=stance.scale * first_pos,
        stance_speed=_mean_speed(points, standing, motion.fps),
        foot_shift=float(np.linalg.norm(shift, axis=2)[standing].mean()) if standing.any() else 0.0,
        fps=motion.fps,
        travel=travel,
        angles=_angles(body, motion),
    )


def _angles(body: TargetBody, motion: SourceMotion) -> np.ndarray | None:
    """Angles of the source's joints by the body's, as in `MotionTargets`."""
    if motion.angles is None:
        return None
    result = np.full((motion.nframe, body.reduced.njoint), np.nan)
    for name, values in zip(motion.angles.names, motion.angles.values.T, strict=True):
        if name in body.reduced.joint_names:
            result[:, body.reduced.index(name)] = values
    return result


def _mean_speed(points: np.ndarray, contact: np.ndarray, fps: float) -> float:
    speed = np.linalg.norm(velocity(points, fps), axis=2)
    return float(speed[contact].mean()) if contact.any() else 0.0


def _floor(stance: Stance) -> np.ndarray:
    """Height of the floor under the right and the left foot: 0, or that of a lower contact; shape (nframe, 2) [m]."""
    left = np.minimum(stance.height[:, :2].min(axis=1), 0.0)
    right = np.minimum(stance.height[:, 2:].min(axis=1), 0.0)
    return np.stack([right, left], axis=1)
