"""Degrees of freedom that the tracking controller controls, and the legs among them."""

from dataclasses import dataclass
from functools import cached_property

import mujoco
import numpy as np

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.skeletons.couplings import couplings, value_and_slope

_TRUNK_MASS = 0.2
"""A joint belongs to the trunk if it carries more than this part of the body's mass."""

_FOOT_MASS = 0.03
"""A joint belongs to the ankle if it carries less than this part of the body's mass."""

_ALONG = 0.5
"""Cosine of the angle to a foot's long axis from which on a joint of the ankle rolls the foot."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Followers:
    """Joints that follow another one through a coupling.

    Attributes:
        dof: Address in qvel of each, shape (n,).
        column: Position of its driver among the controlled dofs, shape (n,).
        driver: Address in qpos of its driver, shape (n,).
        coef: Polynomial of the driver's deviation from qpos0, shape (n, ncoef).
    """

    dof: np.ndarray
    column: np.ndarray
    driver: np.ndarray
    coef: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class ControlledDofs:
    """Controlled degrees of freedom: the root's, those of the independent joints, then the soft ones.

    A joint that is coupled to a joint of the trunk is soft: muscles bend the spine between its vertebrae although the
    couplings tie them together. Left to itself the head is 0.2 m from its place.

    Attributes:
        model: Simulated model.
        index: Their addresses in qvel, shape (ndof,).
        nroot: Number of dofs of the root: 6 or 0.
        njoint: Number of independent joints.
        root: Body whose subtree is the whole body.
        trunk: Positions in `index` of the trunk's independent joints.
        feet: Body of each foot, left first; empty for a body without.
        toes: Body of the toes of each foot.
        toe_joints: For each foot the positions in `index` of the joints of its toes.
        legs: For each foot the positions in `index` of the independent joints between root and foot.
        followers: The joints that are not controlled and follow one that is.
    """

    model: mujoco.MjModel
    index: np.ndarray
    nroot: int
    njoint: int
    root: int
    trunk: np.ndarray
    feet: tuple[int, ...]
    toes: tuple[int, ...]
    toe_joints: tuple[np.ndarray, ...]
    legs: tuple[np.ndarray, ...]
    followers: Followers

    @property
    def ndof(self) -> int:
        """Number of controlled dofs."""
        return len(self.index)

    @property
    def nsoft(self) -> int:
        """Number of soft joints."""
        return self.ndof - self.nroot - self.njoint

    @cached_property
    def rolls(self) -> tuple[np.ndarray, ...]:
        """For each foot the addresses in qvel of the joints of its ankle that roll it to the side, as the subtalar."""
        data = mujoco.MjData(self.model)
        mujoco.mj_kinematics(self.model, data)
        return tuple(_rolling_dofs(self.model, data, foot, toe) for foot, toe in zip(self.feet, self.toes, strict=True))

    def tangent(self, qpos: np.ndarray) -> np.ndarray:
        """Velocities of all dofs per unit velocity of the controlled ones, shape (nv, ndof)."""
        tangent = np.zeros((self.model.nv, self.ndof))
        tangent[self.index, np.arange(self.ndof)] = 1.0
        follow = self.followers
        delta = qpos[follow.driver] - self.model.qpos0[follow.driver]
        tangent[follow.dof, follow.column] = value_and_slope(follow.coef, delta)[1]
        return tangent


def find_controlled_dofs(body: SimulationBody) -> ControlledDofs:
    """Find the controlled degrees of freedom of a body."""
    model = body.model
    nroot = 6 if body.free else 0
    # Arms on a base have no trunk: it is the base.
    heavy = (model.body_subtreemass > _TRUNK_MASS * model.body_subtreemass[0]) & (body.target.base is None)
    trunk = [int(j) for j in body.joint_ids if heavy[model.jnt_bodyid[j]]]
    bent = [
        c for c in couplings(model) if c.driver in trunk and model.jnt_type[c.driven] == mujoco.mjtJoint.mjJNT_HINGE
    ]
    soft = [int(model.jnt_dofadr[c.driven]) for c in bent if heavy[model.jnt_bodyid[c.driven]]]
    index = np.concatenate([np.arange(nroot), body.dofadr, soft]).astype(int)
    position = {int(dof): k for k, dof in enumerate(index)}
    follow = [c for c in couplings(model) if c.driver >= 0 and int(model.jnt_dofadr[c.driven]) not in position]
    followers = Followers(
        dof=np.array([model.jnt_dofadr[c.driven] for c in follow], int),
        column=np.array([position[int(model.jnt_dofadr[c.driver])] for c in follow], int),
        driver=np.array([model.jnt_qposadr[c.driver] for c in follow], int),
        coef=np.array([c.coef for c in follow], float).reshape(len(follow), 5),
    )
    toes = tuple(int(model.body(part.body).id) for part in body.target.contact_parts[1::2])
    feet = tuple(int(model.body(part.body).id) for part in body.target.contact_parts[::2])
    independent = {int(model.jnt_dofadr[j]) for j in body.joint_ids}
    legs = tuple(
        np.array([position[dof] for dof in _dofs_between_root_and(model, foot) if dof in independent], int)
        for foot in feet
    )
    return ControlledDofs(
        model=model,
        index=index,
        nroot=nroot,
        njoint=len(body.joint_ids),
        root=int(model.body_rootid[body.landmark_ids[0]]),
        trunk=np.array([position[int(model.jnt_dofadr[j])] for j in trunk], int),
        feet=feet,
        toes=toes,
        toe_joints=tuple(np.flatnonzero(model.dof_bodyid[index] == toe) for toe in toes),
        legs=legs,
        followers=followers,
    )


def _dofs_between_root_and(model: mujoco.MjModel, body: int) -> list[int]:
    """Dofs of the joints that move a body, except those of a free root, shape (n,)."""
    dofs: list[int] = []
    while body > 0:
        first, count = int(model.body_dofadr[body]), int(model.body_dofnum[body])
        free = count == 6 and model.jnt_type[model.body_jntadr[body]] == mujoco.mjtJoint.mjJNT_FREE
        if count and not free:
            dofs += range(first, first + count)
        body = int(model.body_parentid[body])
    return sorted(dofs)


def _rolling_dofs(model: mujoco.MjModel, data: mujoco.MjData, foot: int, toe: int) -> np.ndarray:
    """Dofs of the joints of an ankle whose axes lie roughly along the foot, shape (n,); none if it has no toes."""
    forward = data.xpos[toe] - data.xpos[foot]
    forward /= max(float(np.linalg.norm(forward)), 1e-9)
    found = []
    for dof in _dofs_between_root_and(model, foot):
        joint = model.dof_jntid[dof]
        light = model.body_subtreemass[model.dof_bodyid[dof]] < _FOOT_MASS * model.body_subtreemass[0]
        if light and model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE and abs(data.xaxis[joint] @ forward) > _ALONG:
            found.append(dof)
    return np.array(found, int)
