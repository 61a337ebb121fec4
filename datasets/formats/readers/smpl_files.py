"""Motions of the SMPL family in the containers of Python: .npz, .npy, pickles, and files of torch."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from musclemap.datasets.amass.arrays import ArrayDict, Arrays
from musclemap.datasets.amass.limits import MAX_BYTES, MAX_FILE_BYTES
from musclemap.datasets.amass.poses import has_pose
from musclemap.datasets.amass.reader import motions_of
from musclemap.datasets.motion import SourceMotion, SourceWarning
from musclemap.errors import FileError, SourceError
from musclemap.npz_arrays import NpzArrays
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.smpl.array_pickle import array
from musclemap.skeletons.smpl.pickle_data import read_pickle
from musclemap.skeletons.smpl.pickle_machine import Record

from .known_results import keys_of, refuse_known_result
from .motion_reader import MotionReader, ReadOptions, SourceFile
from .pose_groups import PUBLISHED_FPS, Convert, PoseGroup, find_pose_groups
from .torch_zip import TorchArchive

BODY_MODEL_KEYS = ("v_template", "shapedirs", "J_regressor")

MOTION_X_WIDTH = 322
_MOTION_X = {
    "root_orient": slice(0, 3), "pose_body": slice(3, 66), "pose_hand": slice(66, 156), "pose_jaw": slice(156, 159),
    "trans": slice(309, 312), "betas": slice(312, 322),
}  # fmt: skip
"""Columns of Motion-X; those between are expression and face shape."""

_FEATURES = {263: "HumanML3D", 251: "KIT-ML"}
_TRAJECTORY_KEYS = ("qpos", "joint_pos", "dof_pos")
_ZIP, _NPY, _OLD_TORCH = b"PK\x03\x04", b"\x93NUMPY", b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_COMPRESSED = (b"x\x01", b"x\x9c", b"x\xda", b"x^", b"\x1f\x8b")  # zlib at its levels, and gzip


def _zip_member(head: bytes) -> str:
    """Name of the first part of a zip archive, or ""."""
    length = int.from_bytes(head[26:28], "little") if head.startswith(_ZIP) else 0
    return head[30 : 30 + length].decode("utf-8", "replace")


def _is_npz(head: bytes, path: Path) -> bool:
    return _zip_member(head).endswith(".npy") or (path.suffix.lower() == ".npz" and not _is_pickle(head, path))


def _is_torch(head: bytes, path: Path) -> bool:
    name = _zip_member(head)
    folder = name.partition("/")[0]
    return name in (f"{folder}/data.pkl", f"{folder}/version", f"{folder}/byteorder", f"{folder}/.format_version")


def _is_npy(head: bytes, path: Path) -> bool:
    return head.startswith(_NPY) and path.suffix.lower() != ".npz"


def _is_pickle(head: bytes, path: Path) -> bool:
    """A pickle of protocol 2 or later, or a file named so: protocol 0 is text, and joblib may compress."""
    named = path.suffix.lower() in (".pkl", ".pickle", ".joblib", ".pk")
    return (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05") or (named and bool(head))


def motions_of_groups(groups: Sequence[PoseGroup], file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    """Motions of all people of all groups of arrays; beside others, those of less than two frames are left out."""
    motions: list[SourceMotion] = []
    short: list[SourceError] = []
    for k, group in enumerate(groups, start=1):
        try:
            motions += _motions(group.arrays, file, options)
        except SourceError as error:
            if len(groups) == 1:
                raise
            named = SourceError(error.code, f"motion {k} of {len(groups)}: {error}")
            if error.code not in (ReasonCode.SINGLE_FRAME, ReasonCode.NO_FRAMES):
                raise named from error
            short.append(named)
    if short and not motions:
        raise short[0]
    if short:
        more = f", and so were {len(short) - 1} others" if len(short) > 1 else ""
        warning = SourceWarning(ReasonCode.SINGLE_FRAME, f"{short[0]}; it was left out{more}")
        motions = [replace(motion, warnings=(*motion.warnings, warning)) for motion in motions]
    return motions


def _motions(arrays: Arrays, file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    return motions_of(
        arrays, name=file.name, sha256=file.sha256, default_fps=options.default_fps, fps_override=options.source_fps,
        published=PUBLISHED_FPS,
    )  # fmt: skip


def _read_npz(file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    arrays = NpzArrays(file.data, limit=MAX_BYTES)
    if not arrays.keys:
        raise SourceError(
            ReasonCode.NOT_MOTION, "it is a zip archive without arrays: unpack it and give the folder of its motions"
        )
    if not has_pose(arrays):
        _refuse_others(arrays.keys)
        if "body" in arrays.keys:
            return _read_grab(file, options)
    try:
        return _motions(arrays, file, options)
    except (SourceError, FileError) as error:
        refuse_known_result(arrays.keys, error)
        raise


def _read_grab(file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    """Read GRAB's dictionaries in an .npz: `body` holds the motion under `params`, beside it are rate and gender."""
    content: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise FileError(f"it unpacks to over {MAX_BYTES} bytes", code=ReasonCode.TOO_LARGE)
            for key in ("body", "framerate", "gender"):
                if f"{key}.npy" in archive.namelist():
                    data = archive.read(f"{key}.npy")
                    pickled = _dtype_of(data).hasobject
                    content[key] = _pickled_object(data) if pickled else np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(f"it is damaged or truncated ({str(error)[:80]})", code=ReasonCode.TRUNCATED) from error
    return motions_of_groups(find_pose_groups(content, _numpy_array), file, options)


def _dtype_of(data: bytes) -> np.dtype:
    """Type of the array of a .npy file."""
    stream = io.BytesIO(data)
    major, _ = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    return read(stream)[2]


def _refuse_others(keys: Sequence[str]) -> None:
    """Refuse files that are known to be no motion of a person."""
    if all(key in keys for key in BODY_MODEL_KEYS):
        raise SourceError(
            ReasonCode.NOT_MOTION, "it is a body model, not a motion: give its folder to --body-models DIR"
        )
    if any(key in keys for key in _TRAJECTORY_KEYS):
        key = next(key for key in _TRAJECTORY_KEYS if key in keys)
        raise SourceError(
            ReasonCode.NOT_MOTION,
            f"it is a trajectory of a robot or another model ({key}), not of a person: give the human motion",
        )
    posed = any("pose" in key or "orient" in key or key == "trans" for key in keys)
    if "betas" in keys and not posed:
        raise SourceError(
            ReasonCode.NOT_MOTION,
            "it holds a subject's shape (betas) and no motion: give the *_poses.npz or *_stageii.npz beside it",
        )


def _read_npy(file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:  # checks shape and type before memory is allocated
        archive.writestr("array.npy", file.data)
    arrays = NpzArrays(packed.getvalue(), limit=MAX_BYTES)
    try:
        values = arrays.numbers("array")
    except FileError as error:
        if error.code is not ReasonCode.PICKLED:
            raise
        return _read_content(_pickled_object(file.data), file, options)
    return _read_array(values, file, options)


def _pickled_object(data: bytes) -> Any:
    """The object of a .npy file that `numpy.save` wrote for a dictionary."""
    stream = io.BytesIO(data)
    major, _ = np.lib.format.read_magic(stream)
    size = 2 if major == 1 else 4
    length = int.from_bytes(data[stream.tell() : stream.tell() + size], "little")
    value = read_pickle(data[stream.tell() + size + length :])
    items = value.state[-1] if isinstance(value, Record) and isinstance(value.state, tuple) and value.state else None
    if not isinstance(items, list) or len(items) != 1:
        raise SourceError(ReasonCode.BAD_TYPE, "it is an array of Python objects, which is no motion")
    return items[0]


def _read_array(values: np.ndarray, file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    """Read an array without names: only Motion-X has rotations and translation in one."""
    if values.ndim == 2 and values.shape[1] == MOTION_X_WIDTH:
        columns = {key: values[:, part] for key, part in _MOTION_X.items()}
        return _motions(ArrayDict(columns | {"motion_x": np.array(MOTION_X_WIDTH)}), file, options)
    if values.ndim == 2 and values.shape[1] in _FEATURES:
        name = _FEATURES[values.shape[1]]
        raise SourceError(
            ReasonCode.UNSUPPORTED_FORMAT,
            f"it has the {values.shape[1]} features of {name}: joint positions, and rotations of a skeleton with other "
            "rest directions than SMPL's, so twists of the limbs are lost; convert the AMASS file it was made from",
        )
    candidates = "rotations without a translation, or joint positions"
    raise SourceError(
        ReasonCode.AMBIGUOUS_LAYOUT,
        f"it is one array of shape {values.shape} without names: {candidates}; save an .npz with the keys poses, trans "
        "and mocap_frame_rate",
    )


def _read_pickle(file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    data = file.data
    if data[:2] in _COMPRESSED:
        data = _decompressed(data)
    if _OLD_TORCH in data[:20]:
        raise SourceError(
            ReasonCode.UNSUPPORTED_FORMAT,
            "it was saved by torch before 1.6: load it and save it again with torch.save of a newer version",
        )
    return _read_content(read_pickle(data), file, options)


def _decompressed(data: bytes) -> bytes:
    """Content of a file compressed by zlib or gzip, as joblib does."""
    stream = zlib.decompressobj(wbits=47)
    try:
        content = stream.decompress(data, MAX_FILE_BYTES)
    except zlib.error as error:
        raise FileError(f"it is damaged or truncated ({error})", code=ReasonCode.TRUNCATED) from error
    if stream.unconsumed_tail:
        raise FileError(f"it unpacks to over {MAX_FILE_BYTES} bytes", code=ReasonCode.TOO_LARGE)
    return content


def _read_content(content: Any, file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    """Read an unpickled object: a dictionary, a list of dictionaries, or an array."""
    if isinstance(content, Record):
        return _read_array(array(content, name="the pickle"), file, options)
    return _read_container(content, _numpy_array, file, options)


def _read_container(
    content: Any, convert: Convert, file: SourceFile, options: ReadOptions
) -> list[SourceMotion]:  # fmt: skip
    _check_container(content)
    try:
        return motions_of_groups(find_pose_groups(_with_generated(content, convert), convert), file, options)
    except (SourceError, FileError) as error:
        refuse_known_result(keys_of(content), error)
        raise


def _with_generated(content: Any, convert: Convert) -> Any:
    """MDM's fit as other results are: 6D rotations (24, 6, nframe) and translation (3, nframe) become frames first."""
    if not isinstance(content, dict) or not {"thetas", "root_translation"} <= content.keys():
        return content
    turns, trans = convert(content["thetas"]), convert(content["root_translation"])
    if turns is None or trans is None or turns.ndim != 3 or turns.shape[1:] != (6, trans.shape[-1]):
        return content
    return {"poses_6d": np.moveaxis(turns, 2, 0)[:, :24], "trans": trans.T, "mdm": np.array(1.0)}


def _check_container(content: Any) -> None:
    if not isinstance(content, dict | list):
        raise SourceError(
            ReasonCode.BAD_TYPE, f"it holds a {type(content).__name__}, not a dictionary of arrays with poses and trans"
        )
    if isinstance(content, dict):
        _refuse_others([key for key in content if isinstance(key, str)])


def _numpy_array(value: Any) -> np.ndarray | None:
    """A pickled array; None for another object or a damaged array."""
    if isinstance(value, np.ndarray):
        return value
    try:
        return array(value, name="value")
    except FileError:
        return None


def _read_torch(file: SourceFile, options: ReadOptions) -> list[SourceMotion]:
    archive = TorchArchive(file.data)

    def convert(value: Any) -> np.ndarray | None:
        tensor = archive.array(value)
        return _numpy_array(value) if tensor is None else tensor

    content = archive.content
    tensor = convert(content)
    if tensor is not None:
        return _read_array(tensor, file, options)
    return _read_container(content, convert, file, options)


_ROTATIONS = "rotations of 22 to 55 joints, translation, betas, gender, frame rate, one motion a person"
_UNSAID = "axis-angle unless the shape or key says otherwise; gender neutral, mean shape"

NPZ = MotionReader(
    name="SMPL arrays, .npz",
    suffixes=(".npz",),
    written_by="AMASS, smplx, GRAB, Inter-X, SLAHMR, HuMoR and other Python programs",
    reads=_ROTATIONS,
    assumes=_UNSAID,
    recognises=_is_npz,
    read=_read_npz,
)
TORCH = MotionReader(
    name="SMPL arrays, torch .pt",
    suffixes=(".pt", ".pth"),
    written_by="GVHMR and other pose estimators (torch.save, 1.6 or later)",
    reads=f"{_ROTATIONS}; the result in the world, not in the camera's frame",
    assumes=f"{_UNSAID}; 30 Hz for GVHMR",
    recognises=_is_torch,
    read=_read_torch,
)
NPY = MotionReader(
    name="Motion-X and dictionaries, .npy",
    suffixes=(".npy",),
    written_by="Motion-X (nframe, 322); numpy.save of a dictionary, such as ARCTIC and MDM's *_smpl_params.npy",
    reads=_ROTATIONS,
    assumes="30 Hz for Motion-X, 20 Hz for MDM",
    recognises=_is_npy,
    read=_read_npy,
)
PICKLE = MotionReader(
    name="SMPL arrays, pickle",
    suffixes=(".pkl", ".pickle", ".joblib", ".pk"),
    written_by="AIST++, WHAM, PromptHMR, InterHuman, 3DPW, EMDB, PHC; pickle and joblib dumps of arrays",
    reads=f"{_ROTATIONS}; smpl_trans is divided by smpl_scaling",
    assumes=f"{_UNSAID}; 60 Hz for AIST++",
    recognises=_is_pickle,
    read=_read_pickle,
)
