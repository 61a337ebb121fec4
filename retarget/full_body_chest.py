"""Chest and arms of the full body's clip as a clip of MyoBimanualArm.

MyoBimanualArm's joints are MyoFullBody's, with the same couplings and ranges, and its bones lie identically to the
thorax. So the arms of a clip of MyoFullBody are a motion of MyoBimanualArm on the chest of that clip, without a fit.
"""

from dataclasses import replace

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.clip import Clip
from musclemap.retarget.config import BodyConfig, RetargetConfig
from musclemap.retarget.solver.fitter import Fit
from musclemap.retarget.targets.base_frame import BaseFrame
from musclemap.retarget.targets.landmark_targets import MotionTargets
from musclemap.skeletons.base_motion import BasePath
from musclemap.skeletons.variants.variant import size_of_variant


def full_body_config(config: RetargetConfig) -> RetargetConfig:
    """Settings of the full body's clips, for those of the arms: its fit and refinement, no checks, no fingers.

    A motion on a treadmill travels, as it does in the targets.
    """
    body = BodyConfig(published=config.body.published, variant=size_of_variant(config.body.variant))
    return replace(
        config, body=body, hands="locked", validation=replace(config.validation, enabled=False, muscles=False),
        treadmill="overground" if config.treadmill == "keep" else config.treadmill,
    )  # fmt: skip


def arms_of_clip(
    clip: Clip, whole: MotionTargets, frame: BaseFrame, hands: np.ndarray | None
) -> tuple[MotionTargets, Fit]:
    """Targets and fit of the arms of a clip of the full body.

    Args:
        clip: The clip.
        whole: Targets of the full body for the same motion.
        frame: The base of the arms in the T-pose of the full body.
        hands: Axis-angles of the source's fingers, shape (nframe, 30, 3) [rad], or None if they stay at rest.

    Returns:
        Targets in the frame of the clip's chest, calibrated like the clip's, and the clip's arms.
    """
    body, full = frame.body, frame.whole
    columns = [full.model.joint(name).qposadr[0] for name in body.joint_names]
    arms = clip.qpos[:, columns].astype(np.float64)
    to_canonical = Rotation.from_euler("z", -whole.heading)
    chest = _chest_path(clip, frame)
    path = BasePath(to_canonical.apply(chest.pos - whole.origin), to_canonical.as_matrix() @ chest.rot)
    reached_for = to_canonical.apply((clip.target_pos - whole.origin).reshape(-1, 3)).reshape(clip.target_pos.shape)
    targets = frame.targets(replace(whole, pos=reached_for), path, hands)
    fit = Fit(
        q=body.reduced.reduce(arms), target_pos=targets.pos, offset=np.zeros((body.nlandmark, 3)), restarts=0,
        last_decrease=0.0,
    )  # fmt: skip
    return targets, fit


def _chest_path(clip: Clip, frame: BaseFrame) -> BasePath:
    """Path of the base, world frame."""
    body, bone = frame.body, frame.base.body
    rest = mujoco.MjData(body.kinematic_model)
    rest.qpos[:] = body.reduced.base
    mujoco.mj_kinematics(body.kinematic_model, rest)
    part_pos, part_rot = rest.body(bone).xpos.copy(), rest.body(bone).xmat.reshape(3, 3).copy()
    model = frame.whole.kinematic_model
    data, pos, rot = mujoco.MjData(model), np.empty((clip.nframe, 3)), np.empty((clip.nframe, 3, 3))
    for t, q in enumerate(clip.qpos):
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        rot[t] = data.body(bone).xmat.reshape(3, 3) @ part_rot.T
        pos[t] = data.body(bone).xpos + rot[t] @ (body.model.body_pos[1] - part_pos)
    return BasePath(pos, rot)
