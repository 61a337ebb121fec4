"""Reflection of a body's state across its median plane, to which the dynamics are symmetric."""

import mujoco
import numpy as np

from musclemap.skeletons.reduced import ReducedCoordinates
from musclemap.skeletons.symmetry import twins

_POLAR = np.array([-1.0, 1.0, 1.0])
_AXIAL = -_POLAR


class Mirror:
    """Index and sign of each mirrored quantity: `mirrored = quantity[:, twin] * sign`.

    The median plane is that of the root, perpendicular to its x axis. A body without a free root has none; its twins
    are the quantities themselves.

    Args:
        reduced: The body's independent coordinates.

    Attributes:
        symmetric: Whether the body has a median plane.
        velocity_twin: Of reduced velocities, shape (nvelocity,).
        velocity_sign: Shape (nvelocity,).
        feature_twin: Of `WorldModelCoordinates.dynamics_features` and then torques, shape (nfeature + njoint,).
        feature_sign: Shape (nfeature + njoint,).
    """

    def __init__(self, reduced: ReducedCoordinates) -> None:
        model, njoint = reduced.model, reduced.njoint
        self.symmetric = reduced.free
        joint_twin, joint_sign = np.arange(njoint), np.ones(njoint)
        root_sign, pose_sign = np.zeros(0), np.zeros(0)
        if self.symmetric:
            joint_twin = twins(list(reduced.joint_names))
            data = mujoco.MjData(model)
            mujoco.mj_kinematics(model, data)
            axis = data.xaxis[reduced.joint_ids]
            slides = model.jnt_type[reduced.joint_ids] == mujoco.mjtJoint.mjJNT_SLIDE
            mirrored = axis[joint_twin] * np.where(slides[:, None], _POLAR, _AXIAL)
            joint_sign = np.sign(np.sum(mirrored * axis, axis=1))
            root_sign = np.concatenate([_POLAR, _AXIAL])
            pose_sign = np.concatenate([[1.0], _POLAR])  # height, and the world's vertical
        nroot, npose = len(root_sign), len(pose_sign)
        place = lambda start: start + joint_twin  # noqa: E731
        self.velocity_twin = np.concatenate([np.arange(nroot), place(nroot)])
        self.velocity_sign = np.concatenate([root_sign, joint_sign])
        nstate = npose + nroot
        self.feature_twin = np.concatenate(
            [np.arange(nstate), place(nstate), place(nstate + njoint), place(nstate + 2 * njoint)]
        )
        self.feature_sign = np.concatenate([pose_sign, root_sign, joint_sign, joint_sign, joint_sign])
