"""Jobs: groups of files that a worker converts on its own, and the worker's side of the conversion.

A job is idempotent: run twice, on any worker, it leaves the same bytes. The worker writes the clips; only manifest
lines are sent back. Nothing here imports JAX before a job runs, so that a worker can first be pinned to its cores.
"""

import os
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from musclemap.datasets.atomic_file import write_atomically
from musclemap.datasets.journal import Journal
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.output_folder import JOURNAL, TIMEOUT_NOTES
from musclemap.datasets.selection import Selected
from musclemap.failures import Failure, attempt
from musclemap.retarget.config import RetargetConfig

from .batch import BatchRetargeter
from .conversion import ConversionResult, StopRun, convert_items
from .prepare import load_or_skip, read_options
from .retargeters import make_retargeter

BATCH_FRAMES = {"cpu": 20_000, "gpu": 200_000}
"""Source frames that are read before they are converted together; about 3 kB of memory per frame with its clip."""

MIN_JOB_BYTES = 4_000_000
"""Smallest size of a job [bytes of arrays], if there are enough files: about 3,000 frames, seconds of work."""

JOBS_PER_WORKER = 8
"""Smallest number of jobs per worker for a large archive, so that all workers finish at about the same time."""

MAX_JOB_BYTES = 32_000_000
"""Largest size of a job [bytes of arrays], except for a single larger file; bounds a worker's memory."""

TIME_LIMIT_EXIT = 75
"""Exit status of a worker whose clip exceeded the time limit."""


@dataclass(frozen=True, kw_only=True)
class RetargeterSpec:
    """Everything that a worker needs to make its retargeter.

    Attributes:
        config: Settings.
        body_models: Folder of body models, or None.
        device: "cpu", "gpu", or None for JAX's choice.
        batch_frames: Source frames that are converted together; 0 for a number that suits the device.
        make: Function that makes the retargeter, in place of the real one; must be importable.
    """

    config: RetargetConfig
    body_models: Path | None = None
    device: str | None = None
    batch_frames: int = 0
    make: Any = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """Files that one worker converts.

    Attributes:
        number: Number of the job.
        items: The files.
        known: Their manifest lines from earlier runs.
        out: Output folder, as the worker sees it.
        spec: How to make the retargeter.
        overwrite: Convert files whose clips are up to date, too.
        clip_seconds: Time limit per clip [s], 0 for none. The limit of a job is that of all its clips together;
            compilation time is not counted.
        attempt: Number of earlier attempts.
        run_alone: Whether a worker died during this job. The job then runs while no other does, so that no other job
            can be blamed.
    """

    number: int
    items: tuple[Selected, ...]
    known: Mapping[str, ManifestEntry]
    out: Path
    spec: RetargeterSpec
    overwrite: bool = False
    clip_seconds: float = 0.0
    attempt: int = 0
    run_alone: bool = False

    @property
    def timeout_marker(self) -> Path:
        """File whose presence says that the job exceeded its time limit."""
        return self.out / TIMEOUT_NOTES.replace("*", self._name)

    @property
    def journal(self) -> Path:
        """File to which the worker writes the manifest line of each clip before the clip itself."""
        return self.out / f"{JOURNAL}.{self._name}"

    @property
    def _name(self) -> str:
        return f"{self.number}-{len(self.items)}-{self.attempt}"


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """Results of a job's files, and why the run cannot continue, or an empty string."""

    results: tuple[ConversionResult, ...]
    stopped: str = ""


@dataclass
class _FileGroup:
    items: list[Selected] = field(default_factory=list)
    nbyte: int = 0


def group_into_jobs(items: Sequence[Selected], *, workers: int) -> list[tuple[Selected, ...]]:
    """Group files into jobs of similar size, large files first; the files of a job are sorted by name."""
    sizes = {item.name: unpacked_size(item.path) for item in items}
    bytes_per_job = sum(sizes.values()) / max(workers * JOBS_PER_WORKER, 1)
    target_bytes = min(max(bytes_per_job, MIN_JOB_BYTES), MAX_JOB_BYTES)
    groups: list[_FileGroup] = []
    current = _FileGroup()
    for item in sorted(items, key=lambda item: (-sizes[item.name], item.name)):
        if current.items and current.nbyte + sizes[item.name] > target_bytes:
            groups.append(current)
            current = _FileGroup()
        current.items.append(item)
        current.nbyte += sizes[item.name]
    groups += [current] if current.items else []
    return [tuple(sorted(group.items, key=lambda item: item.name)) for group in groups]


def unpacked_size(path: Path) -> int:
    """Total size of the arrays in a file [bytes], from the ZIP directory; the file size if that cannot be read."""

    def size_of_arrays() -> int:
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())

    for size in (size_of_arrays, lambda: path.stat().st_size):
        result = attempt(size)
        if not isinstance(result, Failure):
            return result
    return 0


def run_job(job: Job) -> JobResult:
    """Convert the files of a job. Runs on a worker."""
    results: list[ConversionResult] = []
    stopped = ""
    retargeter, batch_frames = _retargeter(job.spec)
    _import_late_modules()
    with _time_limit(job), Journal(job.journal) as journal:
        load = partial(
            load_or_skip,
            out=job.out,
            provenance=retargeter.provenance,
            options=read_options(job.spec.config),
            overwrite=job.overwrite,
        )
        try:
            results.extend(
                convert_items(
                    job.items, root=job.out, announce=lambda entry: journal.append(entry.to_line()), known=job.known,
                    load=load, retargeter=retargeter, batch_frames=batch_frames,
                )
            )  # fmt: skip
        except StopRun as stop:
            stopped = str(stop)
    return JobResult(results=tuple(results), stopped=stopped)


def _import_late_modules() -> None:
    """Import what readers import when they need it, so that it does not count in the time limit of a clip."""
    import scipy.ndimage
    import scipy.signal  # noqa: F401


@cache
def _retargeter(spec: RetargeterSpec) -> tuple[BatchRetargeter, int]:
    """Retargeter of this process, compiled once, and the number of frames per batch."""
    if spec.make is not None:
        return spec.make(spec.config), spec.batch_frames or BATCH_FRAMES["cpu"]
    from musclemap.pipelines.device import choose_device, disable_gpu_preallocation, enable_compilation_cache

    disable_gpu_preallocation()
    enable_compilation_cache()
    device = choose_device(spec.device)
    retargeter = make_retargeter(spec.config, body_models=spec.body_models, device=device)
    return retargeter, spec.batch_frames or BATCH_FRAMES.get(device.platform, BATCH_FRAMES["gpu"])


@contextmanager
def _time_limit(job: Job) -> Iterator[None]:
    """End the process when the job exceeds its time limit: nothing else stops a library call that never returns."""
    if not job.clip_seconds:
        yield
        return

    def exit_process() -> None:
        try:
            write_atomically(job.timeout_marker, b"")
        finally:
            os._exit(TIME_LIMIT_EXIT)

    timer = threading.Timer(job.clip_seconds * len(job.items), exit_process)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
