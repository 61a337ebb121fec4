"""Accuracy, invariance and speed of the retargeter, as tables, with the bars beside them.

    python benchmarks/retarget.py                       # built-in motions
    python benchmarks/retarget.py --mocap DIR           # any folder of AMASS files as well
    python benchmarks/retarget.py --frames 1000 10000   # speed against size, tiled from the built-in motions
    python benchmarks/memory.py --hour                  # memory, apart: it takes minutes

Another solver, mink, runs on the same targets in the same run where the extra [bench] is installed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from acceptance import Row, checks, clip_table, row
from invariance import invariance
from machine import describe, told
from mink_reference import available
from musclemap.datasets.amass import find_motions, read_motion
from musclemap.datasets.clip import write_clip
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthesis import motion_names, synthesise
from musclemap.pipelines.device import choose_device
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.retargeter import Retargeter
from musclemap.retarget.targets import MotionTargets
from tables import table

SPEED_BAR = 300.0
"""Frames a second of the whole conversion after compilation, on two cores."""

RATIO_BAR = 15.0
"""Times that our solver must be quicker than the reference on the same targets."""

MINK_FRAMES = 40
"""Frames of each clip that the reference gets; its time grows evenly with them."""

ROUNDS = 3
"""Rounds of ours and theirs in turn; the median of their ratios counts."""


def whole_conversion(motions: list[SourceMotion], retargeter: Retargeter) -> tuple[list[Row], list[str], float]:
    """Retarget and write; returns rows, sources without a clip, and frames a second of everything but reading."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        results = retargeter.retarget(motions)
        for k, result in enumerate(results):
            if result.clip is not None:
                write_clip(Path(folder) / f"{k}.h5", result.clip)
        seconds = time.perf_counter() - started
    pairs = [(r.clip, m) for r, m in zip(results, motions, strict=True) if r.clip is not None]
    lost = [m.name for r, m in zip(results, motions, strict=True) if r.clip is None]
    return [row(c, m) for c, m in pairs], lost, sum(c.nframe for c, _ in pairs) / seconds


def against_mink(retargeter: Retargeter, targets: list[MotionTargets]) -> dict[str, Any]:
    """Solve the same targets with both in turn, ROUNDS times.

    Ours gets all frames, as it is made for many at once; the reference, whose time grows evenly, the first of each clip. It
    gets the targets as the source gives them, before calibration, and its error is against those.
    """
    some = [_first(t, MINK_FRAMES) for t in targets]
    nframe = sum(t.nframe for t in some)
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder) / "targets.npz", Path(folder) / "result.npz"
        arrays = {f"{name}_{k}": getattr(t, name) for k, t in enumerate(some) for name in ("pos", "rot")}
        np.savez(given, allow_pickle=False, **arrays)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            retargeter._fitter.fit(targets)
            ours.append(sum(t.nframe for t in targets) / (time.perf_counter() - started))
            command = [sys.executable, str(Path(__file__).with_name("mink_reference.py")), str(given), str(result)]
            subprocess.run(command, check=True)
            with np.load(result, allow_pickle=False) as found:
                theirs.append(nframe / float(found["seconds"]))
                reached, coupling = found["landmark_pos"], float(found["coupling"].max())
    asked = np.concatenate([t.pos for t in some])
    return {
        "frames": nframe,
        "frames_per_second": statistics.median(ours),
        "mink_frames_per_second": statistics.median(theirs),
        "ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        "mink_landmark_error_mm": float(np.linalg.norm(reached - asked, axis=2).mean() * 1e3),
        "mink_coupling_residual": coupling,
    }


def _first(targets: MotionTargets, nframe: int) -> MotionTargets:
    from dataclasses import replace

    names = ("pos", "rot", "carrier_rot", "anchor", "contact", "floor")
    return replace(targets, **{name: getattr(targets, name)[:nframe] for name in names})


def scaling(retargeter: Retargeter, sizes: list[int]) -> list[tuple[int, float]]:
    """Frames a second of the fit at several numbers of frames, each after a first run of the same size."""
    piece = retargeter.targets(synthesise("walk_1.2", seconds=10.0))
    found = []
    for size in sizes:
        batch = [piece] * max(1, round(size / piece.nframe))
        retargeter._fitter.fit(batch)
        started = time.perf_counter()
        retargeter._fitter.fit(batch)
        found.append((len(batch) * piece.nframe, len(batch) * piece.nframe / (time.perf_counter() - started)))
    return found


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mocap", type=Path, help="folder of AMASS files")
    parser.add_argument("--frames", type=int, nargs="+", default=[], help="sizes for the scaling table")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="where to compute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="results for machines")
    options = parser.parse_args()
    machine = describe()
    print(told(machine))
    result: dict[str, Any] = {"machine": machine}
    started = time.perf_counter()
    retargeter = Retargeter(RetargetConfig(), device=choose_device(options.device))
    retargeter.retarget([synthesise("squat", seconds=1.0)])
    result["start_seconds"] = time.perf_counter() - started
    print(f"start and compilation: {result['start_seconds']:.1f} s (asked: under 30)")

    sets = {"built-in motions": [synthesise(name) for name in motion_names()]}
    if options.mocap:
        sets[options.mocap.name] = [read_motion(path, name=name) for path, name in find_motions(options.mocap)]
    for title, motions in sets.items():
        rows, lost, rate = whole_conversion(motions, retargeter)
        found = checks(rows, lost=lost)
        print(f"\n## {title}\n\n{clip_table(rows)}\n")
        print("\n".join(check.told() for check in found))
        print(f"whole conversion after compilation: asked {SPEED_BAR:g} frames/s, got {rate:.0f}")
        result[title] = {
            "frames_per_second": rate,
            "checks": [asdict(c) for c in found],
            "rows": [asdict(r) for r in rows],
        }

    print("\n## What must not change the result\n")
    print("\n".join(check.told() for check in invariance(retargeter)))

    print("\n## Against mink on the same targets\n")
    if available():
        pair = against_mink(retargeter, [retargeter.targets(m) for m in list(sets.values())[-1]])
        result["mink"] = pair
        head = ["", "frames/s", "landmark error [mm]", "coupling residual"]
        print(table(head, [
            ["mink, two stages, one equality task", f"{pair['mink_frames_per_second']:.1f}",
             f"{pair['mink_landmark_error_mm']:.1f}", f"{pair['mink_coupling_residual']:.1e}"],
            ["musclemap, anchors and whole clips", f"{pair['frames_per_second']:.0f}", "see above", "see above"],
        ]))  # fmt: skip
        print(f"ratio: asked {RATIO_BAR:g}, got {pair['ratio']:.1f}")
    else:
        print("not measured: pip install '.[bench]'")

    if options.frames:
        print("\n## Speed of the fit against size\n")
        sizes = scaling(retargeter, options.frames)
        result["scaling"] = sizes
        print(table(["frames", "frames/s"], [[f"{n:,}", f"{rate:,.0f}"] for n, rate in sizes]))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
