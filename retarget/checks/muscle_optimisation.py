"""Static optimisation: activations of the muscles that produce the joint torques of a motion.

Muscles are redundant, so a cost chooses among the activations that leave the smallest residual torque. The customary
ones are the sum of squares weighted by muscle volume (Happee 1994), the plain sum of squares, and the sum of cubed
muscle stresses (Crowninshield & Brand 1981). Three stages make the activations smooth and reachable:

1. Every frame is solved on its own, in batches.
2. Sweeps over even and odd frames solve them again with a penalty on the difference from both neighbours.
3. One pass forward in time keeps each activation within what first-order activation dynamics (Zajac 1989, in MuJoCo's
   form) can reach from the frame before, so antagonists balance a muscle that still relaxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import mujoco
import numpy as np

from musclemap.retarget.config import MuscleCost
from musclemap.retarget.forces.activation_dynamics import ActivationDynamics
from musclemap.retarget.forces.bounded_least_squares import bounded_least_squares_from
from musclemap.retarget.one_at_a_time import one_at_a_time

from .inverse_dynamics import BATCH_SIZE, batch_size
from .physics_checks import MuscleForces

SMOOTH_SECONDS = 0.04
"""Time constant of the smoothing [s]: the squared difference of two frames counts (SMOOTH_SECONDS * fps)^2 times as
much as the square of an activation."""

SWEEPS = 1
"""Sweeps over even and odd frames. On three walks one lowers the mean second difference by 10 to 20 %, a second one by
another 2 %; each takes about as long as the first stage."""

LOOK_AHEAD = 10.0
"""Weight of activation above what the next frame can relax from, relative to the square of an activation."""

SEGMENTS, WARM_UP = {"cpu": 8, "gpu": 64}, 32
"""Segments of a clip that the pass forward in time solves side by side, and the frames before each that it starts
with: after 32 frames at 100 Hz less than 2 % of a small activation remains."""

REWEIGHTINGS, MIN_EFFORT = 5, 0.01
"""Reweighted squares that minimise the cubed stresses, and the least weight of a square, which bounds the condition of
the problem."""


@dataclass(frozen=True, kw_only=True)
class StaticOptimization:
    """Muscle activations that reproduce the joint torques of a motion.

    Attributes:
        activation: Activation of each muscle, 0 to 1, shape (nframe, nu).
        residual: Torque that the muscles cannot supply at each independent joint, shape (nframe, njoint) [Nm].
    """

    activation: np.ndarray
    residual: np.ndarray


@dataclass(frozen=True, kw_only=True)
class MuscleDemand:
    """Torques that the muscles have to supply, and what they can, in about a tenth of the memory of `MuscleForces`.

    Attributes:
        ref: Torque to supply by activation, shape (nframe, njoint) [Nm].
        active: Additional force of each muscle at full activation, shape (nframe, nu) [N].
        entries: Entries of the matrix of moment arms, shape (nu, njoint), that are not zero; flat indices.
        moment: Their values, shape (nframe, nentry) [m].
    """

    ref: np.ndarray
    active: np.ndarray
    entries: np.ndarray
    moment: np.ndarray

    def gain(self, rows: np.ndarray) -> np.ndarray:
        """Torque of each muscle at full activation in some frames, shape (nrow, njoint, nu) [Nm]."""
        nu, njoint = self.active.shape[1], self.ref.shape[1]
        moment = np.zeros((len(rows), nu * njoint), np.float32)
        moment[:, self.entries] = self.moment[rows]
        return np.swapaxes(moment.reshape(-1, nu, njoint) * self.active[rows, :, None], 1, 2)


def muscle_demand(muscles: MuscleForces, torque: np.ndarray, *, passive: np.ndarray | None = None) -> MuscleDemand:
    """Collect what static optimisation needs.

    Args:
        muscles: Forces and moment arms of the muscles.
        torque: Torque to supply at each independent joint, shape (nframe, njoint) [Nm].
        passive: Passive torque of each joint, shape (nframe, njoint) [Nm]; NaN where the muscles' own passive forces
            apply. None if they apply everywhere.
    """
    nframe = len(torque)
    own = np.einsum("tij,ti->tj", muscles.moment, muscles.passive)
    if passive is not None:
        own = np.where(np.isnan(passive), own, passive)
    flat = muscles.moment.reshape(nframe, -1)
    entries = np.flatnonzero((flat != 0).any(axis=0))
    return MuscleDemand(ref=torque - own, active=muscles.active, entries=entries, moment=flat[:, entries])


def join_demands(parts: Sequence[MuscleDemand]) -> MuscleDemand:
    """Concatenate consecutive chunks of frames."""
    entries = np.unique(np.concatenate([part.entries for part in parts]))
    moments = []
    for part in parts:
        moment = np.zeros((len(part.ref), len(entries)), np.float32)
        moment[:, np.searchsorted(entries, part.entries)] = part.moment
        moments.append(moment)
    ref, active = (np.concatenate([getattr(part, name) for part in parts]) for name in ("ref", "active"))
    return MuscleDemand(ref=ref, active=active, entries=entries, moment=np.concatenate(moments))


class MuscleOptimizer:
    """Static optimisation for one body.

    Args:
        model: Full MuJoCo model.
        cost: What the activations minimise.
        weight: Squares of activation that one squared newton metre of residual torque costs.
    """

    def __init__(self, model: mujoco.MjModel, *, cost: MuscleCost = "volume", weight: float = 1.0) -> None:
        self._cost, self._weight, self._dynamics = cost, weight, ActivationDynamics(model)
        self._strength = np.maximum(model.actuator_gainprm[:, 2], 1e-9)
        volume = muscle_volumes(model)
        self._volume = volume / volume.mean()

    def __call__(self, demand: MuscleDemand, *, fps: float) -> StaticOptimization:
        """Find the activations of consecutive frames.

        Args:
            demand: Torques to supply.
            fps: Frame rate [Hz].
        """
        problem = _Problem(demand, self._effort(demand), self._weight)
        self._solve_frames(problem)
        smoothness = (SMOOTH_SECONDS * fps) ** 2
        for _ in range(SWEEPS):
            for first in (0, 1):
                _smooth(problem, np.arange(first, problem.nframe, 2), smoothness)
        self._reach(problem, smoothness, 1.0 / fps)
        return StaticOptimization(activation=problem.x.astype(np.float32), residual=problem.residual())

    def _effort(self, demand: MuscleDemand) -> np.ndarray:
        """Weight of each squared activation, shape (nframe, nu)."""
        weights = self._volume if self._cost == "volume" else np.ones_like(self._volume)
        return np.tile(weights, (len(demand.ref), 1))

    def _solve_frames(self, problem: "_Problem") -> None:
        """Solve every frame on its own; cubed stresses by reweighted squares, damped by a geometric mean."""
        rows = np.arange(problem.nframe)
        nothing = np.zeros_like(problem.x)
        problem.solve(rows, 1.0, nothing, nothing, nothing + 1.0)
        if self._cost != "stress-cubed":
            return
        stress = problem.demand.active / self._strength  # at full activation, relative to the largest isometric one
        weight = np.ones_like(problem.x)
        for _ in range(REWEIGHTINGS):
            weight = np.sqrt(weight * np.maximum(problem.x * stress, MIN_EFFORT))
            problem.effort = np.maximum(weight * stress**2, MIN_EFFORT)
            problem.solve(rows, 1.0, nothing, nothing, nothing + 1.0)

    def _reach(self, problem: "_Problem", smoothness: float, step: float) -> None:
        """Make the activations reachable, forward in time in several segments side by side."""
        nframe, count = problem.nframe, SEGMENTS["cpu" if batch_size() == BATCH_SIZE["cpu"] else "gpu"]
        length = -(-nframe // count)
        begin = np.arange(count) * length
        start = np.maximum(begin - WARM_UP, 0)
        result, previous = np.empty_like(problem.x), problem.x[np.minimum(start, nframe - 1)]
        for k in range(length + WARM_UP):
            rows = np.minimum(start + k, nframe - 1)
            after = np.minimum(rows + 1, nframe - 1)
            lower, upper = np.zeros_like(previous), np.ones_like(previous)
            if k > 0:
                lower, upper = self._dynamics.reachable(previous, step)
            limit = self._dynamics.relaxes_to(problem.x[after], step)
            too_high = LOOK_AHEAD * (problem.x[rows] > limit)
            near = smoothness * (1.0 if k > 0 else 0.0)
            total = 1.0 + near + smoothness + too_high
            centre = (near * previous + smoothness * problem.x[after] + too_high * limit) / total
            previous = problem.solve(rows, total, centre, lower, upper, store=False)
            kept = (start + k >= begin) & (start + k < np.minimum(begin + length, nframe))
            result[rows[kept]] = previous[kept]
        problem.x = result


def _smooth(problem: "_Problem", rows: np.ndarray, smoothness: float) -> None:
    """Solve frames again, close to their neighbours as they are now."""
    nframe = problem.nframe
    before, after = np.maximum(rows - 1, 0), np.minimum(rows + 1, nframe - 1)
    has_before, has_after = ((kept.astype(float))[:, None] for kept in (rows > 0, rows < nframe - 1))
    total = 1.0 + smoothness * (has_before + has_after)
    pull = has_before * problem.x[before] + has_after * problem.x[after]
    nothing = np.zeros_like(pull)
    problem.solve(rows, total, smoothness * pull / total, nothing, nothing + 1.0)


class _Problem:
    """Frames of one clip with their activations `x` so far, shape (nframe, nu)."""

    def __init__(self, demand: MuscleDemand, effort: np.ndarray, weight: float) -> None:
        self.demand, self.effort, self._weight = demand, effort, weight
        self.nframe = len(demand.ref)
        self.x = np.zeros(demand.active.shape)
        self._dual = np.zeros(demand.ref.shape, np.float32)

    @one_at_a_time
    def solve(
        self,
        rows: np.ndarray,
        stiffness: np.ndarray | float,
        centre: np.ndarray,
        lower: np.ndarray,
        upper: np.ndarray,
        *,
        store: bool = True,
    ) -> np.ndarray:
        """Minimise effort * stiffness * (x - centre)^2 plus the weighted squared residual in some frames.

        Args:
            rows: Frames, shape (nrow,).
            stiffness: Factor on the effort, shape (nrow, nu) or one that broadcasts to it.
            centre: Activations of least cost, shape (nrow, nu).
            lower: Lower bounds, shape (nrow, nu).
            upper: Upper bounds, shape (nrow, nu).
            store: Whether to keep the activations in `x`.

        Returns:
            The activations, shape (nrow, nu).
        """
        scale = np.sqrt(self.effort[rows] * stiffness)
        batch = len(rows) if not store else batch_size()
        result = np.empty_like(centre)
        for low in range(0, len(rows), batch):
            part = np.arange(low, min(low + batch, len(rows)))
            padded = np.resize(part, batch)
            frames = rows[padded]
            gain = self.demand.gain(frames)
            ref = self.demand.ref[frames] - (gain @ centre[padded, :, None])[..., 0]
            bounds = ((scale * (bound - centre))[padded] for bound in (lower, upper))
            inputs = (gain / scale[padded, None, :], ref, *bounds, self._dual[frames])
            a, b, low_x, high_x, start = (jnp.asarray(value, jnp.float32) for value in inputs)
            x, dual, _ = bounded_least_squares_from(a, b, lower=low_x, upper=high_x, start=start, weight=self._weight)
            moved = centre[part] + np.asarray(x, np.float64)[: len(part)] / scale[part]
            result[part] = np.clip(moved, lower[part], upper[part])
            self._dual[rows[part]] = np.asarray(dual)[: len(part)]
        if store:
            self.x[rows] = result
        return result

    def residual(self) -> np.ndarray:
        """Torque that the activations leave at each joint, shape (nframe, njoint) [Nm]."""
        residual = np.empty(self.demand.ref.shape)
        for low in range(0, self.nframe, batch_size()):
            rows = np.arange(low, min(low + batch_size(), self.nframe))
            residual[rows] = self.demand.ref[rows] - (self.demand.gain(rows) @ self.x[rows, :, None])[..., 0]
        return residual


def muscle_volumes(model: mujoco.MjModel) -> np.ndarray:
    """Volume of each muscle up to a common factor, shape (nu,): peak force times optimal fibre length [N m].

    MuJoCo stores the range of operating lengths in metres and relative to the optimal length, which gives the latter.
    """
    length = np.ptp(model.actuator_lengthrange, axis=1) / np.maximum(np.diff(model.actuator_gainprm[:, :2])[:, 0], 1e-9)
    return np.maximum(model.actuator_gainprm[:, 2] * length, 1e-9)
