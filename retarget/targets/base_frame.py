"""Targets of a body that is fixed to a moving base: those of the whole body, seen from the base.

The arms of MyoBimanualArm hang from a chest that does not move in the model. Where a person's chest is follows from the
segment of the source that carries it, by the T-pose of the whole body, as for any landmark. The targets of humerus,
ulna and lunate are the whole body's, in the frame of that chest. Fingers are not fitted: a finger joint's target is
where the bones of the model's hand are if each turns as the source's does.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion
from musclemap.retarget.resample import FRAMES_PER_CHUNK
from musclemap.skeletons.base_motion import BasePath
from musclemap.skeletons.body import SIDE_WORD, SIDES, Base, TargetBody
from musclemap.skeletons.smpl.joints import BODY_NAMES, HAND_NAMES
from musclemap.skeletons.smpl.source_kinematics import source_fk

from .landmark_targets import MotionTargets
from .proportions import Proportions

_JOINT = {name: k for k, name in enumerate(BODY_NAMES)}
_FINGER_JOINT = {name: k for k, name in enumerate(HAND_NAMES["left"] + HAND_NAMES["right"])}

BELOW = -10.0
"""Height of the floor of a body without one [m]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BaseFrame:
    """The base of a body in the T-pose of the whole body.

    Attributes:
        body: Target body that is fixed to its base.
        whole: The whole body.
        proportions: Fitted skeleton and T-pose of the whole body.
    """

    body: TargetBody
    whole: TargetBody
    proportions: Proportions

    @property
    def base(self) -> Base:
        """The body's base."""
        assert self.body.base is not None
        return self.body.base

    @cached_property
    def _in_joint(self) -> tuple[np.ndarray, np.ndarray]:
        """Origin of the root body (3,) [m] and axes of the model's world (3, 3) in the frame of the source joint.

        Segments of the trunk do not turn between T-pose and rest pose.
        """
        bone = self.whole.symmetric_model.body(self.base.body).id
        data = _posed(self.whole, self.proportions.t_pose)
        whole, whole_rot = data.xpos[bone], data.xmat[bone].reshape(3, 3)
        part, part_rot = self._bone(self.base.body)
        axes = whole_rot @ part_rot.T
        origin = whole + axes @ (self._root - part)
        joint = self.proportions.joints[_JOINT[self.base.joint]]
        to_source = self.body.source_to_target.T
        return to_source @ origin - joint, to_source @ axes

    @cached_property
    def _root(self) -> np.ndarray:
        """Origin of the root body in the model's world, shape (3,) [m]."""
        return self.body.model.body_pos[1]

    @cached_property
    def t_pose(self) -> np.ndarray:
        """Configuration of the body in the T-pose, shape (7 + njoint,)."""
        whole = self.whole.reduced.expand(self.proportions.t_pose[None])[0]
        adr = [self.whole.model.joint(name).qposadr[0] for name in self.body.reduced.joint_names]
        return np.concatenate([np.eye(1, 7, 3)[0], whole[adr]])

    @cached_property
    def _t_pose_data(self) -> mujoco.MjData:
        """Kinematics of the body in the T-pose."""
        return _posed(self.body, self.t_pose)

    def _bone(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and orientation (3, 3) of a bone of the body in the T-pose."""
        bone = self.body.symmetric_model.body(name).id
        return self._t_pose_data.xpos[bone], self._t_pose_data.xmat[bone].reshape(3, 3)

    def path(self, motion: SourceMotion, targets: MotionTargets) -> BasePath:
        """Path of the base in the canonical frame of the whole body's targets.

        Args:
            motion: Source at the clip's frame rate.
            targets: Targets of the whole body for this motion.
        """
        joints, offset = self.proportions.joints, self.proportions.landmark_offset[0]
        to_canonical = Rotation.from_euler("z", -targets.heading)
        origin, axes = self._in_joint
        pos, rot = np.empty((targets.nframe, 3)), np.empty((targets.nframe, 3, 3))
        for low in range(0, targets.nframe, FRAMES_PER_CHUNK):
            part = slice(low, low + FRAMES_PER_CHUNK)
            rotvec = motion.rotvec[part].copy()
            rotvec[:, 0] = (to_canonical * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
            xpos, xmat = source_fk(rotvec, np.broadcast_to(-joints[0], (len(rotvec), 3)), joints)
            pelvis = targets.pos[part, 0] - xmat[:, 0] @ offset  # the first landmark is the pelvis
            carrier = _JOINT[self.base.joint]
            pos[part] = pelvis + xpos[:, carrier] + xmat[:, carrier] @ origin
            rot[part] = xmat[:, carrier] @ axes
        return BasePath(pos, rot)

    def targets(self, whole: MotionTargets, path: BasePath, hands: np.ndarray | None) -> MotionTargets:
        """Targets of the body in its model's world.

        Args:
            whole: Targets of the whole body.
            path: Path of the base in the same frame.
            hands: Axis-angles of the source's fingers, shape (nframe, 30, 3) [rad], or None if they stay at rest.

        Returns:
            Targets without contacts, at the origin and heading 0, because the model's world moves with the base.
        """
        body, inverse = self.body, np.swapaxes(path.rot, 1, 2)
        index = self.whole.landmark_names.index
        common = [k for k, name in enumerate(body.landmark_names) if name in self.whole.landmark_names]
        pos = np.empty((whole.nframe, body.nlandmark, 3))
        pos[:, 0] = self._bone(self.base.body)[0]
        seen = whole.pos[:, [index(body.landmark_names[k]) for k in common]] - path.pos[:, None]
        pos[:, common] = seen @ path.rot + self._root
        oriented = [self.whole.oriented.tolist().index(index(body.landmark_names[k])) for k in body.oriented]
        rot = inverse[:, None] @ whole.rot[:, oriented]
        calibrated = [self.whole.fit.calibrated.index(name) for name in body.fit.calibrated]
        self._set_fingers(pos, rot, hands)
        none = np.zeros((whole.nframe, 0))
        return replace(
            whole, pos=pos, rot=rot.astype(np.float32),
            carrier_rot=(inverse[:, None] @ whole.carrier_rot[:, calibrated]).astype(np.float32),
            anchor=none[..., None].repeat(3, axis=2), contact=none, floor=np.full((whole.nframe, 2), BELOW),
            stance=replace(whole.stance, contact=none > 0, height=none), heading=0.0, origin=np.zeros(3),
            travel=np.zeros(2), angles=None, base=path,
        )  # fmt: skip

    def _set_fingers(self, pos: np.ndarray, rot: np.ndarray, hands: np.ndarray | None) -> None:
        """Set the targets of the finger joints in `pos`, from the wrists in `pos` and the hands' orientations `rot`."""
        body, axes = self.body, self.body.source_to_target
        names = [body.landmark_names[k] for k in body.oriented]
        for side in SIDES:
            wrist = body.landmark_names.index(f"lunate_{side}")
            rest_pos, rest_rot = self._bone(f"lunate_{side}")
            hand = rot[:, names.index(f"lunate_{side}")] @ rest_rot.T
            before, at, turn = "", (rest_pos, pos[:, wrist]), hand
            for k, landmark in enumerate(body.landmarks):
                joint = landmark.joint
                if joint not in _FINGER_JOINT or not joint.startswith(SIDE_WORD[side]):
                    continue
                if joint[:-1] != before:  # the first joint of the next finger
                    before, at, turn = joint[:-1], (rest_pos, pos[:, wrist]), hand
                own = self._bone(landmark.name)[0]
                pos[:, k] = at[1] + turn @ (own - at[0])
                if hands is not None:
                    local = Rotation.from_rotvec(hands[:, _FINGER_JOINT[joint]]).as_matrix()
                    turn = turn @ (axes @ local @ axes.T)
                at = own, pos[:, k]


def _posed(body: TargetBody, q: np.ndarray) -> mujoco.MjData:
    """Kinematics of the symmetric body in a configuration (7 + njoint,)."""
    data = mujoco.MjData(body.symmetric_model)
    data.qpos[:] = body.reduced.expand(q[None])[0]
    mujoco.mj_kinematics(body.symmetric_model, data)
    return data
