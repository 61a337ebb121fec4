"""Results of pose estimators, generators and data sets: read as they are, or refused by name with what to give."""

import io
import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.formats.readers.motion_reader import ReadOptions
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.errors import MusclemapError
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk

from ...support.bvh_writer import write_bvh
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


_BANDAI = {"collar": "Shoulder", "shoulder": "UpperArm", "elbow": "LowerArm", "wrist": "Hand",
           "hip": "UpperLeg", "knee": "LowerLeg", "ankle": "Foot", "foot": "Toes"}  # fmt: skip
BANDAI_NAMES = {"pelvis": "Hips", "spine1": "Spine", "spine3": "Chest", "neck": "Neck", "head": "Head"} | {
    f"{side}_{part}": f"{name}_{side[0].upper()}" for side in ("left", "right") for part, name in _BANDAI.items()
}


def test_bandai_namco(tmp_path: Path) -> None:
    """Its skeleton has one joint of the spine less, and a root at the origin above the pelvis."""
    motion = synthesise("walk_1.2", fps=30.0, seconds=2.0)
    text = write_bvh(motion, names=BANDAI_NAMES, without=["spine2"]).decode()
    skeleton, frames = text.split("MOTION")
    skeleton = skeleton.replace("ROOT Hips", "JOINT Hips").replace(
        "HIERARCHY\n", "HIERARCHY\nROOT joint_Root\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition "
        "Zrotation Yrotation Xrotation\n", 1)  # fmt: skip
    head, rows = frames.split("Frame Time:")
    time, *rows = rows.strip().splitlines()
    moved = "\n".join([time, *(f"0 0 0 0 0 0 {row}" for row in rows)])
    (read_back,) = read(tmp_path, "walk.bvh", f"{skeleton}}}\nMOTION{head}Frame Time: {moved}\n".encode())
    assert ReasonCode.GUESSED_JOINTS not in {warning.code for warning in read_back.warnings}
    assert read_back.rest_joints is not None
    pos, _ = source_fk(motion.rotvec, motion.trans, mean_joints())
    other, _ = source_fk(read_back.rotvec, read_back.trans, read_back.rest_joints)
    limbs = [k for k, name in enumerate(BODY_NAMES) if "_" in name]
    assert np.linalg.norm(other - pos, axis=2)[:, limbs].max() < 5e-3


def test_grab_runs_nothing(tmp_path: Path) -> None:
    """A program in the pickle of an .npz is refused like one in a .pkl."""
    class Program:
        def __reduce__(self):
            return (eval, ("1/0",))

    with pytest.raises(MusclemapError):
        read(tmp_path, "s1.npz", npz(body=np.array({"params": Program()}, dtype=object), framerate=120.0))


def test_damaged_grab_never_crashes(tmp_path: Path) -> None:
    """Every twentieth byte of the parts before the motion's numbers, and the end, changed."""
    content = READ["GRAB"][1]()
    for place in [*range(0, 3000, 20), *range(len(content) - 600, len(content), 20)]:
        damaged = bytearray(content)
        damaged[place] ^= 0x41
        with suppress(MusclemapError):  # any other error fails the test
            read(tmp_path, "s1.npz", bytes(damaged))
