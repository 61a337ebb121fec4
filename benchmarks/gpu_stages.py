"""Stages of `gpu.py`: what runs, for how long at most, and how its result is read."""

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

WALK = "builtin/walk/walk_1.2_poses.h5"
"""Clip of the stages that need one, below the folder of clips."""

GPU, CPU = "GPU", "CPU cores"

CURVE = (
    "seconds", "steps", "steps_per_second", "reward", "landmark_error_mm", "episode_steps", "terminated", "bad",
    "overflow",
)  # fmt: skip
"""Figures of the training log that the curve keeps."""

CURVE_POINTS = 60

_WRITE_MOTIONS = (
    "import sys; from pathlib import Path; from musclemap.datasets.synthetic.synthesis import write_archive; "
    "write_archive(Path(sys.argv[1]), sys.argv[2:] or None)"
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much the stages do.

    Attributes:
        bodies: Bodies on which the engines are compared.
        simulated: Body of the simulation's speed, which is measured in MuJoCo Warp.
        worlds: Numbers of worlds, one stage each.
        measures: Measures of the simulation's speed, names in `simulation.MEASURES`.
        sim_seconds: Duration of each measurement [s].
        frames: Numbers of frames to retarget, one stage each.
        motions: Built-in motions to convert and track, unless `arm`; all if empty.
        track_seconds: Computing time of the tracker per clip [s].
        train_seconds: Longest training, compilation included [s].
        train_options: Further arguments of `mm-train`.
        arm: Whether the small arm is tracked and trained in place of MyoFullBody.
        patience: Factor of the stages' time limits, for a slow or busy machine.
    """

    bodies: tuple[str, ...] = ("SmallArm", "MyoFullBody")
    simulated: str = "MyoFullBody"
    worlds: tuple[int, ...] = (4096, 8192)
    measures: tuple[str, ...] = ("physics", "with PPO")
    sim_seconds: float = 5.0
    frames: tuple[int, ...] = (10_000, 100_000)
    motions: tuple[str, ...] = ()
    track_seconds: float = 240.0
    train_seconds: float = 300.0
    train_options: tuple[str, ...] = ()
    arm: bool = False
    patience: float = 1.0


TOY = Sizes(
    bodies=("SmallArm",), simulated="SmallArm", worlds=(4,), measures=("physics",), sim_seconds=0.1, frames=(1000,),
    track_seconds=3.0, train_seconds=300.0, arm=True, patience=5.0,
    train_options=("--engine", "warp", "--num-envs", "4", "--max-steps", "256", "--set", "ppo.minibatch_size=64"),
)  # fmt: skip
"""Sizes with which every stage runs on two CPU cores in seconds."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a stage knows when it starts.

    Attributes:
        folder: Folder for all files.
        gpu: Whether JAX has a GPU.
        seconds: Time until the stage is stopped [s].
    """

    folder: Path
    gpu: bool
    seconds: float

    @property
    def clips(self) -> Path:
        """Folder of converted motions."""
        return self.folder / "clips"

    def json(self, name: str) -> Path:
        """File for the results of a benchmark."""
        return self.folder / f"{name}.json"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One measurement.

    Attributes:
        name: Name in the results.
        device: `GPU` or `CPU`: what it measures.
        seconds: Longest duration [s].
        commands: Arguments of Python, one list per command; they run in this order until one fails.
        read: Returns the result, given the standard output of the last command.
        needs: Stages that must have succeeded.
        background: Whether it runs beside the stages after it.
        statuses: Exit statuses that are no error.
        final: Whether it gets the time that earlier stages must leave.
    """

    name: str
    device: str
    seconds: float
    commands: Callable[[Setup], list[list[str]]]
    read: Callable[[Setup, str], dict[str, Any]]
    needs: tuple[str, ...] = ()
    background: bool = False
    statuses: tuple[int, ...] = (0,)
    final: bool = False


def stages(sizes: Sizes) -> list[Stage]:
    """All stages in their order; the tracker, on the CPU cores, runs beside the training on the GPU."""
    return [
        Stage(name="machine", device=GPU, seconds=60, commands=_describe, read=_read_json("machine")),
        Stage(
            name="clips", device=CPU, seconds=120, commands=lambda setup: _convert(setup, sizes), read=_read_conversion
        ),
        *(_engines(body) for body in sizes.bodies),
        *(_simulation(worlds, sizes) for worlds in sizes.worlds),
        *(_retarget(frames) for frames in sizes.frames),
        Stage(
            name="mm-track", device=CPU, seconds=sizes.track_seconds + 60, needs=("clips",), background=True,
            statuses=(0, 1), commands=lambda setup: _track(setup, sizes), read=_read_tracks,
        ),
        Stage(
            name="mm-train", device=GPU, seconds=sizes.train_seconds + TRAINING_OVERHEAD, needs=("clips",), final=True,
            commands=lambda setup: _train(setup, sizes), read=_read_training,
        ),
    ]  # fmt: skip


TRAINING_OVERHEAD = 60.0
"""Time for importing, reading clips, the last iteration and saving, beyond `mm-train --max-seconds` [s]."""


def _describe(setup: Setup) -> list[list[str]]:
    return [[str(HERE / "gpu.py"), "--describe", str(setup.json("machine"))]]


def _convert(setup: Setup, sizes: Sizes) -> list[list[str]]:
    if sizes.arm:
        return [["-m", "musclemap.cli.download", "builtin-arm", str(setup.clips), "--limit", "2", "--json"]]
    source = str(setup.folder / "source")
    return [
        ["-c", _WRITE_MOTIONS, source, *sizes.motions],
        ["-m", "musclemap.cli.retarget", source, str(setup.clips), "--device", "cpu", "--json"],
    ]


def _engines(body: str) -> Stage:
    name = f"engines agree, {body}"

    def commands(setup: Setup) -> list[list[str]]:
        device = "cuda:0" if setup.gpu else "cpu"
        clip = ["--clip", str(setup.clips / WALK)] if body == "MyoFullBody" else []
        return [
            [str(HERE / "engines_agree.py"), "--bodies", body, "--device", device, *clip,
             "--json", str(setup.json(name))]
        ]  # fmt: skip

    needs = ("clips",) if body == "MyoFullBody" else ()
    return Stage(name=name, device=GPU, seconds=150, needs=needs, commands=commands, read=_read_json(name, "bodies"))


def _simulation(worlds: int, sizes: Sizes) -> Stage:
    name = f"simulation, {worlds} worlds"

    def commands(setup: Setup) -> list[list[str]]:
        return [
            [str(HERE / "simulation.py"), "--only", "speed", "--bodies", sizes.simulated, "--engines", "warp",
             "--worlds", str(worlds), "--measures", *sizes.measures, "--seconds", str(sizes.sim_seconds),
             "--clip", str(setup.clips / WALK),
             "--json", str(setup.json(name))]
        ]  # fmt: skip

    def read(setup: Setup, output: str) -> dict[str, Any]:
        cases = json.loads(setup.json(name).read_text())["cases"]
        if failed := [case["failed"] for case in cases if "failed" in case]:
            raise ValueError("; ".join(failed))
        return {"cases": cases}

    return Stage(name=name, device=GPU, seconds=120, needs=("clips",), commands=commands, read=read)


def _retarget(frames: int) -> Stage:
    name = f"retarget, {frames} frames"

    def commands(setup: Setup) -> list[list[str]]:
        return [
            [str(HERE / "retarget.py"), "--only", "scaling", "--device", "gpu" if setup.gpu else "cpu",
             "--frames", str(frames), "--json", str(setup.json(name))]
        ]  # fmt: skip

    return Stage(name=name, device=GPU, seconds=120, commands=commands, read=_read_json(name, "scaling"))


def _track(setup: Setup, sizes: Sizes) -> list[list[str]]:
    seconds = min(sizes.track_seconds, max(setup.seconds - 45.0, 1.0))
    return [["-m", "musclemap.cli.track", str(setup.clips), "--seconds", f"{seconds:.0f}", "--json"]]


def _train(setup: Setup, sizes: Sizes) -> list[list[str]]:
    seconds = min(sizes.train_seconds, max(setup.seconds - TRAINING_OVERHEAD, 1.0))
    data = ["--config", str(HERE / "small_arm.toml")] if sizes.arm else ["--include", "*walk_1.2*"]
    return [
        ["-m", "musclemap.cli.train", "--dataset", str(setup.clips), *data, *sizes.train_options,
         "--run", str(setup.folder / "run"), "--max-seconds", f"{seconds:.0f}", "--no-tensorboard", "--json"]
    ]  # fmt: skip


def _read_json(name: str, *parts: str) -> Callable[[Setup, str], dict[str, Any]]:
    def read(setup: Setup, output: str) -> dict[str, Any]:
        results = json.loads(setup.json(name).read_text())
        return {part: results[part] for part in parts} if parts else results

    return read


def _read_conversion(setup: Setup, output: str) -> dict[str, Any]:
    if not list(setup.clips.rglob("*.h5")):
        raise ValueError("there is no clip")
    summary = json.loads(output)
    return {key: summary[key] for key in ("counts", "nframe", "seconds")}


def _read_tracks(setup: Setup, output: str) -> dict[str, Any]:
    run = json.loads(output)
    clips = [
        {key: value for key, value in clip.items() if key not in ("track", "path")} for clip in run["clips"]
    ]  # paths of a temporary folder
    return {"counts": run["counts"], "seconds": run["seconds"], "clips": clips}


def _read_training(setup: Setup, output: str) -> dict[str, Any]:
    """Speed and curve from the training log, which also exists if the run was stopped."""
    run = setup.folder / "run"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    facts = json.loads((run / "run.json").read_text())
    step = max(1, -(-len(lines) // CURVE_POINTS))
    kept = [*lines[:-1:step], *lines[-1:]]
    later = [line["steps_per_second"] for line in lines[1:]] or [line["steps_per_second"] for line in lines]
    return {
        "engine": facts.get("engine"),
        "steps": lines[-1]["steps"],
        "seconds": lines[-1]["seconds"],
        "steps_per_s": statistics.median(later),
        "first_iteration_s": lines[0]["seconds"],
        "curve": {name: [line.get(name) for line in kept] for name in CURVE},
    }
