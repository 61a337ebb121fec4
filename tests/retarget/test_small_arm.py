"""The whole fit on a body with two joints, a fixed root and no feet: it compiles in seconds."""

from dataclasses import replace

import numpy as np
import pytest

from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.solver.fitter import Fit, Fitter
from musclemap.retarget.targets.contacts import Stance
from musclemap.retarget.targets.landmark_targets import MotionTargets
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT

NFRAME, FPS = 150, 100.0


@pytest.fixture(scope="module")
def arm_body() -> TargetBody:
    return load_body("SmallArm")


@pytest.fixture(scope="module")
def fitter(arm_body: TargetBody) -> Fitter:
    config = RetargetConfig()
    weights = replace(config.weights, prior=0.0)
    return Fitter(arm_body, replace(config, weights=weights, fps=FPS))


def reaching(*, phase: float = 0.0) -> np.ndarray:
    """Joint angles of a reaching motion within both ranges, shape (NFRAME, 2) [rad]."""
    time = np.arange(NFRAME) / FPS
    shoulder = 0.3 + 0.7 * np.sin(2.0 * np.pi * 0.5 * time + phase)
    elbow = 1.0 + 0.6 * np.sin(2.0 * np.pi * 0.6 * time + 1.0 + phase)
    return np.stack([shoulder, elbow], axis=1)


def targets_of(body: TargetBody, joints: np.ndarray) -> MotionTargets:
    """Targets that the arm meets exactly with the given joint angles."""
    nframe = len(joints)
    root = np.tile(np.eye(1, NROOT, 3), (nframe, 1))
    pos = evaluate_clip(body, body.reduced.expand(np.concatenate([root, joints], axis=1))).landmark_pos
    empty = np.zeros((nframe, 0))
    return MotionTargets(
        pos=pos.astype(np.float64), rot=np.zeros((nframe, 0, 3, 3)), carrier_rot=np.zeros((nframe, 0, 3, 3)),
        anchor=np.zeros((nframe, 0, 3)), contact=empty, floor=np.full((nframe, 2), -10.0),
        stance=Stance(contact=empty > 0, scale=1.0, floor=0.0, height=empty, scale_evidence="skeleton"),
        heading=0.0, origin=np.zeros(3), stance_speed=0.0, foot_shift=0.0, fps=FPS,
    )  # fmt: skip


def joints_of(fit: Fit) -> np.ndarray:
    return fit.q[:, NROOT:]


def test_a_known_motion_is_recovered(arm_body: TargetBody, fitter: Fitter) -> None:
    known = reaching()
    fit = fitter.fit([targets_of(arm_body, known)])[0]
    assert np.abs(joints_of(fit) - known).max() < 2e-3
    reached = evaluate_clip(arm_body, arm_body.reduced.expand(fit.q)).landmark_pos
    assert np.linalg.norm(reached - fit.target_pos, axis=2).max() < 5e-4


def test_a_fixed_root_does_not_move(arm_body: TargetBody, fitter: Fitter) -> None:
    """Even if every target is 5 cm higher, which a free root would follow."""
    targets = targets_of(arm_body, reaching())
    fit = fitter.fit([replace(targets, pos=targets.pos + np.array([0.0, 0.0, 0.05]))])[0]
    np.testing.assert_array_equal(fit.q[:, :NROOT], np.tile(np.eye(1, NROOT, 3), (NFRAME, 1)))


def test_limits_hold(arm_body: TargetBody, fitter: Fitter) -> None:
    """With targets that bend the elbow backwards, the elbow stops at 0, and the shoulder compensates for part of it."""
    joints = reaching()
    joints[:, 1] -= 1.2
    assert joints[:, 1].min() < -0.5
    result = joints_of(fitter.fit([targets_of(arm_body, joints)])[0])
    assert np.all(result >= arm_body.reduced.lower - 1e-6)
    assert np.all(result <= arm_body.reduced.upper + 1e-6)
    assert np.mean(result[:, 1] < 1e-6) > 0.3


def test_clips_are_independent(arm_body: TargetBody, fitter: Fitter) -> None:
    """A clip has the same bytes whether it is fitted alone or in a batch."""
    clip, other = targets_of(arm_body, reaching()), targets_of(arm_body, reaching(phase=2.0))
    alone, in_batch = fitter.fit([clip])[0], fitter.fit([other, clip])[1]
    np.testing.assert_array_equal(alone.q, in_batch.q)
