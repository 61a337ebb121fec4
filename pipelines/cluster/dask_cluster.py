"""Conversion of an archive by worker processes, on this machine or on an existing Dask cluster.

The main process plans, submits jobs and records results; workers read, convert, check and write. There are never more
jobs in flight than worker threads, so no queue builds up. If a worker dies, its job is retried in halves, each while no
other job runs, until the clip that kills workers is isolated and can be named.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import dask.config
from distributed import Client, KilledWorker, SpecCluster

from musclemap.cores import available_cores
from musclemap.pipelines.convert.conversion import ConversionResult, StopRun
from musclemap.pipelines.convert.jobs import Job, JobResult, run_job
from musclemap.pipelines.convert.prepare import entry_without_clip
from musclemap.reason_codes import ReasonCode

from .local_workers import LocalWorkers
from .private_dask import encode_keys, new_keys, private_settings, scheduler_spec
from .scheduler_access import CONNECT_SECONDS, ClusterError, check_keys, open_warning, read_address
from .scheduler_connection import SchedulerConnection

ATTEMPTS = 3
"""Number of times a clip may kill its worker before it is recorded as failed."""

EXISTING_WORKER_TIMEOUT, LOCAL_WORKER_TIMEOUT = 600, 90
"""Time without any worker after which a run stops [s]: on an existing cluster, and on this machine."""

_NO_RESULTS = JobResult(results=())


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A scheduler and its workers.

    Attributes:
        scheduler: Connection to the scheduler.
        worker_timeout: Time without any worker after which a run stops [s].
        dashboard: Address of Dask's dashboard, or an empty string.
        warning: Warning for the user, or an empty string.
        restart_workers: Called about once per second while jobs run; restarts dead workers.
    """

    scheduler: SchedulerConnection
    worker_timeout: float
    dashboard: str = ""
    warning: str = ""
    restart_workers: Callable[[], None] = lambda: None


@contextmanager
def local_cluster(workers: int, *, gpus: Sequence[str] = (), cores: int = 0) -> Iterator[Cluster]:
    """Start worker processes on this machine, each pinned to its own cores and unreachable by anyone else.

    Args:
        workers: Number of processes, one thread each.
        gpus: GPUs to distribute among the workers, as named by CUDA_VISIBLE_DEVICES.
        cores: Cores per worker; 0 divides the available cores evenly.
    """
    available = available_cores()
    worker_cores = [(available[k::workers] or [available[k % len(available)]])[: cores or None] for k in range(workers)]
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
        ) as dask_scheduler,
        Client(dask_scheduler, security=keys, set_as_default=False) as client,
    ):
        scheduler = SchedulerConnection(client)
        processes = LocalWorkers(scheduler.address, keys=encode_keys(keys), cores=worker_cores, environ=environ)
        try:
            yield Cluster(
                scheduler=scheduler, worker_timeout=LOCAL_WORKER_TIMEOUT, restart_workers=processes.restart_dead
            )
        finally:
            processes.terminate()


@contextmanager
def existing_cluster(address: str | None = None, *, scheduler_file: Path | None = None) -> Iterator[Cluster]:
    """Connect to an existing cluster, with the keys of Dask's own settings if it requires any.

    Raises:
        ClusterError: If the cluster does not answer, refuses the connection or has no worker.
    """
    if address is None:
        if scheduler_file is None:
            raise ClusterError("give the address of a Dask scheduler or its scheduler file")
        address = read_address(scheduler_file)
    check_keys(address)
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(f"no Dask scheduler answers at {address}: {error}") from error
    scheduler, logger = SchedulerConnection(client), logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # the loss of the scheduler is reported by us, without a traceback
    try:
        try:
            _await_worker(scheduler, address)
            cluster = Cluster(
                scheduler=scheduler, worker_timeout=EXISTING_WORKER_TIMEOUT, dashboard=scheduler.dashboard(),
                warning=open_warning(address),
            )  # fmt: skip
        except StopRun as error:
            raise ClusterError(f"{address}: {error}") from error
        yield cluster
    finally:
        scheduler.close()
        logger.setLevel(level)


def _await_worker(scheduler: SchedulerConnection, address: str) -> None:
    deadline = time.monotonic() + CONNECT_SECONDS
    while not scheduler.workers():
        if time.monotonic() > deadline:
            raise ClusterError(f"{address} has no worker; start one with: dask worker {address}")
        time.sleep(0.2)


def run_jobs(
    cluster: Cluster, jobs: Sequence[Job], *, stop_requested: Callable[[], bool] = lambda: False
) -> Iterator[ConversionResult]:
    """Run jobs and yield the results as they arrive, in any order.

    Args:
        cluster: Runs the jobs.
        jobs: The jobs.
        stop_requested: Polled between jobs; once it returns True, no more jobs are submitted, and those in flight are
            awaited.

    Raises:
        StopRun: If the disk is full, or the scheduler or all workers are lost; results are yielded until then.
        KeyboardInterrupt: After the last result, if a stop was requested.
    """
    waiting, in_flight, stopped, capacity = deque(jobs), dict[Any, Job](), "", WorkerCapacity(cluster)
    while in_flight or (waiting and not stopped and not stop_requested()):
        free = capacity.threads() - len(in_flight)
        while waiting and free > 0 and not stopped and not stop_requested():
            if in_flight and (waiting[0].run_alone or any(job.run_alone for job in in_flight.values())):
                break
            job = waiting.popleft()
            in_flight[cluster.scheduler.submit(run_job, job)] = job
            free -= 1
        for future in cluster.scheduler.done(in_flight):
            outcome = _collect(cluster.scheduler, future, in_flight[future])
            if outcome is None:
                continue
            job = in_flight.pop(future)
            result, retries = outcome
            waiting.extend(retries)
            stopped = stopped or result.stopped
            yield from result.results
            if not retries:
                job.journal.unlink(missing_ok=True)  # its lines are in the run's own journal now
    if stopped:
        raise StopRun(stopped)
    if stop_requested():
        raise KeyboardInterrupt


class WorkerCapacity:
    """Number of available worker threads; stops the run if there is no worker for too long."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._last_seen = cluster, time.monotonic()

    def threads(self) -> int:
        """Number of jobs that can run at the same time.

        Raises:
            StopRun: If there has been no worker for `Cluster.worker_timeout`.
        """
        self._cluster.restart_workers()
        workers = self._cluster.scheduler.workers()
        now, timeout = time.monotonic(), self._cluster.worker_timeout
        if workers:
            self._last_seen = now
        elif now - self._last_seen > timeout:
            raise StopRun(f"there has been no worker for {timeout:g} s; the same command resumes the run")
        return sum(worker["nthreads"] for worker in workers.values())


def _collect(scheduler: SchedulerConnection, future: Any, job: Job) -> tuple[JobResult, list[Job]] | None:
    """Result of a finished job, and the jobs to retry if its worker died; None if the result is not here yet."""
    if future.status not in ("error", "cancelled"):
        result = scheduler.result(future)
        return None if result is None else (result, [])
    error = future.exception() if future.status == "error" else None
    timed_out = job.timeout_marker.exists()
    job.timeout_marker.unlink(missing_ok=True)
    if error is not None and not isinstance(error, KilledWorker):
        raise error
    if len(job.items) > 1:
        half = len(job.items) // 2
        halves = job.items[:half], job.items[half:]
        return _NO_RESULTS, [replace(job, items=items, run_alone=True) for items in halves]
    if not timed_out and job.attempt + 1 < ATTEMPTS:
        return _NO_RESULTS, [replace(job, attempt=job.attempt + 1, run_alone=True)]
    code = ReasonCode.TIME_LIMIT if timed_out else ReasonCode.WORKER_DIED
    message = f"took longer than {job.clip_seconds:g} s" if timed_out else f"its worker process died {ATTEMPTS} times"
    item = next(iter(job.items))
    entry = entry_without_clip(item, status="failed", code=code, message=message)
    return JobResult(results=(ConversionResult(item=item, entry=entry),)), []
