"""PPO and the world model on the same clips with the same time: how far they come.

    python benchmarks/side_by_side.py                            the built-in walk, 8 minutes each, small networks
    python benchmarks/side_by_side.py --dataset out/clips --include '*walk*' --seconds 1800 --usual
    python benchmarks/side_by_side.py --judges mujoco warp       judged by both engines

Each algorithm trains for the time, compilation and fits of muscles included; then the policy tracks every clip from
frame 0 without noise (the protocol of mm-eval), and from ten frames of each clip until it is lost. "untrained" is the
policy that both begin with: excitations at rest.
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
from musclemap.pipelines.device import keep_compilations, private_folder
from musclemap.pipelines.train.plan import ALGORITHMS, plan_training
from musclemap.pipelines.train.simulation_room import room_for
from musclemap.pipelines.train.training import Until, train
from musclemap.settings import load_settings

SETTINGS = {"ppo": "walk_ppo.toml", "world-model": "walk_world.toml"}
STARTS = 10
"""Frames of each clip that it is also tracked from, in the first half of it."""

FIGURES = {
    "seconds_up": (f"until lost, mean of {STARTS} starts [s]", "{:.2f}"),
    "coverage": ("clip before a failure", "{:.1%}"),
    "normalised_return": ("normalised return", "{:.3f}"),
    "relative_landmark_error_to_end": ("landmarks [m]", "{:.3f}"),
    "root_position_error_to_end": ("root [m]", "{:.3f}"),
}
WORLDS = 16
"""Clips that are tracked at a time."""

HEADINGS = ("algorithm", "seed", "control steps", "time [s]", "judge", *(message for message, _ in FIGURES.values()))


def judged(policy_file: Path, clips: list[tuple[str, Clip]], kind: str) -> dict[str, float]:
    """Means over clips, by the physics of one engine."""
    policy = load_policy(policy_file)
    body = body_of(policy)
    later = [
        (f"{name} from {low}", begun_at(clip, low))
        for name, clip in clips
        for low in np.linspace(0, clip.nframe // 2, STARTS, dtype=int)
    ]
    library = make_library([*clips, *later], body, resting=policy.task.resting_excitation)
    room = room_for(body, library.reference, policy.physics, kind=kind)
    engine = make_engine(body, min(len(library.names), WORLDS), kind=kind, **room)
    result = {one.score.name: one.score for one in evaluate(engine, policy.task, library, compile_policy(policy))}
    up = [result[name].coverage * clip.duration for name, clip in later]
    return {**totals([result[name] for name, _ in clips])["mean"], "seconds_up": float(np.mean(up))}


def begun_at(clip: Clip, frame: int) -> Clip:
    """The rest of a clip from a frame on."""
    arrays = {f.name: getattr(clip, f.name) for f in fields(clip)}
    return replace(
        clip, **{k: v[frame:] for k, v in arrays.items() if isinstance(v, np.ndarray) and len(v) == clip.nframe}
    )


def learn(
    algorithm: str, seed: int, clips: list[tuple[str, Clip]], until: Until, folder: Path, *, usual: bool
) -> dict[str, Any]:
    """Train one policy; `usual` takes the settings that mm-train has without any."""
    config = TrainConfig() if usual else load_settings(TrainConfig, Path(__file__).with_name(SETTINGS[algorithm]))
    plan = plan_training(clips, replace(config, seed=seed), algorithm=algorithm)
    done = train(plan, folder, until=until, tensorboard=False, on_message=print, fits=private_folder("fitted"))
    return {
        "algorithm": algorithm,
        "seed": seed,
        "steps": done.steps,
        "seconds": round(done.seconds),
        "policy": done.policy,
    }


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, help="folder of a conversion; else the built-in walk is converted")
    parser.add_argument("--include", nargs="+", help="globs of its clips")
    parser.add_argument("--seconds", type=float, default=480.0, help="of each algorithm")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--usual", action="store_true", help="mm-train's own settings instead of small networks")
    parser.add_argument("--judges", nargs="+", choices=("mujoco", "warp"), default=["mujoco"])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    keep_compilations()
    kept: dict[str, Any] = {"machine": machine.describe(), "runs": []}
    print(machine.message(kept["machine"]), flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = clips_of(given, folder)
        kept["clips"] = {clip_name: clip.nframe for clip_name, clip in clips}
        for seed in given.seeds:
            for algorithm in ("untrained", *ALGORITHMS):
                until = Until(steps=1) if algorithm == "untrained" else Until(seconds=given.seconds)
                known = "ppo" if algorithm == "untrained" else algorithm
                run = learn(known, seed, clips, until, folder / f"{algorithm}{seed}", usual=given.usual)
                policy = run.pop("policy")
                for judge in given.judges:
                    result = judged(policy, clips, judge)
                    kept["runs"].append({**run, "algorithm": algorithm, "judge": judge, **result})
                    rows.append([
                        algorithm, str(seed), f"{run['steps']:,}", f"{run['seconds']}", judge,
                        *(form.format(result[key]) if key in result else "-" for key, (_, form) in FIGURES.items()),
                    ])  # fmt: skip
                    print("  ".join(rows[-1]), flush=True)
    print("\n" + table(HEADINGS, rows))
    machine.keep(given.json, kept)


if __name__ == "__main__":
    main()
