"""`mm-train`: train a policy that makes a muscle-driven body track clips."""

import shlex
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import typer

from musclemap.cli.output.terminal_text import echo, echo_json, echo_lines
from musclemap.entry_points import INTERRUPTED
from musclemap.errors import SettingsError

from .options import train as opt
from .options.checks import check_assignments, check_policy, check_run, check_selection
from .options.shared import ClipFilters, EngineName, Json, Quiet
from .options.variants import AddedMass, Alterations, JointRange, Strength, alterations
from .program import Program

if TYPE_CHECKING:
    from musclemap.imitation.runs.run_facts import RecordedRun
    from musclemap.imitation.runs.train_config import TrainConfig
    from musclemap.pipelines.train.plan import TrainingPlan
    from musclemap.pipelines.train.training import TrainingResult

app = Program("mm-train", kept="nothing was trained since the last checkpoint, which --resume continues")

_HANDS = {None: None, True: "free", False: "locked"}
"""Values of the setting `physics.hands` by option."""

NAMED = 10
"""Number of clips left out that are listed by name."""


_EXAMPLES = (
    "mm-train --dataset out/ --run run/                     # until Ctrl-C",
    "mm-train --dataset out/ --run run/ --resume --max-seconds 3600",
    "mm-train --dataset out/ --algo dagger --include '*walk*'",
    "mm-train --dataset out/ --num-envs 2048 --set ppo.epochs=2",
)


@app.command(examples=_EXAMPLES)
def train(
    dataset: opt.Dataset,
    run: opt.Run = None,
    include: opt.Include = None,
    exclude: opt.Exclude = None,
    group: opt.Group = None,
    split: opt.Split = None,
    body: opt.BodyFilter = None,
    limit: opt.Limit = None,
    infeasible: opt.Infeasible = False,
    algo: opt.Algo = None,
    num_envs: opt.NumEnvs = None,
    seed: opt.Seed = None,
    engine: opt.Engine = EngineName.auto,
    hands: opt.Hands = None,
    strength: Strength = None,
    joint_range: JointRange = None,
    added_mass: AddedMass = None,
    config: opt.Config = None,
    set_: opt.Assignments = None,
    max_seconds: opt.MaxSeconds = None,
    max_steps: opt.MaxSteps = None,
    resume: opt.Resume = False,
    start: opt.Start = None,
    episodes: opt.Episodes = None,
    save_seconds: opt.SaveSeconds = 300.0,
    tensorboard: opt.TensorBoard = True,
    track: opt.Track = None,
    dry_run: opt.DryRun = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a policy that makes a muscle-driven body track clips.

    Runs until Ctrl-C unless --max-seconds or --max-steps is given. Everything is
    saved however it ends, and --resume continues the run with the same clips and
    settings.

    Exits with 0 if a limit was reached, 130 if interrupted (everything is saved),
    2 for wrong usage or if there is nothing to train on.
    """
    filters = ClipFilters(
        include=include or (), exclude=exclude or (), group=group, split=split, body=body and body.value, limit=limit,
        infeasible=infeasible,
    )  # fmt: skip
    altered = alterations(strength, joint_range, added_mass)
    altered.check_for(dataset, check_selection(dataset, filters))
    folder = run or dataset.resolve().parent / f"{dataset.resolve().name}-run"
    check_run(folder, resume=resume)
    if start is not None:
        check_policy(start)
    if episodes is not None and not resume and algo is not opt.Algorithm.world_model:
        raise SettingsError(f"--episodes {episodes} fills the replay buffer of --algo world-model; leave it out")
    check_assignments(set_ or ())
    recorded = _recorded_run(folder) if resume else None
    settings = _settings(config, set_ or [], recorded, num_envs=num_envs, seed=seed, hands=hands)
    from musclemap.cli.output.progress import ProgressDisplay

    with ProgressDisplay(hidden=quiet, text="loading clips and body"):
        plan, left_out = _plan(dataset, filters, settings, engine, algo, recorded, episodes, altered, quiet=quiet)
    limits = _Limits(max_seconds=max_seconds, max_steps=max_steps)
    if not quiet:
        _print_plan(plan, folder, limits, err=json_)
    if not dry_run:
        options = _Options(
            resume=resume, warm_start=start, save_seconds=save_seconds, tensorboard=tensorboard, track=track
        )
        result = _train(plan, folder, limits, options, quiet=quiet)
        _print_result(result, left_out, folder, dataset, json_=json_, quiet=quiet)
        raise typer.Exit(INTERRUPTED if result.stop_reason == "interrupted" else 0)


class _Limits(TypedDict):
    """Limits of a run; None for none."""

    max_seconds: float | None
    max_steps: int | None


class _Options(TypedDict):
    """How to run; keywords of `musclemap.pipelines.train.training.train`."""

    resume: bool
    warm_start: Path | None
    save_seconds: float
    tensorboard: bool
    track: str | None


def _recorded_run(folder: Path) -> "RecordedRun":
    """What the run to resume was started with."""
    from musclemap.pipelines.device import disable_gpu_preallocation

    disable_gpu_preallocation()  # before the settings import JAX
    from musclemap.imitation.runs.run_facts import read_recorded_run

    return read_recorded_run(folder)


def _plan(
    dataset: Path,
    filters: ClipFilters,
    settings: "TrainConfig",
    engine: EngineName,
    algorithm: opt.Algorithm | None,
    recorded: "RecordedRun | None",
    episodes: Path | None,
    altered: Alterations,
    *,
    quiet: bool,
) -> tuple["TrainingPlan", dict[str, str]]:
    """Read the clips; returns the plan, and the clips left out with their reasons.

    Clips, engine, algorithm and episodes of a resumed run are the recorded ones, unless options name others; `train`
    refuses those that differ.
    """
    from musclemap.pipelines.device import enable_compilation_cache
    from musclemap.pipelines.track.teacher_tracks import with_teacher_tracks
    from musclemap.pipelines.train.dataset import select_clips
    from musclemap.pipelines.train.physics_setup import report_mujoco_warnings
    from musclemap.pipelines.train.plan import plan_training

    enable_compilation_cache()
    say = _ignore if quiet else _warn
    report_mujoco_warnings(say)
    if recorded is not None and not any(filters.values()):
        selection = select_clips(dataset, names=recorded.clips, infeasible=True)
    else:
        filters["split"] = filters["split"] or _training_split(dataset)
        selection = select_clips(dataset, **filters)
    engine_name, algorithm_name = engine.value, algorithm.value if algorithm is not None else "ppo"
    if recorded is not None:
        engine_name = recorded.engine if engine is EngineName.auto else engine_name
        algorithm_name = recorded.algorithm if algorithm is None else algorithm_name
        episodes = episodes or recorded.episodes
    if selection.clips and altered:
        variant = settings.physics.variant.altered_by(altered.variant(selection.clips[0][1].model))
        settings = replace(settings, physics=replace(settings.physics, variant=variant))
    plan = plan_training(selection.clips, settings, engine=engine_name, algorithm=algorithm_name, episodes=episodes)
    tracks = None if recorded is None else recorded.tracks
    plan = with_teacher_tracks(plan, dataset, recorded=tracks, on_message=say)
    left_out = {**selection.left_out, **plan.library.left_out}
    for name, reason in list(left_out.items())[:NAMED]:
        say(f"left out {name}: {reason}")
    if len(left_out) > NAMED:
        say(f"and {len(left_out) - NAMED} more")
    return plan, left_out


def _print_plan(plan: "TrainingPlan", folder: Path, limits: _Limits, *, err: bool) -> None:
    from musclemap.cli.output.train_view import plan_lines

    echo_lines(plan_lines(plan, folder, **limits), err=err)


def _train(plan: "TrainingPlan", folder: Path, limits: _Limits, options: _Options, *, quiet: bool) -> "TrainingResult":
    from musclemap.cli.output.progress import ProgressDisplay

    say = _ignore if quiet else _warn
    with _stop_signals(say) as stop_requested, ProgressDisplay(hidden=quiet) as display:
        from musclemap.cli.output.train_view import training_listener
        from musclemap.pipelines.device import private_folder
        from musclemap.pipelines.train.training import StopCondition, train

        return train(
            plan,
            folder,
            until=StopCondition(
                seconds=limits["max_seconds"], steps=limits["max_steps"], stop_requested=stop_requested
            ),
            progress=training_listener(display, **limits),
            on_message=say,
            on_warning=_warn,
            cache=private_folder("fitted"),
            **options,
        )


def _print_result(
    result: "TrainingResult", left_out: Mapping[str, str], folder: Path, dataset: Path, *, json_: bool, quiet: bool
) -> None:
    if json_:
        facts = {"policy": str(result.policy), "policy_steps": result.policy_steps, "steps": result.steps}
        facts |= {"seconds": result.seconds, "why": result.stop_reason}
        echo_json({**facts, "left_out": left_out, "figures": dict(result.figures)})
    elif not quiet:
        of_steps = f" after {result.policy_steps:,} steps" if result.policy_steps != result.steps else ""
        echo(
            f"{result.steps:,} control steps, {result.seconds:,.0f} s in total; the policy{of_steps} is {result.policy}"
        )
        evaluation = ["mm-eval", str(folder), "--dataset", str(dataset)]
        resumption = ["mm-train", "--dataset", str(dataset), "--run", str(folder), "--resume"]
        echo(f"  evaluate it:  {shlex.join(evaluation)}")
        echo(f"  resume:       {shlex.join(resumption)}")


def _warn(text: str) -> None:
    echo(f"mm-train: {text}", err=True)


def _ignore(text: str) -> None:
    """Print nothing."""


def _training_split(dataset: Path) -> str | None:
    """Return "train" for a bundle; None if the data set has no splits."""
    from musclemap.datasets.downloads.bundle_manifest import MANIFEST as BUNDLE_MANIFEST

    return "train" if (dataset / BUNDLE_MANIFEST).is_file() else None


def _settings(
    path: Path | None,
    assignments: list[str],
    recorded: "RecordedRun | None",
    *,
    num_envs: int | None,
    seed: int | None,
    hands: bool | None,
) -> "TrainConfig":
    """Defaults, or those of the run to resume, overridden by the file, then by --set, then by the other options."""
    from musclemap.pipelines.device import disable_gpu_preallocation

    disable_gpu_preallocation()  # before the settings import JAX
    from musclemap.imitation.runs.train_config import TrainConfig
    from musclemap.settings import load_settings, override

    settings = load_settings(TrainConfig, path, assignments, base=recorded.config if recorded is not None else None)
    own = {"num_envs": num_envs, "seed": seed, "physics.hands": _HANDS[hands]}
    return override(settings, [f"{name}={value}" for name, value in own.items() if value is not None])


@contextmanager
def _stop_signals(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C and SIGTERM request a stop; a second Ctrl-C interrupts at once.

    Yields a function that returns whether a stop was requested.
    """
    requested = threading.Event()

    def stop(number: int, frame: object) -> None:
        if requested.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        requested.set()
        say("saving after this iteration; Ctrl-C again stops at once and loses all steps since the last checkpoint")

    if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
        yield requested.is_set
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requested.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    app()
