"""`mm-train`: clips in, a policy that tracks them with its muscles out."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musclemap.cli.output.terminal_text import echo, echo_json

from .options import Physics
from .program import Program

if TYPE_CHECKING:
    from musclemap.imitation.runs.train_config import TrainConfig

app = Program("mm-train")

INTERRUPTED = 130
"""Exit status after Ctrl-C or SIGTERM, once all is saved."""

NAMED = 10
"""Clips left out that are named one by one."""

_CLIPS, _HOW = "Clips", "How it is trained"


class Algorithm(StrEnum):
    """Ways to learn."""

    ppo = "ppo"
    world_model = "world-model"


class Track(StrEnum):
    """Services that figures can be sent to."""

    wandb = "wandb"
    trackio = "trackio"


@app.command()
def train(
    dataset: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of a conversion, or a bundle.", show_default=False)
    ],
    run: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the run.", show_default="the data set's name + -run")
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Only these clips; may be repeated.", rich_help_panel=_CLIPS),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Not these.", rich_help_panel=_CLIPS)
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only members of a group of motions.", rich_help_panel=_CLIPS)
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Part of a bundle; train where it has parts.", rich_help_panel=_CLIPS)
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first N clips.", rich_help_panel=_CLIPS)] = None,
    infeasible: Annotated[
        bool, typer.Option("--infeasible", help="Also clips that no body can follow.", rich_help_panel=_CLIPS)
    ] = False,
    algo: Annotated[Algorithm, typer.Option(help="How it is learned.", rich_help_panel=_HOW)] = Algorithm.ppo,
    num_envs: Annotated[
        int | None, typer.Option(min=1, help="Worlds at a time; fewer need less memory.", rich_help_panel=_HOW)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of networks, episodes and noise.", rich_help_panel=_HOW)] = None,
    engine: Annotated[
        Physics, typer.Option(help="Physics; auto is Warp where there is a GPU.", rich_help_panel=_HOW)
    ] = Physics.auto,
    hands: Annotated[
        bool, typer.Option("--hands", help="Move the fingers too, with all muscles.", rich_help_panel=_HOW)
    ] = False,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings (TOML).", rich_help_panel=_HOW)] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as ppo.epochs=2.", rich_help_panel=_HOW),
    ] = None,
    max_seconds: Annotated[float | None, typer.Option(min=0.0, help="Time of this sitting, in seconds.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Control steps in all.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in the folder.")] = False,
    start: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Begin with what another run has learned, to learn more clips."),
    ] = None,
    save_seconds: Annotated[float, typer.Option(min=1.0, help="Time between checkpoints, in seconds.")] = 300.0,
    tensorboard: Annotated[bool, typer.Option(help="Write files for TensorBoard too.")] = True,
    track: Annotated[Track | None, typer.Option(help="Send figures to a service.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and end.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what went wrong.")] = False,
) -> None:
    """Train a policy that makes a muscle-driven body track clips.

    Without --max-seconds or --max-steps it goes on until Ctrl-C. However it ends, all is saved, and --resume goes on.

    Exit status: 0 time or steps are up, 130 interrupted and saved, 2 wrong use, or nothing to learn from.
    """
    from musclemap.pipelines.device import keep_compilations, private_folder, share_gpu_memory

    share_gpu_memory()
    from musclemap.cli.output.train_view import plan_lines, show_training
    from musclemap.pipelines.train.dataset import choose_clips
    from musclemap.pipelines.train.plan import plan_training
    from musclemap.pipelines.train.simulation_room import tell_mujoco_warnings
    from musclemap.pipelines.train.training import Until
    from musclemap.pipelines.train.training import train as train_plan

    keep_compilations()
    warn = lambda text: echo(f"mm-train: {text}", err=True)  # noqa: E731
    say = (lambda text: None) if quiet else warn
    tell_mujoco_warnings(say)
    settings = _settings(config, set_ or [], num_envs=num_envs, seed=seed, hands=hands)
    chosen = choose_clips(
        dataset, include=include or (), exclude=exclude or (), group=group, split=split or _own_split(dataset),
        limit=limit, infeasible=infeasible,
    )  # fmt: skip
    plan = plan_training(chosen.clips, settings, engine=engine.value, algorithm=algo.value)
    left_out = {**chosen.left_out, **plan.library.left_out}
    for name, why in list(left_out.items())[:NAMED]:
        say(f"left out {name}: {why}")
    if len(left_out) > NAMED:
        say(f"and {len(left_out) - NAMED} more")
    place = run or dataset.resolve().parent / f"{dataset.resolve().name}-run"
    if not quiet:
        for line in plan_lines(plan, place, max_seconds=max_seconds, max_steps=max_steps):
            echo(line, err=json_)
    if dry_run:
        raise typer.Exit(0)
    with _stopping(say) as asked, show_training(hidden=quiet, max_seconds=max_seconds, max_steps=max_steps) as show:
        done = train_plan(
            plan, place, until=Until(seconds=max_seconds, steps=max_steps, asked=asked), resume=resume,
            tensorboard=tensorboard, track=track.value if track else None, progress=show,
            on_message=say, on_warning=warn,
            save_seconds=save_seconds, fits=private_folder("fitted"), start=start,
        )  # fmt: skip
    if json_:
        message = {"policy": str(done.policy), "policy_steps": done.policy_steps, "steps": done.steps}
        message |= {"seconds": done.seconds, "why": done.why}
        echo_json({**message, "left_out": left_out, "figures": dict(done.figures)})
    elif not quiet:
        more = f", of {done.policy_steps:,} steps" if done.policy_steps != done.steps else ""
        echo(f"{done.steps:,} control steps, {done.seconds:,.0f} s in all; the policy is {done.policy}{more}")
        echo(f"  mm-eval {place} --dataset {dataset}    tells how well it tracks")
        echo(f"  mm-train --dataset {dataset} --run {place} --resume    goes on")
    raise typer.Exit(INTERRUPTED if done.why == "interrupted" else 0)


def _own_split(dataset: Path) -> str | None:
    """The part of a bundle that is for training; None where the data set has no parts."""
    from musclemap.datasets.downloads.bundle_manifest import MANIFEST
    from musclemap.datasets.output_folder import MANIFEST as LINES

    return "train" if (dataset / MANIFEST).is_file() and not (dataset / LINES).is_file() else None


def _settings(
    path: Path | None, assignments: list[str], *, num_envs: int | None, seed: int | None, hands: bool
) -> "TrainConfig":
    """Defaults, then the file, then --set, then the options that have a name of their own."""
    from musclemap.imitation.runs.train_config import TrainConfig
    from musclemap.settings import load_settings, override

    settings = override(load_settings(TrainConfig, path) if path else TrainConfig(), assignments)
    own = {"num_envs": num_envs, "seed": seed, "physics.hands": "free" if hands else None}
    return override(settings, [f"{name}={value}" for name, value in own.items() if value is not None])


@contextmanager
def _stopping(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Take Ctrl-C and SIGTERM as a wish to save and end; a second Ctrl-C ends at once."""
    asked = threading.Event()

    def stop(number: int, frame: object) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()
        say("saving after this iteration; Ctrl-C again ends at once, and what came after the last checkpoint is lost")

    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread alone
        yield asked.is_set
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    app()
