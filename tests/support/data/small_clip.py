"""A small clip of no particular body, for tests of the file format."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from musclemap.datasets.clip import Clip, write_clip


def small_clip(*, nframe: int = 40, **changes: Any) -> Clip:
    """A clip of 9 positions and 2 landmarks with a text, a reason and a metric of every type."""
    rng = np.random.default_rng(0)
    content: dict[str, Any] = {
        "qpos": rng.standard_normal((nframe, 9)).astype(np.float32),
        "qvel": rng.standard_normal((nframe, 8)).astype(np.float32),
        "landmark_pos": rng.standard_normal((nframe, 2, 3)).astype(np.float32),
        "target_pos": rng.standard_normal((nframe, 2, 3)).astype(np.float32),
        "contact": rng.integers(0, 2, (nframe, 4)).astype(np.uint8),
        "fps": 100.0,
        "joint_names": ("root", "knee_angle_r", "knee_angle_l"),
        "landmark_names": ("pelvis", "head"),
        "model": "small",
        "model_version": "1",
        "model_sha256": "ab" * 32,
        "source": "walks/one_poses.npz",
        "source_sha256": "cd" * 32,
        "source_fps": 120.0,
        "fps_source": "mocap_framerate",
        "body_model": "mean",
        "subject_scale": 0.98,
        "hands": "locked",
        "config": {"fps": 100, "solver": {"iterations": 20, "tolerance": 1e-6}},
        "software": {"numpy": "2.4.2"},
        "licence": "CC0-1.0",
        "metrics": {"landmark_error_mm": 8.1, "worst_landmark": "head", "branch_jumps": 0, "depth_mm": None},
        "verdict": "warn",
        "reasons": ({"rule": "floor", "value": 0.004, "limit": 0.001, "frames": [[3, 9]], "at": "toes_r"},),
    }
    return Clip(**(content | changes))


def small_clip_bytes(*, nframe: int = 40, **changes: Any) -> bytes:
    """Bytes of the file of `small_clip`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.h5"
        write_clip(path, small_clip(nframe=nframe, **changes))
        return path.read_bytes()
