"""Our solver and mink on the same targets, in turn, in one run."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tables import table, verdict

from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.retarget.solver.fitter import Fit, Fitter
from musclemap.retarget.targets.landmark_targets import MotionTargets

RATIO_BAR = 15.0
"""Times that our solver has to be quicker than the reference."""

ONE_THREAD = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
"""What the reference runs best with; see `mink_reference`."""


@dataclass(frozen=True, kw_only=True)
class Race:
    """Speeds in frames a second, one a round, and what was reached on the frames that both solved.

    Attributes:
        frames: Frames of all clips, ours, and of their first parts, mink's.
        ours: Each round's speed.
        mink: Each round's speed of one process.
        released: Speed of mink on the body as it is released, fingers, muscles and all.
        mink_all: Speed of as many processes at once as there are cores, each with all of mink's frames.
        error_mm: Mean landmark error, ours and mink's, against the same calibrated targets.
        coupling: Largest deviation of a driven joint from its polynomial, ours and mink's [rad or m].
        steps: Quadratic programs that mink solves a frame.
    """

    frames: tuple[int, int]
    ours: tuple[float, ...]
    mink: tuple[float, ...]
    released: float
    mink_all: float
    error_mm: tuple[float, float]
    coupling: tuple[float, float]
    steps: float

    @property
    def ratio(self) -> float:
        """Median over the rounds of ours over mink's one process."""
        return float(np.median([a / b for a, b in zip(self.ours, self.mink, strict=True)]))

    def message(self) -> str:
        """Table and verdict."""
        ours, theirs = float(np.median(self.ours)), float(np.median(self.mink))
        rounds = ", ".join(f"{a:.0f}/{b:.0f}" for a, b in zip(self.ours, self.mink, strict=True))
        rows = [
            ["musclemap, all cores: anchors, calibration, whole clips", f"{self.frames[0]:,}", f"{ours:.0f}",
             f"{self.error_mm[0]:.2f}", f"{self.coupling[0]:.0e}"],
            [f"mink, one process, {self.steps:.1f} programs a frame", f"{self.frames[1]:,}", f"{theirs:.0f}",
             f"{self.error_mm[1]:.2f}", f"{self.coupling[1]:.0e}"],
            ["mink, one process, on the body as released", "", f"{self.released:.0f}", "", ""],
            ["mink, a process on every core", "", f"{self.mink_all:.0f}", "", ""],
        ]  # fmt: skip
        head = ["solver", "frames", "frames/s", "landmarks [mm]", "coupling"]
        line = verdict(
            "speed of the solver over mink's",
            asked=f"at least {RATIO_BAR:g}",
            got=f"{self.ratio:.1f} (rounds: {rounds})",
            met=self.ratio >= RATIO_BAR,
        )
        return f"{table(head, rows)}\n\n{line}"


def race(fitter: Fitter, targets: Sequence[MotionTargets], *, frames: int = 100, rounds: int = 3) -> Race:
    """Run both in turn.

    Ours fits whole clips, which it is made for; mink, whose time grows evenly with them, gets the first frames of each.
    Its targets are the calibrated ones that ours ends at, so that both are asked for the same. Its couplings are soft.

    Args:
        fitter: Compiled already.
        targets: Of some clips.
        frames: How many of each clip mink gets.
        rounds: Times that both run.
    """
    fits = fitter.fit(list(targets))  # leaves out of the count what only a first run does
    count = sum(t.nframe for t in targets)
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "targets.npz")
        arrays = {f"pos_{k}": fit.target_pos[:frames] for k, fit in enumerate(fits)}
        arrays |= {f"rot_{k}": t.rot[:frames] for k, t in enumerate(targets)}
        np.savez(given, allow_pickle=False, **arrays)
        ours, mink = [], []
        for k in range(rounds):
            started = time.perf_counter()
            fitter.fit(list(targets))
            ours.append(count / (time.perf_counter() - started))
            mink += _reference(given, [Path(folder, f"result_{k}.npz")])
        ncore = len(os.sched_getaffinity(0))
        (released,) = _reference(given, [Path(folder, "released.npz")], "--released")
        together = _reference(given, [Path(folder, f"core_{k}.npz") for k in range(ncore)])
        with np.load(Path(folder, "result_0.npz"), allow_pickle=False) as file:
            reached, coupling, steps = file["landmark_pos"], float(file["coupling"].max()), float(file["steps"].mean())
    asked = np.concatenate([fit.target_pos[:frames] for fit in fits])
    got, residual = _ours(fitter, fits, frames)
    error = lambda pos: float(np.linalg.norm(pos - asked, axis=2).mean() * 1e3)  # noqa: E731
    return Race(
        frames=(count, len(asked)),
        ours=tuple(ours),
        mink=tuple(mink),
        released=released,
        mink_all=sum(together),
        error_mm=(error(got), error(reached)),
        coupling=(residual, coupling),
        steps=steps,
    )


def _reference(given: Path, results: Sequence[Path], *options: str) -> list[float]:
    """Run mink on a file of targets, once for each result, at the same time; frames a second of each."""
    script = str(Path(__file__).with_name("mink_reference.py"))
    runs = [
        subprocess.Popen([sys.executable, script, str(given), str(path), *options], env=os.environ | ONE_THREAD)
        for path in results
    ]
    if any([run.wait() for run in runs]):
        raise SystemExit("benchmarks/mink_reference.py failed; what it says is above")
    speeds = []
    for path in results:
        with np.load(path, allow_pickle=False) as file:
            speeds.append(len(file["steps"]) / float(file["seconds"]))
    return speeds


def _ours(fitter: Fitter, fits: Sequence[Fit], frames: int) -> tuple[np.ndarray, float]:
    """Landmarks that we reach by C MuJoCo's kinematics (n, 17, 3), and the largest coupling residual."""
    body = fitter.body
    qpos = np.concatenate([body.reduced.expand(fit.q[:frames]) for fit in fits])
    return evaluate_clip(body, qpos).landmark_pos, float(body.reduced_hands.coupling_residual(qpos).max())
