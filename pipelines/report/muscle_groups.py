"""Muscles grouped by action: the joint at which their moment arm is longest, and its direction."""

from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT

_STEP = 1e-3  # step of the finite difference [rad]
_MIN_ARM = 1e-3  # muscles with shorter moment arms at all joints act on none of them [m]

OTHER = "muscles of the fingers"
"""Group of the muscles that act on none of the joints: with locked fingers, those inside the hand."""


@dataclass(frozen=True, kw_only=True)
class MuscleGroup:
    """Muscles that turn one joint in one direction.

    Attributes:
        joint: Independent joint, or `OTHER`.
        up: Whether they increase its angle.
        muscles: Indices of the actuators.
    """

    joint: str
    up: bool
    muscles: tuple[int, ...]


def moment_arms(body: TargetBody) -> np.ndarray:
    """Moment arm of every muscle at every independent joint in the rest configuration, including joint couplings.

    Computed by a central difference of muscle length; positive if shortening the muscle increases the angle.

    Returns:
        Moment arms [m], shape (nu, njoint).
    """
    reduced, model = body.reduced, body.model
    data = mujoco.MjData(model)
    rest = np.concatenate([reduced.base[:NROOT], reduced.rest])
    arms = np.empty((model.nu, reduced.njoint))
    for joint in range(reduced.njoint):
        length = []
        for sign in (1.0, -1.0):
            q = rest.copy()
            q[NROOT + joint] += sign * _STEP
            data.qpos[:] = reduced.expand(q[None])[0]
            mujoco.mj_fwdPosition(model, data)
            length.append(data.actuator_length.copy())
        arms[:, joint] = (length[1] - length[0]) / (2.0 * _STEP)
    return arms


def muscle_groups(body: TargetBody) -> tuple[MuscleGroup, ...]:
    """Assign every muscle to one group: that of the joint at which its moment arm is longest."""
    arms = moment_arms(body)
    best = np.abs(arms).argmax(axis=1)
    arm = arms[np.arange(len(arms)), best]
    idle = np.abs(arm) < _MIN_ARM
    groups = [
        MuscleGroup(joint=name, up=up, muscles=_indices(~idle & (best == joint) & ((arm > 0) == up)))
        for joint, name in enumerate(body.reduced.joint_names)
        for up in (True, False)
    ]
    groups.append(MuscleGroup(joint=OTHER, up=True, muscles=_indices(idle)))
    return tuple(group for group in groups if group.muscles)


def _indices(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())
