"""Normal equations from screws, against derivatives of the cost and against dense Jacobians."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.retarget.config import WeightConfig
from musclemap.retarget.solver import cost_weights
from musclemap.retarget.solver.clip_batch import fit_apart
from musclemap.retarget.solver.cost_weights import joint_stiffness, smoothness
from musclemap.retarget.solver.normal_equations import Normal
from musclemap.retarget.solver.objective import Objective
from musclemap.retarget.solver.terms import (
    FLOOR_SOFTNESS,
    FloorTerm,
    FrameTargets,
    OrientationTerm,
    PositionTerm,
    PriorTerm,
    frame_terms,
)
from musclemap.skeletons.bodies.myofullbody import LANDMARK_NAMES
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.kinematics import Kinematics, integrate
from musclemap.skeletons.reduced import NROOT

from ..support.configurations import DEEP_FLOOR, frames_last, met_targets, random_configurations, standing
from ..support.kinematics import forward_jit, point_jacobian
from ..support.target_facts import NCONTACT, NLANDMARK, ORIENTED

NFRAME = 3


class Case(NamedTuple):
    """A few frames away from their targets, with random weights, in float64."""

    q: jax.Array
    kinematics: Kinematics
    targets: FrameTargets
    terms: "Terms"
    normal: Normal


class Terms(NamedTuple):
    """Terms of the fit with random weights."""

    position: PositionTerm
    floor: FloorTerm
    orientation: OrientationTerm
    prior: PriorTerm


def random_terms(body: TargetBody, seed: int) -> Terms:
    rng, tree = np.random.default_rng(seed), body.tree
    return Terms(
        PositionTerm(tree=tree, landmark=rng.uniform(0.5, 2.0, NLANDMARK), contact=30.0),
        FloorTerm(tree=tree, weight=1000.0, first=NLANDMARK + NCONTACT, radius=body.sole.radius),
        OrientationTerm(tree=tree, weight=rng.uniform(0.01, 0.1, len(ORIENTED)), oriented=np.asarray(ORIENTED)),
        PriorTerm(weight=rng.uniform(1e-5, 1e-2, body.reduced.njoint), rest=body.reduced.rest, angle=0.7),
    )


def off_targets(kinematics: Kinematics, seed: int) -> FrameTargets:
    """Targets a few centimetres and some tenths of a radian away, and floors that cut through feet."""
    rng = np.random.default_rng(seed)
    exact = met_targets(kinematics)
    spheres = np.asarray(kinematics.point_pos)[NLANDMARK + NCONTACT :, 2].reshape(2, -1, NFRAME)
    rotation = Rotation.from_rotvec(rng.normal(0, 0.5, (len(ORIENTED) * NFRAME, 3))).as_matrix()
    rotation = np.moveaxis(rotation.reshape(len(ORIENTED), NFRAME, 3, 3), 1, -1)
    return exact._replace(
        pos=exact.pos + rng.normal(0, 0.05, exact.pos.shape),
        rot=jnp.einsum("lijb,ljkb->likb", rotation, exact.rot),
        anchor=exact.anchor + rng.normal(0, 0.05, exact.anchor.shape),
        contact=jnp.asarray(rng.uniform(0, 1, exact.contact.shape)) * (rng.uniform(size=exact.contact.shape) < 0.7),
        floor=jnp.asarray(spheres.mean(axis=1) + rng.uniform(-0.05, 0.0, (2, NFRAME))),
    )


@pytest.fixture(scope="module")
def case(body: TargetBody) -> Iterator[Case]:
    with jax.enable_x64(True):
        q = frames_last(random_configurations(body.reduced, NFRAME, seed=30), np.float64)
        kinematics = forward_jit(body.tree, q)
        targets, terms = off_targets(kinematics, seed=31), random_terms(body, seed=32)
        evaluate = jax.jit(lambda x: Objective(body.tree, terms).normal(x, targets))
        yield Case(q, kinematics, targets, terms, evaluate(q))


def test_cost_matches_plain_loops(body: TargetBody, case: Case) -> None:
    """The cost computed by plain loops and rotation angles."""
    pos, rot = np.asarray(case.kinematics.point_pos), np.asarray(case.kinematics.point_rot)
    w, t = case.terms, jax.tree.map(np.asarray, case.targets)
    expected = np.zeros(NFRAME)
    for b in range(NFRAME):
        for k in range(NLANDMARK):
            expected[b] += 0.5 * w.position.landmark[k] * np.sum((pos[k, :, b] - t.pos[k, :, b]) ** 2)
        for k in range(NCONTACT):
            error = pos[NLANDMARK + k, :, b] - t.anchor[k, :, b]
            expected[b] += 0.5 * w.position.contact * t.contact[k, b] * np.sum(error**2)
        for k, landmark in enumerate(ORIENTED):
            angle = Rotation.from_matrix(rot[landmark, :, :, b] @ t.rot[k, :, :, b].T).magnitude()
            expected[b] += w.orientation.weight[k] * (1.0 - np.cos(angle))
        for k, radius in enumerate(w.floor.radius):
            height = pos[NLANDMARK + NCONTACT + k, 2, b] - radius - t.floor[0 if k < len(w.floor.radius) // 2 else 1, b]
            expected[b] += 0.5 * w.floor.weight * (FLOOR_SOFTNESS * np.logaddexp(0.0, -height / FLOOR_SOFTNESS)) ** 2
        expected[b] += 0.5 * np.sum(w.prior.weight * (np.asarray(case.q)[NROOT:, b] - body.reduced.rest) ** 2)
    np.testing.assert_allclose(case.normal.cost, expected, rtol=1e-12)


def test_the_objective_is_the_sum_of_its_terms(case: Case) -> None:
    """Terms evaluated separately, against all terms summed over bodies in one pass."""
    with jax.enable_x64(True):
        separate = [jax.jit(term.normal)(case.kinematics, case.targets) for term in case.terms]
    for name, total in case.normal._asdict().items():
        expected = sum(np.asarray(getattr(normal, name)) for normal in separate)
        np.testing.assert_allclose(total, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_stated_angles_take_the_place_of_the_prior(body: TargetBody, case: Case) -> None:
    """The cost by plain loops, its derivative by central differences, and the prior where no angle is stated."""
    prior, h = case.terms.prior, 1e-6
    rng = np.random.default_rng(34)
    angles = rng.normal(0, 0.3, (body.reduced.njoint, NFRAME))
    angles[rng.uniform(size=angles.shape) < 0.5] = np.nan
    q, stated = np.asarray(case.q), np.isfinite(angles)
    weight = np.where(stated, prior.angle, prior.weight[:, None])
    error = q[NROOT:] - np.where(stated, angles, prior.rest[:, None])
    with jax.enable_x64(True):
        targets = case.targets._replace(angles=jnp.asarray(angles))
        normal = jax.jit(prior.normal)(case.kinematics, targets)
        step = h * (np.arange(len(q)) >= NROOT)[:, None]
        moved = [prior.normal(case.kinematics._replace(q=jnp.asarray(x)), targets) for x in (q + step, q - step)]
    np.testing.assert_allclose(normal.cost, 0.5 * np.sum(weight * error**2, axis=0), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(normal.gradient)[6:], weight * error, rtol=1e-12)
    np.testing.assert_allclose(np.diagonal(np.asarray(normal.hessian))[:, 6:].T, weight, rtol=1e-12)
    slope = (np.asarray(moved[0].cost) - np.asarray(moved[1].cost)) / (2 * h)
    np.testing.assert_allclose(np.asarray(normal.gradient).sum(axis=0), slope, rtol=1e-6)


def test_gradient_is_the_derivative_of_the_cost(body: TargetBody, case: Case) -> None:
    """By reverse-mode differentiation of the kinematics, and by central differences along random directions."""
    objective, ndof, h = Objective(body.tree, case.terms), body.reduced.ndof, 1e-5
    directions = np.random.default_rng(33).normal(size=(ndof, NFRAME))
    with jax.enable_x64(True):
        cost = jax.jit(lambda step: objective.normal(integrate(case.q, step), case.targets).cost)
        slope = jax.jit(jax.grad(lambda step: jnp.sum(cost(step))))(jnp.zeros((ndof, NFRAME)))
        difference = (cost(jnp.asarray(h * directions)) - cost(jnp.asarray(-h * directions))) / (2 * h)
    scale = np.abs(slope).max()
    assert scale > 1.0
    np.testing.assert_allclose(case.normal.gradient, slope, rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(np.sum(case.normal.gradient * directions, axis=0), difference, rtol=1e-6)


def test_hessian_equals_that_of_dense_jacobians(body: TargetBody, case: Case) -> None:
    """J^T W J with J from `point_jacobian`, one row for every scalar residual."""
    tree, w, ndof = body.tree, case.terms, body.reduced.ndof
    with jax.enable_x64(True):
        jacobian = np.asarray(jax.jit(lambda k: point_jacobian(tree, k))(case.kinematics))
    omega = np.asarray(case.kinematics.screw[:3]) * tree.point_mask[ORIENTED][:, None, :, None]  # landmark, 3, ndof, b
    pos, floor = np.asarray(case.kinematics.point_pos), np.asarray(case.targets.floor)
    for b in range(NFRAME):
        height = pos[NLANDMARK + NCONTACT :, 2, b] - w.floor.radius - np.repeat(floor[:, b], len(w.floor.radius) // 2)
        activation = 1.0 / (1.0 + np.exp(height / FLOOR_SOFTNESS))
        assert activation.max() > 0.0
        rows = [
            jacobian[:NLANDMARK, :, :, b] * np.sqrt(w.position.landmark)[:, None, None],
            jacobian[NLANDMARK : NLANDMARK + NCONTACT, :, :, b]
            * np.sqrt(w.position.contact * np.asarray(case.targets.contact)[:, b])[:, None, None],
            (jacobian[NLANDMARK + NCONTACT :, 2, :, b] * (np.sqrt(w.floor.weight) * activation)[:, None])[:, None],
            omega[..., b] * np.sqrt(w.orientation.weight)[:, None, None],
            np.diag(np.concatenate([np.zeros(6), np.sqrt(w.prior.weight)]))[:, None],
        ]
        jacobian_rows = np.concatenate([r.reshape(-1, ndof) for r in rows])
        expected = jacobian_rows.T @ jacobian_rows
        np.testing.assert_allclose(case.normal.hessian[..., b], expected, rtol=0, atol=1e-11 * np.abs(expected).max())
        assert np.linalg.eigvalsh(expected)[0] > 0


class Standing(NamedTuple):
    """One frame in float32 without prior, and a compiled function from its targets to its normal equations."""

    kinematics: Kinematics
    floor: FloorTerm
    normal: Callable[[FrameTargets], Normal]


@pytest.fixture(scope="module")
def standing_frame(body: TargetBody) -> Standing:
    q = frames_last(standing(body.reduced)[None])
    terms = random_terms(body, seed=34)[:3]  # no prior
    kinematics = forward_jit(body.tree, q)
    normal = jax.jit(lambda targets: Objective(body.tree, terms).normal(q, targets))
    return Standing(kinematics, terms[1], normal)


def test_a_configuration_at_its_targets_costs_nothing(standing_frame: Standing) -> None:
    normal = standing_frame.normal(met_targets(standing_frame.kinematics, contact=1.0))
    assert float(normal.cost[0]) < 1e-6
    assert float(jnp.abs(normal.gradient).max()) < 1e-4


def test_the_floor_moves_only_the_foot_below_it(body: TargetBody, standing_frame: Standing) -> None:
    """The first row of the floor is that of the right foot. Raised by 1 cm, it moves the right leg and the root."""
    kinematics, term, evaluate = standing_frame
    bottom = np.asarray(kinematics.point_pos)[NLANDMARK + NCONTACT :, 2, 0] - term.radius
    right, depth = bottom[: len(bottom) // 2], 0.01
    floor = jnp.array([[right.min() + depth], [DEEP_FLOOR]], jnp.float32)
    normal = evaluate(met_targets(kinematics)._replace(floor=floor))
    pushed = {body.reduced.joint_names[k] for k in np.flatnonzero(np.abs(np.asarray(normal.gradient)[6:, 0]) > 1e-3)}
    assert pushed
    assert all(name.endswith("_r") for name in pushed)
    assert float(normal.gradient[2, 0]) < -1.0  # moving up lowers the cost
    hard_floor_cost = 0.5 * term.weight * np.sum(np.maximum(right.min() + depth - right, 0.0) ** 2)
    assert hard_floor_cost < float(normal.cost[0]) < 1.6 * hard_floor_cost  # the soft edge adds a little


def test_both_sides_have_equal_weights(body: TargetBody) -> None:
    """Fault 1: without a weight on the left arm, the left hand missed its target by 28 mm and the right by 10."""
    config = WeightConfig(trunk=1.1, arm=1.2, pelvis=1.3, leg=1.4, foot=1.5)
    terms = frame_terms(body, config)
    position = next(term for term in terms if isinstance(term, PositionTerm))
    orientation = next(term for term in terms if isinstance(term, OrientationTerm))
    table = dict(zip(LANDMARK_NAMES, position.landmark, strict=True))
    groups = {"pelvis": ("pelvis",), "trunk": ("lumbar1", "head"), "arm": ("humerus", "ulna", "lunate"),
              "leg": ("femur", "tibia"), "foot": ("talus", "toes")}  # fmt: skip
    for group, parts in groups.items():
        weights = [weight for name, weight in table.items() if name.partition("_")[0] in parts]
        assert len(weights) == len(parts) * (1 if group in ("pelvis", "trunk") else 2)
        assert set(weights) == {getattr(config, group)}
    oriented = dict(zip((LANDMARK_NAMES[k] for k in ORIENTED), orientation.weight, strict=True))
    assert "head" not in oriented  # the target has no neck: an oriented head would turn the trunk
    assert all(oriented[name] == oriented[f"{name[:-1]}l"] for name in oriented if name.endswith("_r"))
    stiffness = dict(zip(body.reduced.joint_names, joint_stiffness(body, WeightConfig())[6:], strict=True))
    for name, value in stiffness.items():
        assert value > 0
        if name.endswith("_r"):
            assert value == pytest.approx(stiffness[f"{name[:-1]}l"], rel=1e-3)


def test_smoothness_does_not_depend_on_the_frame_rate(body: TargetBody, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a curve sampled twice as often, the sum of weighted squared differences per second stays the same."""
    monkeypatch.setattr(cost_weights, "joint_stiffness", lambda body, config: np.ones(body.reduced.ndof))

    def curve(fps: float) -> np.ndarray:
        return np.sin(2 * np.pi * np.arange(0.0, 10.0, 1.0 / fps))

    sums = []
    for fps in (100.0, 200.0):
        smooth, x = smoothness(body, WeightConfig(), fps), curve(fps)
        first, second = np.sum(np.diff(x) ** 2) / fps, np.sum(np.diff(x, 2) ** 2) / fps
        sums.append((smooth.velocity[6:] * first, smooth.acceleration * second))
    for slow, fast in zip(*sums, strict=True):
        np.testing.assert_allclose(fast, slow, rtol=5e-3)


def test_clips_with_stated_angles_are_fitted_apart_and_results_keep_their_order() -> None:
    """Their cost is another, so in one batch with others the result of a clip would depend on its neighbours."""
    targets: list = [SimpleNamespace(angles=angles) for angles in (None, np.zeros(1), None, np.zeros(1))]
    parts: list[list[int]] = []
    assert fit_apart(targets, lambda part: [parts.append(part), *(f"clip {k}" for k in part)][1:]) == [
        "clip 0", "clip 1", "clip 2", "clip 3"
    ]  # fmt: skip
    assert parts == [[0, 2], [1, 3]]
