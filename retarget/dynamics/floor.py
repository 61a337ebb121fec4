"""The floor under the whole body: what keeps a refined motion above it.

A support point at height h costs `w / 2 min(h, 0)^2`. Such a one-sided cost has no curvature above the floor, so a
Gauss-Newton step would drive a lifted foot into the floor without seeing it. Where a step would end below the floor it
is therefore solved again with the cost of these points (a semismooth Newton iteration).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.retarget.forces.required_forces import RequiredForces, reduced_rows
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT

NEAR = 0.15
"""Bodies whose points are all higher than this are left out: a step does not move them to the floor [m]."""


def floor_cost(height: np.ndarray, weight: float) -> np.ndarray:
    """Cost of every frame, shape (nframe,).

    Args:
        height: Height of the support points above the ground, shape (nframe, npoint) [m].
        weight: Weight of a squared depth [1/m^2].
    """
    return 0.5 * weight * np.sum(np.minimum(height, 0.0) ** 2, axis=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class _LowBody:
    """Points of one body in the frames in which it is near the floor.

    Attributes:
        frames: Frames, shape (n,).
        points: Indices of its support points, shape (npoint,).
        rows: Two angular velocities and a vertical velocity per unit rate, shape (n, 3, ndof).
        lever: Vertical velocity of each point by these three, shape (n, npoint, 3).
    """

    frames: np.ndarray
    points: np.ndarray
    rows: np.ndarray
    lever: np.ndarray


class Floor:
    """Heights of the support points about an iterate, to first order.

    Args:
        body: Target body with a free root.
        q: Reduced configurations, shape (nframe, 7 + njoint).
        required: Required forces of the iterate, with `momentum`.
        height: Heights of the support points above the ground, shape (nframe, npoint) [m].
        weight: Weight of a squared depth [1/m^2].
    """

    def __init__(
        self, body: TargetBody, q: np.ndarray, required: RequiredForces, height: np.ndarray, weight: float
    ) -> None:
        self.height, self.weight, self.ndof = height, weight, body.reduced.ndof
        self._bodies = list(_low_bodies(body, q, required, height))

    def after(self, step: np.ndarray) -> np.ndarray:
        """Heights that a step (nframe, ndof) leads to, shape (nframe, npoint) [m]."""
        height = self.height.copy()
        for low in self._bodies:
            moved = low.lever @ (low.rows @ step[low.frames, :, None])
            height[low.frames[:, None], low.points] += moved[..., 0]
        return height

    def model(self, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cost of `active` points (nframe, npoint) as a function of the step.

        Returns:
            Hessian, shape (nframe, ndof, ndof), and gradient, shape (nframe, ndof).
        """
        nframe = len(self.height)
        hessian, gradient = np.zeros((nframe, self.ndof, self.ndof)), np.zeros((nframe, self.ndof))
        for low in self._bodies:
            chosen = np.flatnonzero(active[low.frames[:, None], low.points].any(axis=1))
            at, rows, lever = low.frames[chosen], low.rows[chosen], low.lever[chosen]
            weight = self.weight * active[at[:, None], low.points]
            middle = np.swapaxes(weight[..., None] * lever, 1, 2) @ lever
            hessian[at] += np.swapaxes(rows, 1, 2) @ (middle @ rows)
            force = (weight * self.height[at[:, None], low.points])[:, None] @ lever
            gradient[at] += (force @ rows)[:, 0]
        return hessian, gradient


def _low_bodies(body: TargetBody, q: np.ndarray, required: RequiredForces, height: np.ndarray) -> Iterator[_LowBody]:
    support = body.support
    assert required.tilt is not None
    rot = Rotation.from_quat(q[:, 3:NROOT], scalar_first=True).as_matrix()
    slope = body.reduced.slope(body.reduced.expand(q))
    for index in np.unique(support.body):
        points = np.flatnonzero(support.body == index)
        near = np.flatnonzero(height[:, points].min(axis=1) < NEAR)
        if not len(near):
            continue
        moved = required.tilt[near] * _moves(body.kinematic_model, index)
        arm = required.points[near[:, None], points] - required.com[near, None]
        yield _LowBody(
            frames=near,
            points=points,
            rows=reduced_rows(body, moved, slope[near], rot[near]),
            lever=np.stack([arm[..., 1], -arm[..., 0], np.ones(arm.shape[:2])], axis=2),  # w_x r_y - w_y r_x + v_z
        )


def _moves(model: mujoco.MjModel, body: int) -> np.ndarray:
    """Whether each degree of freedom moves a body, shape (nv,) bool."""
    moves = np.zeros(model.nv, bool)
    while body:
        first, count = model.body_dofadr[body], model.body_dofnum[body]
        moves[first : first + count] = True
        body = model.body_parentid[body]
    return moves
