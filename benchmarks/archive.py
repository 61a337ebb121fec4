"""Scaling of a conversion with the number of workers and with the size of the archive.

    python benchmarks/archive.py                    100 clips of 2 to 20 s, one worker and two, each pinned to one core
    python benchmarks/archive.py --clips 500 --longest 60
    python benchmarks/archive.py --sizes 100 500 2000      time per frame against the number of clips, two workers

The clips are built-in walks in a circle, written to a temporary folder. Compilation does not count: a first conversion
of a few clips fills the cache on disk, and the time is that between the first and the last line of the manifest.
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


def write_clips(folder: Path, count: int, *, longest_s: float) -> None:
    """Write walks of 2 s to `longest_s`, at speeds of 0.8 to 1.6 m/s; short ones are more frequent.

    For 60 s the mean is 10.9 s, close to that of AMASS (40 hours in 15,000 files).
    """
    rng = np.random.default_rng(0)
    for k in range(count):
        seconds = 2.0 * (longest_s / 2.0) ** (rng.uniform() ** 2)
        motion = long_motion(seconds, speed=float(rng.choice([0.8, 1.2, 1.6])))
        write_motion(folder / f"subject{k % 20:02}" / f"walk{k:04}_poses.npz", motion)


class Monitor:
    """Records the times of manifest lines, and the memory of the largest worker."""

    def __init__(self) -> None:
        self.lines: list[tuple[float, int]] = []
        self.memory: list[tuple[float, float]] = []
        self._done = threading.Event()

    def on_progress(self, progress: Any) -> None:
        """Record the progress of `convert_archive`."""
        self.lines.append((time.perf_counter(), progress.nframe))

    def sample(self) -> None:
        """Record the memory of the largest worker [GiB] every two seconds."""
        parent = psutil.Process()
        while not self._done.wait(2.0):
            sizes = []
            for process in parent.children(recursive=True):
                try:
                    sizes.append(process.memory_info().rss / 2**30)
                except psutil.Error:
                    continue
            if sizes:
                self.memory.append((time.perf_counter(), max(sizes)))

    def stop(self) -> None:
        """Stop sampling."""
        self._done.set()

    def rate(self) -> float:
        """Frames per second from the first line to the last."""
        progress = [(time_s, nframe) for time_s, nframe in self.lines if nframe]
        (start, first), (stop, last) = progress[0], progress[-1]
        return (last - first) / (stop - start)


def convert(source: Path, out: Path, *, workers: int) -> dict[str, Any]:
    """Convert with a number of workers, and return the measurements."""
    monitor = Monitor()
    sampler = threading.Thread(target=monitor.sample)
    sampler.start()
    try:
        pool = WorkerPool(workers=workers, device="cpu", cores_per_worker=1)
        summary = convert_archive(source, out, config=RetargetConfig(), pool=pool, progress=monitor.on_progress)
    finally:
        monitor.stop()
        sampler.join()
    recorded = [size for time_s, size in monitor.memory if time_s > monitor.lines[len(monitor.lines) // 4][0]]
    return {
        "workers": workers, "clips": summary.counts["ok"], "nframe": summary.nframe,
        "frames_per_second": monitor.rate(),
        "worker_gib_quarter": round(recorded[0], 2) if recorded else None,
        "worker_gib_end": round(recorded[-1], 2) if recorded else None,
        "worker_gib_curve": [round(size, 2) for _, size in monitor.memory][:: max(len(monitor.memory) // 20, 1)],
    }  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--longest", type=float, default=20.0, help="[s]")
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of clips, with two workers")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": machine.describe(), "runs": []}
    print(machine.message(results["machine"]))
    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder) / "warm"
        write_clips(warm, 2, longest_s=3.0)
        convert(warm, Path(folder) / "warm-out", workers=1)
        runs = [(size, 2) for size in options.sizes] if options.sizes else [(options.clips, 1), (options.clips, 2)]
        for k, (count, workers) in enumerate(runs):
            source = Path(folder) / f"in{count}"
            if not source.exists():
                write_clips(source, count, longest_s=options.longest)
            run = convert(source, Path(folder) / f"out{k}", workers=workers)
            results["runs"].append(run)
            print(
                f"{count} clips, {run['nframe']:,} frames, {workers} worker{'s' * (workers > 1)}: "
                f"{run['frames_per_second']:,.0f} frames/s; largest worker {run['worker_gib_quarter']} GiB after a "
                f"quarter, {run['worker_gib_end']} GiB at the end; curve {run['worker_gib_curve']}",
                flush=True,
            )
    if not options.sizes:
        one, two = (run["frames_per_second"] for run in results["runs"])
        print(f"two workers over one: {two / one:.2f}; target 1.6")
    machine.save(options.json, results)


if __name__ == "__main__":
    main()
