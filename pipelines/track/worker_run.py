"""Tracking in worker processes, one clip per worker, on this machine or on an existing Dask cluster."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from distributed import KilledWorker

from musclemap.pipelines.cluster.dask_cluster import Cluster, WorkerCapacity, existing_cluster, local_cluster

from .jobs import JobOutcome, TrackJob, run_track_job
from .run_options import Report, RunProgress, TrackWorkers

ATTEMPTS = 2
"""Number of times that a clip may kill its worker."""


def run_in_workers(jobs: Sequence[TrackJob], workers: TrackWorkers, report: Report) -> Generator[JobOutcome]:
    """Run jobs in workers and yield the results as they arrive.

    Args:
        jobs: Jobs, the longest first.
        workers: Processes.
        report: Called at least once per second.

    Raises:
        ClusterError: If an existing cluster does not answer.
        StopRun: If the scheduler or all workers are lost.
    """
    done = 0

    def show(running: int, seconds: float) -> None:
        report(RunProgress(stage="track", done=done, total=len(jobs), running=running, clip_seconds=seconds))

    show(0, 0.0)
    with _cluster(workers, len(jobs)) as cluster:
        for outcome in _run_on_cluster(cluster, jobs, on_change=show):
            done += 1
            yield outcome


@contextmanager
def _cluster(workers: TrackWorkers, clips: int) -> Iterator[Cluster]:
    if workers.existing:
        connection = existing_cluster(workers.scheduler, scheduler_file=workers.scheduler_file)
    else:
        connection = local_cluster(workers.number(clips), cores=1)
    with connection as cluster:
        if cluster.dashboard:
            workers.on_message(f"Dask's dashboard: {cluster.dashboard}")
        if cluster.warning:
            workers.on_message(cluster.warning)
        yield cluster


def _run_on_cluster(
    cluster: Cluster, jobs: Sequence[TrackJob], *, on_change: Callable[[int, float], None]
) -> Iterator[JobOutcome]:
    """Run jobs in workers, one clip per worker thread, and yield the results as they arrive.

    Args:
        cluster: Workers.
        jobs: Jobs, the longest first.
        on_change: Called at least once per second with the number of running jobs and the total of their times [s].

    Raises:
        StopRun: If the scheduler or all workers are lost.
    """
    waiting, running, started = deque(jobs), dict[Any, TrackJob](), dict[Any, float]()
    capacity = WorkerCapacity(cluster)
    while waiting or running:
        free = capacity.threads() - len(running)
        while waiting and free > 0:
            job = waiting.popleft()
            future = cluster.scheduler.submit(run_track_job, job)
            running[future], started[future] = job, time.monotonic()
            free -= 1
        on_change(len(running), sum(time.monotonic() - started[future] for future in running))
        for future in cluster.scheduler.done(running):
            job = running[future]
            if future.status in ("error", "cancelled"):
                del running[future]
                error = future.exception() if future.status == "error" else None
                if error is not None and not isinstance(error, KilledWorker):
                    raise error
                if job.attempt + 1 < ATTEMPTS:
                    waiting.append(replace(job, attempt=job.attempt + 1))
                else:
                    yield JobOutcome(planned=job.planned, message=f"its worker process died {ATTEMPTS} times")
            elif (outcome := cluster.scheduler.result(future)) is not None:
                del running[future]
                yield outcome
