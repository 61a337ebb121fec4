"""Retargeting to MyoBimanualArm: accuracy, the frame of the chest, its motion, fingers, and checks without a ground."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.clip import Clip, read_clip, write_clip
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.hands import close_hands
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.errors import SettingsError
from musclemap.pipelines.builtin_walk import WALK_CLIP, WALK_FOLDER
from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.retarget.config import BodyConfig, RetargetConfig, ValidationConfig
from musclemap.retarget.full_body_chest import arms_of_clip
from musclemap.retarget.retargeter import Retargeter
from musclemap.retarget.solver.fitter import Fitter
from musclemap.retarget.targets.base_frame import BaseFrame
from musclemap.retarget.targets.landmark_targets import build_targets
from musclemap.retarget.targets.proportions import fit_proportions
from musclemap.skeletons.base_motion import GRAVITY, STILL, base_motion
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT
from musclemap.skeletons.smpl.joints import HAND_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints

from ..support.base_paths import arms_of

CMU = Path(__file__).parents[3] / "shared" / "mocap" / "cmu"
CONFIG = RetargetConfig(body=BodyConfig(name="bimanual-arm"), validation=ValidationConfig(enabled=False))
ARM = ("humerus", "ulna", "lunate")


@pytest.fixture(scope="module")
def arms() -> TargetBody:
    return load_body("MyoBimanualArm")


@pytest.fixture(scope="module")
def to_arms() -> Retargeter:
    return Retargeter(CONFIG)


def convert(retargeter: Retargeter, *motions: SourceMotion) -> list[Clip]:
    clips = [result.clip for result in retargeter.retarget(motions)]
    assert all(clip is not None for clip in clips)
    return [clip for clip in clips if clip is not None]


def errors_mm(clip: Clip, parts: tuple[str, ...] = ()) -> np.ndarray:
    """Distances of the landmarks from their targets, without the chest, shape (nframe, n) [mm]."""
    names = clip.landmark_names
    chosen = [k for k, n in enumerate(names) if k and (not parts or n.rpartition("_")[0] in parts)]
    return 1e3 * np.linalg.norm(clip.landmark_pos - clip.target_pos, axis=2)[:, chosen]


def exact(clip: Clip) -> bool:
    metrics = clip.metrics
    return (
        metrics["limit_excess_rad"] < 1e-6
        and metrics["driven_limit_excess_rad"] <= 0
        and metrics["coupling_residual_rad"] < 1e-6
    )


@pytest.fixture(scope="module")
def reach(to_arms: Retargeter) -> Clip:
    return convert(to_arms, synthesise("reach"))[0]


def test_synthesised_reaches(to_arms: Retargeter, reach: Clip) -> None:
    for clip in (reach, *convert(to_arms, synthesise("arm_raise"))):
        error = errors_mm(clip)
        assert error.mean() < 10.0
        assert np.percentile(error, 95) < 25.0
        assert exact(clip)
        assert not clip.contact.any()
        assert not any(name.startswith(("floor", "skate", "foot", "root")) for name in clip.metrics)


@pytest.mark.skipif(not CMU.is_dir(), reason="needs ../shared/mocap/cmu")
def test_recorded_arms(to_arms: Retargeter) -> None:
    """Fingers are not judged: left wrists of these recordings are bent further than the model's can."""
    paths = sorted(CMU.rglob("*.npz"))
    clips = convert(to_arms, *(motion for path in paths for motion in read_motions(path, name=path.name)))
    assert len(clips) >= 3
    for clip in clips:
        error = errors_mm(clip, ARM)
        assert error.mean() < 10.0
        assert np.percentile(error.mean(axis=1), 95) < 25.0
        assert exact(clip)
        assert clip.hands == "tracked"


def test_arms_of_the_whole_body_are_found_again(arms: TargetBody, body: TargetBody, walk_clip: Clip) -> None:
    """Landmarks and orientations of a clip of MyoFullBody, seen from its own chest: angles within 0.5 degrees.

    Where an arm hangs, elevation plane and rotation of the shoulder are one angle, so the humerus is compared as a
    whole. The clip is smooth already: the fit has to find it, not to smooth it once more.
    """
    part = walk_clip.frames(slice(0, 120))
    motion = synthesise("walk_1.2", seconds=2.0)
    proportions = fit_proportions(body, mean_joints())
    seen = evaluate_clip(body, part.qpos)
    rot = Rotation.from_quat(seen.landmark_quat.reshape(-1, 4), scalar_first=True).as_matrix()
    short = replace(motion, rotvec=motion.rotvec[:120], trans=motion.trans[:120], fps=100.0)
    whole = build_targets(body, short, proportions, CONFIG, source_joints=mean_joints())
    whole = replace(whole, pos=seen.landmark_pos.astype(float), rot=rot.reshape(*seen.landmark_quat.shape[:2], 3, 3))
    known, path = arms_of(arms, body, part.qpos.astype(np.float64))
    targets = BaseFrame(body=arms, whole=body, proportions=proportions).targets(whole, path, None)
    weights = replace(CONFIG.weights, prior=0.0, acceleration=0.01)
    fit = Fitter(arms, replace(CONFIG, weights=weights, max_calibration_offset=0.0)).fit([targets])[0]
    ref, result = evaluate_clip(arms, known), evaluate_clip(arms, arms.reduced.expand(fit.q))
    a, b = (Rotation.from_quat(e.landmark_quat.reshape(-1, 4), scalar_first=True) for e in (ref, result))
    assert np.percentile(np.rad2deg((a.inv() * b).magnitude()), 99) < 0.5
    hinges = [arms.reduced.index(f"{name}_{side}") for name in ("elbow_flex", "deviation", "flexion") for side in "rl"]
    angles = arms.reduced.reduce(known)[:, NROOT:]
    difference = np.rad2deg(np.abs(fit.q[:, NROOT:] - angles))[:, hinges]
    assert difference.mean(axis=0).max() < 0.5


def test_chest_and_arms_of_a_clip_of_the_full_body(arms: TargetBody, body: TargetBody) -> None:
    """Its own angles, on the path of its chest, at the same distances from the targets, without a fit.

    Seen from the chest, the frame in which the targets of the whole body are does not matter.
    """
    part = read_clip(WALK_FOLDER / WALK_CLIP).frames(slice(0, 120))
    motion = synthesise("walk_1.2", seconds=2.0)
    proportions = fit_proportions(body, mean_joints())
    short = replace(motion, rotvec=motion.rotvec[:120], trans=motion.trans[:120], fps=100.0)
    whole = build_targets(body, short, proportions, CONFIG, source_joints=mean_joints())
    turned = replace(whole, heading=whole.heading + 0.7, origin=whole.origin + np.array([0.3, -2.0, 0.1]))
    known, path = arms_of(arms, body, part.qpos.astype(np.float64))
    frame = BaseFrame(body=arms, whole=body, proportions=proportions)
    for seen in (whole, turned):
        targets, fit = arms_of_clip(part, seen, frame, None)
        angles = arms.reduced.expand(fit.q)
        np.testing.assert_allclose(angles, arms.reduced.expand(arms.reduced.reduce(known)), atol=1e-9)
        assert targets.base is not None
        np.testing.assert_allclose(base_motion(targets.base, 100.0), base_motion(path, 100.0), atol=1e-6)
        reached = evaluate_clip(arms, angles.astype(np.float32)).landmark_pos
        for name in ("humerus_r", "ulna_l", "lunate_r"):
            mine, own = arms.landmark_names.index(name), body.landmark_names.index(name)
            distance = np.linalg.norm(reached[:, mine] - fit.target_pos[:, mine], axis=1)
            ref = np.linalg.norm(part.landmark_pos[:, own] - part.target_pos[:, own], axis=1)
            np.testing.assert_allclose(distance, ref, atol=1e-5)
    with pytest.raises(SettingsError, match="bimanual-arm"):
        BodyConfig(chest="full-body")


@pytest.mark.slow
def test_conversion_with_the_chest_of_the_full_body(arms: TargetBody) -> None:
    motion = close_hands(synthesise("walk_1.2", seconds=1.2), period=1.0)
    retargeter = Retargeter(replace(CONFIG, body=BodyConfig(name="bimanual-arm", chest="full-body")))
    clip = convert(retargeter, motion)[0]
    assert retargeter._full_body is not None
    full = convert(retargeter._full_body, motion)[0]
    known, path = arms_of(arms, retargeter._full_body.body, full.qpos.astype(np.float64))
    angles, ref = (arms.reduced.reduce(qpos) for qpos in (clip.qpos.astype(np.float64), known))  # without fingers
    assert np.rad2deg(np.abs(angles - ref)).max() < 1e-3
    assert clip.hands == "tracked"
    assert np.ptp(clip.qpos[:, arms.model.joint("pm2_flexion_r").qposadr[0]]) > 0.2
    assert exact(clip)
    assert clip.base_motion is not None
    np.testing.assert_allclose(clip.base_motion, base_motion(path, clip.fps), atol=0.01)


def resting(nframe: int = 60) -> SourceMotion:
    """A source that rests in the pose from which its rotations start."""
    motion = synthesise("reach")
    return replace(
        motion, rotvec=np.tile([[np.pi / 2, 0.0, 0.0], *[[0.0] * 3] * 21], (nframe, 1, 1)),
        trans=np.tile([0.0, 0.0, 1.2], (nframe, 1)), hand_rotvec=None,
    )  # fmt: skip


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.rad2deg(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))))


def test_a_resting_chest_is_upright_and_still(to_arms: Retargeter) -> None:
    """But for the fraction of a degree by which trunk and pelvis lean in MyoFullBody's T-pose."""
    clip = convert(to_arms, resting())[0]
    assert clip.base_motion is not None
    assert angle_deg(clip.base_motion[30, 0], GRAVITY) < 1.0
    np.testing.assert_allclose(clip.base_motion[:, 1:], np.tile(STILL[1:], (clip.nframe, 1, 1)), atol=1e-6)


def test_a_tilted_person_has_the_same_arms_and_another_gravity(to_arms: Retargeter) -> None:
    """Bent forwards by 40 degrees as a whole; forwards is -y of the model."""
    upright, turn = resting(), Rotation.from_rotvec([np.deg2rad(40.0), 0.0, 0.0])
    rotvec = upright.rotvec.copy()
    rotvec[:, 0] = (turn * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    before, after = convert(to_arms, upright, replace(upright, rotvec=rotvec))
    np.testing.assert_allclose(after.qpos, before.qpos, atol=2e-3)
    assert after.base_motion is not None
    assert before.base_motion is not None
    assert angle_deg(after.base_motion[30, 0], turn.inv().apply(GRAVITY)) < 1.0
    assert angle_deg(after.base_motion[30, 0], before.base_motion[30, 0]) == pytest.approx(40.0, abs=0.1)


def test_a_fixed_chest_only_leaves_its_motion_out(reach: Clip) -> None:
    fixed = Retargeter(replace(CONFIG, body=BodyConfig(name="bimanual-arm", chest="fixed")))
    clip = convert(fixed, synthesise("reach"))[0]
    assert clip.base_motion is None
    assert reach.base_motion is not None
    np.testing.assert_array_equal(clip.qpos, reach.qpos)
    with pytest.raises(SettingsError, match="bimanual-arm"):
        BodyConfig(chest="fixed")


def test_fingers_follow_the_hands_of_the_source(to_arms: Retargeter, reach: Clip, arms: TargetBody) -> None:
    """Curling the index finger moves its joints and its landmarks alone, and the landmarks meet their targets."""
    motion = synthesise("reach")
    hands = np.zeros((motion.nframe, 30, 3))
    index = [k for k, n in enumerate(HAND_NAMES["left"] + HAND_NAMES["right"]) if n.startswith("right_index")]
    hands[:, index, 2] = 0.6 * np.linspace(0.0, 1.0, motion.nframe)[:, None]
    clip = convert(to_arms, replace(motion, hand_rotvec=hands))[0]
    assert clip.hands == "tracked"
    moved = {n for n, change in zip(arms.joint_names, np.abs(clip.qpos - reach.qpos).max(axis=0), strict=True)
             if change > 0.2}  # fmt: skip
    assert {"mcp2_flexion_r", "pm2_flexion_r", "md2_flexion_r"} <= moved
    assert moved <= {"mcp2_flexion_r", "mcp2_abduction_r", "pm2_flexion_r", "md2_flexion_r"}
    shift = np.linalg.norm(clip.target_pos - reach.target_pos, axis=2).max(axis=0)
    assert shift[clip.landmark_names.index("2distph_r")] > 0.02
    assert shift[clip.landmark_names.index("3distph_r")] < 1e-6
    error = errors_mm(clip)[:, clip.landmark_names.index("2distph_r") - 1]
    assert error.mean() < 12.0


def test_a_checked_clip_has_moments_of_arms_and_fingers_and_no_ground(arms: TargetBody, tmp_path: Path) -> None:
    config = replace(CONFIG, validation=ValidationConfig(muscles=True))
    clip = convert(Retargeter(config), synthesise("reach", seconds=0.6))[0]
    write_clip(tmp_path / "a.h5", clip)
    stored = read_clip(tmp_path / "a.h5")
    assert stored.verdict == "feasible"
    assert stored.moment_names == arms.reduced_hands.joint_names
    assert stored.joint_moment is not None
    assert stored.activation is not None
    assert stored.base_motion is not None
    np.testing.assert_array_equal(stored.base_motion, clip.base_motion)
    assert stored.ground_force is stored.bearing is stored.centre_of_pressure is None
    assert stored.support_names == ()
    shoulder = stored.joint_moment[:, stored.moment_names.index("elbow_flex_r")]
    assert 0.1 < np.abs(shoulder).max() < 20.0
