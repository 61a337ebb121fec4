"""Speed and accuracy of our solver and of mink on the same targets, run alternately."""

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
"""Target: how many times faster our solver has to be than the reference."""

ONE_THREAD = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
"""Environment in which the reference is fastest; see `mink_reference`."""


@dataclass(frozen=True, kw_only=True)
class Race:
    """Speeds in frames per second, and accuracies on the frames that both solved.

    Attributes:
        frames: Number of frames: of whole clips for our solver, of their first parts for mink.
        ours: Speed of our solver in each round.
        mink: Speed of one mink process in each round.
        released: Speed of mink on the complete model as released.
        mink_all: Total speed of one mink process per core, each with all frames.
        error_mm: Mean landmark error of our solver and of mink against the same calibrated targets [mm].
        coupling: Largest deviation of a driven joint from its coupling, ours and mink's [rad or m].
        steps: Mean number of quadratic programs that mink solves per frame.
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
        """Median over the rounds of the ratio of our speed to that of one mink process."""
        return float(np.median([a / b for a, b in zip(self.ours, self.mink, strict=True)]))

    def message(self) -> str:
        """Format the table and the target."""
        ours, mink = float(np.median(self.ours)), float(np.median(self.mink))
        rounds = ", ".join(f"{a:.0f}/{b:.0f}" for a, b in zip(self.ours, self.mink, strict=True))
        rows = [
            ["musclemap, all cores: anchors, calibration, whole clips", f"{self.frames[0]:,}", f"{ours:.0f}",
             f"{self.error_mm[0]:.2f}", f"{self.coupling[0]:.0e}"],
            [f"mink, one process, {self.steps:.1f} programs per frame", f"{self.frames[1]:,}", f"{mink:.0f}",
             f"{self.error_mm[1]:.2f}", f"{self.coupling[1]:.0e}"],
            ["mink, one process, on the body as released", "", f"{self.released:.0f}", "", ""],
            ["mink, a process on every core", "", f"{self.mink_all:.0f}", "", ""],
        ]  # fmt: skip
        head = ["solver", "frames", "frames/s", "landmarks [mm]", "coupling"]
        line = verdict(
            "speed of the solver over mink's",
            target=f"at least {RATIO_BAR:g}",
            result=f"{self.ratio:.1f} (rounds: {rounds})",
            met=self.ratio >= RATIO_BAR,
        )
        return f"{table(head, rows)}\n\n{line}"


def race(fitter: Fitter, targets: Sequence[MotionTargets], *, frames: int = 100, rounds: int = 3) -> Race:
    """Run both solvers alternately.

    Our solver fits whole clips, which it is made for. Mink, whose time is proportional to the number of frames, solves
    the first frames of each clip. It gets the calibrated targets of our fit, so that both solve the same problem; its
    couplings are soft.

    Args:
        fitter: Our solver.
        targets: Targets of some clips.
        frames: Number of frames of each clip that mink solves.
        rounds: Number of runs of both solvers.
    """
    fits = fitter.fit(list(targets))  # excludes the compilation
    count = sum(t.nframe for t in targets)
    with tempfile.TemporaryDirectory() as folder:
        target_file = Path(folder, "targets.npz")
        arrays = {f"pos_{k}": fit.target_pos[:frames] for k, fit in enumerate(fits)}
        arrays |= {f"rot_{k}": t.rot[:frames] for k, t in enumerate(targets)}
        np.savez(target_file, allow_pickle=False, **arrays)
        ours, mink = [], []
        for k in range(rounds):
            started = time.perf_counter()
            fitter.fit(list(targets))
            ours.append(count / (time.perf_counter() - started))
            mink += _run_mink(target_file, [Path(folder, f"result_{k}.npz")])
        ncore = len(os.sched_getaffinity(0))
        (released,) = _run_mink(target_file, [Path(folder, "released.npz")], "--released")
        parallel = _run_mink(target_file, [Path(folder, f"core_{k}.npz") for k in range(ncore)])
        with np.load(Path(folder, "result_0.npz"), allow_pickle=False) as file:
            mink_pos, coupling, steps = file["landmark_pos"], float(file["coupling"].max()), float(file["steps"].mean())
    target_pos = np.concatenate([fit.target_pos[:frames] for fit in fits])
    our_pos, residual = _our_landmarks(fitter, fits, frames)
    error = lambda pos: float(np.linalg.norm(pos - target_pos, axis=2).mean() * 1e3)  # noqa: E731
    return Race(
        frames=(count, len(target_pos)),
        ours=tuple(ours),
        mink=tuple(mink),
        released=released,
        mink_all=sum(parallel),
        error_mm=(error(our_pos), error(mink_pos)),
        coupling=(residual, coupling),
        steps=steps,
    )


def _run_mink(target_file: Path, results: Sequence[Path], *options: str) -> list[float]:
    """Run one mink process per result file in parallel; returns the frames per second of each."""
    script = str(Path(__file__).with_name("mink_reference.py"))
    runs = [
        subprocess.Popen([sys.executable, script, str(target_file), str(path), *options], env=os.environ | ONE_THREAD)
        for path in results
    ]
    if any([run.wait() for run in runs]):
        raise SystemExit("benchmarks/mink_reference.py failed; its output is above")
    speeds = []
    for path in results:
        with np.load(path, allow_pickle=False) as file:
            speeds.append(len(file["steps"]) / float(file["seconds"]))
    return speeds


def _our_landmarks(fitter: Fitter, fits: Sequence[Fit], frames: int) -> tuple[np.ndarray, float]:
    """Landmark positions of our fits by MuJoCo C, shape (n, 17, 3) [m], and the largest coupling residual."""
    body = fitter.body
    qpos = np.concatenate([body.reduced.expand(fit.q[:frames]) for fit in fits])
    return evaluate_clip(body, qpos).landmark_pos, float(body.reduced_hands.coupling_residual(qpos).max())
