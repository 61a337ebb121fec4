"""Networks as plain trees of arrays: a stack of dense layers with SiLU and LayerNorm."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

Params = dict[str, Any]

NORM_EPSILON = 1e-6


def make_mlp(key: Array, sizes: Sequence[int], *, last_scale: float = 1.0) -> Params:
    """Weights of a network: `w0, b0, w1, ...`, orthogonal, the last layer scaled.

    Args:
        key: Random key.
        sizes: Widths of the input, the hidden layers and the output.
        last_scale: Size of the last layer's weights; small makes first outputs small.
    """
    params: Params = {}
    for k, (n, m) in enumerate(pairwise(sizes)):
        key, own = jax.random.split(key)
        scale = last_scale if k == len(sizes) - 2 else 2.0**0.5
        params[f"w{k}"] = jax.nn.initializers.orthogonal(scale)(own, (n, m))
        params[f"b{k}"] = jnp.zeros(m)
    return params


Precision = Literal["float32", "bfloat16"]
"""Names for `product_type`."""


def product_type(precision: Precision) -> Any:
    """Type for `apply_mlp` by its name in settings: "float32" leaves everything in the type that it has."""
    return None if precision == "float32" else jnp.dtype(precision)


def apply_mlp(params: Params, x: Array, *, dtype: Any = None, given: Array | None = None) -> Array:
    """Output for inputs of shape (..., n), in their type.

    Args:
        params: From `make_mlp`.
        x: Inputs; where `given` is there, the first of them only.
        dtype: Of the matrix products' factors; None for the inputs' own.
        given: What the last inputs add to the first layer, from `first_layer`, so that it is computed but once.
    """
    count = len(params) // 2
    for k in range(count):
        x = _product(x, params[f"w{k}"][: x.shape[-1]], dtype) + params[f"b{k}"]
        if k == 0 and given is not None:
            x = x + given
        if k < count - 1:
            x = jax.nn.silu(_layer_norm(x))
    return x


def first_layer(params: Params, last: Array, *, dtype: Any = None) -> Array:
    """What the last inputs, shape (..., m), add to the first layer; see `apply_mlp`."""
    return _product(last, params["w0"][-last.shape[-1] :], dtype)


def _product(x: Array, weight: Array, dtype: Any) -> Array:
    if dtype is None:
        return x @ weight
    return jnp.matmul(x.astype(dtype), weight.astype(dtype), preferred_element_type=x.dtype)


def _layer_norm(x: Array) -> Array:
    """LayerNorm without scale and offset, which the next layer can take over."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + NORM_EPSILON)
