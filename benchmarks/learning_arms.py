"""Check that MyoBimanualArm learns to move its 126 muscles, fingers included, by imitating a controller (DAgger).

    python benchmarks/learning_arms.py                        one seed, about 6 minutes on two idle cores
    python benchmarks/learning_arms.py --seconds 600

The motion is a part of the built-in reach with both hands opening and closing, on the moving chest. The policy tracks
it from the first frame without noise: untrained, after each round, and trained; so does the teacher, the tracking
controller. Figures are the normalised published return, and the mean errors of landmarks, relative to the thorax, and
of fingertips, in space and in the hand. The exit status is 1 if the policy does not survive to the end, or its return
is not at least `SHARE` of the way from the untrained policy's to the teacher's.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import machine
import numpy as np
from tables import table

from musclemap.datasets.clip import Clip
from musclemap.datasets.synthetic.hands import close_hands
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.imitation.eval.evaluation import PolicyFunction, evaluate
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.policy.policy import compile_policy
from musclemap.imitation.policy.policy_file import body_of, load_policy
from musclemap.imitation.regulator.linearisation import nominal_path
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.imitation.task.reference import make_library
from musclemap.pipelines.device import enable_compilation_cache
from musclemap.pipelines.train.plan import TrainingPlan, plan_training
from musclemap.pipelines.train.training import StopCondition, train
from musclemap.retarget.config import BodyConfig, RetargetConfig, ValidationConfig
from musclemap.retarget.retargeter import Retargeter
from musclemap.settings import load_settings

SETTINGS = Path(__file__).with_name("bimanual_arm_dagger.toml")
FRAMES = slice(50, 171)
"""The right hand goes forward and closes, 1.2 s; the first and the last frame are close to rest."""

SHARE = 0.8
COLUMNS = {
    "normalised_return": ("return", 1.0, "{:.3f}"),
    "relative_landmark_error": ("landmarks [mm]", 1e3, "{:.1f}"),
    "fingertip_error": ("fingertips [mm]", 1e3, "{:.1f}"),
    "fingertip_in_hand_error": ("in the hand [mm]", 1e3, "{:.1f}"),
    "joint_angle_error_deg": ("joints [deg]", 1.0, "{:.1f}"),
}
"""Metric: heading, factor, format."""


def motion() -> Clip:
    """The clip, with muscle activations."""
    source = close_hands(synthesise("reach", seconds=2.5), period=1.6)
    config = RetargetConfig(body=BodyConfig(name="bimanual-arm"), validation=ValidationConfig(muscles=True))
    clip = Retargeter(config).retarget([source])[0].clip
    assert clip is not None
    return clip.frames(FRAMES)


def track(plan: TrainingPlan, act: PolicyFunction) -> dict[str, float]:
    """Metrics of the clip tracked once."""
    library = make_library(plan.clips, plan.body, resting=plan.config.task.resting_excitation)
    (result,) = evaluate(MujocoEngine(plan.body, 1), plan.config.task, library, act)
    return {"coverage": result.score.coverage, **result.score.metrics}


def track_by_policy(plan: TrainingPlan, path: Path) -> dict[str, float]:
    """Metrics of a policy's file."""
    policy = load_policy(path)
    assert body_of(policy).muscle_names == plan.body.muscle_names
    return track(plan, compile_policy(policy))


def track_by_teacher(plan: TrainingPlan) -> dict[str, float]:
    """Metrics of the tracking controller, whose excitations are played back."""
    excitation = iter(nominal_path(plan.body, plan.clips[0][1], plan.config.dagger.tracking).excitation)
    return track(plan, lambda obs: next(excitation)[None])


def rounds(folder: Path) -> list[tuple[str, ...]]:
    """Figures of the policy alone at the end of each round, from starts with noise."""
    rows: dict[int, dict[str, float]] = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        figures = json.loads(line)
        if figures.get("student_return") is not None and np.isfinite(figures["student_return"]):
            rows.setdefault(int(figures["round"]), figures)  # the first line of a round has the last one's result
    return [
        (f"{number - 1}", f"{row['seconds']:.0f}", f"{row['student_survived']:.0%}", f"{row['student_completed']:.0%}",
         f"{row['student_return']:.3f}")
        for number, row in sorted(rows.items())
    ]  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0, help="time of training, including compilation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    enable_compilation_cache()
    facts = machine.describe()
    print(machine.message(facts))
    clips = [("reach", motion())]
    config = replace(load_settings(TrainConfig, SETTINGS), seed=options.seed)
    plan = plan_training(clips, config, engine="mujoco", algorithm="dagger")
    print(f"{plan.body.model.nu} muscles, {len(plan.body.joint_ids)} joints, {clips[0][1].nframe} frames", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder, started = Path(name, "run"), time.perf_counter()
        trained = train(plan, folder, until=StopCondition(seconds=options.seconds), tensorboard=False)
        seconds, curve = time.perf_counter() - started, rounds(folder)
        results: dict[str, Any] = {"trained": track_by_policy(plan, trained.policy)}
    resting = np.full((1, plan.body.model.nu), plan.config.task.resting_excitation, np.float32)
    results = {"untrained": track(plan, lambda obs: resting), **results, "teacher": track_by_teacher(plan)}
    print(table(("round", "seconds", "frames survived", "starts that reach the end", "return"), curve))
    rows = [
        (f"{who}", f"{figures['coverage']:.0%}", *(form.format(scale * figures.get(key, np.nan))
                                                   for key, (_, scale, form) in COLUMNS.items()))
        for who, figures in results.items()
    ]  # fmt: skip
    print(f"after {seconds:.0f} s, {trained.steps:,} labelled steps:")
    print(table(("", "covered", *(heading for heading, _, _ in COLUMNS.values())), rows))
    low, own, high = (results[who]["normalised_return"] for who in ("untrained", "trained", "teacher"))
    machine.save(options.json, {"machine": facts, "results": results, "rounds": curve, "seconds": seconds})
    missed = results["trained"]["coverage"] < 1.0 or own < low + SHARE * (high - low)
    sys.exit("the target is missed" if missed else 0)


if __name__ == "__main__":
    main()
