"""Repeated frames: patterns are found and removed, and a body that stands still is not accused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musclemap.datasets.amass.reader import read_motion
from musclemap.datasets.amass.repeated_frames import find_repeats, without_repeats
from musclemap.datasets.motion import JointAngles, SourceMotion
from musclemap.datasets.synthetic.synthesis import motion_names, synthesise, write_motion
from musclemap.reason_codes import ReasonCode


def at_frames(motion: SourceMotion, frames: np.ndarray, *, fps: float | None = None) -> SourceMotion:
    """The motion with other frames, stored at a rate."""
    hands = None if motion.hand_rotvec is None else motion.hand_rotvec[frames]
    return replace(
        motion, rotvec=motion.rotvec[frames], trans=motion.trans[frames], hand_rotvec=hands, fps=fps or motion.fps
    )


def held(nframe: int, times: int) -> np.ndarray:
    return np.repeat(np.arange(nframe), times)


@pytest.mark.parametrize("name", motion_names())
@pytest.mark.parametrize(("times", "fps"), [(2, 30.0), (4, 30.0), (2, 60.0)])
def test_a_recording_stored_at_a_multiple_of_its_rate_is_restored(name: str, times: int, fps: float) -> None:
    recorded = synthesise(name, fps=fps)
    stored = at_frames(recorded, held(recorded.nframe, times), fps=times * fps)
    report = find_repeats(stored.rotvec, stored.trans, fps=stored.fps)
    restored = without_repeats(stored, report)
    assert restored.fps == fps
    np.testing.assert_array_equal(restored.trans, recorded.trans)
    np.testing.assert_array_equal(restored.rotvec, recorded.rotvec)
    assert report.pattern.startswith("every second frame" if times == 2 else "every frame is repeated 3 times")


def test_walking_stored_at_twice_its_rate_has_half_of_its_frames_repeated() -> None:
    stored = at_frames(synthesise("walk_1.2", fps=30.0), held(181, 2), fps=60.0)
    assert find_repeats(stored.rotvec, stored.trans, fps=60.0).fraction == pytest.approx(0.5, abs=0.02)


def test_a_frame_inserted_regularly_is_found() -> None:
    """100 Hz stored as 120 Hz: every sixth frame repeats its predecessor."""
    recorded = synthesise("walk_1.2", fps=100.0)
    frames = np.arange(int(recorded.nframe * 1.2)) * 5 // 6
    stored = at_frames(recorded, frames, fps=120.0)
    report = find_repeats(stored.rotvec, stored.trans, fps=120.0)
    restored = without_repeats(stored, report)
    assert (report.pattern, report.fps) == ("every sixth frame is repeated", 100.0)
    np.testing.assert_array_equal(restored.trans, recorded.trans[: restored.nframe])


def test_stated_angles_are_restored_with_the_rotations() -> None:
    """Every frame of 60 Hz stored twice, and single repeats: angles stay those of the frames that remain."""
    walk = synthesise("walk_1.2", fps=60.0)
    phase = np.sin(0.1 * np.arange(walk.nframe))[:, None] * [1.0, 2.0]
    single = np.where(np.arange(walk.nframe) == 100, 99, np.arange(walk.nframe))
    for frames, fps, exact in ((held(walk.nframe, 2), 120.0, 0.0), (single, 60.0, 1e-4)):
        angles = JointAngles(names=("hip_flexion_r", "knee_angle_r"), values=phase[frames])
        stored = replace(at_frames(walk, frames, fps=fps), angles=angles)
        restored = without_repeats(stored, find_repeats(stored.rotvec, stored.trans, fps=stored.fps))
        assert restored.angles is not None
        np.testing.assert_allclose(restored.angles.values, phase, atol=exact)


def test_single_repeats_are_named_and_interpolated() -> None:
    walk = synthesise("walk_1.2", fps=60.0)
    frames = np.arange(walk.nframe)
    frames[[100, 157, 158]] = [99, 156, 156]
    report = find_repeats(walk.rotvec[frames], walk.trans[frames], fps=60.0)
    assert np.flatnonzero(report.repeated).tolist() == [100, 157, 158]
    assert report.fps is None
    assert "3 frames are repeated" in report.pattern
    assert "frame 100" in report.pattern
    restored = without_repeats(at_frames(walk, frames), report)
    assert restored.fps == walk.fps
    np.testing.assert_allclose(restored.trans, walk.trans, atol=0.002)
    assert np.abs(restored.rotvec - walk.rotvec).max() < 0.05


@pytest.mark.parametrize("name", motion_names())
@pytest.mark.parametrize("fps", [30.0, 120.0])
def test_motions_with_standing_are_not_accused(name: str, fps: float) -> None:
    motion = synthesise(name, fps=fps, seconds=10.0)
    assert not find_repeats(motion.rotvec, motion.trans, fps=fps).repeated.any()


def test_numbers_of_16_bits_are_not_accused() -> None:
    """At its turning points a motion of low resolution has equal frames."""
    for name in motion_names():
        motion = synthesise(name, fps=120.0)
        rotvec, trans = (values.astype(np.float16).astype(float) for values in (motion.rotvec, motion.trans + 3.0))
        assert not find_repeats(rotvec, trans, fps=120.0).repeated.any(), name


def test_a_pause_and_padded_ends_are_not_accused() -> None:
    walk = synthesise("squat", fps=60.0)
    still = np.concatenate([np.zeros(60, int), np.arange(walk.nframe), np.full(120, walk.nframe - 1)])
    report = find_repeats(walk.rotvec[still], walk.trans[still], fps=60.0)
    assert not report.repeated.any()


def test_a_pause_inside_a_repeated_recording_keeps_its_duration() -> None:
    walk = synthesise("squat", fps=30.0)
    frames = held(walk.nframe, 2)
    frames = np.concatenate([np.zeros(60, int), frames])
    restored = without_repeats(at_frames(walk, frames, fps=60.0), find_repeats(
        walk.rotvec[frames], walk.trans[frames], fps=60.0
    ))  # fmt: skip
    assert restored.duration == pytest.approx(walk.duration + 1.0, abs=0.04)


def test_the_reader_warns(tmp_path: Path) -> None:
    recorded = synthesise("walk_1.2", fps=30.0)
    write_motion(tmp_path / "a.npz", at_frames(recorded, held(recorded.nframe, 2), fps=60.0))
    warnings = {w.code: w.text for w in read_motion(tmp_path / "a.npz", name="a.npz").warnings}
    text = warnings[ReasonCode.REPEATED_FRAMES]
    assert "every second frame is repeated" in text
    assert "30 Hz" in text
