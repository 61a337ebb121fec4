"""How long a conversion takes: compilation with and without JAX's cache, then every stage of a warm run."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tables import table, verdict

from musclemap.datasets.synthetic.synthesis import write_archive
from musclemap.pipelines.archive import convert_archive
from musclemap.retarget.retargeter import Retargeter

SPEED_BAR = 300.0
"""Frames a second of the whole conversion after compilation, on two cores."""

COMPILE_BAR = 30.0
"""Most seconds that compiling may take."""

STAGES = (
    ("read", "musclemap.pipelines.convert.prepare.read_motion"),
    ("targets", "musclemap.retarget.retargeter.Retargeter.targets"),
    ("anchors, calibration", "musclemap.retarget.solver.fitter.Fitter._solve_anchors"),
    ("whole clips", "musclemap.retarget.solver.fitter.Fitter._sweep"),
    ("qpos, qvel, metrics", "musclemap.retarget.retargeter.Retargeter._clip"),
    ("write", "musclemap.pipelines.convert.conversion.write_clip"),
)
"""Functions that are timed, by name, without changing them."""

_COMPILING = """
import json, sys
import jax.monitoring
seconds = {}
def add(event, duration, **_):
    seconds[event] = seconds.get(event, 0.0) + duration
jax.monitoring.register_event_duration_secs_listener(add)
from musclemap.cli.retarget import app
status = app(["--quiet", *sys.argv[1:]], standalone_mode=False)
print(json.dumps(seconds))
sys.exit(status)
"""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A folder converted by a warm retargeter.

    Attributes:
        nframe: Frames of the clips.
        seconds: Wall time: reading, resampling, fitting, metrics, writing, manifest.
        stages: Seconds of each stage.
    """

    nframe: int
    seconds: float
    stages: dict[str, float]

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.nframe / self.seconds

    def message(self) -> str:
        """Table and verdict."""
        rest = self.seconds - sum(self.stages.values())
        rows = [
            [name, f"{s:.2f}", f"{100 * s / self.seconds:.0f} %"] for name, s in [*self.stages.items(), ("rest", rest)]
        ]
        rows.append(["all", f"{self.seconds:.2f}", f"{self.nframe:,} frames"])
        line = verdict(
            "whole conversion after compilation, reading and writing included",
            asked=f"at least {SPEED_BAR:g} frames/s",
            got=f"{self.fps:.0f} frames/s",
            met=self.fps >= SPEED_BAR,
        )
        return f"{table(['stage', 'seconds', 'share'], rows)}\n\n{line}"


def convert(source: Path, out: Path, retargeter: Retargeter) -> Conversion:
    """Convert a folder with a retargeter that has been used before, and time the stages."""
    spent = {name: 0.0 for name, _ in STAGES}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent[name] += time.perf_counter() - started

        return run

    with ExitStack() as stack:
        for name, path in STAGES:
            mock = patch(path)
            stack.enter_context(patch(path, timed(name, mock.get_original()[0])))  # type: ignore[attr-defined]
        summary = convert_archive(source, out, config=retargeter.config, overwrite=True, retargeter=retargeter)
    return Conversion(nframe=summary.nframe, seconds=summary.seconds, stages=spent)


@dataclass(frozen=True, kw_only=True)
class Compilation:
    """The command `mm-retarget` on a second of motion, without and with what an earlier run compiled.

    Attributes:
        command: Wall time of the whole command [s]: first run, second run.
        compiling: Part of it that went into tracing, lowering, compiling or reading what is kept [s].
    """

    command: tuple[float, float]
    compiling: tuple[float, float]

    def message(self) -> str:
        """Table and verdict."""
        rows = [
            [name, f"{self.compiling[k]:.1f}", f"{self.command[k]:.1f}"]
            for k, name in enumerate(("first run, nothing kept", "second run, from JAX's cache"))
        ]
        line = verdict(
            "compilation, first run", asked=f"less than {COMPILE_BAR:g} s", got=f"{self.compiling[0]:.1f} s",
            met=self.compiling[0] < COMPILE_BAR,
        )  # fmt: skip
        return f"{table(['mm-retarget on 1 s of motion', 'compiling [s]', 'whole command [s]'], rows)}\n\n{line}"


def compilation() -> Compilation:
    """Run the command twice in processes of their own, with an empty folder for JAX's cache."""
    command, compiling = [], []
    with tempfile.TemporaryDirectory() as folder:
        write_archive(Path(folder, "source"), ["squat"], seconds=1.0)
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(Path(folder, "cache"))}
        for _ in range(2):
            started = time.perf_counter()
            paths = [str(Path(folder, "source")), str(Path(folder, "out")), "--overwrite"]
            done = subprocess.run(
                [sys.executable, "-c", _COMPILING, *paths], env=environment, check=True, capture_output=True, text=True
            )
            command.append(time.perf_counter() - started)
            seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
            compiling.append(sum(s for event, s in seconds.items() if event.startswith("/jax/core/compile/")))
    return Compilation(command=(command[0], command[1]), compiling=(compiling[0], compiling[1]))
