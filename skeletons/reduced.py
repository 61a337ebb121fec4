"""Reduced coordinates: a configuration as its independent joints alone, so that every coupling holds exactly."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mujoco
import numpy as np

from musclemap.errors import TargetError

from .couplings import couplings, effective_range, value_and_slope

NROOT = 7
"""Length of the root's part of a configuration: position and quaternion wxyz."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReducedCoordinates:
    """Independent coordinates of a MuJoCo model with polynomial joint couplings.

    A configuration is `x = [root position (3), root quaternion wxyz (4), independent joints (njoint)]`. Its tangent
    space has `ndof = 6 + njoint` dimensions: translation and rotation of the root in the world frame, then the joints.
    For a body without a free joint the root is the world, with position 0 and quaternion 1.

    Attributes:
        model: The full MuJoCo model.
        joint_ids: MuJoCo ids of the independent joints, in MuJoCo order, shape (njoint,).
        lower: Lower ends of the effective ranges, shape (njoint,).
        upper: Upper ends of the effective ranges, shape (njoint,).
        rest: Value of each independent joint closest to its qpos0 within its range, shape (njoint,).
        base: Full configuration with the values of all joints that are neither independent nor driven (locked ones);
            satisfies the couplings, shape (nq,).
        driver: For every joint of the model the index in `joint_ids` of the joint that moves it (itself if
            independent), or -1 if none does, shape (model.njnt,).
        coef: For every joint the polynomial of its driver's deviation from qpos0, shape (model.njnt, 5).
    """

    model: mujoco.MjModel
    joint_ids: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    rest: np.ndarray
    base: np.ndarray
    driver: np.ndarray
    coef: np.ndarray

    @property
    def free(self) -> bool:
        """Whether the first joint is free."""
        return int(self.model.jnt_type[0]) == mujoco.mjtJoint.mjJNT_FREE

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the independent joints."""
        return tuple(self.model.joint(j).name for j in self.joint_ids)

    @property
    def njoint(self) -> int:
        """Number of independent joints, without the root."""
        return len(self.joint_ids)

    @property
    def ndof(self) -> int:
        """Dimension of the tangent space."""
        return 6 + self.njoint

    @cached_property
    def qposadr(self) -> np.ndarray:
        """Address in qpos of every independent joint, shape (njoint,)."""
        return self.model.jnt_qposadr[self.joint_ids]

    @cached_property
    def qpos0(self) -> np.ndarray:
        """The model's qpos0 of every independent joint, shape (njoint,)."""
        return self.model.qpos0[self.qposadr]

    def index(self, name: str) -> int:
        """Index of a joint among the independent ones.

        Raises:
            TargetError: If the joint is not independent; the message lists the independent ones.
        """
        if name not in self.joint_names:
            raise TargetError(f"no independent joint {name!r}; the joints are: {', '.join(self.joint_names)}")
        return self.joint_names.index(name)

    def expand(self, q: np.ndarray) -> np.ndarray:
        """Expand reduced configurations to full qpos; couplings are exact in float64.

        Args:
            q: Reduced configurations, shape (nframe, 7 + njoint).

        Returns:
            Full configurations, shape (nframe, nq).
        """
        qpos = np.tile(self.base, (len(q), 1))
        if self.free:
            qpos[:, :NROOT] = q[:, :NROOT]
        qpos[:, self.moved_qposadr], _ = self.moved_joints(q[:, NROOT:])
        return qpos

    def moved_joints(self, joints: Any) -> tuple[Any, Any]:
        """Values of the `moved` joints and their slopes, velocity per unit velocity of the driver; NumPy or JAX.

        Args:
            joints: Independent joints, shape (nframe, njoint).

        Returns:
            Both of shape (nframe, nmoved).
        """
        xp, dtype = joints.__array_namespace__(), joints.dtype
        constant = lambda array: xp.asarray(array, dtype=dtype)  # noqa: E731
        delta = (joints - constant(self.qpos0))[:, self.moved_driver]
        value, slope = value_and_slope(constant(self.coef[self.moved]), delta)
        return constant(self.model.qpos0[self.moved_qposadr]) + value, slope

    def reduce(self, qpos: np.ndarray) -> np.ndarray:
        """Extract the independent coordinates of full configurations; driven joints are dropped.

        Args:
            qpos: Full configurations, shape (nframe, nq).

        Returns:
            Reduced configurations, shape (nframe, 7 + njoint).
        """
        root = qpos[:, :NROOT] if self.free else np.tile(np.eye(1, NROOT, 3), (len(qpos), 1))
        return np.concatenate([root, qpos[:, self.qposadr]], axis=1)

    @cached_property
    def moved(self) -> np.ndarray:
        """Joints that follow an independent one, including the independent ones, shape (nmoved,)."""
        return np.flatnonzero(self.driver >= 0)

    @cached_property
    def moved_qposadr(self) -> np.ndarray:
        """Address of each of `moved` in qpos, shape (nmoved,)."""
        return self.model.jnt_qposadr[self.moved]

    @cached_property
    def moved_dof(self) -> np.ndarray:
        """Degree of freedom of each joint of `moved` in the full model, shape (nmoved,)."""
        return self.model.jnt_dofadr[self.moved]

    @cached_property
    def moved_driver(self) -> np.ndarray:
        """Independent joint that moves each joint of `moved`, shape (nmoved,)."""
        return self.driver[self.moved]

    def slope(self, qpos: np.ndarray) -> np.ndarray:
        """Velocity of each moved joint at unit velocity of its driver, shape (nframe, nmoved).

        Args:
            qpos: Full configurations, shape (nframe, nq).
        """
        return self.moved_joints(qpos[:, self.qposadr])[1]

    def to_independent(self, force: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Map generalised forces to the independent joints, shape (nframe, njoint).

        By virtual work, a force on a driven joint acts on its driver multiplied by the slope.

        Args:
            force: Forces on every degree of freedom of the full model, shape (nframe, nv) [N or Nm].
            slope: Slopes from `slope`, shape (nframe, nmoved).
        """
        return (force[:, self.moved_dof] * slope) @ self.gather

    @cached_property
    def gather(self) -> np.ndarray:
        """Whether each joint of `moved` follows each independent joint, shape (nmoved, njoint), 0 or 1."""
        gather = np.zeros((len(self.moved), self.njoint))
        gather[np.arange(len(self.moved)), self.moved_driver] = 1.0
        return gather

    def coupling_residual(self, qpos: np.ndarray) -> np.ndarray:
        """Measure how far full configurations deviate from the couplings.

        Returns:
            Largest absolute deviation of a driven joint from its polynomial [rad or m], shape (nframe,).
        """
        ids = set(self.joint_ids.tolist())
        residual = np.zeros(len(qpos))
        adr = self.model.jnt_qposadr
        for c in couplings(self.model):
            if c.driven in ids:
                raise TargetError(f"joint {self.model.joint(c.driven).name} is both driven and independent")
            delta = qpos[:, adr[c.driver]] - self.model.qpos0[adr[c.driver]] if c.driver >= 0 else np.zeros(len(qpos))
            expected = self.model.qpos0[adr[c.driven]] + value_and_slope(c.coef, delta)[0]
            residual = np.maximum(residual, np.abs(qpos[:, adr[c.driven]] - expected))
        return residual


def check_limits(limits: str) -> None:
    """Raise TargetError for an unknown kind of limits."""
    if limits not in ("effective", "declared"):
        raise TargetError(f"limits is {limits!r}; it must be 'effective' or 'declared'")


def reduce_model(
    model: mujoco.MjModel, *, locked: frozenset[str] = frozenset(), limits: str = "effective", fixed: bool = False
) -> ReducedCoordinates:
    """Find the independent coordinates of a model.

    Args:
        model: Model with a free joint first, then hinges and slides, and polynomial joint equalities.
        locked: Names of joints that keep their rest value and are not coordinates.
        limits: "effective" (every driven joint stays in its declared range) or "declared".
        fixed: Whether the model has no free joint and is fixed to the world.

    Raises:
        TargetError: If the model has no free root, a ball joint or chained couplings, or lacks a locked joint.
    """
    check_limits(limits)
    first = 0 if fixed else 1
    if not fixed and (model.njnt == 0 or model.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE):
        raise TargetError("the first joint of the model is not free; a floating base is needed")
    hinge_or_slide = [int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE)]
    if not np.isin(model.jnt_type[first:], hinge_or_slide).all():
        raise TargetError("the model has a ball or a second free joint; only hinges and slides are supported")
    known = {model.joint(j).name for j in range(model.njnt)}
    if locked - known:
        raise TargetError(f"the model lacks the locked joints: {', '.join(sorted(locked - known))}")
    coupled = couplings(model)
    driven = {c.driven for c in coupled}
    ids = np.array([j for j in range(first, model.njnt) if j not in driven and model.joint(j).name not in locked])

    rest_all = model.qpos0.copy()
    lower_all, upper_all = np.full(model.njnt, -np.inf), np.full(model.njnt, np.inf)
    for j in range(first, model.njnt):
        if model.jnt_limited[j]:
            lower_all[j], upper_all[j] = model.jnt_range[j]
            if limits == "effective" and j not in driven:
                lower_all[j], upper_all[j] = effective_range(model, j, [c for c in coupled if c.driver == j])
        adr = model.jnt_qposadr[j]
        rest_all[adr] = np.clip(model.qpos0[adr], lower_all[j], upper_all[j])

    index = {int(j): k for k, j in enumerate(ids)}
    driver, coef = np.full(model.njnt, -1), np.zeros((model.njnt, 5))
    for j, k in index.items():
        driver[j], coef[j, 1] = k, 1.0
    for c in coupled:
        coef[c.driven] = c.coef
        driver[c.driven] = index.get(c.driver, -1)
        adr = model.jnt_qposadr
        delta = rest_all[adr[c.driver]] - model.qpos0[adr[c.driver]] if c.driver >= 0 else 0.0
        rest_all[adr[c.driven]] = model.qpos0[adr[c.driven]] + float(value_and_slope(c.coef, np.asarray(delta))[0])
    return ReducedCoordinates(
        model=model,
        joint_ids=ids,
        lower=lower_all[ids],
        upper=upper_all[ids],
        rest=rest_all[model.jnt_qposadr[ids]],
        base=rest_all,
        driver=driver,
        coef=coef,
    )
