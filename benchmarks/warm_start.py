"""What becomes of a good policy when PPO continues from it: the small arm, with and without PPO's two safeguards.

    python benchmarks/warm_start.py --out out/warm-start           15 minutes; runs in the folder are resumed

A world model learns the motions of `benchmarks/learning.py` first. PPO then starts at its policy with settings of
`ppo.start`: the default ones, with a coefficient that has faded at the end; without the KL divergence; without the fit
of the critic; without both; and the default ones with a tenth of the learning rate. The error is the mean distance of
the landmarks over all frames, without noise.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import machine
from learning import SETTINGS, error_mm, motions

from musclemap.imitation.ppo.ppo_config import StartConfig
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.pipelines.train.plan import plan_training
from musclemap.pipelines.train.training import StopCondition, train
from musclemap.settings import load_settings

STUDENT_STEPS, PPO_STEPS, FADE_STEPS = 9_000, 153_600, 100_000
"""Control steps of the world model and of PPO, which fits the critic for 51,200 of them, and of the fade."""

SAFE, RATE = StartConfig(kl_fade_steps=FADE_STEPS), 1e-3
STARTS = {
    "slow": (SAFE, 0.1 * RATE),
    "default": (SAFE, RATE),
    "critic": (StartConfig(kl_coef=0.0), RATE),
    "kl": (StartConfig(critic_rollouts=0, kl_fade_steps=FADE_STEPS), RATE),
    "naive": (StartConfig(critic_rollouts=0, kl_coef=0.0), RATE),
}
"""Settings and learning rate by the name of the run's folder."""


def continued(
    folder: Path, steps: int, algorithm: str, start: StartConfig, *, learning_rate: float | None = None, **options: Any
) -> Path:
    """Train until a number of steps, or resume; returns the policy."""
    config = load_settings(TrainConfig, Path(__file__).with_name(SETTINGS[algorithm]))
    rate = config.ppo.learning_rate if learning_rate is None else learning_rate
    config = replace(config, ppo=replace(config.ppo, start=start, learning_rate=rate))
    plan = plan_training(motions()[0], config, engine="mujoco", algorithm=algorithm)
    options = {"resume": True} if (folder / "run.json").is_file() else options
    return train(plan, folder, until=StopCondition(steps=steps), tensorboard=False, **options).policy


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": machine.describe(), "steps": PPO_STEPS, "error_mm": {}}
    training, held_out = motions()
    student = options.out / "world"
    policies = {"start": continued(student, STUDENT_STEPS, "world-model", StartConfig())}
    print("run        error [mm]  on unseen motions [mm]")
    for name, (start, rate) in STARTS.items():
        folder = options.out / name
        policies[name] = continued(folder, PPO_STEPS, "ppo", start, learning_rate=rate, warm_start=student)
    for name, policy in policies.items():
        errors = error_mm(policy, training), error_mm(policy, held_out)
        results["error_mm"][name] = dict(zip(("training", "held_out"), errors, strict=True))
        print(f"{name:10} {errors[0]:10.1f} {errors[1]:23.1f}", flush=True)
    machine.save(options.json, results)


if __name__ == "__main__":
    main()
