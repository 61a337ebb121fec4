"""Search for gains of the tracking controller by a simple evolution strategy in their logarithms.

    python benchmarks/tune_tracking.py OUT.json CLIP... [--generations 20] [--seed 0] [--start GAINS.json]

Every candidate follows 1.5 s of each clip from two frames, with the disturbed velocities of `tracking_gate.py` and
without search. Its score is the mean over frames of exp(-(relative error / 0.1 m)^2 - (root error / 0.15 m)^2), 0 for
frames after the body is lost, minus a fifth of the mean activation. Results of single runs jump with the last digit of
a gain: judge a change by many starts (`tracking_gate.py`), on clips that the search did not see.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import json
from dataclasses import replace
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from tracking_gate import disturbed_start, make_simulator  # pyright: ignore[reportMissingImports]

from musclemap.imitation.tracking.config import TrackingConfig

GAINS: tuple[str, ...] = (
    "joint_gain", "root_gain", "root_rotation_gain", "root_weight", "root_rotation_weight", "trunk_weight",
    "added_inertia", "effort", "change", "foot_weight", "foot_rotation_weight", "foot_gain", "placement",
    "lateral_placement", "placement_rate", "clearance", "com_weight", "com_gain", "moment_weight",
)  # fmt: skip
"""Settings that are searched."""

FRAMES, STARTS, POPULATION, PARENTS = 150, 2, 8, 3
SPREAD, SHRINK = 0.3, 0.97


def score(task: tuple[dict[str, float], Path, int]) -> float:
    """Score of some gains on one clip."""
    gains, path, seed = task
    simulator = make_simulator(path, replace(TrackingConfig(samples=0, kept=1), **gains))
    rng, last = np.random.default_rng(seed), simulator.reference.nframe - 1
    scores = []
    for frame in np.linspace(0, max(0, last - FRAMES), STARTS).astype(int).tolist():
        end = min(frame + FRAMES, last)
        run = simulator.run(disturbed_start(simulator, frame, rng), frame, end)
        relative, root = np.array(run.relative_error), np.array(run.root_error)
        closeness = np.exp(-((relative / 0.1) ** 2) - (root / 0.15) ** 2).sum() / (end - frame)
        scores.append(closeness - 0.2 * np.mean([state.act.mean() for state in run.states]))
    return float(np.mean(scores))


def main() -> None:
    """Print a line per generation; write the mean of the distribution after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--generations", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    start = json.loads(options.start.read_text()) if options.start else {}
    default = TrackingConfig()
    mean = np.log([start.get(name, getattr(default, name)) for name in GAINS])
    rng, spread = np.random.default_rng(options.seed), SPREAD
    with Pool(options.jobs) as pool:
        for generation in range(options.generations):
            steps = rng.standard_normal((POPULATION, len(GAINS)))
            steps[0] = 0.0  # the mean itself
            points = mean + spread * steps
            gains: list[dict[str, float]] = [dict(zip(GAINS, np.exp(point).tolist(), strict=True)) for point in points]
            tasks = [(candidate, path, generation) for candidate in gains for path in options.clips]
            scores = np.array(pool.map(score, tasks, chunksize=1)).reshape(POPULATION, -1).mean(axis=1)
            best = np.argsort(-scores)[:PARENTS]
            print(f"{generation}: mean {scores[0]:.3f}, best {scores[best[0]]:.3f}", flush=True)
            mean = 0.4 * mean + 0.6 * points[best].mean(axis=0)
            spread *= SHRINK
            options.out.write_text(json.dumps(dict(zip(GAINS, np.exp(mean).tolist(), strict=True)), indent=1))


if __name__ == "__main__":
    main()
