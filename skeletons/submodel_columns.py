"""Columns of a smaller model's joints and muscles, for example one without fingers, in the arrays of the full model."""

from dataclasses import dataclass

import mujoco
import numpy as np

_WIDTH = {
    int(mujoco.mjtJoint.mjJNT_FREE): (7, 6), int(mujoco.mjtJoint.mjJNT_BALL): (4, 3),
    int(mujoco.mjtJoint.mjJNT_HINGE): (1, 1), int(mujoco.mjtJoint.mjJNT_SLIDE): (1, 1),
}  # fmt: skip
"""Columns of qpos and of qvel for each joint type."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """For each column of the smaller model's arrays, the column of the full model's.

    Attributes:
        qpos: Indices into qpos, shape (nq,).
        qvel: Indices into qvel, shape (nv,).
        act: Indices of the muscles, shape (nu,); empty if the smaller model has no muscles.
    """

    qpos: np.ndarray
    qvel: np.ndarray
    act: np.ndarray


def columns_of(full: mujoco.MjModel, part: mujoco.MjModel) -> Columns:
    """Match joints and muscles by name.

    Args:
        full: Model with all joints.
        part: Model with some of them.
    """
    joints = [(full.joint(part.joint(j).name).id, *_WIDTH[int(part.jnt_type[j])]) for j in range(part.njnt)]
    return Columns(
        qpos=np.concatenate([full.jnt_qposadr[j] + np.arange(nq) for j, nq, _ in joints]),
        qvel=np.concatenate([full.jnt_dofadr[j] + np.arange(nv) for j, _, nv in joints]),
        act=np.array([full.actuator(part.actuator(i).name).id for i in range(part.nu)], int),
    )
