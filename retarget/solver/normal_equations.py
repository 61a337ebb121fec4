"""Normal equations of one frame from rows in screw form, batched over frames.

Every row of a spatial residual corresponds to a wrench. The derivative of a row that measures point p along direction n
by a degree of freedom d with screw S_d = (angular, linear) is `n . (S_ang x p + S_lin) = f . S_d` with f = (p x n, n).
So the rows of a body add up to one 6x6 matrix G = sum w f f^T and one vector h = sum w r f. Summed over all bodies
below d they give `g_d = S_d . h_d` and, for d above e, `H_de = S_d . G_e S_e`, as in the composite-rigid-body algorithm
(Featherstone 2008, section 6.2) with weights in place of masses. No Jacobian is formed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from musclemap.skeletons.tree import Tree

UPPER = [(i, j) for i in range(6) for j in range(i, 6)]
"""Stored entries of a symmetric 6x6 matrix, in order."""


class Normal(NamedTuple):
    """Gauss-Newton model of the cost: hessian (ndof, ndof, nframe), gradient (ndof, nframe), cost (nframe,)."""

    hessian: Array
    gradient: Array
    cost: Array

    def __add__(self, other: "Normal") -> "Normal":  # type: ignore[override]
        return Normal(*(a + b for a, b in zip(self, other, strict=True)))


class SpatialRows(NamedTuple):
    """Weighted rows of a term, each acting on one body of the tree.

    Attributes:
        wrench: Weighted residual times the row's wrench, shape (6, nrow, nframe).
        matrix: Entries `UPPER` of the weighted outer product of the row's wrench, shape (21, nrow, nframe).
        mask: Degrees of freedom that move each row's body, NumPy, shape (nrow, ndof).
        squares: Sum of the weighted squared residuals, twice the cost, shape (nframe,).
    """

    wrench: Array
    matrix: Array
    mask: np.ndarray
    squares: Array


def symmetric(entries: dict[tuple[int, int], Array], shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Stack the upper entries of 6x6 matrices, shape (21, *shape); missing entries are zero."""
    zero = jnp.zeros(shape, dtype)
    return jnp.stack([entries.get(pair, zero) for pair in UPPER])


def assemble(tree: Tree, screw: Array, terms: Sequence[SpatialRows]) -> Normal:
    """Sum the rows of all spatial terms into one Gauss-Newton model.

    Args:
        tree: Tree whose degrees of freedom the masks of the rows refer to.
        screw: Screws of its degrees of freedom, from `musclemap.skeletons.kinematics.forward`.
        terms: Rows of each term.
    """
    # Without these barriers, XLA on the CPU recomputes their operands for every entry of the Hessian.
    wrench, matrix = lax.optimization_barrier(_sums_below(terms, screw.dtype))
    pairs = {(i, j): k for k, (i, j) in enumerate(UPPER)}
    force = jnp.stack([sum(matrix[pairs[min(i, j), max(i, j)]] * screw[j] for j in range(6)) for i in range(6)])
    related = jnp.asarray(tree.ancestor, screw.dtype)[..., None]
    force = lax.optimization_barrier(force)
    upper = lax.optimization_barrier(related * sum(screw[k][:, None] * force[k][None] for k in range(6)))
    diagonal = jnp.eye(tree.reduced.ndof, dtype=screw.dtype)[..., None]
    hessian = upper + jnp.swapaxes(upper, 0, 1) * (1 - diagonal)
    gradient = sum(screw[k] * wrench[k] for k in range(6))
    return Normal(hessian, gradient, 0.5 * sum(rows.squares for rows in terms))  # type: ignore[arg-type]


def _sums_below(terms: Sequence[SpatialRows], dtype: np.dtype) -> tuple[Array, Array]:
    """Wrenches (6, ndof, nframe) and matrices (21, ndof, nframe), summed over all rows below each degree of freedom."""
    mask = np.concatenate([rows.mask for rows in terms]).astype(float)
    groups, member = np.unique(mask, axis=0, return_inverse=True)  # bodies moved by the same degrees of freedom
    gather = np.zeros((len(groups), len(mask)))
    gather[member.reshape(-1), np.arange(len(mask))] = 1.0
    values = jnp.concatenate([jnp.concatenate([rows.wrench, rows.matrix]) for rows in terms], axis=1)
    bodies = jnp.einsum("gp,kpb->kgb", jnp.asarray(gather, dtype), values)
    sums = jnp.einsum("gd,kgb->kdb", jnp.asarray(groups, dtype), bodies)
    return sums[:6], sums[6:]
