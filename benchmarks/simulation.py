"""Control steps per second of the physics, by body, engine and number of worlds.

    python benchmarks/simulation.py                           every body and every available engine
    python benchmarks/simulation.py --bodies SmallArm --engines mujoco --worlds 1 64
    python benchmarks/simulation.py --measures physics        without learning
    python benchmarks/simulation.py --only compile            compile time of MuJoCo Warp, without and with its cache
    python benchmarks/simulation.py --json FILE               results as JSON

A control step is 5 physics steps of 2 ms. Worlds of MyoFullBody start at frames of a walk with random excitations, and
are reset every quarter of a second, like worlds in training that fail early. Each row is measured in its own process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import machine
import numpy as np
from tables import table

from musclemap.datasets.clip import Clip, read_clip, write_clip
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.buffers import buffers_for
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.physics.engine import Engine, PhysicsState
from musclemap.imitation.physics.engines import has_cuda, make_engine
from musclemap.imitation.ppo.ppo import PPO, PPOConfig
from musclemap.imitation.ppo.trainer import Trainer
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.reference import make_library
from musclemap.imitation.task.task import Task
from musclemap.retarget.retargeter import Retargeter

BODIES = {
    "MyoFullBody": ("MyoFullBody", PhysicsConfig()),
    "MyoFullBody, fingers free": ("MyoFullBody", PhysicsConfig(hands="free")),
    "SmallArm": ("SmallArm", PhysicsConfig()),
}

WORLDS = {
    ("mujoco", "cpu"): (1, 4, 16, 64),
    ("warp", "cpu"): (1, 8),
    ("warp", "gpu"): (16, 64, 256, 1024, 2048, 4096, 8192),
}
"""Numbers of worlds, by engine and platform."""

EPISODE = 25
"""Control steps until worlds are reset."""

PUBLISHED = (
    "Published for control steps of 5 x 2 ms with 8192 worlds: 27,900 per second without learning (416 muscles, one\n"
    "RTX 5090); about 13,000 with learning (354 muscles, one H100; MuscleMimic, arXiv 2603.25544)."
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One measurement: its name in `MEASURES`, its duration [s], and the clip to start from."""

    body: str
    engine: str
    nworld: int
    measure: str
    seconds: float
    clip: str


@dataclass(frozen=True, kw_only=True)
class Setup:
    """An engine that has made its first step, and the initial state of its worlds."""

    body: SimulationBody
    engine: Engine
    start: PhysicsState
    clips: list[tuple[str, Clip]]


def physics(setup: Setup, seconds: float) -> dict[str, float]:
    """Control steps per second of the physics alone, and fractions of steps with non-finite states or overflow."""
    rng = np.random.default_rng(0)
    shape = (setup.engine.nworld, setup.body.model.nu)
    ctrl = [jnp.asarray(rng.random(shape, np.float32) ** 3) for _ in range(5)]
    count, bad, overflow, state = 0, 0, 0, setup.start
    started = time.perf_counter()
    while count < 3 or time.perf_counter() - started < seconds:
        state = setup.start if count % EPISODE == 0 else state
        state, sensors = setup.engine.step(state, ctrl[count % len(ctrl)])
        bad, overflow, count = bad + int(sensors.bad.sum()), overflow + int(sensors.overflow.sum()), count + 1
    duration = time.perf_counter() - started
    nstep = count * setup.engine.nworld
    return {"steps_per_s": nstep / duration, "bad": bad / nstep, "overflow": overflow / nstep}


def with_learning(setup: Setup, seconds: float) -> dict[str, float]:
    """Control steps per second of PPO with its default settings: task, networks, an update after every 20 steps."""
    task = Task(setup.body)
    reference = make_library(setup.clips, setup.body, resting=task.config.resting_excitation).reference
    trainer = Trainer(setup.engine, task, reference, PPO(task.nobs, setup.body.model.nu, PPOConfig()))
    state, _ = trainer.iterate(trainer.init(0))  # compiles
    state, _ = trainer.iterate(state)
    jax.block_until_ready(state)
    before, count = jax.device_get(state.worlds.stats), 0
    started = time.perf_counter()
    while count < 2 or time.perf_counter() - started < seconds:
        state, count = trainer.iterate(state)[0], count + 1
        jax.block_until_ready(state)
    duration = time.perf_counter() - started
    nstep, stats = count * trainer.steps_per_iteration, jax.device_get(state.worlds.stats)
    return {
        "steps_per_s": nstep / duration, "bad": float(stats.bad - before.bad) / nstep,
        "overflow": float(stats.overflow - before.overflow) / nstep,
    }  # fmt: skip


MEASURES: dict[str, Callable[[Setup, float], dict[str, float]]] = {"physics": physics, "with PPO": with_learning}
"""Measurements of an engine by name; each returns `steps_per_s`."""


def run_case(case: Case) -> dict[str, Any]:
    """Set up an engine and measure it in this process."""
    name, config = BODIES[case.body]
    body = load_simulation_body(name, config)
    started = time.perf_counter()
    qpos, qvel = _frames(body, Path(case.clip))
    buffers = buffers_for(body, qpos, qvel)
    rows = np.arange(case.nworld) % len(qpos)
    act, warmstart = np.full((case.nworld, body.model.nu), 0.05), np.zeros((case.nworld, body.model.nv))
    parts = (qpos[rows], qvel[rows], act, warmstart)
    start = PhysicsState(*(jnp.asarray(part, jnp.float32) for part in parts))
    engine = make_engine(body, case.nworld, kind=case.engine, nconmax=buffers.nconmax, njmax=buffers.njmax)
    clips = [("walk", read_clip(Path(case.clip)))] if name == "MyoFullBody" else arm_clips(2, 4.0)
    setup = Setup(body=body, engine=engine, start=start, clips=clips)
    for _ in range(2):  # the second step takes arrays from the first, as later ones do
        state, _ = engine.step(start, jnp.zeros((case.nworld, body.model.nu)))
        engine.step(state, jnp.zeros((case.nworld, body.model.nu)))
    ready = time.perf_counter() - started
    result = MEASURES[case.measure](setup, case.seconds)
    return {
        **asdict(case),
        "clip": Path(case.clip).name,
        "ready_s": ready,
        **result,
        "memory_gib": _memory_gib(),
        "room": asdict(buffers),
    }


def _frames(body: SimulationBody, clip: Path) -> tuple[np.ndarray, np.ndarray]:
    """Configurations and velocities to start from."""
    if body.name != "MyoFullBody":
        low, high = body.model.jnt_range.T
        qpos = np.random.default_rng(0).uniform(low, high, (256, body.model.nq))
        return qpos, np.zeros((256, body.model.nv))
    walk = read_clip(clip)
    return walk.qpos[:, body.clip_qpos].astype(float), walk.qvel[:, body.clip_qvel].astype(float)


def _memory_gib() -> float:
    """Memory in use on the GPU by all processes, or without a GPU the peak memory of this process [GiB]."""
    if has_cuda():
        import warp as wp

        device = wp.get_device("cuda:0")
        return (device.total_memory - device.free_memory) / 2**30
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 2**20


def run_in_process(case: Case, *, cache: str | None = None) -> dict[str, Any]:
    """Run a case in its own process; `cache` is a folder for Warp's compiled kernels."""
    environment = (
        os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} | ({"WARP_CACHE_PATH": cache} if cache else {})
    )
    command = [sys.executable, __file__, "--case", json.dumps(asdict(case))]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if process.returncode:
        message = (process.stderr.strip().splitlines() or ["no message"])[-1]
        return {**asdict(case), "clip": Path(case.clip).name, "failed": f"status {process.returncode}: {message}"}
    return json.loads(process.stdout.splitlines()[-1])


def compilation(clip: str) -> list[dict[str, Any]]:
    """Time until a world of MyoFullBody has made its first steps in MuJoCo Warp, twice with the same cache [s]."""
    case = Case(body="MyoFullBody", engine="warp", nworld=1, measure="physics", seconds=0.0, clip=clip)
    with tempfile.TemporaryDirectory() as folder:
        return [{"kept": kept, **run_in_process(case, cache=folder)} for kept in ("nothing", "kernels")]


def row(result: dict[str, Any]) -> list[str]:
    """Format a row of the table."""
    head = [f"{result['body']}, {result['engine']}", result["measure"], f"{result['nworld']:,}"]
    if "failed" in result:
        return [*head, result["failed"], "", "", "", "", ""]
    rate = result["steps_per_s"]
    return [
        *head, f"{rate:,.0f}", f"{rate / 100:,.1f}", f"{result['ready_s']:.0f}", f"{result['memory_gib']:.2f}",
        f"{100 * result['bad']:.2g} %", f"{100 * result['overflow']:.2g} %",
    ]  # fmt: skip


HEADINGS = (
    "body, engine", "measure", "worlds", "control steps/s", "times real time", "start [s]", "GiB", "bad", "overflow",
)  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("speed", "compile"), nargs="+", default=["speed", "compile"])
    parser.add_argument("--bodies", choices=tuple(BODIES), nargs="+", default=list(BODIES), metavar="NAME")
    parser.add_argument("--engines", choices=("mujoco", "warp"), nargs="+", default=["mujoco", "warp"])
    parser.add_argument("--measures", choices=tuple(MEASURES), nargs="+", default=list(MEASURES))
    parser.add_argument("--worlds", type=int, nargs="+", metavar="N", help="numbers of worlds (default: by engine)")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of each measurement")
    parser.add_argument("--clip", type=Path, help="clip of MyoFullBody to start from instead of the built-in walk")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run_case(Case(**json.loads(options.case)))))
        return
    results: dict[str, Any] = {"machine": machine.describe(), "cases": [], "compilation": []}
    print(machine.message(results["machine"]), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        clip = str(options.clip.resolve() if options.clip else _walk(Path(folder)))
        if "speed" in options.only:
            results["cases"] = [_report(run_in_process(case)) for case in _cases(options, clip)]
            print("\n" + table(HEADINGS, [row(result) for result in results["cases"]]) + f"\n\n{PUBLISHED}")
        if "compile" in options.only and "warp" in options.engines:
            results["compilation"] = compilation(clip)
            for result in results["compilation"]:
                duration = result.get("failed") or f"{result['ready_s']:.0f} s"
                print(f"MuJoCo Warp ready for MyoFullBody, {result['kept']} in the cache: {duration}", flush=True)
    machine.save(options.json, results)


def _cases(options: argparse.Namespace, clip: str) -> Sequence[Case]:
    platform = {"mujoco": "cpu", "warp": "gpu" if has_cuda() else "cpu"}
    return [
        Case(body=body, engine=engine, nworld=nworld, measure=measure, seconds=options.seconds, clip=clip)
        for body in options.bodies
        for engine in options.engines
        for nworld in options.worlds or WORLDS[engine, platform[engine]]
        for measure in options.measures
    ]


def _report(result: dict[str, Any]) -> dict[str, Any]:
    print("  ".join(row(result)), file=sys.stderr, flush=True)
    return result


def _walk(folder: Path) -> Path:
    clip = Retargeter(device=jax.devices("cpu")[0]).retarget([synthesise("walk_1.2", seconds=4.0)])[0].clip
    if clip is None:
        raise SystemExit("the built-in walk gives no clip")
    write_clip(folder / "walk.h5", clip)
    return folder / "walk.h5"


if __name__ == "__main__":
    main()
