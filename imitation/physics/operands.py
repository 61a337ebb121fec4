"""What an engine is given, checked: shapes fit the body and the number of worlds, and worlds that went bad are told."""

import numpy as np
from jax import Array

from musclemap.errors import SettingsError, TargetError

from .bodies import SimulationBody
from .engine import FASTEST, PhysicsState


def check_nworld(nworld: int) -> None:
    """Refuse an engine without worlds.

    Raises:
        SettingsError: `nworld` is below 1.
    """
    if nworld < 1:
        raise SettingsError(f"an engine of {nworld} worlds was asked for; there must be one at least")


def check_operands(body: SimulationBody, nworld: int, state: PhysicsState, ctrl: Array | None = None) -> None:
    """Refuse a state or controls of another body or of another number of worlds.

    Raises:
        TargetError: A shape is not the one that the body and the engine have; the message gives both.
    """
    model = body.model
    width = {"qpos": model.nq, "qvel": model.nv, "act": model.nu, "warmstart": model.nv}
    given = state._asdict()
    if ctrl is not None:
        width["ctrl"], given["ctrl"] = model.nu, ctrl
    for name, value in given.items():
        if np.shape(value) != (nworld, width[name]):
            raise TargetError(
                f"{name} has shape {np.shape(value)}; {nworld} worlds of {body.name} have {(nworld, width[name])}"
            )


def finite_rows(array: np.ndarray) -> np.ndarray:
    """Worlds in which all is finite, shape (nworld,) bool; array is (nworld, n)."""
    return np.all(np.isfinite(array), axis=1)


def too_fast(qvel: np.ndarray) -> np.ndarray:
    """Worlds in which some joint is faster than anything real, shape (nworld,) bool; qvel is (nworld, nv)."""
    return np.any(np.abs(qvel) > FASTEST, axis=1)
