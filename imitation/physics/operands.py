"""Checks of engine arguments: shapes must fit the body and the number of worlds. Also detects bad states."""

import numpy as np
from jax import Array

from musclemap.errors import SettingsError, TargetError

from .bodies import SimulationBody
from .engine import MAX_SPEED, PhysicsState


def check_nworld(nworld: int) -> None:
    """Reject an engine without worlds.

    Raises:
        SettingsError: If `nworld` is below 1.
    """
    if nworld < 1:
        raise SettingsError(f"an engine cannot have {nworld} worlds; it needs at least 1")


def check_operands(
    body: SimulationBody, nworld: int, state: PhysicsState, ctrl: Array | None = None, base: Array | None = None
) -> None:
    """Reject a state, controls or a motion of the base whose shapes do not fit the body and the number of worlds.

    Raises:
        TargetError: If a shape is wrong, with a message that gives the actual and the required shape, or if a body
            without a base gets a motion of one.
    """
    if base is not None and (body.target.base is None or np.shape(base) != (nworld, 4, 3)):
        needed = "no base" if body.target.base is None else f"(nworld, 4, 3) with nworld {nworld}"
        raise TargetError(f"the base's motion has shape {np.shape(base)}; {body.name} has {needed}")
    model = body.model
    width = {"qpos": model.nq, "qvel": model.nv, "act": model.nu, "warmstart": model.nv}
    arrays = state._asdict()
    if ctrl is not None:
        width["ctrl"], arrays["ctrl"] = model.nu, ctrl
    for name, value in arrays.items():
        if np.shape(value) != (nworld, width[name]):
            raise TargetError(
                f"{name} has shape {np.shape(value)}; {nworld} worlds of {body.name} need {(nworld, width[name])}"
            )


def finite_rows(array: np.ndarray) -> np.ndarray:
    """Worlds whose values are all finite, shape (nworld,) bool; array is (nworld, n)."""
    return np.all(np.isfinite(array), axis=1)


def too_fast(qvel: np.ndarray) -> np.ndarray:
    """Worlds with a joint faster than `MAX_SPEED`, shape (nworld,) bool; qvel is (nworld, nv)."""
    return np.any(np.abs(qvel) > MAX_SPEED, axis=1)
