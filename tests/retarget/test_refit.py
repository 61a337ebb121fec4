"""Refits: clips with self-collisions are fitted again to separate the limbs, and their metrics record the change."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.amass.reader import SourceMotion
from musclemap.datasets.clip import Clip
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.retarget.checks.physics_checks import neutral_pairs
from musclemap.retarget.retargeter import Retargeter
from musclemap.retarget.solver.refit import accept_refit, blend, needs_refit, refit_share
from musclemap.retarget.solver.self_collision import (
    CollisionCapsules,
    SelfCollisionTerm,
    _nearest_points,
    collision_capsules,
)
from musclemap.retarget.solver.terms import FrameTargets
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.kinematics import forward, integrate


@pytest.fixture(scope="module")
def capsules(body: TargetBody) -> CollisionCapsules:
    return collision_capsules(body, ignored_pairs=neutral_pairs(body.model, body.reduced.base))


def walk_with_colliding_legs() -> SourceMotion:
    """Walking with both thighs rotated inwards, so that the legs intersect."""
    motion = synthesise("walk_1.2", seconds=1.5)
    rotvec = motion.rotvec.copy()
    for joint, inward in ((1, -4.0), (2, 4.0)):
        rotated = Rotation.from_rotvec(rotvec[:, joint]) * Rotation.from_euler("z", inward, degrees=True)
        rotvec[:, joint] = rotated.as_rotvec()
    return replace(motion, rotvec=rotvec)


def test_distances_of_capsules_are_those_of_mujoco(body: TargetBody, capsules: CollisionCapsules) -> None:
    """To 1 mm, because the solver's body is the symmetric version of the model."""
    model, rng = body.model, np.random.default_rng(0)
    fraction = rng.uniform(0.3, 0.7, (8, body.reduced.njoint))
    joints = body.reduced.lower + fraction * (body.reduced.upper - body.reduced.lower)
    q = np.concatenate([np.tile([0.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0], (8, 1)), joints], axis=1)
    ends = forward(capsules.tree, jnp.asarray(q.T)).point_pos[capsules.first :]
    low, high = ends[0::2], ends[1::2]
    one, two = capsules.pairs.T
    a, b = _nearest_points(low[one], high[one] - low[one], low[two], high[two] - low[two])
    distance = np.linalg.norm(np.asarray(a - b), axis=1) - (capsules.radius[one] + capsules.radius[two])[:, None]
    data, compared = mujoco.MjData(model), 0
    pairs = np.sort(np.stack([model.pair_geom1, model.pair_geom2], axis=1), axis=1).tolist()
    neutral = neutral_pairs(model, body.reduced.base)
    capsule = int(mujoco.mjtGeom.mjGEOM_CAPSULE)
    movable = [pair for pair in pairs if tuple(pair) not in neutral and min(model.geom_type[pair]) >= capsule]
    movable = [p for p in movable if max(model.geom_type[p]) <= int(mujoco.mjtGeom.mjGEOM_ELLIPSOID)]
    assert len(movable) == len(capsules.pairs)
    for frame, qpos in enumerate(body.reduced.expand(q)):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        for row, (g, h) in enumerate(movable):
            if model.geom_type[g] == capsule == model.geom_type[h]:
                expected = mujoco.mj_geomDistance(model, data, g, h, 10.0, None)
                assert distance[row, frame] == pytest.approx(expected, abs=1e-3)
                compared += 1
    assert compared > 500


def test_the_gradient_is_the_derivative_of_the_cost(body: TargetBody, capsules: CollisionCapsules) -> None:
    """By central differences in float64 along every degree of freedom, in a configuration with overlapping legs."""
    q = np.concatenate([[0.0, 0.0, 0.9, 1.0, 0.0, 0.0, 0.0], body.reduced.rest])
    q[7 + body.reduced.index("hip_adduction_r")] = 0.2
    q[7 + body.reduced.index("knee_angle_r")] = 0.3
    none = jnp.zeros((1, 1))
    targets = FrameTargets(**{name: none for name in FrameTargets._fields} | {"floor": jnp.zeros((2, 1))})
    with jax.enable_x64(True):
        term = SelfCollisionTerm(capsules=capsules, weight=100.0)
        evaluate = jax.jit(lambda p: term.normal(forward(capsules.tree, p), targets))
        start = jnp.asarray(q[:, None], jnp.float64)
        result = evaluate(start)
        assert float(result.cost[0]) > 1e-3
        step, differences = 1e-6, []
        for k in range(result.gradient.shape[0]):
            delta = jnp.zeros((result.gradient.shape[0], 1)).at[k].set(step)
            up, down = (float(evaluate(integrate(start, sign * delta)).cost[0]) for sign in (1, -1))
            differences.append((up - down) / (2 * step))
    np.testing.assert_allclose(result.gradient[:, 0], differences, rtol=1e-4, atol=1e-6)


def test_a_refit_separates_colliding_legs_and_moves_them_by_30_mm_at_most(retargeter: Retargeter) -> None:
    clip = retargeter.retarget([walk_with_colliding_legs()])[0].clip
    assert clip is not None
    assert clip.metrics["refitted"] == 1.0
    assert clip.metrics["refit_self_penetration_before_mm"] > 30.0
    assert clip.metrics["refit_verdict_before"] != "feasible"
    assert clip.metrics["self_penetration_mm"] < clip.metrics["refit_self_penetration_before_mm"] - 10.0
    assert 15.0 < clip.metrics["refit_moved_mm"] <= 30.0
    assert clip.metrics["joint_velocity_ratio"] < 1.0
    overlaps = clip.metrics["self_penetration_mm"] > 10.0
    assert overlaps == any(reason["rule"] == "self_penetration_mm" for reason in clip.reasons)


def with_verdict(clip: Clip, verdict: str, depth: float) -> Clip:
    metrics = {**clip.metrics, "self_penetration_mm": depth, "floor_penetration_mm": 0.0}
    return replace(clip, verdict=verdict, metrics=metrics, landmark_pos=clip.landmark_pos + 0.0005 * depth)


@pytest.mark.parametrize(
    ("verdict", "depth", "accepted"), [("warn", 5.0, True), ("infeasible", 5.0, False), ("warn", 40.0, False)]
)
def test_a_refit_is_accepted_only_if_it_is_better(walk_clip: Clip, verdict: str, depth: float, accepted: bool) -> None:
    before = with_verdict(walk_clip, "warn", 30.0)
    clip = accept_refit(before, with_verdict(walk_clip, verdict, depth))
    assert clip.metrics["refitted"] == float(accepted)
    assert clip.metrics["self_penetration_mm"] == (depth if accepted else 30.0)
    assert clip.metrics["refit_moved_mm"] == pytest.approx(12.5 * np.sqrt(3.0) if accepted else 0.0, rel=1e-3)
    assert not [reason for reason in clip.reasons if reason["rule"].startswith("refit_rejected")]


def test_a_refit_that_moves_a_landmark_by_more_than_30_mm_is_refused_with_a_reason(walk_clip: Clip) -> None:
    before = with_verdict(replace(walk_clip, reasons=()), "feasible", 30.0)
    after = with_verdict(walk_clip, "feasible", 5.0)
    after.landmark_pos[100:110, 3] += [0.0, 0.0, 0.05]
    clip = accept_refit(before, after)
    assert (clip.metrics["refitted"], clip.metrics["refit_moved_mm"], clip.verdict) == (0.0, 0.0, "warn")
    np.testing.assert_array_equal(clip.landmark_pos, before.landmark_pos)
    (reason,) = clip.reasons
    assert reason["rule"] == "refit_rejected_moved_mm"
    assert reason["at"] == clip.landmark_names[3]
    assert reason["value"] == clip.metrics["refit_rejected_moved_mm"] > 30.0 == reason["limit"]
    assert reason["frames"] == [[100, 110]]


def test_a_refit_with_a_new_step_of_a_joint_is_refused_with_a_reason(walk_clip: Clip) -> None:
    """A joint that turns faster than before, and than in walking, by over 1 degree in 10 ms."""
    before = with_verdict(replace(walk_clip, reasons=()), "feasible", 30.0)
    qpos = walk_clip.qpos.copy()
    ankle = walk_clip.joint_names.index("ankle_angle_l") + 6
    qpos[150, ankle] += np.deg2rad(15.0)
    clip = accept_refit(before, with_verdict(replace(walk_clip, qpos=qpos), "feasible", 5.0))
    assert clip.metrics["refitted"] == 0.0
    assert clip.metrics["refit_rejected_step_deg"] > 10.0
    (reason,) = clip.reasons
    assert (reason["rule"], reason["at"]) == ("refit_rejected_step_deg", "ankle_angle_l")
    assert reason["frames"] == [[150, 152]]
    allowed = replace(walk_clip, qpos=np.roll(walk_clip.qpos, 1, axis=0)[1:])
    before = replace(before, qpos=before.qpos[1:], landmark_pos=before.landmark_pos[1:])
    same = with_verdict(replace(allowed, landmark_pos=allowed.landmark_pos[1:]), "feasible", 5.0)
    assert accept_refit(before, same).metrics["refitted"] == 1.0


def test_a_refit_is_used_around_collisions_only_and_scaled_down_to_30_mm(walk_clip: Clip) -> None:
    reason = {"rule": "self_penetration_mm", "value": 20.0, "limit": 10.0, "frames": [[100, 110], [300, 305]]}
    clip = replace(walk_clip, reasons=(reason,))
    moved = np.full(clip.nframe, 0.02)
    moved[298] = 0.06
    share = refit_share(clip, moved)
    np.testing.assert_allclose(share[100:110], 1.0)
    assert not share[:50].any()
    assert not share[150:250].any()
    assert (share * moved <= 0.03).all()
    assert 0.35 < share[298] < 0.5
    assert np.abs(np.diff(share)).max() < 0.1  # over 0.3 s
    first = np.tile([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.2], (clip.nframe, 1))
    refit = np.tile([0.0, 0.0, 1.1, -1.0, 0.0, 0.0, 0.0, 0.4], (clip.nframe, 1))  # the same orientation
    result = blend(first, refit, share)
    np.testing.assert_array_equal(result[150:250], first[150:250])
    np.testing.assert_allclose(result[100:110, [2, 7]], [[1.1, 0.4]] * 10)
    np.testing.assert_allclose(result[:, 3:7], [[1.0, 0.0, 0.0, 0.0]] * clip.nframe)


def test_only_penetration_triggers_a_refit(walk_clip: Clip) -> None:
    reason = partial(dict, value=1.0, limit=0.5, frames=[])
    assert not needs_refit(walk_clip)
    assert not needs_refit(replace(walk_clip, reasons=(reason(rule="skate_m_s"),)))
    assert needs_refit(replace(walk_clip, reasons=(reason(rule="floor_penetration_mm"),)))
