"""The main job as users run it: `mm-retarget` in a process of its own, nothing faked, on one second of walking."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from musclemap.datasets.clip import read_clip
from musclemap.datasets.synthetic.synthesis import synthesise, write_motion


def retarget(source: Path, out: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "musclemap.cli.retarget", str(source), str(out)]
    options = ["--device", "cpu", "--workers", "1", "--no-report", "--json"]
    done = subprocess.run([*command, *options], env=dict(os.environ), capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_motion_becomes_a_clip_and_a_second_run_keeps_it(tmp_path: Path) -> None:
    source, out = tmp_path / "amass", tmp_path / "out"
    write_motion(source / "walk/slow_poses.npz", synthesise("walk_1.2", seconds=1.0))
    first = retarget(source, out)
    assert first["counts"] == {"ok": 1, "rejected": 0, "failed": 0, "kept": 0}
    path = next(out.rglob("*.h5"))
    clip = read_clip(path)
    assert clip.nframe == 101
    assert clip.metrics["landmark_error_mm"] < 20.0
    travelled = float(np.linalg.norm(clip.qpos[-1, :2] - clip.qpos[0, :2]))
    assert travelled == pytest.approx(1.2, abs=0.15)
    before = path.stat().st_mtime_ns, path.read_bytes()
    second = retarget(source, out)
    assert second["counts"] == {"ok": 1, "rejected": 0, "failed": 0, "kept": 1}
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
