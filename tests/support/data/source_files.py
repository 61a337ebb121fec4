"""A walk on the built-in skeleton, and files that other programs would write of it."""

import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from musclemap.datasets.formats.readers.motion_reader import ReadOptions
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.synthesis import synthesise

FPS = 30.0


def walk(*, seconds: float = 2.0, fps: float = FPS, name: str = "walk_1.2") -> tuple[np.ndarray, np.ndarray]:
    """Axis-angles (nframe, 22, 3) and translation (nframe, 3) with z up, in metres."""
    motion = synthesise(name, fps=fps, seconds=seconds)
    return motion.rotvec.copy(), motion.trans.copy()


def columns(rotvec: np.ndarray, width: int) -> np.ndarray:
    """Pose of `width` columns with the 22 joints first and small rotations of all others."""
    rng = np.random.default_rng(width)
    pose = rng.uniform(-0.1, 0.1, (len(rotvec), max(width, 66)))
    pose[:, :66] = rotvec.reshape(len(rotvec), 66)
    return pose[:, :width]


def save(folder: Path, rotvec: np.ndarray, trans: np.ndarray, /, **changes: Any) -> Path:
    """An .npz with AMASS's keys; a change to None removes a key."""
    content: dict[str, Any] = {
        "poses": columns(rotvec, 72), "trans": trans, "betas": np.zeros(10), "gender": "neutral",
        "mocap_framerate": FPS,
    }  # fmt: skip
    content = {key: value for key, value in (content | changes).items() if value is not None}
    path = folder / "motion.npz"
    np.savez(path, **content)
    return path


def read_all(path: Path, **options: Any) -> list[SourceMotion]:
    """All motions of a file."""
    return read_motions(path, name=path.name, options=ReadOptions(**options))


def read(path: Path, **options: Any) -> SourceMotion:
    """The only motion of a file."""
    (motion,) = read_all(path, **options)
    return motion


def codes(motion: SourceMotion) -> set[str]:
    """Codes of the warnings of a motion."""
    return {str(warning.code) for warning in motion.warnings}


def text_of(motion: SourceMotion) -> str:
    """All warnings of a motion."""
    return "; ".join(warning.text for warning in motion.warnings)


# Files of torch, written without it


class _Name:
    """A class or function of torch in a pickle."""

    def __init__(self, module: str, name: str) -> None:
        self.path = (module, name)


class _Storage:
    def __init__(self, key: str, kind: str, count: int) -> None:
        self.key, self.kind, self.count = key, kind, count


class _Tensor:
    def __init__(self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.args = (storage, offset, shape, strides, False)


def _encode(value: Any) -> bytes:
    """Opcodes of protocol 2 for the values of a file of torch."""
    if isinstance(value, _Name):
        return b"c" + "\n".join((*value.path, "")).encode()
    if isinstance(value, _Storage):
        reference = ("storage", _Name("torch", f"{value.kind}Storage"), value.key, "cpu", value.count)
        return _encode(reference) + b"Q"
    if isinstance(value, _Tensor):
        hooks = _encode(_Name("collections", "OrderedDict")) + b")R"
        parts = b"".join(map(_encode, value.args)) + hooks
        return _encode(_Name("torch._utils", "_rebuild_tensor_v2")) + b"(" + parts + b"tR"
    if isinstance(value, dict):
        return b"}(" + b"".join(_encode(key) + _encode(item) for key, item in value.items()) + b"u"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_encode, value)) + b"t"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    text = str(value).encode()
    return b"X" + struct.pack("<I", len(text)) + text


_KINDS = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long"}


def save_torch(path: Path, content: dict[str, Any], *, transposed: bool = False) -> Path:
    """Write nested dictionaries of arrays as torch.save does.

    Args:
        path: File to write.
        content: The dictionaries.
        transposed: Whether to store the arrays column by column, with the strides that say so.
    """
    storages: list[bytes] = []

    def tensors(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: tensors(value) for key, value in node.items()}
        if not isinstance(node, np.ndarray):
            return node
        stored = np.asfortranarray(node) if transposed else np.ascontiguousarray(node)
        padded = np.concatenate([np.zeros(3, node.dtype), stored.ravel(order="K")])
        storages.append(padded.tobytes())
        storage = _Storage(str(len(storages) - 1), _KINDS[node.dtype.str[1:]], padded.size)
        return _Tensor(storage, 3, node.shape, tuple(step // node.itemsize for step in stored.strides))

    data = b"\x80\x02" + _encode(tensors(content)) + b"."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/byteorder", "little")
        for key, stored in enumerate(storages):
            archive.writestr(f"archive/data/{key}", stored)
        archive.writestr("archive/version", "3\n")
    return path


# Dumps of joblib, written without it


def joblib_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """A dictionary of arrays as joblib.dump writes it: bytes of arrays between the opcodes, aligned to 16."""
    data = b"\x80\x04}("
    for key, array in arrays.items():
        dtype = pickle.dumps(array.dtype, 4)[2:]  # without its header
        dtype = dtype[9:-1] if dtype[:1] == b"\x95" else dtype[:-1]  # nor its frame and end
        data += _encode(key)
        data += b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}("
        data += _encode("subclass") + b"cnumpy\nndarray\n" + _encode("shape") + _encode(array.shape)
        data += _encode("order") + _encode("C") + _encode("dtype") + dtype
        data += _encode("allow_mmap") + b"\x88" + _encode("numpy_array_alignment_bytes") + b"K\x10" + b"ub"
        padding = 16 - (len(data) + 1) % 16
        data += bytes([padding]) + b"\xff" * padding + array.tobytes()
    return data + b"u."
