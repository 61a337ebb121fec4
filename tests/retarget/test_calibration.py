"""Offsets that only motion shows: a constant miss is found, made symmetric, bounded, and carried with the bone."""

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
K = {name: k for k, name in enumerate(LANDMARK_NAMES)}
FREE = [K[name] for name in CALIBRATED]
FIXED = [k for k in range(17) if k not in FREE]


@pytest.fixture(scope="module")
def targets() -> MotionTargets:
    """Landmarks anywhere, their carriers turned anyhow."""
    rng = np.random.default_rng(100)
    carrier = Rotation.random(NFRAME * len(FREE), rng=rng).as_matrix().reshape(NFRAME, len(FREE), 3, 3)
    nothing = np.zeros((NFRAME, 4))
    stance = Stance(contact=nothing > 0, scale=1.0, floor=0.0, height=nothing, scale_evidence="skeleton")
    return MotionTargets(
        pos=rng.normal(size=(NFRAME, 17, 3)), rot=np.zeros((NFRAME, 10, 3, 3)), carrier_rot=carrier,
        anchor=np.zeros((NFRAME, 4, 3)), contact=nothing, floor=np.zeros((NFRAME, 2)), stance=stance, heading=0.0,
        origin=np.zeros(3), stance_speed=0.0, foot_shift=0.0, fps=100.0,
    )  # fmt: skip


def symmetric_offsets(seed: int, size: float = 0.02) -> np.ndarray:
    """Mirror-symmetric offsets of the free landmarks, shape (17, 3) [m]."""
    offset = np.random.default_rng(seed).normal(0, size, (17, 3))
    offset = 0.5 * (offset + offset[LANDMARK_TWIN] * FLIP)
    offset[FIXED] = 0.0
    return offset


def missed_by(targets: MotionTargets, offset: np.ndarray) -> np.ndarray:
    """Landmarks reached by a body whose joints are that far off, each in its carrier's frame, shape (NFRAME, 17, 3)."""
    reached = targets.pos.copy()
    reached[:, FREE] += np.einsum("tlij,lj->tli", targets.carrier_rot, offset[FREE])
    return reached


def test_a_constant_miss_is_found(targets: MotionTargets) -> None:
    """Exactly but for the doubt, which is worth five frames; whatever moves evenly about it averages out."""
    offset, frames = symmetric_offsets(101), np.arange(NFRAME)
    reached = missed_by(targets, offset)
    np.testing.assert_allclose(
        mean_residual(BODY, targets, frames, reached), offset * NFRAME / (NFRAME + 5), atol=1e-12
    )
    noise = np.random.default_rng(102).normal(0, 0.02, reached.shape)
    np.testing.assert_allclose(mean_residual(BODY, targets, frames, reached + noise), offset, atol=5e-3)


def test_only_the_frames_that_were_solved_count(targets: MotionTargets) -> None:
    offset, frames = symmetric_offsets(103), np.array([3, 50, 51, 399])
    reached = missed_by(targets, offset)[frames]
    np.testing.assert_allclose(mean_residual(BODY, targets, frames, reached), offset * 4 / 9, atol=1e-12)


def test_offsets_are_symmetric_and_leave_the_rest_alone(targets: MotionTargets) -> None:
    """What was missed on one side alone goes half to each, and nothing goes to pelvis, hips, hands and feet."""
    offset = np.zeros((17, 3))
    offset[K["humerus_r"]] = [0.02, 0.01, -0.03]
    offset[K["head"]] = [0.02, 0.01, 0.0]
    reached = missed_by(targets, offset)
    reached[:, FIXED] += 0.05
    result = mean_residual(BODY, targets, np.arange(NFRAME), reached) * (NFRAME + 5) / NFRAME
    np.testing.assert_allclose(result[K["humerus_r"]], [0.01, 0.005, -0.015], atol=1e-12)
    np.testing.assert_allclose(result[K["humerus_l"]], [-0.01, 0.005, -0.015], atol=1e-12)
    np.testing.assert_allclose(result[K["head"]], [0.0, 0.01, 0.0], atol=1e-12)  # the head has no side to lean to
    assert not result[FIXED].any()
    np.testing.assert_allclose(result, result[LANDMARK_TWIN] * FLIP, atol=1e-15)
    paired = {f"{part}_{side}" for part in ("humerus", "ulna", "tibia") for side in "rl"}
    assert set(CALIBRATED) == {"lumbar1", "head", *paired}


def test_limit_shortens_and_never_turns() -> None:
    offset = symmetric_offsets(104, size=0.05)
    short = limit_offsets(offset, 0.03)
    norm = np.linalg.norm(offset, axis=1)
    np.testing.assert_allclose(np.linalg.norm(short, axis=1), np.minimum(norm, 0.03), atol=1e-15)
    assert (norm > 0.03).any()
    assert ((norm > 0) & (norm < 0.03)).any()
    np.testing.assert_allclose(np.cross(short, offset), 0.0, atol=1e-15)
    assert not limit_offsets(offset, 0.0).any()


def test_landmarks_move_in_their_carriers_frame_and_arms_with_their_shoulder(targets: MotionTargets) -> None:
    offset = symmetric_offsets(105)
    own = missed_by(targets, offset) - targets.pos
    shift = apply_offsets(BODY, targets, offset) - targets.pos
    for k, name in enumerate(LANDMARK_NAMES):
        expected = own[:, k].copy()
        if name.startswith(("ulna", "lunate")):
            expected += own[:, K[f"humerus_{name[-1]}"]]
        np.testing.assert_allclose(shift[:, k], expected, atol=1e-12)
    np.testing.assert_array_equal(apply_offsets(BODY, targets, np.zeros((17, 3))), targets.pos)


def test_rounds_take_up_what_the_first_left(targets: MotionTargets) -> None:
    """As the fit does it: the body keeps reaching the same places; three rounds leave less than a tenth of the miss."""
    truth, frames, offset = symmetric_offsets(106), np.arange(0, NFRAME, 10), np.zeros((17, 3))
    reached = apply_offsets(BODY, targets, truth)
    for name in ("lunate_r", "lunate_l"):  # a wrist goes where its shoulder goes; it is not calibrated by itself
        assert not truth[K[name]].any()
    before = np.linalg.norm(mean_residual(BODY, targets, frames, reached[frames]), axis=1).max()
    for _ in range(CALIBRATION_ROUNDS):
        now = replace(targets, pos=apply_offsets(BODY, targets, offset))
        offset = limit_offsets(offset + mean_residual(BODY, now, frames, reached[frames]), 0.1)
    np.testing.assert_allclose(offset, truth, atol=0.1 * before)
