"""Anchor frames: solved by themselves from several starts, then one branch chosen along each clip."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT

FAILED = 1.5
"""An anchor whose cost exceeds this multiple of the median of its clip's is tried from other starts."""

FLOOR_COST = 4e-3
"""Cost below which an anchor counts as solved whatever its neighbours have: about 1 cm at every landmark."""

JUMP = 1.0
"""Joint change between neighbouring anchors above which both are tried from other starts [rad]."""


@dataclass(frozen=True, kw_only=True)
class AnchorPath:
    """Chosen configurations (nanchor, 7 + njoint), their cost (nanchor,) and whether more than one start was tried."""

    q: np.ndarray
    cost: np.ndarray
    restarted: np.ndarray


def anchor_starts(body: TargetBody) -> np.ndarray:
    """Starting joints within limits, shape (nstart, njoint)."""
    reduced = body.reduced
    starts = np.tile(reduced.rest, (len(body.fit.starts), 1))
    for row, joints in zip(starts, body.fit.starts, strict=True):
        for name, value in joints.items():
            row[reduced.index(name)] = value
    return np.clip(starts, reduced.lower, reduced.upper)


def choose_path(
    solve: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]],
    clip: np.ndarray,
    nstart: int,
) -> AnchorPath:
    """Solve anchors from the first start, those that failed or jump from all, and pick one solution each.

    Among an anchor's solutions the choice minimises, over the whole clip, each anchor's own cost plus the squared
    change of joints between neighbours (Viterbi): a branch that fits a little better for one frame does not win over
    continuity.

    Args:
        solve: Solves rows (n,) from start k; returns configurations (n, 7 + njoint) and costs (n,).
        clip: Clip of every anchor, ascending, shape (nanchor,).
        nstart: Number of starts.
    """
    rows = np.arange(len(clip))
    q, cost = solve(rows, 0)
    candidates, costs = q[None].repeat(nstart, 0), np.full((nstart, len(clip)), np.inf)
    costs[0] = cost
    doubtful = _doubtful(q, cost, clip)
    if doubtful.any():
        again = rows[doubtful]
        for k in range(1, nstart):
            candidates[k, again], costs[k, again] = solve(again, k)
    chosen = np.zeros(len(clip), int)
    for c in np.unique(clip):
        mine = np.flatnonzero(clip == c)
        chosen[mine] = _viterbi(candidates[:, mine, NROOT:], costs[:, mine])
    return AnchorPath(q=candidates[chosen, rows], cost=costs[chosen, rows], restarted=doubtful)


def _doubtful(q: np.ndarray, cost: np.ndarray, clip: np.ndarray) -> np.ndarray:
    limit = np.array([max(FLOOR_COST, FAILED * float(np.median(cost[clip == c]))) for c in range(int(clip[-1]) + 1)])
    doubtful = cost > limit[clip]
    jump = (np.abs(np.diff(q[:, NROOT:], axis=0)).max(axis=1) > JUMP) & (clip[1:] == clip[:-1])
    doubtful[1:] |= jump
    doubtful[:-1] |= jump
    return doubtful


def _viterbi(joints: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Cheapest path; joints (nstart, n, njoint), cost (nstart, n). A squared radian costs as the median frame."""
    weight = max(float(np.median(np.min(cost, axis=0))), 1e-4)
    total, back = cost[:, 0].copy(), np.zeros(cost.shape, int)
    for t in range(1, cost.shape[1]):
        change = np.sum((joints[:, None, t - 1] - joints[None, :, t]) ** 2, axis=2)
        reach = total[:, None] + weight * change
        back[:, t] = np.argmin(reach, axis=0)
        total = reach[back[:, t], np.arange(len(total))] + cost[:, t]
    path = np.empty(cost.shape[1], int)
    path[-1] = int(np.argmin(total))
    for t in range(cost.shape[1] - 1, 0, -1):
        path[t - 1] = back[path[t], t]
    return path
