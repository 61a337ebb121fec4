"""Trajectories of LocoMuJoCo and MuscleMimic: .npz files that their `Trajectory.load` reads.

Keys, shapes and types follow `loco_mujoco/trajectory/dataclasses.py` in the packages loco-mujoco 1.0.0 and musclemimic
0.1.0. Values are those that the recorder in `loco_mujoco/datasets/data_generation/utils.py` takes from MuJoCo's data:
all joints, all bodies with the world first, and the 17 sites that MuscleMimic adds at the origins of the tracked
bodies, in the model's order. `metadata` is left out: theirs is an object array, which needs pickle, and their reader
accepts its absence as None.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from musclemap.datasets.amass.limits import FPS_RANGE, MAX_BYTES, MAX_FILE_BYTES, MAX_FRAMES
from musclemap.datasets.amass.reader import refusing
from musclemap.datasets.clip import Clip
from musclemap.errors import SourceError
from musclemap.files import read_bytes
from musclemap.npz_arrays import NpzArrays
from musclemap.reason_codes import ReasonCode

from .export_body import ExportBody

_PARTS = {"humerus": "shoulder", "ulna": "elbow", "lunate": "hand", "femur": "hip", "tibia": "knee", "talus": "ankle",
          "toes": "toes"}  # fmt: skip
_SIDES = {"r": "right", "l": "left"}

SITE_OF = {"pelvis": "pelvis_mimic", "lumbar1": "upper_body_mimic", "head": "head_mimic"} | {
    f"{part}_{side}": f"{_SIDES[side]}_{name}_mimic" for side in _SIDES for part, name in _PARTS.items()
}
"""MuscleMimic's site at the origin of each tracked body (`body2sites_for_mimic` in its MyoFullBody)."""

MAX_COLUMNS = 10_000
"""Columns of qpos and qvel; MyoFullBody has about a hundred."""

LARGEST = 1e6
"""Largest plausible position [m], angle [rad] or velocity."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """Motions of a MuJoCo model, concatenated.

    Attributes:
        joint_names: Joints in the order of `qpos`.
        jnt_type: MuJoCo's type of each joint (0 free, 2 slide, 3 hinge), or None if absent.
        qpos: Configurations, shape (nframe, nq), float64.
        qvel: Velocities, shape (nframe, nv), float64, or None if absent.
        frequency: Frames per second, or None if absent.
        split_points: First frame of every motion, and the number of frames; shape (nmotion + 1,).
        sha256: Hash of the file.
    """

    joint_names: tuple[str, ...]
    jnt_type: np.ndarray | None
    qpos: np.ndarray
    qvel: np.ndarray | None
    frequency: float | None
    split_points: np.ndarray
    sha256: str

    @property
    def nmotion(self) -> int:
        """Number of motions."""
        return len(self.split_points) - 1


def trajectory_arrays(clip: Clip, body: ExportBody) -> dict[str, np.ndarray]:
    """Convert a clip to the arrays of a trajectory file.

    As in the published files the motion starts at the origin: x and y of the first frame's root are subtracted.

    Args:
        clip: Clip of the body.
        body: Body, without fingers for MuscleMimic.

    Raises:
        ClipError: If the clip is of another body.
    """
    qpos, qvel = body.state(clip)
    if body.nroot:
        qpos[:, :2] -= qpos[0, :2]
    model, motion = body.model, body.motion(qpos, qvel)
    ids = np.sort([model.body(name).id for name in body.target.landmark_names if name in SITE_OF])
    moving = {
        "qpos": qpos, "qvel": qvel, "xpos": motion.xpos, "xquat": motion.xquat, "cvel": motion.cvel,
        "subtree_com": motion.subtree_com, "site_xpos": motion.xpos[:, ids], "site_xmat": motion.xmat[:, ids],
    }  # fmt: skip
    fixed = {key: getattr(model, key) for key in ("body_pos", "body_quat", "body_ipos", "body_iquat")}
    fixed |= {"site_pos": np.zeros((len(ids), 3)), "site_quat": np.tile([1.0, 0.0, 0.0, 0.0], (len(ids), 1))}
    whole = {key: getattr(model, key) for key in ("jnt_type", "body_rootid", "body_weldid", "body_mocapid")}
    whole |= {"site_bodyid": ids, "split_points": np.array([0, len(qpos)])}
    counts = {"njnt": model.njnt, "nbody": model.nbody, "nsite": len(ids)}
    return {
        **{key: array.astype(np.float32) for key, array in moving.items()},
        "split_points": whole.pop("split_points").astype(np.int32),
        "joint_names": np.array(body.joint_names),
        "frequency": np.array(float(clip.fps)),
        "body_names": np.array(body.body_names),
        "site_names": np.array([SITE_OF[body.body_names[b]] for b in ids]),
        **{key: np.array(count, dtype=np.int64) for key, count in counts.items()},
        **{key: array.astype(np.int32) for key, array in whole.items()},
        **{key: array.astype(np.float32) for key, array in fixed.items()},
    }


@refusing
def read_trajectory(path: Path) -> Trajectory:
    """Read a trajectory file without pickle; arrays that follow from `qpos` and the model are ignored.

    Raises:
        SourceError: With one of these codes: unreadable, not_npz, truncated, pickled, too_large, missing_key,
            bad_type, bad_shape, no_frames, non_finite, out_of_range, bad_frame_rate, bad_joints, bad_split.
    """
    data = read_bytes(path, limit=MAX_FILE_BYTES)
    arrays = NpzArrays(data, limit=MAX_BYTES)
    qpos = _frames(arrays, "qpos")
    names = _names(arrays)
    kinds = _kinds(arrays, names, qpos.shape[1])
    qvel = _frames(arrays, "qvel") if "qvel" in arrays else None
    if qvel is not None and (len(qvel) != len(qpos) or qpos.shape[1] - qvel.shape[1] not in (0, 1)):
        raise SourceError(ReasonCode.BAD_SHAPE, f"qvel has shape {qvel.shape}, which does not match qpos {qpos.shape}")
    return Trajectory(
        joint_names=names,
        jnt_type=kinds,
        qpos=qpos,
        qvel=qvel,
        frequency=_frequency(arrays),
        split_points=_split_points(arrays, len(qpos)),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _frames(arrays: NpzArrays, key: str) -> np.ndarray:
    array = arrays.numbers(key)
    if array.ndim != 2:
        raise SourceError(ReasonCode.BAD_SHAPE, f"{key} has shape {array.shape}, not (nframe, n)")
    if len(array) == 0:
        raise SourceError(ReasonCode.NO_FRAMES, "the file holds no frames")
    if array.shape[1] > MAX_COLUMNS:
        raise SourceError(ReasonCode.TOO_LARGE, f"{key} has {array.shape[1]} columns; at most {MAX_COLUMNS} are read")
    if len(array) > MAX_FRAMES:
        raise SourceError(ReasonCode.TOO_LARGE, f"the file holds {len(array)} frames; at most {MAX_FRAMES} are read")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        raise SourceError(ReasonCode.NON_FINITE, f"{key} is not finite in {bad.size} frames, the first is {bad[0]}")
    largest = float(np.abs(array).max(initial=0.0))
    if largest > LARGEST:
        raise SourceError(ReasonCode.OUT_OF_RANGE, f"{key} reaches {largest:.3g}; at most {LARGEST:g} is plausible")
    return array


def _names(arrays: NpzArrays) -> tuple[str, ...]:
    names = arrays.array("joint_names")
    if names.ndim != 1 or names.dtype.kind != "U" or len(set(names.tolist())) < len(names):
        raise SourceError(
            ReasonCode.BAD_JOINTS,
            f"joint_names is {names.dtype} of shape {names.shape}, not a list of distinct names",
        )
    return tuple(names.tolist())


def _kinds(arrays: NpzArrays, names: tuple[str, ...], nq: int) -> np.ndarray | None:
    if "jnt_type" not in arrays:
        return None
    kinds = arrays.numbers("jnt_type")
    if kinds.shape != (len(names),) or not np.isin(kinds, (0, 2, 3)).all():
        raise SourceError(
            ReasonCode.BAD_JOINTS, f"jnt_type does not have {len(names)} joints that are free, slides or hinges"
        )
    if nq != len(names) + 6 * np.count_nonzero(kinds == 0):
        raise SourceError(ReasonCode.BAD_JOINTS, f"the joints of jnt_type do not match the {nq} columns of qpos")
    return kinds.astype(np.int32)


def _frequency(arrays: NpzArrays) -> float | None:
    if "frequency" not in arrays:
        return None
    rate = arrays.numbers("frequency")
    if rate.size != 1 or not FPS_RANGE[0] <= rate.item() <= FPS_RANGE[1]:
        given = rate.reshape(-1)[:5].tolist()
        raise SourceError(
            ReasonCode.BAD_FRAME_RATE,
            f"frequency is {given}, not one number from {FPS_RANGE[0]:g} to {FPS_RANGE[1]:g} Hz",
        )
    return float(rate.item())


def _split_points(arrays: NpzArrays, nframe: int) -> np.ndarray:
    points = arrays.numbers("split_points").reshape(-1) if "split_points" in arrays else np.array([0.0, nframe])
    if points.size < 2 or points[0] != 0 or points[-1] != nframe or not (np.diff(points) > 0).all():
        raise SourceError(
            ReasonCode.BAD_SPLIT,
            f"split_points is {points[:5].tolist()} for {nframe} frames; it must increase from 0 to their number",
        )
    return points.astype(np.int64)
