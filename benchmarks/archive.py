"""How a conversion grows: with workers, and with the archive.

    python benchmarks/archive.py                    100 clips of 2 to 20 s, one worker and two, each held to one core
    python benchmarks/archive.py --clips 500 --longest 60
    python benchmarks/archive.py --sizes 100 500 2000      time a frame against the number of clips, two workers

Clips are built-in walks in a circle, written to a temporary folder. Workers compile before the clock starts: a first
conversion of a few clips fills the cache on disk, and the clock runs from the first line of the manifest to the last.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import machine
import numpy as np
import psutil

from musclemap.datasets.synthetic.synthesis import long_motion, write_motion
from musclemap.pipelines.archive import convert_archive
from musclemap.pipelines.cluster.worker_pool import WorkerPool
from musclemap.retarget.config import RetargetConfig


def write_clips(folder: Path, count: int, *, longest: float) -> None:
    """Walks of 2 s to the longest, more short ones than long ones, at speeds of 0.8 to 1.6 m/s.

    Up to 60 s the mean is 10.9 s, near the archive's (40 hours in 15,000 files).
    """
    rng = np.random.default_rng(0)
    for k in range(count):
        seconds = 2.0 * (longest / 2.0) ** (rng.uniform() ** 2)
        motion = long_motion(seconds, speed=float(rng.choice([0.8, 1.2, 1.6])))
        write_motion(folder / f"subject{k % 20:02}" / f"walk{k:04}_poses.npz", motion)


class Watch:
    """When lines came, and how much memory each worker takes."""

    def __init__(self) -> None:
        self.lines: list[tuple[float, int]] = []
        self.memory: list[tuple[float, float]] = []
        self._done = threading.Event()

    def line(self, progress: Any) -> None:
        """Listener for `convert_archive`."""
        self.lines.append((time.perf_counter(), progress.nframe))

    def sample(self) -> None:
        """Note the largest worker's memory [GiB] every two seconds."""
        me = psutil.Process()
        while not self._done.wait(2.0):
            sizes = []
            for process in me.children(recursive=True):
                try:
                    sizes.append(process.memory_info().rss / 2**30)
                except psutil.Error:
                    continue
            if sizes:
                self.memory.append((time.perf_counter(), max(sizes)))

    def end(self) -> None:
        """Stop to sample."""
        self._done.set()

    def rate(self) -> float:
        """Frames a second from the first line to the last."""
        came = [(at, nframe) for at, nframe in self.lines if nframe]
        (start, first), (stop, last) = came[0], came[-1]
        return (last - first) / (stop - start)


def convert(source: Path, out: Path, *, workers: int) -> dict[str, Any]:
    """Convert with so many workers; returns what was measured."""
    watch = Watch()
    sampler = threading.Thread(target=watch.sample)
    sampler.start()
    try:
        pool = WorkerPool(workers=workers, device="cpu", pinned_to=1)
        summary = convert_archive(source, out, config=RetargetConfig(), pool=pool, progress=watch.line)
    finally:
        watch.end()
        sampler.join()
    recorded = [size for at, size in watch.memory if at > watch.lines[len(watch.lines) // 4][0]]
    return {
        "workers": workers, "clips": summary.counts["ok"], "nframe": summary.nframe, "frames_per_second": watch.rate(),
        "worker_gib_quarter": round(recorded[0], 2) if recorded else None,
        "worker_gib_end": round(recorded[-1], 2) if recorded else None,
        "worker_gib_curve": [round(size, 2) for _, size in watch.memory][:: max(len(watch.memory) // 20, 1)],
    }  # fmt: skip


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--longest", type=float, default=20.0, help="[s]")
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of clips, with two workers")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    kept: dict[str, Any] = {"machine": machine.describe(), "runs": []}
    print(machine.message(kept["machine"]))
    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder) / "warm"
        write_clips(warm, 2, longest=3.0)
        convert(warm, Path(folder) / "warm-out", workers=1)
        runs = [(size, 2) for size in given.sizes] if given.sizes else [(given.clips, 1), (given.clips, 2)]
        for k, (count, workers) in enumerate(runs):
            source = Path(folder) / f"in{count}"
            if not source.exists():
                write_clips(source, count, longest=given.longest)
            run = convert(source, Path(folder) / f"out{k}", workers=workers)
            kept["runs"].append(run)
            print(
                f"{count} clips, {run['nframe']:,} frames, {workers} worker{'s' * (workers > 1)}: "
                f"{run['frames_per_second']:,.0f} frames/s; largest worker {run['worker_gib_quarter']} GiB after a "
                f"quarter, {run['worker_gib_end']} GiB at the end; curve {run['worker_gib_curve']}",
                flush=True,
            )
    if not given.sizes:
        one, two = (run["frames_per_second"] for run in kept["runs"])
        print(f"two workers over one: {two / one:.2f}; asked 1.6")
    machine.keep(given.json, kept)


if __name__ == "__main__":
    main()
