"""PPO, the world model and DAgger compared on the same clips after the same training time.

    python benchmarks/side_by_side.py                            the built-in walk, 8 minutes each, small networks
    python benchmarks/side_by_side.py --dataset out/clips --include '*walk*' --seconds 1800 --usual
    python benchmarks/side_by_side.py --judges mujoco warp       evaluated in both engines

Each algorithm trains for the given time, including compilation and fits of muscles. Then the policy tracks every clip
from frame 0 without noise (the protocol of mm-eval), and from ten frames of each clip until it fails. "untrained" is
the initial policy of all algorithms: excitations at rest.
"""

import argparse
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import machine
import numpy as np
from tables import table
from world_model import clips_of

from musclemap.datasets.clip import Clip
from musclemap.imitation.eval.evaluation import evaluate
from musclemap.imitation.eval.scores import totals
from musclemap.imitation.physics.engines import make_engine
from musclemap.imitation.policy.policy import compile_policy
from musclemap.imitation.policy.policy_file import body_of, load_policy
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.imitation.task.reference import make_library
from musclemap.pipelines.device import enable_compilation_cache, private_folder
from musclemap.pipelines.train.physics_setup import buffer_arguments
from musclemap.pipelines.train.plan import ALGORITHMS, plan_training
from musclemap.pipelines.train.training import StopCondition, train
from musclemap.settings import load_settings

SETTINGS = {"ppo": "walk_ppo.toml", "world-model": "walk_world.toml", "dagger": "walk_dagger.toml"}
STARTS = 10
"""Number of starting frames in the first half of each clip, in addition to frame 0."""

METRICS = {
    "seconds_up": (f"until failure, mean of {STARTS} starts [s]", "{:.2f}"),
    "coverage": ("clip before a failure", "{:.1%}"),
    "normalised_return": ("normalised return", "{:.3f}"),
    "relative_landmark_error_to_end": ("landmarks [m]", "{:.3f}"),
    "root_position_error_to_end": ("root [m]", "{:.3f}"),
}
WORLDS = 16
"""Number of clips that are tracked in parallel."""

HEADINGS = ("algorithm", "seed", "control steps", "time [s]", "judge", *(message for message, _ in METRICS.values()))


def evaluate_policy(policy_file: Path, clips: list[tuple[str, Clip]], kind: str) -> dict[str, float]:
    """Evaluate a policy in one physics engine; returns means over clips."""
    policy = load_policy(policy_file)
    body = body_of(policy)
    clips_from_starts = [
        (f"{name} from {low}", clip_from(clip, low))
        for name, clip in clips
        for low in np.linspace(0, clip.nframe // 2, STARTS, dtype=int)
    ]
    library = make_library([*clips, *clips_from_starts], body, resting=policy.task.resting_excitation)
    buffers = buffer_arguments(body, library.reference, policy.physics, kind=kind)
    engine = make_engine(body, min(len(library.names), WORLDS), kind=kind, **buffers)
    result = {item.score.name: item.score for item in evaluate(engine, policy.task, library, compile_policy(policy))}
    seconds_up = [result[name].coverage * clip.duration for name, clip in clips_from_starts]
    return {**totals([result[name] for name, _ in clips])["mean"], "seconds_up": float(np.mean(seconds_up))}


def clip_from(clip: Clip, frame: int) -> Clip:
    """The clip from a frame to its end."""
    arrays = {f.name: getattr(clip, f.name) for f in fields(clip)}
    return replace(
        clip, **{k: v[frame:] for k, v in arrays.items() if isinstance(v, np.ndarray) and len(v) == clip.nframe}
    )


def learn(
    algorithm: str, seed: int, clips: list[tuple[str, Clip]], until: StopCondition, folder: Path, *, usual: bool
) -> dict[str, Any]:
    """Train one policy; `usual` uses the default settings of mm-train."""
    config = TrainConfig() if usual else load_settings(TrainConfig, Path(__file__).with_name(SETTINGS[algorithm]))
    plan = plan_training(clips, replace(config, seed=seed), algorithm=algorithm)
    trained = train(
        plan, folder, until=until, tensorboard=False, on_message=print, cache=private_folder("fitted")
    )
    return {
        "algorithm": algorithm,
        "seed": seed,
        "steps": trained.steps,
        "seconds": round(trained.seconds),
        "policy": trained.policy,
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, help="folder of clips (default: the built-in walk)")
    parser.add_argument("--include", nargs="+", help="globs of the clips")
    parser.add_argument("--seconds", type=float, default=480.0, help="training time of each algorithm")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--usual", action="store_true", help="default settings of mm-train instead of small networks")
    parser.add_argument("--judges", nargs="+", choices=("mujoco", "warp"), default=["mujoco"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    enable_compilation_cache()
    results: dict[str, Any] = {"machine": machine.describe(), "runs": []}
    print(machine.message(results["machine"]), flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = clips_of(options, folder)
        results["clips"] = {clip_name: clip.nframe for clip_name, clip in clips}
        for seed in options.seeds:
            for algorithm in ("untrained", *ALGORITHMS):
                until = StopCondition(steps=1) if algorithm == "untrained" else StopCondition(seconds=options.seconds)
                trained_algorithm = "ppo" if algorithm == "untrained" else algorithm
                run = learn(trained_algorithm, seed, clips, until, folder / f"{algorithm}{seed}", usual=options.usual)
                policy = run.pop("policy")
                for judge in options.judges:
                    result = evaluate_policy(policy, clips, judge)
                    results["runs"].append({**run, "algorithm": algorithm, "judge": judge, **result})
                    rows.append([
                        algorithm, str(seed), f"{run['steps']:,}", f"{run['seconds']}", judge,
                        *(form.format(result[key]) if key in result else "-" for key, (_, form) in METRICS.items()),
                    ])  # fmt: skip
                    print("  ".join(rows[-1]), flush=True)
    print("\n" + table(HEADINGS, rows))
    machine.save(options.json, results)


if __name__ == "__main__":
    main()
