"""Frame solver: known configurations are recovered, limits hold, and solutions are minima within the limits."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from musclemap.retarget.config import WeightConfig
from musclemap.retarget.solver.anchors import anchor_starts
from musclemap.retarget.solver.frame_solver import FrameSolution, box, clamp, held_by_limit, solve_frames
from musclemap.retarget.solver.normal_equations import Normal
from musclemap.retarget.solver.objective import Objective
from musclemap.retarget.solver.terms import FrameTargets, frame_terms
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT

from ..support.configurations import frames_last, met_targets, random_configurations, standing
from ..support.kinematics import forward_jit
from ..support.target_facts import NLANDMARK

NFRAME = 64

Solver = Callable[[np.ndarray, FrameTargets], FrameSolution]
OutOfRange = tuple[FrameSolution, Normal, np.ndarray]


@pytest.fixture(scope="module")
def objective(body: TargetBody) -> Objective:
    return Objective(body.tree, frame_terms(body, WeightConfig(prior=0.0)))


@pytest.fixture(scope="module")
def solve(objective: Objective) -> Solver:
    """Solver that takes forty steps from configurations (NFRAME, 7 + njoint)."""
    compiled = jax.jit(lambda x, targets: solve_frames(objective, x, targets, iterations=40))
    return lambda q, targets: compiled(frames_last(q), targets)


def targets_of(body: TargetBody, q: np.ndarray) -> FrameTargets:
    return met_targets(forward_jit(body.tree, frames_last(q)))


def landmark_error(solution: FrameSolution, targets: FrameTargets) -> np.ndarray:
    """Largest landmark error of every frame [m]."""
    return np.linalg.norm(np.asarray(solution.point_pos)[:NLANDMARK] - np.asarray(targets.pos), axis=1).max(axis=0)


def move_to_origin(q: np.ndarray) -> np.ndarray:
    return np.concatenate([0.1 * q[:, :3], q[:, 3:]], axis=1)


def common_configurations(body: TargetBody, *, seed: int, spread: float) -> np.ndarray:
    """Configurations near standing; `spread` is the largest distance of a joint from it, in halves of its range."""
    reduced, rng = body.reduced, np.random.default_rng(seed)
    q = move_to_origin(random_configurations(reduced, NFRAME, seed=seed))
    joints = (
        standing(reduced)[NROOT:]
        + spread * rng.uniform(-1, 1, (NFRAME, reduced.njoint)) * (reduced.upper - reduced.lower) / 2
    )
    q[:, NROOT:] = np.clip(joints, reduced.lower, reduced.upper)
    return q


def test_known_configurations_are_recovered(body: TargetBody, solve: Solver) -> None:
    """From up to half a radian away: median landmark errors of 0.01 mm and joint errors of 1e-4 rad."""
    reduced, rng = body.reduced, np.random.default_rng(40)
    known = move_to_origin(random_configurations(reduced, NFRAME, seed=41, spread=0.9))
    start = known.copy()
    start[:, :3] += rng.normal(0, 0.03, (NFRAME, 3))
    start[:, NROOT:] += rng.normal(0, 0.25, (NFRAME, reduced.njoint))
    start[:, NROOT:] = np.clip(start[:, NROOT:], reduced.lower, reduced.upper)
    targets = targets_of(body, known)
    solution = solve(start, targets)
    error = landmark_error(solution, targets)
    assert np.median(error) < 1e-5
    assert error.max() < 1e-3
    joints = np.abs(np.asarray(solution.q).T[:, NROOT:] - known[:, NROOT:]).max(axis=1)
    assert np.median(joints) < 1e-4


def test_cold_starts_reach_common_configurations(body: TargetBody, solve: Solver) -> None:
    """From the starts of anchor frames, root at its target: 97 % from the first start, all from the best of four."""
    known = common_configurations(body, seed=42, spread=0.6)
    targets, starts = targets_of(body, known), anchor_starts(body)
    assert np.all(starts >= body.reduced.lower)
    assert np.all(starts <= body.reduced.upper)
    reached = []
    for start in starts:
        q = known.copy()
        q[:, NROOT:] = start
        reached.append(landmark_error(solve(q, targets), targets) < 1e-3)
    assert np.mean(reached[0]) >= 0.97
    assert np.all(np.any(reached, axis=0))


@pytest.fixture(scope="module")
def out_of_range(body: TargetBody, solve: Solver, objective: Objective) -> OutOfRange:
    """Solution for targets far outside the joint limits, its derivatives, and the cost of the start."""
    target_q = move_to_origin(random_configurations(body.reduced, NFRAME, seed=43, spread=1.4))
    start = target_q.copy()
    start[:, NROOT:] = np.clip(target_q[:, NROOT:], body.reduced.lower, body.reduced.upper)
    targets = targets_of(body, target_q)
    solution = solve(start, targets)
    derive = jax.jit(lambda x: objective.normal(x, targets))
    return solution, derive(solution.q), np.asarray(derive(frames_last(start)).cost)


def test_limits_are_never_exceeded(body: TargetBody, out_of_range: OutOfRange) -> None:
    joints = np.asarray(out_of_range[0].q)[NROOT:].T
    low, high = body.reduced.lower.astype(np.float32), body.reduced.upper.astype(np.float32)
    assert np.all(joints >= low)
    assert np.all(joints <= high)
    assert np.mean((joints == low) | (joints == high)) > 0.1  # many joints are at a limit


def test_solution_is_a_minimum_within_the_limits(body: TargetBody, out_of_range: OutOfRange) -> None:
    """Karush-Kuhn-Tucker conditions: no gradient along free coordinates, and held joints are pushed outwards."""
    solution, normal, before = out_of_range
    gradient, joints = np.asarray(normal.gradient), np.asarray(solution.q)[NROOT:]
    low, high = (limit.astype(np.float32)[:, None] for limit in (body.reduced.lower, body.reduced.upper))
    at_low, at_high = joints <= low + 1e-6, joints >= high - 1e-6
    free = np.concatenate([np.ones((6, NFRAME), bool), ~(at_low | at_high)])
    slope = np.abs(np.where(free, gradient, 0.0)).max(axis=0)
    assert np.median(slope) < 1e-4
    assert np.quantile(slope, 0.95) < 2e-3  # about one frame in sixty still changes its set of held joints
    assert np.mean(gradient[6:][at_low] < -1e-3) < 0.01
    assert np.mean(gradient[6:][at_high] > 1e-3) < 0.01
    assert np.all(np.asarray(solution.cost) <= before)
    np.testing.assert_allclose(solution.cost, normal.cost, rtol=1e-4)


def test_joints_leave_a_limit_they_start_at(body: TargetBody, solve: Solver) -> None:
    """Knees, elbows and shoulders start straight, at their limits; the known configurations bend them."""
    known, reduced = common_configurations(body, seed=44, spread=0.3), body.reduced
    names = [f"{name}_{side}" for name in ("knee_angle", "elbow_flex", "shoulder_elv") for side in "rl"]
    straight = [NROOT + reduced.index(name) for name in names]
    start = known.copy()
    start[:, straight] = reduced.lower[np.array(straight) - NROOT]
    targets = targets_of(body, known)
    solution = solve(start, targets)
    assert landmark_error(solution, targets).max() < 1e-3
    assert np.all(np.asarray(solution.q).T[:, straight] > known[:, straight] - 0.05)


def test_joint_is_held_only_if_it_is_pushed_out() -> None:
    """Columns: inside; on the lower limit pushed out, pushed in; on the upper limit pushed out, pushed in."""
    lower, upper = jnp.full((7, 1), -1.0), jnp.full((7, 1), 2.0)
    q = jnp.zeros((8, 5)).at[7].set(jnp.array([0.0, -1.0, -1.0, 2.0, 2.0]))
    gradient = jnp.ones((7, 5)).at[6].set(jnp.array([1.0, 1.0, -1.0, -1.0, 1.0]))
    free = jnp.full((6, 1), jnp.inf)
    held = held_by_limit(q, gradient, jnp.concatenate([-free, lower[6:]]), jnp.concatenate([free, upper[6:]]))
    np.testing.assert_array_equal(held[6], [False, True, False, True, False])
    assert not held[:6].any()


def test_box_does_not_limit_the_root(body: TargetBody) -> None:
    lower, upper = box(body.tree)
    far = frames_last(random_configurations(body.reduced, 4, seed=45, spread=2.0)) * 100
    clamped = np.asarray(clamp(far, jnp.asarray(lower)[:, None], jnp.asarray(upper)[:, None]))
    np.testing.assert_array_equal(clamped[:NROOT], far[:NROOT])
    assert np.all(clamped[NROOT:] >= body.reduced.lower.astype(np.float32)[:, None])
    assert np.all(clamped[NROOT:] <= body.reduced.upper.astype(np.float32)[:, None])
    assert np.all(np.isinf(lower[:6]) & np.isinf(upper[:6]))
