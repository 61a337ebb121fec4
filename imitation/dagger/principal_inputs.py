"""Coordinates in which the policy is fitted: whitened principal components of the observations.

Observations are strongly correlated: of the 1,801 of a walk of MyoFullBody, 400 combinations hold 99.9 % of the
variance. Gradient descent on such inputs is slow (LeCun et al. 1998, "Efficient BackProp"), so the network is fitted on
less correlated ones. Since they are linear in the observations, the fitted network is one of the observations as well.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.imitation.ppo.networks import Params

DAMPING = 10.0
"""Variance added to that of each component before it is scaled to 1; each observation has a variance of 1.

Without it the policy fits small components of the labels that it has, and is worse in the states that it meets next.
"""


class PrincipalInputs(NamedTuple):
    """Linear map from normalised observations to inputs of the network.

    Attributes:
        mean: Mean of the observations, shape (nobs,).
        basis: Inputs are `(x - mean) @ basis`, shape (nobs, ncomponent); orthogonal columns.
    """

    mean: Array
    basis: Array


def no_principal_inputs(nobs: int, ncomponent: int) -> PrincipalInputs:
    """Placeholder of the right shapes, before there are observations."""
    return PrincipalInputs(jnp.zeros(nobs), jnp.eye(nobs, ncomponent))


def principal_inputs(x: np.ndarray, ncomponent: int) -> PrincipalInputs:
    """Find the components of largest variance.

    Args:
        x: Normalised observations, shape (n, nobs).
        ncomponent: Number of components, at most nobs.
    """
    mean = np.mean(x, axis=0, dtype=np.float64)
    centred = x - mean.astype(x.dtype)
    variance, vectors = np.linalg.eigh(np.asarray(centred.T @ centred, np.float64) / len(x))
    largest = slice(None, -ncomponent - 1, -1)
    vectors = vectors[:, largest]
    scale = np.sqrt(np.maximum(variance[largest], 0.0) + DAMPING)
    return PrincipalInputs(jnp.asarray(mean, jnp.float32), jnp.asarray(vectors / scale, jnp.float32))


def project(inputs: PrincipalInputs, x: Array) -> Array:
    """Inputs of the network for normalised observations, shape (..., ncomponent)."""
    return (x - inputs.mean) @ inputs.basis


def to_principal(inputs: PrincipalInputs, params: Params) -> Params:
    """Network of the components that does what a network of the observations does, as far as they determine it."""
    w, b = params["w0"], params["b0"]
    inverse = (inputs.basis / jnp.sum(inputs.basis**2, axis=0)).T  # as the columns are orthogonal
    return {**params, "w0": inverse @ w, "b0": b + inputs.mean @ w}


def to_observations(inputs: PrincipalInputs, params: Params) -> Params:
    """Network of the observations that does what a network of the components does."""
    w = inputs.basis @ params["w0"]
    return {**params, "w0": w, "b0": params["b0"] - inputs.mean @ w}
