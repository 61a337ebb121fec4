"""Conversion by worker processes: the same bytes as by one process, whatever befalls the workers."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from musclemap.datasets.manifest import Manifest
from musclemap.pipelines import jobs
from musclemap.pipelines.archive import convert_archive
from musclemap.pipelines.cluster import ClusterError
from musclemap.pipelines.crew import Crew, crew_for
from musclemap.pipelines.jobs import pack, unpacked_size
from musclemap.pipelines.output_folder import OutputError, open_output
from musclemap.pipelines.selection import select
from musclemap.pipelines.settings import to_dict
from musclemap.pipelines.status import folder_status, status_lines
from musclemap.pipelines.summary import Summary
from musclemap.retarget.config import RetargetConfig
from musclemap.skeletons.errors import SettingsError

from .fake_retargeter import FakeRetargeter, save
from .hazards import Hazardous


@pytest.fixture
def small_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of a few files, so that there are many."""
    monkeypatch.setattr(jobs, "JOB_BYTES", 30_000)


def archive(folder: Path, *names: str) -> Path:
    for k, name in enumerate(names):
        save(folder / f"{name}.npz", nframe=5 + k % 7)
    return folder


def convert(source: Path, out: Path, **options: object) -> Summary:
    crew = Crew(**{"workers": 2, "device": "cpu", "make": FakeRetargeter} | options)  # type: ignore[arg-type]
    return convert_archive(source, out, config=RetargetConfig(), crew=crew)


def contents(out: Path) -> dict[str, bytes]:
    """Every file but the lock."""
    return {
        p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file() and p.suffix != ".lock"
    }


def reasons(out: Path) -> dict[str, str]:
    manifest = Manifest.read(out / "manifest.jsonl")
    return {Path(e.source).stem: e.reason.partition(":")[0] for e in manifest.entries if e.status != "ok"}


def test_jobs_hold_every_file_once_and_are_of_similar_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(40):
        save(tmp_path / f"m{k:02}.npz", nframe=5 + 40 * (k % 5))
    items = select(tmp_path).items
    monkeypatch.setattr(jobs, "JOB_BYTES", 1)
    monkeypatch.setattr(jobs, "MOST_JOB_BYTES", 10**9)
    packed = pack(items, workers=2)
    assert sorted(item.name for job in packed for item in job) == [item.name for item in items]
    sizes = [sum(unpacked_size(item.path) for item in job) for job in packed]
    largest = max(unpacked_size(item.path) for item in items)
    assert len(packed) >= 2 * 8
    assert max(sizes) <= max(sum(sizes) / 16, largest)
    assert all([item.name for item in job] == sorted(item.name for item in job) for job in packed)


def test_little_work_is_done_by_the_program_itself(tmp_path: Path) -> None:
    items = select(archive(tmp_path, "a", "b")).items
    assert crew_for(items) is None
    assert crew_for(items, workers=1) is None
    assert crew_for(items, workers=1, clip_seconds=5.0) == Crew(workers=1, clip_seconds=5.0)
    assert crew_for(items, workers=2, device="cpu") == Crew(workers=2, device="cpu")
    assert crew_for(items, scheduler="tcp://there:1") == Crew(scheduler="tcp://there:1")


def test_two_workers_leave_what_one_process_leaves(tmp_path: Path, small_jobs: None) -> None:
    source = archive(tmp_path / "in", *(f"g{k % 3}/m{k:02}" for k in range(30)))
    (source / "bad.npz").write_bytes(b"no archive")
    alone = convert_archive(source, tmp_path / "alone", config=RetargetConfig(), retargeter=FakeRetargeter())
    both = convert(source, tmp_path / "both")
    assert contents(tmp_path / "both") == contents(tmp_path / "alone")
    assert both.entries == alone.entries
    assert both.counts == {"ok": 30, "rejected": 1, "failed": 0, "kept": 0}
    again = convert(source, tmp_path / "both")
    assert again.counts["kept"] == 30
    assert contents(tmp_path / "both") == contents(tmp_path / "alone")


def test_what_kills_or_hangs_a_worker_is_named_and_the_rest_converted(
    tmp_path: Path, small_jobs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marks").mkdir()
    monkeypatch.setenv("MUSCLEMAP_TEST_MARKS", str(tmp_path / "marks"))
    fine = [f"m{k:02}" for k in range(12)]
    source = archive(tmp_path / "in", *fine, "m03kill", "m05once", "m07hang")
    summary = convert(source, tmp_path / "out", make=Hazardous, clip_seconds=1.0)
    assert reasons(tmp_path / "out") == {"m03kill": "worker_died", "m07hang": "time_limit"}
    assert summary.counts == {"ok": 13, "rejected": 0, "failed": 2, "kept": 0}
    assert len(Manifest.read(tmp_path / "out" / "manifest.jsonl").entries) == 15
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_two_runs_at_a_time_are_refused(tmp_path: Path) -> None:
    source = archive(tmp_path / "in", "a")
    with open_output(tmp_path / "out"), pytest.raises(OutputError, match="another run is writing"):
        convert(source, tmp_path / "out")


def test_the_state_of_a_folder_is_told(tmp_path: Path) -> None:
    source, out = archive(tmp_path / "in", "a", "b", "c", "d"), tmp_path / "out"
    (source / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(SettingsError, match=r"no manifest\.jsonl"):
        folder_status(tmp_path, wanted={})
    convert_archive(source, out, config=RetargetConfig(), retargeter=FakeRetargeter())
    wanted = {"config": to_dict(RetargetConfig()), "software": {"musclemap": "1"}}
    found = folder_status(out, wanted=wanted)
    assert (found.done, dict(found.stale), found.strays) == (("a.npz", "b.npz", "c.npz", "d.npz"), {}, ())
    assert found.failed["bad.npz"].startswith("rejected: not_npz")
    assert found.nframe == 5 + 6 + 7 + 8
    (out / "a.h5").write_bytes((out / "b.h5").read_bytes())
    (out / "c.h5").unlink()
    (out / "stray.h5").write_bytes(b"")
    found = folder_status(out, wanted=wanted)
    assert found.done == ("b.npz", "d.npz")
    assert found.stale["a.npz"] == "the clip is not the file that was written"
    assert found.stale["c.npz"].startswith("the clip cannot be read")
    assert found.strays == ("stray.h5",)
    text = "\n".join(status_lines(found))
    assert "2 done (14 frames), 2 stale, 1 rejected" in text
    assert "rejected bad.npz: not_npz" in text
    newer = folder_status(out, wanted={**wanted, "software": {"musclemap": "2"}})
    assert newer.stale["b.npz"] == "made with other software"


def test_a_scheduler_that_does_not_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musclemap.pipelines.cluster.CONNECT_SECONDS", 1)
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        convert(archive(tmp_path / "in", "a"), tmp_path / "out", scheduler="tcp://127.0.0.1:9")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Path]:
    """A scheduler and two workers, started by hand; gives the scheduler's file."""
    file = tmp_path / "scheduler.json"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    scheduler = ["dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    worker = ["dask_worker", "--nworkers", "1", "--nthreads", "1", "--no-dashboard"]
    started = []
    for number, (name, *arguments) in enumerate((scheduler, worker, worker)):
        command = [sys.executable, "-m", f"distributed.cli.{name}", *arguments, "--scheduler-file", str(file)]
        with (tmp_path / f"dask-{number}.log").open("w") as log:
            started.append(
                subprocess.Popen(command, env=environ, stdout=log, stderr=log, cwd=tmp_path, start_new_session=True)
            )
    yield file
    for process in reversed(started):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_cluster_that_was_started_by_hand(tmp_path: Path, small_jobs: None, cluster: Path) -> None:
    source = archive(tmp_path / "in", *(f"m{k:03}" for k in range(40)))
    deadline = time.monotonic() + 30
    while not cluster.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    told: list[str] = []
    summary = convert(source, tmp_path / "out", scheduler_file=cluster, told=told.append)
    assert summary.counts["ok"] == 40
    assert told[0].startswith("Dask's dashboard: http://")
    convert_archive(source, tmp_path / "alone", config=RetargetConfig(), retargeter=FakeRetargeter())
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


RUN = """
import sys
from pathlib import Path
from musclemap.pipelines import jobs
from tests.test_cluster import convert
from tests.hazards import Hazardous
jobs.JOB_BYTES = 30_000
if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]), make=Hazardous)
"""


def start(tmp_path: Path, source: Path, out: Path) -> subprocess.Popen[str]:
    script = tmp_path / "run.py"
    script.write_text(RUN)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    return subprocess.Popen(
        [sys.executable, str(script), str(source), str(out)], env=environ, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


@pytest.mark.slow
def test_chaos(tmp_path: Path, small_jobs: None) -> None:
    """200 clips; workers and whole runs are killed at random; in the end it is as if nothing had happened."""
    source = archive(tmp_path / "in", *(f"s{k % 9}/m{k:03}slow" for k in range(200)))
    convert_archive(source, tmp_path / "calm", config=RetargetConfig(), retargeter=FakeRetargeter())
    out, rng = tmp_path / "out", random.Random(4)
    unfinished, status = 0, -1
    for ending in ("kill all", "interrupt", "kill workers", ""):
        run = start(tmp_path, source, out)
        watch = threading.Thread(target=lambda run=run: run.communicate(), daemon=True)
        watch.start()
        if ending == "kill workers":
            for _ in range(3):
                time.sleep(rng.uniform(1.5, 2.5))
                _kill_a_worker(run.pid, rng)
        elif ending:
            _until_a_line(out / "manifest.jsonl.partial")
            time.sleep(rng.uniform(0.0, 2.0))
            with contextlib.suppress(ProcessLookupError):
                if ending == "interrupt":
                    os.kill(run.pid, signal.SIGINT)
                else:
                    os.killpg(run.pid, signal.SIGKILL)
        watch.join(timeout=150)
        if watch.is_alive():
            os.killpg(run.pid, signal.SIGKILL)
            pytest.fail(f"a run never ended: {ending or 'left alone'}")
        status = run.returncode
        unfinished += status != 0
    assert unfinished >= 1  # at least one run was in the middle when it ended
    assert status == 0
    assert contents(out) == contents(tmp_path / "calm")


def _until_a_line(journal: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.stat().st_size):
        time.sleep(0.05)


def _workers_below(pid: int) -> list[int]:
    """Worker processes that a program started."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return [int(child) for child, parent, command in rows if parent == str(pid) and "dask_worker" in command]


def _kill_a_worker(pid: int, rng: random.Random) -> None:
    workers = _workers_below(pid)
    if workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(workers), signal.SIGKILL)


def test_workers_that_die_while_they_start_are_started_anew(tmp_path: Path, small_jobs: None) -> None:
    source = archive(tmp_path / "in", *(f"m{k:02}" for k in range(20)))
    deadline = time.monotonic() + 4.0

    def kill() -> None:
        while time.monotonic() < deadline:
            for pid in _workers_below(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.3)

    killer = threading.Thread(target=kill)
    killer.start()
    summary = convert(source, tmp_path / "out")
    killer.join()
    assert time.monotonic() > deadline  # none had the time to do its work before
    assert summary.counts["ok"] == 20


def test_workers_end_with_the_program(tmp_path: Path, small_jobs: None) -> None:
    source = archive(tmp_path / "in", *(f"m{k:02}slow" for k in range(40)))
    run = start(tmp_path, source, tmp_path / "out")
    _until_a_line(tmp_path / "out" / "manifest.jsonl.partial")
    workers = _workers_below(run.pid)
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


def test_the_first_interrupt_finishes_what_is_under_way(tmp_path: Path, small_jobs: None) -> None:
    source = archive(tmp_path / "in", *(f"m{k:03}slow" for k in range(120)))
    run = start(tmp_path, source, tmp_path / "out")
    journal = tmp_path / "out" / "manifest.jsonl.partial"
    _until_a_line(journal)
    os.kill(run.pid, signal.SIGINT)
    _, told = run.communicate(timeout=60)
    assert run.returncode != 0
    assert "KeyboardInterrupt" in told
    kept = [json.loads(line) for line in journal.read_text().splitlines()]
    assert 0 < len(kept) < 120
    clips = sorted(path.name for path in (tmp_path / "out").glob("*.h5"))
    assert clips == sorted(entry["clip"] for entry in kept)  # nothing written that no line tells of
    assert convert(source, tmp_path / "out").counts == {"ok": 120, "rejected": 0, "failed": 0, "kept": len(kept)}
