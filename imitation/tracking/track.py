"""Result of tracking: the motion that a body reaches by its muscles, with the excitations that reach it."""

from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.imitation.physics.bodies import SimulationBody


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """Excitations by which a body follows a clip, and the motion that they cause.

    Simulating the excitations from the first state reproduces the motion bit for bit on the same machine. Arrays refer
    to the simulated model, in which locked fingers have no joints.

    Attributes:
        start: Frame of the clip at which the simulation begins.
        qpos: Configurations before and after each control step, shape (nstep + 1, nq).
        qvel: Velocities, shape (nstep + 1, nv).
        act: Muscle activations, shape (nstep + 1, nu).
        excitation: Muscle excitations, float32 values between 0 and 1, shape (nstep, nu).
        warmstart: Accelerations from which the constraint solver starts in the first step, shape (nv,).
        failure: Why tracking ended before the end of the clip: "" (it did not), "root", "landmarks", "time" or
            "physics".
        relative_error: Mean distance of the landmarks from the clip's, relative to the first, shape (nstep,) [m].
        root_error: Distance of the first landmark from the clip's, shape (nstep,) [m].
        seconds: Computing time [s].
        control_steps: Number of simulated control steps, discarded ones included.
        base: Motion of the base during each control step, float32, rows as in a clip's `base_motion`, shape (nstep, 4,
            3); None if it does not move.
    """

    start: int
    qpos: np.ndarray
    qvel: np.ndarray
    act: np.ndarray
    excitation: np.ndarray
    warmstart: np.ndarray
    failure: str
    relative_error: np.ndarray
    root_error: np.ndarray
    seconds: float
    control_steps: int
    base: np.ndarray | None = None

    @property
    def nstep(self) -> int:
        """Number of control steps."""
        return len(self.excitation)

    @property
    def complete(self) -> bool:
        """Whether the body followed the clip to its end."""
        return not self.failure


@dataclass(frozen=True, kw_only=True)
class TrackingProgress:
    """State of a running search.

    Attributes:
        stage: What is being computed: "track" or "search".
        done: Frames done in this stage.
        total: Frames of this stage.
        reached: Frames of the clip that the best track so far has followed.
    """

    stage: str
    done: int
    total: int
    reached: int


ProgressCallback = Callable[[TrackingProgress], None]


def replay(body: SimulationBody, track: Track) -> np.ndarray:
    """Simulate the excitations of a track from its first state, without feedback.

    Args:
        body: Body that was tracked.
        track: Track.

    Returns:
        Configurations, shape (nstep + 1, nq); equal to `track.qpos` on the machine that made it.
    """
    start = (track.qpos[0], track.qvel[0], track.act[0], track.warmstart)
    return simulate(body, *start, excitation=track.excitation, base=track.base)[0]


def simulate(
    body: SimulationBody,
    qpos: np.ndarray,
    qvel: np.ndarray,
    act: np.ndarray,
    warmstart: np.ndarray,
    *,
    excitation: np.ndarray,
    base: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate excitations without feedback.

    Args:
        body: Body.
        qpos: Configuration at the start, shape (nq,).
        qvel: Velocity at the start, shape (nv,).
        act: Activations at the start, shape (nu,).
        warmstart: Accelerations from which the constraint solver starts, shape (nv,).
        excitation: Excitations of each control step, shape (nstep, nu).
        base: Motion of the base during each control step, shape (nstep, 4, 3), or None.

    Returns:
        Configurations, velocities and activations before and after each step, shapes (nstep + 1, ...).
    """
    data = mujoco.MjData(body.model)
    set_state(data, qpos, qvel, act, warmstart)
    states = [(data.qpos.copy(), data.qvel.copy(), data.act.copy())]
    for k, row in enumerate(excitation):
        advance(body, data, row, base=None if base is None else base[k])
        states.append((data.qpos.copy(), data.qvel.copy(), data.act.copy()))
    first, second, third = (np.array(column) for column in zip(*states, strict=True))
    return first, second, third


def set_state(data: mujoco.MjData, qpos: np.ndarray, qvel: np.ndarray, act: np.ndarray, warmstart: np.ndarray) -> None:
    """Set everything that determines the next step, except the excitations."""
    data.qpos[:], data.qvel[:], data.act[:], data.qacc_warmstart[:] = qpos, qvel, act, warmstart


def advance(
    body: SimulationBody, data: mujoco.MjData, excitation: np.ndarray, *, base: np.ndarray | None = None
) -> None:
    """Simulate one control step with constant excitations, and a constant motion (4, 3) of the base if it moves."""
    data.ctrl[:] = excitation
    if base is None or body.base_forces is None:
        mujoco.mj_step(body.model, data, body.nsubstep)
    else:
        body.base_forces.step(body.model, data, base.astype(np.float64), nstep=body.nsubstep)


def compute_forces(body: SimulationBody, data: mujoco.MjData, *, base: np.ndarray | None = None) -> None:
    """`mj_forward`, on a base that moves as given, shape (4, 3), if it is not None."""
    if base is None or body.base_forces is None:
        mujoco.mj_forward(body.model, data)
    else:
        body.base_forces.forward(body.model, data, base.astype(np.float64))
