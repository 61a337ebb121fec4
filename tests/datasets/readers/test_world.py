"""Axes, unit and rate of a file are noticed and named; what is certain is corrected, and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.synthesis import motion_names
from musclemap.errors import SettingsError, SourceError
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import PELVIS_ORIGIN, mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk

from ...support.data.source_files import FPS, codes, columns, read, save, text_of, walk

ROTVEC, TRANS = walk(seconds=4.0)
ORIGIN = np.asarray(PELVIS_ORIGIN)
AWAY = np.array([50.0, 0.0, 0.0])


def turned(rotvec: np.ndarray, trans: np.ndarray, turn: Rotation) -> tuple[np.ndarray, np.ndarray]:
    """The same motion in a world turned about its origin."""
    rotvec = rotvec.copy()
    rotvec[:, 0] = (turn * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    return rotvec, turn.apply(trans + ORIGIN) - ORIGIN


Y_UP = Rotation.from_euler("x", -90, degrees=True)
CAMERA = Rotation.from_euler("x", 90, degrees=True)


def assert_walk(motion: SourceMotion) -> None:
    np.testing.assert_allclose(
        Rotation.from_rotvec(motion.rotvec.reshape(-1, 3)).as_matrix(),
        Rotation.from_rotvec(ROTVEC.reshape(-1, 3)).as_matrix(),
        atol=1e-6,
    )
    np.testing.assert_allclose(motion.trans, TRANS, atol=1e-6)


def test_a_walk_with_y_up_is_turned_and_named(tmp_path: Path) -> None:
    path = save(tmp_path, *turned(ROTVEC, TRANS, Y_UP))
    motion = read(path)
    assert_walk(motion)
    assert codes(motion) == {"y_up"}
    assert "looks Y-up" in text_of(motion)
    assert "--up y" in text_of(motion)
    explicit = read(path, up="y")
    assert_walk(explicit)
    assert not explicit.warnings
    kept = read(path, up="z")
    np.testing.assert_array_equal(kept.trans, turned(ROTVEC, TRANS, Y_UP)[1])
    assert "y_up" not in codes(kept)


@pytest.mark.parametrize("heading", [0, 90, 200])
def test_the_heading_does_not_matter(tmp_path: Path, heading: float) -> None:
    rotvec, trans = turned(ROTVEC, TRANS, Y_UP * Rotation.from_euler("z", heading, degrees=True))
    motion = read(save(tmp_path, rotvec, trans))
    assert codes(motion) == {"y_up"}
    np.testing.assert_allclose(motion.trans[:, 2], TRANS[:, 2], atol=1e-6)


def test_a_body_that_stands_with_y_up_is_turned(tmp_path: Path) -> None:
    rotvec, trans = turned(*walk(name="arm_raise", seconds=3.0), Y_UP)
    motion = read(save(tmp_path, rotvec, trans))
    assert "turned to z up" in text_of(motion)


def upright(nframe: int = 90) -> np.ndarray:
    """A body that only turns its head, upright along z and facing x."""
    rotvec = np.zeros((nframe, 22, 3))
    rotvec[:, 0] = Rotation.from_matrix([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]).as_rotvec()
    rotvec[:, BODY_NAMES.index("head"), 1] = 0.5 * np.sin(np.arange(nframe) / 10)
    return rotvec


def lying(height: float) -> tuple[np.ndarray, np.ndarray]:
    """A body on its back along y in a world with z up, its pelvis at a height."""
    rotvec = upright()
    rotvec[:, 0] = 0.0  # SMPL's own axes: head along y, face along z
    trans = np.tile([1.0, 3.0, height], (len(rotvec), 1)) - ORIGIN
    return rotvec, trans


@pytest.mark.parametrize("height", [0.1, 0.55])
def test_a_body_that_lies_is_not_turned(tmp_path: Path, height: float) -> None:
    rotvec, trans = lying(height)
    motion = read(save(tmp_path, rotvec, trans))
    np.testing.assert_array_equal(motion.trans, trans)
    assert "unless the body lies on the floor: add --up y" in text_of(motion)


def test_push_ups_along_y_are_not_turned(tmp_path: Path) -> None:
    rotvec, trans = lying(0.0)
    nframe = len(rotvec)
    joints, _ = source_fk(rotvec, trans, mean_joints())
    toes = joints[0, BODY_NAMES.index("left_foot")]
    rise = np.deg2rad(12 + 8 * np.sin(np.arange(nframe) / 8))  # the straight body turns about its toes, face down
    pose = Rotation.from_rotvec(rise[:, None] * [1.0, 0.0, 0.0]) * Rotation.from_euler("y", 180, degrees=True)
    rotvec[:, 0] = pose.as_rotvec()
    trans = toes + pose.apply(joints[0, 0] - toes) + [0.0, 0.0, 0.1] - ORIGIN
    motion = read(save(tmp_path, rotvec, trans))
    np.testing.assert_array_equal(motion.trans, trans)


def test_camera_coordinates_are_named(tmp_path: Path) -> None:
    rotvec, trans = turned(ROTVEC, TRANS, CAMERA)
    motion = read(save(tmp_path, rotvec, trans + np.array([0.0, 0.0, 3.0])))
    assert codes(motion) == {"camera_coordinates"}
    assert "y down" in text_of(motion)


@pytest.mark.parametrize(("unit", "factor", "name"), [("cm", 100.0, "centimetres"), ("mm", 1000.0, "millimetres")])
@pytest.mark.parametrize("walks", [True, False])
def test_other_units_are_converted_and_named(tmp_path: Path, unit: Any, factor: float, name: str, walks: bool) -> None:
    rotvec, trans = (ROTVEC, TRANS) if walks else walk(name="arm_raise", seconds=3.0)
    path = save(tmp_path, rotvec, factor * trans)
    motion = read(path)
    np.testing.assert_allclose(motion.trans, trans, atol=1e-9)
    assert codes(motion) == {"other_units"}
    assert f"looks like {name}" in text_of(motion)
    assert f"--units {unit}" in text_of(motion)
    stated = read(path, units=unit)
    np.testing.assert_allclose(stated.trans, trans, atol=1e-9)
    assert not stated.warnings
    assert "other_units" not in codes(read(path, units="m", up="z"))


def test_a_file_with_y_up_in_centimetres(tmp_path: Path) -> None:
    rotvec, trans = turned(ROTVEC, TRANS, Y_UP)
    motion = read(save(tmp_path, rotvec, 100.0 * (trans + ORIGIN)))
    assert codes(motion) == {"y_up", "other_units"}
    np.testing.assert_allclose(motion.trans[:, 2] - motion.trans[0, 2], TRANS[:, 2] - TRANS[0, 2], atol=1e-6)


def test_millimetres_far_from_the_origin(tmp_path: Path) -> None:
    """Such numbers would be out of range in metres."""
    motion = read(save(tmp_path, ROTVEC, 1000.0 * (TRANS + AWAY)))
    np.testing.assert_allclose(motion.trans, TRANS + AWAY, atol=1e-6)
    with pytest.raises(SourceError, match="at most") as caught:
        read(save(tmp_path, ROTVEC, 1000.0 * (TRANS + AWAY)), units="m")
    assert caught.value.code == "out_of_range"


@pytest.mark.parametrize("name", motion_names())
@pytest.mark.parametrize("floor", [0.0, 3.0, -1.5])
def test_usual_motions_are_left_alone(tmp_path: Path, name: str, floor: float) -> None:
    rotvec, trans = walk(name=name, seconds=3.0)
    motion = read(save(tmp_path, rotvec, trans + np.array([0.0, 0.0, floor])))
    np.testing.assert_array_equal(motion.trans, trans + np.array([0.0, 0.0, floor]))
    assert not codes(motion) & {"y_up", "other_units", "camera_coordinates"}


# The frame rate


@pytest.mark.parametrize("scale", [0.55, 0.7, 1.0, 1.2])
@pytest.mark.parametrize("name", ["walk_0.8", "walk_1.2", "walk_1.6", "jump"])
def test_a_child_is_not_accused_of_a_wrong_rate(tmp_path: Path, scale: float, name: str) -> None:
    rotvec, trans = walk(seconds=5.0, fps=120.0, name=name)
    pelvis = scale * (trans + ORIGIN)
    for rate in (120.0, 120.0 / np.sqrt(scale)):  # the same steps in the same time, and in that of a smaller body
        motion = read(save(tmp_path, rotvec, pelvis - ORIGIN, mocap_framerate=rate))
        assert motion.frame_rate is not None
        assert not motion.frame_rate.suspicious, motion.frame_rate
        assert not codes(motion)


@pytest.mark.parametrize("scale", [0.55, 1.0])
def test_a_wrong_rate_is_named_with_its_estimate_at_any_size(tmp_path: Path, scale: float) -> None:
    rotvec, trans = walk(seconds=5.0, fps=60.0)
    motion = read(save(tmp_path, rotvec, scale * trans, mocap_framerate=180.0))
    assert codes(motion) == {"doubtful_frame_rate"}
    assert motion.frame_rate is not None
    assert "frame rate 180 Hz is doubtful, about" in text_of(motion)
    assert "--source-fps N" in text_of(motion)
    corrected = read(save(tmp_path, rotvec, scale * trans, mocap_framerate=180.0), source_fps=60.0)
    assert (corrected.fps, corrected.fps_source, corrected.source_fps) == (60.0, "corrected", 180.0)
    assert not corrected.warnings


def test_a_rate_out_of_range_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="source_fps"):
        read(save(tmp_path, ROTVEC, TRANS), source_fps=0.5)


# Faults of frames


def test_the_number_of_frames_as_rate(tmp_path: Path) -> None:
    rotvec, trans = walk(name="squat", seconds=9.0)
    motion = read(save(tmp_path, rotvec, trans, mocap_framerate=float(len(rotvec))))
    assert codes(motion) == {"doubtful_frame_rate"}
    assert f"the file has {len(rotvec)} frames, so its rate may be their number" in text_of(motion)


def test_a_recording_stored_at_twice_its_rate(tmp_path: Path) -> None:
    index = np.repeat(np.arange(len(ROTVEC)), 2)
    motion = read(save(tmp_path, ROTVEC[index], TRANS[index], mocap_framerate=2 * FPS))
    assert codes(motion) == {"repeated_frames"}
    assert "recorded at 30 Hz and stored at 60 Hz" in text_of(motion)


@pytest.mark.parametrize(("before", "behind"), [(1, 0), (0, 60), (3, 5)])
def test_empty_ends_are_left_out(tmp_path: Path, before: int, behind: int) -> None:
    rotvec = np.pad(ROTVEC, ((before, behind), (0, 0), (0, 0)))
    motion = read(save(tmp_path, rotvec, np.pad(TRANS, ((before, behind), (0, 0)))))
    assert_walk(motion)
    assert codes(motion) == {"empty_frames"}
    assert "only zeros in the" in text_of(motion)


def test_empty_frames_in_between_are_named_and_kept(tmp_path: Path) -> None:
    rotvec, trans = ROTVEC.copy(), TRANS.copy()
    rotvec[50:60], trans[50:60] = 0.0, 0.0
    motion = read(save(tmp_path, rotvec, trans))
    assert motion.nframe == len(ROTVEC)
    assert "only zeros in 10 frames within the motion" in text_of(motion)


@pytest.mark.parametrize("numbered", [True, False])
def test_dropped_frames_are_named(tmp_path: Path, numbered: bool) -> None:
    keep = np.r_[0:40, 65 : len(ROTVEC)]
    extra = {"frame_ids": keep} if numbered else {}
    motion = read(save(tmp_path, ROTVEC[keep], TRANS[keep], **extra))
    assert codes(motion) == {"dropped_frames"}
    assert "after frame 39" in text_of(motion)
    assert ("skips 25 frames" if numbered else "jumps by") in text_of(motion)


@pytest.mark.parametrize("length", [1, 2])
def test_a_glitch_is_named(tmp_path: Path, length: int) -> None:
    rotvec, trans = walk(fps=60.0)
    hip = BODY_NAMES.index("left_hip")
    for frame in range(61, 61 + length):
        rotvec[frame, hip] = (Rotation.from_rotvec(rotvec[frame, hip]) * Rotation.from_rotvec([0, 2.9, 0])).as_rotvec()
    motion = read(save(tmp_path, rotvec, trans, mocap_framerate=60.0))
    assert codes(motion) == {"outlier_frames"}
    assert "a glitch: frame 61" in text_of(motion)


def test_a_glitch_of_the_translation_is_named(tmp_path: Path) -> None:
    trans = TRANS.copy()
    trans[30] += [0.0, 1.0, 0.5]
    assert codes(read(save(tmp_path, ROTVEC, trans))) == {"outlier_frames"}


@pytest.mark.parametrize("name", motion_names())
@pytest.mark.parametrize("fps", [12.0, 30.0, 120.0])
def test_good_motions_have_no_faults(tmp_path: Path, name: str, fps: float) -> None:
    rotvec, trans = walk(name=name, fps=fps, seconds=5.0)
    path = save(tmp_path, rotvec, trans, poses=columns(rotvec, 156), mocap_framerate=fps)
    assert not codes(read(path)) - {"doubtful_frame_rate"}
