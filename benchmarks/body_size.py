"""Bodies of several sizes compared with the unscaled one: couplings, fibre lengths, moment arms, jumps and weight.

    python benchmarks/body_size.py --json benchmarks/results/body-size-cpu.json

The first four sizes are of bones alone, the others of persons: subject01 of OpenSim's example Gait2392, a small woman,
the man of `truth.py`, whose thighs are short and shanks long, and a child of ten. Comparisons are over the joints'
whole ranges, at other configurations than the scaling uses.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import machine
from body_size_checks import compare_bodies, static_load
from tables import table
from truth import LENGTHS as TRUTH_LENGTHS

from musclemap.retarget.checks.inverse_dynamics import GRAVITY
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.variants.variant import BodyVariant, make_variant

LENGTHS = {segment.name: segment.length for segment in load_body().scalable.scaled}  # type: ignore[union-attr]


def bones(**factors: float) -> BodyVariant:
    """A body whose segments have these factors, and 1 where none is given; its mass is that of the table."""
    every = factors.pop("every", 1.0)
    lengths = {name: factors.get(name, every) * length for name, length in LENGTHS.items()}
    return make_variant(size={"mass": 70.0, **lengths})


SIZES = {
    "all bones 0.9": bones(every=0.9),
    "all bones 1.1": bones(every=1.1),
    "legs 1.1": bones(thigh=1.1, shank=1.1, foot=1.1),
    "femur 1.1, tibia 0.95": bones(thigh=1.1, shank=0.95),
    "subject01, 1.803 m, 72.6 kg": make_variant(size={"height": 1.803, "mass": 72.6, "sex": "male"}),
    "woman, 1.51 m, 50 kg": make_variant(size={"height": 1.51, "mass": 50.0, "sex": "female"}),
    "man of docs/truth.md": make_variant(size={"height": 1.8, "mass": 85.27, "sex": "male", **TRUTH_LENGTHS}),
    "child, 1.38 m, 32 kg": make_variant(size={"height": 1.38, "mass": 32.0}),
}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", metavar="SIZE", help=f"some of: {'; '.join(SIZES)}; all by default")
    parser.add_argument("--json", type=Path, help="file for the results as JSON")
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": machine.describe(), "sizes": {}}
    print(machine.message(results["machine"]))
    unscaled = load_body()
    rows = []
    for name in options.sizes or SIZES:
        row = measure(unscaled, SIZES[name])
        results["sizes"][name] = row
        median, high, _ = row["fibre"]
        print(f"{name}: made in {row['seconds']:.1f} s; flips {row['flips']}; jumps {row['jumps']}", flush=True)
        rows.append(
            (name, f"{row['seconds']:.1f} s", f"{row['coupling']:.0e}", f"{median:.4f}, {high:.4f}",
             f"{row['stale'][2]:.2f}", str(len(row["flips"])), str(len(row["jumps"])), f"{row['weight']:.6f}")
        )  # fmt: skip
    head = ("size", "made in", "coupling", "worst fibre: median, 99 %", "stale, largest", "arms of another sign",
            "new jumps", "load / weight")  # fmt: skip
    print(table(head, rows))
    machine.save(options.json, results)
    return 0


def measure(unscaled: TargetBody, variant: BodyVariant) -> dict[str, Any]:
    """What a size keeps of the unscaled body, as plain values."""
    started = time.perf_counter()
    scaled = load_body(variant=variant)
    seconds = time.perf_counter() - started
    kept = compare_bodies(unscaled, scaled)
    return {
        "variant": variant.canonical, "seconds": seconds, "coupling": kept.coupling, "fibre": kept.fibre,
        "stale": kept.stale, "flips": kept.flips, "jumps": kept.jumps,
        "weight": static_load(scaled) / (scaled.mass * GRAVITY),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
