"""Two thousand files of several formats, two hundred of them broken in twenty ways: a line for each, flat memory."""

import io
import pickle
import resource
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from musclemap.datasets.manifest import Manifest
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.pipelines.archive import convert_archive
from musclemap.retarget.config import RetargetConfig

from ..support.bvh_writer import write_bvh
from ..support.data.fake_retargeter import FakeRetargeter
from ..support.data.source_files import columns, save_torch, walk
from ..support.marker_writer import virtual_markers, write_trc
from ..support.opensim_writer import write_mot

GOOD, BROKEN = 1800, 200
MOST_GROWTH_MB = 40.0
"""Largest growth of the process from the 400th clip to the last."""

ROTVEC, TRANS = walk(seconds=1.0)
POSE = columns(ROTVEC, 72)


def npz(**changes: object) -> bytes:
    content = {"poses": POSE, "trans": TRANS, "betas": np.zeros(10), "gender": "neutral", "mocap_framerate": 30.0}
    buffer = io.BytesIO()
    np.savez(buffer, **{key: value for key, value in (content | changes).items() if value is not None})  # type: ignore
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def good_files(folder: Path) -> dict[str, bytes]:
    """One file of each format, by suffix."""
    motion = synthesise("walk_1.2", fps=30.0, seconds=1.0)
    motion_x = np.zeros((len(POSE), 322), np.float32)
    motion_x[:, :66], motion_x[:, 309:312] = POSE[:, :66], TRANS
    names = ("pelvis_tilt", "pelvis_list", "pelvis_rotation", "pelvis_tx", "pelvis_ty", "pelvis_tz")
    legs = ("hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle")
    values = {name: np.zeros(30) for name in (*names, *(f"{leg}_{side}" for leg in legs for side in "rl"))}
    return {
        "npz": npz(),
        "pkl": pickle.dumps({"pose": POSE, "trans": TRANS, "fps": 30.0}),
        "pt": save_torch(folder / "one.pt", {"poses": POSE, "trans": TRANS, "fps": np.array([30.0])}).read_bytes(),
        "npy": npy(motion_x),
        "bvh": write_bvh(motion),
        "mot": write_mot(values | {"pelvis_ty": np.full(30, 0.95)}),
        "trc": write_trc(virtual_markers(motion)),
    }


def broken_files(good: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """Twenty ways to be broken: suffix and content."""
    nan, far, short = POSE.copy(), TRANS + 1e6, TRANS[:-1]
    nan[5, 7] = np.nan
    return [
        ("npz", b""),
        ("npz", good["npz"][: len(good["npz"]) // 2]),
        ("npz", b"poses = 1\n"),
        ("npz", b"<!DOCTYPE html><html></html>"),
        ("npz", npz(poses=nan)),
        ("npz", npz(trans=far)),
        ("npz", npz(trans=short)),
        ("npz", npz(poses=POSE[:, :50])),
        ("npz", npz(mocap_framerate=0.0)),
        ("npz", npz(mocap_framerate=None)),
        ("npz", npz(poses=None)),
        ("npz", npz(poses=POSE[:1], trans=TRANS[:1])),
        ("pkl", b"cos\nsystem\n(S'true'\ntR."),
        ("pkl", good["pkl"][:-20]),
        ("pt", good["pt"][:200]),
        ("npy", npy(np.zeros((10, 263)))),
        ("bvh", good["bvh"][: len(good["bvh"]) // 2]),
        ("bvh", good["bvh"].replace(b"LeftUpLeg", b"A").replace(b"CHANNELS 3", b"CHANNELS 2", 1)),
        ("trc", good["trc"].replace(b"ASI", b"XYZ").replace(b"PSI", b"ZYX")),
        ("mot", good["mot"].replace(b"knee_angle_r", b"knee")),
    ]


def megabytes() -> float:
    """Largest memory of this process so far [MB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.slow
def test_two_thousand_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, memory = tmp_path / "in", []
    good = good_files(tmp_path)
    broken = broken_files(good)
    assert len(broken) == 20
    fast = [suffix for suffix in good if suffix != "trc"]
    for k in range(GOOD):
        suffix = "trc" if k % 90 == 0 else fast[k % len(fast)]  # markers take a second each
        path = source / f"part{k % 10}" / f"good{k:04}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(good[suffix])
    for k in range(BROKEN):
        suffix, content = broken[k % len(broken)]
        (source / f"part{k % 7}" / f"broken{k:03}.{suffix}").write_bytes(content)

    class Retargeter(FakeRetargeter):
        def retarget(self, motions):
            result = super().retarget(motions)
            if len(self.seen) > 400:
                memory.append(megabytes())
            return result

    config = RetargetConfig()
    summary = convert_archive(source, tmp_path / "out", config=config, retargeter=Retargeter(config=config))
    assert not summary.complete  # the command exits with 1
    entries = Manifest.read(tmp_path / "out" / "manifest.jsonl").entries
    files = sorted(path.relative_to(source).as_posix() for path in source.rglob("*.*"))
    assert sorted(entry.source for entry in entries) == files
    assert Counter(entry.status for entry in entries) == {"ok": GOOD, "rejected": BROKEN}
    for entry in entries:
        assert ("broken" in entry.source) == (entry.status == "rejected"), entry
        assert entry.code not in ("crash", "unknown")
        assert "Traceback" not in entry.reason
        assert "\n" not in entry.reason
    assert len({entry.code for entry in entries if entry.status == "rejected"}) >= 10
    assert max(memory) - memory[0] < MOST_GROWTH_MB
    assert "Traceback" not in "".join(capfd.readouterr())
