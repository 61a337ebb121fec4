"""Joint couplings of a MuJoCo model: driven = polynomial of one driver, both relative to qpos0."""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from musclemap.errors import TargetError

DRIVEN_TOLERANCE = 5e-4
"""A driver keeps its whole range if no joint it drives leaves its declared range by more than this [rad or m].

The knees' polynomials overshoot by up to 2.5e-4 at the ends of their own range. That is noise of the published fit and
no reason to forbid a straight knee.
"""


@dataclass(frozen=True, kw_only=True)
class Coupling:
    """One joint equality of the model.

    Attributes:
        driven: Index of the driven joint.
        driver: Index of the driving joint, or -1 if the joint is held at a constant.
        coef: Polynomial coefficients, constant first, shape (5,).
    """

    driven: int
    driver: int
    coef: np.ndarray


def couplings(model: mujoco.MjModel) -> tuple[Coupling, ...]:
    """Read every active joint equality of a model.

    Raises:
        TargetError: If a driver is itself driven, because such couplings cannot be eliminated in one step.
    """
    active = []
    for k in range(model.neq):
        if model.eq_type[k] != mujoco.mjtEq.mjEQ_JOINT or not model.eq_active0[k]:
            continue
        driven, driver = int(model.eq_obj1id[k]), int(model.eq_obj2id[k])
        active.append(Coupling(driven=driven, driver=driver, coef=np.array(model.eq_data[k, :5])))
    chained = {c.driven for c in active} & {c.driver for c in active}
    if chained:
        names = ", ".join(model.joint(j).name for j in sorted(chained))
        raise TargetError(
            f"joints that drive others are themselves driven: {names}; chains of couplings are not supported"
        )
    return tuple(active)


def value_and_slope(coef: Any, delta: Any) -> tuple[Any, Any]:
    """Evaluate polynomials, constant first, and their derivatives by Horner's rule; NumPy or JAX.

    Args:
        coef: Coefficients, shape (..., ncoef).
        delta: Argument, broadcastable with coef[..., 0].
    """
    xp = delta.__array_namespace__()
    value = xp.zeros(np.broadcast_shapes(coef.shape[:-1], delta.shape), dtype=delta.dtype)
    slope = xp.zeros_like(value)
    for k in range(coef.shape[-1] - 1, -1, -1):
        slope = slope * delta + value
        value = value * delta + coef[..., k]
    return value, slope


def effective_range(model: mujoco.MjModel, joint: int, driven: list[Coupling]) -> tuple[float, float]:
    """Find the part of a driver's range in which every joint it drives stays in its own declared range.

    The search starts at the driver's rest value, runs outwards on a fine grid and refines the ends by bisection.

    Returns:
        Lower and upper end, in the unit of the joint (rad or m).
    """
    low, high = (float(v) for v in model.jnt_range[joint])
    rest = float(np.clip(model.qpos0[model.jnt_qposadr[joint]], low, high))
    if not driven:
        return low, high

    def inside(values: np.ndarray, tolerance: float = 1e-9) -> np.ndarray:
        """Whether each driven joint stays in its range, shape of `values`."""
        result, adr = np.ones(np.shape(values), bool), model.jnt_qposadr
        for coupling in driven:
            if not model.jnt_limited[coupling.driven]:
                continue
            moved = value_and_slope(coupling.coef, values - model.qpos0[adr[joint]])[0]
            moved = moved + model.qpos0[adr[coupling.driven]]
            lo, hi = model.jnt_range[coupling.driven]
            result &= (lo - tolerance <= moved) & (moved <= hi + tolerance)
        return result

    def end(limit: float) -> float:
        grid = np.linspace(rest, limit, 2001)
        outside = np.flatnonzero(~inside(grid))
        if not len(outside):
            return limit
        if outside[0] == 0:
            name = model.joint(joint).name
            raise TargetError(f"joint {name} drives others out of their range even at its rest value {rest:.4g}")
        good, bad = grid[outside[0] - 1], grid[outside[0]]
        for _ in range(50):
            middle = 0.5 * (good + bad)
            good, bad = (middle, bad) if inside(np.asarray(middle)) else (good, middle)
        return float(good)

    if inside(np.linspace(low, high, 2001), DRIVEN_TOLERANCE).all():
        return low, high
    return end(low), end(high)
