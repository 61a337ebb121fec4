"""Networks as plain trees of arrays: dense layers with SiLU and LayerNorm."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .ppo_config import Precision

Params = dict[str, Any]

NORM_EPSILON = 1e-6


def make_mlp(key: Array, sizes: Sequence[int], *, last_scale: float = 1.0) -> Params:
    """Initialise the weights of a network, `w0, b0, w1, ...`: orthogonal, with a scaled last layer.

    Args:
        key: Random key.
        sizes: Widths of the input, the hidden layers and the output.
        last_scale: Scale of the last layer's weights; a small value makes the initial outputs small.
    """
    params: Params = {}
    for k, (n, m) in enumerate(pairwise(sizes)):
        key, layer_key = jax.random.split(key)
        scale = last_scale if k == len(sizes) - 2 else 2.0**0.5
        params[f"w{k}"] = jax.nn.initializers.orthogonal(scale)(layer_key, (n, m))
        params[f"b{k}"] = jnp.zeros(m)
    return params


def matmul_dtype(precision: Precision) -> Any:
    """The dtype for `apply_mlp`, by its name in settings; "float32" keeps the dtype of the arrays."""
    return None if precision == "float32" else jnp.dtype(precision)


def apply_mlp(params: Params, x: Array, *, dtype: Any = None, offset: Array | None = None) -> Array:
    """Evaluate a network on inputs of shape (..., n); the output has their dtype.

    Args:
        params: From `make_mlp`.
        x: Inputs; if `offset` is given, only the leading ones.
        dtype: Data type of the factors of matrix products; None for that of the inputs.
        offset: Contribution of the remaining inputs to the first layer, precomputed by `partial_first_layer`.
    """
    count = len(params) // 2
    for k in range(count):
        x = _product(x, params[f"w{k}"][: x.shape[-1]], dtype) + params[f"b{k}"]
        if k == 0 and offset is not None:
            x = x + offset
        if k < count - 1:
            x = jax.nn.silu(_layer_norm(x))
    return x


def partial_first_layer(params: Params, last_inputs: Array, *, dtype: Any = None) -> Array:
    """Contribution of the last inputs, shape (..., m), to the first layer; see `apply_mlp`."""
    return _product(last_inputs, params["w0"][-last_inputs.shape[-1] :], dtype)


def _product(x: Array, weight: Array, dtype: Any) -> Array:
    if dtype is None:
        return x @ weight
    return jnp.matmul(x.astype(dtype), weight.astype(dtype), preferred_element_type=x.dtype)


def _layer_norm(x: Array) -> Array:
    """LayerNorm without scale and offset, which the next layer can represent."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + NORM_EPSILON)
