"""Peak memory of `mm-retarget` on one long motion, each conversion in a separate process.

python benchmarks/memory.py --minutes 5 15      # the trend
python benchmarks/memory.py --hour              # an hour at 120 Hz, for which there is a target
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
"""Target: largest peak memory for an hour of motion at 120 Hz [GiB]."""

_WRITE = """
import sys
from pathlib import Path
from musclemap.datasets.synthetic.synthesis import long_motion, write_motion
write_motion(Path(sys.argv[1]), long_motion(float(sys.argv[2])))
"""


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """Memory and time of one conversion.

    Attributes:
        minutes: Length of the motion [min].
        nframe: Its frames at 120 Hz.
        peak_gib: Largest resident set size of the process [GiB].
        seconds: Wall time of the process, including start and compilation [s].
        exit_status: Exit status of the process.
    """

    minutes: float
    nframe: int
    peak_gib: float
    seconds: float
    exit_status: int


def measure(minutes: float) -> MemoryUse:
    """Write a walk, convert it with `mm-retarget`, and read the peak memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "source", "long_walk_poses.npz"), Path(folder, "clips")
        subprocess.run([sys.executable, "-c", _WRITE, str(source), str(minutes * 60)], check=True)
        started = time.perf_counter()
        command = [sys.executable, "-m", "musclemap.cli.retarget", str(source.parent), str(out), "--quiet"]
        # wait4 instead of RUSAGE_CHILDREN, which is the maximum of all children including the writer. A child's peak
        # is at least its parent's memory at the fork, so this process imports no large packages.
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
    """Format the rows, and extrapolate linearly from the shortest and the longest motion to an hour."""
    lines = [f"{'minutes':>8} {'frames':>9} {'peak [GiB]':>11} {'seconds':>8}"]
    for use in uses:
        failed = f"  THE CONVERSION FAILED WITH STATUS {use.exit_status}" if use.exit_status else ""
        lines.append(f"{use.minutes:8g} {use.nframe:9,} {use.peak_gib:11.2f} {use.seconds:8.0f}{failed}")
    if len(uses) > 1:
        short, long = min(uses, key=lambda use: use.minutes), max(uses, key=lambda use: use.minutes)
        slope = (long.peak_gib - short.peak_gib) / max(long.minutes - short.minutes, 1e-9)
        hour = long.peak_gib + slope * (60 - long.minutes)
        lines.append(f"{slope * 60:.2f} GiB per hour of motion; extrapolated peak of one hour: {hour:.2f} GiB")
    for use in uses:
        if use.minutes == 60:
            met = "met" if use.peak_gib <= BAR_GIB and use.exit_status == 0 else "MISSED"
            lines.append(f"an hour at 120 Hz: target at most {BAR_GIB:g} GiB, result {use.peak_gib:.2f} GiB: {met}")
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, nargs="+", default=[], metavar="N", help="lengths of motion to convert"
    )
    parser.add_argument("--hour", action="store_true", help="also convert an hour, which takes many minutes")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    uses = [measure(minutes) for minutes in [*options.minutes, *([60.0] if options.hour else [])]]
    print(json.dumps([asdict(use) for use in uses]) if options.json else table(uses))


if __name__ == "__main__":
    main()
