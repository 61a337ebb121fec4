"""Simulated fragments, variations of gains, and a beam search over offsets of the controller's targets.

Where feedback alone loses the body, small offsets of the targets of legs, trunk and root in fragments of 0.1 s find the
motion that keeps it, as sampling-based contact-rich motion control does (Liu et al. 2010, 2015): every fragment starts
from the states that are best so far, many offsets are simulated, and the best of their ends are kept.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import mujoco
import numpy as np
from threadpoolctl import threadpool_limits

from musclemap.imitation.eval.limits import LANDMARK_LIMIT, ROOT_LIMIT
from musclemap.imitation.physics.bodies import SimulationBody

from .config import MAX_COUNT, MAX_SAMPLES, TrackingConfig
from .controller import FeedbackController
from .dofs import ControlledDofs
from .reference import base_at
from .track import advance, compute_forces, set_state

_MAX_VELOCITY = 1e5
"""Velocity that only a simulation gone bad reaches [m/s or rad/s]."""

_RELATIVE_SCALE = 0.06
_ROOT_SCALE = 0.08
_TILT_SCALE = 0.12
_DIVERGENT_SCALE = 0.06
_FEET_SCALE = 0.04
_CAPTURE = 0.7
_PENDULUM_TIME = 0.32
"""Inverse of the frequency of an inverted pendulum as high as a person's centre of mass [s]."""

_INHERITED = 0.5
"""Weight of a parent's cost in its child's."""

_ROOT_SPREAD = np.array([0.02, 0.02, 0.01, 0.03, 0.03, 0.03])
"""Standard deviation of the root's offsets [m, rad] for a spread of 0.08 rad in the legs."""


_GAIN_FACTORS = {
    "joint_gain": (0.55, 1.8),
    "root_gain": (0.4, 2.0),
    "root_rotation_gain": (0.45, 2.0),
    "root_rotation_weight": (0.2, 1.6),
    "max_root_acceleration": (0.5, 2.0),
    "toe_weight": (0.01, 1.0),
    "effort": (0.2, 2.0),
    "feedforward": (0.5, 1.0),
    "placement": (0.5, 1.7),
    "lateral_placement": (0.55, 1.45),
    "com_weight": (0.5, 8.0),
    "com_gain": (0.35, 3.0),
    "moment_weight": (0.1, 2.0),
    "pressure_gain": (0.1, 2.0),
}
"""Smallest and largest factor of each gain in its variations."""

_LEAN = 0.01
"""Standard deviation of a constant horizontal offset of the root [m]."""


@dataclass(frozen=True, eq=False)
class State:
    """Everything that determines the next control step, except the excitations."""

    qpos: np.ndarray
    qvel: np.ndarray
    act: np.ndarray
    warmstart: np.ndarray


@dataclass(eq=False)
class Fragment:
    """Control steps from one frame to another, and how good their end is.

    Attributes:
        first: Frame at which it begins.
        parent: Fragment before it, or None.
        states: States after each step.
        excitation: Excitations, shape (nstep, nu).
        relative_error: Mean landmark error relative to the first landmark after each step [m].
        root_error: Error of the first landmark after each step [m].
        failure: "" or why the body is lost at its end.
        cost: Cost of its end.
        total: Cost with that of its ancestors, fading.
    """

    first: int
    parent: "Fragment | None"
    states: list[State]
    excitation: list[np.ndarray]
    relative_error: list[float]
    root_error: list[float]
    failure: str = ""
    cost: float = 0.0
    total: float = 0.0

    @classmethod
    def empty(cls, state: State) -> "Fragment":
        """No step yet: only the state at frame 0."""
        return cls(first=0, parent=None, states=[state], excitation=[], relative_error=[], root_error=[])

    @property
    def end(self) -> int:
        """Frame at which it ends."""
        return self.first + len(self.excitation)


class Simulator:
    """Simulates fragments under the feedback controller.

    Args:
        body: Simulated body.
        controller: Controller.
    """

    def __init__(self, body: SimulationBody, controller: FeedbackController) -> None:
        self.body, self.controller = body, controller
        self.dofs, self.reference = controller.dofs, controller.reference
        self.data, self._other = mujoco.MjData(body.model), mujoco.MjData(body.model)
        self.control_steps = 0

    @threadpool_limits.wrap(limits=1, user_api="blas")  # the matrices are small: more threads only wait
    def start(self, frame: int) -> State:
        """State of the reference at a frame, with activations that hold its acceleration."""
        reference, data = self.reference, self.data
        nothing = np.zeros(self.body.model.nv)
        set_state(data, reference.qpos[frame], reference.qvel[frame], np.zeros(self.body.model.nu), nothing)
        act = self.controller.start_activation(data, frame)
        return State(reference.qpos[frame].copy(), reference.qvel[frame].copy(), act, nothing)

    @threadpool_limits.wrap(limits=1, user_api="blas")
    def run(
        self,
        state: State,
        first: int,
        end: int,
        *,
        offset: np.ndarray | None = None,
        parent: Fragment | None = None,
        stop: Callable[[int], bool] | None = None,
        controller: FeedbackController | None = None,
    ) -> Fragment:
        """Simulate from a state at frame `first` to frame `end`, or until the body is lost or `stop` says so.

        Args:
            state: State at the beginning.
            first: Its frame.
            end: Frame after which to stop.
            offset: Change of the targets of the controlled dofs, shape (ndof,).
            parent: Fragment that led to the state.
            stop: Called with each frame that is reached.
            controller: Another controller of the same reference.
        """
        controller = controller or self.controller
        fragment = Fragment(first=first, parent=parent, states=[], excitation=[], relative_error=[], root_error=[])
        data, active = self.data, None
        for frame in range(first, end):
            set_state(data, state.qpos, state.qvel, state.act, state.warmstart)
            base = base_at(self.reference, frame)
            compute_forces(self.body, data, base=base)
            decision = controller.decide(data, frame, offset=offset, start=active)
            active = decision.active
            set_state(data, state.qpos, state.qvel, state.act, state.warmstart)  # the forces change the warm start
            advance(self.body, data, decision.excitation, base=base)
            self.control_steps += 1
            state = State(data.qpos.copy(), data.qvel.copy(), data.act.copy(), data.qacc_warmstart.copy())
            fragment.states.append(state)
            fragment.excitation.append(decision.excitation)
            relative, root = self._errors(state.qpos, frame + 1)
            fragment.relative_error.append(relative)
            fragment.root_error.append(root)
            fragment.failure = _failure(relative, root, state)
            if fragment.failure:
                break
            if stop is not None and stop(frame + 1):
                fragment.failure = "time" if frame + 1 < end else ""
                break
        return fragment

    def _errors(self, qpos: np.ndarray, frame: int) -> tuple[float, float]:
        if not np.isfinite(qpos).all():
            return np.inf, np.inf
        other = self._other
        other.qpos[:] = qpos
        mujoco.mj_kinematics(self.body.model, other)
        reached, wanted = other.xpos[self.body.landmark_ids], self.reference.landmarks[frame]
        relative = np.linalg.norm((reached - reached[0]) - (wanted - wanted[0]), axis=1).mean()
        return float(relative), float(np.linalg.norm(reached[0] - wanted[0]))

    def evaluate(self, fragment: Fragment) -> None:
        """Set the cost of a fragment's end."""
        reference, dofs, data = self.reference, self.dofs, self._other
        frame, state, model = fragment.end, fragment.states[-1], self.body.model
        data.qpos[:], data.qvel[:] = state.qpos, state.qvel
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        mujoco.mj_subtreeVel(model, data)
        cost = (fragment.relative_error[-1] / _RELATIVE_SCALE) ** 2 + (fragment.root_error[-1] / _ROOT_SCALE) ** 2
        if dofs.nroot:
            error = np.zeros(model.nv)
            mujoco.mj_differentiatePos(model, error, 1.0, state.qpos, reference.qpos[frame])
            cost += float(error[3:6] @ error[3:6]) / _TILT_SCALE**2
        com, velocity = data.subtree_com[dofs.root], data.subtree_linvel[dofs.root]
        divergent = (com - reference.com[frame]) + _PENDULUM_TIME * (velocity - reference.com_velocity[frame])
        cost += float(divergent[:2] @ divergent[:2]) / _DIVERGENT_SCALE**2
        if reference.feet is not None:
            ahead = _CAPTURE * _PENDULUM_TIME * np.array([1.0, 1.0, 0.0])
            falls = com + ahead * velocity
            falls_reference = reference.com[frame] + ahead * reference.com_velocity[frame]
            feet = data.xpos[list(dofs.feet)] - falls - (reference.feet.position[frame] - falls_reference)
            cost += (np.linalg.norm(feet, axis=1).mean() / _FEET_SCALE) ** 2
        fragment.cost = float(cost)
        fragment.total = fragment.cost + _INHERITED * (fragment.parent.total if fragment.parent else 0.0)


def _failure(relative: float, root: float, state: State) -> str:
    if not (np.isfinite(relative) and np.isfinite(root) and np.abs(state.qvel).max() < _MAX_VELOCITY):
        return "physics"
    if root > ROOT_LIMIT:
        return "root"
    return "landmarks" if relative > LANDMARK_LIMIT else ""


def offset_spread(dofs: ControlledDofs, config: TrackingConfig) -> np.ndarray:
    """Standard deviation of each dof's offset, shape (ndof,): legs, half as much the trunk, the root."""
    spread = np.zeros(dofs.ndof)
    spread[: dofs.nroot] = _ROOT_SPREAD[: dofs.nroot] * (config.spread / 0.08)
    spread[dofs.trunk] = 0.5 * config.spread
    for leg in dofs.legs:
        spread[leg] = config.spread
    if not dofs.legs:
        spread[dofs.nroot : dofs.nroot + dofs.njoint] = config.spread
    return spread


def extend_beam(
    simulator: Simulator,
    beam: list[Fragment],
    end: int,
    config: TrackingConfig,
    rng: np.random.Generator,
    stop: Callable[[int], bool],
) -> list[Fragment]:
    """Best continuations of a beam to frame `end`, best first; empty if every variant loses the body.

    Args:
        simulator: Simulator.
        beam: Fragments that all end at the same frame.
        end: Frame to reach.
        config: Settings of the search.
        rng: Random numbers.
        stop: Whether the time is up; called with each frame that is reached.
    """
    spread = offset_spread(simulator.dofs, config)
    found: list[Fragment] = []
    for i in range(max(config.samples, len(beam))):
        parent = beam[i % len(beam)]
        offset = None if i < len(beam) else spread * rng.standard_normal(len(spread))
        fragment = simulator.run(
            parent.states[-1], parent.end, end, offset=offset, parent=parent if parent.excitation else None
        )
        if not fragment.failure:
            simulator.evaluate(fragment)
            found.append(fragment)
        if stop(end):
            break
    found.sort(key=lambda fragment: fragment.total)
    kept: list[Fragment] = []
    for fragment in found:
        siblings = sum(other.parent is fragment.parent for other in kept)
        if len(beam) == 1 or siblings < max(2, config.kept // 2):
            kept.append(fragment)
        if len(kept) == config.kept:
            break
    return kept


def twice_as_wide(config: TrackingConfig) -> TrackingConfig:
    """Settings of a search with twice as many samples, kept offsets and variations of the gains."""
    return replace(
        config, samples=min(2 * config.samples, MAX_SAMPLES), kept=min(2 * config.kept, MAX_COUNT),
        variants=min(2 * config.variants, MAX_SAMPLES),
    )  # fmt: skip


def vary_gains(config: TrackingConfig, rng: np.random.Generator) -> TrackingConfig:
    """Multiply every gain by a random factor, whose logarithm is distributed uniformly."""
    gains = {
        name: getattr(config, name) * math.exp(rng.uniform(math.log(low), math.log(high)))
        for name, (low, high) in _GAIN_FACTORS.items()
    }
    return replace(config, **gains)


def vary_lean(ndof: int, nroot: int, rng: np.random.Generator) -> np.ndarray:
    """Random constant offset of the targets: the body leans a little, shape (ndof,)."""
    offset = np.zeros(ndof)
    offset[: min(nroot, 2)] = _LEAN * rng.standard_normal(min(nroot, 2))
    return offset
