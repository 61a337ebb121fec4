"""Refinement of a clip by Newton's law, and the banded systems that it solves."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from musclemap.retarget.config import DynamicsConfig
from musclemap.retarget.dynamics.banded import BandedSystem
from musclemap.retarget.dynamics.floor import Floor, floor_cost
from musclemap.retarget.dynamics.refinement import OVERLAP, SEGMENT, Refinement, Refiner
from musclemap.retarget.dynamics.roughness import roughness
from musclemap.retarget.forces.contact_forces import GRAVITY
from musclemap.retarget.forces.required_forces import required_forces
from musclemap.skeletons.body import TargetBody

from ..support.configurations import on_the_ground, standing

FPS = 100.0
WEIGHT = 84.27 * GRAVITY


def test_banded_system_equals_a_dense_one() -> None:
    rng = np.random.default_rng(0)
    nframe, size, nrow = 7, 4, 3
    half = rng.normal(size=(nframe, size, size))
    hessian, gradient = half @ half.swapaxes(1, 2) + np.eye(size), rng.normal(size=(nframe, size))
    jacobian = tuple(rng.normal(size=(nframe, nrow, size)) for _ in range(3))
    half = rng.normal(size=(nframe, nrow, nrow))
    weight, residual = half @ half.swapaxes(1, 2), rng.normal(size=(nframe, nrow))
    weight[0] = weight[-1] = 0.0
    bend, values = rng.random(size), rng.normal(size=(nframe, size))
    system = BandedSystem(nframe, size)
    system.add_frames(hessian, gradient)
    system.add_rows(jacobian, weight, residual)  # type: ignore[arg-type]
    system.add_second_differences(bend, values)
    dense, right = np.zeros((nframe * size, nframe * size)), gradient.ravel().copy()
    block = lambda t: slice(t * size, (t + 1) * size)  # noqa: E731
    for t in range(nframe):
        dense[block(t), block(t)] += hessian[t]
    for t in range(1, nframe - 1):
        rows = np.zeros((nrow, nframe * size))
        second = np.zeros((size, nframe * size))
        for a, factor in enumerate((1.0, -2.0, 1.0)):
            rows[:, block(t + a - 1)] = jacobian[a][t]
            second[:, block(t + a - 1)] = factor * np.eye(size)
        dense += rows.T @ weight[t] @ rows + second.T @ np.diag(bend) @ second
        right += rows.T @ weight[t] @ residual[t] + second.T @ (bend * (second @ values.ravel()))
    np.testing.assert_allclose(system.solve().ravel(), -np.linalg.solve(dense, right), atol=1e-10)


def test_banded_system_within_bounds_equals_a_quadratic_programme() -> None:
    rng = np.random.default_rng(1)
    nframe, size = 6, 5
    half = rng.normal(size=(nframe, size, size))
    hessian, gradient = half @ half.swapaxes(1, 2) + np.eye(size), 4.0 * rng.normal(size=(nframe, size))
    bend, values = 10.0 * rng.random(size), rng.normal(size=(nframe, size))
    lower, upper = -0.3 * rng.random((nframe, size)), 0.3 * rng.random((nframe, size))
    lower[:, 0], upper[:, 0] = -np.inf, np.inf
    system = BandedSystem(nframe, size)
    system.add_frames(hessian, gradient)
    system.add_second_differences(bend, values)
    second = np.kron(np.diff(np.eye(nframe), 2, axis=0), np.eye(size))
    dense = second.T @ np.diag(np.tile(bend, nframe - 2)) @ second
    right = gradient.ravel() + dense @ values.ravel()
    for t in range(nframe):
        dense[t * size : (t + 1) * size, t * size : (t + 1) * size] += hessian[t]
    cost = lambda step: 0.5 * step @ dense @ step + right @ step  # noqa: E731
    bounds = list(zip(lower.ravel(), upper.ravel(), strict=True))
    exact = minimize(cost, np.zeros(nframe * size), jac=lambda s: dense @ s + right, bounds=bounds, method="L-BFGS-B")
    np.testing.assert_allclose(system.solve(lower, upper, rounds=20).ravel(), exact.x, atol=1e-3)
    step = system.solve(lower, upper)
    assert ((step >= lower) & (step <= upper)).all()


def test_the_floor_is_known_to_first_order(body: TargetBody) -> None:
    """Heights after a step, and the slope of the cost where points are below the floor."""
    rng, reduced, weight = np.random.default_rng(2), body.reduced, 1000.0
    q = np.tile(standing(reduced), (4, 1))
    width = reduced.upper - reduced.lower
    q[:, 7:] = np.clip(q[:, 7:], reduced.lower + 0.1 * width, reduced.upper - 0.1 * width)
    q[:, 7:] += 0.05 * width * rng.uniform(-1.0, 1.0, (4, reduced.njoint))
    heights = lambda q: required_forces(body, reduced.expand(q), FPS).points[..., 2]  # noqa: E731
    q[:, 2] += np.array([-0.02, -0.005, 0.001, 0.03]) - heights(q).min(axis=1)
    required = required_forces(body, reduced.expand(q), FPS, momentum=True)
    height = required.points[..., 2]
    floor = Floor(body, q, required, height, weight)
    _, gradient = floor.model(height < 0.0)
    size, low = 1e-5, height < 0.1
    for dof in range(reduced.ndof):
        cost, moved = [], []
        step = np.zeros((4, reduced.ndof))
        step[:, dof] = size
        for sign in (1.0, -1.0):
            new = q.copy()
            turn = Rotation.from_rotvec(sign * step[:, 3:6]) * Rotation.from_quat(q[:, 3:7], scalar_first=True)
            new[:, :3] += sign * step[:, :3]
            new[:, 3:7] = turn.as_quat(scalar_first=True)
            new[:, 7:] += sign * step[:, 6:]
            moved.append(heights(new))
            cost.append(floor_cost(moved[-1], weight))
        np.testing.assert_allclose((floor.after(step) - height)[low], (moved[0] - moved[1])[low] / 2, atol=1e-9)
        np.testing.assert_allclose((cost[0] - cost[1]) / (2 * size), gradient[:, dof], atol=1e-4)


@pytest.fixture(scope="module")
def refiner(body: TargetBody) -> Refiner:
    smoothness = np.full(body.reduced.ndof, 10.0)
    return Refiner(body, DynamicsConfig(), friction=0.8, force_weight=100.0, smoothness=smoothness, floor=1000.0)


def refine(refiner: Refiner, q: np.ndarray, *, held: bool = True) -> Refinement:
    """Refine with the same stiffness in every direction."""
    ndof = refiner.body.reduced.ndof
    stiffness = lambda part: np.tile(10.0 * np.eye(ndof), (part.stop - part.start, 1, 1))  # noqa: E731
    return refiner.refine(q, stiffness, np.full((len(q), 2), held), FPS)


def standing_still(body: TargetBody, nframe: int) -> np.ndarray:
    q = np.tile(standing(body.reduced), (nframe, 1))
    for name in ("hip_flexion_r", "hip_flexion_l", "knee_angle_r", "knee_angle_l"):
        q[:, 7 + body.reduced.index(name)] = 0.0  # in balance: the centre of mass is above the feet
    q[:, 2] = on_the_ground(body, q)[:, 2]
    return q


def test_a_motion_that_obeys_newton_stays_as_it_is(body: TargetBody, refiner: Refiner) -> None:
    q = standing_still(body, 60)
    result = refine(refiner, q)
    assert np.abs(result.q - q)[10:50].max() < 0.01
    assert result.bearing[:, :2].all()


def test_noise_of_the_root_disappears_into_posture(body: TargetBody, refiner: Refiner) -> None:
    """A sway of 2 mm at 8 Hz needs half a body weight more and less, which no person does."""
    q = standing_still(body, 120)
    q[:, 2] += 0.002 * np.sin(2 * np.pi * 8.0 * np.arange(120) / FPS)
    q[:, 0] += 0.002 * np.sin(2 * np.pi * 6.0 * np.arange(120) / FPS)
    result = refine(refiner, q)
    inner = slice(15, 105)
    before, after = (r[inner].max(axis=0) for r in (result.residual_before, result.residual_after))
    assert before[1] > 10.0
    assert after[1] < 0.1 * before[1]
    assert after[0] < 0.02 * WEIGHT
    assert np.linalg.norm(result.q[:, :3] - q[:, :3], axis=1).max() < 0.02
    lower, upper = body.reduced.lower, body.reduced.upper
    assert ((result.q[:, 7:] >= lower - 1e-9) & (result.q[:, 7:] <= upper + 1e-9)).all()


def test_a_body_in_the_air_falls_freely(body: TargetBody, refiner: Refiner) -> None:
    time = np.arange(60) / FPS
    q = np.tile(standing(body.reduced), (60, 1))
    q[:, 2] += 1.0 + 2.0 * time - 0.5 * 0.8 * GRAVITY * time**2  # four fifths of gravity
    result = refine(refiner, q, held=False)
    assert not result.bearing.any()
    assert result.residual_before[10:50, 0].mean() == pytest.approx(0.2 * WEIGHT, rel=0.02)
    assert result.residual_after[5:55, 0].mean() < 0.1 * result.residual_before[5:55, 0].mean()


def test_frames_without_a_support_are_left_alone(body: TargetBody, refiner: Refiner) -> None:
    """A body that hangs still in the air for a second needs something to hang from."""
    q = np.tile(standing(body.reduced), (100, 1))
    q[:, 2] += 2.0
    result = refine(refiner, q, held=False)
    np.testing.assert_allclose(result.q, q, atol=1e-6)
    assert result.residual_after[50, 0] == pytest.approx(WEIGHT, rel=1e-3)


def test_a_long_clip_has_no_seams(body: TargetBody, refiner: Refiner) -> None:
    nframe = SEGMENT + 200
    q = standing_still(body, nframe)
    q[:, 0] += 0.002 * np.sin(2 * np.pi * 2.0 * np.arange(nframe) / FPS)
    result = refine(refiner, q)
    step = np.linalg.norm(np.diff(result.q[:, :3], 2, axis=0), axis=1)
    seam = slice(SEGMENT - OVERLAP - 5, SEGMENT + 5)
    assert step[seam].max() < 1.5 * step[100 : SEGMENT - OVERLAP - 100].max()


def test_roughness_is_what_is_faster_than_movement(body: TargetBody) -> None:
    """A hip that swings at 1 Hz is smooth; the same with a bend of one frame is rough, and so is a root that turns."""
    time = np.arange(200) / FPS
    q = standing_still(body, 200)
    hip = 7 + body.reduced.index("hip_flexion_r")
    q[:, hip] = 0.4 * np.sin(2 * np.pi * time)
    assert np.abs(roughness(q, np.zeros(200), FPS, 6.0)).max() < 2e-3
    q[100:, hip] += 0.02  # a step
    q[:, 3:7] *= np.where(time < 0.7, 1.0, -1.0)[:, None]  # the same rotations
    rough = roughness(q, np.zeros(200), FPS, 6.0)
    assert np.abs(rough[95:105, hip - 1]).max() > 8e-3
    assert np.abs(np.delete(rough, hip - 1, axis=1)).max() < 1e-9
    assert not roughness(q, np.zeros(200), FPS, 0.0).any()
    assert not roughness(q, np.ones(200), FPS, 6.0).any()


def test_a_sharp_bend_of_the_fit_is_smoothed(body: TargetBody, refiner: Refiner) -> None:
    q = standing_still(body, 120)
    arm = 7 + body.reduced.index("elbow_flex_r")
    q[:, arm] = 0.5 + np.maximum(np.arange(120) - 60, 0) * 0.01
    bend = lambda angles: np.abs(np.diff(angles, 2)).max()  # noqa: E731
    result = refine(refiner, q)
    assert bend(result.q[20:100, arm]) < 0.6 * bend(q[20:100, arm])
    assert np.abs(result.q - q)[20:100, arm].max() < 0.03


def test_feet_do_not_sink_where_a_body_must_fall_faster(body: TargetBody, refiner: Refiner) -> None:
    """A body that falls at four fifths of gravity lands crouched, its ankles at their limit.

    To fall freely it must come down further; the model of a step sees the floor under feet that are still lifted
    (without it they sink by 0.15 m) and the limits of the ankles (without them by 7 mm).
    """
    q, reduced = standing_still(body, 120), body.reduced
    for side in "rl":
        ankle, knee, hip = (reduced.index(f"{name}_{side}") for name in ("ankle_angle", "knee_angle", "hip_flexion"))
        q[:, 7 + ankle] = reduced.upper[ankle] - 0.01
        q[:, 7 + hip] = np.radians(50.0)
        q[:, 7 + knee] = q[:, 7 + hip] + q[:, 7 + ankle]  # the feet are level
    q[:, 2] = on_the_ground(body, q)[:, 2]
    acceleration = np.zeros(120)
    acceleration[30:50], acceleration[50:70] = -0.8 * GRAVITY, 0.8 * GRAVITY
    path = np.cumsum(np.cumsum(acceleration)) / FPS**2
    q[:, 2] += path - path[-1]
    result = refine(refiner, q, held=False)
    lowest = lambda q: required_forces(body, reduced.expand(q), FPS).points[..., 2].min(axis=1)  # noqa: E731
    assert (lowest(result.q) > np.minimum(lowest(q), 0.0) - 0.005).all()
    assert result.residual_after[5:-5].max(axis=0)[0] < 0.2 * result.residual_before[5:-5].max(axis=0)[0]
