"""Loss of the scheduler, a connection, the disk or a source during a run is reported and repaired by the next run."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from musclemap.datasets.clip import read_clip
from musclemap.datasets.manifest import Manifest
from musclemap.datasets.selection import select
from musclemap.datasets.summary import Summary
from musclemap.pipelines.cluster import scheduler_connection
from musclemap.pipelines.cluster.dask_cluster import ClusterError
from musclemap.pipelines.convert import jobs

from ..support.cluster_runs import SMALL_JOBS, archive, contents, convert, convert_alone, reasons, until_a_line
from ..support.data.fake_retargeter import save
from ..support.hand_started import HandStarted, TcpProxy
from ..support.hazards import FULL, MARKS, Hazardous


@pytest.fixture(autouse=True)
def small_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use small jobs, so that there are many of them."""
    monkeypatch.setattr(jobs, "MIN_JOB_BYTES", SMALL_JOBS)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[HandStarted]:
    """Scheduler without workers."""
    (tmp_path / "dask").mkdir()
    started = HandStarted(tmp_path / "dask")
    yield started
    started.end()


def in_the_middle(out: Path, act: Callable[[], None], run: Callable[[], Summary]) -> tuple[Summary, float]:
    """Act once a run has finished its first file; return the summary and the time until the run ended [s]."""
    acted = []

    def wait() -> None:
        until_a_line(out)
        act()
        acted.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    summary = run()
    thread.join()
    return summary, time.monotonic() - acted[0]


def check_lines(summary: Summary, source: Path, out: Path) -> None:
    """Every source has one line: either "ok" with a clip, or a failure because the run stopped."""
    lines = Manifest.read(out / "manifest.jsonl").entries
    assert [line.source for line in lines] == sorted(path.name for path in source.iterdir())
    done = [line for line in lines if line.status == "ok"]
    assert 0 < len(done) < len(lines)
    assert summary.counts["ok"] == len(done)
    assert set(reasons(out).values()) <= {"not_converted", "disk_full"}
    assert all(read_clip(out / line.clip, sha256=line.clip_sha256) for line in done if line.clip)
    for path in out.rglob("*.h5"):
        read_clip(path)


def check_made_good(source: Path, out: Path, cluster: HandStarted | None = None, *, kept: int) -> None:
    """The next run keeps finished clips; once no lost worker writes any more, the files are those of an
    undisturbed run.

    More than `kept` files are kept where workers that the run had lost still finished some: their journals list them.
    """
    again = convert_alone(source, out)  # while the lost workers may still be writing
    assert again.complete
    assert again.counts["kept"] >= kept
    if cluster:
        cluster.end()
    deadline = time.monotonic() + 20
    last = convert_alone(source, out)  # clears away what they left, once the system has ended them
    while list(out.rglob("*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.2)
        last = convert_alone(source, out)
    assert last.counts["kept"] == len(list(source.iterdir()))
    convert_alone(source, out.with_name("calm"))
    assert contents(out) == contents(out.with_name("calm"))


@pytest.mark.slow
def test_a_killed_scheduler(tmp_path: Path, cluster: HandStarted) -> None:
    source, out = archive(tmp_path / "in", *(f"m{k:02}slow" for k in range(40))), tmp_path / "out"
    for _ in range(2):
        cluster.add_worker()
    summary, seconds = in_the_middle(
        out,
        cluster.kill_scheduler,
        lambda: convert(source, out, retargeter_factory=Hazardous, scheduler_file=cluster.file),
    )
    assert seconds < 30
    assert "scheduler is gone" in summary.stopped
    assert "\n" not in summary.stopped
    check_lines(summary, source, out)
    check_made_good(source, out, cluster, kept=summary.counts["ok"])


@pytest.mark.slow
def test_lost_connections(tmp_path: Path, cluster: HandStarted) -> None:
    """First the connection between program and scheduler is lost, then that of one of two workers."""
    source, out = archive(tmp_path / "in", *(f"m{k:02}slow" for k in range(40))), tmp_path / "out"
    program, worker = TcpProxy(cluster.address), TcpProxy(cluster.address)
    cluster.add_worker()
    cluster.add_worker(worker.address)
    summary, seconds = in_the_middle(
        out,
        program.close,
        lambda: convert(source, out, retargeter_factory=Hazardous, scheduler=f"tcp://{program.address}"),
    )
    assert seconds < 30
    assert "scheduler is gone" in summary.stopped
    check_lines(summary, source, out)
    again, _ = in_the_middle(
        out, worker.close, lambda: convert(source, out, retargeter_factory=Hazardous, scheduler_file=cluster.file)
    )
    assert again.complete
    assert again.counts["kept"] >= summary.counts["ok"]  # more where lost workers still finished some
    check_made_good(source, out, cluster, kept=40)


@pytest.mark.slow
def test_a_scheduler_that_stops_answering(
    tmp_path: Path, cluster: HandStarted, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = archive(tmp_path / "in", *(f"m{k:02}slow" for k in range(40))), tmp_path / "out"
    cluster.add_worker()

    def pause() -> None:
        monkeypatch.setattr(scheduler_connection, "ANSWER_SECONDS", 2.0)
        cluster.pause_scheduler()

    summary, seconds = in_the_middle(
        out, pause, lambda: convert(source, out, retargeter_factory=Hazardous, scheduler_file=cluster.file)
    )
    assert seconds < 30
    assert "does not answer" in summary.stopped
    check_lines(summary, source, out)


def test_a_cluster_without_workers_is_an_error(
    tmp_path: Path, cluster: HandStarted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musclemap.pipelines.cluster.dask_cluster.CONNECT_SECONDS", 5)
    address = f"tcp://{cluster.address}"
    with pytest.raises(ClusterError, match=f"{address} has no worker; start one with: dask worker {address}"):
        convert(archive(tmp_path / "in", "a"), tmp_path / "out", scheduler=address)


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv(MARKS, str(marks))
    source, out = archive(tmp_path / "in", *(f"m{k:02}slow" for k in range(40))), tmp_path / "out"
    summary, _ = in_the_middle(out, (marks / FULL).touch, lambda: convert(source, out, retargeter_factory=Hazardous))
    assert summary.stopped == f"the disk of {out} is full"
    check_lines(summary, source, out)
    assert 1 <= list(reasons(out).values()).count("disk_full") <= 2  # at most once per worker
    assert not list(out.rglob("*.tmp"))
    (marks / FULL).unlink()
    check_made_good(source, out, kept=summary.counts["ok"])


def test_sources_that_are_replaced(tmp_path: Path) -> None:
    """One source is replaced after its conversion, one before: clips record their source, and the next run notices."""
    names = [f"m{k:03}slow" for k in range(100)]  # five seconds of work, so that it is still running
    source, out = archive(tmp_path / "in", *names), tmp_path / "out"
    archive(tmp_path / "new", *names)
    for path in (tmp_path / "new").iterdir():
        save(path, nframe=17)
    replaced: dict[str, str] = {}

    def replace_two() -> None:
        done = {line.source for line in Manifest.read(out / "manifest.jsonl.partial").entries}
        last = jobs.group_into_jobs(select(source).items, workers=2)[-1][-1].name
        for name in (min(done), last):
            replaced[name] = hashlib.sha256((source / name).read_bytes()).hexdigest()
            os.replace(tmp_path / "new" / name, source / name)

    summary, _ = in_the_middle(out, replace_two, lambda: convert(source, out, retargeter_factory=Hazardous))
    assert summary.complete
    lines = {line.source: line for line in Manifest.read(out / "manifest.jsonl").entries}
    early, late = replaced
    assert lines[early].source_sha256 == replaced[early]
    assert lines[late].source_sha256 == hashlib.sha256((source / late).read_bytes()).hexdigest() != replaced[late]
    assert [lines[name].nframe == 17 for name in (early, late)] == [False, True]
    for line in lines.values():
        assert line.clip is not None
        assert read_clip(out / line.clip, sha256=line.clip_sha256).source_sha256 == line.source_sha256
    check_made_good(source, out, kept=99)
