"""Single frames: a known configuration is recovered, limits hold, the result is a minimum inside the limits."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from musclemap.retarget.config import WeightConfig
from musclemap.retarget.solver.anchors import anchor_starts
from musclemap.retarget.solver.frame_solver import FrameSolution, box, clamp, held_by_limit, solve_frames
from musclemap.retarget.solver.normal import Normal
from musclemap.retarget.solver.objective import Objective
from musclemap.retarget.solver.terms import FrameTargets, frame_terms
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT

from ..support.configurations import frames_last, met_targets, random_configurations, standing
from ..support.kinematics import forward_jit
from ..support.target_facts import NLANDMARK

NFRAME = 64

Solver = Callable[[np.ndarray, FrameTargets], FrameSolution]
Beyond = tuple[FrameSolution, Normal, np.ndarray]


@pytest.fixture(scope="module")
def objective(body: TargetBody) -> Objective:
    return Objective(body.tree, frame_terms(body, WeightConfig(prior=0.0)))


@pytest.fixture(scope="module")
def solve(objective: Objective) -> Solver:
    """Forty steps from configurations (NFRAME, 7 + njoint)."""
    compiled = jax.jit(lambda x, targets: solve_frames(objective, x, targets, iterations=40))
    return lambda q, targets: compiled(frames_last(q), targets)


def targets_of(body: TargetBody, q: np.ndarray) -> FrameTargets:
    return met_targets(forward_jit(body.tree, frames_last(q)))


def miss(solution: FrameSolution, targets: FrameTargets) -> np.ndarray:
    """Largest landmark error of every frame [m]."""
    return np.linalg.norm(np.asarray(solution.point_pos)[:NLANDMARK] - np.asarray(targets.pos), axis=1).max(axis=0)


def near_origin(q: np.ndarray) -> np.ndarray:
    return np.concatenate([0.1 * q[:, :3], q[:, 3:]], axis=1)


def ordinary(body: TargetBody, *, seed: int, spread: float) -> np.ndarray:
    """Configurations about standing, joints up to a part of half their range away."""
    reduced, rng = body.reduced, np.random.default_rng(seed)
    q = near_origin(random_configurations(reduced, NFRAME, seed=seed))
    joints = (
        standing(reduced)[NROOT:]
        + spread * rng.uniform(-1, 1, (NFRAME, reduced.njoint)) * (reduced.upper - reduced.lower) / 2
    )
    q[:, NROOT:] = np.clip(joints, reduced.lower, reduced.upper)
    return q


def test_known_postures_come_back(body: TargetBody, solve: Solver) -> None:
    """Anywhere in the ranges, from half a radian away: landmarks to a hundredth of a millimetre, and every joint."""
    reduced, rng = body.reduced, np.random.default_rng(40)
    known = near_origin(random_configurations(reduced, NFRAME, seed=41, spread=0.9))
    start = known.copy()
    start[:, :3] += rng.normal(0, 0.03, (NFRAME, 3))
    start[:, NROOT:] += rng.normal(0, 0.25, (NFRAME, reduced.njoint))
    start[:, NROOT:] = np.clip(start[:, NROOT:], reduced.lower, reduced.upper)
    targets = targets_of(body, known)
    solution = solve(start, targets)
    error = miss(solution, targets)
    assert np.median(error) < 1e-5
    assert error.max() < 1e-3
    joints = np.abs(np.asarray(solution.q).T[:, NROOT:] - known[:, NROOT:]).max(axis=1)
    assert np.median(joints) < 1e-4


def test_cold_starts_reach_ordinary_postures(body: TargetBody, solve: Solver) -> None:
    """From the anchors' starts, the root on its target: 97 in 100 from the first, all from the best of four."""
    known = ordinary(body, seed=42, spread=0.6)
    targets, starts = targets_of(body, known), anchor_starts(body)
    assert np.all(starts >= body.reduced.lower)
    assert np.all(starts <= body.reduced.upper)
    reached = []
    for start in starts:
        q = known.copy()
        q[:, NROOT:] = start
        reached.append(miss(solve(q, targets), targets) < 1e-3)
    assert np.mean(reached[0]) >= 0.97
    assert np.all(np.any(reached, axis=0))


@pytest.fixture(scope="module")
def beyond(body: TargetBody, solve: Solver, objective: Objective) -> Beyond:
    """The answer where joints are asked to go far outside their limits, its derivatives, and the start's cost."""
    asked = near_origin(random_configurations(body.reduced, NFRAME, seed=43, spread=1.4))
    start = asked.copy()
    start[:, NROOT:] = np.clip(asked[:, NROOT:], body.reduced.lower, body.reduced.upper)
    targets = targets_of(body, asked)
    solution = solve(start, targets)
    derive = jax.jit(lambda x: objective.normal(x, targets))
    return solution, derive(solution.q), np.asarray(derive(frames_last(start)).cost)


def test_limits_are_never_passed(body: TargetBody, beyond: Beyond) -> None:
    joints = np.asarray(beyond[0].q)[NROOT:].T
    low, high = body.reduced.lower.astype(np.float32), body.reduced.upper.astype(np.float32)
    assert np.all(joints >= low)
    assert np.all(joints <= high)
    assert np.mean((joints == low) | (joints == high)) > 0.1  # and many stand on one


def test_answer_is_a_minimum_inside_the_limits(body: TargetBody, beyond: Beyond) -> None:
    """Karush-Kuhn-Tucker: no slope along free coordinates, and each held joint is pushed outwards, not back in."""
    solution, normal, before = beyond
    gradient, joints = np.asarray(normal.gradient), np.asarray(solution.q)[NROOT:]
    low, high = (limit.astype(np.float32)[:, None] for limit in (body.reduced.lower, body.reduced.upper))
    at_low, at_high = joints <= low + 1e-6, joints >= high - 1e-6
    free = np.concatenate([np.ones((6, NFRAME), bool), ~(at_low | at_high)])
    slope = np.abs(np.where(free, gradient, 0.0)).max(axis=0)
    assert np.median(slope) < 1e-4
    assert np.quantile(slope, 0.95) < 2e-3  # one frame in sixty still changes its set of held joints
    assert np.mean(gradient[6:][at_low] < -1e-3) < 0.01
    assert np.mean(gradient[6:][at_high] > 1e-3) < 0.01
    assert np.all(np.asarray(solution.cost) <= before)
    np.testing.assert_allclose(solution.cost, normal.cost, rtol=1e-4)


def test_joints_leave_a_limit_they_stand_on(body: TargetBody, solve: Solver) -> None:
    """Knees, elbows and shoulders start straight, which is on their limit; the reference configurations bend them."""
    known, reduced = ordinary(body, seed=44, spread=0.3), body.reduced
    names = [f"{name}_{side}" for name in ("knee_angle", "elbow_flex", "shoulder_elv") for side in "rl"]
    straight = [NROOT + reduced.index(name) for name in names]
    start = known.copy()
    start[:, straight] = reduced.lower[np.array(straight) - NROOT]
    targets = targets_of(body, known)
    solution = solve(start, targets)
    assert miss(solution, targets).max() < 1e-3
    assert np.all(np.asarray(solution.q).T[:, straight] > known[:, straight] - 0.05)


def test_joint_is_held_only_where_it_is_pushed_out() -> None:
    """Columns: inside; on the lower limit pushed out, pushed in; on the upper limit pushed out, pushed in."""
    lower, upper = jnp.full((7, 1), -1.0), jnp.full((7, 1), 2.0)
    q = jnp.zeros((8, 5)).at[7].set(jnp.array([0.0, -1.0, -1.0, 2.0, 2.0]))
    gradient = jnp.ones((7, 5)).at[6].set(jnp.array([1.0, 1.0, -1.0, -1.0, 1.0]))
    free = jnp.full((6, 1), jnp.inf)
    held = held_by_limit(q, gradient, jnp.concatenate([-free, lower[6:]]), jnp.concatenate([free, upper[6:]]))
    np.testing.assert_array_equal(held[6], [False, True, False, True, False])
    assert not held[:6].any()


def test_box_leaves_the_root_alone(body: TargetBody) -> None:
    lower, upper = box(body.tree)
    far = frames_last(random_configurations(body.reduced, 4, seed=45, spread=2.0)) * 100
    clamped = np.asarray(clamp(far, jnp.asarray(lower)[:, None], jnp.asarray(upper)[:, None]))
    np.testing.assert_array_equal(clamped[:NROOT], far[:NROOT])
    assert np.all(clamped[NROOT:] >= body.reduced.lower.astype(np.float32)[:, None])
    assert np.all(clamped[NROOT:] <= body.reduced.upper.astype(np.float32)[:, None])
    assert np.all(np.isinf(lower[:6]) & np.isinf(upper[:6]))
