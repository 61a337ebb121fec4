"""Time per file and step for an archive of many small files.

    python benchmarks/small_files.py                     4,000 motions of 10 frames in a temporary folder
    python benchmarks/small_files.py --files 10000 --folder /scratch

A stand-in that copies the source's numbers replaces the fit, so that only the fixed cost of each file remains. Other
work on the machine hardly affects processor time, but it does affect wall time, which includes waiting for the disk.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import machine
from tables import table

from musclemap import npz_arrays
from musclemap.datasets import clip, journal, output_folder
from musclemap.datasets.amass import reader as amass
from musclemap.pipelines import archive
from musclemap.pipelines.convert import conversion
from musclemap.retarget.config import RetargetConfig

OTHER = "everything else"
FSYNC = "wait for the disk (fsync)"
STEPS: tuple[tuple[Any, str, str], ...] = (
    (archive, "select", "list the folder"),
    (amass, "read_bytes", "read the file"),
    (npz_arrays.NpzArrays, "__init__", "unpack its arrays"),
    (npz_arrays.NpzArrays, "numbers", "unpack its arrays"),
    (npz_arrays.NpzArrays, "array", "unpack its arrays"),
    (amass, "check_frame_rate", "check the frame rate"),
    (conversion, "retarget_batch", "stand-in for the fit"),
    (output_folder, "write_clip", "clip: HDF5 in memory"),
    (clip, "write_atomically", "clip: file, then its name"),
    (journal.Journal, "append", "line of the manifest"),
    (output_folder.OutputFolder, "write_manifest", "the whole manifest, at the end"),
)


class Clock:
    """Sums the wall time and the processor time of each step, excluding nested steps [s]."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._open: list[str] = [OTHER]
        self._last = self._now()

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def _add_elapsed(self) -> None:
        """Add the elapsed time to the current step."""
        now = self._now()
        for k in range(2):
            self.seconds[self._open[-1]][k] += now[k] - self._last[k]
        self._last = now

    @contextmanager
    def step(self, label: str):
        """Time the block as a step."""
        self._add_elapsed()
        self._open.append(label)
        try:
            yield
        finally:
            self._add_elapsed()
            self._open.pop()

    def inside(self) -> str:
        """Label of the current step."""
        return self._open[-1]

    def timed(self, function: Callable[..., Any], label: Callable[[], str]) -> Callable[..., Any]:
        """Wrap a function so that each call is a step."""

        def run(*args: Any, **kwargs: Any) -> Any:
            with self.step(label()):
                return function(*args, **kwargs)

        return run


def measure(source: Path, out: Path, *, dry_run: bool, retargeter: Any) -> dict[str, list[float]]:
    """Convert a folder, or dry-run it; returns wall time and processor time of each step [s]."""
    clock = Clock()
    with ExitStack() as stack:
        for owner, name, label in STEPS:
            stack.enter_context(patch.object(owner, name, clock.timed(getattr(owner, name), lambda label=label: label)))
        timed_fsync = clock.timed(os.fsync, lambda: f"{clock.inside().partition(':')[0]}: {FSYNC}")
        stack.enter_context(patch.object(os, "fsync", timed_fsync))
        with clock.step(OTHER):
            summary = archive.convert_archive(
                source, out, config=RetargetConfig(), dry_run=dry_run, retargeter=retargeter
            )
    if not summary.complete:
        raise SystemExit(f"not all files were converted: {summary.counts}")
    return dict(clock.seconds)


def rows(seconds: dict[str, list[float]], *, count: int) -> list[list[str]]:
    """Rows of the table: milliseconds per file and step in descending order, and their sum."""
    total = [sum(times[k] for times in seconds.values()) for k in range(2)]
    steps = sorted(seconds.items(), key=lambda item: -item[1][0])
    lines = [[label, *(f"{1e3 * t / count:.2f}" for t in times), f"{100 * times[0] / total[0]:.0f} %"]
             for label, times in steps if times[0] > 1e-3 * total[0]]  # fmt: skip
    return [*lines, ["total", *(f"{1e3 * t / count:.2f}" for t in total), ""]]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--frames", type=int, default=10, help="frames of each file")
    parser.add_argument("--folder", type=Path, help="folder for the files, on the disk to measure")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests.support.data.fake_retargeter import FakeRetargeter, save

    print(machine.message(machine.describe()))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source = Path(folder) / "in"
        for k in range(options.files):
            save(source / f"subject{k % 100:02}" / f"motion{k:05}_poses.npz", nframe=options.frames)
        for dry_run in (True, False):
            seconds = measure(source, Path(folder) / "out", dry_run=dry_run, retargeter=FakeRetargeter())
            print(f"\n{options.files:,} files of {options.frames} frames, {'dry run' if dry_run else 'converted'}")
            print(table(["ms per file", "wall", "processor", "share"], rows(seconds, count=options.files)), flush=True)


if __name__ == "__main__":
    main()
