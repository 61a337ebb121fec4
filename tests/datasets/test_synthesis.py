"""Built-in motions obey mechanics and anatomy: standing feet do not move, and gait follows the tables."""

import hashlib
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.amass.reader import find_motions, read_motion
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic import gait_tables
from musclemap.datasets.synthetic import jump as synthetic_jump
from musclemap.datasets.synthetic.pose import BALL, HEEL, HIP, SHANK, THIGH, TOE, TURNS, leg_to
from musclemap.datasets.synthetic.stride import LEG, NSAMPLE, solve_stride
from musclemap.datasets.synthetic.synthesis import long_motion, motion_names, synthesise, write_archive, write_motion
from musclemap.errors import SettingsError, SourceError
from musclemap.skeletons.smpl.joints import BODY_NAMES, BODY_PARENTS
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk

INDEX = {name: joint for joint, name in enumerate(BODY_NAMES)}
SPEEDS = (0.8, 1.2, 1.6)
PARTS = ("heel", "ball", "toe")


def soles(motion: SourceMotion) -> dict[tuple[str, str], np.ndarray]:
    """Points of both soles in the world, shape (nframe, 3) [m], by side and part."""
    pos, mat = source_fk(motion.rotvec, motion.trans, mean_joints())
    points = {}
    for side in ("left", "right"):
        ankle, toes = INDEX[f"{side}_ankle"], INDEX[f"{side}_foot"]
        points[side, "heel"] = pos[:, ankle] + mat[:, ankle] @ TURNS[ankle] @ HEEL
        points[side, "ball"] = pos[:, ankle] + mat[:, ankle] @ TURNS[ankle] @ BALL
        points[side, "toe"] = points[side, "ball"] + mat[:, toes] @ TURNS[toes] @ TOE
    return points


def speed_of(points: np.ndarray, fps: float) -> np.ndarray:
    return np.linalg.norm(np.gradient(points, 1.0 / fps, axis=0), axis=-1)


def standing_parts(speed: float, phase: np.ndarray) -> dict[str, np.ndarray]:
    """Which points of a foot touch the ground at each phase, excluding 2 % of the stride around each change."""
    stance, edge = gait_tables.stance_part(speed), 0.02
    between = {
        "heel": (0.0, gait_tables.HEEL_OFF),
        "ball": (gait_tables.FOOT_FLAT, stance - gait_tables.ON_TOES),
        "toe": (gait_tables.FOOT_FLAT, stance),
    }
    return {part: (phase > start + edge) & (phase < end - edge) for part, (start, end) in between.items()}


def phases(motion: SourceMotion, speed: float) -> dict[str, np.ndarray]:
    left = np.arange(motion.nframe) / motion.fps / gait_tables.stride_time(speed) % 1.0
    return {"left": left, "right": (left + 0.5) % 1.0}


@pytest.mark.parametrize("speed", SPEEDS)
def test_stance_feet_do_not_move_in_walking(speed: float) -> None:
    motion = synthesise(f"walk_{speed}")
    points = soles(motion)
    for side, phase in phases(motion, speed).items():
        for part, stands in standing_parts(speed, phase).items():
            assert stands.mean() > 0.25
            still = speed_of(points[side, part], motion.fps)[stands]
            assert np.max(still) < 0.03, f"{side} {part} slides at {still.max():.3f} m/s"
            assert np.mean(still) < 0.005
            assert np.max(np.abs(points[side, part][stands, 2])) < 0.001
    assert solve_stride(speed).residual < 0.001


@pytest.mark.parametrize("name", motion_names())
def test_feet_touch_the_floor_and_do_not_sink(name: str) -> None:
    motion = synthesise(name)
    height = np.stack([point[:, 2] for point in soles(motion).values()])
    assert height.min() > -0.001
    airborne = np.zeros(motion.nframe, dtype=bool)
    if name == "jump":
        now = np.arange(motion.nframe) / motion.fps
        airborne = (now > synthetic_jump.TAKE_OFF) & (now < synthetic_jump.TOUCH_DOWN)
        assert np.all(height.min(axis=0)[airborne] > 0.0)
    assert np.max(height.min(axis=0)[~airborne]) < 0.002


@pytest.mark.parametrize("speed", SPEEDS)
def test_walking_speed_and_cadence_are_as_requested(speed: float) -> None:
    motion = synthesise(f"walk_{speed}", seconds=20.0)
    travelled = motion.trans[-1] - motion.trans[0]
    np.testing.assert_allclose(travelled[0] / motion.duration, speed, rtol=0.03)
    assert abs(travelled[1]) < 0.1
    knee = np.linalg.norm(motion.rotvec[:, INDEX["left_knee"]], axis=-1)
    knee = knee - knee.mean()
    period = gait_tables.stride_time(speed)
    lags = np.arange(round(0.6 * period * motion.fps), round(1.4 * period * motion.fps))
    overlap = [np.dot(knee[lag:], knee[: len(knee) - lag]) / (len(knee) - lag) for lag in lags]
    np.testing.assert_allclose(lags[np.argmax(overlap)] / motion.fps, period, atol=1.0 / motion.fps)
    steps_per_minute = 120.0 / period
    np.testing.assert_allclose(speed * 60.0 / steps_per_minute, gait_tables.step_length(speed), rtol=1e-12)


@pytest.mark.parametrize("speed", SPEEDS)
def test_joint_angles_of_walking_match_the_tables_within_their_spread(speed: float) -> None:
    stride, phase = solve_stride(speed), np.arange(NSAMPLE) / NSAMPLE
    reach = gait_tables.reach(speed)
    scale = {"hip_flexion": reach, "knee_flexion": np.sqrt(reach)}
    for k, name in enumerate(LEG):
        if name not in gait_tables.KEY_POINTS:
            continue
        departure = np.rad2deg(stride.leg(phase)[:, k] - scale.get(name, 1.0) * gait_tables.curve(name, phase=phase))
        spread = gait_tables.SPREAD[name]
        assert np.sqrt(np.mean(departure**2)) < spread, name
        assert np.max(np.abs(departure)) < 2.4 * spread, name  # beyond two for an instant, so that progress is even


def test_tables_pass_through_their_key_points_and_close() -> None:
    for name, points in gait_tables.KEY_POINTS.items():
        percent, angle = np.array(points).T
        for turns in (0.0, 1.0, -3.0):
            np.testing.assert_allclose(
                np.rad2deg(gait_tables.curve(name, phase=percent / 100 + turns)), angle, atol=1e-9
            )


def test_walking_at_free_speed_is_recognisably_human() -> None:
    """Ranges from textbooks: knee from nearly straight to 60 degrees, hip 30 to 50 in all, pelvis rising 2 to 5 cm."""
    motion = synthesise("walk_1.2")
    pos, _ = source_fk(motion.rotvec, motion.trans, mean_joints())
    thigh, shank = (np.diff(pos[:, [INDEX[f"left_{a}"], INDEX[f"left_{b}"]]], axis=1)[:, 0]
                    for a, b in (("hip", "knee"), ("knee", "ankle")))  # fmt: skip
    lean_thigh, lean_shank = (np.rad2deg(np.arctan2(bone[:, 0], -bone[:, 2])) for bone in (thigh, shank))
    knee = lean_thigh - lean_shank
    assert 0.0 < knee.min() < 8.0
    assert 55.0 < knee.max() < 68.0
    assert 35.0 < np.ptp(lean_thigh) < 55.0
    assert 0.02 < np.ptp(pos[:, 0, 2]) < 0.05
    # Twice a stride, the pelvis is highest when the feet pass each other and lowest when they are farthest apart.
    separation = np.abs(pos[:, INDEX["left_ankle"], 0] - pos[:, INDEX["right_ankle"], 0])
    assert np.corrcoef(separation, pos[:, 0, 2])[0, 1] < -0.7
    # Arms swing against the legs: each wrist with the foot of the other side.
    wrist = pos[:, INDEX["left_wrist"], 0] - pos[:, 0, 0]
    foot = {side: pos[:, INDEX[f"{side}_ankle"], 0] - pos[:, 0, 0] for side in ("left", "right")}
    assert np.corrcoef(wrist, foot["left"])[0, 1] < -0.7 < 0.7 < np.corrcoef(wrist, foot["right"])[0, 1]
    # The swinging toe clears the floor by a little more than a centimetre at mid-swing, and the heel by much more.
    points, phase = soles(motion), phases(motion, 1.2)["left"]
    swing = (phase > 0.74) & (phase < 0.90)
    assert 0.010 < points["left", "toe"][swing, 2].min() < 0.025
    assert 0.15 < points["left", "heel"][:, 2].max() < 0.30


@pytest.mark.parametrize("speed", SPEEDS)
def test_walking_is_its_own_mirror_image_half_a_stride_later(speed: float) -> None:
    half_frames = 60
    fps = 2 * half_frames / gait_tables.stride_time(speed)
    motion = synthesise(f"walk_{speed}", fps=fps, seconds=2.5 * gait_tables.stride_time(speed))
    early, late = slice(0, motion.nframe - half_frames), slice(half_frames, motion.nframe)
    for name, joint in INDEX.items():
        if name == "pelvis":
            continue
        other = INDEX[name.replace("left_", "?").replace("right_", "left_").replace("?", "right_")]
        mirrored = motion.rotvec[early, joint] * [1.0, -1.0, -1.0]
        np.testing.assert_allclose(motion.rotvec[late, other], mirrored, atol=1e-9)
    middle = motion.trans + mean_joints()[0]
    half_way = speed * gait_tables.stride_time(speed) / 2
    np.testing.assert_allclose(middle[late], middle[early] * [1.0, -1.0, 1.0] + [half_way, 0.0, 0.0], atol=1e-9)


def test_pelvis_falls_freely_in_flight() -> None:
    motion = synthesise("jump")
    pos, _ = source_fk(motion.rotvec, motion.trans, mean_joints())
    now = np.arange(motion.nframe) / motion.fps
    acceleration = np.gradient(np.gradient(pos[:, 0, 2], now), now)
    flight = (now > synthetic_jump.TAKE_OFF + 0.03) & (now < synthetic_jump.TOUCH_DOWN - 0.03)
    assert flight.sum() > 25
    np.testing.assert_allclose(acceleration[flight], -9.81, rtol=0.02)
    height = pos[:, 0, 2].max() - np.interp(synthetic_jump.TAKE_OFF, now, pos[:, 0, 2])
    np.testing.assert_allclose(height, synthetic_jump.TAKE_OFF_SPEED**2 / (2 * 9.81), rtol=0.02)
    on_ground = ~((now > synthetic_jump.TAKE_OFF - 0.02) & (now < synthetic_jump.TOUCH_DOWN + 0.02))
    assert acceleration[on_ground].min() > -10.5, "the body accelerates downwards faster than gravity"


def test_jump_is_smooth() -> None:
    """Joint speeds stay within the range of human jumping and do not change abruptly between frames."""
    motion = synthesise("jump", fps=480.0)
    turned = Rotation.from_rotvec(motion.rotvec[:-1].reshape(-1, 3)).inv() * Rotation.from_rotvec(
        motion.rotvec[1:].reshape(-1, 3)
    )
    rate = turned.as_rotvec().reshape(motion.nframe - 1, 22, 3) * motion.fps
    assert np.max(np.linalg.norm(rate, axis=-1)) < 18.0  # rad/s
    assert np.max(np.linalg.norm(np.diff(rate, axis=0), axis=-1)) < 3.5  # rad/s in 2 ms, at take-off


@pytest.mark.parametrize("name", ["squat", "arm_raise", "reach"])
def test_feet_stay_planted(name: str) -> None:
    motion = synthesise(name)
    for point in soles(motion).values():
        assert np.max(np.abs(point - point[0])) < 1e-9


def test_balls_of_the_feet_stay_planted_until_take_off() -> None:
    motion = synthesise("jump")
    last = int(synthetic_jump.TAKE_OFF * motion.fps)
    for side in ("left", "right"):
        ball = soles(motion)[side, "ball"]
        assert np.max(np.abs(ball[: last + 1] - ball[0])) < 1e-9


def test_turning_goes_once_around_and_a_foot_turns_only_in_the_air() -> None:
    motion = synthesise("turn")
    pos, mat = source_fk(motion.rotvec, motion.trans, mean_joints())
    heading = np.unwrap(np.arctan2(mat[:, 0, 1, 2], mat[:, 0, 0, 2]))
    np.testing.assert_allclose(heading[-1] - heading[0], 2 * np.pi, atol=1e-6)
    points = soles(motion)
    down = {side: points[side, "heel"][:, 2] < 1e-6 for side in ("left", "right")}
    assert np.all(down["left"] | down["right"])
    for side, stands in down.items():
        inner = stands & np.roll(stands, 1) & np.roll(stands, -1)
        for part in PARTS:
            assert np.max(speed_of(points[side, part], motion.fps)[inner]) < 1e-3
    assert np.max(np.linalg.norm(pos[:, 0, :2] - pos[0, 0, :2], axis=-1)) < 0.12


@pytest.mark.parametrize("name", ["squat", "arm_raise", "reach", "turn", "jump"])
def test_exercises_start_and_end_in_the_same_configuration_at_rest(name: str) -> None:
    motion = synthesise(name)
    pos, _ = source_fk(motion.rotvec, motion.trans, mean_joints())
    np.testing.assert_allclose(pos[0], pos[-1], atol=1e-3)
    assert np.max(np.abs(np.diff(pos[[0, 1, -2, -1]], axis=0)[[0, 2]])) < 1e-6


def from_neutral(motion: SourceMotion, name: str) -> np.ndarray:
    """Axis-angle of a joint from the neutral pose, in which limbs are straight, shape (nframe, 3) [rad]."""
    joint = INDEX[name]
    rotation = Rotation.from_rotvec(motion.rotvec[:, joint]).as_matrix()
    return Rotation.from_matrix(TURNS[BODY_PARENTS[joint]].T @ rotation @ TURNS[joint]).as_rotvec()


def test_joints_bend_in_anatomical_directions() -> None:
    """Knees fold backwards and elbows forwards, about their own axes, within MyoFullBody's 120 and 130 degrees."""
    for name in motion_names():
        motion = synthesise(name)
        for side, sign in (("left", 1.0), ("right", -1.0)):
            knee, elbow = (from_neutral(motion, f"{side}_{part}") for part in ("knee", "elbow"))
            np.testing.assert_allclose(knee[:, 1:], 0.0, atol=1e-9)
            np.testing.assert_allclose(elbow[:, [0, 2]], 0.0, atol=1e-9)
            assert np.all(knee[:, 0] > 0.0)
            assert np.rad2deg(knee[:, 0].max()) < 120.0
            assert np.all(-sign * elbow[:, 1] > -1e-9)
            assert np.rad2deg(np.abs(elbow[:, 1]).max()) < 130.0


def test_inverse_kinematics_reaches_the_target() -> None:
    rng = np.random.default_rng(0)
    n = 200
    pelvis, foot = (Rotation.from_rotvec(rng.normal(scale=0.3, size=(n, 3))).as_matrix() for _ in range(2))
    hip_pos = rng.normal(size=(n, 3))
    ankle_pos = hip_pos + rng.uniform((-0.12, -0.75, -0.12), (0.12, -0.55, 0.12), size=(n, 3))
    leg = leg_to(hip_pos, pelvis, ankle_pos, foot)
    thigh = pelvis @ leg["hip"]
    np.testing.assert_allclose(hip_pos + thigh @ THIGH + thigh @ leg["knee"] @ SHANK, ankle_pos, atol=1e-12)
    np.testing.assert_allclose(thigh @ leg["knee"] @ leg["ankle"], foot, atol=1e-12)
    assert HIP[0] > 0.0  # the left leg


@pytest.mark.parametrize("name", motion_names())
def test_round_trip_through_the_amass_file(tmp_path: Path, name: str) -> None:
    motion = synthesise(name, seconds=2.0)
    path = tmp_path / motion.name
    write_motion(path, motion)
    back = read_motion(path, name=motion.name)
    np.testing.assert_array_equal(back.rotvec, motion.rotvec)
    np.testing.assert_array_equal(back.trans, motion.trans)
    np.testing.assert_array_equal(back.betas, np.zeros(16))
    assert back.hand_rotvec is not None
    assert not np.any(back.hand_rotvec)
    assert (back.fps, back.fps_source, back.gender, back.family) == (120.0, "mocap_framerate", "neutral", "smplh")
    assert back.licence == motion.licence == "CC0-1.0"
    assert back.warnings == (), "the reader's plausibility checks must pass"
    with np.load(path, allow_pickle=False) as archive:
        assert sorted(archive.files) == ["betas", "gender", "licence", "mocap_framerate", "poses", "trans"]
        assert archive["poses"].shape == (241, 156)


def test_unknown_licence_is_not_written(tmp_path: Path) -> None:
    write_motion(tmp_path / "a.npz", replace(synthesise("squat", seconds=1.0), licence="unknown"))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert "licence" not in archive.files


def test_same_motion_same_bytes(tmp_path: Path) -> None:
    first = write_archive(tmp_path / "a", seconds=1.5)
    solve_stride.cache_clear()
    second = write_archive(tmp_path / "b", seconds=1.5)
    for path in first:  # no member may contain the time of writing
        with zipfile.ZipFile(path) as archive:
            assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    digests = [[hashlib.sha256(path.read_bytes()).hexdigest() for path in paths] for paths in (first, second)]
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == len(motion_names())


def test_reader_finds_the_written_archive(tmp_path: Path) -> None:
    paths = write_archive(tmp_path, names=("walk_1.2", "jump"), seconds=1.0)
    assert paths == (tmp_path / "builtin/walk/walk_1.2_poses.npz", tmp_path / "builtin/exercise/jump_poses.npz")
    names = [name for _, name in find_motions(tmp_path)]
    assert names == ["builtin/exercise/jump_poses.npz", "builtin/walk/walk_1.2_poses.npz"]


def test_long_walk_is_generated_quickly_and_hardly_slips() -> None:
    begun = time.process_time()
    motion = long_motion(600.0)
    assert time.process_time() - begun < 10.0
    assert motion.nframe == 72001
    travelled = np.sum(np.linalg.norm(np.diff(motion.trans[:, :2], axis=0), axis=-1))
    np.testing.assert_allclose(travelled / 600.0, 1.2, rtol=0.03)
    assert np.max(np.linalg.norm(motion.trans - [0.0, 50.0, 0.0], axis=-1)) < 51.0
    last = replace(motion, rotvec=motion.rotvec[-1200:], trans=motion.trans[-1200:])
    left = phases(motion, 1.2)["left"][-1200:]
    points = soles(last)
    for part, stands in standing_parts(1.2, left).items():
        assert np.max(speed_of(points["left", part], motion.fps)[stands]) < 0.04


def test_impossible_requests_are_refused_with_the_alternatives(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'walk_9'; the motions are walk_0\.8, .*jump"):
        synthesise("walk_9")
    for bad in ({"fps": 0.0}, {"fps": -1.0}, {"seconds": 0.0}, {"seconds": float("nan")}):
        with pytest.raises(SettingsError, match="fewer than two frames"):
            synthesise("squat", **bad)
    with pytest.raises(SourceError, match="family smplx"):
        write_motion(tmp_path / "a.npz", replace(synthesise("squat"), family="smplx"))
    assert not list(tmp_path.iterdir())
