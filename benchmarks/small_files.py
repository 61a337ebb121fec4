"""Where the time goes for an archive of many small files: milliseconds a file, step by step.

    python benchmarks/small_files.py                     4,000 motions of 10 frames in a temporary folder
    python benchmarks/small_files.py --files 10000 --folder /scratch

Fitting is left out: a stand-in makes a clip of the source's own numbers. What remains is what each file costs however
short it is. Processor time is little disturbed by other work on the machine; time on the clock, which has the waiting
for the disk in it, is.
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
    """Adds up the time of each step [s], on the clock and on the processor, without that of the steps inside it."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._open: list[str] = [OTHER]
        self._last = self._now()

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def _turn(self) -> None:
        """Give what has passed to the step that is open."""
        now = self._now()
        for k in range(2):
            self.spent[self._open[-1]][k] += now[k] - self._last[k]
        self._last = now

    @contextmanager
    def step(self, label: str):
        """A step, from here to the end of the block."""
        self._turn()
        self._open.append(label)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def inside(self) -> str:
        """Label of the step that is open."""
        return self._open[-1]

    def timed(self, function: Callable[..., Any], label: Callable[[], str]) -> Callable[..., Any]:
        """The same function as a step."""

        def run(*args: Any, **kwargs: Any) -> Any:
            with self.step(label()):
                return function(*args, **kwargs)

        return run


def measure(source: Path, out: Path, *, dry_run: bool, retargeter: Any) -> dict[str, list[float]]:
    """Convert a folder, or only look at it; returns the time of each step [s], on the clock and on the processor."""
    clock = Clock()
    with ExitStack() as stack:
        for owner, name, label in STEPS:
            stack.enter_context(patch.object(owner, name, clock.timed(getattr(owner, name), lambda label=label: label)))
        wait = clock.timed(os.fsync, lambda: f"{clock.inside().partition(':')[0]}: {FSYNC}")
        stack.enter_context(patch.object(os, "fsync", wait))
        with clock.step(OTHER):
            summary = archive.convert_archive(
                source, out, config=RetargetConfig(), dry_run=dry_run, retargeter=retargeter
            )
    if not summary.complete:
        raise SystemExit(f"not all files were converted: {summary.counts}")
    return dict(clock.spent)


def rows(spent: dict[str, list[float]], *, count: int) -> list[list[str]]:
    """The table: each step, milliseconds a file, the largest first, and the sum."""
    total = [sum(times[k] for times in spent.values()) for k in range(2)]
    steps = sorted(spent.items(), key=lambda item: -item[1][0])
    lines = [[label, *(f"{1e3 * t / count:.2f}" for t in times), f"{100 * times[0] / total[0]:.0f} %"]
             for label, times in steps if times[0] > 1e-3 * total[0]]  # fmt: skip
    return [*lines, ["together", *(f"{1e3 * t / count:.2f}" for t in total), ""]]


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--frames", type=int, default=10, help="of each file")
    parser.add_argument("--folder", type=Path, help="where to put the files; its disk is what is waited for")
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests.support.data.fake_retargeter import FakeRetargeter, save

    print(machine.message(machine.describe()))
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        source = Path(folder) / "in"
        for k in range(given.files):
            save(source / f"subject{k % 100:02}" / f"motion{k:05}_poses.npz", nframe=given.frames)
        for dry_run in (True, False):
            spent = measure(source, Path(folder) / "out", dry_run=dry_run, retargeter=FakeRetargeter())
            print(f"\n{given.files:,} files of {given.frames} frames, {'looked at' if dry_run else 'converted'}")
            print(table(["ms a file", "clock", "processor", "share"], rows(spent, count=given.files)), flush=True)


if __name__ == "__main__":
    main()
