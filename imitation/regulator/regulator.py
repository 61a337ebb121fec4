"""Excitations that lead a disturbed body back to a motion."""

from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.tracking.activation import ActivationDynamics, Choice, Decision, decided
from musclemap.imitation.tracking.dofs import find_controlled_dofs
from musclemap.imitation.tracking.programme import solve_programme

from .gains import RegulatorGains
from .linearisation import NominalPath, deviation


class RegulatedPath(NamedTuple):
    """A motion and the gains that lead back to it."""

    path: NominalPath
    gains: RegulatorGains


def save_regulated(regulated: RegulatedPath, folder: Path) -> None:
    """Save a motion and its gains, one file per array, to a new folder."""
    folder.mkdir()
    for part in regulated:
        for name, array in part._asdict().items():
            np.save(folder / f"{type(part).__name__}.{name}.npy", array)


def map_regulated(folder: Path) -> RegulatedPath:
    """Map what `save_regulated` has written into memory, which the processes of a machine share."""

    def arrays(kind: type[NominalPath] | type[RegulatorGains]) -> list[np.ndarray]:
        return [np.load(folder / f"{kind.__name__}.{name}.npy", mmap_mode="r") for name in kind._fields]

    return RegulatedPath(NominalPath(*arrays(NominalPath)), RegulatorGains(*arrays(RegulatorGains)))


class Regulator:
    """Feedback around one motion; holds no state of its own.

    Args:
        body: Simulated body.
        regulated: The motion with its gains.
    """

    def __init__(self, body: SimulationBody, regulated: RegulatedPath) -> None:
        self.body = body
        # Views without the checks of NumPy's memory maps, which cost a tenth of a decision.
        self._path = NominalPath(*(np.asarray(array) for array in regulated.path))
        self._gains = RegulatorGains(*(np.asarray(array) for array in regulated.gains))
        self._dofs = find_controlled_dofs(body)
        self._activation = ActivationDynamics(body.model, body.nsubstep)

    def decide(self, data: mujoco.MjData, frame: int, *, start: np.ndarray | None = None) -> Decision:
        """Choose the excitations of the control step that begins at a state.

        Args:
            data: State; only qpos, qvel and act are used.
            frame: Frame of the clip that the state belongs to; frames after the last step count as the last step.
            start: `Decision.active` of the previous step, which saves time and does not change the result.
        """
        act = data.act.copy()
        return decided(self.choose(data, frame, self._activation.reachable(act), start=start), act, self._activation)

    def choose(
        self, data: mujoco.MjData, frame: int, reachable: tuple[np.ndarray, np.ndarray], *,
        start: np.ndarray | None = None,
    ) -> Choice:  # fmt: skip
        """Choose the activations at the end of the control step that begins at a state.

        Args:
            data: State, see `decide`.
            frame: Frame, see `decide`.
            reachable: Bounds of the activations, from `ActivationDynamics.reachable`.
            start: See `decide`.
        """
        path, gains = self._path, self._gains
        step = min(frame, len(path.excitation) - 1)
        goal = path.act[step + 1]
        state = deviation(self.body.model, self._dofs, data, path.qpos[step], path.qvel[step])
        matrix, scale = gains.matrix[step].astype(float), gains.scale[step].astype(float)
        rhs = -(gains.by_state[step] @ state + gains.by_act[step] @ (data.act - path.act[step]))
        solution = solve_programme(
            matrix,
            rhs,
            regulariser=1.0,
            centre=np.zeros_like(goal),
            lower=(reachable[0] - goal) * scale,
            upper=(reachable[1] - goal) * scale,
            start=start,
        )
        return Choice(
            activation=goal + solution.x / scale,
            active=solution.active,
            matrix=matrix * scale,
            residual=solution.residual,
        )


def effects(gains: RegulatorGains, *, ndirection: int, power: float) -> np.ndarray:
    """Directions of activation with the largest effect on the cost-to-go at each step, scaled by it.

    With power 1 and all directions, `|effects[step] @ d|² + |d|²` is the cost of errors d in activation over the median
    effort, for effort that is the same for all muscles.

    Args:
        gains: Gains.
        ndirection: Number of directions.
        power: Power of the effect, relative to effort, that scales a direction.

    Returns:
        Shape (nstep, ndirection, nu) float16; zeros where there are fewer directions.
    """
    count = min(ndirection, gains.matrix.shape[1])
    rows = gains.matrix[:, :count] * gains.scale[:, None, :] / np.median(gains.scale, axis=1)[:, None, None]
    size = np.linalg.norm(gains.matrix[:, :count], axis=2, keepdims=True)
    result = np.zeros((len(rows), ndirection, rows.shape[2]), np.float16)
    result[:, :count] = rows * np.maximum(size, 1e-6) ** (power - 1.0)
    return result
