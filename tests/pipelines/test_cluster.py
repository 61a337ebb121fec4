"""Conversion by worker processes gives the same bytes as by one process, even if workers die."""

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from musclemap.datasets.manifest import Manifest
from musclemap.datasets.output_folder import OutputError, open_output
from musclemap.datasets.selection import select
from musclemap.errors import SettingsError
from musclemap.pipelines.archive import convert_archive
from musclemap.pipelines.cluster import worker_pool as pool
from musclemap.pipelines.cluster.dask_cluster import ClusterError
from musclemap.pipelines.cluster.scheduler_connection import SchedulerConnection
from musclemap.pipelines.cluster.worker_pool import WorkerPool, worker_pool_for
from musclemap.pipelines.convert import jobs
from musclemap.pipelines.convert.jobs import group_into_jobs, unpacked_size
from musclemap.pipelines.convert.status import folder_status, status_lines
from musclemap.retarget.config import RetargetConfig, ValidationConfig
from musclemap.settings import to_dict

from ..support.cluster_runs import (
    SMALL_JOBS,
    archive,
    contents,
    convert,
    convert_alone,
    kill,
    reasons,
    start,
    until_a_line,
    workers_below,
)
from ..support.data.fake_retargeter import FakeRetargeter, save
from ..support.hazards import Hazardous


@pytest.fixture
def small_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use small jobs, so that there are many of them."""
    monkeypatch.setattr(jobs, "MIN_JOB_BYTES", SMALL_JOBS)


def test_jobs_contain_every_file_once_and_have_similar_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(40):
        save(tmp_path / f"m{k:02}.npz", nframe=5 + 40 * (k % 5))
    items = select(tmp_path).items
    monkeypatch.setattr(jobs, "MIN_JOB_BYTES", 1)
    monkeypatch.setattr(jobs, "MAX_JOB_BYTES", 10**9)
    packed = group_into_jobs(items, workers=2)
    assert sorted(item.name for job in packed for item in job) == [item.name for item in items]
    sizes = [sum(unpacked_size(item.path) for item in job) for job in packed]
    largest = max(unpacked_size(item.path) for item in items)
    assert len(packed) >= 2 * 8
    assert max(sizes) <= max(sum(sizes) / 16, largest)
    assert all([item.name for item in job] == sorted(item.name for item in job) for job in packed)


def test_small_archives_are_converted_in_process(tmp_path: Path) -> None:
    items = select(archive(tmp_path, "a", "b")).items
    assert worker_pool_for(items) is None
    assert worker_pool_for(items, workers=1) is None
    assert worker_pool_for(items, workers=1, clip_seconds=5.0) == WorkerPool(workers=1, clip_seconds=5.0)
    assert worker_pool_for(items, workers=2, device="cpu") == WorkerPool(workers=2, device="cpu")
    assert worker_pool_for(items, scheduler="tcp://there:1") == WorkerPool(scheduler="tcp://there:1")


def test_two_workers_write_the_same_files_as_one_process(tmp_path: Path, small_jobs: None) -> None:
    source = archive(tmp_path / "in", *(f"g{k % 3}/m{k:02}" for k in range(30)))
    (source / "bad.npz").write_bytes(b"no archive")
    alone = convert_alone(source, tmp_path / "alone")
    both = convert(source, tmp_path / "both")
    assert contents(tmp_path / "both") == contents(tmp_path / "alone")
    assert both.entries == alone.entries
    assert both.counts == {"ok": 30, "rejected": 1, "failed": 0, "kept": 0}
    again = convert(source, tmp_path / "both")
    assert again.counts["kept"] == 30
    assert contents(tmp_path / "both") == contents(tmp_path / "alone")


def test_files_that_kill_or_hang_a_worker_are_reported_and_the_rest_converted(
    tmp_path: Path, small_jobs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marks").mkdir()
    monkeypatch.setenv("MUSCLEMAP_TEST_MARKS", str(tmp_path / "marks"))
    fine = [f"m{k:02}" for k in range(12)]
    source = archive(tmp_path / "in", *fine, "m03kill", "m05once", "m07hang")
    summary = convert(source, tmp_path / "out", retargeter_factory=Hazardous, clip_seconds=1.0)
    assert reasons(tmp_path / "out") == {"m03kill": "worker_died", "m07hang": "time_limit"}
    assert summary.counts == {"ok": 13, "rejected": 0, "failed": 2, "kept": 0}
    assert len(Manifest.read(tmp_path / "out" / "manifest.jsonl").entries) == 15
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_another_run_on_this_machine_does_not_interfere(tmp_path: Path) -> None:
    """Dask's default dashboard port may be taken; Dask then warns, which is an error in tests."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        except OSError:
            pass  # taken by another program: just as good
        assert convert(archive(tmp_path / "in", "a"), tmp_path / "out").counts["ok"] == 1


def test_a_worker_that_dies_with_its_results_does_not_end_the_run(
    tmp_path: Path, small_jobs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results stay on their worker until they are fetched; the only worker is killed once before that."""
    done, killed = SchedulerConnection.done, []

    def done_and_dead(link, futures):
        result = done(link, futures)
        if result and not killed:
            killed.extend(workers_below(os.getpid()))
            for pid in killed:
                kill(pid)
        return result

    monkeypatch.setattr(SchedulerConnection, "done", done_and_dead)
    monkeypatch.setattr("musclemap.pipelines.cluster.scheduler_connection.RESULT_SECONDS", 1.0)
    source = archive(tmp_path / "in", *(f"m{k:02}" for k in range(12)))
    summary = convert(source, tmp_path / "out", workers=1)
    assert len(killed) == 1
    assert summary.counts == {"ok": 12, "rejected": 0, "failed": 0, "kept": 0}
    convert_alone(source, tmp_path / "alone")
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


def test_simultaneous_runs_are_refused(tmp_path: Path) -> None:
    source = archive(tmp_path / "in", "a")
    with open_output(tmp_path / "out"), pytest.raises(OutputError, match="another run is writing"):
        convert(source, tmp_path / "out")


def test_the_status_of_a_folder_is_reported(tmp_path: Path) -> None:
    source, out = archive(tmp_path / "in", "a", "b", "c", "d"), tmp_path / "out"
    (source / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(SettingsError, match=r"no manifest\.jsonl"):
        folder_status(tmp_path, requested={})
    convert_archive(source, out, config=RetargetConfig(), retargeter=FakeRetargeter())
    expected = {"config": to_dict(RetargetConfig()), "software": {"musclemap": "1"}}
    result = folder_status(out, requested=expected)
    assert (result.done, dict(result.stale), result.strays) == (("a.npz", "b.npz", "c.npz", "d.npz"), {}, ())
    assert (result.failed["bad.npz"].status, result.failed["bad.npz"].code) == ("rejected", "not_npz")
    assert result.to_dict()["failed"]["bad.npz"].startswith("rejected: not_npz: ")
    assert result.nframe == 5 + 6 + 7 + 8
    (out / "a.h5").write_bytes((out / "b.h5").read_bytes())
    (out / "c.h5").unlink()
    (out / "stray.h5").write_bytes(b"")
    result = folder_status(out, requested=expected)
    assert result.done == ("b.npz", "d.npz")
    assert "is not the file that was written" in result.stale["a.npz"]
    assert "c.h5 cannot be read" in result.stale["c.npz"]
    assert result.strays == ("stray.h5",)
    text = "\n".join(status_lines(result))
    assert "2 done (14 frames), 2 stale, 1 rejected" in text
    assert "rejected bad.npz: not_npz" in text
    newer = folder_status(out, requested={**expected, "software": {"musclemap": "2"}})
    assert newer.stale["b.npz"] == "made with other software"
    other = RetargetConfig(fps=50.0, validation=ValidationConfig(chunk_size=7, cutoff=9.0))
    other_settings = folder_status(out, requested={**expected, "config": to_dict(other)})
    assert other_settings.stale["b.npz"] == "made with other settings (fps, validation.cutoff)"
    assert (result.running, result.unfinished) == (False, False)


def test_status_distinguishes_a_running_from_an_interrupted_run(tmp_path: Path) -> None:
    source, out = archive(tmp_path / "in", "a", "b"), tmp_path / "out"
    convert_alone(source, out)
    with open_output(out) as folder:
        result = folder_status(out, requested={})
        assert (result.running, result.unfinished) == (True, False)
        folder.record(folder.entries["a.npz"])
        result = folder_status(out, requested={})
        assert (result.running, result.unfinished) == (True, False)
        assert status_lines(result)[-1] == "a run is in progress"
    result = folder_status(out, requested={})
    assert (result.running, result.unfinished) == (False, True)
    assert "was interrupted" in status_lines(result)[-1]
    convert_alone(source, out)
    with pytest.raises(RuntimeError), open_output(out):
        raise RuntimeError
    result = folder_status(out, requested={})
    assert (result.running, result.unfinished) == (False, False)


def test_an_unresponsive_scheduler_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musclemap.pipelines.cluster.dask_cluster.CONNECT_SECONDS", 1)
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        convert(archive(tmp_path / "in", "a"), tmp_path / "out", scheduler="tcp://127.0.0.1:9")


def test_workers_that_die_during_startup_are_restarted(tmp_path: Path, small_jobs: None) -> None:
    source = archive(tmp_path / "in", *(f"m{k:02}" for k in range(20)))
    deadline = time.monotonic() + 4.0

    def kill_them() -> None:
        while time.monotonic() < deadline:
            for pid in workers_below(os.getpid()):
                kill(pid)
            time.sleep(0.3)

    killer = threading.Thread(target=kill_them)
    killer.start()
    summary = convert(source, tmp_path / "out")
    killer.join()
    assert time.monotonic() > deadline  # no worker had time to finish its work before
    assert summary.counts["ok"] == 20


def test_workers_end_with_the_program(tmp_path: Path, small_jobs: None) -> None:
    source = archive(tmp_path / "in", *(f"m{k:02}slow" for k in range(40)))
    run = start(tmp_path, source, tmp_path / "out")
    until_a_line(tmp_path / "out")
    workers = workers_below(run.pid)
    assert len(workers) == 2
    run.kill()
    run.communicate()
    deadline = time.monotonic() + 20
    while any(_lives(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_lives(pid) for pid in workers)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()


def test_the_first_interrupt_finishes_the_jobs_in_progress(tmp_path: Path, small_jobs: None) -> None:
    source = archive(tmp_path / "in", *(f"m{k:03}slow" for k in range(120)))
    run = start(tmp_path, source, tmp_path / "out")
    journal = tmp_path / "out" / "manifest.jsonl.partial"
    until_a_line(tmp_path / "out")
    os.kill(run.pid, signal.SIGINT)
    _, output = run.communicate(timeout=60)
    assert run.returncode != 0
    assert "KeyboardInterrupt" in output
    kept = [json.loads(line) for line in journal.read_text().splitlines()]
    assert 0 < len(kept) < 120
    clips = sorted(path.name for path in (tmp_path / "out").glob("*.h5"))
    assert clips == sorted(entry["clip"] for entry in kept)  # every written clip is in the manifest
    assert convert(source, tmp_path / "out").counts == {"ok": 120, "rejected": 0, "failed": 0, "kept": len(kept)}


@pytest.mark.parametrize(
    ("expected", "result"),
    [
        (None, ["0", "1"]), ("1", ["1"]), ("", []), ("-1", []), ("1,-1,0", ["1"]), ("0,1,2,3", ["0", "1"]),
        ("GPU-8932f937-d72c,0", ["GPU-8932f937-d72c", "0"]),
    ],
)  # fmt: skip
def test_visible_gpus_are_those_that_jax_may_use(
    expected: str | None, result: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two GPUs, selected as CUDA does; none without JAX's plug-in or without a driver."""
    tell = tmp_path / "nvidia-smi"
    tell.write_text("#!/bin/sh\necho 'GPU 0: H100 (UUID: GPU-a)'\necho 'GPU 1: H100 (UUID: GPU-b)'\n")
    tell.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if expected is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", expected)
    monkeypatch.setattr(pool, "find_spec", lambda name: None)
    assert pool.visible_gpus() == []
    monkeypatch.setattr(pool, "find_spec", lambda name: name)
    assert pool.visible_gpus() == result
    tell.write_text("#!/bin/sh\nexit 9\n")
    assert pool.visible_gpus() == []
