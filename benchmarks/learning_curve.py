"""Time until the body falls against minutes of training: PPO, the world model and DAgger on the same clip.

    python benchmarks/learning_curve.py CLIP --minutes 30 --folder out/curve --plot docs/images/learning_curve.png

One algorithm trains after another: PPO and the world model with the settings of side_by_side.py, DAgger in the two
stages of `make walk-policy`. The policy is kept every two minutes. Minutes are those of the processor, all processes
taken together, divided by the number of cores: other programs do not count, compilation and the teacher's linear model
do. Every policy is judged from the same starts at frame 0, with errors of 0.05 m/s and 0.1 rad/s in the velocities. An
algorithm whose policies are in the folder is not trained again, and a policy beside which its result lies is not judged
again, so that algorithms may be run one by one and drawn together.
"""

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

import machine
import matplotlib
import numpy as np
import psutil
from disturbed_starts import clip_library, run
from tables import table

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from musclemap.datasets.clip import Clip, read_clip
from musclemap.imitation.policy.file_limits import POLICY
from musclemap.imitation.policy.policy_file import body_of, load_policy
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.pipelines.device import enable_compilation_cache, private_folder
from musclemap.pipelines.train.plan import ALGORITHMS, plan_training
from musclemap.pipelines.train.training import StopCondition, TrainingProgress, train
from musclemap.settings import load_settings

SAVE_SECONDS = 120.0
"""Time between two policies that are kept [s]."""

STAGES = {
    "ppo": (("walk_ppo.toml", 1.0),),
    "world-model": (("walk_world.toml", 1.0),),
    "dagger": (("walk_dagger.toml", 0.64), ("walk_dagger_2.toml", 0.36)),
}
"""Settings of each stage, and its share of the time; a stage starts at the policy of the one before."""

STARTS, SEED = 10, 8
"""Number of starts, and their seed."""

STYLES = {"dagger": ("DAgger", "tab:blue", "o"), "world-model": ("world model", "tab:orange", "s"),
          "ppo": ("PPO", "tab:green", "^")}  # fmt: skip
"""Name, colour and marker of each algorithm."""


def policies(algorithm: str, clip: tuple[str, Clip], minutes: float, folder: Path) -> dict[float, Path]:
    """Train, and return the policies by the processor time at which they were saved [min]."""
    kept = folder / algorithm
    if not any(kept.glob("*.safetensors")):
        kept.mkdir(parents=True, exist_ok=True)
        before, began = None, processor_seconds()
        for number, (settings, share) in enumerate(STAGES[algorithm], 1):
            run = folder / f"{algorithm}-run-{number}"
            until = StopCondition(seconds=60.0 * minutes * share)
            config = load_settings(TrainConfig, Path(__file__).with_name(settings))
            trained = train(
                plan_training([clip], config, algorithm=algorithm),
                run,
                until=until,
                tensorboard=False,
                progress=_Keeper(run / POLICY, kept, began),
                on_message=print,
                save_seconds=SAVE_SECONDS,
                cache=private_folder("fitted"),
                warm_start=before,
            )
            shutil.copyfile(trained.policy, kept / f"{processor_seconds() - began:05.0f}.safetensors")
            before = run
    return {float(path.stem) / 60.0: path for path in sorted(kept.glob("*.safetensors"))}


def processor_seconds() -> float:
    """Processor time of this process and its children, ended ones included, divided by the number of cores [s]."""
    process = psutil.Process()
    times = [process.cpu_times(), *(child.cpu_times() for child in process.children(recursive=True))]
    total = sum(time.user + time.system for time in times) + times[0].children_user + times[0].children_system
    return total / len(os.sched_getaffinity(0))


class _Keeper:
    """Copies the policy of a run whenever it has changed, named after the processor time since training began [s]."""

    def __init__(self, source: Path, kept: Path, began: float) -> None:
        self._source, self._kept, self._began, self._saved = source, kept, began, 0.0

    def __call__(self, moment: TrainingProgress) -> None:
        if self._source.exists() and self._source.stat().st_mtime != self._saved:
            self._saved = self._source.stat().st_mtime
            shutil.copyfile(self._source, self._kept / f"{processor_seconds() - self._began:05.0f}.safetensors")


def judged(policy_file: Path, clip: Path) -> dict[str, Any]:
    """What `judge` says, from the file beside the policy if it is there."""
    kept = policy_file.with_suffix(".json")
    if not kept.exists():
        kept.write_text(json.dumps(judge(policy_file, clip)))
    return json.loads(kept.read_text())


def judge(policy_file: Path, clip: Path) -> dict[str, Any]:
    """Seconds until each start fails, or to the clip's end, and the return."""
    policy = load_policy(policy_file)
    body = body_of(policy)
    library = clip_library(policy, body, clip)
    lost, normalised = run(policy, body, library, starts=STARTS, seed=SEED)
    up = np.where(lost < 0, int(library.reference.length[0]) - 1, lost) / read_clip(clip).fps
    return {
        "steps": int(policy.facts["steps"]),
        "seconds_up": [round(float(s), 2) for s in up],
        "mean_seconds_up": round(float(up.mean()), 3),
        "reached_end": int((lost < 0).sum()),
        "return": round(float(normalised.mean()), 4),
    }


def plot(curves: dict[str, list[dict[str, Any]]], duration: float, path: Path) -> None:
    """Draw the mean of the starts, and the range from the shortest to the longest."""
    cores = len(os.sched_getaffinity(0))
    figure, axes = plt.subplots(figsize=(6.4, 3.6), constrained_layout=True)
    for algorithm, points in curves.items():
        name, colour, marker = STYLES[algorithm]
        minutes, up = np.array([p["minutes"] for p in points]), np.array([p["seconds_up"] for p in points])
        axes.plot(minutes, up.mean(1), color=colour, marker=marker, markersize=4, label=name)
        axes.fill_between(minutes, up.min(1), up.max(1), color=colour, alpha=0.15, linewidth=0)
    axes.axhline(duration, color="0.5", linestyle="--", linewidth=1)
    axes.text(0.0, duration, " end of the clip", va="bottom", color="0.4", fontsize=8)
    axes.set(xlabel=f"training on {cores} cores [min]", ylabel="time until the body falls [s]", xlim=(0, None))
    axes.set_ylim(0, 1.12 * duration)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center right")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train, judge and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0, help="training time of each algorithm")
    parser.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=list(STYLES))
    parser.add_argument("--folder", type=Path, default=Path("out/learning-curve"), help="for runs and policies")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    enable_compilation_cache()
    results: dict[str, Any] = {"machine": machine.describe(), "curves": {}}
    print(machine.message(results["machine"]), flush=True)
    clip, rows = read_clip(options.clip), []
    for algorithm in options.algorithms:
        kept = policies(algorithm, (options.clip.name, clip), options.minutes, options.folder)
        points = results["curves"][algorithm] = []
        for minutes, path in kept.items():
            point = {"minutes": round(minutes, 2), **judged(path, options.clip)}
            points.append(point)
            rows.append([
                algorithm, f"{minutes:.1f}", f"{point['steps']:,}", f"{point['mean_seconds_up']:.2f}",
                f"{point['reached_end']}", f"{point['return']:.3f}",
            ])  # fmt: skip
            print("  ".join(rows[-1]), flush=True)
    headings = ("algorithm", "minutes", "control steps", "seconds up", f"of {STARTS} at the end", "return")
    print("\n" + table(headings, rows))
    machine.save(options.json, results)
    if options.plot is not None:
        plot(results["curves"], clip.duration, options.plot)


if __name__ == "__main__":
    main()
