"""Resampling by time stamps: samples are reproduced, time is kept, and rotations may pass pi."""

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
    """Rotations of 22 joints, each about two axes at once by up to 1 rad at up to 1.5 Hz; flat (n * 22,)."""
    joint = np.arange(22)
    first = np.sin(2 * np.pi * (0.5 + joint / 22) * time[:, None] + joint)
    second = 0.5 * np.cos(2 * np.pi * time[:, None] + 2 * joint)
    axes = np.random.default_rng(70).normal(size=(2, 22, 3))
    axes /= np.linalg.norm(axes, axis=2, keepdims=True)
    rotvecs = [(angle[..., None] * axis).reshape(-1, 3) for angle, axis in zip((first, second), axes, strict=True)]
    return Rotation.from_rotvec(rotvecs[0]) * Rotation.from_rotvec(rotvecs[1])


def swinging_motion(fps: float, *, seconds: float = 4.0) -> SourceMotion:
    time = np.arange(round(seconds * fps) + 1) / fps
    rotvec = swinging(time).as_rotvec().reshape(len(time), 22, 3)
    return motion(rotvec, np.stack([time, np.sin(time), np.cos(3 * time)], axis=1), fps)


def angles_between(rotvec: np.ndarray, truth: Rotation) -> np.ndarray:
    """Angles between axis-angles and true rotations, shape (n * njoint,) [rad]."""
    return (Rotation.from_rotvec(rotvec.reshape(-1, 3)) * truth.inv()).magnitude()


def test_the_same_rate_changes_nothing() -> None:
    source = swinging_motion(100.0)
    resampled = resample(source, 100.0)
    np.testing.assert_array_equal(resampled.rotvec, source.rotvec)
    np.testing.assert_array_equal(resampled.trans, source.trans)
    assert resampled.fps == source.fps
    assert resampled.hand_rotvec is None  # fingers are resampled separately


def test_source_samples_are_reproduced_at_their_times() -> None:
    source = swinging_motion(50.0)
    resampled = resample(source, 100.0)
    assert angles_between(resampled.rotvec[::2], Rotation.from_rotvec(source.rotvec.reshape(-1, 3))).max() < 1e-12
    np.testing.assert_allclose(resampled.trans[::2], source.trans, atol=1e-12)


def test_interpolated_rotations_are_fourth_order_accurate() -> None:
    """Half the time step gives about a sixteenth of the error."""
    error = {}
    for fps in (30.0, 60.0, 120.0):
        dense = resample(swinging_motion(fps), 1000.0)
        error[fps] = angles_between(dense.rotvec, swinging(np.arange(dense.nframe) / 1000.0)).max()
    assert error[30.0] < 1e-2
    assert error[120.0] < 1e-4
    assert error[30.0] / error[60.0] > 12.0
    assert error[60.0] / error[120.0] > 12.0


@pytest.mark.parametrize("fps", [59.94, 120.0, 30.0, 150.0, 99.0, 24.0])
def test_resampling_keeps_time(fps: float) -> None:
    """Fault 6: a frame rate that was rounded down (59.94 was played as 14 of 60) changed the duration."""
    source = swinging_motion(fps, seconds=10.0)
    clip = resample(source, 100.0)
    assert clip.fps == 100.0
    assert 0.0 <= source.duration - clip.duration < 1.0 / 100.0 + 1e-9
    time = np.arange(clip.nframe) / 100.0
    np.testing.assert_allclose(clip.trans[:, 0], time, atol=1e-9)  # x equals the time of the source
    truth = swinging(np.arange(clip.nframe) / 100.0)
    assert angles_between(clip.rotvec, truth).max() < 1.0 / fps**2


def test_frame_times_cover_the_duration_and_do_not_exceed_it() -> None:
    cases = ((1.0, 100.0, 101), (0.999, 100.0, 100), (599 / 59.94, 100.0, 1000), (0.3, 10.0, 4), (0.0, 5.0, 1))
    for duration, fps, count in cases:
        times = frame_times(duration, fps)
        assert len(times) == count
        assert times[-1] <= duration + 1e-8
        np.testing.assert_allclose(np.diff(times), 1.0 / fps, rtol=1e-9)


def test_rotations_beyond_pi_do_not_jump() -> None:
    """At 4 rad/s about the vertical, the axis-angle wraps three times in five seconds; the rotation is continuous."""
    time = np.arange(151) / 30.0
    angles = np.zeros((len(time), 22, 3))
    angles[:, :, 2] = (4.0 * time[:, None] + np.linspace(0, 6, 22) + np.pi) % (2 * np.pi) - np.pi
    source = motion(angles, np.zeros((len(time), 3)), 30.0)
    assert np.abs(np.diff(source.rotvec[:, 0, 2])).max() > 6.0
    clip = resample(source, 100.0)
    later, earlier = (Rotation.from_rotvec(part.reshape(-1, 3)) for part in (clip.rotvec[1:], clip.rotvec[:-1]))
    step = (later * earlier.inv()).as_rotvec()
    np.testing.assert_allclose(step, np.tile([0.0, 0.0, 0.04], (len(step), 1)), atol=1e-4)


def test_quaternions_are_continuous_and_represent_the_same_rotations() -> None:
    """For axis-angles within pi and for equivalent ones beyond 2 pi."""
    source = swinging_motion(30.0).rotvec * 2.9
    wound_up = source * (1.0 + 2.0 * np.pi / np.linalg.norm(source, axis=2, keepdims=True))
    for rotvec in (source, wound_up):
        quat = continuous_quats(rotvec)
        assert np.sum(quat[1:] * quat[:-1], axis=2).min() > 0.5
        np.testing.assert_allclose(np.linalg.norm(quat, axis=2), 1.0, atol=1e-12)
        assert angles_between(rotvec, Rotation.from_quat(quat.reshape(-1, 4))).max() < 1e-9
    times = np.arange(len(source)) / 30.0
    expected = frame_times(times[-1], 100.0)
    one, other = (resample_rotations(rotvec, times, expected) for rotvec in (source, wound_up))
    assert angles_between(one, Rotation.from_rotvec(other.reshape(-1, 3))).max() < 1e-9


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long motion is resampled in chunks, without errors at their borders."""
    source = swinging_motion(60.0, seconds=8.0)
    expected = resample(source, 100.0)
    monkeypatch.setattr(resampling, "FRAMES_PER_CHUNK", 100)
    result = resample(source, 100.0)
    truth = Rotation.from_rotvec(expected.rotvec.reshape(-1, 3))
    assert angles_between(result.rotvec, truth).max() < 1e-12
    np.testing.assert_array_equal(result.trans, expected.trans)


def test_two_frames_suffice() -> None:
    source = swinging_motion(10.0, seconds=0.1)
    assert source.nframe == 2
    clip = resample(source, 100.0)
    assert clip.nframe == 11
    assert np.isfinite(clip.rotvec).all()
    assert angles_between(clip.rotvec[[0, -1]], Rotation.from_rotvec(source.rotvec.reshape(-1, 3))).max() < 1e-12
