"""Optimisers by name, from Optax."""

from typing import Any

import jax
import optax
from jax import Array

from .networks import Params
from .ppo_config import Optimizer


def make_optimizer(
    name: Optimizer, *, learning_rate: float, max_grad_norm: float, weight_decay: float = 0.0, hidden_only: bool = False
) -> optax.GradientTransformation:
    """Create an optimiser that first clips gradients to a global norm.

    Args:
        name: "muon" (matrices, with AdamW for the rest) or "adamw".
        learning_rate: Learning rate of both optimisers.
        max_grad_norm: Global norm to which gradients are clipped.
        weight_decay: Weight decay of both optimisers.
        hidden_only: Use AdamW also for the first and the last matrix of each network.
    """
    if name == "adamw":
        optimizer = optax.adamw(learning_rate, weight_decay=weight_decay)
    else:
        optimizer = optax.contrib.muon(
            learning_rate, weight_decay=weight_decay, adam_weight_decay=weight_decay,
            adam_learning_rate=learning_rate,
            muon_weight_dimension_numbers=hidden_matrices if hidden_only else None,  # pyright: ignore[reportArgumentType]
        )  # fmt: skip
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), optimizer)


def hidden_matrices(params: Params) -> Any:
    """Select Muon's parameters: the axes of each matrix between two hidden layers, None for everything else.

    Args:
        params: A network from `make_mlp`, or a tree of networks.
    """

    def axes(path: tuple[Any, ...], leaf: Array) -> optax.contrib.MuonDimensionNumbers | None:
        *path_to_network, name_in_network = (key.key for key in path)
        network = params
        for key in path_to_network:
            network = network[key]
        count = len(network) // 2
        is_hidden = name_in_network.startswith("w") and 0 < int(name_in_network[1:]) < count - 1
        return optax.contrib.MuonDimensionNumbers() if is_hidden else None

    return jax.tree_util.tree_map_with_path(axes, params)
