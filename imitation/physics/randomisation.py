"""Domain randomisation: masses, friction, muscle strength and activation time constants differ between worlds.

A policy trained on a single body may depend on its exact parameters. Here each world of an engine has its own body,
which stays the same throughout training. Pushes and latency do not belong to the body; `task.task` adds them.
"""

from copy import copy
from dataclasses import dataclass, fields

import mujoco
import numpy as np

from musclemap.errors import TargetError

from .bodies import SimulationBody
from .world_settings import RandomisationConfig

FORCE, FORCE_SCALE = 2, 3
"""Columns of gainprm and biasprm: peak force, and the scale that, divided by acc0, replaces a negative peak force."""

TIME_CONSTANTS = slice(0, 2)
"""Columns of dynprm: time constants of activation and deactivation."""

MASS_DERIVED = ("body_subtreemass", "body_invweight0", "dof_invweight0", "tendon_invweight0")
"""Fields that `mj_setConst` derives from masses and that the simulation uses."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Variants:
    """Factors on each world's parameters; None for unchanged parameters.

    Attributes:
        mass: Shape (nworld, nbody).
        friction: Shape (nworld,).
        strength: Shape (nworld, nu).
        activation_time: Shape (nworld, nu).
    """

    mass: np.ndarray | None = None
    friction: np.ndarray | None = None
    strength: np.ndarray | None = None
    activation_time: np.ndarray | None = None


def draw_variants(config: RandomisationConfig, body: SimulationBody, nworld: int, seed: int) -> Variants | None:
    """Draw random factors for all worlds.

    Each quantity has its own random stream: enabling one does not change the others.

    Returns:
        Factors of every world; None if all deviations are 0.
    """
    drawn = {
        name: np.random.default_rng((seed, k)).uniform(1.0 - spread, 1.0 + spread, shape)
        for k, (name, shape) in enumerate(_shapes(body, nworld).items())
        if (spread := getattr(config, name)) > 0
    }
    return Variants(**drawn) if drawn else None


def check_variants(body: SimulationBody, nworld: int, variants: Variants | None) -> None:
    """Reject variants of another body or number of worlds.

    Raises:
        TargetError: If a shape is wrong; the message gives the actual and the required shape.
    """
    if variants is None:
        return
    for name, shape in _shapes(body, nworld).items():
        value = getattr(variants, name)
        if value is not None and value.shape != shape:
            raise TargetError(f"variants' {name} has shape {value.shape}; {nworld} worlds of {body.name} need {shape}")


def _shapes(body: SimulationBody, nworld: int) -> dict[str, tuple[int, ...]]:
    nbody, nu = body.model.nbody, body.model.nu
    return {"mass": (nworld, nbody), "friction": (nworld,), "strength": (nworld, nu), "activation_time": (nworld, nu)}


class VariedModel:
    """Model fields that differ between worlds."""

    def __init__(self, body: SimulationBody, variants: Variants) -> None:
        self._model, self._variants = body.model, variants
        self._derived = self._derive() if variants.mass is not None else []
        self.nworld = len(next(v for f in fields(variants) if (v := getattr(variants, f.name)) is not None))

    def fields_of(self, world: int) -> dict[str, np.ndarray]:
        """Return the changed fields of MjModel and their values in one world."""
        model, variants = self._model, self._variants
        changed: dict[str, np.ndarray] = {}
        if variants.mass is not None:
            changed["body_mass"] = model.body_mass * variants.mass[world]
            changed["body_inertia"] = model.body_inertia * variants.mass[world][:, None]
            changed |= self._derived[world]
        if variants.friction is not None:
            changed["geom_friction"] = model.geom_friction * variants.friction[world]
        if variants.strength is not None:
            for name in ("actuator_gainprm", "actuator_biasprm"):
                changed[name] = _scale_force(getattr(model, name), variants.strength[world])
        if variants.activation_time is not None:
            changed["actuator_dynprm"] = model.actuator_dynprm.copy()
            changed["actuator_dynprm"][:, TIME_CONSTANTS] *= variants.activation_time[world][:, None]
        return changed

    def apply(self, model: mujoco.MjModel, world: int) -> None:
        """Write one world's values into a copy of the body's model."""
        for name, value in self.fields_of(world).items():
            getattr(model, name)[:] = value

    def stacked(self) -> dict[str, np.ndarray]:
        """Return the changed fields of all worlds, worlds first, float32."""
        first = self.fields_of(0)
        stacked = {name: np.empty((self.nworld, *value.shape), np.float32) for name, value in first.items()}
        for world in range(self.nworld):
            for name, value in self.fields_of(world).items():
                stacked[name][world] = value
        return stacked

    def _derive(self) -> list[dict[str, np.ndarray]]:
        """Let MuJoCo derive the fields that depend on the masses of each world: 5 ms per world of MyoFullBody."""
        assert self._variants.mass is not None
        model = copy(self._model)
        data = mujoco.MjData(model)
        derived = []
        for factor in self._variants.mass:
            model.body_mass[:] = self._model.body_mass * factor
            model.body_inertia[:] = self._model.body_inertia * factor[:, None]
            mujoco.mj_setConst(model, data)
            derived.append({name: getattr(model, name).copy() for name in MASS_DERIVED})
        return derived


def _scale_force(prm: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Scale the peak force in muscle parameters, shape (nu, 10), in whichever column holds it."""
    changed, rows = prm.copy(), np.arange(len(prm))
    changed[rows, np.where(prm[:, FORCE] < 0, FORCE_SCALE, FORCE)] *= factor
    return changed
