"""Worlds that differ: masses, friction, strength and quickness of the muscles, each world its own throughout.

A policy that was trained on one body may hang on that body's exact numbers. Here the worlds of one engine get bodies
that differ a little. Pushes and delays are not part of the body and are made elsewhere.
"""

from copy import copy
from dataclasses import dataclass, fields

import mujoco
import numpy as np

from musclemap.errors import TargetError
from musclemap.settings import UnitInterval, settings

from .bodies import SimulationBody

FORCE, FORCE_SCALE = 2, 3
"""Columns of gainprm and biasprm: peak force; and what it is, divided by acc0, where that is below 0."""

TIME_CONSTANTS = slice(0, 2)
"""Columns of dynprm: activation and deactivation."""

MASS_DERIVED = ("body_subtreemass", "body_invweight0", "dof_invweight0", "tendon_invweight0")
"""What `mj_setConst` makes of masses and the simulation uses."""


@settings
class RandomisationConfig:
    """How much worlds differ: the largest relative deviation, drawn uniformly to both sides; 0 turns it off.

    Attributes:
        mass: Mass and inertia of each body part.
        friction: Friction of all geoms of a world, including the floor.
        strength: Force of each muscle, active and passive.
        activation_time: Time constants of activation and deactivation of each muscle.
    """

    mass: UnitInterval = 0.0
    friction: UnitInterval = 0.0
    strength: UnitInterval = 0.0
    activation_time: UnitInterval = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Variants:
    """By what each world's numbers are multiplied; None where nothing is changed.

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
    """Draw the worlds' bodies.

    Each quantity has random numbers of its own: turning one on changes none of the others.

    Returns:
        Factors of every world; None if all is off.
    """
    drawn = {
        name: np.random.default_rng((seed, k)).uniform(1.0 - spread, 1.0 + spread, shape)
        for k, (name, shape) in enumerate(_shapes(body, nworld).items())
        if (spread := getattr(config, name)) > 0
    }
    return Variants(**drawn) if drawn else None


def check_variants(body: SimulationBody, nworld: int, variants: Variants | None) -> None:
    """Refuse variants of another body or of another number of worlds.

    Raises:
        TargetError: The message gives both shapes.
    """
    if variants is None:
        return
    for name, shape in _shapes(body, nworld).items():
        value = getattr(variants, name)
        if value is not None and value.shape != shape:
            raise TargetError(f"variants' {name} has shape {value.shape}; {nworld} worlds of {body.name} have {shape}")


def _shapes(body: SimulationBody, nworld: int) -> dict[str, tuple[int, ...]]:
    nbody, nu = body.model.nbody, body.model.nu
    return {"mass": (nworld, nbody), "friction": (nworld,), "strength": (nworld, nu), "activation_time": (nworld, nu)}


class VariedModel:
    """The numbers of a model that differ between worlds."""

    def __init__(self, body: SimulationBody, variants: Variants) -> None:
        self._model, self._variants = body.model, variants
        self._derived = self._derive() if variants.mass is not None else []
        self.nworld = len(next(v for f in fields(variants) if (v := getattr(variants, f.name)) is not None))

    def of(self, world: int) -> dict[str, np.ndarray]:
        """Fields of MjModel that are changed, and their values in a world."""
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
                changed[name] = _stronger(getattr(model, name), variants.strength[world])
        if variants.activation_time is not None:
            changed["actuator_dynprm"] = model.actuator_dynprm.copy()
            changed["actuator_dynprm"][:, TIME_CONSTANTS] *= variants.activation_time[world][:, None]
        return changed

    def apply(self, model: mujoco.MjModel, world: int) -> None:
        """Make a copy of the body's model that of a world."""
        for name, value in self.of(world).items():
            getattr(model, name)[:] = value

    def stacked(self) -> dict[str, np.ndarray]:
        """The same of all worlds, worlds first, float32."""
        first = self.of(0)
        stacked = {name: np.empty((self.nworld, *value.shape), np.float32) for name, value in first.items()}
        for world in range(self.nworld):
            for name, value in self.of(world).items():
                stacked[name][world] = value
        return stacked

    def _derive(self) -> list[dict[str, np.ndarray]]:
        """What follows from the masses of every world, by MuJoCo itself: 5 ms a world for MyoFullBody."""
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


def _stronger(prm: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Parameters of muscles, shape (nu, 10), with their peak force multiplied, wherever it is kept."""
    changed, rows = prm.copy(), np.arange(len(prm))
    changed[rows, np.where(prm[:, FORCE] < 0, FORCE_SCALE, FORCE)] *= factor
    return changed
