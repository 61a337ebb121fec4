"""Names files that are no motion or cannot be read, and says what to give instead: one line each."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode

from .forces.file_names import is_force_file

_CONVERT_BLENDER = "open it in Blender (free) and export Motion Capture (.bvh)"
_UNPACK = "unpack it and give the folder"
_VIDEO = "a pose estimator such as GVHMR turns a video into a motion: give its result"
_NOT_POSES = "give the file with the poses"


@dataclass(frozen=True)
class OtherFile:
    """A kind of file that no reader reads: what it is, and what to do.

    Attributes:
        what: The kind, with its article.
        advice: What to do instead.
        code: Code of the refusal.
    """

    what: str
    advice: str
    code: ReasonCode = ReasonCode.NOT_MOTION

    @property
    def is_archive(self) -> bool:
        """Whether files that are read start in the same way: .npz and .pt are zip archives, joblib compresses."""
        return self.advice == _UNPACK

    def sentence(self, name: str) -> str:
        """Refusal of a file of this kind."""
        return f"{name} is {self.what}: {self.advice}"


_IMAGE = OtherFile("an image", "a pose estimator turns a video into a motion: give its result")
_ARCHIVE = OtherFile("an archive", _UNPACK)
_FILM = OtherFile("a video", _VIDEO)
_SCENE = "a scene of a 3D program"
_MESH = OtherFile("a mesh", "a motion needs joint rotations: give the motion file that the mesh was made from")
_TABLE = OtherFile("a table", "no reader guesses the meaning of its columns; save an .npz with poses and trans")

_BY_SUFFIX: dict[str, OtherFile] = {
    ".fbx": OtherFile("an FBX scene", _CONVERT_BLENDER, ReasonCode.UNSUPPORTED_FORMAT),
    ".glb": OtherFile("a glTF scene", _CONVERT_BLENDER, ReasonCode.UNSUPPORTED_FORMAT),
    ".gltf": OtherFile("a glTF scene", _CONVERT_BLENDER, ReasonCode.UNSUPPORTED_FORMAT),
    ".usd": OtherFile("a USD scene", _CONVERT_BLENDER, ReasonCode.UNSUPPORTED_FORMAT),
    ".usdc": OtherFile("a USD scene", _CONVERT_BLENDER, ReasonCode.UNSUPPORTED_FORMAT),
    ".blend": OtherFile("a Blender scene", _CONVERT_BLENDER, ReasonCode.UNSUPPORTED_FORMAT),
    ".ma": OtherFile("a Maya scene", "export it as .bvh", ReasonCode.UNSUPPORTED_FORMAT),
    ".vmd": OtherFile("a MikuMikuDance motion", _CONVERT_BLENDER, ReasonCode.UNSUPPORTED_FORMAT),
    ".mvnx": OtherFile(
        "an Xsens file", "export it from MVN Analyze as .bvh or .c3d", ReasonCode.UNSUPPORTED_FORMAT),
    ".amc": OtherFile(
        "an Acclaim motion", "the CMU database has it as .bvh and, in AMASS, as .npz", ReasonCode.UNSUPPORTED_FORMAT),
    ".asf": OtherFile("an Acclaim skeleton", "it holds no motion; CMU's motions are in AMASS as .npz"),
    ".mat": OtherFile("a MATLAB file", "save the rotations as .npz (poses, trans)", ReasonCode.UNSUPPORTED_FORMAT),
    ".osim": OtherFile("an OpenSim model", "it holds no motion; give the motion beside it"),
    ".xml": OtherFile("a model or settings", "it holds no motion"),
    ".b3d": OtherFile(
        "an AddBiomechanics file", "download the OpenSim results of the subject: its .mot files are read, with the "
        "ground forces beside them", ReasonCode.UNSUPPORTED_FORMAT),
    ".cdf": OtherFile(
        "a file of Human3.6M", "it holds joint positions or keypoints: give SMPL fitted to them",
        ReasonCode.UNSUPPORTED_FORMAT),
    ".urdf": OtherFile("a robot model", "it holds no motion"),
    ".json": OtherFile("a JSON file", "keypoints are not rotations: fit SMPL to them and give its result"),
    ".csv": _TABLE, ".xlsx": _TABLE, ".tsv": _TABLE,
    ".txt": OtherFile("a text", _NOT_POSES), ".md": OtherFile("a text", _NOT_POSES),
    ".pdf": OtherFile("a document", _NOT_POSES),
    ".toml": OtherFile("a settings file", "give it to --config"),
    ".jsonl": OtherFile("a manifest or a list", "give the folder of the motions"),
    ".ipynb": OtherFile("a notebook", _NOT_POSES), ".py": OtherFile("a program", _NOT_POSES),
    ".obj": _MESH, ".ply": _MESH, ".stl": _MESH,
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".exr"), _IMAGE),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".webm", ".gif"), _FILM),
    **dict.fromkeys((".zip", ".gz", ".tgz", ".bz2", ".xz", ".tar", ".7z", ".rar", ".zst", ".lz4"), _ARCHIVE),
    **dict.fromkeys((".h5", ".hdf5"), OtherFile(
        "an HDF5 file", "clips of this package are results, not sources; of another data set, save the rotations as "
        ".npz with poses and trans", ReasonCode.UNSUPPORTED_FORMAT)),
}  # fmt: skip
"""Files by their suffix; none is that of a reader."""

_BY_CONTENT: tuple[tuple[bytes, OtherFile], ...] = (
    (b"Kaydara FBX", _BY_SUFFIX[".fbx"]), (b"; FBX", _BY_SUFFIX[".fbx"]), (b"glTF", _BY_SUFFIX[".glb"]),
    (b"\x89HDF", _BY_SUFFIX[".h5"]), (b"\x89PNG", _IMAGE), (b"\xff\xd8\xff", _IMAGE), (b"GIF8", _FILM),
    (b"BLENDER", _BY_SUFFIX[".blend"]), (b"MATLAB", _BY_SUFFIX[".mat"]), (b"%PDF", _BY_SUFFIX[".pdf"]),
    (b"PK\x03\x04", _ARCHIVE), (b"\x1f\x8b", _ARCHIVE), (b"BZh", _ARCHIVE), (b"7z\xbc\xaf", _ARCHIVE),
    (b"Rar!", _ARCHIVE), (b"\xfd7zXZ", _ARCHIVE),
    (b"<!DOCTYPE html", OtherFile("a web page", "the download failed, often for lack of a login: fetch it again")),
    (b"<html", OtherFile("a web page", "the download failed, often for lack of a login: fetch it again")),
    (b"version https://git-lfs", OtherFile("a pointer of Git LFS", "fetch the file itself with git lfs pull")),
)  # fmt: skip

_EXPORT_MARKERS = "labelled markers are read from C3D (.c3d) or TRC (.trc): export them so"

_BY_TEXT: tuple[tuple[str, str, OtherFile], ...] = (
    (".csv", "format version", OtherFile(
        "a table of Motive", "export the skeleton as .bvh, or labelled markers as .c3d or .trc",
        ReasonCode.UNSUPPORTED_FORMAT)),
    (".csv", "trajectories", OtherFile("a table of Vicon", _EXPORT_MARKERS, ReasonCode.UNSUPPORTED_FORMAT)),
    (".tsv", "no_of_frames", OtherFile("a table of Qualisys", _EXPORT_MARKERS, ReasonCode.UNSUPPORTED_FORMAT)),
    (".xml", "<mmm", OtherFile(
        "a motion of the Master Motor Map (KIT)", "give the C3D file beside it, or its motion in AMASS",
        ReasonCode.UNSUPPORTED_FORMAT)),
    (".json", "babel_sid", OtherFile("labels of BABEL", "give the AMASS motions that they belong to (feat_p)")),
    (".json", '"rh"', OtherFile(
        "one frame of EasyMocap", "save the frames as one .npz with poses, trans and mocap_frame_rate; Rh turns about "
        "the origin of the world, so trans = Th + R(Rh) J0 - J0 with the pelvis J0 of the rest pose",
        ReasonCode.UNSUPPORTED_FORMAT)),
    (".json", "keypoints_2d", OtherFile(
        "keypoints of OpenPose", "a pose estimator such as GVHMR turns the video into a motion")),
)  # fmt: skip
"""Text files by suffix and a word in their first bytes, in lower case."""

_TEXT_BYTES = 4096
"""First bytes of a text file that are searched [B]."""

_BY_NAME = (
    ("_stagei.npz", OtherFile("the first stage of a fit (a subject's shape and markers)", "give *_stageii.npz")),
    ("shape.npz", OtherFile("a subject's shape", "give the *_poses.npz or *_stageii.npz beside it")),
)
"""Files of the archive that hold no motion, by the end of their names."""


_FORCES = OtherFile("a table of ground forces", "give the motion beside it, which finds it")


def other_by_name(path: Path) -> OtherFile | None:
    """What a file is by its name alone, or None if it may be a motion."""
    name = path.name.lower()
    if is_force_file(name):
        return _FORCES
    for end, kind in _BY_NAME:
        if name.endswith(end) and (end.startswith("_") or name == end):
            return kind
    return _BY_SUFFIX.get(path.suffix.lower())


def _by_text(path: Path) -> OtherFile | None:
    """What a text file is by its first words, or None."""
    kinds = [(word, kind) for suffix, word, kind in _BY_TEXT if path.suffix.lower() == suffix]
    if not kinds or not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            text = stream.read(_TEXT_BYTES).decode("utf-8", "replace").lower()
    except OSError:
        return None
    return next((kind for word, kind in kinds if word in text), None)


def other_by_content(head: bytes) -> OtherFile | None:
    """What a file is by its first bytes, or None if they are unknown."""
    start = head.lstrip().lower() if head[:64].isascii() else head
    kinds = (kind for magic, kind in _BY_CONTENT if head.startswith(magic) or start.startswith(magic.lower()))
    if b"ftyp" in head[4:12]:
        return _FILM
    return next(kinds, None)


def refuse_other_file(path: Path) -> None:
    """Refuse a file whose name says that it is no motion; quick, because no reader is imported.

    Raises:
        SourceError: If there is nothing at the path, or the file is of a kind that is not read.
    """
    if not os.path.lexists(path):
        raise SourceError(ReasonCode.UNREADABLE, f"{path} does not exist: give a folder of motions, or one file")
    kind = None if path.is_dir() else other_by_name(path)
    if kind is not None:
        kind = _by_text(path) or kind
        raise SourceError(kind.code, kind.sentence(path.name))


def describe_folder(root: Path, *, suffixes: Collection[str]) -> str:
    """What a folder without motions holds, and what to give instead."""
    if (root / "manifest.jsonl").is_file():
        return f"{root} is an output folder of mm-retarget (it has a manifest.jsonl): give the folder of the motions"
    counts: dict[str, int] = {}
    for _, _, names in os.walk(root):
        for name in names:
            suffix = Path(name).suffix.lower()
            counts[suffix] = counts.get(suffix, 0) + 1
    readable = f"motions are files of {', '.join(sorted(suffixes))} (mm-retarget --list-formats)"
    if not counts:
        return f"no motion below {root}: it holds no files; {readable}"
    most = max(counts, key=lambda suffix: counts[suffix])
    kind = _BY_SUFFIX.get(most)
    what = f"{counts[most]} files of {most or 'no suffix'}" + (f" ({kind.what}: {kind.advice})" if kind else "")
    return f"no motion below {root}: it holds {what}; {readable}"
