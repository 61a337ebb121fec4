"""What a motion requires of the ground, which parts bear, and the forces of the ground."""

import mujoco
import numpy as np
import pytest

from musclemap.retarget.forces.bearing import BearingThresholds, detect_bearing
from musclemap.retarget.forces.contact_forces import GRAVITY, ContactForces, ContactForceSolver, load_sharing
from musclemap.retarget.forces.required_forces import accelerations, required_forces
from musclemap.retarget.forces.roll_over import roll_over
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.support import SupportPoints

from ..support.configurations import on_the_ground, standing

FPS = 100.0


def still(
    body: TargetBody, *, turn: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0), **joints: float
) -> np.ndarray:
    """A body that holds still on the ground for a second, shape (100, nq)."""
    q = standing(body.reduced)
    q[3:7] = turn
    for name, value in joints.items():
        q[7 + body.reduced.index(name)] = value
    return on_the_ground(body, np.tile(q, (100, 1)))


def forces_of(body: TargetBody, qpos: np.ndarray) -> tuple[np.ndarray, ContactForces, np.ndarray]:
    required = required_forces(body, qpos, FPS)
    load = required.wrench[:, 2] / (body.mass * GRAVITY)
    bearing = detect_bearing(body.support, required.points, load, required.com, FPS)
    rolling = roll_over(body.support, required.points, bearing, required.com, FPS)
    solver = ContactForceSolver(body, friction=0.8, residual_weight=100.0)
    forces = solver(required.wrench, required.points, qpos[:, :3], load_sharing(bearing, FPS), rolling)
    return bearing, forces, required.wrench


def test_momentum_matrix_is_that_of_mujoco(body: TargetBody) -> None:
    """Momentum of a random motion equals the sum over bodies, and its rate is the force beyond gravity."""
    rng = np.random.default_rng(0)
    q = np.tile(standing(body.reduced), (5, 1))
    rate = rng.normal(size=body.reduced.ndof)
    step = np.arange(-2, 3)[:, None] / 1000.0
    q[:, :3] += step * rate[:3]
    q[:, 7:] += step * rate[6:]
    required = required_forces(body, body.reduced.expand(q), 1000.0, momentum=True)
    assert required.momentum is not None
    momentum = required.momentum[2] @ np.concatenate([rate[:3], np.zeros(3), rate[6:]])
    velocity = np.gradient(required.com, 1e-3, axis=0)[2]
    np.testing.assert_allclose(momentum[:3], body.mass * velocity, atol=1e-3 * body.mass)
    np.testing.assert_allclose(required.momentum[2, :3, :3], body.mass * np.eye(3), atol=1e-9)
    model, data = body.kinematic_model, mujoco.MjData(body.kinematic_model)
    data.qpos[:] = body.reduced.expand(q)[2]
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_crb(model, data)
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    np.testing.assert_allclose(required.momentum[2, :, :3], inertia[:6, :3], atol=1e-9)


def test_accelerations_are_second_differences(body: TargetBody) -> None:
    """A body that falls freely: the acceleration is that of gravity, and nothing is required of the ground."""
    time = np.arange(40) / FPS
    qpos = np.tile(body.reduced.expand(standing(body.reduced)[None]), (40, 1))
    qpos[:, 2] += 3.0 * time - 0.5 * GRAVITY * time**2
    np.testing.assert_allclose(accelerations(qpos, FPS)[:, 2], -GRAVITY, atol=1e-6)
    wrench = required_forces(body, qpos, FPS).wrench
    np.testing.assert_allclose(wrench, 0.0, atol=1e-5 * body.mass * GRAVITY)


@pytest.mark.parametrize(
    ("turn", "parts"),
    [
        ((1.0, 0.0, 0.0, 0.0), {"left_foot", "right_foot"}),
        ((np.sqrt(0.5), -np.sqrt(0.5), 0.0, 0.0), {"pelvis", "trunk"}),  # on the back: the model faces -y
        ((0.0, 1.0, 0.0, 0.0), {"head"}),  # upside down
    ],
    ids=["standing", "lying", "headstand"],
)
def test_the_parts_that_touch_bear_the_weight(
    body: TargetBody, turn: tuple[float, float, float, float], parts: set[str]
) -> None:
    bearing, forces, wrench = forces_of(body, still(body, turn=turn))
    found = {name for name, bears in zip(body.support_names, bearing[50], strict=True) if bears}
    assert parts & found
    feet = {"left_foot", "right_foot"}
    assert found == feet if parts == feet else not found & feet
    np.testing.assert_allclose(forces.force[50].sum(axis=0)[2], body.mass * GRAVITY, rtol=0.02)
    idle = [k for k, name in enumerate(body.support_names) if name not in found]
    np.testing.assert_array_equal(forces.force[50][idle], 0.0)
    np.testing.assert_allclose(forces.force.sum(axis=1), forces.wrench[:, :3], atol=1e-6)
    np.testing.assert_allclose(forces.body_force.sum(axis=1), forces.wrench[:, :3], atol=1e-6)
    assert abs(wrench - forces.wrench)[50, 2] < 0.02 * body.mass * GRAVITY


def test_forces_of_a_frame_do_not_depend_on_others(body: TargetBody) -> None:
    """Frames on the feet and frames on the back have problems of different sizes, and are solved in batches."""
    on_feet = still(body)
    on_back = still(body, turn=(np.sqrt(0.5), -np.sqrt(0.5), 0.0, 0.0))
    alone = [forces_of(body, qpos)[1] for qpos in (on_feet, on_back)]
    mixed = np.concatenate([on_feet[:60], on_back[:60]])
    required = required_forces(body, mixed, FPS)
    bearing = np.concatenate([forces_of(body, q)[0][:60] for q in (on_feet, on_back)])
    rolling = roll_over(body.support, required.points, bearing, required.com, FPS)
    solver = ContactForceSolver(body, friction=0.8, residual_weight=100.0)
    forces = solver(required.wrench, required.points, mixed[:, :3], load_sharing(bearing, FPS), rolling)
    for frame, (part, other) in {20: (0, 20), 100: (1, 40)}.items():
        scale = 1e-3 * body.mass * GRAVITY
        np.testing.assert_allclose(forces.force[frame], alone[part].force[other], atol=scale)
        np.testing.assert_allclose(forces.wrench[frame], alone[part].wrench[other], atol=scale)


def test_centre_of_pressure_is_below_the_centre_of_mass_at_rest(body: TargetBody) -> None:
    qpos = still(body, hip_flexion_r=0.0, hip_flexion_l=0.0, knee_angle_r=0.0, knee_angle_l=0.0)
    _, forces, _ = forces_of(body, qpos)
    com = required_forces(body, qpos, FPS).com[50]
    share = forces.force[50, :2, 2] / forces.force[50, :2, 2].sum()
    centre = share @ forces.centre[50, :2]
    np.testing.assert_allclose(centre[:2], com[:2], atol=0.02)
    assert np.abs(forces.centre[50, :2, 2]).max() < 0.03  # under the soles
    assert (forces.force[50, :2, 2] > 0.3 * body.mass * GRAVITY).all()


def points_of_feet(height: np.ndarray, speed: np.ndarray) -> tuple[SupportPoints, np.ndarray]:
    """Two feet of one sphere each, of given height above the ground (n, 2) and speed (n, 2)."""
    eye = np.tile(np.eye(3), (2, 1, 1))
    support = SupportPoints(
        names=("left_foot", "right_foot"), part=np.array([0, 1]), body=np.array([1, 2]), carrier=np.array([0, 1]),
        offset=np.zeros((2, 3)), rot=eye, size=np.full((2, 3), 0.02),
    )  # fmt: skip
    x = np.cumsum(speed, axis=0) / FPS
    return support, np.stack([x, np.zeros_like(x), height], axis=2)


def test_a_foot_bears_from_touch_down_to_lift_off() -> None:
    """It slows down to touch the ground, and is fast when it has left it; between the thresholds it keeps its state."""
    speed = np.full((100, 2), 3.0)
    speed[:, 0] = np.interp(np.arange(100), [0, 20, 30, 60, 80, 99], [3.0, 3.0, 0.0, 0.0, 3.0, 3.0])
    height = np.full((100, 2), 0.02)
    support, points = points_of_feet(height, speed)
    limits = BearingThresholds()
    com = np.outer(np.arange(100) / FPS, [limits.pace, 0.0, 0.0])
    load = np.zeros(100)
    load[15:85] = 1.0
    bearing = detect_bearing(support, points, load, com, FPS)
    on = 20 + 10 * (1 - limits.begin_speed / 3.0)
    off = 60 + 20 * limits.end_speed / 3.0
    start, stop = np.flatnonzero(np.diff(bearing[:, 0].astype(int))) + 1
    assert abs(start - on) <= 1.5
    assert abs(stop - off) <= 1.5
    assert not bearing[:, 1].any()


def test_nothing_bears_in_flight_or_in_the_air() -> None:
    support, points = points_of_feet(np.full((100, 2), 0.01), np.zeros((100, 2)))
    load = np.ones(100)
    load[40:60] = 0.0
    bearing = detect_bearing(support, points, load, np.zeros((100, 3)), FPS)
    assert bearing[:40].all()
    assert not bearing[40:60].any()
    support, points = points_of_feet(np.full((100, 2), 0.3), np.zeros((100, 2)))
    assert not detect_bearing(support, points, np.ones(100), np.zeros((100, 3)), FPS).any()
    held = np.zeros((100, 2), bool)
    held[20:80, 0] = True  # the left foot stands on a step
    bearing = detect_bearing(support, points, np.ones(100), np.zeros((100, 3)), FPS, held=held)
    assert bearing[:, 0].all()
    assert not bearing[:, 1].any()


def test_a_foot_that_slips_bears_while_the_body_does_not_fall() -> None:
    """The foot that a kicker stands on turns at 0.6 m/s while the pelvis hardly moves; the other foot is faster."""
    speed = np.zeros((100, 2))
    speed[40:60] = [0.6, 1.6]
    support, points = points_of_feet(np.full((100, 2), 0.01), speed)
    com, load = np.zeros((100, 3)), np.ones(100)
    bearing = detect_bearing(support, points, load, com, FPS)
    assert bearing[:, 0].all()
    assert not bearing[43:57, 1].any()
    load[45:55] = 0.1  # now it falls, so the same feet are in flight
    assert not detect_bearing(support, points, load, com, FPS)[43:57].any()
    speed[40:60] = [1.3, 1.6]  # too fast for a foot that bears
    support, points = points_of_feet(np.full((100, 2), 0.01), speed)
    assert not detect_bearing(support, points, np.ones(100), com, FPS)[43:57].any()


def test_a_foot_that_steps_low_and_slowly_does_not_bear() -> None:
    """The turn on the spot: a foot moves 1 cm above the ground at 0.35 m/s, beside one that stands."""
    speed = np.zeros((100, 2))
    speed[30:60, 0] = 0.35
    support, points = points_of_feet(np.full((100, 2), 0.01), speed)
    held = speed < 0.25
    bearing = detect_bearing(support, points, np.ones(100), np.zeros((100, 3)), FPS, held=held)
    np.testing.assert_array_equal(bearing, held)
    held[30:60] = False  # both slide: nothing says that either steps
    assert detect_bearing(support, points, np.ones(100), np.zeros((100, 3)), FPS, held=held).all()


def test_a_foot_that_a_standing_body_lifts_slowly_soon_bears_no_more() -> None:
    """It leaves the ground at 0.3 m/s; a walker's foot, which leaves it faster, may be higher at the same instant."""
    height = np.full((100, 2), 0.005)
    height[40:, 0] += 0.003 * np.arange(60)
    support, points = points_of_feet(height, np.zeros((100, 2)))
    bearing = detect_bearing(support, points, np.ones(100), np.zeros((100, 3)), FPS)
    assert bearing[:40].all()
    assert not bearing[50:, 0].any()
    assert bearing[:, 1].all()


def test_the_feet_of_a_runner_may_be_faster() -> None:
    support, points = points_of_feet(np.full((100, 2), 0.02), np.full((100, 2), 2.0))
    forward = np.zeros((100, 3))
    assert not detect_bearing(support, points, np.ones(100), forward, FPS).any()
    forward[:, 0] = 4.0 * np.arange(100) / FPS
    assert detect_bearing(support, points, np.ones(100), forward, FPS).all()


def test_load_transfers_smoothly_between_the_feet() -> None:
    """In a step the right foot lands 20 frames before the left one lifts."""
    bearing = np.zeros((120, 3), bool)
    bearing[:60, 0] = bearing[40:, 1] = True
    load = load_sharing(bearing, FPS)
    assert (load[~bearing] == 0).all()
    np.testing.assert_array_equal(load[:40, 0], 1.0)
    np.testing.assert_array_equal(load[61:, 1], 1.0)
    assert np.abs(np.diff(load, axis=0)).max() < 0.15
    np.testing.assert_allclose(load.sum(axis=1)[40:60], 1.0, atol=0.15)
    np.testing.assert_array_equal(load_sharing(np.ones((50, 3), bool), FPS), 1.0)
