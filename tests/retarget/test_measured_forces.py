"""Measured ground forces: which foot is on which plate, the subject's mass, and inverse dynamics with known forces."""

from collections.abc import Callable
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.datasets.plates.plate_forces import LOADED, PlateForces, from_moments, joined
from musclemap.intervals import runs
from musclemap.retarget.checks.inverse_dynamics import GRAVITY, GroundReactionSolver, filtered_motion
from musclemap.retarget.checks.physics_checks import MujocoPhysics
from musclemap.retarget.checks.validator import Validator
from musclemap.retarget.config import ValidationConfig
from musclemap.retarget.forces.measured import FeetOfBoth, KnownForces, place_plates
from musclemap.retarget.forces.plates_under_feet import foot_on_plate, known_feet, overhang
from musclemap.retarget.forces.required_forces import required_forces
from musclemap.retarget.forces.roll_over import RollOver
from musclemap.skeletons.body import TargetBody

from ..support.configurations import on_the_ground, standing

FPS = 100.0
N = 150
LEFT, RIGHT = slice(0, 90), slice(60, 150)
"""Stances of the two feet of a step: double support from frame 60 to 90."""


def feet_at(left: tuple[float, float], right: tuple[float, float], nframe: int = N) -> np.ndarray:
    """Feet that point along y: ankles at two places, balls 0.13 m before them, shape (nframe, 2, 2, 3) [m]."""
    ankles = np.array([[*left, 0.08], [*right, 0.08]])
    return np.tile(np.stack([ankles, ankles + np.array([0.0, 0.13, -0.05])], axis=1), (nframe, 1, 1, 1))


def plates_of(*loads: tuple[slice, tuple[float, float]], corners: np.ndarray | None = None, feet=()) -> PlateForces:
    """Plates with 500 N at a point in some frames."""
    force, point = np.zeros((N, len(loads), 3)), np.zeros((N, len(loads), 3))
    for k, (frames, place) in enumerate(loads):
        force[frames, k, 2], point[:, k, :2] = 500.0, place
    return from_moments(
        names=tuple(f"p{k}" for k in range(len(loads))), feet=tuple(feet) or ("",) * len(loads),
        time=np.arange(N) / FPS, force=force, point=point, moment=np.zeros_like(force), corners=corners, source="",
        mass=None,
    )  # fmt: skip


def step_bearing() -> np.ndarray:
    bearing = np.zeros((N, 2), bool)
    bearing[LEFT, 0] = bearing[RIGHT, 1] = True
    return bearing


def array(clip: Clip, name: str) -> np.ndarray:
    """An array that the clip has."""
    values = getattr(clip, name)
    assert values is not None, name
    return values


ALWAYS = np.ones(N, bool)
A, B = (0.1, 0.0), (-0.1, 0.6)
"""Ankles of the left and the right foot of the step [m]."""


def on(centre: tuple[float, float]) -> tuple[float, float]:
    """A point of the sole before an ankle."""
    return centre[0], centre[1] + 0.05


def test_each_foot_on_its_plate() -> None:
    plates = plates_of((RIGHT, on(B)), (LEFT, on(A)))
    foot = foot_on_plate(plates, feet_at(A, B), step_bearing(), ALWAYS)
    ref = np.zeros((N, 2, 2), bool)
    ref[RIGHT, 0, 1] = ref[LEFT, 1, 0] = True
    np.testing.assert_array_equal(foot, ref)
    known, stands = known_feet(plates.force, foot, step_bearing(), threshold=LOADED)
    assert known.all()
    np.testing.assert_array_equal(stands, step_bearing())


def test_a_foot_beside_the_plates_is_unknown_until_it_leaves() -> None:
    plates = plates_of((LEFT, on(A)))
    foot = foot_on_plate(plates, feet_at(A, B), step_bearing(), ALWAYS)
    known, _ = known_feet(plates.force, foot, step_bearing(), threshold=LOADED)
    assert known[:, 0].all()
    np.testing.assert_array_equal(known[:, 1], ~step_bearing()[:, 1])


def test_walking_over_one_plate() -> None:
    """Double support, and the time by which its ends may be wrong, cannot be told apart; the rest can."""
    plates = plates_of((slice(0, N), (0.0, 0.3)))
    share = np.clip((np.arange(N) - 60) / 30, 0.0, 1.0)[:, None]
    plates.centre[:, 0, :2] = (1.0 - share) * on(A) + share * on(B)
    foot = foot_on_plate(plates, feet_at(A, B), step_bearing(), ALWAYS)[:, 0]
    assert foot[56:94].all()
    np.testing.assert_array_equal(foot[:56], np.tile([True, False], (56, 1)))
    np.testing.assert_array_equal(foot[94:], np.tile([False, True], (56, 1)))
    known, _ = known_feet(plates.force, foot[:, None], step_bearing(), threshold=LOADED)
    assert not known[56:94].any()
    assert known[:56].all()
    assert known[94:].all()


@pytest.mark.parametrize(("edge", "beyond"), [(0.5, 0.0), (0.25, 0.0), (0.1, 0.1015), (-0.06, 0.0)])
def test_a_foot_over_the_edge_of_its_plate(edge: float, beyond: float) -> None:
    """The left foot, from 0.052 m behind its ankle to 0.2015 m before it, on a plate that ends at `edge`.

    Its toes are over the edge by so much; with the plate behind the heel, it is on no plate. In frames with the heel
    raised nothing is said.
    """
    square = np.array([[0.3, edge, 0], [-0.1, edge, 0], [-0.1, edge - 0.6, 0], [0.3, edge - 0.6, 0]])
    centre = (A[0], min(edge - 0.02, 0.05))
    plates = plates_of((LEFT, centre), corners=square[None])
    feet = feet_at(A, B)
    feet[70:90, 0, 0, 2] += 0.05
    foot = foot_on_plate(plates, feet, step_bearing(), ALWAYS)
    if edge < 0.0:
        foot[:] = False
    over = overhang(plates, feet, foot)
    np.testing.assert_allclose(over[:70, 0], beyond, atol=1e-9)
    assert not over[70:].any()
    assert not over[:, 1].any()
    assert not overhang(replace(plates, corners=None), feet, foot).any()


@pytest.mark.parametrize("corners", [True, False])
def test_standing_on_one_plate_or_two(corners: bool) -> None:
    both = np.ones((N, 2), bool)
    left, right = (0.12, 0.0), (-0.12, 0.0)
    square = np.array([[0.3, 0.3, 0], [-0.3, 0.3, 0], [-0.3, -0.3, 0], [0.3, -0.3, 0]])
    one = plates_of((slice(0, N), (0.0, 0.05)), corners=square[None] if corners else None)
    assert foot_on_plate(one, feet_at(left, right), both, ALWAYS).all()
    halves = np.array([square * [0.5, 1, 1] + [0.15, 0, 0], square * [0.5, 1, 1] - [0.15, 0, 0]])
    two = plates_of((slice(0, N), on(left)), (slice(0, N), on(right)), corners=halves if corners else None)
    foot = foot_on_plate(two, feet_at(left, right), both, ALWAYS)
    np.testing.assert_array_equal(foot, np.tile(np.eye(2, dtype=bool), (N, 1, 1)))


def test_loads_without_a_foot_stated_feet_and_times_without_record() -> None:
    stray = plates_of((LEFT, (2.0, 2.0)))
    assert not foot_on_plate(stray, feet_at(A, B), step_bearing(), ALWAYS).any()
    stated = plates_of((LEFT, (2.0, 2.0)), feet=("right",))
    np.testing.assert_array_equal(
        foot_on_plate(stated, feet_at(A, B), step_bearing(), ALWAYS)[:, 0], stated.loaded * [False, True]
    )
    covered = ALWAYS.copy()
    covered[100:] = False
    foot = foot_on_plate(plates_of((LEFT, on(A))), feet_at(A, B), step_bearing(), covered)
    assert foot[100:].all()
    assert not foot[90:100].any()


@pytest.mark.parametrize("stated", [None, 71.0])
def test_mass_by_newtons_law(stated: float | None) -> None:
    """A body that bobs for part of a period: the mean force is off, its impulse less the change of momentum is not."""
    mass, time = 68.0, np.arange(N) / FPS
    height, rate = 0.06, 2 * np.pi * 1.0
    force = np.zeros((N, 2, 3))
    force[..., 2] = 0.5 * mass * (GRAVITY - height * rate**2 * np.sin(rate * time))[:, None]
    point = np.tile([[0.1, 0.05, 0.0], [-0.1, 0.05, 0.0]], (N, 1, 1))
    plates = from_moments(names=("a", "b"), feet=("", ""), time=time, force=force, point=point,
                          moment=np.zeros_like(force), corners=None, source="", mass=stated)  # fmt: skip
    scale = 0.9
    source = feet_at((0.1, 0.0), (-0.1, 0.0))
    shift = np.array([0.02, -0.03, 0.01])
    feet = FeetOfBoth(source=source, clip=scale * source + shift, travel=np.zeros((N, 3)), sole=np.full((N, 2), 0.002),
                      bearing=np.ones((N, 2), bool), height=scale * (1.0 + height * np.sin(rate * time)))  # fmt: skip
    placed = place_plates(plates, feet, FPS, scale=scale)
    assert abs(force[..., 2].sum(axis=1).mean() / GRAVITY / mass - 1.0) > 0.02
    assert placed.mass == stated if stated else placed.mass == pytest.approx(mass, rel=3e-3)
    assert placed.mass_source == ("stated" if stated else "impulse")
    assert placed.offset == 0.0
    np.testing.assert_allclose(placed.plates.centre[..., :2], scale * point[..., :2] + shift[:2], atol=1e-9)
    np.testing.assert_allclose(placed.plates.centre[..., 2], 0.002)
    np.testing.assert_array_equal(placed.fields()["plate_force"], force.astype(np.float32))


def test_forces_travel_with_the_belt_of_a_treadmill() -> None:
    """A foot that moves with the belt over its plate stands in the clip, and so does a force that stays under it."""
    back = np.arange(N)[:, None] / FPS * np.array([0.0, -1.2, 0.0])
    plates = plates_of((slice(0, N), (0.0, 0.0)))
    plates.centre[:, 0] = np.array([0.1, 0.05, 0.0]) + back
    source = feet_at((0.1, 0.0), (-0.4, 0.9)) + back[:, None, None]
    bearing = np.tile([True, False], (N, 1))
    feet = FeetOfBoth(source=source, clip=0.9 * source, travel=-0.9 * back, sole=np.zeros((N, 2)), bearing=bearing,
                      height=np.ones(N))  # fmt: skip
    placed = place_plates(plates, feet, FPS, scale=0.9)
    assert placed.foot[:, 0, 0].all()
    np.testing.assert_allclose(placed.plates.centre[:, 0], np.tile([0.09, 0.045, 0.0], (N, 1)), atol=1e-9)


def test_two_plates_under_one_foot_are_one_force() -> None:
    force = np.array([[[10.0, 5.0, 300.0], [-4.0, 2.0, 500.0]]])
    centre = np.array([[[0.1, 0.2, 0.0], [0.15, 0.3, 0.0]]])
    total, place, free = joined(force, centre, np.array([[2.0, -1.0]]))
    moment = np.cross(place, total)[0] + np.array([0.0, 0.0, free[0]])
    np.testing.assert_allclose(total[0], force[0].sum(axis=0))
    np.testing.assert_allclose(moment, np.cross(centre, force)[0].sum(axis=0) + np.array([0, 0, 1.0]), atol=1e-9)


def test_known_forces_act_as_they_are(body: TargetBody) -> None:
    """Moments of joints above the feet change by the transposed Jacobian of the point of application, and the residual
    by the wrench, whatever the foot of the body could press."""
    nframe = 4
    qpos = on_the_ground(body, np.tile(standing(body.reduced), (nframe, 1)))
    required = required_forces(body, qpos, FPS)
    physics = MujocoPhysics(body).evaluate(qpos, *filtered_motion(qpos, FPS, np.inf))
    solver = GroundReactionSolver(body, friction=0.8, force_weight=100.0)
    ankle = required.points[:, body.support.part == 0].mean(axis=1)
    centre = np.stack([ankle + np.array([0.02, -0.05, 0.0]), np.zeros((nframe, 3))], axis=1)
    centre[..., 2] = 0.0
    force = np.tile([[60.0, -90.0, 700.0], [0.0, 0.0, 0.0]], (nframe, 1, 1))
    known = KnownForces(known=np.ones((nframe, 2), bool), bearing=np.tile([True, False], (nframe, 1)), force=force,
                        centre=centre, free_moment=np.tile([6.0, 0.0], (nframe, 1)))  # fmt: skip
    load = np.ones((nframe, len(body.support_names))) * [1, 1, *[0] * (len(body.support_names) - 2)]
    rolling = RollOver(centre=np.zeros((nframe, 2, 2)), weight=np.zeros((nframe, 2)))
    ground = solver(physics, qpos, required.points, load, rolling, known=known)
    np.testing.assert_allclose(ground.force[:, 0], force[:, 0])
    np.testing.assert_array_equal(ground.force[:, 1:], 0.0)
    np.testing.assert_allclose(ground.centre[:, 0], centre[:, 0])
    np.testing.assert_allclose(ground.residual_force, physics.wrench[:, :3] - force[:, 0], atol=1e-6)
    arm = centre[:, 0] - qpos[:, :3]
    moment = np.cross(arm, force[:, 0]) + np.array([0.0, 0.0, 6.0])
    np.testing.assert_allclose(ground.residual_torque, physics.wrench[:, 3:] - moment, atol=1e-6)
    model, data = body.kinematic_model, mujoco.MjData(body.kinematic_model)
    data.qpos[:] = qpos[0]
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    full = np.zeros(model.nv)
    hindfoot = int(body.support.body[body.support.part == 0][0])
    mujoco.mj_applyFT(model, data, force[0, 0], np.array([0.0, 0.0, 6.0]), centre[0, 0], hindfoot, full)
    ref = physics.torque[:1] - body.reduced.to_independent(full[None], body.reduced.slope(qpos[:1]))
    others = [k for k, name in enumerate(body.reduced.joint_names) if not name.startswith("mtp")]
    np.testing.assert_allclose(ground.torque[0, others], ref[0, others], atol=1e-6)


@pytest.fixture(scope="module")
def plated(walk_clip: Clip, body: TargetBody) -> Clip:
    """The walk with plates that measured, on a subject of 60 kg, just what was estimated for the body."""
    force = array(walk_clip, "ground_force")[:, :2] * np.float32(60.0 / body.mass)
    foot = np.zeros((walk_clip.nframe, 2, 2), np.uint8)
    foot[:, [0, 1], [0, 1]] = force[..., 2] >= LOADED
    return replace(
        walk_clip, plate_names=("a", "b"), plate_force=force,
        plate_centre=array(walk_clip, "centre_of_pressure")[:, :2],
        plate_free_moment=np.zeros((walk_clip.nframe, 2), np.float32), plate_foot=foot, force_source="a 0",
        metrics={**walk_clip.metrics, "subject_mass_kg": 60.0, "subject_mass_source": "stated"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def validate(body: TargetBody) -> Callable[..., Clip]:
    validators = {forces: Validator(body, ValidationConfig(forces=forces)) for forces in ("measured", "estimated")}
    return lambda clip, forces: validators[forces].validate(clip)


def test_forces_equal_to_the_estimate_change_nothing(
    plated: Clip, walk_clip: Clip, body: TargetBody, validate: Callable[..., Clip]
) -> None:
    """Forces are used in multiples of body weight; measured, or as the estimate to compare with."""
    checked = validate(plated, "measured")
    assert array(checked, "measured").all()
    force = array(walk_clip, "ground_force")[:, :2]
    force = np.where(force[..., 2:] * 60 / body.mass >= LOADED, force, 0.0)
    np.testing.assert_allclose(array(checked, "ground_force")[:, :2], force, atol=0.1)
    sagittal = [k for k, name in enumerate(body.reduced.joint_names) if name[:5] in ("ankle", "knee_", "hip_f")]
    difference = np.abs(array(checked, "joint_moment") - array(walk_clip, "joint_moment"))[5:-5, sagittal]
    assert difference.max() < 12.0  # of up to 150 Nm; the free moment and loads below the threshold are left out
    metrics = checked.metrics
    assert metrics["forces"] == "measured"
    assert metrics["plate_frames_fraction"] == 1.0
    for side in ("left", "right"):
        assert metrics[f"estimate_r_{side}"] > 0.97
        assert metrics[f"estimate_rms_bw_{side}"] < 0.1
    assert metrics["estimate_event_ms"] < 40.0
    assert metrics["estimate_events_missed"] == 0.0
    doubled = replace(plated, metrics={**plated.metrics, "subject_mass_kg": 120.0})
    half = validate(doubled, "measured")
    halves = 0.5 * array(checked, "ground_force")[:, :2]
    np.testing.assert_allclose(array(half, "ground_force")[:, :2], halves, atol=0.1)
    assert half.metrics["residual_force_bw"] > 0.3
    assert half.verdict != "feasible"


def test_the_setting_switches_there_and_back(plated: Clip, validate: Callable[..., Clip]) -> None:
    measured = validate(plated, "measured")
    estimated = validate(measured, "estimated")
    assert estimated.measured is None
    assert estimated.estimated_force is None
    assert estimated.metrics["forces"] == "estimated"
    np.testing.assert_allclose(array(estimated, "ground_force"), array(measured, "estimated_force"), atol=0.5)
    for key in ("estimate_r_left", "estimate_rms_bw_right", "estimate_event_ms"):
        assert estimated.metrics[key] == pytest.approx(measured.metrics[key], abs=1e-3)
    again = validate(estimated, "measured")
    np.testing.assert_allclose(array(again, "ground_force"), array(measured, "ground_force"), atol=0.5)
    np.testing.assert_array_equal(array(again, "bearing"), array(measured, "bearing"))


def test_frames_without_measurement_are_estimated(
    plated: Clip, body: TargetBody, validate: Callable[..., Clip]
) -> None:
    """A stance beside the plates: its force is what the motion requires beyond the force on the other foot."""
    start, stop = runs(array(plated, "plate_foot")[:, 0, 0] > 0)[1]
    force, foot = array(plated, "plate_force").copy(), array(plated, "plate_foot").copy()
    force[start:stop, 0], foot[start:stop, 0] = 0.0, 0
    checked = validate(replace(plated, plate_force=force, plate_foot=foot), "measured")
    inside = slice(start + 5, stop - 5)
    assert not array(checked, "measured")[inside, 0].any()
    assert array(checked, "measured")[:, 1].all()
    full = validate(plated, "measured")
    np.testing.assert_allclose(array(checked, "ground_force")[inside, 0, 2], array(full, "ground_force")[inside, 0, 2],
                               atol=0.06 * body.mass * GRAVITY)  # fmt: skip
    shared = array(plated, "plate_foot").copy()
    shared[:, 0] = 1
    both = validate(replace(plated, plate_foot=shared), "measured")
    assert both.measured is None
    assert both.metrics["forces"] == "estimated"
    assert both.metrics["plate_frames_fraction"] == 0.0


def test_plates_without_a_mass_are_only_kept(plated: Clip, validate: Callable[..., Clip]) -> None:
    metrics = {key: value for key, value in plated.metrics.items() if key != "subject_mass_kg"}
    checked = validate(replace(plated, metrics=metrics), "measured")
    assert checked.measured is None
    assert checked.plate_force is array(plated, "plate_force")
