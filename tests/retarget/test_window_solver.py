"""Window solver: the block solve equals a dense solve, the cost never rises, and clips are independent."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.retarget.config import WeightConfig
from musclemap.retarget.solver.cost_weights import smoothness
from musclemap.retarget.solver.normal_equations import Normal
from musclemap.retarget.solver.objective import Objective
from musclemap.retarget.solver.terms import frame_terms
from musclemap.retarget.solver.window_solver import (
    HALO,
    RefinedWindows,
    Smoothness,
    Windows,
    _bands,
    _coordinates,
    _solve_windows,
    _temporal_cost,
    refine_windows,
)
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.kinematics import integrate
from musclemap.skeletons.reduced import NROOT

from ..support.configurations import frames_last, met_targets, random_configurations, standing
from ..support.kinematics import forward_jit
from ..support.target_facts import NLANDMARK

NWINDOW, INTERIOR = 3, 12
NALL = INTERIOR + 2 * HALO

Refine = Callable[[Windows, Smoothness], RefinedWindows]
Cost = Callable[[Windows, Smoothness], np.ndarray]


class Linear(NamedTuple):
    """Normal equations of random windows with five coordinates, in float64."""

    hessian: np.ndarray  # (ndof, ndof, NWINDOW * INTERIOR)
    gradient: np.ndarray  # (ndof, NWINDOW, INTERIOR)
    joined: np.ndarray
    smooth: Smoothness
    damping: np.ndarray
    held: np.ndarray


def linear(seed: int, *, ndof: int = 5) -> Linear:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(NWINDOW * INTERIOR, ndof, ndof))
    hessian = np.moveaxis(root @ np.swapaxes(root, 1, 2), 0, -1)
    joined = np.ones((NWINDOW, NALL - 1))
    joined[1, 6] = joined[2, 1] = joined[2, 11:] = 0.0
    return Linear(
        hessian=hessian,
        gradient=rng.normal(size=(ndof, NWINDOW, INTERIOR)),
        joined=joined,
        smooth=Smoothness(velocity=rng.uniform(0.5, 2.0, ndof), acceleration=rng.uniform(0.5, 5.0, ndof)),
        damping=rng.uniform(1e-4, 1e-1, (NWINDOW, INTERIOR)),
        held=rng.uniform(size=(ndof, NWINDOW, INTERIOR)) < 0.15,
    )


def difference_matrix(joined: np.ndarray, smooth: Smoothness) -> np.ndarray:
    """Hessian of the temporal terms of one window, frames by coordinates, shape (NALL * ndof, NALL * ndof)."""
    ndof = len(smooth.velocity)
    total = np.zeros((NALL * ndof, NALL * ndof))
    for order, weight in ((1, smooth.velocity), (2, smooth.acceleration)):
        for start in range(NALL - order):
            if joined[start : start + order].all():
                row = np.zeros(NALL)
                row[start : start + order + 1] = np.diff(np.eye(order + 1), n=order, axis=0)
                total += np.kron(np.outer(row, row), np.diag(weight))
    return total


def solved(problem: Linear) -> np.ndarray:
    """Step of all windows, shape (ndof, NWINDOW, INTERIOR)."""
    gradient = jnp.asarray(problem.gradient)
    normal = Normal(jnp.asarray(problem.hessian), gradient.reshape(len(gradient), -1), jnp.zeros(NWINDOW * INTERIOR))
    bands = _bands(jnp.asarray(problem.joined), problem.smooth, jnp.float64)
    step = jax.jit(_solve_windows)(normal, gradient, bands, jnp.asarray(problem.damping), jnp.asarray(problem.held))
    return np.asarray(step)


def test_block_solve_equals_the_dense_solve() -> None:
    problem = linear(seed=50)
    ndof = len(problem.smooth.velocity)
    with jax.enable_x64(True):
        step = solved(problem)
    inside = slice(HALO * ndof, (HALO + INTERIOR) * ndof)
    for w in range(NWINDOW):
        system = difference_matrix(problem.joined[w], problem.smooth)[inside, inside]
        for t in range(INTERIOR):
            block = problem.hessian[..., w * INTERIOR + t]
            rows = slice(t * ndof, (t + 1) * ndof)
            system[rows, rows] += block + np.diag(problem.damping[w, t] * (np.diag(block) + 1e-3) + 1e-7)
        free = ~problem.held[:, w].T.ravel()
        right = -problem.gradient[:, w].T.ravel()
        expected = np.zeros(INTERIOR * ndof)
        expected[free] = np.linalg.solve(system[np.ix_(free, free)], right[free])
        np.testing.assert_allclose(step[:, w].T.ravel(), expected, rtol=0, atol=1e-11)


def test_bands_and_gradient_are_derivatives_of_the_temporal_cost() -> None:
    """Against cost, gradient and Hessian from a dense difference matrix; the gradient also by finite differences."""
    problem = linear(seed=51)
    ndof, h = len(problem.smooth.velocity), 1e-6
    values = np.random.default_rng(52).normal(size=(ndof, NWINDOW, NALL))
    with jax.enable_x64(True):
        temporal = jax.jit(lambda v: _temporal_cost(v, jnp.asarray(problem.joined), problem.smooth))
        result = jax.tree.map(np.asarray, temporal(jnp.asarray(values)))
        bands = [np.asarray(band) for band in _bands(jnp.asarray(problem.joined), problem.smooth, jnp.float64)]
        for coordinate, frame in ((0, HALO), (3, HALO + 5), (4, HALO + INTERIOR - 1)):
            nudge = np.zeros_like(values)
            nudge[coordinate, :, frame] = h
            slope = (temporal(jnp.asarray(values + nudge)).cost - temporal(jnp.asarray(values - nudge)).cost) / (2 * h)
            np.testing.assert_allclose(result.gradient[coordinate, :, frame - HALO], slope, atol=1e-7)
    for w in range(NWINDOW):
        matrix, x = difference_matrix(problem.joined[w], problem.smooth), values[:, w].T.ravel()
        assert result.cost[w] == pytest.approx(0.5 * x @ matrix @ x, rel=1e-12)
        gradient = (matrix @ x).reshape(NALL, ndof)[HALO:-HALO]
        np.testing.assert_allclose(result.gradient[:, w].T, gradient, atol=1e-11)
        blocks = matrix.reshape(NALL, ndof, NALL, ndof)
        for t in range(INTERIOR):
            for distance in range(3):
                if t + distance < INTERIOR:
                    block = blocks[HALO + t, :, HALO + t + distance]
                    np.testing.assert_allclose(np.diag(bands[distance][w, t]), block, atol=1e-12)


def test_frames_of_different_clips_are_independent() -> None:
    """The second window contains two clips: changing the second clip does not change a bit of the first one's step."""
    problem = linear(seed=53)
    first = 6 + 1 - HALO  # joined[1, 6] = 0: frames 0 to 6 belong to the first clip
    noise = np.random.default_rng(54).uniform(0.5, 2.0, INTERIOR)
    noise[:first] = 1.0
    factor = np.concatenate([np.ones(INTERIOR), noise, np.ones(INTERIOR)])
    changed = problem._replace(
        hessian=problem.hessian * factor, gradient=problem.gradient * factor.reshape(NWINDOW, INTERIOR) ** 2
    )
    with jax.enable_x64(True):
        result, result_changed = solved(problem), solved(changed)
    np.testing.assert_array_equal(result[:, 1, :first], result_changed[:, 1, :first])
    np.testing.assert_array_equal(result[:, [0, 2]], result_changed[:, [0, 2]])
    assert np.all(np.abs(result[:, 1, first:] - result_changed[:, 1, first:]).max(axis=0) > 0)


def test_coordinates_follow_steps_one_to_one_if_the_root_is_at_its_source(body: TargetBody) -> None:
    """The solver uses the gradient by coordinates as that by steps. For the root's rotation it is exact at the source;
    elsewhere the error is at most the angle of deviation."""
    ndof = body.reduced.ndof
    q = random_configurations(body.reduced, 1, seed=55)
    rot = Rotation.from_quat(q[0, 3:NROOT], scalar_first=True)
    with jax.enable_x64(True):
        x = frames_last(q, np.float64)

        def slope(root_rot: jax.Array) -> jax.Array:
            move = lambda step: _coordinates(  # noqa: E731
                integrate(x, step[:, None])[:, :, None], jnp.zeros((3, 1, 1)), root_rot[:, :, None, None]
            )[:, 0, 0]
            return jax.jacfwd(move)(jnp.zeros(ndof))

        slope = jax.jit(slope)
        np.testing.assert_allclose(slope(jnp.asarray(rot.as_matrix())), np.eye(ndof), atol=1e-12)
        for angle in (0.05, 0.2):
            deviated = Rotation.from_rotvec([0.0, angle, 0.0]) * rot
            error = np.asarray(slope(jnp.asarray(deviated.as_matrix()))) - np.eye(ndof)
            assert np.linalg.norm(error, 2) <= angle


class Clip(NamedTuple):
    """About half a second of a moving body, in windows that start from perturbed configurations."""

    true: np.ndarray  # (NWINDOW, NALL, 7 + njoint)
    windows: Windows
    objective: Objective
    smooth: Smoothness


@pytest.fixture(scope="module")
def clip(body: TargetBody) -> Clip:
    reduced, rng = body.reduced, np.random.default_rng(56)
    time = np.arange(NWINDOW * NALL) / 100.0
    true = np.tile(standing(reduced), (len(time), 1))
    frequency, phase = rng.uniform(0.3, 1.0, reduced.njoint), rng.uniform(size=reduced.njoint)
    swing = np.sin(2 * np.pi * (time[:, None] * frequency + phase))
    true[:, NROOT:] = np.clip(true[:, NROOT:] + 0.15 * swing, reduced.lower + 0.02, reduced.upper - 0.02)
    true[:, 0] += time
    turn = Rotation.from_rotvec(0.2 * np.sin(5 * time)[:, None] * [0.3, 0.2, 1.0])
    true[:, 3:NROOT] = turn.as_quat(scalar_first=True)
    true = true.reshape(NWINDOW, NALL, -1)
    start = true.copy()
    shake = rng.normal(0, 0.05, start[:, HALO:-HALO, NROOT:].shape)
    start[:, HALO:-HALO, NROOT:] = np.clip(start[:, HALO:-HALO, NROOT:] + shake, reduced.lower, reduced.upper)
    inside = true[:, HALO:-HALO].reshape(NWINDOW * INTERIOR, -1)
    frames = lambda a: jnp.asarray(np.moveaxis(a, -1, 0), jnp.float32)  # noqa: E731
    root_rot = turn.as_matrix().reshape(NWINDOW, NALL, 3, 3)
    windows = Windows(
        q=frames(start),
        targets=met_targets(forward_jit(body.tree, frames_last(inside))),
        root_pos=frames(true[..., :3]),
        root_rot=jnp.asarray(np.moveaxis(root_rot, (-2, -1), (0, 1)), jnp.float32),
        joined=jnp.ones((NWINDOW, NALL - 1), jnp.float32),
        damping=jnp.full((NWINDOW, INTERIOR), 1e-3, jnp.float32),
    )
    config = WeightConfig(prior=0.0)
    return Clip(true, windows, Objective(body.tree, frame_terms(body, config)), smoothness(body, config, 100.0))


@pytest.fixture(scope="module")
def refine(clip: Clip) -> Refine:
    compiled = jax.jit(lambda windows, smooth: refine_windows(clip.objective, windows, smooth, iterations=4))
    return lambda windows, smooth: compiled(windows, Smoothness(*(s.astype(np.float32) for s in smooth)))


def with_interior(windows: Windows, interior: jax.Array) -> Windows:
    return windows._replace(q=windows.q.at[..., HALO:-HALO].set(interior))


@pytest.fixture(scope="module")
def whole_cost(clip: Clip) -> Cost:
    """Cost of each window, with the temporal part by plain differences, shape (NWINDOW,)."""
    frame_cost = jax.jit(lambda flat, targets: clip.objective.normal(flat, targets).cost)
    coordinates = jax.jit(_coordinates)

    def cost(windows: Windows, smooth: Smoothness) -> np.ndarray:
        flat = windows.q[..., HALO:-HALO].reshape(-1, NWINDOW * INTERIOR)
        frames_cost = np.asarray(frame_cost(flat, windows.targets)).reshape(NWINDOW, INTERIOR).sum(axis=1)
        values = np.asarray(coordinates(windows.q, windows.root_pos, windows.root_rot), np.float64)
        velocity_cost = smooth.velocity[:, None, None] * np.diff(values, axis=2) ** 2
        acceleration_cost = smooth.acceleration[:, None, None] * np.diff(values, 2, axis=2) ** 2
        return frames_cost + 0.5 * (velocity_cost.sum(axis=(0, 2)) + acceleration_cost.sum(axis=(0, 2)))

    return cost


def test_cost_matches_plain_differences_and_never_rises(clip: Clip, refine: Refine, whole_cost: Cost) -> None:
    windows = clip.windows
    costs = [whole_cost(windows, clip.smooth)]
    for _ in range(3):
        refined = refine(windows, clip.smooth)
        assert np.all(np.asarray(refined.after) <= np.asarray(refined.before))
        np.testing.assert_allclose(refined.before, costs[-1], rtol=1e-3, atol=1e-5)
        windows = with_interior(windows, refined.q)._replace(damping=refined.damping)
        costs.append(whole_cost(windows, clip.smooth))
        np.testing.assert_allclose(refined.after, costs[-1], rtol=1e-3, atol=1e-5)
    assert np.all(costs[-1] < 0.05 * costs[0])


def test_without_smoothness_every_target_is_met(body: TargetBody, clip: Clip, refine: Refine) -> None:
    none = Smoothness(velocity=np.zeros(body.reduced.ndof), acceleration=np.zeros(body.reduced.ndof))
    refined = refine(clip.windows, none)
    flat = np.asarray(refined.q).reshape(-1, NWINDOW * INTERIOR)
    reached = np.asarray(forward_jit(body.tree, jnp.asarray(flat)).point_pos)[:NLANDMARK]
    assert np.linalg.norm(reached - np.asarray(clip.windows.targets.pos), axis=1).max() < 1e-3


def test_smoothness_removes_jitter(body: TargetBody, clip: Clip, refine: Refine) -> None:
    """With 5 mm of noise on targets, second differences of joints fall to less than a fifth, and joint errors fall."""
    rng = np.random.default_rng(57)
    targets = clip.windows.targets
    noisy = clip.windows._replace(targets=targets._replace(pos=targets.pos + rng.normal(0, 0.005, targets.pos.shape)))
    none = Smoothness(velocity=np.zeros(body.reduced.ndof), acceleration=np.zeros(body.reduced.ndof))
    jitter, error = {}, {}
    true = np.moveaxis(clip.true[:, HALO:-HALO, NROOT:], -1, 0)
    for name, smooth in (("smooth", clip.smooth), ("free", none)):
        joints = np.asarray(refine(noisy, smooth).q)[NROOT:]
        jitter[name] = np.sqrt(np.mean(np.diff(joints - true, 2, axis=2) ** 2))
        error[name] = np.sqrt(np.mean((joints - true) ** 2))
    assert jitter["smooth"] < 0.2 * jitter["free"]
    assert error["smooth"] < error["free"]


def test_neighbouring_clips_do_not_affect_a_window(body: TargetBody, clip: Clip, refine: Refine) -> None:
    """With `joined` 0 at the halo, whose frames then belong to other clips, their values do not change a bit."""
    joined = np.ones((NWINDOW, NALL - 1), np.float32)
    joined[:, :HALO] = joined[:, -HALO:] = 0.0
    one = clip.windows._replace(joined=jnp.asarray(joined))
    changed = np.array(one.q)
    for seed, halo in ((58, slice(0, HALO)), (59, slice(-HALO, None))):
        changed[..., halo] = random_configurations(body.reduced, NWINDOW * HALO, seed=seed).T.reshape(-1, NWINDOW, HALO)
    a, b = refine(one, clip.smooth), refine(one._replace(q=jnp.asarray(changed)), clip.smooth)
    np.testing.assert_array_equal(a.q, b.q)
    np.testing.assert_array_equal(a.damping, b.damping)


def test_limits_hold_in_windows(body: TargetBody, clip: Clip, refine: Refine) -> None:
    """Targets that bend knees and elbows backwards leave them at their limits; other joints have no gradient."""
    reduced = body.reduced
    bent = [NROOT + reduced.index(f"{name}_{side}") for name in ("knee_angle", "elbow_flex") for side in "rl"]
    target_q = clip.true[:, HALO:-HALO].reshape(NWINDOW * INTERIOR, -1).copy()
    target_q[:, bent] -= 1.0
    targets = met_targets(forward_jit(body.tree, frames_last(target_q)))
    none = Smoothness(velocity=np.zeros(reduced.ndof), acceleration=np.zeros(reduced.ndof))
    windows = clip.windows._replace(targets=targets)
    for _ in range(4):
        refined = refine(windows, none)
        windows = with_interior(windows, refined.q)._replace(damping=refined.damping)
    flat = windows.q[..., HALO:-HALO].reshape(-1, NWINDOW * INTERIOR)
    joints = np.asarray(flat)[NROOT:]
    low, high = (limit.astype(np.float32)[:, None] for limit in (reduced.lower, reduced.upper))
    assert np.all(joints >= low)
    assert np.all(joints <= high)
    assert np.mean(np.asarray(flat)[bent] == 0.0) > 0.9
    derive = jax.jit(lambda x: clip.objective.normal(x, targets))
    slope = np.abs(np.asarray(derive(flat).gradient)[6:])[(joints > low) & (joints < high)]
    assert slope.max() < 1e-4
