"""Every layout of SMPL arrays is read back exactly, or refused with the candidates."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.errors import SourceError

from ...support.data.source_files import FPS, codes, columns, read, read_all, save, text_of, walk

ROTVEC, TRANS = walk()
NFRAME = len(ROTVEC)
BESIDE = np.array([0.0, 2.0, 0.0])


def matrices(rotvec: np.ndarray) -> np.ndarray:
    return Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_matrix().reshape(*rotvec.shape, 3)


def assert_walk(path: Path, **options: Any) -> None:
    motion = read(path, **options)
    np.testing.assert_allclose(motion.rotvec, ROTVEC, atol=1e-6)
    np.testing.assert_allclose(motion.trans, TRANS, atol=1e-6)
    assert motion.fps == FPS


def refused(path: Path) -> SourceError:
    with pytest.raises(SourceError) as caught:
        read_all(path)
    return caught.value


@pytest.mark.parametrize("key", ["poses", "pose", "pose_aa", "fullpose", "smpl_poses"])
@pytest.mark.parametrize("width", [66, 72, 156, 165])
def test_packed_columns_under_every_key(tmp_path: Path, key: str, width: int) -> None:
    assert_walk(save(tmp_path, ROTVEC, TRANS, **({"poses": None} | {key: columns(ROTVEC, width)})))


@pytest.mark.parametrize("njoint", [22, 24, 52, 55])
def test_joints_as_a_dimension(tmp_path: Path, njoint: int) -> None:
    pose = columns(ROTVEC, 3 * njoint).reshape(NFRAME, njoint, 3)
    assert_walk(save(tmp_path, ROTVEC, TRANS, poses=pose))
    assert_walk(save(tmp_path, ROTVEC, TRANS, poses=matrices(pose)))


@pytest.mark.parametrize(("width", "first"), [(75, False), (168, False), (75, True), (168, True)])
def test_pose_and_translation_in_one_array(tmp_path: Path, width: int, first: bool) -> None:
    parts = [columns(ROTVEC, width - 3), TRANS]
    assert_walk(save(tmp_path, ROTVEC, TRANS, poses=np.concatenate(parts[::-1] if first else parts, axis=1)))


def test_75_columns_of_smplx_without_hands(tmp_path: Path) -> None:
    motion = read(save(tmp_path, ROTVEC, TRANS, poses=columns(ROTVEC, 75)))
    assert (motion.family, motion.hand_rotvec) == ("smplx", None)


def test_168_columns_without_a_translation_among_them_are_refused(tmp_path: Path) -> None:
    error = refused(save(tmp_path, ROTVEC, TRANS, poses=columns(ROTVEC, 168)))
    assert error.code == "ambiguous_layout"
    assert "save the 165 alone" in str(error)


@pytest.mark.parametrize(("njoint", "family"), [(21, "smplx"), (23, "smpl")])
@pytest.mark.parametrize("shape", ["flat", "joints", "matrices"])
def test_body_pose_and_global_orient(tmp_path: Path, njoint: int, family: str, shape: str) -> None:
    pose = columns(ROTVEC, 3 * njoint + 3).reshape(NFRAME, njoint + 1, 3)
    root, body = pose[:, :1], pose[:, 1:]
    if shape == "flat":
        root, body = root[:, 0], body.reshape(NFRAME, -1)
    elif shape == "matrices":
        root, body = matrices(root), matrices(body)
    path = save(tmp_path, ROTVEC, TRANS, poses=None, trans=None, global_orient=root, body_pose=body, transl=TRANS)
    assert_walk(path)
    assert read(path).family == family


@pytest.mark.parametrize("width", [63, 69])
def test_poses_without_the_root_need_it(tmp_path: Path, width: int) -> None:
    body = columns(ROTVEC, 72)[:, 3 : 3 + width]
    assert_walk(save(tmp_path, ROTVEC, TRANS, poses=body, root_orient=ROTVEC[:, 0]))
    assert "lacks the root: add global_orient" in str(refused(save(tmp_path, ROTVEC, TRANS, poses=body)))


def six(pose: np.ndarray, order: str) -> np.ndarray:
    mat = matrices(pose)
    if order == "rows":
        return mat[..., :2, :].reshape(*pose.shape[:-1], 6)
    pair = mat[..., :, :2]
    return (pair if order == "pairs" else pair.swapaxes(-1, -2)).reshape(*pose.shape[:-1], 6)


@pytest.mark.parametrize("order", ["rows", "columns", "pairs"])
@pytest.mark.parametrize("flat", [False, True])
def test_6d_rotations_in_every_order(tmp_path: Path, order: str, flat: bool) -> None:
    pose = six(columns(ROTVEC, 72).reshape(NFRAME, 24, 3), order)
    pose = pose.reshape(NFRAME, -1) if flat else pose
    assert_walk(save(tmp_path, ROTVEC, TRANS, poses=None, poses_6d=pose))
    split = {"global_orient_6d": six(ROTVEC[:, 0], order), "body_pose_6d": six(ROTVEC[:, 1:], order)}
    assert_walk(save(tmp_path, ROTVEC, TRANS, poses=None, **split))


def test_6d_rotations_without_a_key_that_says_so_are_refused(tmp_path: Path) -> None:
    assert refused(save(tmp_path, ROTVEC, TRANS, poses=six(ROTVEC, "rows"))).code == "bad_shape"


def test_6d_rotations_of_straight_knees_are_refused(tmp_path: Path) -> None:
    still = np.zeros((NFRAME, 22, 3))
    error = refused(save(tmp_path, still, TRANS, poses=None, pose_6d=six(still, "rows")))
    assert error.code == "ambiguous_layout"
    assert "rotation matrices" in str(error)


def test_matrices_that_are_no_rotations_are_refused(tmp_path: Path) -> None:
    assert "no rotation matrices" in str(refused(save(tmp_path, ROTVEC, TRANS, poses=2 * matrices(ROTVEC))))


def test_hands_of_smplx_names(tmp_path: Path) -> None:
    hands = np.random.default_rng(3).uniform(-0.2, 0.2, (NFRAME, 90))
    split = {"global_orient": ROTVEC[:, 0], "body_pose": ROTVEC[:, 1:].reshape(NFRAME, 63)}
    sides = {"left_hand_pose": hands[:, :45], "right_hand_pose": hands[:, 45:].reshape(NFRAME, 15, 3)}
    motion = read(save(tmp_path, ROTVEC, TRANS, poses=None, **split, **sides))
    assert motion.hand_rotvec is not None
    np.testing.assert_array_equal(motion.hand_rotvec.reshape(NFRAME, 90), hands)
    few = {key: np.zeros((NFRAME, 6)) for key in sides}
    motion = read(save(tmp_path, ROTVEC, TRANS, poses=None, **split, **few))
    assert motion.hand_rotvec is None
    assert "fingers were not read" in text_of(motion)


@pytest.mark.parametrize("key", ["fps", "framerate", "mocap_frame_rate", "mocap_framerate"])
@pytest.mark.parametrize("rate", [30, np.float32(30), "30", b"30", np.array("30.0"), np.full(NFRAME, 30.0)])
def test_frame_rate_under_every_key(tmp_path: Path, key: str, rate: Any) -> None:
    motion = read(save(tmp_path, ROTVEC, TRANS, **({"mocap_framerate": None} | {key: rate})))
    assert (motion.fps, motion.fps_source) == (30.0, key)


def test_frame_rates_that_are_no_rate(tmp_path: Path) -> None:
    for rate in ("fast", "3.0.0", np.arange(1.0, NFRAME + 1)):
        error = refused(save(tmp_path, ROTVEC, TRANS, mocap_framerate=rate))
        assert error.code in ("bad_frame_rate", "bad_type")
    error = refused(save(tmp_path, ROTVEC, TRANS, mocap_framerate=None))
    assert error.code == "no_frame_rate"
    assert "--source-fps" in str(error)
    assert read(save(tmp_path, ROTVEC, TRANS, mocap_framerate=None), source_fps=30.0).fps == 30.0


def test_betas_of_every_shape(tmp_path: Path) -> None:
    betas = np.linspace(-2, 2, 10)
    for shaped in (betas[:, None], betas[None], np.tile(betas, (NFRAME, 1, 1)), np.tile(betas, (1, NFRAME, 1))):
        motion = read(save(tmp_path, ROTVEC, TRANS, betas=shaped))
        np.testing.assert_allclose(motion.betas, betas)
        assert not motion.warnings
    changing = betas + np.linspace(-1, 1, NFRAME)[:, None]
    motion = read(save(tmp_path, ROTVEC, TRANS, betas=changing))
    np.testing.assert_allclose(motion.betas, betas, atol=1e-12)
    assert codes(motion) == {"changing_betas"}


@pytest.mark.parametrize(
    ("gender", "read_as", "code"),
    [
        ("FEMALE", "female", None),
        (np.array(["male"] * NFRAME), "male", None),
        (np.array(2), "female", "numbered_gender"),
        (np.ones(NFRAME), "male", "numbered_gender"),
        (np.array(0), "neutral", "numbered_gender"),
        (np.array(7), "neutral", "bad_gender"),
    ],
)
def test_gender_of_every_kind(tmp_path: Path, gender: Any, read_as: str, code: str | None) -> None:
    motion = read(save(tmp_path, ROTVEC, TRANS, gender=gender))
    assert motion.gender == read_as
    assert codes(motion) == ({code} if code else set())


def test_translation_with_a_dimension_of_one(tmp_path: Path) -> None:
    assert_walk(save(tmp_path, ROTVEC, TRANS, trans=TRANS[:, None]))
    assert_walk(save(tmp_path, ROTVEC, TRANS, trans=TRANS[:, None], poses=ROTVEC.reshape(NFRAME, 1, 66)))


@pytest.mark.parametrize("frames_first", [False, True])
def test_several_people_give_one_motion_each(tmp_path: Path, frames_first: bool) -> None:
    poses = np.stack([columns(ROTVEC, 72), columns(ROTVEC[::-1], 72)])
    trans = np.stack([TRANS, TRANS[::-1] + BESIDE])
    betas, genders = np.stack([np.zeros(10), np.ones(10)]), np.array(["female", "male"])
    if frames_first:
        poses, trans = poses.swapaxes(0, 1), trans.swapaxes(0, 1)
    people = read_all(save(tmp_path, ROTVEC, TRANS, poses=poses, trans=trans, betas=betas, gender=genders))
    assert [motion.name for motion in people] == ["motion.npz", "motion.npz/person2"]
    assert [motion.gender for motion in people] == ["female", "male"]
    assert [motion.betas[0] for motion in people] == [0.0, 1.0]
    np.testing.assert_array_equal(people[1].rotvec, ROTVEC[::-1])
    np.testing.assert_array_equal(people[1].trans, TRANS[::-1] + BESIDE)


def test_people_that_may_be_frames_are_refused(tmp_path: Path) -> None:
    poses, trans = np.zeros((5, 6, 72)), np.zeros((5, 6, 3))
    error = refused(save(tmp_path, ROTVEC, TRANS, poses=poses, trans=trans))
    assert error.code == "ambiguous_layout"
    assert "5 people with 6 frames, or 6 people with 5 frames" in str(error)


def test_half_precision(tmp_path: Path) -> None:
    motion = read(save(tmp_path, ROTVEC, TRANS, poses=columns(ROTVEC, 156).astype(np.float16)))
    np.testing.assert_allclose(motion.rotvec, ROTVEC, atol=2e-3)
    assert not codes(motion)
