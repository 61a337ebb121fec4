"""Wrong inputs of mm-retarget: each is answered in one line that says what it is, what was expected, what to type.

All commands run in one process, which must not have imported JAX by the end: that alone takes seconds.
"""

import io
import json
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from ..support.data.source_files import columns, walk

SECONDS = 2.0
"""Longest answer, of the processor's time, as the machine may be busy: usually 0.05 s, and 1.1 s for the first file
whose content is read, which imports the readers."""

ROTVEC, TRANS = walk(seconds=1.0)


def npz(**arrays: np.ndarray | str | float) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


POSES = npz(poses=columns(ROTVEC, 72), trans=TRANS, mocap_framerate=30.0)
MODEL = {"v_template": np.zeros((9, 3)), "shapedirs": np.zeros((9, 3, 10)), "J_regressor": np.zeros((24, 9))}
HTML = b"<!DOCTYPE html><html>"

FILES: dict[str, tuple[bytes, str]] = {  # content, and words of the answer
    "dance.fbx": (b"Kaydara FBX Binary", "an FBX scene: open it in Blender (free) and export Motion Capture (.bvh)"),
    "dance.glb": (b"glTF", "a glTF scene: open it in Blender"),
    "dance.usd": (b"PXR-USDC", "a USD scene: open it in Blender"),
    "01_01.amc": (b":FULLY-SPECIFIED", "an Acclaim motion: the CMU database has it as .bvh"),
    "video.mp4": (b"\0\0\0\x20ftypisom", "a video: a pose estimator such as GVHMR"),
    "photo.png": (b"\x89PNG", "an image: a pose estimator"),
    "KIT.zip": (zipped("a_poses.npz", POSES), "an archive: unpack it and give the folder"),
    "KIT.tar.bz2": (b"BZh91AY", "an archive: unpack it and give the folder"),
    "renamed.npz": (zipped("KIT/a_poses.npz", POSES), "unpack it and give the folder"),
    "a_stagei.npz": (POSES, "give *_stageii.npz"),
    "shape.npz": (npz(betas=np.zeros(10)), "a subject's shape: give the *_poses.npz or *_stageii.npz beside it"),
    "SMPL_MALE.pkl": (pickle.dumps(MODEL), "it is a body model, not a motion: give its folder to --body-models DIR"),
    "SMPLH_MALE.npz": (npz(**MODEL), "give its folder to --body-models DIR"),
    "clip.h5": (b"\x89HDF\r\n", "an HDF5 file"),
    "clip.bin": (b"\x89HDF\r\n", "an HDF5 file"),
    "humanml.npy": (npy(np.zeros((60, 263))), "HumanML3D"),
    "joints.npy": (npy(np.zeros((60, 22, 3))), "positions"),
    "keypoints.json": (b"[]", "fit SMPL to them and give its result"),
    "angles.csv": (b"a,b", "save an .npz with poses and trans"),
    "empty.npz": (b"", "the file is empty"),
    "text.npz": (b"poses = [1, 2, 3]\n", "npz"),
    "half.npz": (POSES[: len(POSES) // 2], "damaged"),
    "page.npz": (HTML, "a web page: the download failed, often for lack of a login: fetch it again"),
    "program.pkl": (b"cos\nsystem\n(S'true'\ntR.", "posix.system|os.system"),
    "noise.xyz": (b"\x01\x02\x03\x04", "has no known format: it starts with"),
    "data.mat": (b"MATLAB 5.0", "save the rotations as .npz (poses, trans)"),
}
"""Files that are no motion, each given alone."""

FOLDERS: dict[str, tuple[dict[str, bytes], str]] = {  # files, and words of the answer
    "images": ({f"{k}.jpg": b"\xff\xd8\xff" for k in range(3)}, "it holds 3 files of .jpg (an image"),
    "clips": ({"manifest.jsonl": b"", "walk.h5": b"\x89HDF"}, "is an output folder of mm-retarget"),
    "zipped": ({"KIT.tar.bz2": b"BZh"}, "unpack it and give the folder"),
    "nothing": ({}, "it holds no files"),
}

OPTIONS: list[tuple[list[str], str]] = [  # of a correct command, and words of the answer
    (["--up", "q"], "'q' is not one of 'auto', 'z', 'y'"),
    (["--units", "inch"], "'inch' is no unit; expected auto, m, cm, mm, in, cmu, or the length of one unit in metres"),
    (["--source-fps", "0"], "expected 1 to 10,000 Hz, not 0"),
    (["--source-fps", "fast"], "--source-fps"),
    (["--bvh", "a.bvh"], "No such option: --bvh"),
    (["--limit", "0"], "--limit"),
]

_PROGRAM = """
import contextlib, io, json, sys, time
from musclemap.cli.retarget import app
answers = []
for arguments in json.load(sys.stdin):
    started = time.process_time()
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()):
        try:
            app(arguments)
            status = 0
        except SystemExit as end:
            status = end.code
    answers.append([status, err.getvalue().strip(), time.process_time() - started, "jax" in sys.modules])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, float, bool]]:
    """Exit status, text on stderr, seconds, and whether JAX had been imported, by name of the case."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "good").mkdir()
    (folder / "good" / "a.npz").write_bytes(POSES)
    for name, (content, _) in FILES.items():
        (folder / name).write_bytes(content)
    for name, (files, _) in FOLDERS.items():
        (folder / name).mkdir()
        for file, content in files.items():
            (folder / name / file).write_bytes(content)
    good, out = str(folder / "good"), str(folder / "out")
    cases = {name: [str(folder / name), out] for name in (*FILES, *FOLDERS)}
    cases |= {" ".join(options): [good, out, *options] for options, _ in OPTIONS}
    cases |= {"no OUT": [good], "OUT is a file": [good, str(folder / "data.mat")], "OUT is SOURCE": [good, good],
              "no SOURCE": [str(folder / "nowhere"), out]}  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", _PROGRAM], input=json.dumps(list(cases.values())),
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    assert [path.name for path in (folder / "good").iterdir()] == ["a.npz"]
    assert not (folder / "out").exists()
    return dict(zip(cases, map(tuple, json.loads(result.stdout)), strict=True))


CASES = [
    *((name, words) for name, (_, words) in FILES.items()),
    *((name, words) for name, (_, words) in FOLDERS.items()),
    *((" ".join(options), words) for options, words in OPTIONS),
    ("no OUT", "OUT is missing: the folder for the clips"),
    ("OUT is a file", "it is a file; give the folder for the clips"),
    ("OUT is SOURCE", "good"),
    ("no SOURCE", "does not exist: give a folder of motions, or one file"),
]


@pytest.mark.parametrize(("name", "words"), CASES, ids=[name for name, _ in CASES])
def test_one_line_within_seconds(answers: dict[str, tuple[int, str, float, bool]], name: str, words: str) -> None:
    status, text, seconds, heavy = answers[name]
    assert status == 2
    assert text.startswith("mm-retarget: ")
    assert "\n" not in text
    assert any(each in text for each in words.split("|")), text
    assert len(text) < 500
    assert not heavy
    assert seconds < SECONDS
