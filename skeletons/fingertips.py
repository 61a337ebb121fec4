"""Positions of the fingertips in the hand, from joint angles alone: differentiable, for every engine and world model.

In the hand's own axes a fingertip shows what the fingers do, to the millimetre, wherever the arm has carried the hand.
"""

from typing import NamedTuple

import jax.numpy as jnp
import mujoco
import numpy as np
from jax import Array

from musclemap.errors import TargetError

from .body import Fingertip


class _Hinge(NamedTuple):
    """One step of the way from a fingertip to its hand: a fixed displacement of the point, then a hinge.

    Attributes:
        rot: Rotation, shape (3, 3).
        pos: Translation after it [m], shape (3,).
        axis: Axis of the hinge, shape (3,); zero for padding, which turns nothing.
        address: Address of the hinge in qpos.
        zero: Its angle in the model's rest pose [rad].
    """

    rot: np.ndarray
    pos: np.ndarray
    axis: np.ndarray
    address: int
    zero: float


_PADDING = _Hinge(np.eye(3), np.zeros(3), np.zeros(3), 0, 0.0)


class FingertipKinematics:
    """Positions of fingertips in the frames of their hands.

    Args:
        model: Simulated model.
        tips: The fingertips.

    Raises:
        TargetError: If a fingertip is not on its hand, or a joint between them is not a hinge.
    """

    def __init__(self, model: mujoco.MjModel, tips: tuple[Fingertip, ...]) -> None:
        self.names = tuple(tip.site for tip in tips)
        chains = [_chain(model, tip) for tip in tips]
        depth = max(len(hinges) for hinges, _, _ in chains)
        padded = [[*hinges, *[_PADDING] * (depth - len(hinges))] for hinges, _, _ in chains]
        stacked = [[np.array(field) for field in zip(*level, strict=True)] for level in zip(*padded, strict=True)]
        self._levels = [tuple(np.asarray(field, np.float32) for field in level[:3]) for level in stacked]
        self._address = [level[3] for level in stacked]
        self._zero = [level[4].astype(np.float32) for level in stacked]
        self._rot = np.array([rot for _, rot, _ in chains], np.float32)
        self._pos = np.array([pos for _, _, pos in chains], np.float32)

    def __call__(self, qpos: Array) -> Array:
        """Positions [m] in the frames of the hands, shape (..., ntip, 3), at configurations of shape (..., nq)."""
        point = jnp.zeros((*qpos.shape[:-1], len(self.names), 3), qpos.dtype)
        for (rot, pos, axis), address, zero in zip(self._levels, self._address, self._zero, strict=True):
            point = jnp.einsum("tij,...tj->...ti", rot, point, precision="highest") + pos
            angle = (qpos[..., address] - zero)[..., None]
            across = jnp.cross(jnp.broadcast_to(axis, point.shape), point)  # Rodrigues' formula
            twice = jnp.cross(jnp.broadcast_to(axis, point.shape), across)
            point = point + jnp.sin(angle) * across + (1.0 - jnp.cos(angle)) * twice
        return jnp.einsum("tij,...tj->...ti", self._rot, point, precision="highest") + self._pos


def _chain(model: mujoco.MjModel, tip: Fingertip) -> tuple[list[_Hinge], np.ndarray, np.ndarray]:
    """Hinges from a fingertip to its hand, and the fixed rotation and translation after the last one."""
    site, hand = model.site(tip.site).id, model.body(tip.hand).id
    body = int(model.site_bodyid[site])
    rot, pos = np.eye(3), model.site_pos[site].copy()
    hinges: list[_Hinge] = []
    while body != hand:
        if body == 0:
            raise TargetError(f"the fingertip {tip.site} is not on the hand {tip.hand}")
        first = int(model.body_jntadr[body])
        for joint in reversed(range(first, first + int(model.body_jntnum[body]))):
            if model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_HINGE:
                raise TargetError(f"joint {model.joint(joint).name}, between {tip.hand} and {tip.site}, is not a hinge")
            anchor, address = model.jnt_pos[joint], int(model.jnt_qposadr[joint])
            zero = float(model.qpos0[address])
            hinges.append(_Hinge(rot, pos - anchor, model.jnt_axis[joint].copy(), address, zero))
            rot, pos = np.eye(3), anchor.copy()
        matrix = np.empty(9)
        mujoco.mju_quat2Mat(matrix, model.body_quat[body])
        turn = matrix.reshape(3, 3)
        rot, pos = turn @ rot, turn @ pos + model.body_pos[body]
        body = int(model.body_parentid[body])
    return hinges, rot, pos
