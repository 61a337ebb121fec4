"""Who converts an archive: worker processes of this machine, or a cluster."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import Any

from musclemap.datasets.atomic_file import remove_leftovers
from musclemap.datasets.output_folder import OutputFolder
from musclemap.datasets.selection import Selected
from musclemap.pipelines.convert.jobs import Job, Recipe, pack
from musclemap.pipelines.convert.run_recorder import RunRecorder


@dataclass(frozen=True, kw_only=True)
class WorkerPool:
    """Worker processes.

    Attributes:
        workers: Processes on this machine; with a scheduler that runs already, no more than a guess.
        scheduler: Address of a Dask scheduler that runs already, or None.
        scheduler_file: File that a scheduler wrote, in place of its address.
        device: "cpu", "gpu" or None for JAX's choice.
        pinned_to: Cores of each process; 0 for its share of those there are.
        clip_seconds: Longest time that a clip may take [s]; 0 for as long as it likes.
        make: Makes each worker's retargeter, in place of the real one; must be importable.
        on_message: Called with sentences for the user.
        parts: Files of each job, where they are planned already.
    """

    workers: int = 1
    scheduler: str | None = None
    scheduler_file: Path | None = None
    device: str | None = None
    pinned_to: int = 0
    clip_seconds: float = 0.0
    make: Any = None
    on_message: Callable[[str], None] = lambda text: None
    parts: Sequence[tuple[Selected, ...]] = field(default=(), compare=False, repr=False)

    def convert(
        self, items: Sequence[Selected], *, folder: OutputFolder, recorder: RunRecorder, recipe: Recipe, overwrite: bool
    ) -> None:
        """Have files converted and keep their lines.

        Raises:
            ClusterError: The cluster does not answer.
            KeyboardInterrupt: The run was interrupted; what was under way has been finished and kept.
        """
        from .dask_cluster import existing_cluster, local_cluster, run_jobs  # starts threads of Dask's

        out = folder.root.resolve()
        known = folder.entries
        jobs = [
            Job(
                number=number, items=tuple(_absolute(item) for item in part), out=out, recipe=recipe,
                known={item.name: known[item.name] for item in part if item.name in known},
                overwrite=overwrite, clip_seconds=self.clip_seconds,
            )
            for number, part in enumerate(self.parts or pack(items, workers=self.workers))
        ]  # fmt: skip
        if self.scheduler is None and self.scheduler_file is None:
            gpus = [] if self.device == "cpu" else visible_gpus()
            made = local_cluster(min(self.workers, len(jobs)), gpus=gpus, cores=self.pinned_to)
        else:
            made = existing_cluster(self.scheduler, scheduler_file=self.scheduler_file)
        with _interruptible(self.on_message) as stopping, made as cluster:
            if cluster.dashboard:
                self.on_message(f"Dask's dashboard: {cluster.dashboard}")
            if cluster.warning:
                self.on_message(cluster.warning)
            recorder.take(run_jobs(cluster, jobs, stopping=stopping))
        remove_leftovers(out)  # of workers that died while they wrote


def worker_pool_for(items: Sequence[Selected], *, workers: int | None = None, **options: Any) -> WorkerPool | None:
    """Who should convert these files.

    Args:
        items: The files.
        workers: Processes; None for one a GPU where there are GPUs, else one a core, but no more than have a job.
        options: Of `WorkerPool`.

    Returns:
        None where this process had better do it alone: a worker that has little to do is not worth its start.
    """
    afar = options.get("scheduler") or options.get("scheduler_file")
    parts: Sequence[tuple[Selected, ...]] = ()
    if workers is None and not afar:
        own = (
            len(os.sched_getaffinity(0))
            if options.get("device") == "cpu"
            else len(visible_gpus()) or len(os.sched_getaffinity(0))
        )
        parts = pack(items, workers=own)
        workers = min(own, len(parts))
    alone = (workers or 1) == 1 and not afar and not options.get("clip_seconds")
    return None if alone else WorkerPool(workers=workers or 1, parts=parts, **options)


def visible_gpus() -> list[str]:
    """NVIDIA GPUs that JAX may use, by the names that CUDA_VISIBLE_DEVICES takes.

    nvidia-smi is asked which there are, as JAX would take their memory. Of those that the variable names, CUDA takes
    none from the first on that is not there.
    """
    if not any(find_spec(name) for name in ("jax_cuda12_plugin", "jax_cuda13_plugin")):
        return []
    try:
        message = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    count = sum(line.startswith("GPU ") for line in message.splitlines())
    there = [str(number) for number in range(count)]
    requested = os.environ.get("CUDA_VISIBLE_DEVICES")
    if requested is None or not there:
        return there
    named = [name.strip() for name in requested.split(",")]
    known = lambda name: name in there or name.startswith(("GPU-", "MIG-"))  # noqa: E731
    return list(takewhile(known, named))


def _absolute(item: Selected) -> Selected:
    return replace(item, path=item.path.resolve())


@contextmanager
def _interruptible(on_message: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Take the first Ctrl-C as a wish to stop after what is under way; the second stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        on_message("finishing what is under way; Ctrl-C again stops at once")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
