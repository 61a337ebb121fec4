"""A motion that a body reaches by its muscles, and how small deviations from it change in one control step."""

from typing import NamedTuple

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.track_file import StoredTrack
from musclemap.imitation.errors import TrackingError
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.imitation.tracking.controller import FeedbackController
from musclemap.imitation.tracking.dofs import ControlledDofs, find_controlled_dofs
from musclemap.imitation.tracking.reference import base_at
from musclemap.imitation.tracking.search import Simulator
from musclemap.imitation.tracking.step_model import StepModel
from musclemap.imitation.tracking.storage import check_track
from musclemap.imitation.tracking.track import advance, compute_forces, set_state

from .regulator_config import RegulatorConfig


class NominalPath(NamedTuple):
    """States before and after each control step of a motion, and its excitations.

    Attributes:
        qpos: Configurations, shape (nstep + 1, nq).
        qvel: Velocities, shape (nstep + 1, nv).
        act: Activations, shape (nstep + 1, nu).
        warmstart: Accelerations from which the constraint solver starts, shape (nstep + 1, nv); 0 if not known.
        excitation: Excitations, shape (nstep, nu).
        base: Motion of the base during each control step, rows as in a clip, shape (nstep, 4, 3); (nstep, 0, 3) if it
            does not move.
    """

    qpos: np.ndarray
    qvel: np.ndarray
    act: np.ndarray
    warmstart: np.ndarray
    excitation: np.ndarray
    base: np.ndarray

    def base_at(self, step: int) -> np.ndarray | None:
        """Motion of the base during a control step, shape (4, 3); None if it does not move."""
        return self.base[step] if self.base.size else None


class Linearisation(NamedTuple):
    """Linear model of each control step.

    Deviations x of the controlled degrees of freedom (positions, then velocities) and of the activations a follow
    `x' = by_state @ x + by_start @ a + by_end @ a'`, where a' are the deviations of the activations after the step.

    Attributes:
        by_state: Shape (nstep, 2 ndof, 2 ndof).
        by_start: Shape (nstep, 2 ndof, nu).
        by_end: Shape (nstep, 2 ndof, nu).
    """

    by_state: np.ndarray
    by_start: np.ndarray
    by_end: np.ndarray


def nominal_path(body: SimulationBody, clip: Clip, config: TrackingConfig) -> NominalPath:
    """Let the tracking controller follow a clip from its first frame, without disturbances.

    Raises:
        TrackingError: If the controller cannot follow the clip to its end.
    """
    simulator = Simulator(body, FeedbackController.for_clip(body, clip, config))
    start, last = simulator.start(0), clip.nframe - 1
    fragment = simulator.run(start, 0, last)
    if fragment.failure:
        raise TrackingError(
            f"the controller loses the clip after {fragment.end} of {last} control steps ({fragment.failure}), "
            "so there is no motion to regulate around: find a track with mm-track, leave the clip out, or set "
            "dagger.teacher=controller"
        )
    states = [start, *fragment.states]
    bases = [base_at(simulator.reference, frame) for frame in range(last)]
    return NominalPath(
        qpos=np.array([state.qpos for state in states]),
        qvel=np.array([state.qvel for state in states]),
        act=np.array([state.act for state in states]),
        warmstart=np.array([state.warmstart for state in states]),
        excitation=np.array(fragment.excitation),
        base=np.zeros((last, 0, 3)) if bases[0] is None else np.array(bases),
    )


def tracked_path(body: SimulationBody, track: StoredTrack) -> NominalPath:
    """Motion of a stored track.

    A track is found once, with other gains and a search where the controller alone loses the clip. It is also the same
    on every machine: the motion is unstable, so rounding errors lead the controller to another one after a few steps.

    Args:
        body: Simulated body.
        track: Its track, from the first frame of a clip to its end.

    Raises:
        TrackingError: If the track is of another body or other muscles.
    """
    check_track(body, track)
    qvel = track.tracked_qvel[:, body.clip_qvel].astype(np.float64)
    return NominalPath(
        qpos=track.tracked_qpos[:, body.clip_qpos].astype(np.float64),
        qvel=qvel,
        act=track.tracked_act.astype(np.float64),
        warmstart=np.zeros_like(qvel),
        excitation=track.excitation,
        base=np.zeros((track.nstep, 0, 3)) if track.base_motion is None else track.base_motion.astype(np.float64),
    )


def linearise(
    body: SimulationBody,
    path: NominalPath,
    steps: np.ndarray,
    config: RegulatorConfig,
    *,
    by_state: np.ndarray | None = None,
) -> Linearisation:
    """Linear model of some control steps of a path.

    Changes by the state are central differences of the simulated step; changes by the activations come from the model
    of the control step, in which contacts and velocities respond, and standing feet roll less, see
    `RegulatorConfig.roll_authority`.

    Args:
        body: Simulated body.
        path: The motion.
        steps: Numbers of the control steps, shape (n,).
        config: Differences.
        by_state: Changes by the state if they are known, which saves nearly all of the time.
    """
    dofs = find_controlled_dofs(body)
    n, nu = dofs.ndof, body.model.nu
    data = mujoco.MjData(body.model)
    response = StepModel(body.model, body.nsubstep, dofs.index, horizon=body.nsubstep)
    result = Linearisation(*(np.zeros((len(steps), 2 * n, width), np.float32) for width in (2 * n, nu, nu)))
    # Displacement during the step per velocity at its end, by MuJoCo's semi-implicit Euler steps, for a force that
    # falls linearly to 0 (start) or rises linearly from 0 (end).
    rising = np.arange(body.nsubstep) / body.nsubstep
    span = body.model.opt.timestep * body.nsubstep
    ratios = [
        span / body.nsubstep * np.cumsum(force).sum() / max(force.sum(), 1e-12) for force in (1 - rising, rising)
    ]
    for row, step in enumerate(steps):
        known = None if by_state is None else by_state[row]
        result.by_state[row] = _state_differences(body, data, dofs, path, int(step), config) if known is None else known
        set_state(data, path.qpos[step], path.qvel[step], path.act[step], path.warmstart[step])
        compute_forces(body, data, base=path.base_at(int(step)))
        standing = body.parts_on_floor(data).reshape(-1, 2).any(axis=1)
        authority = np.ones(body.model.nv)
        for foot in np.flatnonzero(standing):
            authority[dofs.rolls[foot]] = config.roll_authority
        velocity = response.response(data, authority)
        for array, change, ratio in zip(result[1:], (velocity.start, velocity.end), ratios, strict=True):
            array[row] = np.concatenate([ratio * change, change])
    return result


def _state_differences(
    body: SimulationBody,
    data: mujoco.MjData,
    dofs: ControlledDofs,
    path: NominalPath,
    step: int,
    config: RegulatorConfig,
) -> np.ndarray:
    """Change of the state after a control step per change of the state before, shape (2 ndof, 2 ndof)."""
    model, n = body.model, dofs.ndof
    tangent = dofs.tangent(path.qpos[step])

    def end(position: np.ndarray | None, velocity: np.ndarray | None) -> np.ndarray:
        qpos, qvel = path.qpos[step].copy(), path.qvel[step]
        if position is not None:
            mujoco.mj_integratePos(model, qpos, position, 1.0)
        if velocity is not None:
            qvel = qvel + velocity
        set_state(data, qpos, qvel, path.act[step], path.warmstart[step])
        advance(body, data, path.excitation[step], base=path.base_at(step))
        return deviation(model, dofs, data, path.qpos[step + 1], path.qvel[step + 1])

    change = np.zeros((2 * n, 2 * n))
    for k in range(n):
        for column, size in ((k, config.position_step), (n + k, config.velocity_step)):
            move = size * tangent[:, k]
            ends = [end(sign * move, None) if column < n else end(None, sign * move) for sign in (1.0, -1.0)]
            change[:, column] = (ends[0] - ends[1]) / (2 * size)
    return change


def deviation(
    model: mujoco.MjModel, dofs: ControlledDofs, data: mujoco.MjData, qpos: np.ndarray, qvel: np.ndarray
) -> np.ndarray:
    """Deviations of positions and velocities of the controlled degrees of freedom from a state, shape (2 ndof,)."""
    error = np.zeros(model.nv)
    mujoco.mj_differentiatePos(model, error, 1.0, qpos, data.qpos)
    return np.concatenate([error[dofs.index], data.qvel[dofs.index] - qvel[dofs.index]])
