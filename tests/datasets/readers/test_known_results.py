"""Results of pose estimators, generators and data sets: read as they are, or refused by name with what to give."""

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.formats.readers.motion_reader import ReadOptions
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.datasets.motion import SourceMotion
from musclemap.errors import MusclemapError
from musclemap.reason_codes import ReasonCode

from ...support.data.source_files import columns, walk

ROTVEC, TRANS = walk()
NFRAME = len(ROTVEC)
POSE, FULL = columns(ROTVEC, 72), columns(ROTVEC, 165)
ROOT, BODY = ROTVEC[:, 0], ROTVEC[:, 1:22].reshape(NFRAME, 63)
MATRICES = Rotation.from_rotvec(POSE.reshape(-1, 3)).as_matrix().reshape(NFRAME, 24, 3, 3)


def npy(content: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, content, allow_pickle=True)
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def dictionary(**items: Any) -> np.ndarray:
    """A dictionary as NumPy saves it."""
    return np.array(items, dtype=object)


def read(folder: Path, name: str, content: bytes) -> list[SourceMotion]:
    (folder / name).write_bytes(content)
    return read_motions(folder / name, name=name, options=ReadOptions(default_fps=30.0))


def two_people(value: np.ndarray) -> np.ndarray:
    return np.stack([value, value])


SIX = np.concatenate([MATRICES[..., 0, :], MATRICES[..., 1, :]], axis=2)
"""First two rows of each rotation, as pytorch3d's 6D, shape (nframe, 24, 6)."""

READ: dict[str, tuple[str, Callable[[], bytes], int, float]] = {  # file, content, people, frame rate
    "GRAB": ("s1_airplane_fly_1.npz", lambda: npz(
        gender="male", sbj_id="s1", n_frames=NFRAME, framerate=120.0, obj_name="airplane",
        body=dictionary(params={"transl": TRANS, "global_orient": ROOT, "body_pose": BODY, "fullpose": FULL},
                        vtemp="x.ply"),
        contact=dictionary(body=np.zeros(3))), 1, 120.0),
    "ARCTIC": ("box_grab_01.smplx.npy", lambda: npy(dictionary(
        transl=TRANS, global_orient=ROOT, body_pose=BODY, jaw_pose=np.zeros((NFRAME, 3)))), 1, 30.0),
    "MDM": ("sample00_smpl_params.npy", lambda: npy(dictionary(
        motion=np.zeros((25, 6, NFRAME)), thetas=SIX.transpose(1, 2, 0), root_translation=TRANS.T,
        length=NFRAME, text="walks")), 1, 20.0),
    "SLAHMR": ("run_world_results.npz", lambda: npz(
        trans=two_people(TRANS), root_orient=two_people(ROOT), pose_body=two_people(BODY), betas=np.zeros((2, 16)),
        floor_plane=np.zeros((2, 3)), cam_R=np.zeros((2, NFRAME, 3, 3))), 2, 30.0),
    "PromptHMR": ("results.pkl", lambda: pickle.dumps({"people": {1: {
        "frames": np.arange(NFRAME), "smplx_cam": {"pose": 0.0 * FULL, "trans": TRANS},
        "smplx_world": {"pose": FULL, "trans": TRANS}}}}), 1, 30.0),
    "InterHuman": ("1.pkl", lambda: pickle.dumps({"mocap_framerate": 60.0, "frames": NFRAME} | {
        f"person{k}": {"root_orient": ROOT, "pose_body": BODY, "trans": TRANS, "betas": np.zeros(10)}
        for k in (1, 2)}), 2, 60.0),
    "Inter-X": ("P1.npz", lambda: npz(
        pose_body=ROTVEC[:, 1:22], pose_lhand=np.zeros((NFRAME, 15, 3)), pose_rhand=np.zeros((NFRAME, 15, 3)),
        root_orient=ROOT, trans=TRANS, betas=np.zeros((1, 10)), gender="male"), 1, 30.0),
}  # fmt: skip


@pytest.mark.parametrize("which", READ)
def test_layouts_that_are_read(tmp_path: Path, which: str) -> None:
    name, content, people, fps = READ[which]
    motions = read(tmp_path, name, content())
    assert len(motions) == people
    for motion in motions:
        assert motion.fps == fps
        np.testing.assert_allclose(motion.rotvec, ROTVEC[:, :22], atol=1e-5)
        np.testing.assert_allclose(motion.trans, TRANS, atol=1e-6)


def image(frame: int) -> dict[str, Any]:
    smpl = {"global_orient": MATRICES[frame, :1], "body_pose": MATRICES[frame, 1:], "betas": np.zeros(10)}
    return {"time": frame, "tid": [1], "smpl": [smpl], "camera": [np.zeros(3)]}


REFUSED: dict[str, tuple[str, Callable[[], bytes], str]] = {  # file, content, words
    "4D-Humans": ("demo.pkl", lambda: pickle.dumps({f"{k:05}.jpg": image(k) for k in range(NFRAME)}), "4D-Humans"),
    "VIBE": ("vibe_output.pkl", lambda: pickle.dumps(
        {1: {"pred_cam": np.zeros((NFRAME, 3)), "pose": POSE, "betas": np.zeros((NFRAME, 10))}}), "camera's frame"),
    "TRAM": ("hps_track_0.npy", lambda: npy(dictionary(
        pred_cam=np.zeros((NFRAME, 3)), pred_rotmat=MATRICES, pred_trans=TRANS[:, None])), "TRAM"),
    "FrankMocap": ("00000_prediction_result.pkl", lambda: pickle.dumps(
        {"demo_type": "body", "pred_output_list": [{"pred_body_pose": POSE[:1]}]}), "FrankMocap"),
    "EasyMocap": ("smpl.npz", lambda: npz(Rh=ROOT, Th=TRANS, poses=POSE, shapes=np.zeros((1, 10))), "EasyMocap"),
    "EasyMocap, a frame": ("000000.json", lambda: json.dumps([{"id": 0, "Rh": [[0, 0, 0]]}]).encode(), "EasyMocap"),
    "OpenPose": ("0_keypoints.json", lambda: b'{"people": [{"pose_keypoints_2d": []}]}', "keypoints of OpenPose"),
    "BABEL": ("train.json", lambda: b'{"0": {"babel_sid": 0}}', "AMASS motions"),
    "robot": ("g1.pkl", lambda: pickle.dumps({"walk": {
        "root_trans_offset": TRANS, "pose_aa": np.zeros((NFRAME, 27, 3)), "dof": np.zeros((NFRAME, 23)), "fps": 30}}),
              "a motion of a robot"),
    "MDM's positions": ("results.npy", lambda: npy(dictionary(
        motion=np.zeros((2, 22, 3, NFRAME)), text=["a", "b"], lengths=np.array([9, 9]))), "smpl_params.npy"),
    "HumanAct12": ("humanact12poses.pkl", lambda: pickle.dumps({"joints3D": [TRANS], "poses": [POSE]}), "HumanAct12"),
    "Motive": ("take.csv", lambda: b"Format Version,1.23,Take Name,a\n", ".c3d or .trc"),
    "Vicon": ("trial.csv", lambda: b"Trajectories\n100\n", "Vicon"),
    "Qualisys": ("trial.tsv", lambda: b"NO_OF_FRAMES\t100\n", "Qualisys"),
    "KIT's MMM": ("00001_mmm.xml", lambda: b"<?xml version='1.0'?><MMM/>", "Master Motor Map"),
    "AddBiomechanics": ("subject.b3d", lambda: b"\x08\x01", ".mot files are read"),
    "Human3.6M": ("Walking.cdf", lambda: b"\xcd\xf3\0\1", "Human3.6M"),
    "another table": ("angles.csv", lambda: b"time,knee\n", "poses and trans"),
}  # fmt: skip


@pytest.mark.parametrize("which", REFUSED)
def test_layouts_that_are_refused_by_name(tmp_path: Path, which: str) -> None:
    name, content, words = REFUSED[which]
    with pytest.raises(MusclemapError) as caught:
        read(tmp_path, name, content())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert getattr(caught.value, "code", None) in (ReasonCode.UNSUPPORTED_FORMAT, ReasonCode.NOT_MOTION)


def test_grab_runs_nothing(tmp_path: Path) -> None:
    """A program in the pickle of an .npz is refused like one in a .pkl."""
    class Program:
        def __reduce__(self):
            return (eval, ("1/0",))

    with pytest.raises(MusclemapError):
        read(tmp_path, "s1.npz", npz(body=np.array({"params": Program()}, dtype=object), framerate=120.0))
