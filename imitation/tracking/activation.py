"""MuJoCo's activation dynamics over one control step, their inverse, and the choice of activations for its end.

A muscle's activation follows its excitation at a rate that depends on the activation itself (Millard et al. 2013; the
"muscle" dynamics type of MuJoCo). Over a control step the excitation is constant.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

_SECANT_STEPS = 3
_TOLERANCE = 1e-9


class ActivationDynamics:
    """Activation at the end of a control step as a function of the excitation.

    Args:
        model: Model whose actuators are all muscles.
        nsubstep: Physics steps per control step.
    """

    def __init__(self, model: mujoco.MjModel, nsubstep: int) -> None:
        self._timestep, self._nsubstep = model.opt.timestep, nsubstep
        self._rise, self._fall = model.actuator_dynprm[:, 0].copy(), model.actuator_dynprm[:, 1].copy()

    def advance(self, act: np.ndarray, excitation: np.ndarray) -> np.ndarray:
        """Activation after one control step, shape (..., nu).

        Args:
            act: Activation before the step, shape (..., nu).
            excitation: Constant excitation, shape (..., nu).
        """
        for _ in range(self._nsubstep):
            scale = 0.5 + 1.5 * np.clip(act, 0.0, 1.0)
            rising = excitation > act
            act = act + self._timestep * (excitation - act) / np.where(rising, self._rise * scale, self._fall / scale)
        return act

    def reachable(self, act: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest activations that one control step can lead to, shapes (..., nu).

        Args:
            act: Activation before the step, shape (..., nu).
        """
        return self.advance(act, np.zeros_like(act)), self.advance(act, np.ones_like(act))

    def excitation_for(self, act: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Excitation that takes the activation to a goal in one control step, or as close as 0 to 1 allows.

        Args:
            act: Activation before the step, shape (..., nu).
            goal: Activation after the step, shape (..., nu).

        Returns:
            Excitation, shape (..., nu).
        """
        low, high = np.zeros_like(act), np.ones_like(act)
        f_low, f_high = (end - goal for end in self.reachable(act))
        u, result = act, act - goal  # an excitation equal to the activation keeps it
        low, f_low = np.where(result <= 0, u, low), np.where(result <= 0, result, f_low)
        high, f_high = np.where(result <= 0, high, u), np.where(result <= 0, f_high, result)
        for _ in range(_SECANT_STEPS):
            span = f_high - f_low
            u = np.where(span > _TOLERANCE, low - f_low * (high - low) / np.maximum(span, _TOLERANCE), low)
            u = np.clip(u, 0.0, 1.0)
            result = self.advance(act, u) - goal
            below = result <= 0
            low, f_low = np.where(below, u, low), np.where(below, result, f_low)
            high, f_high = np.where(below, high, u), np.where(below, f_high, result)
        return u


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """Activations for the end of one control step.

    Attributes:
        activation: Activations aimed at for the end of the step, shape (nu,).
        active: First guess for the next step's programme, see `Solution.active`.
        matrix: Rows of the programme by activation, shape (nrow, nu): errors in activation that these rows do not see
            move nothing.
        residual: Residual of the programme's solution.
    """

    activation: np.ndarray
    active: np.ndarray
    matrix: np.ndarray
    residual: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Decision(Choice):
    """What the controller chose for one control step.

    Attributes:
        excitation: Excitations that lead to the activations, float32 values, shape (nu,).
    """

    excitation: np.ndarray


def decided(choice: Choice, act: np.ndarray, dynamics: ActivationDynamics) -> Decision:
    """A choice with its excitations, from the activations before the step, shape (nu,)."""
    excitation = dynamics.excitation_for(act, choice.activation).astype(np.float32)
    return Decision(excitation=excitation, **vars(choice))
