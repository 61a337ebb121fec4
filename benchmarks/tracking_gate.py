"""Starts from which the tracking controller reaches the end of a clip, without search.

    python benchmarks/tracking_gate.py CLIP... [--starts 20] [--seed 7] [--set KEY=VALUE ...]

Every start is a random frame of the clip with velocity errors of 0.05 m/s (root, each axis), 0.05 rad/s (its rotation)
and 0.1 rad/s (joints), as standard deviations. A run fails at the published limits: 0.3 m relative landmark error,
0.5 m root error.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import time
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from musclemap.datasets.clip import read_clip
from musclemap.imitation.physics.bodies import load_simulation_body
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.imitation.tracking.controller import FeedbackController
from musclemap.imitation.tracking.search import Simulator, State

ROOT_SPEED, ROOT_SPIN, JOINT_SPEED = 0.05, 0.05, 0.1


def make_simulator(path: Path, config: TrackingConfig) -> Simulator:
    """Simulator of one clip."""
    clip = read_clip(path)
    body = load_simulation_body(clip.model)
    return Simulator(body, FeedbackController.for_clip(body, clip, config))


def disturbed_start(simulator: Simulator, frame: int, rng: np.random.Generator) -> State:
    """State of the reference at a frame with errors of all velocities."""
    dofs, state = simulator.dofs, simulator.start(frame)
    error = np.zeros(dofs.ndof)
    error[:3], error[3:6] = ROOT_SPEED * rng.standard_normal(3), ROOT_SPIN * rng.standard_normal(3)
    error[6 : 6 + dofs.njoint] = JOINT_SPEED * rng.standard_normal(dofs.njoint)
    state.qvel[:] += dofs.tangent(state.qpos) @ error
    return state


def run(task: tuple[Path, TrackingConfig, int, int]) -> tuple[int, int, str, float, float, float]:
    """First and last frame, failure, mean relative and root error [m] and activation of one start."""
    path, config, seed, index = task
    simulator = make_simulator(path, config)
    rng = np.random.default_rng([seed, index])
    last = simulator.reference.nframe - 1
    frame = int(rng.integers(0, max(1, last - 50)))
    fragment = simulator.run(disturbed_start(simulator, frame, rng), frame, last)
    activation = float(np.mean([state.act.mean() for state in fragment.states]))
    errors = float(np.mean(fragment.relative_error)), float(np.mean(fragment.root_error))
    return frame, fragment.end, fragment.failure, *errors, activation


def main() -> None:
    """Print a line per clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", nargs="*", default=[], dest="assignments")
    options = parser.parse_args()
    pairs = [text.split("=") for text in options.assignments]
    default = TrackingConfig()
    config = TrackingConfig(**{key: type(getattr(default, key))(float(value)) for key, value in pairs})
    for path in options.clips:
        began = time.perf_counter()
        with Pool(options.jobs) as pool:
            tasks = [(path, config, options.seed, i) for i in range(options.starts)]
            results = pool.map(run, tasks, chunksize=1)
        reached = sum(not failure for _, _, failure, *_ in results)
        relative, root, activation = np.array([result[3:] for result in results]).mean(axis=0)
        lost = ", ".join(f"{first}-{end} {why}" for first, end, why, *_ in results if why)
        print(
            f"{path.stem}: {reached} of {options.starts} reach the end; landmarks {1e3 * relative:.0f} mm, "
            f"root {1e3 * root:.0f} mm, activation {activation:.3f}, {time.perf_counter() - began:.0f} s"
            + (f"; lost: {lost}" if lost else ""),
            flush=True,
        )


if __name__ == "__main__":
    main()
