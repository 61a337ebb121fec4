"""Motions for the tracking task of mjlab and for BeyondMimic: the .npz files that their `MotionLoader` reads.

Keys and meanings follow `mjlab/scripts/csv_to_npz.py` and `mjlab/tasks/tracking/mdp/commands.py` in the package mjlab
1.6.0: bodies without the world in the model's order, velocities of the bodies' origins in world axes. `joint_names` and
`body_names` are our additions; mjlab's loader reads arrays by name and ignores them.
"""

import numpy as np

from musclemap.datasets.clip import Clip

from .export_body import ExportBody


def mjlab_arrays(clip: Clip, body: ExportBody) -> dict[str, np.ndarray]:
    """Convert a clip to the arrays of a motion file.

    Args:
        clip: Clip of the body.
        body: Body, with or without fingers like the entity in mjlab.

    Raises:
        ClipError: If the clip is of another body.
    """
    qpos, qvel = body.state(clip)
    motion = body.motion(qpos, qvel)
    angular, linear = motion.cvel[:, 1:, :3], motion.cvel[:, 1:, 3:]
    centre = motion.subtree_com[:, body.model.body_rootid[1:]]
    moving = {
        "joint_pos": qpos[:, body.nroot :],
        "joint_vel": qvel[:, 6 if body.nroot else 0 :],
        "body_pos_w": motion.xpos[:, 1:],
        "body_quat_w": motion.xquat[:, 1:],
        "body_lin_vel_w": linear - np.cross(angular, centre - motion.xpos[:, 1:]),
        "body_ang_vel_w": angular,
    }
    return {
        "fps": np.array([float(clip.fps)]),
        **{key: array.astype(np.float32) for key, array in moving.items()},
        "joint_names": np.array(body.moving_joints),
        "body_names": np.array(body.body_names[1:]),
    }
