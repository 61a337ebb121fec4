"""Resampling by time stamps: the source's own samples come back, time runs as it did, and rotations run through pi."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion
from musclemap.retarget import resample as resampling
from musclemap.retarget.resample import continuous_quats, frame_times, resample, resample_rotations


def motion(rotvec: np.ndarray, trans: np.ndarray, fps: float) -> SourceMotion:
    return SourceMotion(
        name="made/up.npz", rotvec=rotvec, hand_rotvec=np.zeros((len(rotvec), 30, 3)), trans=trans, betas=np.zeros(16),
        gender="neutral", family="smplh", fps=fps, fps_source="mocap_framerate", source_fps=fps, sha256="",
    )  # fmt: skip


def swinging(time: np.ndarray) -> Rotation:
    """All 22 joints, each swinging about two axes at once, by up to a radian at up to 1.5 Hz; flat (n * 22,)."""
    joint = np.arange(22)
    first = np.sin(2 * np.pi * (0.5 + joint / 22) * time[:, None] + joint)
    second = 0.5 * np.cos(2 * np.pi * time[:, None] + 2 * joint)
    axes = np.random.default_rng(70).normal(size=(2, 22, 3))
    axes /= np.linalg.norm(axes, axis=2, keepdims=True)
    turns = [(angle[..., None] * axis).reshape(-1, 3) for angle, axis in zip((first, second), axes, strict=True)]
    return Rotation.from_rotvec(turns[0]) * Rotation.from_rotvec(turns[1])


def swinging_motion(fps: float, *, seconds: float = 4.0) -> SourceMotion:
    time = np.arange(round(seconds * fps) + 1) / fps
    rotvec = swinging(time).as_rotvec().reshape(len(time), 22, 3)
    return motion(rotvec, np.stack([time, np.sin(time), np.cos(3 * time)], axis=1), fps)


def apart(rotvec: np.ndarray, truth: Rotation) -> np.ndarray:
    """Angles between rotations, shape (n * njoint,) [rad]."""
    return (Rotation.from_rotvec(rotvec.reshape(-1, 3)) * truth.inv()).magnitude()


def test_own_rate_changes_nothing() -> None:
    source = swinging_motion(100.0)
    same = resample(source, 100.0)
    np.testing.assert_array_equal(same.rotvec, source.rotvec)
    np.testing.assert_array_equal(same.trans, source.trans)
    assert same.fps == source.fps
    assert same.hand_rotvec is None  # fingers are resampled by themselves, where they are wanted


def test_source_samples_come_back_at_their_own_times() -> None:
    source = swinging_motion(50.0)
    double = resample(source, 100.0)
    assert apart(double.rotvec[::2], Rotation.from_rotvec(source.rotvec.reshape(-1, 3))).max() < 1e-12
    np.testing.assert_allclose(double.trans[::2], source.trans, atol=1e-12)


def test_between_samples_rotations_are_right_to_fourth_order() -> None:
    """Half the step, a sixteenth of the error."""
    error = {}
    for fps in (30.0, 60.0, 120.0):
        dense = resample(swinging_motion(fps), 1000.0)
        error[fps] = apart(dense.rotvec, swinging(np.arange(dense.nframe) / 1000.0)).max()
    assert error[30.0] < 1e-2
    assert error[120.0] < 1e-4
    assert error[30.0] / error[60.0] > 12.0
    assert error[60.0] / error[120.0] > 12.0


@pytest.mark.parametrize("fps", [59.94, 120.0, 30.0, 150.0, 99.0, 24.0])
def test_time_runs_as_in_the_source(fps: float) -> None:
    """Fault 6: a rate that was floored to a whole step (59.94 played as 14 of 60) let time run differently."""
    source = swinging_motion(fps, seconds=10.0)
    clip = resample(source, 100.0)
    assert clip.fps == 100.0
    assert 0.0 <= source.duration - clip.duration < 1.0 / 100.0 + 1e-9
    np.testing.assert_allclose(clip.trans[:, 0], np.arange(clip.nframe) / 100.0, atol=1e-9)  # x is the source's clock
    truth = swinging(np.arange(clip.nframe) / 100.0)
    assert apart(clip.rotvec, truth).max() < 1.0 / fps**2


def test_frame_times_never_pass_the_end_and_miss_none() -> None:
    cases = ((1.0, 100.0, 101), (0.999, 100.0, 100), (599 / 59.94, 100.0, 1000), (0.3, 10.0, 4), (0.0, 5.0, 1))
    for duration, fps, count in cases:
        times = frame_times(duration, fps)
        assert len(times) == count
        assert times[-1] <= duration + 1e-8
        np.testing.assert_allclose(np.diff(times), 1.0 / fps, rtol=1e-9)


def test_turning_past_pi_makes_no_jump() -> None:
    """Four radians a second about the vertical: the axis-angle wraps three times in five seconds, the body does not."""
    time = np.arange(151) / 30.0
    angles = np.zeros((len(time), 22, 3))
    angles[:, :, 2] = (4.0 * time[:, None] + np.linspace(0, 6, 22) + np.pi) % (2 * np.pi) - np.pi
    source = motion(angles, np.zeros((len(time), 3)), 30.0)
    assert np.abs(np.diff(source.rotvec[:, 0, 2])).max() > 6.0
    clip = resample(source, 100.0)
    later, sooner = (Rotation.from_rotvec(part.reshape(-1, 3)) for part in (clip.rotvec[1:], clip.rotvec[:-1]))
    step = (later * sooner.inv()).as_rotvec()
    np.testing.assert_allclose(step, np.tile([0.0, 0.0, 0.04], (len(step), 1)), atol=1e-4)


def test_quaternions_are_continuous_and_say_the_same() -> None:
    """However the axis-angle is written, wrapped or wound up."""
    source = swinging_motion(30.0).rotvec * 2.9
    wound = source * (1.0 + 2.0 * np.pi / np.linalg.norm(source, axis=2, keepdims=True))
    for rotvec in (source, wound):
        quat = continuous_quats(rotvec)
        assert np.sum(quat[1:] * quat[:-1], axis=2).min() > 0.5
        np.testing.assert_allclose(np.linalg.norm(quat, axis=2), 1.0, atol=1e-12)
        assert apart(rotvec, Rotation.from_quat(quat.reshape(-1, 4))).max() < 1e-9
    times = np.arange(len(source)) / 30.0
    expected = frame_times(times[-1], 100.0)
    one, other = (resample_rotations(rotvec, times, expected) for rotvec in (source, wound))
    assert apart(one, Rotation.from_rotvec(other.reshape(-1, 3))).max() < 1e-9


def test_pieces_are_as_good_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long motion is resampled a stretch at a time; at the seams nothing is left of that."""
    source = swinging_motion(60.0, seconds=8.0)
    whole = resample(source, 100.0)
    monkeypatch.setattr(resampling, "FRAMES_PER_CHUNK", 100)
    pieces = resample(source, 100.0)
    truth = Rotation.from_rotvec(whole.rotvec.reshape(-1, 3))
    assert apart(pieces.rotvec, truth).max() < 1e-12
    np.testing.assert_array_equal(pieces.trans, whole.trans)


def test_two_frames_are_enough() -> None:
    source = swinging_motion(10.0, seconds=0.1)
    assert source.nframe == 2
    clip = resample(source, 100.0)
    assert clip.nframe == 11
    assert np.isfinite(clip.rotvec).all()
    assert apart(clip.rotvec[[0, -1]], Rotation.from_rotvec(source.rotvec.reshape(-1, 3))).max() < 1e-12
