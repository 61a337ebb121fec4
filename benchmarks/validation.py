"""Forces and muscle activations of a walk compared with the literature, and the speed of the checks.

    python benchmarks/validation.py                         built-in walk at 1.2 m/s; draws docs/images/walk_1.2_emg.png
    python benchmarks/validation.py --walk FILE             also a recorded walk (AMASS .npz)
    python benchmarks/validation.py --frames 10000          more frames for the speeds
    python benchmarks/validation.py --warp                  also the speed of MuJoCo Warp on the CPU
    python benchmarks/validation.py --json FILE             results as JSON

The exit status is 0 even if targets are missed; missed targets are marked.
"""

import argparse
import itertools
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import machine
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from emg_literature import MUSCLES, PHASE, Emg, by_phase, envelope

from musclemap.datasets.amass.reader import read_motion
from musclemap.datasets.clip import Clip
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.intervals import runs
from musclemap.pipelines.device import choose_device
from musclemap.retarget.checks.inverse_dynamics import GRAVITY
from musclemap.retarget.checks.physics_checks import MujocoPhysics, PhysicsEngine
from musclemap.retarget.checks.physics_engines import choose_physics
from musclemap.retarget.checks.segments import CheckResult
from musclemap.retarget.checks.validator import Validator
from musclemap.retarget.checks.warp_physics import WarpPhysics
from musclemap.retarget.config import ValidationConfig
from musclemap.retarget.retargeter import Retargeter
from musclemap.skeletons.body import TargetBody

STRIDE = (0.7, 1.8)
"""Shortest and longest stride of walking [s]."""

WINTER = "Winter 1991"
PEAK = f"1.1 to 1.2, {WINTER}; target 0.9 to 1.4"


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A walk, the results of its checks, and its strides: side (0 left, 1 right), first frame, frame after the last."""

    clip: Clip
    result: CheckResult
    strides: tuple[tuple[int, int, int], ...]

    def mean(self, values: np.ndarray, side: int, phase: np.ndarray) -> np.ndarray:
        """Mean over the strides of one side of values by frame (nframe,), at phases of the stride [%]."""
        return by_phase(values, [(start, stop) for s, start, stop in self.strides if s == side], phase)


def walk_of(motion: SourceMotion, retargeter: Retargeter) -> Walk:
    """Convert a walk and estimate its muscle activations."""
    clip = retargeter.retarget([motion])[0].clip
    if clip is None:
        raise SystemExit(f"{motion.name} gives no clip")
    result = Validator(retargeter.body, ValidationConfig()).check(clip, muscles=True)
    strides = []
    for side in (0, 1):
        strikes = [start for start, _ in runs(clip.contact[:, 2 * side : 2 * side + 2].max(axis=1) > 0) if start > 0]
        inside = [(a, b) for a, b in itertools.pairwise(strikes) if a > 10 and b < clip.nframe - 10]
        strides += [(side, a, b) for a, b in inside if STRIDE[0] < (b - a) / clip.fps < STRIDE[1]]
    return Walk(clip=clip, result=result, strides=tuple(strides))


def gait_rows(walk: Walk, body: TargetBody) -> list[tuple[str, float, str, bool | None]]:
    """Quantity, value, literature or target, and whether the target is met (None without a target)."""
    assert walk.result.ground is not None
    weight = float(body.model.body_mass.sum()) * GRAVITY
    first, trough, last, stance, hip = [], [], [], [], []
    for side, start, stop in walk.strides:
        stance_frames = int(walk.clip.contact[start:stop, 2 * side : 2 * side + 2].any(axis=1).sum())
        stance.append(100 * stance_frames / (stop - start))
        vertical_force = walk.result.ground.force[start : start + stance_frames, side, 2] / weight
        third = len(vertical_force) // 3
        first.append(vertical_force[:third].max())
        trough.append(vertical_force[third : 2 * third].min())
        last.append(vertical_force[2 * third :].max())
        joint = body.reduced.index(f"hip_flexion_{'lr'[side]}")
        hip.append(np.abs(walk.result.ground.torque[start:stop, joint]).max())
    peaks = (float(np.mean(first)), float(np.mean(last)))
    low = float(np.mean(trough))
    residual = walk.result.metrics["residual_force_bw"]
    stance_share = float(np.mean(stance))
    return [
        ("strides", float(len(walk.strides)), "", None),
        ("residual root force, mean [body weights]", residual, "target: below 0.15", residual < 0.15),
        ("residual root torque, mean [Nm]", walk.result.metrics["residual_torque_nm"], "", None),
        ("vertical force, first peak [body weights]", peaks[0], PEAK, 0.9 < peaks[0] < 1.4),
        ("vertical force, trough [body weights]", low, f"0.7 to 0.8, {WINTER}", low < min(peaks)),
        ("vertical force, second peak [body weights]", peaks[1], PEAK, 0.9 < peaks[1] < 1.4),
        ("largest hip flexion or extension torque, mean over strides [Nm]", float(np.mean(hip)), "", None),
        ("unmet torque of the worst joint, mean [Nm]", walk.result.metrics["unmet_torque_nm"], "", None),
        ("mean activation of all muscles", walk.result.metrics["activation_mean"], "", None),
        ("saturated muscles [%]", 100 * walk.result.metrics["activation_saturated_fraction"], "", None),
        ("stance [% of the stride]", stance_share, f"60 to 62, {WINTER}; target 58 to 65", 58 <= stance_share <= 65),
    ]  # fmt: skip


def activation(walk: Walk, body: TargetBody, emg: Emg, phase: np.ndarray = PHASE) -> np.ndarray:
    """Mean activation of a group over the strides of both sides, low-pass filtered like EMG envelopes."""
    assert walk.result.optimization is not None
    names = [body.model.actuator(k).name for k in range(body.model.nu)]
    sides = sorted({side for side, _, _ in walk.strides})
    groups = {side: [names.index(f"{muscle}_{'lr'[side]}") for muscle in emg.muscles] for side in sides}
    smooth = np.maximum(envelope(walk.result.optimization.activation, walk.clip.fps), 0.0)
    return np.mean([walk.mean(smooth[:, groups[side]].mean(axis=1), side, phase) for side in sides], axis=0)


def emg_row(emg: Emg, curve: np.ndarray) -> tuple[str, str, str, str, str]:
    """Group, phase of its peak, agreement with EMG, correlation with the envelope, and peaks."""
    phase = float(PHASE[curve.argmax()])
    low, high = emg.busiest
    inside = any(low <= phase + shift <= high for shift in (-100.0, 0.0, 100.0))
    message = " to ".join(dict.fromkeys(f"{100 * part:.0f}" for part in emg.peak))
    match = f"{np.corrcoef(curve, emg.envelope)[0, 1]:.2f}" if emg.envelope else ""
    return (
        emg.title,
        f"{phase:.0f} %",
        f"{low:g} to {high:g}: {'yes' if inside else '**no**'}",
        match,
        f"{100 * curve.max():.0f} %; {message} %",
    )


def draw(walks: dict[str, Walk], body: TargetBody, path: Path) -> None:
    """Plot activations over the stride with EMG."""
    figure, axes = plt.subplots(2, 4, figsize=(13, 5.6), sharex=True, constrained_layout=True)
    fine = np.linspace(0.0, 100.0, 101)
    for axis, emg in zip(axes.flat, MUSCLES, strict=True):
        for start, stop in emg.on:
            axis.axvspan(start, stop, ymax=0.04, color="0.3", linewidth=0, zorder=3)
        curves = {name: activation(walk, body, emg, fine) for name, walk in walks.items()}
        highest = max(max(curve.max() for curve in curves.values()), 0.1)
        if emg.envelope:
            axis.fill_between(
                PHASE, 0, highest * np.array(emg.envelope), color="0.85", linewidth=0, label="EMG envelope, scaled"
            )
        for (name, curve), colour in zip(curves.items(), ("tab:blue", "tab:orange"), strict=False):
            axis.plot(fine, curve, color=colour, label=name)
        axis.set(title=emg.title, xlim=(0, 100), ylim=(0, 1.08 * highest))
    for axis in axes[1]:
        axis.set_xlabel("stride from heel strike [%]")
    for axis in axes[:, 0]:
        axis.set_ylabel("activation")
    figure.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside lower center", ncols=4, title="bars: EMG on")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    print(f"drawn: {path}")


def speeds(clip: Clip, body: TargetBody, *, nframe: int, device: Any, warp: bool) -> dict[str, float]:
    """Frames per second of the checks after compilation, on a repeated clip."""
    rows = np.resize(np.arange(clip.nframe), nframe)
    repeated = replace(clip.frames(rows), activation=None, activation_residual=None)
    result = {}
    physics: dict[str, PhysicsEngine] = {"MuJoCo C": MujocoPhysics(body)}
    if device.platform != "cpu":
        physics["MuJoCo Warp"] = choose_physics(body, device)
    elif warp:
        physics["MuJoCo Warp"] = WarpPhysics(body, nworld=64, device="cpu")
    for name, engine in physics.items():
        for muscles in (False, True):
            validator = Validator(body, ValidationConfig(), physics=engine)
            validator.check(clip, muscles=muscles)
            part, shorter = repeated, max(nframe // 5, 200)
            if muscles:
                part = repeated.frames(slice(shorter))
            started = time.perf_counter()
            validator.check(part, muscles=muscles)
            quantity = f"checks and static optimisation, {name}" if muscles else f"checks, {name}"
            result[quantity] = part.nframe / (time.perf_counter() - started)
    return result


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--walk", type=Path, help="recorded walk (.npz)")
    parser.add_argument("--frames", type=int, default=4000, help="frames for the speeds")
    parser.add_argument("--warp", action="store_true", help="also time MuJoCo Warp on the CPU")
    parser.add_argument("--device", choices=("cpu", "gpu"))
    parser.add_argument("--out", type=Path, default=Path("docs/images/walk_1.2_emg.png"))
    parser.add_argument("--json", type=Path, help="file for the results as JSON")
    options = parser.parse_args()
    device = choose_device(options.device) or jax.devices()[0]
    retargeter = Retargeter(device=device)
    body = retargeter.body
    motions = {"built-in walk, 1.2 m/s": synthesise("walk_1.2", seconds=6.0)}
    if options.walk:
        motions[f"recorded walk ({options.walk.stem})"] = read_motion(options.walk, name=options.walk.name)
    walks = {name: walk_of(motion, retargeter) for name, motion in motions.items()}
    results: dict[str, Any] = {"machine": machine.describe(), "gait": {}, "emg": {}}
    print(machine.message(results["machine"]))
    for name, walk in walks.items():
        print(f"\n{name}: {walk.clip.verdict}\n")
        rows = gait_rows(walk, body)
        for quantity, value, message, met in rows:
            print(f"| {quantity} | {value:.3g} | {message}{' **MISSED**' if met is False else ''} |")
        results["gait"][name] = {quantity: value for quantity, value, _, _ in rows} | {"verdict": walk.clip.verdict}
        print("\n| muscles | peak at | EMG peak in | correlation with the envelope | peak; EMG peak |")
        print("| --- | --- | --- | --- | --- |")
        message = [emg_row(emg, activation(walk, body, emg)) for emg in MUSCLES]
        for row in message:
            print(f"| {' | '.join(row)} |")
        results["emg"][name] = message
    draw(walks, body, options.out)
    first = next(iter(walks.values()))
    results["frames_per_second"] = speeds(first.clip, body, nframe=options.frames, device=device, warp=options.warp)
    for quantity, rate in results["frames_per_second"].items():
        print(f"| {quantity} | {rate:,.0f} frames/s |")
    machine.save(options.json, results)


if __name__ == "__main__":
    main()
