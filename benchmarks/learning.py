"""How quickly a policy learns to move the small arm by its muscles.

    python benchmarks/learning.py                      three seeds, 5 minutes each at most; asked: error down 5 times
    python benchmarks/learning.py --seconds 120 --seeds 0

Motions are made from a seed (`musclemap.imitation.arm_motions`). Before and after training the policy tracks every clip
from its first frame to its last without noise, and clips it has never seen too. The error is the mean distance of the
landmarks, over all frames, with those after a failure.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.imitation.arm_motions import arm_clips
from musclemap.imitation.bodies import load_body
from musclemap.imitation.evaluation import evaluate
from musclemap.imitation.mujoco_engine import MujocoEngine
from musclemap.imitation.policy_file import load_policy
from musclemap.imitation.reference import make_library
from musclemap.imitation.train_config import TrainConfig
from musclemap.pipelines.settings import load_settings
from musclemap.pipelines.training import Until, plan_training, train

SETTINGS = Path(__file__).with_name("small_arm.toml")
ASKED = 5.0


def motions() -> tuple[list[tuple[str, Clip]], list[tuple[str, Clip]]]:
    """Eight clips to learn from and four held out, 4 s each."""
    clips = arm_clips(12, 4.0, seed=1)
    return clips[:8], clips[8:]


def error_mm(policy: Path, clips: list[tuple[str, Clip]]) -> float:
    """Mean landmark error of a policy over clips [mm]."""
    loaded = load_policy(policy)
    body = load_body("SmallArm", loaded.physics)
    library = make_library(clips, body, resting=loaded.task.resting)
    found = evaluate(MujocoEngine(body, len(clips)), loaded.task, library, loaded)
    return 1000.0 * float(np.mean([one.score.metrics["relative_landmark_error_to_end"] for one in found]))


def learn(config: TrainConfig, seconds: float, folder: Path) -> dict[str, Any]:
    """Train one policy; returns errors before and after, and what it took."""
    seen, unseen = motions()
    plan = plan_training(seen, config, engine="mujoco")
    untrained = train(plan, folder / "untrained", until=Until(steps=1), tensorboard=False)  # one update in all
    before = error_mm(untrained.policy, seen)
    started = time.perf_counter()
    done = train(plan, folder / "trained", until=Until(seconds=seconds), tensorboard=False)
    took = time.perf_counter() - started
    return {
        "seed": config.seed, "seconds": round(took, 1), "steps": done.steps, "before_mm": before,
        "after_mm": error_mm(done.policy, seen), "held_out_mm": error_mm(done.policy, unseen),
    }  # fmt: skip


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0, help="time to learn, compilation included")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    kept: dict[str, Any] = {"machine": machine.describe(), "asked": ASKED, "runs": []}
    print(machine.told(kept["machine"]))
    print("algorithm  seed  seconds      steps  before [mm]  after [mm]  held out [mm]  times smaller")
    for seed in given.seeds:
        config = load_settings(TrainConfig, SETTINGS)
        config = TrainConfig(**{**vars(config), "seed": seed})
        with tempfile.TemporaryDirectory() as folder:
            run = learn(config, given.seconds, Path(folder))
        run["times_smaller"] = run["before_mm"] / run["after_mm"]
        kept["runs"].append(run)
        print(
            f"ppo        {seed:4} {run['seconds']:8.0f} {run['steps']:10,} {run['before_mm']:12.1f} "
            f"{run['after_mm']:11.1f} {run['held_out_mm']:14.1f} {run['times_smaller']:14.1f}",
            flush=True,
        )
    worst = min(run["times_smaller"] for run in kept["runs"])
    print(f"the worst seed's error is {worst:.1f} times smaller; asked {ASKED:g}")
    machine.keep(given.json, kept)


if __name__ == "__main__":
    main()
