"""Gains of the regulator: the cost-to-go of deviations, backwards along the path.

The cost of all remaining deviations is quadratic in the state of the linear model (Bryson & Ho 1975, ch. 5; the
discrete Riccati recursion). As the activations before a step act only through the state that they lead to, the
cost-to-go is a matrix W of the size of the state: with g, the deviation after the step if the activations reach their
nominal values, the best deviations b of the activations after the step minimise

    (g + B b)' Q (g + B b) + (A' (g + B b) + S' b)' W' (A' (g + B b) + S' b) + b' R b,

where A', S', W' belong to the next step. Muscles reach only activations within bounds, so the minimum is not a linear
function of g but a quadratic programme. Its matrix has few directions with an effect; only those are kept.
"""

from typing import NamedTuple

import numpy as np

from .linearisation import Linearisation, NominalPath
from .regulator_config import RegulatorConfig

_JITTER = 1e-12


class RegulatorGains(NamedTuple):
    """Programme of each control step: minimise `|Z y + L x + S a|² + |y|²`, where y are scaled activations.

    Attributes:
        by_state: L, for deviations x of the controlled degrees of freedom, shape (nstep, rank, 2 ndof) float32.
        by_act: S, for deviations a of the activations before the step, shape (nstep, rank, nu) float32.
        matrix: Z, shape (nstep, rank, nu) float32. Its rows are orthogonal, largest first.
        scale: y per deviation of an activation after the step, shape (nstep, nu) float32.
    """

    by_state: np.ndarray
    by_act: np.ndarray
    matrix: np.ndarray
    scale: np.ndarray


def compute_gains(
    path: NominalPath, linear: Linearisation, *, nroot: int, config: RegulatorConfig
) -> RegulatorGains:
    """Gains of all control steps.

    Args:
        path: The motion.
        linear: Its linear model.
        nroot: Degrees of freedom of the root, the first of the state.
        config: Weights.
    """
    nstep, size, nu = linear.by_end.shape
    half = size // 2
    weight = np.concatenate([np.ones(half), np.full(half, config.velocity_weight)])
    weight[:nroot] *= config.root_weight
    weight[half : half + nroot] *= config.root_weight
    root = np.diag(np.sqrt(weight))
    rank = min(config.rank, nu, 2 * size)
    gains = RegulatorGains(
        by_state=np.zeros((nstep, rank, size), np.float32),
        by_act=np.zeros((nstep, rank, nu), np.float32),
        matrix=np.zeros((nstep, rank, nu), np.float32),
        scale=np.zeros((nstep, nu), np.float32),
    )
    cost = np.zeros((size, size))  # after the last step nothing follows
    for step in reversed(range(nstep)):
        by_end = linear.by_end[step].astype(float)
        left, rows = root, root @ by_end
        if step + 1 < nstep:
            following = linear.by_state[step + 1].astype(float)
            factor = np.linalg.cholesky(cost + _JITTER * np.trace(cost) * np.eye(size)).T
            left = np.concatenate([left, factor @ following])
            rows = np.concatenate([rows, factor @ (following @ by_end + linear.by_start[step + 1])])
        act = path.act[step + 1]
        room = np.minimum(act, 1 - act).clip(0.0) + 0.2 * config.headroom
        scale = np.sqrt(config.effort * (1 + config.headroom / room))
        scaled = rows / scale
        basis, values, directions = np.linalg.svd(scaled, full_matrices=False)
        basis, values, directions = basis[:, :rank], values[:rank], directions[:rank]
        seen = basis.T @ left
        count = len(values)
        gains.matrix[step, :count] = values[:, None] * directions
        gains.by_state[step, :count] = seen @ linear.by_state[step]
        gains.by_act[step, :count] = seen @ linear.by_start[step]
        gains.scale[step] = scale
        # What the best unbounded deviations leave of the cost.
        cost = left.T @ left - (seen * (values**2 / (1 + values**2))[:, None]).T @ seen
        cost = 0.5 * (cost + cost.T)
    return gains
