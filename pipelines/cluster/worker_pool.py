"""Pool of worker processes that converts an archive, on this machine or on an existing cluster."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import Any

from musclemap.cores import available_cores
from musclemap.datasets.atomic_file import remove_leftovers
from musclemap.datasets.formats.readers.table import file_of
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.output_folder import OutputFolder
from musclemap.datasets.selection import Selected
from musclemap.pipelines.convert.jobs import Job, RetargeterSpec, group_into_jobs
from musclemap.pipelines.convert.run_recorder import RunRecorder


@dataclass(frozen=True, kw_only=True)
class WorkerPool:
    """Worker processes, described; they are started by `convert`.

    Attributes:
        workers: Number of processes on this machine; with an existing scheduler, only an estimate.
        scheduler: Address of an existing Dask scheduler, or None.
        scheduler_file: File that an existing scheduler wrote, in place of its address.
        device: "cpu", "gpu", or None for JAX's choice.
        cores_per_worker: Cores of each process; 0 divides the available cores evenly.
        clip_seconds: Time limit per clip [s]; 0 for none.
        retargeter_factory: Makes each worker's retargeter, in place of the real one; must be importable.
        on_message: Called with messages for the user.
        jobs: Files of each job, if they have been grouped already.
    """

    workers: int = 1
    scheduler: str | None = None
    scheduler_file: Path | None = None
    device: str | None = None
    cores_per_worker: int = 0
    clip_seconds: float = 0.0
    retargeter_factory: Any = None
    on_message: Callable[[str], None] = lambda text: None
    jobs: Sequence[tuple[Selected, ...]] = field(default=(), compare=False, repr=False)

    def convert(
        self,
        items: Sequence[Selected],
        *,
        folder: OutputFolder,
        recorder: RunRecorder,
        spec: RetargeterSpec,
        overwrite: bool,
    ) -> None:
        """Convert files in the workers and record the results.

        Raises:
            ClusterError: If the cluster does not answer.
            KeyboardInterrupt: If the run was interrupted; jobs in flight have been finished and recorded.
        """
        from .dask_cluster import existing_cluster, local_cluster, run_jobs  # starts Dask's threads

        out = folder.root.resolve()
        known = folder.entries
        jobs = [
            Job(
                number=number, items=tuple(_absolute(item) for item in group), out=out, spec=spec,
                known=known_of(group, known),
                overwrite=overwrite, clip_seconds=self.clip_seconds,
            )
            for number, group in enumerate(self.jobs or group_into_jobs(items, workers=self.workers))
        ]  # fmt: skip
        if self.scheduler is None and self.scheduler_file is None:
            gpus = [] if self.device == "cpu" else visible_gpus()
            connection = local_cluster(min(self.workers, len(jobs)), gpus=gpus, cores=self.cores_per_worker)
        else:
            connection = existing_cluster(self.scheduler, scheduler_file=self.scheduler_file)
        with _interruptible(self.on_message) as stop_requested, connection as cluster:
            if cluster.dashboard:
                self.on_message(f"Dask's dashboard: {cluster.dashboard}")
            if cluster.warning:
                self.on_message(cluster.warning)
            recorder.record_all(run_jobs(cluster, jobs, stop_requested=stop_requested))
        remove_leftovers(out)  # of workers that died while writing


def worker_pool_for(items: Sequence[Selected], *, workers: int | None = None, **options: Any) -> WorkerPool | None:
    """Choose a worker pool for some files.

    Args:
        items: The files.
        workers: Number of processes; None for one per GPU if there are GPUs, otherwise one per core, but no more than
            there are jobs.
        options: Attributes of `WorkerPool`.

    Returns:
        The pool; None if this process should convert the files itself, because workers would take longer to start than
        they would save.
    """
    existing = options.get("scheduler") or options.get("scheduler_file")
    jobs: Sequence[tuple[Selected, ...]] = ()
    if workers is None and not existing:
        available = (
            len(available_cores())
            if options.get("device") == "cpu"
            else len(visible_gpus()) or len(available_cores())
        )
        jobs = group_into_jobs(items, workers=available)
        workers = min(available, len(jobs))
    in_process = (workers or 1) == 1 and not existing and not options.get("clip_seconds")
    return None if in_process else WorkerPool(workers=workers or 1, jobs=jobs, **options)


def visible_gpus() -> list[str]:
    """NVIDIA GPUs that JAX may use, by the names that CUDA_VISIBLE_DEVICES accepts.

    They are listed by nvidia-smi, because JAX would allocate their memory. Like CUDA, this ignores every GPU in
    CUDA_VISIBLE_DEVICES from the first one on that does not exist.
    """
    if not any(find_spec(name) for name in ("jax_cuda12_plugin", "jax_cuda13_plugin")):
        return []
    try:
        output = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    count = sum(line.startswith("GPU ") for line in output.splitlines())
    existing = [str(number) for number in range(count)]
    requested = os.environ.get("CUDA_VISIBLE_DEVICES")
    if requested is None or not existing:
        return existing
    names = [name.strip() for name in requested.split(",")]
    return list(takewhile(lambda name: name in existing or name.startswith(("GPU-", "MIG-")), names))


def known_of(group: Sequence[Selected], known: Mapping[str, ManifestEntry]) -> dict[str, ManifestEntry]:
    """Manifest lines of some files, and of further people in them."""
    names = {item.name for item in group}
    return {name: entry for name, entry in known.items() if file_of(name) in names}


def _absolute(item: Selected) -> Selected:
    return replace(item, path=item.path.resolve())


@contextmanager
def _interruptible(on_message: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """On the first Ctrl-C, request a stop after the jobs in flight; on the second, stop at once.

    Yields a function that returns whether a stop was requested.
    """
    stop_requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop_requested.is_set
        return

    def request_stop(number: int, frame: FrameType | None) -> None:
        if stop_requested.is_set():
            raise KeyboardInterrupt
        stop_requested.set()
        on_message("finishing the jobs in progress; press Ctrl-C again to stop at once")

    earlier_handler = signal.signal(signal.SIGINT, request_stop)
    try:
        yield stop_requested.is_set
    finally:
        signal.signal(signal.SIGINT, earlier_handler)
