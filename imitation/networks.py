"""Networks as plain trees of arrays: a stack of dense layers with SiLU and LayerNorm."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

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


def apply_mlp(params: Params, x: Array, *, dtype: Any = jnp.float32) -> Array:
    """Output for inputs of shape (..., n); matrices are multiplied in `dtype`, all else is float32."""
    count = len(params) // 2
    for k in range(count):
        x = jnp.matmul(x.astype(dtype), params[f"w{k}"].astype(dtype), preferred_element_type=jnp.float32)
        x = x + params[f"b{k}"]
        if k < count - 1:
            x = jax.nn.silu(_layer_norm(x))
    return x


def _layer_norm(x: Array) -> Array:
    """LayerNorm without scale and offset, which the next layer can take over."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + NORM_EPSILON)
