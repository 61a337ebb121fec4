"""Differences between MuJoCo C and MuJoCo Warp after ten control steps, with the states and tolerances of the tests.

    python benchmarks/engines_agree.py --clip WALK.h5             small arm and MyoFullBody, on the GPU if there is one
    python benchmarks/engines_agree.py --bodies SmallArm --device cpu

WALK.h5 is a clip of MyoFullBody of at least two seconds. The exit status is 1 if a difference exceeds its tolerance.
"""

import argparse
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import machine
import numpy as np
from tables import table

from musclemap.datasets.clip import read_clip
from musclemap.imitation.physics.bodies import load_simulation_body
from musclemap.imitation.physics.engines import has_cuda
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.physics.warp_engine import WarpEngine

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
import engine_states  # pyright: ignore[reportMissingImports]

BODIES = {"SmallArm": "arm", "MyoFullBody": "human"}
"""Bodies, and the names of their tolerances in `engine_states.TOLERANCE`."""

STEPS = 10


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Largest difference between the engines in one part of the state.

    Attributes:
        part: "qpos", "qvel", "act", "warmstart" or "contact".
        largest: Largest absolute difference.
        tolerance: Absolute tolerance.
        relative: Tolerance relative to MuJoCo C's value, added to the absolute one.
        agrees: Whether all values are within both tolerances.
    """

    part: str
    largest: float
    tolerance: float
    relative: float
    agrees: bool


def compare(name: str, *, device: str, clip: Path | None) -> dict[str, Any]:
    """Step both engines from the same states with the same excitations."""
    body, key = load_simulation_body(name), BODIES[name]
    if name == "SmallArm":
        state = engine_states.arm_state(body)
    elif clip is None:
        raise SystemExit("MyoFullBody needs --clip, a clip of at least two seconds")
    else:
        state = engine_states.walking_state(body, read_clip(clip))
    ctrl = engine_states.excitations(body, STEPS)
    started = time.perf_counter()
    engine = WarpEngine(body, engine_states.NWORLD, device=device)
    engine_states.run(engine, state, ctrl[:1])
    ready = time.perf_counter() - started
    reference, sensors = engine_states.run(MujocoEngine(body, engine_states.NWORLD), state, ctrl)
    result, warp_sensors = engine_states.run(engine, state, ctrl)
    parts = [
        _difference(
            part,
            getattr(result, part),
            getattr(reference, part),
            tolerance,
            engine_states.RELATIVE_TOLERANCE.get(part, 0.0),
        )
        for part, tolerance in engine_states.TOLERANCE[key].items()
    ]
    parts.append(_difference("contact", warp_sensors.contact, sensors.contact, 0.0, 0.0))
    moved = float(np.abs(np.asarray(reference.qpos) - np.asarray(state.qpos)).max())
    return {
        "body": name, "device": device, "steps": STEPS, "worlds": engine_states.NWORLD, "ready_s": ready,
        "moved": moved, "agrees": all(part.agrees for part in parts), "differences": [asdict(part) for part in parts],
    }  # fmt: skip


def _difference(part: str, warp: Any, mujoco: Any, tolerance: float, relative: float) -> Difference:
    warp, mujoco = np.asarray(warp, float), np.asarray(mujoco, float)
    return Difference(
        part=part, largest=float(np.abs(warp - mujoco).max(initial=0.0)), tolerance=tolerance, relative=relative,
        agrees=bool(np.allclose(warp, mujoco, rtol=relative, atol=tolerance)),
    )  # fmt: skip


def main() -> None:
    """Compare the engines and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bodies", choices=tuple(BODIES), nargs="+", default=list(BODIES), metavar="NAME")
    parser.add_argument("--device", default="cuda:0" if has_cuda() else "cpu", help="Warp's device")
    parser.add_argument("--clip", type=Path, help="clip of MyoFullBody")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": machine.describe(), "bodies": []}
    print(machine.message(results["machine"]), flush=True)
    for name in options.bodies:
        result = compare(name, device=options.device, clip=options.clip)
        results["bodies"].append(result)
        rows = [
            [d["part"], f"{d['largest']:.2g}", f"{d['tolerance']:.2g}", "yes" if d["agrees"] else "NO"]
            for d in result["differences"]
        ]
        print(f"\n{name}, {result['device']}, ready after {result['ready_s']:.0f} s\n")
        print(table(("part of the state", "largest difference", "tolerance", "agrees"), rows), flush=True)
        machine.save(options.json, results)
    sys.exit(not all(result["agrees"] for result in results["bodies"]))


if __name__ == "__main__":
    main()
