"""Starts from which the tracking controller, or the regulator, reaches the end of a clip, without search.

    python benchmarks/tracking_gate.py CLIP... [--starts 20] [--seed 7] [--frame 0] [--noise 0 0.02] [--root-speed 0.05]
        [--policy-starts] [--regulator [--effort 0.3] [--roll-authority 0.4] [--track TRACK]] [--set KEY=VALUE ...]

Every start is a random frame of the clip with velocity errors of 0.05 m/s (root, each axis; `--root-speed`), 0.05
rad/s (its rotation) and 0.1 rad/s (joints), as standard deviations. With `--policy-starts` they are like those of
`policy_gate.py`: the clip's activations in place of the controller's, and 0.1 rad/s for the root's rotation. A run
fails at the published limits: 0.3 m relative landmark error, 0.5 m root error. `--frame` starts at this frame only;
`--noise` adds noise to the excitations, with a correlation of 0.9 from one step to the next; with several, there is a
line for each. The regulator holds to the motion of the controller, or to that of the file `--track` of `mm-track`;
its time includes its linear model, minutes a clip the first time.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import time
from dataclasses import replace
from multiprocessing import Pool
from pathlib import Path
from typing import Any, cast

import numpy as np

from musclemap.datasets.clip import read_clip
from musclemap.datasets.track_file import read_track
from musclemap.imitation.physics.bodies import load_simulation_body, physics_for_clips
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.regulator.regulate import regulate
from musclemap.imitation.regulator.regulator import RegulatedPath, Regulator
from musclemap.imitation.regulator.regulator_config import RegulatorConfig
from musclemap.imitation.tracking.activation import Decision
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.imitation.tracking.controller import FeedbackController
from musclemap.imitation.tracking.search import Simulator, State
from musclemap.pipelines.device import private_folder

ROOT_SPEED, ROOT_SPIN, JOINT_SPEED = 0.05, 0.05, 0.1
CORRELATION = 0.9


def make_simulator(path: Path, config: TrackingConfig) -> Simulator:
    """Simulator of one clip."""
    clip = read_clip(path)
    body = load_simulation_body(clip.model)
    return Simulator(body, FeedbackController.for_clip(body, clip, config))


def disturbed_start(
    simulator: Simulator, frame: int, rng: np.random.Generator, *, root_speed: float = ROOT_SPEED, policy: bool = False
) -> State:
    """State of the reference at a frame with errors of all velocities; with `policy` like those of `policy_gate.py`."""
    dofs, state = simulator.dofs, simulator.start(frame)
    if policy and simulator.reference.activation is not None:
        state = replace(state, act=simulator.reference.activation[frame].astype(float))
    error = np.zeros(dofs.ndof)
    error[:3] = root_speed * rng.standard_normal(3)
    error[3:6] = (JOINT_SPEED if policy else ROOT_SPIN) * rng.standard_normal(3)
    error[6 : 6 + dofs.njoint] = JOINT_SPEED * rng.standard_normal(dofs.njoint)
    state.qvel[:] += dofs.tangent(state.qpos) @ error
    return state


class Noisy:
    """Feedback whose excitations are disturbed."""

    def __init__(self, feedback: Any, noise: float, rng: np.random.Generator) -> None:
        self._feedback, self._noise, self._rng = feedback, noise, rng
        self._value: np.ndarray | float = 0.0

    def decide(self, data: Any, frame: int, **options: Any) -> Decision:
        """The disturbed decision."""
        decision = self._feedback.decide(data, frame, start=options["start"])
        fresh = self._noise * self._rng.standard_normal(len(decision.excitation))
        self._value = CORRELATION * self._value + np.sqrt(1 - CORRELATION**2) * fresh
        return replace(decision, excitation=np.clip(decision.excitation + self._value, 0, 1).astype(np.float32))


def run(
    task: tuple[Path, TrackingConfig, RegulatedPath | None, argparse.Namespace, float, int],
) -> tuple[int, int, str, float, float, float]:
    """First and last frame, failure, mean relative and root error [m] and activation of one start."""
    path, config, regulated, options, noise, index = task
    simulator = make_simulator(path, config)
    rng = np.random.default_rng([options.seed, index])
    last = simulator.reference.nframe - 1
    frame = int(rng.integers(0, max(1, last - 50))) if options.frame is None else options.frame
    start = disturbed_start(simulator, frame, rng, root_speed=options.root_speed, policy=options.policy_starts)
    feedback = Regulator(simulator.body, regulated) if regulated else simulator.controller
    controller = cast(FeedbackController, Noisy(feedback, noise, rng))
    fragment = simulator.run(start, frame, last, controller=controller)
    activation = float(np.mean([state.act.mean() for state in fragment.states]))
    errors = float(np.mean(fragment.relative_error)), float(np.mean(fragment.root_error))
    return frame, fragment.end, fragment.failure, *errors, activation


def main() -> None:
    """Print a line per clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--frame", type=int)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0])
    parser.add_argument("--regulator", action="store_true")
    parser.add_argument("--effort", type=float, default=RegulatorConfig().effort)
    parser.add_argument("--roll-authority", type=float, default=RegulatorConfig().roll_authority)
    parser.add_argument("--root-speed", type=float, default=ROOT_SPEED)
    parser.add_argument("--policy-starts", action="store_true")
    parser.add_argument("--track", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", nargs="*", default=[], dest="assignments")
    options = parser.parse_args()
    pairs = [text.split("=") for text in options.assignments]
    default = TrackingConfig()
    config = TrackingConfig(**{key: type(getattr(default, key))(float(value)) for key, value in pairs})
    for path in options.clips:
        began = time.perf_counter()
        regulated = None
        if options.regulator:
            clip = read_clip(path)
            named = [(path.stem, clip)]
            physics = physics_for_clips(named, PhysicsConfig())
            (regulated,) = regulate(
                load_simulation_body(clip.model, physics),
                physics,
                named,
                config,
                RegulatorConfig(effort=options.effort, roll_authority=options.roll_authority),
                tracks={path.stem: read_track(options.track)} if options.track else {},
                workers=options.jobs,
                cache=private_folder("fitted"),
            )
        for noise in options.noise:
            with Pool(options.jobs) as pool:
                tasks = [(path, config, regulated, options, noise, i) for i in range(options.starts)]
                results = pool.map(run, tasks, chunksize=1)
            reached = sum(not failure for _, _, failure, *_ in results)
            relative, root, activation = np.array([result[3:] for result in results]).mean(axis=0)
            lost = ", ".join(f"{first}-{end} {why}" for first, end, why, *_ in results if why)
            print(
                f"{path.stem}, noise {noise:g}: {reached} of {options.starts} reach the end; landmarks "
                f"{1e3 * relative:.0f} mm, root {1e3 * root:.0f} mm, activation {activation:.3f}, "
                f"{time.perf_counter() - began:.0f} s" + (f"; lost: {lost}" if lost else ""),
                flush=True,
            )


if __name__ == "__main__":
    main()
