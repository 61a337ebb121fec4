"""A moving base: gravity's direction and the forces of a frame that accelerates and turns."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.retarget.checks.inverse_dynamics import filtered_motion
from musclemap.retarget.checks.physics_checks import MujocoPhysics
from musclemap.retarget.forces.base_forces import base_torques
from musclemap.skeletons.base_motion import GRAVITY, STILL, BasePath, base_motion
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody

from ..support.base_paths import arms_of, lively_motion

FPS = 200.0
INNER = slice(5, -5)


@pytest.fixture(scope="module")
def arms() -> TargetBody:
    return load_body("MyoBimanualArm")


def test_arms_need_the_torques_that_they_need_on_the_whole_body(arms: TargetBody, body: TargetBody) -> None:
    """At every joint of shoulder, elbow, wrist and fingers, within 1 % of its root mean square; without the motion of
    the chest they are wrong by more than half."""
    whole_qpos = lively_motion(body, nframe=200, fps=FPS)
    qpos, path = arms_of(arms, body, whole_qpos)
    ref = MujocoPhysics(body).evaluate(whole_qpos, *filtered_motion(whole_qpos, FPS, np.inf))
    qvel, qacc = filtered_motion(qpos, FPS, np.inf, free=False)
    alone = MujocoPhysics(arms).evaluate(qpos, qvel, qacc)
    moved = alone.torque + base_torques(arms, qpos, qvel, base_motion(path, FPS))
    columns = [body.reduced.joint_names.index(name) for name in arms.reduced.joint_names]
    own = [arms.actuated.joint_names.index(name) for name in arms.reduced.joint_names]
    expected, size = ref.torque[INNER][:, columns], np.sqrt(np.mean(ref.torque[INNER][:, columns] ** 2, axis=0))
    error = lambda torque: np.sqrt(np.mean((torque[INNER][:, own] - expected) ** 2, axis=0)) / size  # noqa: E731
    assert error(moved).max() < 0.01
    assert error(alone.torque).max() > 0.5


def test_a_still_upright_base_adds_nothing(arms: TargetBody, body: TargetBody) -> None:
    qpos, _ = arms_of(arms, body, lively_motion(body, nframe=8, fps=FPS))
    qvel = filtered_motion(qpos, FPS, np.inf, free=False)[0]
    assert np.abs(base_torques(arms, qpos, qvel, np.tile(STILL, (8, 1, 1)))).max() < 1e-9


def test_a_falling_base_has_no_weight(arms: TargetBody, body: TargetBody) -> None:
    """At rest in free fall no torque remains."""
    qpos, _ = arms_of(arms, body, lively_motion(body, nframe=8, fps=FPS))
    rest = np.zeros_like(qpos)
    falling = np.tile(STILL, (8, 1, 1))
    falling[:, 1] = GRAVITY
    total = MujocoPhysics(arms).evaluate(qpos, rest, rest).torque + base_torques(arms, qpos, rest, falling)
    assert np.abs(total).max() < 1e-9


def test_motion_of_a_base_on_a_tilted_carousel() -> None:
    """Steady rotation at radius r about a tilted axis, and gravity as the base sees it."""
    rate, radius, time = 1.3, 0.7, np.arange(400)[:, None] / FPS
    tilt = Rotation.from_rotvec([0.4, 0.0, 0.0])
    rot = tilt * Rotation.from_rotvec(time * rate * [0.0, 0.0, 1.0])
    path = BasePath(rot.apply([radius, 0.0, 0.0]), rot.as_matrix())
    motion = base_motion(path, FPS)[INNER]
    np.testing.assert_allclose(motion[:, 0], rot.inv().apply(np.tile(GRAVITY, (400, 1)))[INNER], atol=1e-12)
    np.testing.assert_allclose(motion[:, 1], np.tile([-radius * rate**2, 0.0, 0.0], (len(motion), 1)), atol=1e-4)
    np.testing.assert_allclose(motion[:, 2], np.tile([0.0, 0.0, rate], (len(motion), 1)), atol=1e-9)
    np.testing.assert_allclose(motion[:, 3], 0.0, atol=1e-6)
