"""Filter of the source: noise goes, signal stays, jumps keep their physics, rotations may pass 180 degrees."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.retarget.config import FilterConfig
from musclemap.retarget.source_filter import FilterReport, filter_source, impact_weight, residual_cutoff
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk

G = 9.81


def filtered(motion: SourceMotion, *, cutoff: float = 0.0) -> tuple[SourceMotion, FilterReport]:
    return filter_source(motion, FilterConfig(cutoff=cutoff), joints=mean_joints())


def noisy(motion: SourceMotion, *, position: float = 0.0005, rotation: float = 0.003) -> SourceMotion:
    """The motion with the noise of optical recordings in every frame [m, rad]."""
    rng = np.random.default_rng(11)
    disturbance = Rotation.from_rotvec(rng.normal(scale=rotation, size=motion.rotvec.shape).reshape(-1, 3))
    rotvec = (Rotation.from_rotvec(motion.rotvec.reshape(-1, 3)) * disturbance).as_rotvec()
    trans = motion.trans + rng.normal(scale=position, size=motion.trans.shape)
    return replace(motion, rotvec=rotvec.reshape(motion.rotvec.shape), trans=trans)


def joint_positions(motion: SourceMotion) -> np.ndarray:
    return source_fk(motion.rotvec, motion.trans, mean_joints())[0]


def peak_acceleration(motion: SourceMotion) -> float:
    return float(np.abs(np.diff(motion.trans, 2, axis=0)).max() * motion.fps**2)


@pytest.mark.parametrize("name", ["walk_1.2", "squat", "turn"])
def test_noise_is_removed(name: str) -> None:
    clean = synthesise(name, seconds=3.0)
    dirty = noisy(clean)
    result, report = filtered(dirty)
    error = [np.sqrt(np.mean((joint_positions(m) - joint_positions(clean)) ** 2)) for m in (dirty, result)]
    assert error[1] < 0.7 * error[0]
    assert peak_acceleration(dirty) > 15.0
    inner = replace(result, trans=result.trans[12:-12])  # at the ends there is nothing to average with
    assert peak_acceleration(inner) < peak_acceleration(clean) + 3.0
    assert all(5.0 <= cutoff <= 12.0 for cutoff in report.cutoff.values())


@pytest.mark.parametrize("name", ["walk_0.8", "walk_1.6", "squat", "reach", "turn", "jump"])
def test_a_clean_motion_hardly_moves(name: str) -> None:
    _, report = filtered(synthesise(name))
    assert report.moved_joints < 0.008
    assert report.moved_joints_rms < 0.001


@pytest.mark.parametrize("noise", [0.0, 0.0005])
def test_a_jump_keeps_its_take_off_its_flight_and_its_height(noise: float) -> None:
    clean = synthesise("jump", fps=120.0)
    result, report = filtered(noisy(clean, position=noise, rotation=5 * noise) if noise else clean)
    assert 0.1 < report.impact_fraction < 0.5
    height = [motion.trans[:, 2] for motion in (clean, result)]
    assert height[1].max() == pytest.approx(height[0].max(), abs=0.002)
    speed = [np.gradient(h, 1 / 120.0).max() for h in height]
    assert speed[1] == pytest.approx(speed[0], rel=0.03)
    top = int(height[0].argmax())
    flight = slice(top - 14, top + 15)  # of 0.35 s
    time = np.arange(29) / 120.0
    assert 2 * np.polyfit(time, height[1][flight], 2)[0] == pytest.approx(-G, abs=0.4)
    landing = [np.gradient(np.gradient(h, 1 / 120.0), 1 / 120.0).max() for h in height]
    assert landing[1] > 0.8 * landing[0]


def test_walking_and_squats_are_no_impacts() -> None:
    for name in ("walk_0.8", "walk_1.6", "squat", "turn"):
        assert not impact_weight(noisy(synthesise(name)).trans[:, 2], 120.0).any(), name


def test_rotations_may_pass_180_degrees() -> None:
    """Someone who turns about the vertical four times, with axis-angles that wrap."""
    walk = synthesise("walk_1.2", seconds=4.0)
    time = np.arange(walk.nframe) / walk.fps
    rotvec = walk.rotvec.copy()
    turning = Rotation.from_euler("z", 2 * np.pi * time[:, None]) * Rotation.from_rotvec(walk.rotvec[:, 0])
    rotvec[:, 0] = turning.as_rotvec()
    result, _ = filtered(replace(walk, rotvec=rotvec))
    moved = (Rotation.from_rotvec(result.rotvec[:, 0]) * turning.inv()).magnitude()
    assert moved.max() < 0.02


def test_a_turned_motion_gives_the_turned_result() -> None:
    motion = noisy(synthesise("walk_1.2", seconds=3.0))
    turn = Rotation.from_euler("z", 2.4)
    rotvec = motion.rotvec.copy()
    rotvec[:, 0] = (turn * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    turned = replace(motion, rotvec=rotvec, trans=turn.apply(motion.trans))
    (result, report), (turned_result, turned_report) = filtered(motion), filtered(turned)
    assert turned_report.cutoff == report.cutoff
    np.testing.assert_allclose(turned_result.trans, turn.apply(result.trans), atol=1e-9)
    difference = (
        Rotation.from_rotvec(turned_result.rotvec[:, 0]).inv() * turn * Rotation.from_rotvec(result.rotvec[:, 0])
    )
    assert difference.magnitude().max() < 1e-7


def test_the_frame_rate_limits_the_cutoff() -> None:
    _, report = filtered(noisy(synthesise("walk_1.6", fps=30.0)))
    assert max(report.cutoff.values()) <= 0.4 * 15.0


def test_a_fixed_cutoff_applies_to_all_signals() -> None:
    _, report = filtered(synthesise("walk_1.2"), cutoff=5.0)
    assert set(report.cutoff.values()) == {5.0}


def test_standing_still_stays_still() -> None:
    walk = synthesise("walk_1.2", seconds=1.0)
    still = replace(walk, rotvec=np.tile(walk.rotvec[:1], (120, 1, 1)), trans=np.tile(walk.trans[:1], (120, 1)))
    result, report = filtered(still)
    assert report.moved_joints < 1e-9
    np.testing.assert_allclose(result.trans, still.trans, atol=1e-12)


def test_residual_analysis_separates_signal_from_noise() -> None:
    time = np.arange(1200) / 120.0
    frequency = np.array([1.0, 2.0, 3.0])
    signal = np.sin(2 * np.pi * time[:, None] * frequency + frequency) @ (1 / frequency[:, None] ** 2)
    noise = np.random.default_rng(5).normal(size=signal.shape)
    cutoff = [
        residual_cutoff([signal + scale * noise], 120.0, lowest=1.0, highest=15.0) for scale in (0.0001, 0.01, 0.1)
    ]
    assert cutoff[0] > cutoff[1] > cutoff[2]
    assert 3.0 < cutoff[1] < 12.0


def test_a_glitch_does_not_lower_the_cutoff_of_all_frames() -> None:
    walk = synthesise("walk_1.2", fps=60.0)
    rotvec = walk.rotvec.copy()
    rotvec[61, 1] += [0.0, 2.0, 0.0]
    cutoff = [filtered(motion)[1].cutoff["legs"] for motion in (walk, replace(walk, rotvec=rotvec))]
    assert cutoff[1] > 0.8 * cutoff[0]
