"""Muscles put together by what they do: the joint each turns most, and which way."""

from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT

_STEP = 1e-3  # change of a joint for the finite difference [rad]
_NO_ARM = 1e-3  # a muscle whose arms at all joints are shorter turns none of them [m]

OTHER = "muscles of the fingers"
"""Group of the muscles that turn none of the joints: with locked fingers, those inside the hand."""


@dataclass(frozen=True, kw_only=True)
class MuscleGroup:
    """Muscles that turn one joint one way.

    Attributes:
        joint: Independent joint, or `OTHER`.
        up: Whether they make its angle larger.
        muscles: Indices of the actuators.
    """

    joint: str
    up: bool
    muscles: tuple[int, ...]


def moment_arms(body: TargetBody) -> np.ndarray:
    """Moment arm of every muscle at every independent joint in the rest configuration, couplings followed.

    A central difference of muscle length; positive where a shorter muscle means a larger angle.

    Returns:
        Shape (nu, njoint) [m].
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
    """Put every muscle into one group: that of the joint at which its arm is longest."""
    arms = moment_arms(body)
    best = np.abs(arms).argmax(axis=1)
    arm = arms[np.arange(len(arms)), best]
    idle = np.abs(arm) < _NO_ARM
    groups = [
        MuscleGroup(joint=name, up=up, muscles=_indices(~idle & (best == joint) & ((arm > 0) == up)))
        for joint, name in enumerate(body.reduced.joint_names)
        for up in (True, False)
    ]
    groups.append(MuscleGroup(joint=OTHER, up=True, muscles=_indices(idle)))
    return tuple(group for group in groups if group.muscles)


def _indices(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())
