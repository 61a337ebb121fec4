"""How quickly a policy learns to move the small arm by its muscles: by PPO, and through a world model.

    python benchmarks/learning.py                      three seeds; PPO 4 minutes each, the world model a third of them
    python benchmarks/learning.py --seconds 120 --seeds 0
    python benchmarks/learning.py --algorithms ppo

Motions are made from a seed (`imitation/task/arm_motions.py`). Before and after training the policy tracks every clip
from its first frame to its last without noise, and clips it has never seen too. The error is the mean distance of the
landmarks, over all frames, with those after a failure. Times include compilation. Of PPO it is asked that the error
falls 5 times; of the world model that it is no larger than PPO's after a third of the time and a tenth of the control
steps, of which it gets a little less. Ends with 1 where a seed falls short.
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
from musclemap.pipelines.train.training import Until, train
from musclemap.settings import load_settings

SETTINGS = {"ppo": "small_arm.toml", "world-model": "small_arm_world.toml"}
ASKED, FASTER, FEWER = 5.0, 3.0, 10.0
"""Times that PPO's error falls; times less time, and times fewer control steps, that the world model takes."""

ENDING = 2.0
"""Time that is left for the iteration under way and for writing the policy [s]."""


def motions() -> tuple[list[tuple[str, Clip]], list[tuple[str, Clip]]]:
    """Eight clips to learn from and four held out, 4 s each."""
    clips = arm_clips(12, 4.0, seed=1)
    return clips[:8], clips[8:]


def error_mm(policy: Path, clips: list[tuple[str, Clip]]) -> float:
    """Mean landmark error of a policy over clips [mm]."""
    loaded = load_policy(policy)
    body = load_simulation_body("SmallArm", loaded.physics)
    library = make_library(clips, body, resting=loaded.task.resting_excitation)
    result = evaluate(MujocoEngine(body, len(clips)), loaded.task, library, loaded)
    return 1000.0 * float(np.mean([one.score.metrics["relative_landmark_error_to_end"] for one in result]))


def learn(algorithm: str, seed: int, until: Until) -> dict[str, Any]:
    """Train one policy; returns errors before and after, and what it took."""
    seen, unseen = motions()
    config = replace(load_settings(TrainConfig, Path(__file__).with_name(SETTINGS[algorithm])), seed=seed)
    plan = plan_training(seen, config, engine="mujoco", algorithm=algorithm)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.perf_counter()
        done = train(plan, folder / "trained", until=until, tensorboard=False)
        took = time.perf_counter() - started
        untrained = train(plan, folder / "untrained", until=Until(steps=1), tensorboard=False)  # one rollout in all
        return {
            "algorithm": algorithm, "seed": seed, "seconds": round(took, 1), "steps": done.steps,
            "before_mm": error_mm(untrained.policy, seen), "after_mm": error_mm(done.policy, seen),
            "held_out_mm": error_mm(done.policy, unseen),
        }  # fmt: skip


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240.0, help="time of PPO, compilation included")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--algorithms", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    asked = {"times_smaller": ASKED, "times_faster": FASTER, "times_fewer_steps": FEWER}
    kept: dict[str, Any] = {"machine": machine.describe(), "asked": asked, "runs": []}
    print(machine.message(kept["machine"]))
    print("algorithm    seed  seconds      steps  before [mm]  after [mm]  held out [mm]  times smaller")
    for seed in given.seeds:
        limits = Until(seconds=given.seconds)
        for algorithm in given.algorithms:
            run = learn(algorithm, seed, limits)
            run["times_smaller"] = run["before_mm"] / run["after_mm"]
            kept["runs"].append(run)
            print(
                f"{algorithm:12} {seed:4} {run['seconds']:8.0f} {run['steps']:10,} {run['before_mm']:12.1f} "
                f"{run['after_mm']:11.1f} {run['held_out_mm']:14.1f} {run['times_smaller']:14.1f}",
                flush=True,
            )
            limits = Until(seconds=max(run["seconds"] / FASTER - ENDING, 1.0), steps=int(run["steps"] / FEWER))
    by = {name: [run for run in kept["runs"] if run["algorithm"] == name] for name in given.algorithms}
    short = False
    if "ppo" in by:
        worst = min(run["times_smaller"] for run in by["ppo"])
        short = worst < ASKED
        print(f"PPO: the worst seed's error is {worst:.1f} times smaller; asked {ASKED:g}")
    if len(by) == len(SETTINGS):
        for ppo, model in zip(by["ppo"], by["world-model"], strict=True):
            fewer, faster = ppo["steps"] / model["steps"], ppo["seconds"] / model["seconds"]
            short |= model["after_mm"] > ppo["after_mm"] or fewer < FEWER or faster < FASTER
            print(
                f"seed {ppo['seed']}: world model {model['after_mm']:.2f} mm, PPO {ppo['after_mm']:.2f} mm, with "
                f"{fewer:.1f} times fewer steps in {faster:.2f} times less time; asked: no more, {FEWER:g}, {FASTER:g}"
            )
    machine.keep(given.json, kept)
    sys.exit("fallen short of what is asked" if short else 0)


if __name__ == "__main__":
    main()
