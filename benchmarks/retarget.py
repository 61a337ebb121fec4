"""Accuracy and speed of the retargeter, as tables with targets.

    python benchmarks/retarget.py                       built-in motions
    python benchmarks/retarget.py --mocap DIR           any folder of AMASS files as well
    python benchmarks/retarget.py --only scaling --device gpu --frames 1000 10000 100000
    python benchmarks/memory.py --hour                  memory, a separate benchmark that takes many minutes

With the extra [bench], the solver mink runs on the same targets. The exit status is 0 even if targets are missed; the
missed targets are repeated at the end.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import acceptance
import machine
import mink_reference
import scaling
import solver_race
import speed
from invariance import invariance

from musclemap.datasets.amass.reader import find_motions, read_motion
from musclemap.datasets.clip import read_clip
from musclemap.datasets.synthetic.synthesis import synthesise, write_archive
from musclemap.pipelines.device import DeviceError, choose_device
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.retargeter import Retargeter
from musclemap.retarget.solver.fitter import Fitter

BUILT_IN = "built-in motions"


@dataclass(kw_only=True)
class Report:
    """Printed text, and results for --json."""

    lines: list[str] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)

    def add(self, text: str) -> None:
        """Print text and keep its lines."""
        self.lines += text.splitlines()
        print(text, flush=True)

    @property
    def missed(self) -> list[str]:
        """Lines of the missed targets."""
        return [line for line in self.lines if line.startswith("**MISSED")]


class Benchmark:
    """A compiled retargeter, and a folder of motions for each set."""

    def __init__(self, report: Report, *, device: Any, mocap: Path | None, frames: list[int], folder: Path) -> None:
        self.report, self.device, self.frames, self.folder = report, device, frames, folder
        write_archive(folder / "built-in")
        self.sets = {BUILT_IN: folder / "built-in"} | ({mocap.name: mocap} if mocap else {})
        self.retargeter = Retargeter(RetargetConfig(), device=device)
        self.retargeter.retarget([synthesise("squat", seconds=1.0)])  # compiles
        self.fitter = Fitter(self.retargeter.body, self.retargeter.config, device=device)

    def clips(self) -> None:
        """Convert every set, and measure each clip as read back from its file."""
        for title, source in self.sets.items():
            out = self.folder / "clips" / source.name
            run = speed.convert(source, out, self.retargeter)
            rows, missing = [], []
            for path, name in find_motions(source):
                clip = (out / name).with_suffix(".h5")
                if clip.is_file():
                    rows.append(acceptance.row(read_clip(clip), read_motion(path, name=name)))
                else:
                    missing.append(name)
            checks = acceptance.checks(rows, missing=missing)
            self.report.add(f"\n## Clips: {title}\n\n{acceptance.clip_table(rows)}\n")
            self.report.add("\n".join(check.message() for check in checks))
            self.report.add(f"\nTime of this conversion, without compilation:\n\n{run.message()}")
            self.report.results[title] = {
                "rows": [asdict(r) | {"acceleration_ratio": r.acceleration_ratio} for r in rows],
                "checks": [asdict(check) | {"met": check.met} for check in checks],
                "speed": asdict(run) | {"fps": run.fps},
            }
        self.report.add(f"\n{acceptance.LEGEND}")

    def invariance(self) -> None:
        """Check the invariance of results."""
        checks = invariance(self.retargeter)
        self.report.add("\n## Invariance\n\n" + "\n".join(check.message() for check in checks))
        self.report.results["invariance"] = [asdict(check) | {"met": check.met} for check in checks]

    def compilation(self) -> None:
        """Time the command with an empty and with a filled JAX cache."""
        result = speed.compilation()
        self.report.add(f"\n## Compilation\n\n{result.message()}")
        self.report.results["compilation"] = asdict(result)

    def mink(self) -> None:
        """Compare our solver with mink on every set."""
        for title, source in self.sets.items():
            self.report.add(f"\n## The solver and mink on the same targets: {title}\n")
            if not mink_reference.available():
                self.report.add(f"not measured: {mink_reference.MISSING}")
                return
            targets = [self.retargeter.targets(read_motion(path, name=name)) for path, name in find_motions(source)]
            result = solver_race.race(self.fitter, targets)
            self.report.add(result.message())
            self.report.results[f"mink, {title}"] = asdict(result) | {"ratio": result.ratio}

    def scaling(self) -> None:
        """Measure the speed for several numbers of frames."""
        kind = "cpu" if self.device.platform == "cpu" else "gpu"
        self.report.add("\n## Speed against size\n")
        sizes = scaling.scaling(self.fitter, self.retargeter, self.frames or scaling.SIZES[kind], device=self.device)
        self.report.add(scaling.message(sizes, device=kind))
        self.report.results["scaling"] = {"device": kind, "sizes": [asdict(size) for size in sizes]}
        if kind == "cpu":
            self.report.add("gpu     not measured: JAX finds no GPU, or cpu was selected")


SECTIONS: dict[str, Callable[[Benchmark], None]] = {
    "clips": Benchmark.clips,
    "invariance": Benchmark.invariance,
    "compilation": Benchmark.compilation,
    "mink": Benchmark.mink,
    "scaling": Benchmark.scaling,
}


def main() -> None:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mocap = os.environ.get("MOCAP")
    parser.add_argument(
        "--mocap", type=Path, metavar="DIR", default=Path(mocap) if mocap else None,
        help="folder of AMASS files (default: the variable MOCAP, as in: make bench-retarget MOCAP=DIR)",
    )  # fmt: skip
    parser.add_argument("--only", choices=tuple(SECTIONS), nargs="+", default=list(SECTIONS), help="parts to run")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="device (default: JAX's choice)")
    parser.add_argument("--frames", type=int, nargs="+", default=[], metavar="N", help="numbers of frames for scaling")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the results as JSON")
    options = parser.parse_args()
    report = Report()
    try:
        device = choose_device(options.device)
    except DeviceError as error:
        report.add(f"{error}; the cpu is measured instead")
        device = choose_device("cpu")
    report.results["machine"] = machine.describe()
    report.add(machine.message(report.results["machine"]))
    with tempfile.TemporaryDirectory() as folder:
        run = Benchmark(report, device=device, mocap=options.mocap, frames=options.frames, folder=Path(folder))
        for name in options.only:
            SECTIONS[name](run)
    missed = report.missed
    report.add(f"\n## {len(missed)} targets are MISSED\n" if missed else "\nAll measured targets are met.")
    print("\n".join(missed))
    machine.save(options.json, report.results)


if __name__ == "__main__":
    main()
