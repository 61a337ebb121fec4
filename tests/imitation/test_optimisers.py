"""Optimisers: Muon updates matrices by orthogonal steps, on request only between hidden layers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from musclemap.imitation.ppo.networks import make_mlp
from musclemap.imitation.ppo.optimisers import Optimizer, hidden_matrices, make_optimizer


def steps(name: Optimizer, *, hidden_only: bool) -> dict[str, np.ndarray]:
    """First updates of a network whose gradient equals its weights."""
    params = make_mlp(jax.random.PRNGKey(0), (8, 12, 12, 4))
    optimizer = make_optimizer(name, learning_rate=0.01, max_grad_norm=1.0, hidden_only=hidden_only)
    gradient = jax.tree.map(lambda a: a + 0.1, params)
    change: Any = optimizer.update(gradient, optimizer.init(params), params)[0]
    return {key: np.asarray(value) for key, value in change.items()}


def singular(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.svd(matrix, compute_uv=False)


def test_hidden_matrices_are_between_hidden_layers() -> None:
    selected = hidden_matrices({"policy": make_mlp(jax.random.PRNGKey(0), (8, 12, 12, 12, 4))})["policy"]
    assert {name for name, axes in selected.items() if axes is not None} == {"w1", "w2"}


@pytest.mark.parametrize(("hidden_only", "by_muon"), [(True, {"w1"}), (False, {"w0", "w1", "w2"})])
def test_muon_updates_the_selected_matrices(hidden_only: bool, by_muon: set[str]) -> None:
    result = steps("muon", hidden_only=hidden_only)
    adam = {name for name in result if np.ptp(np.abs(result[name])) < 1e-4}  # Adam's first step is the gradient's sign
    assert adam == {"w0", "b0", "w1", "b1", "w2", "b2"} - by_muon
    for name in by_muon:
        values = singular(result[name])
        assert values.max() < 2.0 * values.min()  # nearly equal singular values


def test_gradients_are_clipped_to_a_norm() -> None:
    optimizer = make_optimizer("adamw", learning_rate=0.01, max_grad_norm=1.0)
    params = {"w0": jnp.zeros((2, 2)), "b0": jnp.zeros(2)}
    state = optimizer.init(params)
    small = optimizer.update(jax.tree.map(lambda a: a + 0.3, params), state, params)[1]
    large = optimizer.update(jax.tree.map(lambda a: a + 300.0, params), state, params)[1]
    first_moment = lambda state: np.concatenate([np.ravel(x) for x in jax.tree.leaves(state[1][0].mu)])  # noqa: E731
    np.testing.assert_allclose(np.linalg.norm(first_moment(large)), 0.1, rtol=1e-3)  # (1 - beta1) times a norm of 1
    assert np.linalg.norm(first_moment(small)) < 0.1
