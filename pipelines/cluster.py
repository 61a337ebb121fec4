"""An archive spread over worker processes, on this machine or on a cluster that runs already, by Dask.

The program plans, hands out jobs and keeps the ledger; workers read, convert, check and write. At most as many jobs are
out as there are threads to do them, so nothing piles up anywhere. A worker that dies takes its job with it: the job is
tried again in halves, each while nothing else is, until the clip that kills workers stands alone and is named.
"""

import contextlib
import os
import signal
import time
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import dask.config
import psutil
from distributed import Client, KilledWorker, LocalCluster, WorkerPlugin, wait
from distributed.comm.core import CommClosedError

from musclemap.skeletons.errors import MusclemapError

from .conversion import Line, StopRun
from .intake import unconverted
from .jobs import Job, Result, run_job

ATTEMPTS = 3
"""Times that a clip may take its worker down before it is given up."""

CONNECT_SECONDS = 30
CLOSE_SECONDS = 10
REVIVE_SECONDS = 5
"""Time between two looks whether a worker of this machine has to be started anew [s]."""

ALONE_SECONDS, OWN_SECONDS = 600, 45
"""Time without any worker after which a run gives up [s]: of a cluster that runs already, and of this machine."""

_LOST = (CommClosedError, CancelledError, OSError)
"""What Dask raises when the scheduler is gone; its own kinds of cancellation are kinds of asyncio's."""


_NOTHING = Result(lines=())


class ClusterError(MusclemapError):
    """There is no cluster at the address, or no worker in it."""


class Pinned(WorkerPlugin):
    """Dask worker plugin: each worker process gets cores, or a GPU, of its own, and leaves Ctrl-C to the program."""

    name = "musclemap-pinned"

    def __init__(self, *, cores: Sequence[Sequence[int]], gpus: int = 0) -> None:
        self.cores, self.gpus = [list(own) for own in cores], gpus

    def setup(self, worker: Any) -> None:
        """Called by Dask in the worker's process, before its first job."""
        index = int(worker.name)
        os.sched_setaffinity(0, self.cores[index % len(self.cores)])
        if self.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = str(index % self.gpus)
            os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        with contextlib.suppress(ValueError):  # raised outside the main thread, where the signal does not come
            signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def local_cluster(workers: int, *, gpus: int = 0, cores: int = 0) -> Iterator[Any]:
    """Worker processes on this machine, each with its share of the cores, and a client of theirs.

    Args:
        workers: Processes, one thread each.
        gpus: GPUs to deal out among them.
        cores: Cores of each; 0 for its share of those there are.
    """
    own = sorted(os.sched_getaffinity(0))
    shares = [(own[k::workers] or [own[k % len(own)]])[: cores or None] for k in range(workers)]
    settings = {"distributed.scheduler.allowed-failures": 0, "distributed.deploy.lost-worker-timeout": "3s"}
    with dask.config.set(settings):
        cluster: Any = LocalCluster(
            n_workers=0, threads_per_worker=1, processes=True, dashboard_address=cast("str", None), memory_limit=0,
            host="127.0.0.1", silence_logs=50,
        )  # fmt: skip
        client: Any = None
        try:
            client = Client(cluster, set_as_default=False)
            client.register_plugin(Pinned(cores=shares, gpus=gpus))
            cluster.scale(workers)
            client.wait_for_workers(workers)
            yield client
        finally:
            _close(client, cluster)


def _close(client: Any, cluster: Any) -> None:
    """End the cluster; what does not answer within a while is killed, so that a run always ends."""
    for part in (client, cluster):
        with contextlib.suppress(TimeoutError, OSError, CancelledError):
            if part is not None:
                part.close(timeout=CLOSE_SECONDS)
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "distributed" in " ".join(process.cmdline()) or "spawn_main" in " ".join(process.cmdline()):
                process.kill()


@contextmanager
def existing_cluster(address: str | None = None, *, scheduler_file: Path | None = None) -> Iterator[Any]:
    """A client of a cluster that runs already.

    Raises:
        ClusterError: It does not answer, or has no worker.
    """
    where = address or f"the scheduler of {scheduler_file}"
    try:
        client = Client(
            address, scheduler_file=str(scheduler_file) if scheduler_file else None, timeout=CONNECT_SECONDS,
            set_as_default=False,
        )  # fmt: skip
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(f"no Dask scheduler answers at {where}: {error}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            raise ClusterError(f"{where} has no worker; start one with: dask worker {where}") from error
        yield client


def run_jobs(client: Any, jobs: Sequence[Job], *, stopping: Callable[[], bool] = lambda: False) -> Iterator[Line]:
    """Have jobs done, and give the lines as they come, in whatever order.

    Args:
        client: Of the cluster.
        jobs: What there is to do.
        stopping: Asked between jobs; once it says yes, no more are handed out, and those under way are waited for.

    Raises:
        StopRun: The disk is full, or the cluster is gone; lines come until then.
        KeyboardInterrupt: After all lines, where the run was asked to stop.
    """
    waiting, out, stopped, crew = deque(jobs), dict[Any, Job](), "", _Crew(client)
    try:
        while out or (waiting and not stopped and not stopping()):
            free = crew.threads() - len(out)
            while waiting and free > 0 and not stopped and not stopping():
                if out and (waiting[0].suspect or any(job.suspect for job in out.values())):
                    break
                job = waiting.popleft()
                out[client.submit(run_job, job, pure=False)] = job
                free -= 1
            for future in _done(client, out):
                result, again = _outcome(future, out.pop(future))
                waiting.extend(again)
                stopped = stopped or result.stopped
                yield from result.lines
    except _LOST as error:
        raise StopRun(f"the cluster is gone: {type(error).__name__}: {error}") from error
    if stopped:
        raise StopRun(stopped)
    if stopping():
        raise KeyboardInterrupt


class _Crew:
    """Who is there to work."""

    def __init__(self, client: Any) -> None:
        self._client, self._seen, self._revived = client, time.monotonic(), time.monotonic()
        self._wanted = 0 if client.cluster is None else len(client.cluster.worker_spec)

    def threads(self) -> int:
        """Jobs that can be done at a time.

        Raises:
            StopRun: There has been no worker for too long.
        """
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        now = time.monotonic()
        own = self._client.cluster  # None where the cluster is not ours
        if own is not None and len(workers) < self._wanted and now - self._revived > REVIVE_SECONDS:
            self._revived = now
            own.scale(len(workers))  # those that it believes to have are forgotten first
            own.scale(self._wanted)  # Dask gives up a worker that dies while it starts
        if workers:
            self._seen = now
        elif now - self._seen > (patience := ALONE_SECONDS if own is None else OWN_SECONDS):
            raise StopRun(f"there has been no worker for {patience} s; the same command goes on from here")
        return sum(worker["nthreads"] for worker in workers.values())


def _done(client: Any, out: dict[Any, Job]) -> list[Any]:
    """Those that are done, once any is, or none after a second."""
    if not out:
        time.sleep(0.2)
        return []
    try:
        with client.as_current():
            found: Any = wait(list(out), timeout=1.0, return_when="FIRST_COMPLETED")
    except TimeoutError:
        return []
    return list(found.done)


def _outcome(future: Any, job: Job) -> tuple[Result, list[Job]]:
    """Lines of a job that is done; where it took its worker down, the jobs to try in its place."""
    if future.status == "finished":
        return future.result(), []
    error = future.exception() if future.status == "error" else None
    late = job.late_note.exists()
    job.late_note.unlink(missing_ok=True)
    if error is not None and not isinstance(error, KilledWorker):
        raise error
    if len(job.items) > 1:
        half = len(job.items) // 2
        return _NOTHING, [replace(job, items=part, suspect=True) for part in (job.items[:half], job.items[half:])]
    if not late and job.attempt + 1 < ATTEMPTS:
        return _NOTHING, [replace(job, attempt=job.attempt + 1, suspect=True)]
    reason = "time_limit" if late else "worker_died"
    message = f"took longer than {job.clip_seconds:g} s" if late else f"its worker process died {ATTEMPTS} times"
    item = next(iter(job.items))
    entry = unconverted(item, status="failed", reason=reason, message=message)
    return Result(lines=(Line(item=item, entry=entry),)), []
