"""Start-up time of `import musclemap` and of a command, and the speed and memory of training windows.

    python benchmarks/python_interface.py                 64 clips of 6 s
    python benchmarks/python_interface.py --clips 256

The clips are copies of the walk in the package, with activations. Needs PyTorch.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import machine
from tables import table

import musclemap as mm
from musclemap.datasets.clip import write_clip
from musclemap.datasets.manifest import Manifest, ManifestEntry

IMPORT = "import time; t = time.perf_counter(); import musclemap; print(time.perf_counter() - t)"
ARRAYS = ("qpos", "qvel", "contact", "activation")
LENGTH, STRIDE, BATCH = 64, 16, 256
REPEATS = 5


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=64, help="number of clips")
    options = parser.parse_args()
    print(machine.message(machine.describe()))
    rows = [["import musclemap", f"{min(float(_run('-c', IMPORT)) for _ in range(REPEATS)):.3f} s"]]
    rows.append(["mm-retarget --help, whole process", f"{min(_timed(_help) for _ in range(REPEATS)):.2f} s"])
    with tempfile.TemporaryDirectory() as folder:
        rows += _windows(_data(Path(folder), options.clips))
    print(table(["", "measured"], rows))


def _data(folder: Path, count: int) -> mm.Dataset:
    clip, entries = mm.load("builtin-walk"), []
    for k in range(count):
        sha256 = write_clip(folder / f"{k:04}.h5", clip)
        entries.append(
            ManifestEntry(
                source=f"{k:04}.npz", clip=f"{k:04}.h5", clip_sha256=sha256, status="ok", nframe=clip.nframe,
                seconds=clip.duration, verdict=clip.verdict,
            )
        )  # fmt: skip
    Manifest(entries=tuple(entries)).write(folder / "manifest.jsonl")
    return mm.open(folder)


def _windows(data: mm.Dataset) -> list[list[str]]:
    """Windows per second of an epoch, and how much memory grows meanwhile."""
    from torch.utils.data import DataLoader  # pyright: ignore[reportMissingImports]  comes with the extra [smpl]

    windows = data.windows(length=LENGTH, stride=STRIDE, arrays=ARRAYS)
    torch_windows = data.torch(length=LENGTH, stride=STRIDE, arrays=ARRAYS)
    epochs: dict[str, Callable[[], Iterable[object]]] = {
        "windows, NumPy": lambda: windows.epoch(seed=0),
        "torch, no workers": lambda: DataLoader(torch_windows, batch_size=BATCH),
        "torch, 2 workers": lambda: DataLoader(
            torch_windows, batch_size=BATCH, num_workers=2, multiprocessing_context="spawn"
        ),
        "jax": lambda: data.jax(length=LENGTH, stride=STRIDE, arrays=ARRAYS, batch_size=BATCH),
    }
    rows = [[f"{len(data)} clips, arrays in memory", f"{len(data) * _bytes(data[0]) / 2**20:,.0f} MiB"]]
    for name, epoch in epochs.items():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = _timed(lambda epoch=epoch: _exhaust(epoch()))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        rate = f"{len(windows) / seconds:,.0f}/s, memory +{grown:,.0f} MiB"
        rows.append([f"{name}: windows of {LENGTH} frames", rate])
    return rows


def _bytes(clip: mm.Clip) -> int:
    return sum(getattr(clip, key).nbytes for key in ARRAYS)


def _exhaust(items: Iterable[object]) -> None:
    for _ in items:
        pass


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _help() -> None:
    _run("-m", "musclemap.cli.retarget", "--help")


def _run(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
