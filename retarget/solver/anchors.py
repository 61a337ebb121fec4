"""Anchor frames: solved independently from several starts; a shortest path selects one solution of each."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT

RESTART_COST_RATIO = 1.5
"""An anchor is restarted from other starts if its cost exceeds this multiple of the median of its clip's anchors."""

SOLVED_COST = 4e-3
"""Cost below which an anchor is never restarted for its cost: about 1 cm at every landmark."""

RESTART_JOINT_CHANGE = 1.0
"""Neighbouring anchors are both restarted if a joint changes by more than this between them [rad]."""


SINGULAR = 0.1
"""An anchor is restarted if the elevation of a limb in polar form is below this [rad]: at zero elevation the plane does
not move the limb, so a fit that starts in the wrong plane stays there, up to 60 mm off."""


@dataclass(frozen=True, kw_only=True)
class AnchorPath:
    """Selected solutions of all anchors.

    Attributes:
        q: Configurations, shape (nanchor, 7 + njoint).
        cost: Their costs, shape (nanchor,).
        restarted: Whether each anchor was solved from more than one start, shape (nanchor,) bool.
    """

    q: np.ndarray
    cost: np.ndarray
    restarted: np.ndarray


def anchor_starts(body: TargetBody) -> np.ndarray:
    """Starting values of the joints, within their limits, shape (nstart, njoint)."""
    reduced = body.reduced
    starts = np.tile(reduced.rest, (len(body.fit.starts), 1))
    for row, joints in zip(starts, body.fit.starts, strict=True):
        for name, value in joints.items():
            row[reduced.index(name)] = value
    return np.clip(starts, reduced.lower, reduced.upper)


def polar_joints(body: TargetBody) -> np.ndarray:
    """Indices of the joints that give the direction of a limb in polar form, shape (nlimb, 2); see `FitSettings`."""
    return np.array([[body.reduced.index(name) for name in names] for names in body.fit.polar], int).reshape(-1, 2)


def choose_path(
    solve: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]],
    clip: np.ndarray,
    nstart: int,
    *,
    polar: np.ndarray | None = None,
) -> AnchorPath:
    """Solve all anchors from the first start, restart those that failed or jump, and select one solution of each.

    Anchors beside the singularity of a limb in polar form are restarted too. The selection minimises the sum over the
    clip of the anchors' costs and of the squared changes between neighbours (Viterbi algorithm), of joints and of the
    directions of such limbs. Continuity therefore wins over a branch that fits a single frame slightly better.

    Args:
        solve: Function that solves rows (n,) from start k and returns configurations (n, 7 + njoint) and costs (n,).
        clip: Index of the clip of every anchor, ascending, shape (nanchor,).
        nstart: Number of starts.
        polar: Joints of limbs in polar form, from `polar_joints`; none if None.
    """
    polar = np.zeros((0, 2), int) if polar is None else polar
    rows = np.arange(len(clip))
    q, cost = solve(rows, 0)
    candidates, costs = q[None].repeat(nstart, 0), np.full((nstart, len(clip)), np.inf)
    costs[0] = cost
    restart = _needs_restart(q, cost, clip) | (q[:, NROOT + polar[:, 0]] < SINGULAR).any(axis=1)
    if restart.any():
        again = rows[restart]
        for k in range(1, nstart):
            candidates[k, again], costs[k, again] = solve(again, k)
    selection = np.zeros(len(clip), int)
    for c in np.unique(clip):
        members = np.flatnonzero(clip == c)
        selection[members] = _viterbi(_continuous(candidates[:, members, NROOT:], polar), costs[:, members])
    return AnchorPath(q=candidates[selection, rows], cost=costs[selection, rows], restarted=restart)


def _needs_restart(q: np.ndarray, cost: np.ndarray, clip: np.ndarray) -> np.ndarray:
    medians = [float(np.median(cost[clip == c])) for c in range(int(clip[-1]) + 1)]
    limit = np.array([max(SOLVED_COST, RESTART_COST_RATIO * median) for median in medians])
    restart = cost > limit[clip]
    jump = (np.abs(np.diff(q[:, NROOT:], axis=0)).max(axis=1) > RESTART_JOINT_CHANGE) & (clip[1:] == clip[:-1])
    restart[1:] |= jump
    restart[:-1] |= jump
    return restart


def _continuous(joints: np.ndarray, polar: np.ndarray) -> np.ndarray:
    """Coordinates without a singularity, shape (..., njoint), from joints.

    In place of a limb's elevation and plane are the components of its direction across the axis of the planes.
    """
    result = joints.copy()
    elevation, plane = joints[..., polar[:, 0]], joints[..., polar[:, 1]]
    result[..., polar[:, 0]] = np.sin(elevation) * np.cos(plane)
    result[..., polar[:, 1]] = np.sin(elevation) * np.sin(plane)
    return result


def _viterbi(joints: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Find the cheapest path through the solutions of one clip; a squared radian costs as much as the median anchor.

    Args:
        joints: Joints of the solutions, shape (nstart, n, njoint).
        cost: Their costs, shape (nstart, n).

    Returns:
        Start selected for each anchor, shape (n,).
    """
    weight = max(float(np.median(np.min(cost, axis=0))), 1e-4)
    total, back = cost[:, 0].copy(), np.zeros(cost.shape, int)
    for t in range(1, cost.shape[1]):
        change = np.sum((joints[:, None, t - 1] - joints[None, :, t]) ** 2, axis=2)
        path_cost = total[:, None] + weight * change
        back[:, t] = np.argmin(path_cost, axis=0)
        total = path_cost[back[:, t], np.arange(len(total))] + cost[:, t]
    path = np.empty(cost.shape[1], int)
    path[-1] = int(np.argmin(total))
    for t in range(cost.shape[1] - 1, 0, -1):
        path[t - 1] = back[path[t], t]
    return path
