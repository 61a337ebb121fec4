"""Accuracy and speed of the retargeter, as tables, with what was asked for beside them.

    python benchmarks/retarget.py                       built-in motions
    python benchmarks/retarget.py --mocap DIR           any folder of AMASS files as well
    python benchmarks/retarget.py --only scaling --device gpu --frames 1000 10000 100000
    python benchmarks/memory.py --hour                  memory, apart: it takes many minutes

Another solver, mink, runs on the same targets in the same run where the extra [bench] is installed. The exit status is
0 whether bars are met or missed; what is missed stands at the end once more.
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
    """What is printed, and kept for --json."""

    lines: list[str] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Print at once."""
        self.lines += text.splitlines()
        print(text, flush=True)

    @property
    def missed(self) -> list[str]:
        """Lines of the bars that are missed."""
        return [line for line in self.lines if line.startswith("**MISSED")]


class Benchmark:
    """A warm retargeter and a folder of motions for each set."""

    def __init__(self, report: Report, *, device: Any, mocap: Path | None, frames: list[int], folder: Path) -> None:
        self.report, self.device, self.frames, self.folder = report, device, frames, folder
        write_archive(folder / "built-in")
        self.sets = {BUILT_IN: folder / "built-in"} | ({mocap.name: mocap} if mocap else {})
        self.retargeter = Retargeter(RetargetConfig(), device=device)
        self.retargeter.retarget([synthesise("squat", seconds=1.0)])  # compiles
        self.fitter = Fitter(self.retargeter.body, self.retargeter.config, device=device)

    def clips(self) -> None:
        """Convert every set and measure each clip, as read back from its file."""
        for title, source in self.sets.items():
            out = self.folder / "clips" / source.name
            run = speed.convert(source, out, self.retargeter)
            rows, lost = [], []
            for path, name in find_motions(source):
                clip = (out / name).with_suffix(".h5")
                if clip.is_file():
                    rows.append(acceptance.row(read_clip(clip), read_motion(path, name=name)))
                else:
                    lost.append(name)
            checks = acceptance.checks(rows, lost=lost)
            self.report.say(f"\n## Clips: {title}\n\n{acceptance.clip_table(rows)}\n")
            self.report.say("\n".join(check.message() for check in checks))
            self.report.say(f"\nTime of the same conversion, compiled before:\n\n{run.message()}")
            self.report.results[title] = {
                "rows": [asdict(r) | {"acceleration_ratio": r.acceleration_ratio} for r in rows],
                "checks": [asdict(check) | {"met": check.met} for check in checks],
                "speed": asdict(run) | {"fps": run.fps},
            }
        self.report.say(f"\n{acceptance.LEGEND}")

    def invariance(self) -> None:
        """Turn, mirror, and turn the head."""
        checks = invariance(self.retargeter)
        self.report.say("\n## What must not change the result\n\n" + "\n".join(check.message() for check in checks))
        self.report.results["invariance"] = [asdict(check) | {"met": check.met} for check in checks]

    def compilation(self) -> None:
        """The command, cold and with what JAX keeps."""
        result = speed.compilation()
        self.report.say(f"\n## Compilation\n\n{result.message()}")
        self.report.results["compilation"] = asdict(result)

    def mink(self) -> None:
        """Our solver against mink, on every set."""
        for title, source in self.sets.items():
            self.report.say(f"\n## The solver and mink on the same targets: {title}\n")
            if not mink_reference.available():
                self.report.say(f"not measured: {mink_reference.MISSING}")
                return
            targets = [self.retargeter.targets(read_motion(path, name=name)) for path, name in find_motions(source)]
            result = solver_race.race(self.fitter, targets)
            self.report.say(result.message())
            self.report.results[f"mink, {title}"] = asdict(result) | {"ratio": result.ratio}

    def scaling(self) -> None:
        """Speed against size."""
        kind = "cpu" if self.device.platform == "cpu" else "gpu"
        self.report.say("\n## Speed against size\n")
        sizes = scaling.scaling(self.fitter, self.retargeter, self.frames or scaling.SIZES[kind], device=self.device)
        self.report.say(scaling.message(sizes, device=kind))
        self.report.results["scaling"] = {"device": kind, "sizes": [asdict(size) for size in sizes]}
        if kind == "cpu":
            self.report.say("gpu     not measured: JAX finds none on this machine, or cpu was asked for")


SECTIONS: dict[str, Callable[[Benchmark], None]] = {
    "clips": Benchmark.clips,
    "invariance": Benchmark.invariance,
    "compilation": Benchmark.compilation,
    "mink": Benchmark.mink,
    "scaling": Benchmark.scaling,
}


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mocap = os.environ.get("MOCAP")
    parser.add_argument(
        "--mocap", type=Path, metavar="DIR", default=Path(mocap) if mocap else None,
        help="folder of AMASS files; else the one named by MOCAP, as in: make bench-retarget MOCAP=DIR",
    )  # fmt: skip
    parser.add_argument("--only", choices=tuple(SECTIONS), nargs="+", default=list(SECTIONS), help="parts to run")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="where to compute; else what JAX prefers")
    parser.add_argument("--frames", type=int, nargs="+", default=[], metavar="N", help="sizes of the part scaling")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the results for machines")
    options = parser.parse_args()
    report = Report()
    try:
        device = choose_device(options.device)
    except DeviceError as error:
        report.say(f"{error}: not measured there; on the cpu instead")
        device = choose_device("cpu")
    report.results["machine"] = machine.describe()
    report.say(machine.message(report.results["machine"]))
    with tempfile.TemporaryDirectory() as folder:
        run = Benchmark(report, device=device, mocap=options.mocap, frames=options.frames, folder=Path(folder))
        for name in options.only:
            SECTIONS[name](run)
    missed = report.missed
    report.say(f"\n## {len(missed)} of the bars are MISSED\n" if missed else "\nEvery bar that was measured is met.")
    print("\n".join(missed))
    machine.keep(options.json, report.results)


if __name__ == "__main__":
    main()
