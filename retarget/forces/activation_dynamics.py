"""First-order activation dynamics of MuJoCo's muscles, integrated exactly over one frame.

An activation a follows its excitation u by da/dt = (u - a) / tau with tau = tau_act (0.5 + 1.5 a) while it rises and
tau = tau_deact / (0.5 + 1.5 a) while it falls (Millard et al. 2013). Full and no excitation give the largest and the
smallest activation that a frame can reach.
"""

import mujoco
import numpy as np

_GRID = np.linspace(0.0, 1.0 - 1e-7, 4001)
_RISE_TIME = -2.0 * np.log1p(-_GRID) - 1.5 * _GRID
"""Time to reach each activation of the grid from 0 at full excitation, in units of tau_act."""


class ActivationDynamics:
    """Activations that are reachable within a time step.

    Args:
        model: MuJoCo model; actuators that are no muscles have no limits.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        is_muscle = model.actuator_dyntype == mujoco.mjtDyn.mjDYN_MUSCLE
        self._rise, self._fall = np.where(is_muscle, np.maximum(model.actuator_dynprm[:, :2].T, 1e-9), 1e-9)

    def reachable(self, activation: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest activation after a time step [s] without and with full excitation; shapes (..., nu)."""
        return self._decayed(activation, step), self._risen(activation, step)

    def relaxes_to(self, activation: np.ndarray, step: float) -> np.ndarray:
        """Largest activation from which a muscle relaxes to the given one within a time step [s]; shape (..., nu)."""
        return self._decayed(activation, -step)

    def _decayed(self, activation: np.ndarray, step: float) -> np.ndarray:
        # a / (1 + 3 a) decays exponentially with the time constant 2 tau_deact.
        with np.errstate(over="ignore"):
            ratio = activation / (1.0 + 3.0 * activation) * np.exp(-step / (2.0 * self._fall))
        ratio = np.minimum(ratio, 0.25)  # that of full activation
        return ratio / (1.0 - 3.0 * ratio)

    def _risen(self, activation: np.ndarray, step: float) -> np.ndarray:
        return np.interp(np.interp(activation, _GRID, _RISE_TIME) + step / self._rise, _RISE_TIME, _GRID)
