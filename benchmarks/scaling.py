"""Frames per second against the number of frames, for the fit alone and for a whole conversion."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tables import table

from musclemap.datasets.synthetic.synthesis import synthesise, write_motion
from musclemap.pipelines.archive import convert_archive
from musclemap.retarget.retargeter import Retargeter
from musclemap.retarget.solver.fitter import Fitter

SIZES = {"cpu": (1_000, 10_000), "gpu": (1_000, 10_000, 100_000)}
"""Default numbers of frames."""

WALK_SECONDS = 9.99
"""Length of the repeated walk [s]: a thousand frames at 100 Hz."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """Number of frames, and frames per second of the fit and of the whole conversion."""

    nframe: int
    fit: float
    whole: float


def scaling(fitter: Fitter, retargeter: Retargeter, sizes: Sequence[int], *, device: Any) -> list[Size]:
    """Fit and convert copies of one walk; the fit is timed after a first run of the same size."""
    motion = synthesise("walk_1.2", seconds=WALK_SECONDS)
    targets = retargeter.targets(motion)
    result = []
    for size in sizes:
        count = max(1, round(size / targets.nframe))
        times = []
        for _ in range(2):
            started = time.perf_counter()
            fitter.fit([targets] * count)
            times.append(time.perf_counter() - started)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "source")
            write_motion(source / "walk_0_poses.npz", motion)
            for k in range(1, count):
                shutil.copy(source / "walk_0_poses.npz", source / f"walk_{k}_poses.npz")
            summary = convert_archive(
                source, Path(folder, "clips"), config=retargeter.config, device=device, retargeter=retargeter
            )
        nframe = count * targets.nframe
        result.append(Size(nframe=nframe, fit=nframe / times[-1], whole=summary.nframe / summary.seconds))
    return result


def message(sizes: Sequence[Size], *, device: str) -> str:
    """Format the table."""
    rows = [[device, f"{size.nframe:,}", f"{size.fit:,.0f}", f"{size.whole:,.0f}"] for size in sizes]
    return table(["device", "frames", "fit, frames/s", "files to clips, frames/s"], rows)
