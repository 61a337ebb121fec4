"""Time of a conversion: compilation with and without JAX's cache, and every stage after compilation."""

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
"""Target: frames per second of the whole conversion after compilation, on two cores."""

COMPILE_BAR = 30.0
"""Target: largest time of compilation [s]."""

STAGES = (
    ("read", "musclemap.pipelines.convert.prepare.read_motions"),
    ("noise, repeated frames", "musclemap.retarget.retargeter.Retargeter.prepare"),
    ("targets", "musclemap.retarget.retargeter.Retargeter._targets"),
    ("anchors, calibration", "musclemap.retarget.solver.fitter.Fitter._solve_anchors"),
    ("whole clips", "musclemap.retarget.solver.fitter.Fitter._sweep"),
    ("refinement, checks", "musclemap.retarget.retargeter.Retargeter._clips"),
    ("write", "musclemap.datasets.output_folder.write_clip"),
)
"""Stages, and the functions whose time is measured."""

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
    """Conversion of a folder by a compiled retargeter.

    Attributes:
        nframe: Number of frames of the clips.
        seconds: Wall time of reading, resampling, fitting, metrics, writing and manifest [s].
        stages: Time of each stage [s].
    """

    nframe: int
    seconds: float
    stages: dict[str, float]

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.nframe / self.seconds

    def message(self) -> str:
        """Format the table and the target."""
        rest = self.seconds - sum(self.stages.values())
        rows = [
            [name, f"{s:.2f}", f"{100 * s / self.seconds:.0f} %"] for name, s in [*self.stages.items(), ("rest", rest)]
        ]
        rows.append(["all", f"{self.seconds:.2f}", f"{self.nframe:,} frames"])
        line = verdict(
            "whole conversion after compilation, reading and writing included",
            target=f"at least {SPEED_BAR:g} frames/s",
            result=f"{self.fps:.0f} frames/s",
            met=self.fps >= SPEED_BAR,
        )
        return f"{table(['stage', 'seconds', 'share'], rows)}\n\n{line}"


def convert(source: Path, out: Path, retargeter: Retargeter) -> Conversion:
    """Convert a folder with a compiled retargeter, and time its stages."""
    stage_seconds = {name: 0.0 for name, _ in STAGES}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                stage_seconds[name] += time.perf_counter() - started

        return run

    with ExitStack() as stack:
        for name, path in STAGES:
            mock = patch(path)
            stack.enter_context(patch(path, timed(name, mock.get_original()[0])))  # type: ignore[attr-defined]
        summary = convert_archive(source, out, config=retargeter.config, overwrite=True, retargeter=retargeter)
    return Conversion(nframe=summary.nframe, seconds=summary.seconds, stages=stage_seconds)


@dataclass(frozen=True, kw_only=True)
class Compilation:
    """Time of `mm-retarget` on one second of motion, with an empty and with a filled JAX cache.

    Attributes:
        command: Wall time of the command in the first and the second run [s].
        compiling: Part of it spent on tracing, lowering, compiling and reading the cache [s].
    """

    command: tuple[float, float]
    compiling: tuple[float, float]

    def message(self) -> str:
        """Format the table and the target."""
        rows = [
            [name, f"{self.compiling[k]:.1f}", f"{self.command[k]:.1f}"]
            for k, name in enumerate(("first run, empty cache", "second run, from JAX's cache"))
        ]
        line = verdict(
            "compilation, first run", target=f"less than {COMPILE_BAR:g} s", result=f"{self.compiling[0]:.1f} s",
            met=self.compiling[0] < COMPILE_BAR,
        )  # fmt: skip
        return f"{table(['mm-retarget on 1 s of motion', 'compiling [s]', 'whole command [s]'], rows)}\n\n{line}"


def compilation() -> Compilation:
    """Run the command twice in separate processes with a new folder for JAX's cache."""
    command, compiling = [], []
    with tempfile.TemporaryDirectory() as folder:
        write_archive(Path(folder, "source"), ["squat"], seconds=1.0)
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(Path(folder, "cache"))}
        for _ in range(2):
            started = time.perf_counter()
            paths = [str(Path(folder, "source")), str(Path(folder, "out")), "--overwrite"]
            process = subprocess.run(
                [sys.executable, "-c", _COMPILING, *paths], env=environment, check=True, capture_output=True, text=True
            )
            command.append(time.perf_counter() - started)
            seconds: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
            compiling.append(sum(s for event, s in seconds.items() if event.startswith("/jax/core/compile/")))
    return Compilation(command=(command[0], command[1]), compiling=(compiling[0], compiling[1]))
