"""Conversions with worker processes, in this process or a subprocess, and helpers to inspect their output."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from musclemap.datasets.manifest import Manifest
from musclemap.datasets.summary import Summary
from musclemap.pipelines.archive import convert_archive
from musclemap.pipelines.cluster.worker_pool import WorkerPool
from musclemap.retarget.config import RetargetConfig

from ..support.data.fake_retargeter import FakeRetargeter, save
from .hand_started import ENVIRON

SMALL_JOBS = 30_000
"""Job size in bytes: a few files per job, so that there are many jobs."""

RUN = """
import sys
from pathlib import Path
from musclemap.pipelines.convert import jobs
from tests.support.cluster_runs import SMALL_JOBS, convert
from tests.support.hazards import Hazardous
jobs.MIN_JOB_BYTES = SMALL_JOBS
if __name__ == "__main__":
    scheduler = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    summary = convert(Path(sys.argv[1]), Path(sys.argv[2]), retargeter_factory=Hazardous, scheduler_file=scheduler)
    print(summary.stopped)
    sys.exit(3 if summary.stopped else 0)
"""


def archive(folder: Path, *names: str) -> Path:
    """Write a folder of motions with 5 to 11 frames each."""
    for k, name in enumerate(names):
        save(folder / f"{name}.npz", nframe=5 + k % 7)
    return folder


def convert(source: Path, out: Path, **options: object) -> Summary:
    """Convert with two workers."""
    pool = WorkerPool(**{"workers": 2, "device": "cpu", "retargeter_factory": FakeRetargeter} | options)  # type: ignore[arg-type]
    return convert_archive(source, out, config=RetargetConfig(), pool=pool)


def convert_alone(source: Path, out: Path) -> Summary:
    """Convert in this process without workers."""
    return convert_archive(source, out, config=RetargetConfig(), retargeter=FakeRetargeter())


def contents(out: Path) -> dict[str, bytes]:
    """Contents of every file except lock files, by path."""
    return {
        p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file() and p.suffix != ".lock"
    }


def reasons(out: Path) -> dict[str, str]:
    """Reason code of every source without a clip, by file stem."""
    manifest = Manifest.read(out / "manifest.jsonl")
    return {Path(e.source).stem: e.code or "" for e in manifest.entries if e.status != "ok"}


def start(
    folder: Path, source: Path, out: Path, *, scheduler: Path | None = None, environ: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Convert in a subprocess whose script is in `folder`; it exits with 3 if the run stops early."""
    script = folder / "run.py"
    script.write_text(RUN)
    return subprocess.Popen(
        [sys.executable, str(script), str(source), str(out), *([str(scheduler)] if scheduler else [])],
        env={**os.environ, **ENVIRON, **(environ or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def journal_size(out: Path) -> int:
    """Size of the journal, which holds the entries since the last completed run [B]."""
    journal = out / "manifest.jsonl.partial"
    return journal.stat().st_size if journal.exists() else 0


def until_a_line(out: Path, *, more_than: int = 0) -> None:
    """Wait until a run has finished a file; `more_than` is the previous size of the journal [B]."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and journal_size(out) <= more_than:
        time.sleep(0.05)


def workers_below(pid: int) -> list[int]:
    """Process ids of the workers that a process started."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return [int(child) for child, parent, command in rows if parent == str(pid) and "worker_process" in command]


def kill(pid: int) -> None:
    """Kill a process if it is still running."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
