"""Training time of policies that move the small arm by its muscles, with PPO and with a world model.

    python benchmarks/learning.py                      three seeds; 4 minutes of PPO each, a third for the world model
    python benchmarks/learning.py --seconds 120 --seeds 0
    python benchmarks/learning.py --algorithms ppo

Motions are generated from a seed (`imitation/task/arm_motions.py`). Before and after training, the policy tracks every
training clip, and clips held out from training, from the first to the last frame without noise. The error is the mean
distance of the landmarks over all frames, including those after a failure. Times include compilation. Targets: PPO
lowers the error by a factor of 5; the world model's error is no larger than PPO's after a third of the time and a tenth
of the control steps. It gets slightly less time than that. The exit status is 1 if a seed misses a target.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import machine
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.imitation.eval.evaluation import evaluate
from musclemap.imitation.physics.bodies import load_simulation_body
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.policy.policy_file import load_policy
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.reference import make_library
from musclemap.pipelines.train.plan import plan_training
from musclemap.pipelines.train.training import StopCondition, train
from musclemap.settings import load_settings

SETTINGS = {"ppo": "small_arm.toml", "world-model": "small_arm_world.toml"}
IMPROVEMENT, SPEEDUP, STEP_RATIO = 5.0, 3.0, 10.0
"""Targets: factor by which PPO lowers the error, and factors by which the world model saves time and control steps."""

SHUTDOWN_SECONDS = 2.0
"""Time reserved for the current iteration and for writing the policy [s]."""


def motions() -> tuple[list[tuple[str, Clip]], list[tuple[str, Clip]]]:
    """Eight clips for training and four held out, 4 s each."""
    clips = arm_clips(12, 4.0, seed=1)
    return clips[:8], clips[8:]


def error_mm(policy: Path, clips: list[tuple[str, Clip]]) -> float:
    """Mean landmark error of a policy over clips [mm]."""
    loaded = load_policy(policy)
    body = load_simulation_body("SmallArm", loaded.physics)
    library = make_library(clips, body, resting=loaded.task.resting_excitation)
    result = evaluate(MujocoEngine(body, len(clips)), loaded.task, library, loaded)
    return 1000.0 * float(np.mean([item.score.metrics["relative_landmark_error_to_end"] for item in result]))


def learn(algorithm: str, seed: int, until: StopCondition) -> dict[str, Any]:
    """Train one policy; returns errors before and after training, time and control steps."""
    training, held_out = motions()
    config = replace(load_settings(TrainConfig, Path(__file__).with_name(SETTINGS[algorithm])), seed=seed)
    plan = plan_training(training, config, engine="mujoco", algorithm=algorithm)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.perf_counter()
        trained = train(plan, folder / "trained", until=until, tensorboard=False)
        seconds = time.perf_counter() - started
        untrained = train(
            plan, folder / "untrained", until=StopCondition(steps=1), tensorboard=False
        )  # a single rollout
        return {
            "algorithm": algorithm, "seed": seed, "seconds": round(seconds, 1), "steps": trained.steps,
            "before_mm": error_mm(untrained.policy, training), "after_mm": error_mm(trained.policy, training),
            "held_out_mm": error_mm(trained.policy, held_out),
        }  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240.0, help="time of PPO, including compilation")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--algorithms", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    targets = {"times_smaller": IMPROVEMENT, "times_faster": SPEEDUP, "times_fewer_steps": STEP_RATIO}
    results: dict[str, Any] = {"machine": machine.describe(), "asked": targets, "runs": []}
    print(machine.message(results["machine"]))
    print("algorithm    seed  seconds      steps  before [mm]  after [mm]  held out [mm]  times smaller")
    for seed in options.seeds:
        limits = StopCondition(seconds=options.seconds)
        for algorithm in options.algorithms:
            run = learn(algorithm, seed, limits)
            run["times_smaller"] = run["before_mm"] / run["after_mm"]
            results["runs"].append(run)
            print(
                f"{algorithm:12} {seed:4} {run['seconds']:8.0f} {run['steps']:10,} {run['before_mm']:12.1f} "
                f"{run['after_mm']:11.1f} {run['held_out_mm']:14.1f} {run['times_smaller']:14.1f}",
                flush=True,
            )
            seconds = max(run["seconds"] / SPEEDUP - SHUTDOWN_SECONDS, 1.0)
            limits = StopCondition(seconds=seconds, steps=int(run["steps"] / STEP_RATIO))
    runs_of = {name: [run for run in results["runs"] if run["algorithm"] == name] for name in options.algorithms}
    missed = False
    if "ppo" in runs_of:
        worst = min(run["times_smaller"] for run in runs_of["ppo"])
        missed = worst < IMPROVEMENT
        print(f"PPO: the worst seed's error is {worst:.1f} times smaller; target {IMPROVEMENT:g}")
    if len(runs_of) == len(SETTINGS):
        for ppo, model in zip(runs_of["ppo"], runs_of["world-model"], strict=True):
            fewer, faster = ppo["steps"] / model["steps"], ppo["seconds"] / model["seconds"]
            missed |= model["after_mm"] > ppo["after_mm"] or fewer < STEP_RATIO or faster < SPEEDUP
            print(
                f"seed {ppo['seed']}: world model {model['after_mm']:.2f} mm, PPO {ppo['after_mm']:.2f} mm, with "
                f"{fewer:.1f} times fewer steps in {faster:.2f} times less time; "
                f"targets: no larger, {STEP_RATIO:g}, {SPEEDUP:g}"
            )
    machine.save(options.json, results)
    sys.exit("a target is missed" if missed else 0)


if __name__ == "__main__":
    main()
