"""`mm-eval`: how well a policy tracks clips."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musclemap.cli.output.terminal_text import echo, echo_json
from musclemap.errors import SettingsError

from .options import Physics
from .program import Program

if TYPE_CHECKING:
    from musclemap.pipelines.train.evaluation import Evaluation, Keep

app = Program("mm-eval")

NAMED = 10
"""Clips left out that are named one by one."""

_CLIPS, _HOW, _OUT = "Clips", "How it is judged", "What is written"


@app.command(name="eval")
def evaluate(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|POLICY", help="Folder of mm-train, or a policy's file.", exists=True, show_default=False
        ),
    ],
    dataset: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of a conversion, a bundle, or one clip.", show_default=False)
    ],
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
    split: Annotated[str | None, typer.Option(help="Part of a bundle, such as test.", rich_help_panel=_CLIPS)] = None,
    held_out: Annotated[
        bool,
        typer.Option("--held-out", help="Only clips that the policy has not learned from.", rich_help_panel=_CLIPS),
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="The first N clips.", rich_help_panel=_CLIPS)] = None,
    infeasible: Annotated[
        bool, typer.Option("--infeasible", help="Also clips that no body can follow.", rich_help_panel=_CLIPS)
    ] = False,
    engine: Annotated[
        Physics, typer.Option(help="Physics; auto is Warp where there is a GPU.", rich_help_panel=_HOW)
    ] = Physics.auto,
    num_envs: Annotated[
        int | None, typer.Option(min=1, help="Clips tracked at a time; fewer need less memory.", rich_help_panel=_HOW)
    ] = None,
    trained_ground: Annotated[
        bool,
        typer.Option(
            "--trained-ground", help="On the ground that it was trained on, not on flat ground.", rich_help_panel=_HOW
        ),
    ] = False,
    to_end: Annotated[
        bool,
        typer.Option("--to-end/--stop", help="Simulate on after a failure, or stop there.", rich_help_panel=_HOW),
    ] = True,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Page for a browser (.html).", rich_help_panel=_OUT)
    ] = None,
    video: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Film beside the reference (.mp4).", rich_help_panel=_OUT)
    ] = None,
    video_seconds: Annotated[
        float, typer.Option(min=0.1, help="Longest film, in seconds.", rich_help_panel=_OUT)
    ] = 30.0,
    json_: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.", rich_help_panel=_OUT)] = False,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 where a clip was not tracked.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what went wrong.")] = False,
) -> None:
    """Track every clip once from its first frame, without noise, and tell how well; a fall ends no simulation.

    A clip is lost where its landmarks, relative to the root, are on average more than 0.3 m off, or the root more than
    0.5 m. Clips that the policy has learned from and those that it has not are also totalled apart.

    Exit status: 0 all was judged, 1 with --strict some clip was lost, 2 wrong use.
    """
    from musclemap.pipelines.device import keep_compilations, share_gpu_memory

    share_gpu_memory()
    from musclemap.cli.output.clip_count import show_count
    from musclemap.cli.output.eval_table import print_evaluation
    from musclemap.pipelines.train.dataset import choose_clips
    from musclemap.pipelines.train.evaluation import evaluate_policy, find_policy
    from musclemap.pipelines.train.simulation_room import tell_mujoco_warnings

    keep_compilations()
    tell_mujoco_warnings(lambda text: None if quiet else echo(f"mm-eval: {text}", err=True))
    keep = _kept(report=report, video=video, seconds=video_seconds, trained_ground=trained_ground)
    chosen = choose_clips(
        dataset, include=include or (), exclude=exclude or (), group=group, split=split, limit=limit,
        infeasible=infeasible,
    )  # fmt: skip
    with show_count(hidden=quiet or json_) as count:
        result = evaluate_policy(
            find_policy(source), chosen, engine=engine.value, num_envs=num_envs, held_out=held_out,
            trained_ground=trained_ground, to_end=to_end, keep=keep, progress=count,
        )  # fmt: skip
    for line in _left_out(result):
        echo(f"mm-eval: {line}", err=True)
    written = _write(result, source, report=report, video=video, seconds=video_seconds, hidden=quiet or json_)
    if json_:
        echo_json({**result.to_dict(), "written": written})
    elif not quiet:
        print_evaluation(result)
        for line in written:
            echo(line)
    raise typer.Exit(1 if strict and not result.tracked else 0)


def _kept(*, report: Path | None, video: Path | None, seconds: float, trained_ground: bool) -> "Keep":
    """What to record, and a refusal of what could not be written in the end."""
    from musclemap.pipelines.report.policy_report import MOST
    from musclemap.pipelines.train.evaluation import Keep

    for name, path, ending in (("--report", report, ".html"), ("--video", video, ".mp4")):
        if path is not None and path.suffix.lower() != ending:
            raise SettingsError(f"{name} {path.name} ends in {path.suffix or 'nothing'}; it has to end in {ending}")
        if path is not None and not path.resolve().parent.is_dir():
            raise SettingsError(f"{name} {path}: there is no folder {path.resolve().parent}")
    if video and trained_ground:
        raise SettingsError("--video shows flat ground; leave --trained-ground out")
    return Keep(worst=MOST if report else 0, seconds=seconds if video else 0.0)


def _left_out(result: "Evaluation") -> list[str]:
    lines = [f"left out {name}: {why}" for name, why in list(result.left_out.items())[:NAMED]]
    return lines + [f"and {len(result.left_out) - NAMED} more"] * (len(result.left_out) > NAMED)


def _write(
    result: "Evaluation", source: Path, *, report: Path | None, video: Path | None, seconds: float, hidden: bool
) -> list[str]:
    """Write page and film; gives their paths."""
    from musclemap.cli.output.clip_count import show_count
    from musclemap.pipelines.rendering.policy_film import Scene, save_policy_film
    from musclemap.pipelines.report.policy_report import write_policy_report

    if video is not None:
        by_name = {judged.result.score.name: judged for judged in result.clips}
        scenes = [Scene(clip=by_name[name].clip, result=by_name[name].result) for name in result.film]
        with show_count(hidden=hidden, what="pictures") as count:
            save_policy_film(video, scenes, result.body, longest=seconds, progress=count)
    if report is not None:
        write_policy_report(report, result, run=source if source.is_dir() else source.parent)
    return [str(path) for path in (video, report) if path is not None]


if __name__ == "__main__":
    app()
