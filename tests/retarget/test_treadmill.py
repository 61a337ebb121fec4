"""Treadmills: recognised in any heading, judged as walking, and nothing else is taken for one."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.clip import Clip
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.synthesis import motion_names, synthesise
from musclemap.retarget.checks.validator import Validator
from musclemap.retarget.config import RetargetConfig, ValidationConfig
from musclemap.retarget.resample import resample
from musclemap.retarget.retargeter import Retargeter
from musclemap.retarget.targets.landmark_targets import MotionTargets, build_targets
from musclemap.retarget.targets.proportions import Proportions, fit_proportions
from musclemap.retarget.targets.treadmill import overground, to_place, travel_metrics
from musclemap.settings import override
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.smpl.mean_skeleton import mean_joints

from ..conftest import optimised

SPEEDS = (0.8, 1.2)


@pytest.fixture(scope="module")
def fitted(body: TargetBody) -> Proportions:
    return fit_proportions(body, mean_joints())


def in_place(motion: SourceMotion, drift: float = 0.0) -> SourceMotion:
    """The motion without its mean travel, with a slow drift to and fro [m]."""
    time = np.arange(motion.nframe) / motion.fps
    trans = motion.trans.copy()
    for axis in range(2):
        slope = np.polyfit(time, trans[:, axis], 1)[0]
        trans[:, axis] -= slope * time - drift * np.sin(0.7 * time)
    return replace(motion, trans=trans)


def turned(motion: SourceMotion, degrees: float) -> SourceMotion:
    turn, j0, rotvec = Rotation.from_euler("z", degrees, degrees=True), mean_joints()[0], motion.rotvec.copy()
    rotvec[:, 0] = (turn * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    return replace(motion, rotvec=rotvec, trans=turn.apply(motion.trans + j0) - j0)


def targets_of(motion: SourceMotion, fitted: Proportions, **settings: str) -> MotionTargets:
    config = override(RetargetConfig(), [f"{name}={value}" for name, value in settings.items()])
    return build_targets(load_body(), resample(motion, 100.0), fitted, config, source_joints=mean_joints())


@pytest.mark.parametrize("speed", [0.8, 1.2, 1.6])
@pytest.mark.parametrize("degrees", [0.0, 137.0])
def test_a_treadmill_gives_the_contacts_of_walking_overground(
    speed: float, degrees: float, fitted: Proportions
) -> None:
    walk = turned(synthesise(f"walk_{speed}", fps=60.0), degrees)
    ref, result = (targets_of(motion, fitted) for motion in (walk, in_place(walk)))
    assert not ref.travel.any()
    travel = np.linalg.norm(np.polyfit(np.arange(ref.nframe) / ref.fps, ref.pos[:, 0, :2], 1)[0])
    assert np.linalg.norm(result.travel) == pytest.approx(travel, rel=0.04)
    assert (result.stance.contact == ref.stance.contact).mean() > 0.97
    standing = ref.stance.contact & result.stance.contact
    height = [targets.anchor[standing, 2] for targets in (ref, result)]
    np.testing.assert_allclose(height[1], height[0], atol=1e-9)  # on the floor
    assert result.stance_speed < ref.stance_speed + 0.02


def test_drifting_on_the_belt_is_still_a_treadmill(fitted: Proportions) -> None:
    walk = synthesise("walk_1.2", fps=60.0, seconds=12.0)
    assert np.linalg.norm(targets_of(in_place(walk, drift=0.2), fitted).travel) == pytest.approx(1.13, abs=0.08)


@pytest.mark.parametrize("name", motion_names())
def test_other_motions_are_not_treadmills(name: str, fitted: Proportions) -> None:
    assert not targets_of(synthesise(name, fps=60.0), fitted).travel.any()
    if not name.startswith("walk"):
        assert not targets_of(in_place(synthesise(name, fps=60.0)), fitted).travel.any()


def test_marching_in_place_is_no_treadmill(fitted: Proportions) -> None:
    """Feet that are lifted in turn and set down where they were."""
    motion = synthesise("arm_raise", fps=60.0, seconds=6.0)
    time = np.arange(motion.nframe) / motion.fps
    rotvec = motion.rotvec.copy()
    for phase, hip, knee in ((0.0, 1, 4), (np.pi, 2, 5)):
        lift = np.clip(np.sin(2 * np.pi * 0.8 * time + phase), 0.0, None)
        rotvec[:, hip, 0] -= 0.8 * lift
        rotvec[:, knee, 0] += 1.4 * lift
    assert not targets_of(replace(motion, rotvec=rotvec), fitted).travel.any()


def test_recognition_can_be_turned_off(fitted: Proportions) -> None:
    assert not targets_of(in_place(synthesise("walk_1.2", fps=60.0)), fitted, treadmill="off").travel.any()


def test_adding_and_removing_travel_are_inverse(walk_clip: Clip) -> None:
    metrics = {**walk_clip.metrics, **travel_metrics(np.array([0.3, -1.1]), in_place=False)}
    clip = replace(walk_clip, metrics=metrics)
    kept = to_place(clip)
    assert kept.metrics["treadmill_in_place"] == 1.0
    np.testing.assert_allclose(kept.qvel[:, :2] - clip.qvel[:, :2], np.tile([-0.3, 1.1], (clip.nframe, 1)), atol=1e-6)
    restored = overground(kept)
    for name in ("qpos", "qvel", "landmark_pos", "target_pos"):
        np.testing.assert_allclose(getattr(restored, name), getattr(clip, name), atol=2e-6, err_msg=name)
    assert to_place(walk_clip) is walk_clip
    assert overground(walk_clip) is walk_clip


@pytest.mark.slow
@pytest.mark.parametrize("speed", SPEEDS)
def test_a_treadmill_is_judged_as_walking(speed: float, retargeter: Retargeter, body: TargetBody) -> None:
    walk = turned(synthesise(f"walk_{speed}", seconds=4.0, fps=60.0), 70.0)
    with optimised():
        ref, kept = (result.clip for result in retargeter.retarget([walk, in_place(walk)]))
    assert ref is not None
    assert kept is not None
    assert ref.metrics["treadmill_speed_m_s"] == 0.0
    assert kept.metrics["treadmill_speed_m_s"] == pytest.approx(0.955 * speed, rel=0.05)
    assert np.ptp(kept.qpos[:, :2].astype(float), axis=0).max() < 0.15
    rules = [{reason["rule"] for reason in clip.reasons} for clip in (kept, ref)]
    assert rules[0] <= rules[1], rules  # judged no worse than the same walk overground
    assert kept.verdict != "infeasible"
    for name in ("residual_force_bw", "skate_m_s", "stance_fraction"):
        assert kept.metrics.get(name, 0.0) == pytest.approx(ref.metrics.get(name, 0.0), abs=0.03), name
    peaks = [clip.metrics["ground_force_peak_bw"] for clip in (kept, ref)]
    assert peaks[0] == pytest.approx(peaks[1], abs=0.05)  # a toe-off one frame later raises the peak by 0.04

    checked = Validator(body, ValidationConfig()).validate(kept)  # as mm-validate does with the stored clip
    assert checked.verdict == kept.verdict
    np.testing.assert_array_equal(checked.qpos, kept.qpos)
    for name in ("residual_force_bw", "skate_m_s", "treadmill_speed_m_s", "treadmill_in_place"):
        assert checked.metrics[name] == pytest.approx(kept.metrics[name], abs=0.005), name
