"""Pieces of an archive that a worker converts by itself, and the worker's side of it.

A job is idempotent: done twice, by whomever, it leaves the same bytes. Clips are written by the worker; only lines of
the manifest travel back. Nothing here imports JAX before a job runs, so that a worker can first be given its cores.
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
from .prepare import load_or_skip
from .retargeters import make_retargeter

BATCH_FRAMES = {"cpu": 20_000, "gpu": 200_000}
"""Source frames that are read before they are converted together; about 3 kB of memory each with their clips."""

JOB_BYTES = 4_000_000
"""Bytes of arrays that a job has at least, where there is so much: some 3,000 frames, seconds of work."""

JOBS_A_WORKER = 8
"""Jobs that each worker gets at least of a large archive, so that all end at about the same time."""

MOST_JOB_BYTES = 32_000_000
"""Bytes of arrays that a job has at most, but for a single file that is larger; bounds a worker's memory."""

LATE = 75
"""Exit status of a worker whose clip took too long."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How clips are made: all that a worker needs to make its retargeter.

    Attributes:
        config: Settings.
        body_models: Folder of body models, or None.
        device: "cpu", "gpu" or None for JAX's choice.
        batch_frames: Source frames that are converted together; 0 for a number that suits the device.
        make: Makes the retargeter, in place of the real one; must be importable.
    """

    config: RetargetConfig
    body_models: Path | None = None
    device: str | None = None
    batch_frames: int = 0
    make: Any = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """Files that a worker converts.

    Attributes:
        number: Number of the job.
        items: The files.
        known: Their lines of earlier runs.
        out: Output folder, as the worker sees it.
        recipe: How clips are made.
        overwrite: Convert even what is up to date.
        clip_seconds: Longest time that a clip may take [s], 0 for as long as it likes; a job may take as long as all of
            its clips together. Time to compile is not counted.
        attempt: How often it was tried before.
        suspect: Whether a worker died over it; it is then tried while nothing else is, so that no other job shares the
            blame.
    """

    number: int
    items: tuple[Selected, ...]
    known: Mapping[str, ManifestEntry]
    out: Path
    recipe: Recipe
    overwrite: bool = False
    clip_seconds: float = 0.0
    attempt: int = 0
    suspect: bool = False

    @property
    def late_note(self) -> Path:
        """File that tells that the job took too long."""
        return self.out / TIMEOUT_NOTES.replace("*", self._name)

    @property
    def journal(self) -> Path:
        """File that the worker puts the line of each clip in, before the clip is there."""
        return self.out / f"{JOURNAL}.{self._name}"

    @property
    def _name(self) -> str:
        return f"{self.number}-{len(self.items)}-{self.attempt}"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a job: lines, and why the run cannot go on, or empty."""

    lines: tuple[ConversionResult, ...]
    stopped: str = ""


@dataclass
class _Plan:
    items: list[Selected] = field(default_factory=list)
    nbyte: int = 0


def pack(items: Sequence[Selected], *, workers: int) -> list[tuple[Selected, ...]]:
    """Put files together in jobs of similar size, the large ones first, the files of each in order of their names."""
    sizes = {item.name: unpacked_size(item.path) for item in items}
    share = sum(sizes.values()) / max(workers * JOBS_A_WORKER, 1)
    requested = min(max(share, JOB_BYTES), MOST_JOB_BYTES)
    plans: list[_Plan] = []
    current = _Plan()
    for item in sorted(items, key=lambda item: (-sizes[item.name], item.name)):
        if current.items and current.nbyte + sizes[item.name] > requested:
            plans.append(current)
            current = _Plan()
        current.items.append(item)
        current.nbyte += sizes[item.name]
    plans += [current] if current.items else []
    return [tuple(sorted(plan.items, key=lambda item: item.name)) for plan in plans]


def unpacked_size(path: Path) -> int:
    """Bytes of the arrays in a file, from the archive's directory; of the file, where that cannot be read."""

    def arrays() -> int:
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())

    for size in (arrays, lambda: path.stat().st_size):
        result = attempt(size)
        if not isinstance(result, Failure):
            return result
    return 0


def run_job(job: Job) -> Result:
    """Convert the files of a job. Runs on a worker."""
    lines: list[ConversionResult] = []
    stopped = ""
    retargeter, batch_frames = _retargeter(job.recipe)
    with _time_limit(job), Journal(job.journal) as journal:
        look = partial(
            load_or_skip,
            out=job.out,
            provenance=retargeter.provenance,
            default_fps=job.recipe.config.default_fps or None,
            overwrite=job.overwrite,
        )
        try:
            lines.extend(
                convert_items(
                    job.items, root=job.out, announce=lambda entry: journal.append(entry.to_line()), known=job.known,
                    look=look, retargeter=retargeter, batch_frames=batch_frames,
                )
            )  # fmt: skip
        except StopRun as stop:
            stopped = str(stop)
    return Result(lines=tuple(lines), stopped=stopped)


@cache
def _retargeter(recipe: Recipe) -> tuple[BatchRetargeter, int]:
    """One a process, as it is compiled once; and how many frames suit it."""
    if recipe.make is not None:
        return recipe.make(recipe.config), recipe.batch_frames or BATCH_FRAMES["cpu"]
    from musclemap.pipelines.device import choose_device, keep_compilations, share_gpu_memory

    share_gpu_memory()
    keep_compilations()
    device = choose_device(recipe.device)
    made = make_retargeter(recipe.config, body_models=recipe.body_models, device=device)
    return made, recipe.batch_frames or BATCH_FRAMES.get(device.platform, BATCH_FRAMES["gpu"])


@contextmanager
def _time_limit(job: Job) -> Iterator[None]:
    """End the process when the job takes too long: nothing else stops code that never comes back from a library."""
    if not job.clip_seconds:
        yield
        return

    def end() -> None:
        try:
            write_atomically(job.late_note, b"")
        finally:
            os._exit(LATE)

    timer = threading.Timer(job.clip_seconds * len(job.items), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
