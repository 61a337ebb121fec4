"""Labels of the teacher: the activations that it would choose in given states."""

from collections.abc import Sequence
from typing import NamedTuple

import mujoco
import numpy as np
from threadpoolctl import ThreadpoolController

from musclemap.datasets.clip import Clip
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.regulator.regulator import RegulatedPath, Regulator
from musclemap.imitation.tracking.activation import ActivationDynamics, Choice
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.imitation.tracking.controller import FeedbackController
from musclemap.imitation.tracking.programme import MAX_RESIDUAL
from musclemap.imitation.tracking.reference import base_at
from musclemap.imitation.tracking.track import compute_forces, set_state

_TINY = 1e-12


class QueryStates(NamedTuple):
    """States that need a label, one per world; shapes lead with (n,).

    Attributes:
        qpos: Configurations.
        qvel: Velocities.
        act: Activations.
        warmstart: Accelerations from which the constraint solver starts.
        clip: Clip that each world tracks.
        frame: Its frame.
        active: `Labels.active` of the step before; saves time.
    """

    qpos: np.ndarray
    qvel: np.ndarray
    act: np.ndarray
    warmstart: np.ndarray
    clip: np.ndarray
    frame: np.ndarray
    active: np.ndarray


class Labels(NamedTuple):
    """What the teacher does in each state.

    Attributes:
        activation: Activations at the end of the control step, shape (n, nu) float32.
        excitation: Excitations that lead there, shape (n, nu) float32.
        effect: Directions of activation with the largest effect, scaled by it, shape (n, ndirection, nu) float16; no
            direction if the teacher is a regulator, whose effects depend only on the frame.
        active: First guess for the next step's programme, shape (n, nu) int8.
        valid: Whether there is a label; the rest is 0 if not, shape (n,) bool.
    """

    activation: np.ndarray
    excitation: np.ndarray
    effect: np.ndarray
    active: np.ndarray
    valid: np.ndarray


class Teacher:
    """The regulator or the tracking controller of several clips.

    Args:
        body: Simulated body.
        clips: Clips, by the numbers of `QueryStates.clip`.
        config: Gains of the controller.
        regulated: Motions with regulators, one per clip; without them the tracking controller is the teacher.
        ndirection: Number of directions of `Labels.effect`.
        power: Power of the effect that scales them.
    """

    def __init__(
        self,
        body: SimulationBody,
        clips: Sequence[Clip],
        config: TrackingConfig,
        *,
        regulated: Sequence[RegulatedPath] = (),
        ndirection: int,
        power: float,
    ) -> None:
        self._body, self._clips, self._config, self._regulated = body, clips, config, regulated
        self._ndirection, self._power = 0 if regulated else ndirection, power
        self._controllers: dict[int, FeedbackController | Regulator] = {}
        self._data = mujoco.MjData(body.model)
        self._dynamics = ActivationDynamics(body.model, body.nsubstep)
        self._threads = ThreadpoolController()

    def label(self, query: QueryStates) -> Labels:
        """Labels of all states.

        Raises:
            TrackingError: If a clip cannot be tracked.
        """
        n, nu = len(query.clip), self._body.model.nu
        labels = Labels(
            activation=np.zeros((n, nu), np.float32),
            excitation=np.zeros((n, nu), np.float32),
            effect=np.zeros((n, self._ndirection, nu), np.float16),
            active=np.zeros((n, nu), np.int8),
            valid=np.zeros(n, bool),
        )
        act = query.act.astype(float)
        lower, upper = self._dynamics.reachable(act)
        with self._threads.limit(limits=1, user_api="blas"):  # the matrices are small: more threads only wait
            for k in range(n):
                choice = self._choose(QueryStates(*(array[k] for array in query)), (lower[k], upper[k]))
                if choice is None:
                    continue
                labels.activation[k] = choice.activation
                if self._ndirection:
                    labels.effect[k] = self._effect(choice.matrix)
                labels.active[k], labels.valid[k] = choice.active, True
        labels.excitation[:] = np.where(
            labels.valid[:, None], self._dynamics.excitation_for(act, labels.activation.astype(float)), 0.0
        )
        return labels

    def _choose(self, state: QueryStates, reachable: tuple[np.ndarray, np.ndarray]) -> Choice | None:
        """Choice in one state, for activations within these bounds; None if the state or the solution is unusable."""
        controller, data, frame = self._controller(int(state.clip)), self._data, int(state.frame)
        set_state(data, *(np.asarray(array, float) for array in state[:4]))
        try:
            if isinstance(controller, FeedbackController):
                compute_forces(self._body, data, base=base_at(controller.reference, frame))
                if not np.isfinite(data.qacc).all():
                    return None
            choice = controller.choose(data, frame, reachable, start=state.active)
        except (np.linalg.LinAlgError, ValueError):  # SciPy reports numbers that are not finite as a ValueError
            return None
        usable = choice.residual <= MAX_RESIDUAL and np.isfinite(choice.activation).all()
        return choice if usable else None

    def _controller(self, clip: int) -> FeedbackController | Regulator:
        if clip not in self._controllers:
            self._controllers[clip] = (
                Regulator(self._body, self._regulated[clip])
                if self._regulated
                else FeedbackController.for_clip(self._body, self._clips[clip], self._config)
            )
        return self._controllers[clip]

    def _effect(self, matrix: np.ndarray) -> np.ndarray:
        """Right singular vectors of the programme's rows, scaled, shape (ndirection, nu).

        The squared singular values s of the rows reach from the regulariser's r to a million times as much. A vector
        is scaled by (s² / r)^(power / 2): its errors then count with that power of their effect.
        """
        values, vectors = np.linalg.eigh(matrix @ matrix.T)
        values, vectors = values[::-1][: self._ndirection], vectors[:, ::-1][:, : self._ndirection]
        values = np.maximum(values, _TINY * values[0] + _TINY)
        regulariser = self._config.effort + self._config.change
        scale = (values / regulariser) ** (0.5 * self._power) / np.sqrt(values)
        effect = np.zeros((self._ndirection, matrix.shape[1]))
        effect[: len(values)] = (vectors * scale).T @ matrix
        return effect
