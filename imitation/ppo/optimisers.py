"""Optimisers by name, from optax."""

from typing import Any, Literal

import jax
import optax
from jax import Array

from .networks import Params

Optimizer = Literal["muon", "adamw"]


def make_optimizer(
    name: Optimizer, *, learning_rate: float, max_grad_norm: float, weight_decay: float = 0.0, hidden_only: bool = False
) -> optax.GradientTransformation:
    """Gradients clipped to a global norm, then an optimiser.

    Args:
        name: "muon" (matrices; the rest by AdamW) or "adamw".
        learning_rate: Of both.
        max_grad_norm: Norm that gradients are clipped to.
        weight_decay: Of both.
        hidden_only: Leave the first and the last matrix of each network to AdamW too.
    """
    if name == "adamw":
        chosen = optax.adamw(learning_rate, weight_decay=weight_decay)
    else:
        chosen = optax.contrib.muon(
            learning_rate, weight_decay=weight_decay, adam_weight_decay=weight_decay,
            adam_learning_rate=learning_rate,
            muon_weight_dimension_numbers=hidden_matrices if hidden_only else None,  # pyright: ignore[reportArgumentType]
        )  # fmt: skip
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), chosen)


def hidden_matrices(params: Params) -> Any:
    """For Muon: the axes of each matrix between two hidden layers, None for everything else.

    Args:
        params: A network of `make_mlp`, or a tree of such.
    """

    def axes(path: tuple[Any, ...], leaf: Array) -> optax.contrib.MuonDimensionNumbers | None:
        *above, own = (key.key for key in path)
        network = params
        for key in above:
            network = network[key]
        count = len(network) // 2
        inner = own.startswith("w") and 0 < int(own[1:]) < count - 1
        return optax.contrib.MuonDimensionNumbers() if inner else None

    return jax.tree_util.tree_map_with_path(axes, params)
