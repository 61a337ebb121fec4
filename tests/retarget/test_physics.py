"""What the checks take from the engines: MuJoCo C by its own inverse dynamics, MuJoCo Warp by MuJoCo C."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from scipy.optimize import lsq_linear

from musclemap.datasets.clip import Clip
from musclemap.retarget.checks.bounded_least_squares import bounded_least_squares
from musclemap.retarget.checks.inverse_dynamics import (
    GRAVITY,
    GroundReactionSolver,
    filtered_motion,
    load_sharing,
    static_optimisation,
)
from musclemap.retarget.checks.physics_checks import FramePhysics, MujocoPhysics
from musclemap.retarget.checks.validator import Validator
from musclemap.retarget.checks.warp_physics import WarpPhysics
from musclemap.retarget.config import ValidationConfig
from musclemap.skeletons.body import TargetBody

FRAMES = slice(90, 114)


def motion(clip: Clip) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    qvel, qacc = filtered_motion(clip.qvel, clip.fps, ValidationConfig().cutoff)
    return clip.qpos[FRAMES].astype(np.float64), qvel[FRAMES], qacc[FRAMES]


@pytest.fixture(scope="module")
def result(body: TargetBody, walk_clip: Clip) -> FramePhysics:
    return MujocoPhysics(body).evaluate(*motion(walk_clip), muscles=True)


def test_forces_are_those_of_mujocos_inverse_dynamics(body: TargetBody, walk_clip: Clip, result: FramePhysics) -> None:
    qpos, qvel, qacc = motion(walk_clip)
    model, data = body.model, mujoco.MjData(body.model)
    slope = np.zeros(model.nv)
    for t in (0, 7, 23):
        data.qpos[:], data.qvel[:], data.qacc[:] = qpos[t], qvel[t], qacc[t]
        mujoco.mj_inverse(model, data)
        force = data.qfrc_inverse + data.qfrc_constraint  # what is needed were there no constraints
        np.testing.assert_allclose(result.wrench[t, :3], force[:3], atol=1e-6)
        turned = data.xmat[model.jnt_bodyid[0]].reshape(3, 3) @ force[3:6]
        np.testing.assert_allclose(result.wrench[t, 3:], turned, atol=1e-6)
        # virtual work of the independent knee, its driven joints moving along
        q = body.reduced.reduce(qpos[t : t + 1]).repeat(2, axis=0)
        k = body.reduced.index("knee_angle_r")
        q[:, 7 + k] += [-1e-5, 1e-5]
        ends = body.reduced.expand(q)
        mujoco.mj_differentiatePos(model, slope, 2e-5, ends[0], ends[1])
        assert result.torque[t, k] == pytest.approx(slope @ force, abs=1e-3)


def test_moment_arms_are_the_change_of_length(body: TargetBody, walk_clip: Clip, result: FramePhysics) -> None:
    """d length / d joint with the driven joints moving along, by central differences."""
    assert result.muscles is not None
    qpos, step = motion(walk_clip)[0], 1e-4
    for name in ("knee_angle_r", "shoulder_elv_l", "flex_extension", "ankle_angle_r"):
        k = body.reduced.index(name)
        q = body.reduced.reduce(qpos[5:6]).repeat(2, axis=0)
        q[:, 7 + k] += [-step, step]
        zero = np.zeros((2, body.model.nv))
        ends = MujocoPhysics(body, threads=1).evaluate(body.reduced.expand(q), zero, zero).muscle_length
        slope = (ends[1].astype(float) - ends[0]) / (2 * step)
        np.testing.assert_allclose(result.muscles.moment[5, :, k], slope, atol=5e-4)


def test_threads_and_stretches_change_nothing(body: TargetBody, walk_clip: Clip) -> None:
    parts = [np.tile(a, (30, 1)) for a in motion(walk_clip)]  # more frames than one thread takes at a time
    one, two = (MujocoPhysics(body, threads=n).evaluate(*parts) for n in (1, 3))
    for name in ("lowest", "muscle_length", "wrench", "torque", "contact_frame", "contact_dist"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_warp_finds_what_mujoco_c_finds(body: TargetBody, walk_clip: Clip, capfd: pytest.CaptureFixture[str]) -> None:
    """On the CPU, in batches that do not divide the frames, with a hand in the thigh."""
    qpos, qvel, qacc = motion(walk_clip)
    q = body.reduced.reduce(qpos)
    q[3:6, 7 + body.reduced.index("hip_adduction_r")] = 0.3  # one thigh in the other
    qpos = body.reduced.expand(q)
    mine = MujocoPhysics(body).evaluate(qpos, qvel, qacc, muscles=True)
    engine = WarpPhysics(body, nworld=9, device="cpu")
    theirs = engine.evaluate(qpos, qvel, qacc, muscles=True)
    assert capfd.readouterr().out == ""  # commands print JSON there
    assert mine.muscles is not None
    assert theirs.muscles is not None
    np.testing.assert_allclose(theirs.lowest, mine.lowest, atol=1e-4)
    np.testing.assert_allclose(theirs.muscle_length, mine.muscle_length, atol=1e-4)
    np.testing.assert_allclose(theirs.wrench, mine.wrench, atol=0.01 * np.abs(mine.wrench).max())
    np.testing.assert_allclose(theirs.torque, mine.torque, atol=0.01 * np.abs(mine.torque).max())
    np.testing.assert_allclose(theirs.muscles.active, mine.muscles.active, rtol=0.01, atol=0.5)
    np.testing.assert_allclose(theirs.muscles.passive, mine.muscles.passive, rtol=0.01, atol=0.5)
    np.testing.assert_allclose(theirs.muscles.moment, mine.muscles.moment, atol=1e-4)
    assert len(mine.contact_dist)

    def deepest(physics: FramePhysics) -> dict[tuple[int, int, int], float]:
        touches = zip(physics.contact_frame, physics.contact_geoms, physics.contact_dist, strict=True)
        return {(int(t), int(a), int(b)): float(d) for t, (a, b), d in touches if d < -1e-4}

    a, b = deepest(mine), deepest(theirs)
    assert a.keys() == b.keys()
    assert max(abs(a[key] - b[key]) for key in a) < 1e-4
    assert not theirs.overflow.any()

    rows = ("qpos", "qvel", "landmark_pos", "target_pos", "contact")
    part = replace(walk_clip, **{name: getattr(walk_clip, name)[FRAMES] for name in rows})
    by_c, by_warp = (Validator(body, ValidationConfig(), physics=p).check(part).metrics for p in (None, engine))
    assert by_c.keys() == by_warp.keys()
    for name, value in by_c.items():
        length = 0.1 if name.endswith("_mm") else 1e-4  # a tenth of a millimetre, or of a milliradian
        assert by_warp[name] == pytest.approx(value, rel=0.01, abs=length), name


def test_warp_tells_of_contacts_that_do_not_fit(
    body: TargetBody, walk_clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musclemap.retarget.checks.warp_physics.CONTACTS_PER_WORLD", 2)
    qpos, qvel, qacc = motion(walk_clip)
    q = body.reduced.reduce(qpos)
    q[:, 2] -= 0.2
    qpos = body.reduced.expand(q)
    assert WarpPhysics(body, nworld=9, device="cpu").evaluate(qpos[:9], qvel[:9], qacc[:9]).overflow.any()


@pytest.mark.parametrize(("rows", "columns", "upper"), [(6, 128, np.inf), (31, 416, 1.0)])
def test_bounded_least_squares_against_scipy(rows: int, columns: int, upper: float) -> None:
    rng = np.random.default_rng(rows)
    a = (
        rng.normal(size=(8, rows, columns))
        * (rng.random((8, rows, columns)) < 0.3)
        * rng.uniform(1, 50, (8, 1, columns))
    )
    b = rng.normal(size=(8, rows)) * rng.choice([1.0, 100.0, 3000.0], (8, 1))
    single = a.astype(np.float32), b.astype(np.float32)
    x = np.asarray(bounded_least_squares(*single, weight=1.0, upper=upper), np.float64)
    assert (x >= 0).all()
    assert (x <= upper).all()
    for k in range(8):
        cost = lambda v, k=k: 0.5 * v @ v + 0.5 * np.sum((a[k] @ v - b[k]) ** 2)  # noqa: E731
        stacked, expected = np.vstack([a[k], np.eye(columns)]), np.concatenate([b[k], np.zeros(columns)])
        best = lsq_linear(stacked, expected, bounds=(0.0, upper), tol=1e-12).x
        assert cost(x[k]) <= 1.002 * cost(best) + 1e-6


def test_the_ground_carries_who_stands(body: TargetBody, walk_clip: Clip) -> None:
    """Standing still: all of the weight, no residual, and the pressure inside the feet."""
    qpos = walk_clip.qpos[100:101].repeat(5, axis=0).astype(np.float64)
    zero = np.zeros((5, body.model.nv))
    physics = MujocoPhysics(body).evaluate(qpos, zero, zero)
    ground = GroundReactionSolver(body, friction=0.8, reach=0.03)(physics, qpos, np.ones((5, 4)))
    weight = body.model.body_mass.sum() * GRAVITY
    np.testing.assert_allclose(ground.force.sum(axis=1)[:, 2], weight, rtol=0.01)
    assert np.linalg.norm(ground.residual_force, axis=1).max() < 0.01 * weight
    airborne = GroundReactionSolver(body, friction=0.8, reach=0.03)(physics, qpos, np.zeros((5, 4)))
    np.testing.assert_allclose(airborne.residual_force, physics.wrench[:, :3])
    np.testing.assert_array_equal(airborne.torque, physics.torque)


def test_activations_give_the_torques_they_are_asked_for(body: TargetBody, result: FramePhysics) -> None:
    """Torques made by known activations are found again, by no more effort; what is beyond strength is told."""
    muscles = result.muscles
    assert muscles is not None
    rng = np.random.default_rng(0)
    true = np.where(rng.random(muscles.active.shape) < 0.3, rng.random(muscles.active.shape) * 0.5, 0.0)
    force = muscles.passive + muscles.active * true
    torque = np.einsum("tij,ti->tj", muscles.moment, force)
    effort = static_optimisation(result, torque)
    assert np.abs(effort.residual).max() < 0.5
    assert (effort.activation**2).sum() <= 1.01 * (true**2).sum()
    knee = body.reduced.index("knee_angle_r")
    torque[:, knee] -= 5000.0
    assert static_optimisation(result, torque).residual[:, knee].max() < -1000.0


def test_the_load_passes_smoothly_from_foot_to_foot() -> None:
    """A step: the right foot comes 20 frames before the left goes; heel before toes."""
    contact = np.zeros((120, 4), bool)
    contact[:60, 0:2] = True  # left heel and toe
    contact[:52, 0] = True
    contact[52:60, 0] = False
    contact[40:, 2] = True
    contact[44:, 3] = True
    share = load_sharing(contact, 100.0)
    assert (share[~contact] == 0).all()
    np.testing.assert_array_equal(share[:40, 1], 1.0)
    np.testing.assert_array_equal(share[61:, 2], 1.0)
    left, right = share[:, :2].max(axis=1), share[:, 2:].max(axis=1)
    assert np.abs(np.diff(left)).max() < 0.15
    assert np.abs(np.diff(right)).max() < 0.15
    np.testing.assert_allclose((left + right)[40:60], 1.0, atol=0.15)
    standing = load_sharing(np.ones((50, 4), bool), 100.0)
    np.testing.assert_array_equal(standing, 1.0)
