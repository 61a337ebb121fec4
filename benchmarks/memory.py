"""Peak memory of `mm-retarget` on one long motion, each stage in a process of its own.

python benchmarks/memory.py --minutes 5 15      # the trend
python benchmarks/memory.py --hour              # an hour at 120 Hz, the bar
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

BAR_GIB = 4.0
"""Most memory that an hour of motion at 120 Hz may take."""

_WRITE = """
import sys
from pathlib import Path
from musclemap.datasets.synthetic.synthesis import long_motion, write_motion
write_motion(Path(sys.argv[1]), long_motion(float(sys.argv[2])))
"""


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """What one conversion took.

    Attributes:
        minutes: Length of the motion.
        nframe: Its frames at 120 Hz.
        peak_gib: Largest resident set of the converting process [GiB].
        seconds: Wall time of the process, start and compilation included.
        exit_status: Of the process.
    """

    minutes: float
    nframe: int
    peak_gib: float
    seconds: float
    exit_status: int


def measure(minutes: float) -> MemoryUse:
    """Write a walk, convert it with the command as a user would, and read the process's peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "source", "long_walk_poses.npz"), Path(folder, "clips")
        subprocess.run([sys.executable, "-c", _WRITE, str(source), str(minutes * 60)], check=True)
        started = time.perf_counter()
        command = [sys.executable, "-m", "musclemap.cli.retarget", str(source.parent), str(out), "--quiet"]
        # wait4 and not RUSAGE_CHILDREN, which is the largest of all children, the writer among them. A child's peak
        # counts from its parent's at the start: this process stays small and imports nothing heavy.
        pid = os.posix_spawn(sys.executable, command, os.environ)
        _, status, usage = os.wait4(pid, 0)
        return MemoryUse(
            minutes=minutes,
            nframe=round(minutes * 60 * 120) + 1,
            peak_gib=usage.ru_maxrss / 2**20,
            seconds=time.perf_counter() - started,
            exit_status=os.waitstatus_to_exitcode(status),
        )


def table(uses: Sequence[MemoryUse]) -> str:
    """Rows, and the straight line through the shortest and the longest."""
    lines = [f"{'minutes':>8} {'frames':>9} {'peak [GiB]':>11} {'seconds':>8}"]
    for use in uses:
        failed = f"  THE CONVERSION FAILED WITH STATUS {use.exit_status}" if use.exit_status else ""
        lines.append(f"{use.minutes:8g} {use.nframe:9,} {use.peak_gib:11.2f} {use.seconds:8.0f}{failed}")
    if len(uses) > 1:
        short, long = min(uses, key=lambda use: use.minutes), max(uses, key=lambda use: use.minutes)
        slope = (long.peak_gib - short.peak_gib) / max(long.minutes - short.minutes, 1e-9)
        hour = long.peak_gib + slope * (60 - long.minutes)
        lines.append(f"{slope * 60:.2f} GiB an hour of motion; an hour would peak at {hour:.2f} GiB (extrapolated)")
    for use in uses:
        if use.minutes == 60:
            met = "met" if use.peak_gib <= BAR_GIB and use.exit_status == 0 else "MISSED"
            lines.append(f"an hour at 120 Hz: asked at most {BAR_GIB:g} GiB, got {use.peak_gib:.2f} GiB: {met}")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, nargs="+", default=[], metavar="N", help="lengths of motion to convert"
    )
    parser.add_argument("--hour", action="store_true", help="an hour as well: takes many minutes")
    parser.add_argument("--json", action="store_true", help="results as JSON on stdout")
    options = parser.parse_args()
    uses = [measure(minutes) for minutes in [*options.minutes, *([60.0] if options.hour else [])]]
    print(json.dumps([asdict(use) for use in uses]) if options.json else table(uses))


if __name__ == "__main__":
    main()
