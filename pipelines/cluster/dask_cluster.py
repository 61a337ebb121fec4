"""An archive spread over worker processes, on this machine or on a cluster that runs already, by Dask.

The program plans, hands out jobs and keeps the ledger; workers read, convert, check and write. At most as many jobs are
out as there are threads to do them, so nothing piles up anywhere. A worker that dies takes its job with it: the job is
tried again in halves, each while nothing else is, until the clip that kills workers stands alone and is named.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import dask.config
from distributed import Client, KilledWorker, SpecCluster

from musclemap.pipelines.convert.conversion import ConversionResult, StopRun
from musclemap.pipelines.convert.jobs import Job, Result
from musclemap.pipelines.convert.prepare import unconverted
from musclemap.reason_codes import ReasonCode

from .local_workers import LocalWorkers
from .private_dask import new_keys, pack_keys, private_settings, scheduler_spec
from .scheduler_access import CONNECT_SECONDS, ClusterError, address_in, check_keys, open_warning
from .scheduler_link import SchedulerLink

ATTEMPTS = 3
"""Times that a clip may take its worker down before it is given up."""

ALONE_SECONDS, OWN_SECONDS = 600, 90
"""Time without any worker after which a run gives up [s]: of a cluster that runs already, and of this machine."""

_NOTHING = Result(lines=())


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Who does the jobs.

    Attributes:
        link: To its scheduler.
        patience: Time without any worker after which a run gives up [s].
        dashboard: Address of Dask's dashboard, or empty.
        warning: What the user should know of it, or empty.
        tend: Called every second or so while jobs are done.
    """

    link: SchedulerLink
    patience: float
    dashboard: str = ""
    warning: str = ""
    tend: Callable[[], None] = lambda: None


@contextmanager
def local_cluster(workers: int, *, gpus: Sequence[str] = (), cores: int = 0) -> Iterator[Cluster]:
    """Worker processes on this machine, each with its share of the cores; nobody else can reach them.

    Args:
        workers: Processes, one thread each.
        gpus: GPUs to deal out among them, as CUDA_VISIBLE_DEVICES names them.
        cores: Cores of each; 0 for its share of those there are.
    """
    own = sorted(os.sched_getaffinity(0))
    shares = [(own[k::workers] or [own[k % len(own)]])[: cores or None] for k in range(workers)]
    environ: list[dict[str, str]] = [{} for _ in range(workers)]
    if gpus:
        environ = [
            {"CUDA_VISIBLE_DEVICES": gpus[k % len(gpus)], "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
            for k in range(workers)
        ]
    keys = new_keys()
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0, **private_settings()}),
        SpecCluster(
            scheduler=scheduler_spec(keys), security=keys, silence_logs=cast("bool", logging.CRITICAL)
        ) as scheduler,
        Client(scheduler, security=keys, set_as_default=False) as client,
    ):
        link = SchedulerLink(client)
        pool = LocalWorkers(link.address, keys=pack_keys(keys), cores=shares, environ=environ)
        try:
            yield Cluster(link=link, patience=OWN_SECONDS, tend=pool.tend)
        finally:
            pool.end()


@contextmanager
def existing_cluster(address: str | None = None, *, scheduler_file: Path | None = None) -> Iterator[Cluster]:
    """A cluster that runs already, with the keys of Dask's own settings where it asks for some.

    Raises:
        ClusterError: It does not answer or let us in, or has no worker.
    """
    if address is None:
        if scheduler_file is None:
            raise ClusterError("neither the address nor the file of a Dask scheduler was given")
        address = address_in(scheduler_file)
    check_keys(address)
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(f"no Dask scheduler answers at {address}: {error}") from error
    link, logger = SchedulerLink(client), logging.getLogger("distributed.client")
    before = logger.level
    logger.setLevel(logging.CRITICAL)  # a scheduler that is lost is told by us, without a traceback
    try:
        try:
            _await_worker(link, address)
            cluster = Cluster(
                link=link, patience=ALONE_SECONDS, dashboard=link.dashboard(), warning=open_warning(address)
            )
        except StopRun as error:
            raise ClusterError(f"{address}: {error}") from error
        yield cluster
    finally:
        link.close()
        logger.setLevel(before)


def _await_worker(link: SchedulerLink, address: str) -> None:
    deadline = time.monotonic() + CONNECT_SECONDS
    while not link.workers():
        if time.monotonic() > deadline:
            raise ClusterError(f"{address} has no worker; start one with: dask worker {address}")
        time.sleep(0.2)


def run_jobs(
    cluster: Cluster, jobs: Sequence[Job], *, stopping: Callable[[], bool] = lambda: False
) -> Iterator[ConversionResult]:
    """Have jobs done, and give the lines as they come, in whatever order.

    Args:
        cluster: Who does it.
        jobs: What there is to do.
        stopping: Asked between jobs; once it says yes, no more are handed out, and those under way are waited for.

    Raises:
        StopRun: The disk is full, or the scheduler or all workers are gone; lines come until then.
        KeyboardInterrupt: After all lines, where the run was asked to stop.
    """
    waiting, out, stopped, pool = deque(jobs), dict[Any, Job](), "", _Crew(cluster)
    while out or (waiting and not stopped and not stopping()):
        free = pool.threads() - len(out)
        while waiting and free > 0 and not stopped and not stopping():
            if out and (waiting[0].suspect or any(job.suspect for job in out.values())):
                break
            job = waiting.popleft()
            out[cluster.link.submit(job)] = job
            free -= 1
        for future in cluster.link.done(out):
            came = _outcome(cluster.link, future, out[future])
            if came is None:
                continue
            job = out.pop(future)
            result, again = came
            waiting.extend(again)
            stopped = stopped or result.stopped
            yield from result.lines
            if not again:
                job.journal.unlink(missing_ok=True)  # the run's own has its lines now
    if stopped:
        raise StopRun(stopped)
    if stopping():
        raise KeyboardInterrupt


class _Crew:
    """Who is there to work."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._seen = cluster, time.monotonic()

    def threads(self) -> int:
        """Jobs that can be done at a time.

        Raises:
            StopRun: There has been no worker for too long.
        """
        self._cluster.tend()
        workers = self._cluster.link.workers()
        now, patience = time.monotonic(), self._cluster.patience
        if workers:
            self._seen = now
        elif now - self._seen > patience:
            raise StopRun(f"there has been no worker for {patience:g} s; the same command goes on from here")
        return sum(worker["nthreads"] for worker in workers.values())


def _outcome(link: SchedulerLink, future: Any, job: Job) -> tuple[Result, list[Job]] | None:
    """Lines of a job that is done; where it took its worker down, the jobs to try in its place; None if not yet."""
    if future.status not in ("error", "cancelled"):
        result = link.result(future)
        return None if result is None else (result, [])
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
    code = ReasonCode.TIME_LIMIT if late else ReasonCode.WORKER_DIED
    message = f"took longer than {job.clip_seconds:g} s" if late else f"its worker process died {ATTEMPTS} times"
    item = next(iter(job.items))
    entry = unconverted(item, status="failed", code=code, message=message)
    return Result(lines=(ConversionResult(item=item, entry=entry),)), []
