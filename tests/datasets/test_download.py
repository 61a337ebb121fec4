"""`mm-download`: files arrive complete and as expected, whatever the server does, and become clips."""

import errno
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from musclemap.cli import download
from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.downloads import hub, transport
from musclemap.datasets.downloads.catalogue import KINDS, load_catalogue
from musclemap.datasets.formats.locomujoco import read_trajectory
from musclemap.datasets.groups import DATA_SETS, load_group
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.datasets.output_folder import read_entries
from musclemap.errors import SourceError
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.pipelines import download as pipeline
from musclemap.pipelines.import_trajectories import TrajectoryImporter, TrajectorySource, joint_columns, project
from musclemap.pipelines.train.dataset import select_clips
from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.retarget.config import RetargetConfig
from musclemap.skeletons.bodies.myofullbody import FINGER_JOINTS
from musclemap.skeletons.body import TargetBody

from ..support.configurations import standing
from ..support.data.body_model_files import synthetic_model, write_npz
from ..support.hub_server import COMMIT, Fault, Server, serving

RUNNER = CliRunner()
ROOT = Path(__file__).parents[2]
REPOSITORY = "amathislab/musclemimic-retargeted"
FOLDER = "MyoFullBody/gmr"
NFRAME = 40


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as state:
        yield state


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No network but loopback, no token, a home folder that must stay empty, and no waiting between attempts."""
    home, hf_home = tmp_path / "home", tmp_path / "hf"
    home.mkdir()
    for key in [key for key in os.environ if key.lower().endswith("_proxy") or key.startswith("HF_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HOME", str(hf_home))
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(hf_home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hf_home / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    look_up = socket.getaddrinfo

    def loopback_only(host: Any, *args: Any, **kwargs: Any) -> Any:
        assert host in ("127.0.0.1", "localhost", b"127.0.0.1"), f"a test requested {host}"
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", loopback_only)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(hub, "PAUSE", 0.0)
    monkeypatch.setattr(transport, "PAUSE", 0.01)
    yield
    assert list(home.iterdir()) == []


def run(*arguments: object) -> Result:
    return RUNNER.invoke(download.app, [str(argument) for argument in arguments])


def facts(result: Result) -> str:
    return " ".join(result.stderr.split())


def files_below(folder: Path) -> dict[str, bytes]:
    """Content of every file that is not one of our hidden ones."""
    contents = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: content for name, content in contents.items() if not name.startswith(".musclemap")}


def noise(nbyte: int, *, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(nbyte)


CONTENT = {"clips/walk 1.h5": noise(200_000), "clips/b/run.h5": noise(90_000, seed=1), "SHA256SUMS": b"", "x": b"x"}
BIG = "/b/clips/walk 1.h5"


# Bundles


def test_bundle_is_downloaded_completely_and_only_once(server: Server, tmp_path: Path) -> None:
    url = server.bundle(CONTENT)
    result = run(url, tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    found = files_below(tmp_path / "out")
    assert found.pop("MANIFEST.json") == server.files["/b/MANIFEST.json"]
    assert found == CONTENT
    report = json.loads(result.stdout)
    assert sorted(report["done"]) == sorted(CONTENT)
    assert report["licence"] == "CC0-1.0"
    assert report["sha256"] == hashlib.sha256(server.files["/b/MANIFEST.json"]).hexdigest()
    server.requests.clear()
    again = run(url, tmp_path / "out")
    assert "0 files downloaded, 4 already present" in again.stdout
    assert server.bodies() == ["/b/MANIFEST.json"]


def test_bundle_does_not_replace_the_clips_of_a_conversion(server: Server, tmp_path: Path) -> None:
    url = server.bundle({**CONTENT, "manifest.jsonl": b"new\n"})
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.jsonl").write_bytes(b"mine\n")
    result = run(url, out)
    assert result.exit_code == 2
    assert "holds the clips of a conversion" in facts(result)
    assert files_below(out) == {"manifest.jsonl": b"mine\n"}
    (out / "manifest.jsonl").unlink()
    assert run(url, out).exit_code == 0
    newer = server.bundle({**CONTENT, "manifest.jsonl": b"newer\n"})
    assert run(newer, out).exit_code == 0, "a bundle may replace an earlier version of itself"
    assert (out / "manifest.jsonl").read_bytes() == b"newer\n"


@pytest.mark.parametrize("kind", ["drop", "stall"])
def test_interrupted_body_is_resumed_where_it_ended(server: Server, tmp_path: Path, kind: str) -> None:
    url = server.bundle(CONTENT)
    server.faults[BIG] = [Fault(kind=kind), Fault(kind=kind)]
    assert run(url, tmp_path / "out", "--timeout", "0.3").exit_code == 0
    assert (tmp_path / "out/clips/walk 1.h5").read_bytes() == CONTENT["clips/walk 1.h5"]
    starts = [int(requested[6:-1] or 0) for requested in server.ranges(BIG)]
    assert len(starts) == 3
    assert starts == sorted(set(starts))
    assert starts[-1] > 100_000


def test_next_run_resumes_the_files_of_a_failed_run(server: Server, tmp_path: Path) -> None:
    url = server.bundle(CONTENT)
    server.faults[BIG] = [Fault(kind="drop"), *[Fault(kind="status", status=503)] * 9]
    result = run(url, tmp_path / "out", "--timeout", "5")
    assert result.exit_code == 1
    assert "failed clips/walk 1.h5" in facts(result)
    assert "run again to resume" in facts(result)
    found = files_below(tmp_path / "out")
    assert found == {name: content for name, content in CONTENT.items() if name != "clips/walk 1.h5"}
    server.faults.clear()
    server.requests.clear()
    assert run(url, tmp_path / "out").exit_code == 0
    assert server.bodies() == ["/b/MANIFEST.json", BIG]
    assert int(server.ranges(BIG)[0][6:-1]) > 60_000
    assert files_below(tmp_path / "out").keys() == {*CONTENT, "MANIFEST.json"}


@pytest.mark.parametrize("kind", ["alter", "short", "long"])
def test_unexpected_content_never_gets_its_final_name(server: Server, tmp_path: Path, kind: str) -> None:
    url = server.bundle(CONTENT)
    if kind == "short":  # the server's file is shorter than the manifest states
        server.files[BIG] = server.files[BIG][:150_000]
    else:
        server.faults[BIG] = [Fault(kind=kind)] * 9
    result = run(url, tmp_path / "out")
    assert result.exit_code == 1
    assert "failed clips/walk 1.h5" in facts(result)
    assert files_below(tmp_path / "out").keys() == CONTENT.keys() - {"clips/walk 1.h5"}
    server.faults.clear()
    server.bundle(CONTENT)
    assert run(url, tmp_path / "out").exit_code == 0
    assert (tmp_path / "out/clips/walk 1.h5").read_bytes() == CONTENT["clips/walk 1.h5"]


def test_file_altered_in_transit_is_requested_again(server: Server, tmp_path: Path) -> None:
    url = server.bundle(CONTENT)
    server.faults[BIG] = [Fault(kind="alter")]
    assert run(url, tmp_path / "out").exit_code == 0
    assert server.ranges(BIG) == ["", ""]


@pytest.mark.parametrize("kind", ["ignore_range", "wrong_range", "range_416"])
def test_download_restarts_if_the_server_cannot_resume(server: Server, tmp_path: Path, kind: str) -> None:
    url = server.bundle(CONTENT)
    server.faults[BIG] = [Fault(kind="drop"), Fault(kind=kind)]
    assert run(url, tmp_path / "out").exit_code == 0
    assert (tmp_path / "out/clips/walk 1.h5").read_bytes() == CONTENT["clips/walk 1.h5"]


@pytest.mark.parametrize(
    ("status", "words"), [(401, "requires a login"), (403, "refuses access"), (404, "does not exist")]
)
def test_http_errors_are_explained(server: Server, tmp_path: Path, status: int, words: str) -> None:
    url = server.bundle(CONTENT)
    server.faults["/b/MANIFEST.json"] = [Fault(kind="status", status=status)]
    result = run(url, tmp_path / "out")
    assert result.exit_code == 2
    assert words in facts(result)
    assert not (tmp_path / "out").exists()
    server.faults["/b/x"] = [Fault(kind="status", status=status)]
    result = run(url, tmp_path / "out", "--json")
    assert result.exit_code == 1
    assert words in json.loads(result.stdout)["failed"]["x"]
    assert not (tmp_path / "out/MANIFEST.json").exists()


def test_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    url = server.bundle({"x": b"x"})
    server.faults["/b/MANIFEST.json"] = [Fault(kind="status", status=503)]
    server.faults["/b/x"] = [Fault(kind="status", status=429)]
    assert run(url, tmp_path / "out").exit_code == 0
    assert server.bodies() == ["/b/MANIFEST.json"] * 2 + ["/b/x"] * 2


def test_refused_connection_is_reported(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    result = run(f"http://127.0.0.1:{port}/MANIFEST.json", tmp_path / "out")
    assert result.exit_code == 2
    assert "the connection is refused" in facts(result)


@pytest.mark.parametrize(
    "path",
    [
        "../x", "/etc/x", "a/../../x", "a/./b", "a//b", "", "a\\..\\b", "C:x", "nul.h5", "a/.musclemap.lock",
        ".musclemap-download/x.part", "MANIFEST.json", "manifest.json", "a\nb", "x" * 300, "a.",
    ],
)  # fmt: skip
def test_unsafe_path_is_refused_before_anything_is_written(server: Server, tmp_path: Path, path: str) -> None:
    url = server.bundle({"good": b"good", path: b"bad"})
    result = run(url, tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert not (tmp_path / "out").exists()
    assert server.bodies() == ["/b/MANIFEST.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"files": []}, {"files": {"x": 1}}, {"format": "zip"}, {"version": 2}, {"files": ["x"]},
        {"files": [{"path": "x", "size": -1, "sha256": "0" * 64}]},
        {"files": [{"path": "x", "size": True, "sha256": "0" * 64}]},
        {"files": [{"path": "x", "size": 1, "sha256": "0" * 63}]},
        {"files": [{"path": "x", "size": 1, "sha256": "0" * 64}, {"path": "X", "size": 1, "sha256": "0" * 64}]},
        {"files": [{"path": "x", "size": 1, "sha256": "0" * 64}, {"path": "x/y", "size": 1, "sha256": "0" * 64}]},
        {"files": [{"path": "x", "size": 1, "sha256": "0" * 64}, {"path": "y", "size": 2, "sha256": "0" * 64}]},
        {"files": [{"path": "x", "size": 10**14, "sha256": "0" * 64}]},
    ],
)  # fmt: skip
def test_invalid_manifest_is_refused(server: Server, tmp_path: Path, change: dict[str, Any]) -> None:
    result = run(server.bundle({"x": b"x"}, **change), tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert server.bodies() == ["/b/MANIFEST.json"]
    assert not (tmp_path / "out/x").exists()


def test_link_out_of_the_folder_is_not_followed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/clips").symlink_to(tmp_path / "elsewhere")
    result = run(server.bundle(CONTENT), tmp_path / "out")
    assert result.exit_code == 2
    assert "leads out of it" in facts(result)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_files_are_downloaded_in_parallel_and_duplicates_once(server: Server, tmp_path: Path) -> None:
    files = {f"{k}.h5": noise(1000, seed=k) for k in range(4)} | {"twin.h5": noise(1000, seed=0)}
    url = server.bundle(files)
    server.faults |= {f"/b/{name}": [Fault(kind="wait")] for name in files}
    from threading import Thread

    def release() -> None:
        deadline = time.monotonic() + 5
        while server.max_concurrent < 4 and time.monotonic() < deadline:
            server.go.wait(0.01)
        server.go.set()

    thread = Thread(target=release)
    thread.start()
    assert run(url, tmp_path / "out", "--workers", "4").exit_code == 0
    thread.join()
    assert server.max_concurrent == 4
    assert len(server.bodies()) == 1 + 4
    assert (tmp_path / "out/twin.h5").read_bytes() == (tmp_path / "out/0.h5").read_bytes()


def test_newer_bundle_replaces_changes_and_has_no_manifest_until_complete(server: Server, tmp_path: Path) -> None:
    url, out = server.bundle(CONTENT), tmp_path / "out"
    assert run(url, out).exit_code == 0
    server.bundle({**CONTENT, "x": b"new", "y": b"more"})
    server.faults["/b/y"] = [Fault(kind="status", status=404)]
    assert run(url, out).exit_code == 1
    assert not (out / "MANIFEST.json").exists()
    assert (out / "x").read_bytes() == b"new"
    server.requests.clear()
    assert run(url, out).exit_code == 0
    assert server.bodies() == ["/b/MANIFEST.json", "/b/y"]
    (out / "x").write_bytes(b"nex")  # damaged locally: same length, other content
    assert run(url, out).exit_code == 0
    assert (out / "x").read_bytes() == b"new"


def test_bundle_that_lost_a_file_loses_its_manifest(server: Server, tmp_path: Path) -> None:
    url, out = server.bundle(CONTENT), tmp_path / "out"
    assert run(url, out).exit_code == 0
    (out / "x").unlink()
    server.faults["/b/x"] = [Fault(kind="status", status=404)]
    assert run(url, out).exit_code == 1
    assert not (out / "MANIFEST.json").exists()
    assert run(url, out).exit_code == 0
    assert files_below(out).keys() == {*CONTENT, "MANIFEST.json"}


def test_wrongly_declared_encoding_is_reported(server: Server, tmp_path: Path) -> None:
    url = server.bundle(CONTENT)
    server.faults["/b/MANIFEST.json"] = [Fault(kind="encoded")] * 9
    result = run(url, tmp_path / "out")
    assert result.exit_code == 2
    assert "the body is not encoded as the server claims" in facts(result)
    server.faults.clear()
    server.faults[BIG] = [Fault(kind="encoded")]
    assert run(url, tmp_path / "out").exit_code == 0
    assert (tmp_path / "out/clips/walk 1.h5").read_bytes() == CONTENT["clips/walk 1.h5"]


def test_progress_counts_finished_files(server: Server, tmp_path: Path) -> None:
    from musclemap.datasets.downloads.bundle import DownloadProgress, fetch_bundle
    from musclemap.datasets.downloads.bundle_manifest import read_bundle
    from musclemap.datasets.downloads.transport import Transport

    url, reports, client = server.bundle(CONTENT), list[DownloadProgress](), Transport()
    server.faults["/b/x"] = [Fault(kind="status", status=404)]
    fetch_bundle(read_bundle(url, client), tmp_path / "out", client, progress=reports.append)
    assert (reports[0].nfile, reports[-1].nfile, reports[-1].files) == (0, 3, 4)


def test_selection_dry_run_and_manifest_hash(server: Server, tmp_path: Path) -> None:
    url, out = server.bundle(CONTENT), tmp_path / "out"
    result = run(url, out, "--include", "*.h5", "--exclude", "*run*", "--dry-run", "--json")
    assert json.loads(result.stdout)["size"] == 200_000
    assert not out.exists()
    assert run(url, out, "--include", "*.h5").exit_code == 0
    assert files_below(out).keys() == {"clips/walk 1.h5", "clips/b/run.h5"}  # a part is not a bundle
    assert run(url, out, "--include", "nothing").exit_code == 2
    digest = hashlib.sha256(server.files["/b/MANIFEST.json"]).hexdigest()
    assert run(url, out, "--sha256", digest.upper()).exit_code == 0
    result = run(url, out, "--sha256", "0" * 64)
    assert result.exit_code == 2
    assert "not the expected manifest" in facts(result)


def test_two_runs_do_not_write_to_the_same_folder(server: Server, tmp_path: Path) -> None:
    from musclemap.datasets.output_folder import open_output

    with open_output(tmp_path / "out"):
        result = run(server.bundle(CONTENT), tmp_path / "out")
    assert result.exit_code == 2
    assert "another run is writing" in facts(result)


def test_killed_download_does_not_look_complete(server: Server, tmp_path: Path) -> None:
    url, out = server.bundle(CONTENT), tmp_path / "out"
    server.faults[BIG] = [Fault(kind="stall")]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "musclemap.cli.download", url, str(out)]
    with subprocess.Popen(command, env=env, cwd=tmp_path) as process:
        part = out / f".musclemap-download/{hashlib.sha256(CONTENT['clips/walk 1.h5']).hexdigest()}.part"
        deadline = time.monotonic() + 20
        while not (part.is_file() and part.stat().st_size > 60_000) and time.monotonic() < deadline:
            server.go.wait(0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert files_below(out).keys() <= CONTENT.keys() - {"clips/walk 1.h5"}
    server.requests.clear()
    assert run(url, out).exit_code == 0
    assert int(server.ranges(BIG)[0][6:-1]) > 60_000
    assert not (out / ".musclemap-download").exists()


# Data sets of the hub


def swaying_motion(body: TargetBody, *, seed: int = 0) -> np.ndarray:
    """Full configurations of a body that sways on its feet, with couplings violated by up to 0.3 rad."""
    rng = np.random.default_rng(seed)
    phase = np.arange(NFRAME)[:, None] / 100 * 2 * np.pi
    reduced = body.reduced
    q = np.tile(standing(reduced), (NFRAME, 1))
    q[:, 7:] += 0.02 * np.sin(phase + rng.uniform(0, 6, reduced.njoint))
    turn = 0.3 + 0.1 * np.sin(phase[:, 0])
    q[:, 3], q[:, 6] = np.cos(turn / 2), np.sin(turn / 2)
    full = reduced.expand(q)
    model = body.model
    full[:, model.joint("shoulder1_r2_r").qposadr[0]] += 0.3
    full[:, model.joint("L1_L2_FE").qposadr[0] if "L1_L2_FE" in _names(body) else 8] -= 0.1
    return full


def _names(body: TargetBody) -> list[str]:
    return [body.model.joint(j).name for j in range(body.model.njnt)]


def trajectory_arrays(body: TargetBody, full: np.ndarray, *, without: frozenset[str]) -> dict[str, Any]:
    """A motion as musclemimic and LocoMuJoCo write it, with the model data that concerns joints."""
    model = body.model
    joints = [j for j in range(model.njnt) if model.joint(j).name not in without]
    columns = [c for j in joints for c in range(model.jnt_qposadr[j], model.jnt_qposadr[j] + (7 if j == 0 else 1))]
    width = sum(6 if j == 0 else 1 for j in joints)
    nothing = np.array(None, dtype=object)
    return {
        "qpos": full[:, columns].astype(np.float32),
        "qvel": np.zeros((len(full), width), np.float32),
        "split_points": np.array([0, len(full)]),
        "joint_names": np.array([model.joint(j).name for j in joints]),
        "frequency": np.array(100.0),
        "body_names": np.array(["world", "pelvis"]),
        "site_names": np.array(["pelvis_mimic"]),
        "metadata": nothing,
        "njnt": np.array(len(joints)),
        "jnt_type": model.jnt_type[joints],
    }


def as_bytes(path: Path, **arrays: Any) -> bytes:
    np.savez(path, **arrays)
    return path.read_bytes()


@pytest.fixture(scope="module")
def importer() -> TrajectoryImporter:
    """The body and its checks, compiled once for all tests."""
    return TrajectoryImporter(RetargetConfig())


@pytest.fixture(autouse=True)
def one_importer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace a new importer by the shared one with new settings; the checks have the same settings in all tests."""

    def make(config: RetargetConfig, *, device: Any = None) -> TrajectoryImporter:
        shared: TrajectoryImporter = request.getfixturevalue("importer")
        assert config.validation == RetargetConfig().validation
        monkeypatch.setattr(shared, "config", config)
        return shared

    monkeypatch.setattr(pipeline, "TrajectoryImporter", make)


@pytest.fixture
def published(server: Server, tmp_path: Path, body: TargetBody, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A data set on the hub: three motions and a page about them. Returns the arrays of the first motion."""
    arrays = {
        name: trajectory_arrays(body, swaying_motion(body, seed=k), without=frozenset(FINGER_JOINTS))
        for k, name in enumerate(("KIT/4/walk_poses", "KIT/314/turn poses", "ACCAD/s1/run_poses"))
    }
    files = {
        f"{FOLDER}/{name}.npz": as_bytes(tmp_path / f"{k}.npz", **motion)
        for k, (name, motion) in enumerate(arrays.items())
    }
    server.repositories[REPOSITORY] = {**files, "README.md": b"# words", "MyoBimanualArm/gmr/x.npz": b"another body"}
    server.plain = {"README.md", f"{FOLDER}/KIT/314/turn poses.npz"}
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    return arrays["KIT/4/walk_poses"]


def body_path(name: str) -> str:
    return f"/datasets/{REPOSITORY}/resolve/{COMMIT}/{FOLDER}/{name}.npz"


def lines(out: Path) -> dict[str, ManifestEntry]:
    manifest = Manifest.read(out / "manifest.jsonl")
    assert manifest.problems == ()
    return {entry.source: entry for entry in manifest.entries}


def angles(body: TargetBody, clip: Clip) -> dict[str, np.ndarray]:
    model = body.model
    return {name: clip.qpos[:, model.joint(name).qposadr[0]] for name in _names(body)[1:]}


def test_trajectories_become_clips_with_their_joint_angles(
    server: Server, tmp_path: Path, body: TargetBody, published: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token = "hf_right"
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    out = tmp_path / "out"
    result = run("musclemimic-retargeted", out, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["revision"] == COMMIT
    assert report["clips"]["counts"] == {"ok": 3, "rejected": 0, "failed": 0, "kept": 0}
    entry = lines(out)["KIT/4/walk_poses.npz"]
    original = server.repositories[REPOSITORY][f"{FOLDER}/KIT/4/walk_poses.npz"]
    assert entry.clip == "KIT/4/walk_poses.h5"
    assert entry.source_sha256 == hashlib.sha256(original).hexdigest()
    assert (out / "originals" / FOLDER / "KIT/4/walk_poses.npz").read_bytes() == original

    clip = read_clip(out / "KIT/4/walk_poses.h5", sha256=entry.clip_sha256)
    stated = dict(zip(published["joint_names"][1:], published["qpos"].T[7:], strict=True))
    independent = set(body.reduced_hands.joint_names)
    reached = angles(body, clip)
    for name, angle in stated.items():
        if name in independent:
            np.testing.assert_allclose(reached[name], angle, rtol=0, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(clip.qpos[:, :7], published["qpos"][:, :7], rtol=0, atol=1e-6)
    assert body.reduced_hands.coupling_residual(clip.qpos.astype(np.float64)).max() < 1e-6
    assert clip.metrics["import_coupling_change_rad"] == pytest.approx(0.3, abs=1e-5)
    assert clip.metrics["import_coupling_change_name"] == "shoulder1_r2_r"
    assert clip.metrics["joints_at_rest"] == len(FINGER_JOINTS)
    assert clip.hands == "locked"
    fingers = np.stack([reached[name] for name in FINGER_JOINTS])
    assert np.ptp(fingers, axis=1).max() == 0

    np.testing.assert_array_equal(clip.landmark_pos, evaluate_clip(body, clip.qpos).landmark_pos)
    np.testing.assert_array_equal(clip.target_pos, clip.landmark_pos)
    assert clip.metrics["targets"] == "landmarks"
    assert "residual_force_bw" in clip.metrics  # the checks ran
    assert entry.verdict == clip.verdict
    assert clip.licence == "other (made from AMASS, whose licence allows non-commercial research only)"
    facts = clip.config["import"]
    assert (facts["collection"], facts["revision"]) == (REPOSITORY, COMMIT)
    assert facts["file"] == f"{FOLDER}/KIT/4/walk_poses.npz"
    assert (clip.fps, clip.source_fps, clip.fps_source) == (100.0, 100.0, "frequency")
    assert "another body" not in {content.decode("latin-1") for content in files_below(out).values()}


def test_second_run_downloads_and_converts_nothing_even_without_the_originals(
    server: Server, tmp_path: Path, published: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    assert run("musclemimic-retargeted", out, "--include", "walk*").exit_code == 0
    before = files_below(out)
    server.requests.clear()
    (out / "originals" / FOLDER / "KIT/4/walk_poses.npz").unlink()
    result = run("musclemimic-retargeted", out, "--include", "walk*")
    assert result.exit_code == 0, result.output
    assert "1 of them up to date" in result.stdout
    assert server.bodies() == []
    after = files_below(out)
    assert {name: after[name] for name in before if name.endswith(".h5")} == {
        name: content for name, content in before.items() if name.endswith(".h5")
    }


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (None, ["no token was found", "hf auth login", "HF_TOKEN", "request access"]),
        ("hf_wrong", ["the hub refused the token (403)", "request access", "settings/tokens"]),
    ],
)
def test_gated_access_is_explained(
    server: Server,
    tmp_path: Path,
    published: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    words: list[str],
) -> None:
    server.token = "hf_right"
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    result = run("musclemimic-retargeted", tmp_path / "out")
    assert result.exit_code == 2
    for word in (*words, f"https://huggingface.co/datasets/{REPOSITORY}"):
        assert word in facts(result)
    assert "hf_wrong" not in result.output
    assert not (tmp_path / "out").exists()
    # the listing may be public while the files are not
    server.token = ""
    for path in list(server.repositories[REPOSITORY]):
        server.faults[f"/datasets/{REPOSITORY}/resolve/{COMMIT}/{path}"] = [
            Fault(kind="status", status=403, code="GatedRepo")
        ] * 20
    result = run("musclemimic-retargeted", tmp_path / "out", "--no-convert")
    assert result.exit_code == 2
    assert "request access" in facts(result)


def test_missing_items_of_the_hub_are_reported(server: Server, tmp_path: Path, published: dict[str, Any]) -> None:
    for arguments, words in (
        (["demo_dataset"], "has no data set amathislab/demo_dataset (404)"),
        (["hf://someone/nothing"], "has no data set someone/nothing (404)"),
        (["musclemimic-retargeted", "--revision", "old"], "has no revision 'old' (404)"),
        ([f"hf://{REPOSITORY}@old"], "has no revision 'old' (404)"),
        (["musclemimic-retargeted", "--include", "zzz*"], "none of 3 trajectories"),
        (["musclemimic-retargeted", "--group", "no-such-list"], "kit-kinesis-test"),
        (["no-such-thing"], "musclemimic-bimanual-retargeted"),
        (["hf://../x"], "is not a data set of the hub"),
        (["smplh"], "has to be downloaded by hand from https://mano.is.tue.mpg.de"),
    ):
        result = run(arguments[0], tmp_path / "out", *arguments[1:])
        assert result.exit_code == 2, arguments
        assert words in facts(result), arguments
    assert not (tmp_path / "out").exists()


def test_unreliable_hub_is_asked_again(
    server: Server, tmp_path: Path, published: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.4)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    walk, turn, ran = (body_path(name) for name in ("KIT/4/walk_poses", "KIT/314/turn poses", "ACCAD/s1/run_poses"))
    server.faults[f"/api/datasets/{REPOSITORY}"] = [Fault(kind="status", status=503)]
    ok = Fault(kind="")  # for the HEAD request before the body
    server.faults[walk] = [ok, Fault(kind="drop"), Fault(kind="drop")]
    server.faults[turn] = [ok, Fault(kind="stall")]
    server.faults[ran] = [Fault(kind="status", status=500), ok, Fault(kind="alter")]
    result = run("musclemimic-retargeted", tmp_path / "out", "--no-convert")
    assert result.exit_code == 0, result.output
    originals = files_below(tmp_path / "out/originals")
    for path, content in server.repositories[REPOSITORY].items():
        if path.startswith(FOLDER):
            assert originals[path] == content
    assert server.ranges(walk)[-1].startswith("bytes=")
    assert server.ranges(turn)[-1].startswith("bytes=")


@pytest.mark.parametrize("name", ["KIT/4/walk_poses", "KIT/314/turn poses"])
def test_altered_trajectory_is_refused_and_named(
    server: Server, tmp_path: Path, published: dict[str, Any], name: str
) -> None:
    out = tmp_path / "out"
    server.faults[body_path(name)] = [Fault(kind="alter")] * 20
    result = run("musclemimic-retargeted", out, "--limit", "3", "--include", "*poses.npz")
    assert result.exit_code == 1, result.output
    assert f"failed {name}.npz: download: " in facts(result)
    assert "does not have the hash" in facts(result)
    found = lines(out)
    assert [entry.status for entry in found.values()].count("ok") == 2
    assert found[f"{name}.npz"].status == "failed"
    assert not (out / "originals" / FOLDER / f"{name}.npz").exists()
    server.faults.clear()
    assert run("musclemimic-retargeted", out).exit_code == 0
    assert lines(out)[f"{name}.npz"].status == "ok"


def test_vanished_file_is_named(server: Server, tmp_path: Path, published: dict[str, Any]) -> None:
    server.faults[body_path("KIT/4/walk_poses")] = [Fault(kind="status", status=404, code="EntryNotFound")] * 20
    result = run("musclemimic-retargeted", tmp_path / "out", "--no-convert", "--json")
    assert result.exit_code == 1
    (failed,) = json.loads(result.stdout)["failed"].items()
    assert failed[0] == f"{FOLDER}/KIT/4/walk_poses.npz"
    assert "(404)" in failed[1]


def test_locally_damaged_original_is_downloaded_again(
    server: Server, tmp_path: Path, published: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    arguments = ("musclemimic-retargeted", out, "--no-convert", "--include", "walk*")
    assert run(*arguments).exit_code == 0
    original = out / "originals" / FOLDER / "KIT/4/walk_poses.npz"
    content = original.read_bytes()
    original.write_bytes(content[:-1] + b"?")
    assert run(*arguments).exit_code == 0
    assert original.read_bytes() == content
    original.write_bytes(content[: len(content) // 2])
    assert run(*arguments).exit_code == 0
    assert original.read_bytes() == content


def test_hub_cannot_write_outside_the_folder(server: Server, tmp_path: Path, published: dict[str, Any]) -> None:
    server.repositories[REPOSITORY] = {f"{FOLDER}/../../../../evil.npz": b"x", f"{FOLDER}/a/.musclemap.npz": b"x"}
    result = run("musclemimic-retargeted", tmp_path / "out")
    assert result.exit_code == 1
    assert "is not below the folder" in facts(result)
    assert server.bodies() == []
    assert not list(tmp_path.rglob("evil*"))


def test_motion_list_selects_its_members_and_reports_missing_ones(
    server: Server, tmp_path: Path, published: dict[str, Any]
) -> None:
    members = load_group("kit-kinesis-test")
    content = server.repositories[REPOSITORY][f"{FOLDER}/KIT/4/walk_poses.npz"]
    server.repositories[REPOSITORY][f"{FOLDER}/{members[3]}.npz"] = content
    result = run("musclemimic-retargeted", tmp_path / "out", "--group", "kit-kinesis-test", "--dry-run", "--json")
    assert json.loads(result.stdout)["files"] == [f"{members[3]}.npz"]
    result = run("musclemimic-retargeted", tmp_path / "out", "--group", "kit-kinesis-test", "--no-convert")
    assert result.exit_code == 0
    assert "107 motions of the list are not in" in facts(result)


def test_files_that_are_not_trajectories_get_an_entry_with_a_reason(
    server: Server, tmp_path: Path, body: TargetBody, published: dict[str, Any]
) -> None:
    good, path = published, tmp_path / "bad.npz"
    whole, two = as_bytes(path, **good), {"split_points": np.array([0, 2])}
    bad = {
        "pickled": as_bytes(path, **{**good, "qpos": np.array([[None]], dtype=object)}),
        "truncated": whole[: len(whole) // 2],
        "not_npz": b"<html>please log in</html>",
        "unknown_joint": as_bytes(path, **{**good, "joint_names": np.char.add(good["joint_names"], "_x")}),
        "non_finite": as_bytes(path, **{**good, "qpos": np.where(np.arange(89) == 40, np.nan, good["qpos"])}),
        "several_motions": as_bytes(path, **{**good, "split_points": np.array([0, 10, NFRAME])}),
        "bad_joints": as_bytes(path, **{**good, "qpos": good["qpos"][:, :-2]}),
        "bad_frame_rate": as_bytes(path, **{**good, "frequency": np.array(0.0)}),
        "bad_quaternion": as_bytes(path, **{**good, "qpos": np.where(np.arange(89) == 3, 0, good["qpos"]) * 0.1}),
        "too_short": as_bytes(path, **{**good, **{key: good[key][:2] for key in ("qpos", "qvel")}, **two}),
        "missing_key": as_bytes(path, qpos=good["qpos"]),
        "no_frame_rate": as_bytes(path, **{k: v for k, v in good.items() if k != "frequency"}),
    }
    server.repositories[REPOSITORY] = {f"{FOLDER}/{name}.npz": content for name, content in bad.items()}
    out = tmp_path / "out"
    result = run("musclemimic-retargeted", out, "--json")
    assert result.exit_code == 1, result.output
    found = lines(out)
    assert {name: entry.code for name, entry in found.items()} == {f"{n}.npz": n for n in bad}
    assert {entry.status for entry in found.values()} == {"rejected"}
    assert not list(out.rglob("*.h5"))


def test_earlier_clips_survive_failed_downloads_only(server: Server, tmp_path: Path, published: dict[str, Any]) -> None:
    """A file that cannot be downloaded leaves its earlier clip and entry unchanged; a bad file removes its clip."""
    out = tmp_path / "out"
    assert run("musclemimic-retargeted", out).exit_code == 0
    before, clips = lines(out), files_below(out)
    for path in out.rglob("originals/**/*.npz"):
        path.unlink()
    server.faults[body_path("KIT/4/walk_poses")] = [Fault(kind="status", status=404, code="EntryNotFound")] * 20
    server.repositories[REPOSITORY][f"{FOLDER}/ACCAD/s1/run_poses.npz"] = b"<html>please log in</html>"
    result = run("musclemimic-retargeted", out, "--overwrite", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["clips"]["counts"] == {"ok": 1, "rejected": 1, "failed": 1, "kept": 0}
    after = lines(out)
    assert after["KIT/4/walk_poses.npz"] == before["KIT/4/walk_poses.npz"]
    assert (out / "KIT/4/walk_poses.h5").read_bytes() == clips["KIT/4/walk_poses.h5"]
    assert (after["ACCAD/s1/run_poses.npz"].status, after["ACCAD/s1/run_poses.npz"].clip) == ("rejected", None)
    assert not (out / "ACCAD/s1/run_poses.h5").exists()


def test_full_disk_stops_the_conversion_with_an_entry_for_every_file(
    server: Server, tmp_path: Path, published: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, clip: Clip, **options: Any) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("musclemap.datasets.output_folder.write_clip", full)
    result = run("musclemimic-retargeted", tmp_path / "out", "--json")
    assert result.exit_code == 1, result.output
    assert "stopped early: the disk of" in facts(result)
    codes = [str(entry.code) for entry in lines(tmp_path / "out").values()]
    assert sorted(codes) == ["disk_full", "not_converted", "not_converted"]
    monkeypatch.undo()


def test_first_of_two_files_with_the_same_clip_gets_it(
    server: Server, tmp_path: Path, published: dict[str, Any]
) -> None:
    content = server.repositories[REPOSITORY]
    content[f"{FOLDER}/KIT/4/walk_poses.NPZ"] = content.pop(f"{FOLDER}/ACCAD/s1/run_poses.npz")
    result = run("musclemimic-retargeted", tmp_path / "out", "--include", "KIT/4/*")
    assert result.exit_code == 1
    found = lines(tmp_path / "out")
    assert found["KIT/4/walk_poses.npz"].code == "download"
    assert found["KIT/4/walk_poses.npz"].reason == "download: KIT/4/walk_poses.NPZ has the same clip"
    assert found["KIT/4/walk_poses.NPZ"].status == "ok"
    assert run("musclemimic-retargeted", tmp_path / "out", "--include", "KIT/4/*").exit_code == 1
    assert lines(tmp_path / "out") == found


def test_missing_frame_rate_comes_from_a_setting(server: Server, tmp_path: Path, published: dict[str, Any]) -> None:
    arrays = {key: value for key, value in published.items() if key != "frequency"}
    content = as_bytes(tmp_path / "one.npz", **arrays)
    server.repositories[REPOSITORY] = {f"{FOLDER}/one.npz": content}
    result = run("musclemimic-retargeted", tmp_path / "out", "--set", "default_fps=60")
    assert result.exit_code == 0, result.output
    clip = read_clip(tmp_path / "out/one.h5")
    assert (clip.fps, clip.source_fps, clip.fps_source) == (60.0, None, "assumed")


def test_arms_without_a_root_are_matched_by_name(
    tmp_path: Path, body: TargetBody, importer: TrajectoryImporter
) -> None:
    full = swaying_motion(body)
    arms = {name for name in _names(body) if re.search(r"(clav|scap|hum_|hum|elv|shoulder|elbow|pro_sup)", name)}
    without = frozenset(set(_names(body)) - arms)
    arrays = trajectory_arrays(body, full, without=without)
    order = np.random.default_rng(0).permutation(len(arrays["joint_names"]))
    arrays |= {"qpos": arrays["qpos"][:, order], "joint_names": arrays["joint_names"][order]}
    arrays |= {"jnt_type": arrays["jnt_type"][order]}
    (tmp_path / "arms.npz").write_bytes(as_bytes(tmp_path / "arms.npz", **arrays))
    trajectory = read_trajectory(tmp_path / "arms.npz")
    projected, changes = project(body, trajectory)
    assert changes["joints_at_rest"] == len(without)
    model, reduced = body.model, body.reduced_hands
    for joint, name in enumerate(_names(body)):
        adr = model.jnt_qposadr[joint]
        if name in arms and name in reduced.joint_names:
            np.testing.assert_allclose(projected[:, adr], full[:, adr], rtol=0, atol=1e-6)
        elif name in reduced.joint_names:
            assert (projected[:, adr] == reduced.base[adr]).all()
    assert (projected[:, :7] == reduced.base[:7]).all()
    origin = TrajectorySource(
        path=tmp_path / "arms.npz", name="arms.npz", clip="arms.h5", collection="made here", file="arms.npz",
        revision=None, licence="CC0-1.0",
    )  # fmt: skip
    clip = importer.make_clip(trajectory, origin)
    assert np.abs(evaluate_clip(body, clip.qpos).clearance.min(axis=1)).max() < 1e-6
    assert clip.contact.all()
    assert clip.metrics["residual_force_bw"] < 0.2


def test_root_joint_is_found_by_its_type_or_its_width(
    tmp_path: Path, body: TargetBody, published: dict[str, Any]
) -> None:
    plain = {key: value for key, value in published.items() if key != "jnt_type"}
    columns = [joint_columns(read_trajectory(_put(tmp_path, arrays))) for arrays in (published, plain)]
    assert columns[0] == columns[1]
    assert columns[0]["root"] == slice(0, 7)
    for arrays in (published, plain):
        short = {**arrays, "joint_names": published["joint_names"][:-1]}
        with pytest.raises(SourceError) as caught:
            joint_columns(read_trajectory(_put(tmp_path, short)))
        assert caught.value.code == "bad_joints"


def _put(folder: Path, arrays: dict[str, Any]) -> Path:
    np.savez(folder / "one.npz", **arrays)
    return folder / "one.npz"


# Local data, and the catalogue


def test_check_reports_present_and_missing_parts(tmp_path: Path) -> None:
    archive, models = tmp_path / "amass", tmp_path / "models"
    for entry in load_group("kit-kinesis-test"):
        path = archive / f"{entry}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (archive / "BioMotionLab_NTroje/rub001").mkdir(parents=True)
    (archive / "BioMotionLab_NTroje/rub001/0000_treadmill_norm_poses.npz").touch()
    (archive / "odd").mkdir()
    (archive / "odd/one.npz").touch()
    model = synthetic_model("smplh", ndir=16)
    write_npz(models / "smplh/female/model.npz", model)
    before = files_below(tmp_path)
    result = run("--check", "amass", archive, "--body-models", models, "--json")
    assert result.exit_code == 1, result.output
    report = json.loads(result.stdout)
    assert report["parts"] == {"BMLrub": 1, "KIT": 108}
    assert set(report["absent"]) == DATA_SETS.keys() - {"KIT", "BMLrub"}
    assert report["unmatched"] == 1
    assert report["groups"]["kit-kinesis-test"] == {"entries": 108, "found": 108, "missing": {}}
    assert report["groups"]["amass-ekut"] == {"entries": 345, "found": 0, "missing": {"EKUT": 345}}
    assert [(m["family"], m["gender"]) for m in report["body_models"]] == [("smplh", "female")]
    steps = " ".join(report["steps"])
    for words in ("https://amass.is.tue.mpg.de", "https://smpl.is.tue.mpg.de", "https://smpl-x.is.tue.mpg.de",
                  "EKUT", "smplh (male, neutral): register at https://mano.is.tue.mpg.de"):  # fmt: skip
        assert words in steps
    assert files_below(tmp_path) == before
    plain = run("--check", "amass", archive, "--group", "kit-kinesis-test")
    assert plain.exit_code == 0
    assert "kit-kinesis-test: 108 of 108" in plain.stdout
    part = run("--check", "amass", archive / "KIT", "--group", "kit-kinesis-test", "--json")
    assert json.loads(part.stdout)["parts"] == {"KIT": 108}


def test_check_names_downloads_that_are_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for name in ("parts/KIT.tar.bz2", "SFU.ZIP", "notes.txt"):
        (tmp_path / name).touch()
    result = run("--check", "amass", tmp_path, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["packed"] == [str(tmp_path / "SFU.ZIP"), str(tmp_path / "parts" / "KIT.tar.bz2")]
    assert report["steps"][:2] == [
        f"SFU.ZIP is not unpacked: unpack it in {tmp_path}",
        f"KIT.tar.bz2 is not unpacked: unpack it in {tmp_path / 'parts'}",
    ]


def test_catalogue_states_what_is_unknown() -> None:
    result = run("--list")
    assert result.exit_code == 0
    entries = load_catalogue()
    assert len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.kind in KINDS
        assert entry.name in result.stdout
        assert entry.page.startswith("https://") or (entry.kind == "built-in" and not entry.page)
        assert entry.what in result.stdout
        assert (entry.where is None) == (entry.kind in ("built-in", "by hand"))
    assert "size: not known" in result.stdout
    assert [entry["name"] for entry in json.loads(run("--list", "--json").stdout)] == [e.name for e in entries]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--list prints the catalogue"),
        (["demo_dataset"], "and the folder for it"),
        (["--list", "demo_dataset"], "--list stands alone"),
        (["--check", "amass"], "takes one folder"),
        (["--check", "amass", "nowhere"], "nowhere is neither a file nor a folder"),
        (["--check", "lafan", "."], "amass"),
        (["ftp://x/y", "out"], "the catalogue has no 'ftp://x/y'"),
        (["demo_dataset", "out", "--set", "nonsense=1"], "nonsense"),
        (["demo_dataset", "out", "--sha256", "0"], "for bundles"),
        (["demo_dataset", "out", "-q", "-v"], "exclude each other"),
        (["demo_dataset", "out", "--timeout", "3"], "data sets of the hub do not take --timeout"),
        (["http://127.0.0.1/b", "out", "--no-convert", "--set", "fps=1"], "bundles do not take --convert, --set"),
        (["builtin-arm", "out", "--workers", "2"], "built-in data sets do not take --jobs"),
        (["builtin-arm", "out", "--include", "leg*"], "none of the 12 clips of builtin-arm matches; one is arm_000.h5"),
        (["--list", "--group", "kit-kinesis-test"], "do not take --group"),
        (["--check", "amass", ".", "--include", "x"], "do not take --include"),
    ],
)
def test_wrong_use_exits_with_2_and_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in facts(result)
    assert not (tmp_path / "out").exists()


def test_built_in_arm_clips_need_no_network(tmp_path: Path) -> None:
    out = tmp_path / "arm"
    planned = run("builtin-arm", out, "--limit", "3", "--dry-run", "--json")
    assert json.loads(planned.stdout) == {"clips": ["arm_000.h5", "arm_001.h5", "arm_002.h5"]}
    assert not out.exists()
    first = run("builtin-arm", out, "--limit", "2", "--json")
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["counts"]["ok"] == 2
    before = files_below(out)
    assert run("builtin-arm", out, "--limit", "2", "-q").exit_code == 0
    assert files_below(out) == before
    assert run("builtin-arm", out, "--include", "arm_011*").exit_code == 0
    clips = select_clips(out).clips
    assert [name for name, _ in clips] == ["arm_000.h5", "arm_001.h5", "arm_011.h5"]
    original = arm_clips(12, 4.0, seed=1)[11][1]
    np.testing.assert_array_equal(clips[2][1].qpos, original.qpos)
    assert [entry.source for entry in read_entries(out).values()] == [clip.source for _, clip in clips]
