"""Track files: a round trip on disk, replay bit for bit, and refusal of whatever does not belong in one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from musclemap.datasets.clip import Clip, read_clip, write_clip
from musclemap.datasets.track_file import StoredTrack, read_track, track_path, write_track
from musclemap.errors import ClipError, TrackError
from musclemap.imitation.errors import TrackingError
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.tracking.clip_check import check_clip
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.imitation.tracking.storage import replay_track, stored_track
from musclemap.imitation.tracking.tracked_clip import tracked_clip

from ..support.arm_tracks import constant_track


@pytest.fixture(scope="module")
def clip() -> Clip:
    """Half a second of the small arm."""
    return arm_clips(1, 0.5)[0][1]


def _stored(arm: SimulationBody, clip: Clip, **options: Any) -> StoredTrack:
    track = constant_track(arm, clip, TrackingConfig(seed=1), **options)
    return stored_track(arm, clip, track, name="a/arm.h5", config={"tracking": {"seed": 1}}, clip_sha256="ab" * 32)


def test_round_trip(tmp_path: Path, arm: SimulationBody, clip: Clip) -> None:
    """Everything survives, the state at the start in float64, and the same track gives the same bytes."""
    stored = _stored(arm, clip)
    sha256 = write_track(tmp_path / "a.h5", stored)
    read = read_track(tmp_path / "a.h5", sha256=sha256)
    for key in ("excitation", "tracked_qpos", "tracked_qvel", "tracked_act", "landmark_error", "root_error"):
        np.testing.assert_array_equal(getattr(read, key), getattr(stored, key).astype(np.float32))
        assert getattr(read, key).dtype == np.float32
    for key in ("start_qpos", "start_qvel", "start_act", "start_warmstart"):
        np.testing.assert_array_equal(getattr(read, key), getattr(stored, key))
        assert getattr(read, key).dtype == np.float64
    arrays = {key: getattr(stored, key) for key in vars(stored) if isinstance(getattr(stored, key), np.ndarray)}
    assert vars(replace(read, **arrays)) == vars(stored)
    assert write_track(tmp_path / "b.h5", read) == sha256
    assert (read.verdict, read.failure, read.metrics["frames"]) == ("tracked", "", clip.nframe)


def test_replay_is_identical_bit_for_bit(tmp_path: Path, arm: SimulationBody, clip: Clip) -> None:
    write_track(tmp_path / "a.h5", _stored(arm, clip))
    stored = read_track(tmp_path / "a.h5")
    result = replay_track(arm, stored)
    assert result.identical
    assert result.difference == 0.0
    np.testing.assert_array_equal(result.track.qpos, constant_track(arm, clip, TrackingConfig(seed=1)).qpos)
    changed = stored.excitation.copy()
    changed[0, 0] += 1e-3
    other = replay_track(arm, replace(stored, excitation=changed))
    assert not other.identical
    assert other.difference > 0.0


def test_track_without_steps_is_stored(tmp_path: Path, arm: SimulationBody, clip: Clip) -> None:
    """If the time is up at once, the file says so."""
    stored = _stored(arm, clip, nstep=0, failure="time")
    write_track(tmp_path / "a.h5", stored)
    read = read_track(tmp_path / "a.h5")
    assert (read.nstep, read.verdict, read.failure, read.metrics["frames"]) == (0, "lost", "time", 1)
    assert replay_track(arm, read).identical


def test_bad_states_are_dropped(arm: SimulationBody, clip: Clip) -> None:
    track = constant_track(arm, clip, TrackingConfig())
    track.qpos[20:] = np.nan
    stored = stored_track(arm, clip, track, name="arm.h5", config={})
    assert (stored.nstep, stored.failure, stored.verdict) == (19, "physics", "lost")
    assert np.isfinite(stored.tracked_qpos).all()


@pytest.mark.parametrize(("error", "failure"), [("relative_error", "landmarks"), ("root_error", "root")])
def test_track_beyond_the_limits_is_lost(arm: SimulationBody, clip: Clip, error: str, failure: str) -> None:
    """Whatever the tracker says, a track counts only up to the published limits."""
    track = constant_track(arm, clip, TrackingConfig())
    getattr(track, error)[30:] = 0.6
    stored = stored_track(arm, clip, track, name="arm.h5", config={})
    assert (stored.verdict, stored.failure, stored.metrics["frames"]) == ("lost", failure, 31)
    assert stored.nstep == track.nstep


def test_joint_angle_error_of_the_reference_is_zero(arm: SimulationBody, clip: Clip) -> None:
    track = constant_track(arm, clip, TrackingConfig())
    exact = replace(track, qpos=clip.qpos[:, arm.clip_qpos].astype(np.float64))
    stored = stored_track(arm, clip, exact, name="arm.h5", config={})
    assert stored.metrics["joint_angle_error_deg"] == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"excitation": np.full((50, 6), 1.5)}, "outside 0 to 1"),
        ({"tracked_qpos": np.full((51, 2), np.nan)}, "not finite"),
        ({"tracked_qpos": np.zeros((50, 2))}, "one row more"),
        ({"start_warmstart": np.zeros(3)}, "numbers of velocities"),
        ({"verdict": "fine"}, "verdict"),
        ({"failure": "tired"}, "failure"),
        ({"muscle_names": ("a",)}, "muscle_names"),
        ({"clip_frames": 20}, "exceed the clip"),
        ({"qpos_sha256": "xyz"}, "hexadecimal"),
        ({"fps": 0.0}, "fps"),
        ({"metrics": {"a": {"b": 1}}}, "metrics"),
        ({"clip": "a\0b"}, "null character"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else "",
)  # fmt: skip
def test_track_that_readers_would_refuse_is_not_written(
    tmp_path: Path, arm: SimulationBody, clip: Clip, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrackError, match=message):
        write_track(tmp_path / "a.h5", replace(_stored(arm, clip), **changes))
    assert list(tmp_path.iterdir()) == []


def _edit(path: Path, edit: Any) -> None:
    with h5py.File(path, "r+") as file:
        edit(file)


def _link(file: h5py.File) -> None:
    del file["excitation"]
    file["excitation"] = h5py.ExternalLink("/etc/passwd", "/excitation")


def _integers(file: h5py.File) -> None:
    del file["start_qpos"]
    file["start_qpos"] = np.zeros(2, np.float32)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_link, "link"),
        (_integers, "float64"),
        (lambda file: file.pop("root_error"), "no dataset root_error"),
        (lambda file: file.attrs.__delitem__("verdict"), "no attribute verdict"),
        (lambda file: file.attrs.modify("version", 2), "version 2"),
        (lambda file: file.attrs.__setitem__("config", "{"), "not valid JSON"),
        (lambda file: file["excitation"].__setitem__((0, 0), 7.0), "outside 0 to 1"),
    ],
    ids=["link", "type", "dataset", "attribute", "version", "json", "value"],
)
def test_damaged_track_is_refused(tmp_path: Path, arm: SimulationBody, clip: Clip, edit: Any, message: str) -> None:
    sha256 = write_track(tmp_path / "a.h5", _stored(arm, clip))
    _edit(tmp_path / "a.h5", edit)
    with pytest.raises(TrackError, match=message):
        read_track(tmp_path / "a.h5")
    with pytest.raises(TrackError, match="not the file"):
        read_track(tmp_path / "a.h5", sha256=sha256)


def test_clips_and_tracks_are_told_apart(tmp_path: Path, arm: SimulationBody, clip: Clip) -> None:
    write_track(tmp_path / "track.h5", _stored(arm, clip))
    write_clip(tmp_path / "clip.h5", clip)
    with pytest.raises(TrackError, match="it is not a track: its format is 'musclemap-clip'"):
        read_track(tmp_path / "clip.h5")
    with pytest.raises(ClipError, match="it is not a clip: its format is 'musclemap-track'"):
        read_clip(tmp_path / "track.h5")


def test_track_path_stays_inside_the_folder(tmp_path: Path) -> None:
    assert track_path(tmp_path, "a/b.h5") == tmp_path / "tracks/a/b.h5"
    with pytest.raises(ClipError, match="outside"):
        track_path(tmp_path, "../b.h5")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "Another"}, "of Another, not of SmallArm"),
        ({"model_sha256": "ab" * 32}, "another version"),
        ({"fps": 50.0}, "50 frames per second, but control runs at 100 Hz"),
    ],
)
def test_clip_of_another_body_or_rate_is_refused(
    arm: SimulationBody, clip: Clip, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrackingError, match=message):
        check_clip(arm, replace(clip, **changes))


def test_tracked_clip_has_the_tracked_motion(tmp_path: Path, arm: SimulationBody, clip: Clip) -> None:
    """It is a valid clip, its landmarks are where MuJoCo puts them, and its targets are the clip's landmarks."""
    stored = _stored(arm, clip, nstep=20, failure="time")
    tracked = tracked_clip(clip, stored)
    write_clip(tmp_path / "clip.h5", tracked)
    assert tracked.nframe == 21
    np.testing.assert_array_equal(tracked.target_pos, clip.landmark_pos[:21])
    assert tracked.activation is not None
    np.testing.assert_array_equal(tracked.activation, stored.tracked_act.astype(np.float32))
    np.testing.assert_allclose(tracked.landmark_pos[0], clip.landmark_pos[0], atol=1e-6)
    with pytest.raises(TrackError, match="the track is of SmallArm"):
        tracked_clip(replace(clip, model_sha256="cd" * 32), stored)
