"""Anchor frames: which are restarted, and the cheapest path through their solutions."""

import itertools
from collections.abc import Callable

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.retarget.solver import anchors
from musclemap.retarget.solver.anchors import (
    RESTART_JOINT_CHANGE,
    SINGULAR,
    SOLVED_COST,
    anchor_starts,
    choose_path,
    polar_joints,
)
from musclemap.skeletons.body import SIDES, TargetBody
from musclemap.skeletons.reduced import NROOT

from ..support.mirror import joint_twin

Solve = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def table(joints: np.ndarray, cost: np.ndarray, calls: list[tuple[int, list[int]]] | None = None) -> Solve:
    """Solver that looks up its solutions in joints (nstart, nanchor, njoint) and costs (nstart, nanchor)."""

    def solve(rows: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        if calls is not None:
            calls.append((start, rows.tolist()))
        return np.concatenate([np.zeros((len(rows), NROOT)), joints[start, rows]], axis=1), cost[start, rows]

    return solve


def test_starts_are_within_limits_and_differ(body: TargetBody) -> None:
    starts = anchor_starts(body)
    assert np.all(starts >= body.reduced.lower)
    assert np.all(starts <= body.reduced.upper)
    for a, b in itertools.combinations(starts, 2):
        assert np.abs(a - b).max() > 0.5
    np.testing.assert_allclose(starts, starts[:, joint_twin(body.reduced)], atol=1e-12)


def test_good_anchors_are_solved_once() -> None:
    joints = np.linspace(0, 0.5, 6)[None, :, None] * np.ones((3, 1, 4))
    calls: list[tuple[int, list[int]]] = []
    path = choose_path(table(joints, np.full((3, 6), 1e-3), calls), np.zeros(6, int), 3)
    assert calls == [(0, [0, 1, 2, 3, 4, 5])]
    assert not path.restarted.any()
    np.testing.assert_array_equal(path.q[:, NROOT:], joints[0])


def test_failed_anchors_and_both_ends_of_a_jump_are_restarted() -> None:
    joints = np.zeros((2, 8, 3))
    joints[0, 5:, 1] = 1.1 * RESTART_JOINT_CHANGE  # jump between anchors 4 and 5
    cost = np.full((2, 8), 0.5 * SOLVED_COST)
    cost[0, 1] = 3 * SOLVED_COST
    calls: list[tuple[int, list[int]]] = []
    path = choose_path(table(joints, cost, calls), np.zeros(8, int), 2)
    assert calls[1] == (1, [1, 4, 5])
    assert np.flatnonzero(path.restarted).tolist() == [1, 4, 5]
    assert path.cost[1] == cost[1, 1]


def test_anchors_with_hanging_limbs_are_restarted() -> None:
    joints = np.full((2, 6, 3), 0.3)
    joints[0, 2, 0] = 0.5 * SINGULAR
    calls: list[tuple[int, list[int]]] = []
    solve = table(joints, np.full((2, 6), 1e-3), calls)
    choose_path(solve, np.zeros(6, int), 2, polar=np.array([[0, 1]]))
    assert calls == [(0, [0, 1, 2, 3, 4, 5]), (1, [2])]


def test_limbs_in_polar_form_are_compared_by_their_direction() -> None:
    """A limb that swings through the vertical: its plane turns by 180 degrees, its direction hardly.

    By the joints alone, the cheapest path would stay in the first plane, with the limb straight down.
    """
    swing = np.deg2rad([6.0, 3.0, 0.0, -3.0, -6.0])
    joints = np.zeros((2, 5, 2))
    joints[0, :, 0] = np.maximum(swing, 0.0)
    joints[1] = np.stack([np.abs(swing), np.where(swing < 0.0, np.pi, 0.0)], axis=1)
    cost = np.array([[2e-3, 2e-3, 2e-3, 3e-3, 4e-3], [2e-3] * 5])
    polar = np.array([[0, 1]])
    path = choose_path(table(joints, cost), np.zeros(5, int), 2, polar=polar)
    np.testing.assert_allclose(path.q[:, NROOT:], joints[1])
    without = choose_path(table(joints, cost), np.zeros(5, int), 2)
    np.testing.assert_allclose(without.q[:, NROOT:], joints[0])


def test_polar_joints_of_the_body(body: TargetBody) -> None:
    """With no elevation, the plane does not turn the arm."""
    elevation, plane = polar_joints(body).T
    assert len(elevation) == 2
    joints = np.tile(body.reduced.rest, (2, 1))
    joints[:, elevation] = np.deg2rad([[0.0], [60.0]])
    q = np.concatenate([np.tile([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], (2, 1)), joints], axis=1)
    other = q.copy()
    other[:, NROOT + plane] += 0.4
    data, model = mujoco.MjData(body.symmetric_model), body.symmetric_model

    def humerus(configuration: np.ndarray, side: str) -> Rotation:
        data.qpos[:] = body.reduced.expand(configuration[None])[0]
        mujoco.mj_kinematics(model, data)
        return Rotation.from_matrix(data.xmat[model.body(f"humerus_{side}").id].reshape(3, 3))

    for side in SIDES:
        angles = [(humerus(a, side).inv() * humerus(b, side)).magnitude() for a, b in zip(q, other, strict=True)]
        assert angles[0] < 1e-6
        assert angles[1] > 0.3


def test_path_is_the_cheapest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against all 3^6 paths."""
    monkeypatch.setattr(anchors, "SOLVED_COST", -1.0)
    monkeypatch.setattr(anchors, "RESTART_COST_RATIO", -1.0)  # every anchor is solved from every start
    for seed in range(5):
        rng = np.random.default_rng(seed)
        joints, cost = rng.normal(0, 0.7, (3, 6, 2)), rng.uniform(1e-3, 2e-2, (3, 6))
        path = choose_path(table(joints, cost), np.zeros(6, int), 3)
        weight = np.median(cost.min(axis=0))

        def total(choice: tuple[int, ...], joints=joints, cost=cost, weight=weight) -> float:
            path_joints = joints[list(choice), range(6)]
            return float(cost[list(choice), range(6)].sum() + weight * np.sum(np.diff(path_joints, axis=0) ** 2))

        best = min(itertools.product(range(3), repeat=6), key=total)
        np.testing.assert_array_equal(path.q[:, NROOT:], joints[list(best), range(6)])
        np.testing.assert_array_equal(path.cost, cost[list(best), range(6)])


def test_continuity_wins_over_a_slightly_better_branch() -> None:
    joints = np.zeros((2, 9, 1))
    joints[0, 4], joints[1, 4] = 3.0, 0.0
    cost = np.full((2, 9), 1e-2)
    cost[0, 4] = 0.9e-2
    path = choose_path(table(joints, cost), np.zeros(9, int), 2)
    assert path.q[4, NROOT] == 0.0


def test_clips_are_independent() -> None:
    """A change from the end of one clip to the start of the next is no jump, and each clip has its own median."""
    rng = np.random.default_rng(7)
    joints = rng.normal(0, 0.2, (3, 10, 2)) + np.repeat([0.0, 5.0], [4, 6])[None, :, None]
    cost = rng.uniform(1e-3, 2e-2, (3, 10)) * np.repeat([1.0, 20.0], [4, 6])
    clip = np.repeat([0, 1], [4, 6])
    both = choose_path(table(joints, cost), clip, 3)
    for c in (0, 1):
        members = clip == c
        alone = choose_path(table(joints[:, members], cost[:, members]), np.zeros(members.sum(), int), 3)
        np.testing.assert_array_equal(both.q[members], alone.q)
        np.testing.assert_array_equal(both.restarted[members], alone.restarted)
