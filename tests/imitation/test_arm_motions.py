"""Motions of the small arm: within joint limits and muscle strength, and stored like any other clip."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from musclemap.datasets.clip import read_clip, write_clip
from musclemap.imitation.physics.bodies import load_simulation_body
from musclemap.imitation.task.arm_motions import MARGIN, arm_clips, minimum_jerk
from musclemap.imitation.task.reference import make_library
from musclemap.skeletons.bodies.small_arm import load_small_arm


def test_clips_round_trip_and_can_be_tracked(tmp_path: Path) -> None:
    name, clip = arm_clips(1, 1.0, seed=2)[0]
    assert name == "arm_000"
    assert write_clip(tmp_path / "clip.h5", clip) == write_clip(tmp_path / "again.h5", arm_clips(2, 1.0, seed=2)[0][1])
    np.testing.assert_array_equal(read_clip(tmp_path / "clip.h5").qpos, clip.qpos)
    assert make_library([(name, clip)], load_simulation_body("SmallArm"), resting=0.1).names == ("arm_000",)


def test_configurations_keep_off_the_limits_and_clips_differ() -> None:
    model, clips = load_small_arm(), [clip for _, clip in arm_clips(3, 2.0, seed=0)]
    for clip in clips:
        assert clip.verdict == "feasible"
        assert (clip.qpos >= model.jnt_range[:, 0] + MARGIN - 1e-6).all()
        assert (clip.qpos <= model.jnt_range[:, 1] - MARGIN + 1e-6).all()
    assert np.abs(clips[0].qpos - clips[1].qpos).max() > 0.1
    assert np.ptp(clips[0].qpos, axis=0).max() > 0.2


def test_activations_reproduce_the_torques_of_the_motion() -> None:
    """Forward dynamics at the stored activations gives the acceleration of the motion."""
    model, (_, clip) = load_small_arm(), arm_clips(1, 1.5, seed=1)[0]
    assert clip.activation is not None
    expected, data = np.gradient(clip.qvel.astype(float), 0.01, axis=0), mujoco.MjData(model)
    for frame in range(0, clip.nframe, 10):
        data.qpos, data.qvel, data.act = clip.qpos[frame], clip.qvel[frame], clip.activation[frame]
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(data.qacc, expected[frame], atol=0.05)


@pytest.mark.parametrize("duration", [0.5, 2.0])
def test_minimum_jerk_starts_and_ends_at_rest(duration: float) -> None:
    time = np.linspace(0.0, duration, 2001)
    position = minimum_jerk(time / duration)
    speed = np.gradient(position, time)
    assert (position[0], position[-1]) == (0.0, 1.0)
    assert np.abs(speed[[0, -1]]).max() < 1e-4
    assert speed.max() == pytest.approx(1.875 / duration, rel=1e-3)  # Flash & Hogan 1985
