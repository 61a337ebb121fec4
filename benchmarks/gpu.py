"""What an NVIDIA GPU does, measured in ten minutes: run it with `benchmarks/gpu.sh`, which finds or installs Python.

    benchmarks/gpu.sh                           all stages; benchmarks/results/gpu.json
    benchmarks/gpu.sh --budget 900              another total time [s], installation and compilation included
    benchmarks/gpu.sh --only mm-train           some stages, and those that they need
    GPU_TOY=1 benchmarks/gpu.sh --json FILE     every stage at toy size, on a machine without a GPU

Every stage runs in its own processes with its own time limit; one that fails does not stop the others. The results are
written after every stage, so a run that is killed leaves what it measured. The tracker is CPU code and runs on the
machine's CPU cores, beside the training on the GPU. Training gets the time that the other stages leave. The exit status
is 1 if a stage failed.
"""

import argparse
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_stages import CPU, GPU, TOY, Setup, Sizes, Stage, stages

HERE = Path(__file__).parent
ROOT = HERE.parent

BUDGET = 600.0
"""Time of all stages together [s]."""

TRAINING_RESERVE = 180.0
"""Time that the stages before the training leave for it, or a third of a shorter budget [s]."""

SHORTEST = 5.0
"""A stage with less time is skipped [s]."""

GRACE = 10.0
"""Time for a stage that is asked to stop to save its results, before it is killed [s]."""

TAIL = 3000
"""Characters of a failed stage's output that are kept."""


@dataclass(kw_only=True)
class Running:
    """A stage whose commands run one after the other.

    Attributes:
        stage: The stage.
        setup: What it was started with.
        started: Time of its start, as `time.monotonic`.
        commands: Commands that have not started.
        process: The running command.
        ran: Commands that have started.
        timed_out: Whether it was stopped.
        ended: Time of its end; None before.
    """

    stage: Stage
    setup: Setup
    started: float
    commands: list[list[str]]
    process: subprocess.Popen[bytes] | None = None
    ran: list[list[str]] = field(default_factory=list)
    timed_out: bool = False
    ended: float | None = None

    def output(self, stream: str) -> Path:
        """File of an output stream of the last command."""
        return self.setup.folder / "logs" / f"{self.stage.name.replace(' ', '-')}-{len(self.ran)}.{stream}"

    def poll(self) -> bool:
        """Continue as `_advance`, and note the time of the end."""
        if self.ended is None and self._advance():
            self.ended = time.monotonic()
        return self.ended is not None

    def _advance(self) -> bool:
        """Start the next command if none runs; stop the stage if its time is up. Returns whether it has ended."""
        status = None if self.process is None else self.process.poll()
        if self.process is not None and status is None:
            if time.monotonic() - self.started > self.setup.seconds:
                self.stop()
                self.timed_out = True
                return True
            return False
        if self.process is not None and (status or not self.commands):
            return True
        self._start(self.commands.pop(0))
        return False

    def stop(self) -> None:
        """Ask the processes to stop, then kill them."""
        if self.process is None or self.process.poll() is not None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(GRACE)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

    def _start(self, arguments: list[str]) -> None:
        self.ran.append(arguments)
        self.output("out").parent.mkdir(exist_ok=True)
        with self.output("out").open("wb") as out, self.output("err").open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env=_environment(self.stage, self.setup.folder),
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
            )  # fmt: skip

    def result(self) -> dict[str, Any]:
        """Status, time and result of a stage that has ended."""
        assert self.process is not None
        assert self.ended is not None
        outcome: dict[str, Any] = {
            "name": self.stage.name, "device": device_of(self.stage, self.setup), "status": "ok",
            "seconds": round(self.ended - self.started, 1),
            "commands": [_shown(arguments, self.setup.folder) for arguments in self.ran],
        }  # fmt: skip
        if self.timed_out:
            outcome |= {"status": "timeout", "error": f"stopped after {self.setup.seconds:.0f} s"}
        elif self.process.returncode not in self.stage.statuses:
            outcome |= {"status": "failed", "error": f"status {self.process.returncode}: {self._last_line()}"}
        try:
            outcome["result"] = self.stage.read(self.setup, _text(self.output("out")))
        except (OSError, ValueError, KeyError, IndexError) as error:
            if outcome["status"] == "ok":
                outcome |= {"status": "failed", "error": f"no result: {type(error).__name__}: {error}"}
        if outcome["status"] != "ok":
            outcome["output_tail"] = "\n".join(_text(self.output(stream))[-TAIL:] for stream in ("out", "err"))
        return outcome

    def _last_line(self) -> str:
        lines = (_text(self.output("err")) + "\n" + _text(self.output("out"))).strip().splitlines()
        errors = _text(self.output("err")).strip().splitlines() or lines
        return errors[-1] if errors else "no message"


class Run:
    """A run of all stages.

    Args:
        sizes: How much the stages do.
        toy: Whether a GPU is not needed.
        folder: Folder for temporary files.
        json_path: File for the results.
        started: Start of the run, including installation, as `time.time`.
        budget: Time for everything [s].
    """

    def __init__(
        self, *, sizes: Sizes, toy: bool, folder: Path, json_path: Path, started: float, budget: float
    ) -> None:
        self.toy, self.folder, self.json_path, self.budget = toy, folder, json_path, budget
        self.stages, self.patience, self.gpu = stages(sizes), sizes.patience, False
        self._end = time.monotonic() + budget - (time.time() - started)
        self.results: dict[str, Any] = {
            "command": "benchmarks/gpu.sh", "toy": toy, "budget_s": budget,
            "date": time.strftime("%Y-%m-%d", time.gmtime(started)), "install_s": round(time.time() - started, 1),
            "commit": _output_of(["git", "rev-parse", "HEAD"]), "gpus": gpus(), "seconds": 0.0, "stages": [],
        }  # fmt: skip

    def run(self, only: Sequence[str] | None = None) -> bool:
        """Run the stages, or those with these names and those that they need; returns whether all succeeded."""
        selected = self._selected(only)
        background: list[Running] = []
        try:
            for stage in selected:
                if reason := self._reason_to_skip(stage):
                    self._add({"name": stage.name, "device": stage.device, "status": "skipped", "error": reason})
                    continue
                running = self._begin(stage)
                if stage.background:
                    background.append(running)
                    running.poll()
                    continue
                self._finish(running, background)
            for running in background:
                self._finish(running, background)
        finally:
            for running in background:
                running.stop()
        return all(outcome["status"] == "ok" for outcome in self.results["stages"])

    def _selected(self, only: Sequence[str] | None) -> list[Stage]:
        if only is None:
            return self.stages
        by_name = {stage.name: stage for stage in self.stages}
        names = {"machine", *only}
        names |= {needed for name in names for needed in by_name[name].needs}
        return [stage for stage in self.stages if stage.name in names]

    def _begin(self, stage: Stage) -> Running:
        seconds = min(stage.seconds * self.patience, self._seconds_left(stage))
        setup = Setup(folder=self.folder, gpu=self.gpu, seconds=seconds)
        print(f"{stage.name} ({device_of(stage, setup)}), at most {seconds:.0f} s", file=sys.stderr, flush=True)
        return Running(stage=stage, setup=setup, started=time.monotonic(), commands=stage.commands(setup))

    def _finish(self, running: Running, background: list[Running]) -> None:
        """Wait for a stage while those in the background continue."""
        while not running.poll():
            for other in background:
                if other is not running:
                    other.poll()
            time.sleep(0.1)
        outcome = running.result()
        if running.stage.name == "machine" and "result" in outcome:
            self.results["machine"] = outcome["result"]
            self.gpu = has_gpu(outcome["result"])
        self._add(outcome)

    def _seconds_left(self, stage: Stage) -> float:
        reserve = 0.0 if stage.final or stage.background else min(TRAINING_RESERVE, self.budget / 3)
        return self._end - time.monotonic() - reserve

    def _reason_to_skip(self, stage: Stage) -> str:
        status = {outcome["name"]: outcome["status"] for outcome in self.results["stages"]}
        if missing := [name for name in stage.needs if status.get(name) != "ok"]:
            return f"needs {', '.join(missing)}"
        if stage.device == GPU and stage.name != "machine" and not self.gpu and not self.toy:
            return "JAX finds no GPU"
        if self._seconds_left(stage) < SHORTEST:
            return f"no time left of {self.budget:.0f} s"
        return ""

    def _add(self, outcome: dict[str, Any]) -> None:
        """Keep an outcome and write all results."""
        print(
            f"{outcome['name']}: {outcome['status']} {outcome.get('error', '')}".rstrip(), file=sys.stderr, flush=True
        )
        self.results["stages"].append(outcome)
        self.results["seconds"] = round(self.budget - (self._end - time.monotonic()), 1)
        self.json_path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.json_path.with_suffix(".part")
        temporary.write_text(json.dumps(finite(self.results), indent=1, allow_nan=False) + "\n")
        temporary.replace(self.json_path)


def device_of(stage: Stage, setup: Setup) -> str:
    """Name of the device on which a stage runs: without a GPU, the CPU cores."""
    return stage.device if setup.gpu or stage.device != GPU or stage.name == "machine" else "CPU cores, toy size"


def has_gpu(description: dict[str, Any]) -> bool:
    """Whether a machine's description lists a GPU among JAX's devices."""
    return any(device.startswith(("gpu", "cuda")) for device in description["devices"])


def finite(value: Any) -> Any:
    """Replace numbers that are not finite by None, because strict JSON has none."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def gpus() -> list[str]:
    """Name, memory and driver of every GPU, as nvidia-smi lists them."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    return _output_of(query).splitlines()


def describe(path: Path) -> None:
    """Write a description of the machine; in a process of its own, because JAX holds on to a GPU's memory."""
    import machine

    import musclemap

    facts = machine.describe()
    facts["versions"]["musclemap"] = musclemap.__version__
    path.write_text(json.dumps(facts))


def _environment(stage: Stage, folder: Path) -> dict[str, str]:
    """Environment of a stage: source folder first, one compilation cache, memory of the GPU on demand.

    Stages on the CPU cores do not see the GPU: each of the tracker's processes would take memory there.
    """
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    defaults = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }  # fmt: skip
    fixed = {"PYTHONPATH": os.pathsep.join(paths)} | ({"JAX_PLATFORMS": "cpu"} if stage.device == CPU else {})
    return defaults | os.environ | fixed


def _shown(arguments: Sequence[str], folder: Path) -> str:
    """A command without the folders of this machine."""
    return shlex.join(["python", *arguments]).replace(str(folder), "WORK").replace(f"{ROOT}/", "")


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


def _output_of(command: list[str]) -> str:
    """Output of a program, or nothing if it is missing or fails."""
    try:
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""


def main() -> None:
    """Run the stages."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/gpu.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--toy", action="store_true", help="toy size, also without a GPU (or: GPU_TOY=1)")
    parser.add_argument(
        "--budget",
        type=float,
        metavar="SECONDS",
        help=f"time for everything (default: {BUDGET:g}, five times that for toys)",
    )
    parser.add_argument("--only", nargs="+", metavar="STAGE", help="stages to run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the results")
    parser.add_argument("--describe", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.describe:
        describe(options.describe)
        return
    toy = options.toy or os.environ.get("GPU_TOY", "") not in ("", "0")
    sizes = TOY if toy else Sizes()
    names = [stage.name for stage in stages(sizes)]
    if unknown := sorted(set(options.only or ()) - set(names)):
        parser.error(f"no stage {', '.join(unknown)}; there are: {', '.join(names)}")
    default = ROOT / "out" / "gpu-toy.json" if toy else HERE / "results" / "gpu.json"
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="musclemap-gpu-") as folder:
        run = Run(
            sizes=sizes, toy=toy, folder=Path(folder), json_path=options.json or default,
            started=float(os.environ.get("GPU_STARTED", time.time())), budget=options.budget or BUDGET * sizes.patience,
        )  # fmt: skip
        complete = run.run(options.only)
        print(f"{run.json_path}, {run.results['seconds']:.0f} s")
    sys.exit(not complete)


if __name__ == "__main__":
    main()
