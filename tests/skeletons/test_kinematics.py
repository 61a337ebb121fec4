"""Batched kinematics against C MuJoCo, its screws against finite differences, and the group axioms of steps."""

import time
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from jax import Array
from scipy.spatial.transform import Rotation

from musclemap.errors import TargetError
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.kinematics import Kinematics, forward, integrate, quat_to_matrix
from musclemap.skeletons.reduced import NROOT, reduce_model
from musclemap.skeletons.tree import BodyPoint, Tree, build_tree

from ..support.configurations import frames_last, random_configurations
from ..support.kinematics import forward_jit, point_jacobian


def mujoco_points(tree: Tree, points: list[BodyPoint], q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points by C MuJoCo, shapes (npoint, 3, nframe) [m] and (npoint, 3, 3, nframe)."""
    model = tree.reduced.model
    data = mujoco.MjData(model)
    pos, rot = np.empty((len(points), 3, len(q))), np.empty((len(points), 3, 3, len(q)))
    for k, qpos in enumerate(tree.reduced.expand(q)):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        for p, point in enumerate(points):
            rot[p, :, :, k] = data.xmat[point.body].reshape(3, 3)
            pos[p, :, k] = data.xpos[point.body] + rot[p, :, :, k] @ np.asarray(point.offset)
    return pos, rot


@pytest.fixture(scope="module")
def finger_points(body: TargetBody) -> list[BodyPoint]:
    """A point off the axis of every tracked body and of all finger tips."""
    fingers = ("distal_thumb", "2distph", "3distph", "4distph", "5distph")
    tips = [body.model.body(f"{finger}_{side}").id for side in "rl" for finger in fingers]
    bodies = [*body.landmark_ids.tolist(), *tips]
    return [BodyPoint(b, (0.01, -0.02, 0.03)) for b in bodies]


@pytest.fixture(scope="module")
def hand_tree(body: TargetBody, finger_points: list[BodyPoint]) -> Tree:
    return build_tree(body.reduced_hands, finger_points)


def test_points_match_mujoco(body: TargetBody) -> None:
    """In float32, over the full effective ranges, metres from the origin; for the solver's own 37 points."""
    q = random_configurations(body.reduced, 64, seed=10)
    kinematics = forward_jit(body.tree, frames_last(q))
    pos, rot = mujoco_points(body.tree, body.points, q)
    assert np.abs(np.asarray(kinematics.point_pos) - pos).max() < 1e-5
    assert np.abs(np.asarray(kinematics.point_rot) - rot).max() < 1e-5


def test_finger_tips_match_mujoco(hand_tree: Tree, finger_points: list[BodyPoint]) -> None:
    q = random_configurations(hand_tree.reduced, 32, seed=11)
    kinematics = forward_jit(hand_tree, frames_last(q))
    pos, rot = mujoco_points(hand_tree, finger_points, q)
    assert np.abs(np.asarray(kinematics.point_pos) - pos).max() < 1e-5
    assert np.abs(np.asarray(kinematics.point_rot) - rot).max() < 1e-5


def test_double_precision_agrees_to_rounding(body: TargetBody) -> None:
    q = random_configurations(body.reduced, 8, seed=12)
    with jax.enable_x64(True):
        kinematics = forward_jit(body.tree, frames_last(q, np.float64))
        point_pos = np.asarray(kinematics.point_pos)
    assert point_pos.dtype == np.float64
    assert np.abs(point_pos - mujoco_points(body.tree, body.points, q)[0]).max() < 1e-12


class Differences(NamedTuple):
    """Central differences at one configuration along every degree of freedom, and the analytic derivatives."""

    pos: np.ndarray  # (npoint, 3, ndof)
    rot: np.ndarray  # (npoint, 3, 3, ndof)
    jacobian: np.ndarray  # (npoint, 3, ndof)
    kinematics: Kinematics


def differences(tree: Tree, *, seed: int, h: float = 1e-5) -> Differences:
    ndof = tree.reduced.ndof
    steps = h * np.concatenate([np.zeros((ndof, 1)), np.eye(ndof), -np.eye(ndof)], axis=1)

    def evaluate(x: Array, steps: Array) -> tuple[Kinematics, Array]:
        kinematics = forward(tree, integrate(jnp.repeat(x, steps.shape[1], axis=1), steps))
        return kinematics, point_jacobian(tree, kinematics)

    with jax.enable_x64(True):
        x = frames_last(random_configurations(tree.reduced, 1, seed=seed), np.float64)
        kinematics, jacobian = jax.tree.map(np.asarray, jax.jit(evaluate)(x, jnp.asarray(steps)))
    pos, rot = kinematics.point_pos[..., 1:], kinematics.point_rot[..., 1:]
    return Differences(
        pos=(pos[..., :ndof] - pos[..., ndof:]) / (2 * h),
        rot=(rot[..., :ndof] - rot[..., ndof:]) / (2 * h),
        jacobian=jacobian[..., 0],
        kinematics=kinematics,
    )


@pytest.mark.parametrize("hands", ["locked", "free"])
def test_screws_are_the_derivative_of_the_kinematics(body: TargetBody, hand_tree: Tree, hands: str) -> None:
    """Along every degree of freedom, including those that drive several joints: dp = J, d(rot) = omega x rot."""
    tree = body.tree if hands == "locked" else hand_tree
    diff = differences(tree, seed=13)
    np.testing.assert_allclose(diff.jacobian, diff.pos, rtol=0, atol=1e-8)
    spin = np.einsum("pikd,pjk->pijd", diff.rot, diff.kinematics.point_rot[..., 0])
    omega = 0.5 * np.stack(
        [spin[:, 2, 1] - spin[:, 1, 2], spin[:, 0, 2] - spin[:, 2, 0], spin[:, 1, 0] - spin[:, 0, 1]]
    )
    screw = np.asarray(diff.kinematics.screw[:3, :, 0])
    np.testing.assert_allclose(omega, screw[:, None] * tree.point_mask[None], rtol=0, atol=1e-8)
    assert not np.abs(diff.pos).max(axis=1)[~tree.point_mask].any()


def test_ancestors_are_exactly_the_pairs_that_share_a_point(body: TargetBody, hand_tree: Tree) -> None:
    """The solver sums a Hessian block over the points of the deeper one, so the other must move them too."""
    for tree in (body.tree, hand_tree):
        mask = tree.point_mask
        share = np.any(mask[:, :, None] & mask[:, None, :], axis=0)
        np.testing.assert_array_equal(tree.ancestor | tree.ancestor.T, share)
        assert not np.any(tree.ancestor & tree.ancestor.T & ~np.eye(len(share), dtype=bool))
        for d, e in np.argwhere(tree.ancestor):
            assert np.all(mask[:, d] >= mask[:, e])


def test_root_steps_form_a_group(body: TargetBody) -> None:
    """A zero step changes nothing, a step and its inverse cancel, and steps compose as world rotations do."""
    q = random_configurations(body.reduced, 16, seed=15)
    rng = np.random.default_rng(16)
    ndof, step = body.reduced.ndof, jax.jit(integrate)
    one, two = rng.normal(size=(2, ndof, 16))
    with jax.enable_x64(True):
        x = frames_last(q, np.float64)
        np.testing.assert_allclose(step(x, np.zeros((ndof, 16))), x, atol=1e-15)
        np.testing.assert_allclose(step(step(x, one), -one), x, atol=1e-14)
        np.testing.assert_allclose(step(step(x, 0.5 * one), 0.5 * one), step(x, one), atol=1e-14)
        both = np.asarray(step(step(x, one), two))
        rot = np.moveaxis(np.asarray(jax.jit(quat_to_matrix)(both[3:NROOT])), -1, 0)
    start = Rotation.from_quat(q[:, 3:NROOT], scalar_first=True)
    expected = Rotation.from_rotvec(two[3:6].T) * Rotation.from_rotvec(one[3:6].T) * start
    np.testing.assert_allclose(rot, expected.as_matrix(), atol=1e-14)
    np.testing.assert_allclose(both[:3], q.T[:3] + one[:3] + two[:3], atol=1e-14)
    np.testing.assert_allclose(both[NROOT:], q.T[NROOT:] + one[6:] + two[6:], atol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(both[3:NROOT], axis=0), 1.0, atol=1e-15)


def test_zero_step_is_differentiable(body: TargetBody) -> None:
    x = frames_last(random_configurations(body.reduced, 1, seed=17))
    slope = jax.jit(jax.jacfwd(lambda step: integrate(x, step)[3:NROOT, 0]))(jnp.zeros((body.reduced.ndof, 1)))
    half = np.asarray(slope)[:, 3:6, 0]
    assert np.all(np.isfinite(half))
    np.testing.assert_allclose(half.T @ half, 0.25 * np.eye(3), atol=1e-6)  # |dq| = |omega| / 2


def test_locked_joints_are_part_of_the_body() -> None:
    """A locked hinge and a locked slide away from their zero, in the same body as free joints."""
    model = mujoco.MjModel.from_xml_string(
        """<mujoco><compiler angle="radian"/><worldbody><body><freejoint/><geom size=".1"/>
        <body name="far" pos=".1 .2 .3" quat=".8 .6 0 0"><geom size=".1"/>
        <joint name="a" axis="1 2 0" pos=".1 0 .2" range="-1 1" ref=".3"/>
        <joint name="held" axis="0 1 1" pos="0 .3 .1" range=".4 .9"/>
        <joint name="shift" type="slide" axis="0 0 1" range=".2 .3"/>
        <joint name="b" type="slide" axis="1 0 1" range="-1 1"/>
        <joint name="c" axis="0 1 0" pos="-.1 .2 0" range="-1 1"/></body></body></worldbody></mujoco>"""
    )
    reduced = reduce_model(model, locked=frozenset({"held", "shift"}))
    points = [BodyPoint(2, (0.3, -0.1, 0.2)), BodyPoint(1, (0.0, 0.5, 0.0))]
    tree, q = build_tree(reduced, points), random_configurations(reduced, 5, seed=18)
    with jax.enable_x64(True):
        point_pos = np.asarray(forward_jit(tree, frames_last(q, np.float64)).point_pos)
    assert np.abs(point_pos - mujoco_points(tree, points, q)[0]).max() < 1e-12


def test_unsupported_points_are_refused(body: TargetBody) -> None:
    with pytest.raises(TargetError, match="does not descend from the free root"):
        build_tree(body.reduced, [BodyPoint(0)])
    split = mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody><body><freejoint/><geom size=".1"/><body name="near"><joint name="a"/><geom size=".1"/>
        <body name="far"><joint name="b"/><geom size=".1"/></body></body></body></worldbody>
        <equality><joint joint1="b" joint2="a" polycoef="0 1 0 0 0"/></equality></mujoco>"""
    )
    near, far = (BodyPoint(split.body(name).id) for name in ("near", "far"))
    build_tree(reduce_model(split), [far])
    with pytest.raises(TargetError, match="joints driven by a are both above and below body near"):
        build_tree(reduce_model(split), [far, near])


def test_compilation_does_not_grow_with_depth(body: TargetBody) -> None:
    """An unrolled tree of this body took minutes; ours, which iterates over levels, takes about a second."""
    x = frames_last(random_configurations(body.reduced, 5, seed=19))  # a shape that has not been compiled yet
    start = time.perf_counter()
    jax.jit(partial(forward, body.tree)).lower(x).compile()
    assert time.perf_counter() - start < 20.0
