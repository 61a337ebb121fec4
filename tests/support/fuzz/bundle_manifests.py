"""Bundle manifests and trajectories, for tests and for the fuzzer."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from musclemap.datasets.downloads.bundle_manifest import MANIFEST, BundleManifest, read_local_bundle
from musclemap.datasets.formats.locomujoco import Trajectory, read_trajectory


def make_valid() -> bytes:
    """A manifest as `mm-pack` writes it."""
    files = [
        {"path": path, "size": 10 * k, "sha256": hashlib.sha256(path.encode()).hexdigest(), **more}
        for k, (path, more) in enumerate(
            [("README.md", {}), ("clips.csv", {}), ("SHA256SUMS", {})]
            + [(f"clips/s{k}/walk_{k}.h5", {"split": split, "subject": f"s{k}", "licence": "CC0-1.0"})
               for k, split in enumerate(("train", "train", "val", "test"))]
        )
    ]  # fmt: skip
    stored = {
        "format": "musclemap-bundle", "version": 1, "name": "walks", "data_version": "1.0.0", "licence": "CC0-1.0",
        "private": False, "musclemap": "0.1.0", "chosen": {"seed": 0, "shares": {"train": 0.8}, "groups": {}},
        "splits": {"train": 2, "val": 1, "test": 1}, "left_out": [{"source": "a.npz", "code": "failed", "reason": ""}],
        "files": files,
    }  # fmt: skip
    return (json.dumps(stored, indent=1, sort_keys=True) + "\n").encode()


def read(data: bytes, tmp_path: Path) -> BundleManifest:
    """Write bytes as the manifest of a folder, replacing the previous one, and read it."""
    (tmp_path / MANIFEST).write_bytes(data)
    return read_local_bundle(tmp_path)


def make_valid_trajectory() -> bytes:
    """A trajectory of two joints and a free root, as LocoMuJoCo writes it."""
    out = io.BytesIO()
    qpos = np.tile([0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.1, 0.2], (12, 1)).astype(np.float32)
    np.savez(
        out, qpos=qpos, qvel=np.zeros((12, 8), np.float32), split_points=np.array([0, 12]),
        joint_names=np.array(["root", "a", "b"]), frequency=np.array(100.0), jnt_type=np.array([0, 3, 3]),
        metadata=np.array("made here"),
    )  # fmt: skip
    return out.getvalue()


def read_as_trajectory(data: bytes, tmp_path: Path) -> Trajectory:
    """Write bytes as a trajectory, replacing the previous one, and read it."""
    path = tmp_path / "damaged.npz"
    path.write_bytes(data)
    return read_trajectory(path)
