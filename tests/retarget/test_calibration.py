"""Calibration: constant residuals are recovered as symmetric, bounded offsets that move with their bones."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.retarget.solver.fitter import CALIBRATION_ROUNDS
from musclemap.retarget.targets.calibration import apply_offsets, limit_offsets, mean_residual
from musclemap.retarget.targets.contacts import Stance
from musclemap.retarget.targets.landmark_targets import MotionTargets
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.bodies.myofullbody import LANDMARK_NAMES

from ..support.mirror import FLIP, LANDMARK_TWIN
from ..support.target_facts import CALIBRATED

NFRAME = 400
BODY = load_body()
INDEX = {name: k for k, name in enumerate(LANDMARK_NAMES)}
CALIBRATED_INDICES = [INDEX[name] for name in CALIBRATED]
FIXED_INDICES = [k for k in range(17) if k not in CALIBRATED_INDICES]


@pytest.fixture(scope="module")
def targets() -> MotionTargets:
    """Random landmarks with random orientations of their carriers."""
    rng = np.random.default_rng(100)
    ncalibrated = len(CALIBRATED_INDICES)
    carrier = Rotation.random(NFRAME * ncalibrated, rng=rng).as_matrix().reshape(NFRAME, ncalibrated, 3, 3)
    nothing = np.zeros((NFRAME, 4))
    stance = Stance(contact=nothing > 0, scale=1.0, floor=0.0, height=nothing, scale_evidence="skeleton")
    return MotionTargets(
        pos=rng.normal(size=(NFRAME, 17, 3)), rot=np.zeros((NFRAME, 10, 3, 3)), carrier_rot=carrier,
        anchor=np.zeros((NFRAME, 4, 3)), contact=nothing, floor=np.zeros((NFRAME, 2)), stance=stance, heading=0.0,
        origin=np.zeros(3), stance_speed=0.0, foot_shift=0.0, fps=100.0,
    )  # fmt: skip


def symmetric_offsets(seed: int, size: float = 0.02) -> np.ndarray:
    """Mirror-symmetric offsets of the calibrated landmarks, shape (17, 3) [m]."""
    offset = np.random.default_rng(seed).normal(0, size, (17, 3))
    offset = 0.5 * (offset + offset[LANDMARK_TWIN] * FLIP)
    offset[FIXED_INDICES] = 0.0
    return offset


def reached_with(targets: MotionTargets, offset: np.ndarray) -> np.ndarray:
    """Landmarks reached by a body with offsets in the carriers' frames, shape (NFRAME, 17, 3) [m]."""
    reached = targets.pos.copy()
    reached[:, CALIBRATED_INDICES] += np.einsum("tlij,lj->tli", targets.carrier_rot, offset[CALIBRATED_INDICES])
    return reached


def test_a_constant_residual_is_recovered(targets: MotionTargets) -> None:
    """Except for the prior, which has the weight of five frames; zero-mean noise averages out."""
    offset, frames = symmetric_offsets(101), np.arange(NFRAME)
    reached = reached_with(targets, offset)
    np.testing.assert_allclose(
        mean_residual(BODY, targets, frames, reached), offset * NFRAME / (NFRAME + 5), atol=1e-12
    )
    noise = np.random.default_rng(102).normal(0, 0.02, reached.shape)
    np.testing.assert_allclose(mean_residual(BODY, targets, frames, reached + noise), offset, atol=5e-3)


def test_only_solved_frames_count(targets: MotionTargets) -> None:
    offset, frames = symmetric_offsets(103), np.array([3, 50, 51, 399])
    reached = reached_with(targets, offset)[frames]
    np.testing.assert_allclose(mean_residual(BODY, targets, frames, reached), offset * 4 / 9, atol=1e-12)


def test_offsets_are_symmetric_and_zero_for_fixed_landmarks(targets: MotionTargets) -> None:
    """A residual on one side is divided between both sides; pelvis, hips, hands and feet get no offset."""
    offset = np.zeros((17, 3))
    offset[INDEX["humerus_r"]] = [0.02, 0.01, -0.03]
    offset[INDEX["head"]] = [0.02, 0.01, 0.0]
    reached = reached_with(targets, offset)
    reached[:, FIXED_INDICES] += 0.05
    result = mean_residual(BODY, targets, np.arange(NFRAME), reached) * (NFRAME + 5) / NFRAME
    np.testing.assert_allclose(result[INDEX["humerus_r"]], [0.01, 0.005, -0.015], atol=1e-12)
    np.testing.assert_allclose(result[INDEX["humerus_l"]], [-0.01, 0.005, -0.015], atol=1e-12)
    np.testing.assert_allclose(result[INDEX["head"]], [0.0, 0.01, 0.0], atol=1e-12)  # no lateral offset
    assert not result[FIXED_INDICES].any()
    np.testing.assert_allclose(result, result[LANDMARK_TWIN] * FLIP, atol=1e-15)
    paired = {f"{part}_{side}" for part in ("humerus", "ulna", "tibia") for side in "rl"}
    assert set(CALIBRATED) == {"lumbar1", "head", *paired}


def test_the_limit_shortens_offsets_and_keeps_their_direction() -> None:
    offset = symmetric_offsets(104, size=0.05)
    shortened = limit_offsets(offset, 0.03)
    norm = np.linalg.norm(offset, axis=1)
    np.testing.assert_allclose(np.linalg.norm(shortened, axis=1), np.minimum(norm, 0.03), atol=1e-15)
    assert (norm > 0.03).any()
    assert ((norm > 0) & (norm < 0.03)).any()
    np.testing.assert_allclose(np.cross(shortened, offset), 0.0, atol=1e-15)
    assert not limit_offsets(offset, 0.0).any()


def test_landmarks_move_in_their_carriers_frame_and_arms_with_their_shoulder(targets: MotionTargets) -> None:
    offset = symmetric_offsets(105)
    expected_shift = reached_with(targets, offset) - targets.pos
    shift = apply_offsets(BODY, targets, offset) - targets.pos
    for k, name in enumerate(LANDMARK_NAMES):
        expected = expected_shift[:, k].copy()
        if name.startswith(("ulna", "lunate")):
            expected += expected_shift[:, INDEX[f"humerus_{name[-1]}"]]
        np.testing.assert_allclose(shift[:, k], expected, atol=1e-12)
    np.testing.assert_array_equal(apply_offsets(BODY, targets, np.zeros((17, 3))), targets.pos)


def test_rounds_converge_to_the_offsets(targets: MotionTargets) -> None:
    """If the body reaches the same positions in every round, three rounds leave less than a tenth of the residual."""
    truth, frames, offset = symmetric_offsets(106), np.arange(0, NFRAME, 10), np.zeros((17, 3))
    reached = apply_offsets(BODY, targets, truth)
    for name in ("lunate_r", "lunate_l"):  # a wrist moves with its shoulder and has no offset of its own
        assert not truth[INDEX[name]].any()
    before = np.linalg.norm(mean_residual(BODY, targets, frames, reached[frames]), axis=1).max()
    for _ in range(CALIBRATION_ROUNDS):
        current = replace(targets, pos=apply_offsets(BODY, targets, offset))
        offset = limit_offsets(offset + mean_residual(BODY, current, frames, reached[frames]), 0.1)
    np.testing.assert_allclose(offset, truth, atol=0.1 * before)
