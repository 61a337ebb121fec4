"""`mm-eval`: evaluate how well a policy tracks clips."""

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import typer

from musclemap.cli.output.terminal_text import echo, echo_json, echo_lines
from musclemap.errors import SettingsError

from .options import eval as opt
from .options.checks import check_output_file, check_policy, check_selection
from .options.shared import ClipFilters, EngineName, Quiet
from .program import Program

if TYPE_CHECKING:
    from musclemap.pipelines.train.evaluation import PolicyEvaluation, RecordingOptions

app = Program("mm-eval")

NAMED = 10
"""Number of clips left out that are listed by name."""


_EXAMPLES = (
    "mm-eval run/ --dataset out/",
    "mm-eval run/ --dataset out/ --held-out -o policy.html --video policy.mp4",
    "mm-eval policy.safetensors --dataset walk.h5 --strict --json",
)


@app.command(name="eval", examples=_EXAMPLES)
def evaluate(
    source: opt.Source,
    dataset: opt.Dataset,
    include: opt.Include = None,
    exclude: opt.Exclude = None,
    group: opt.Group = None,
    split: opt.Split = None,
    held_out: opt.HeldOut = False,
    body: opt.BodyFilter = None,
    limit: opt.Limit = None,
    infeasible: opt.Infeasible = False,
    engine: opt.Engine = EngineName.auto,
    num_envs: opt.NumEnvs = None,
    trained_ground: opt.TrainedGround = False,
    to_end: opt.ToEnd = True,
    report: opt.Report = None,
    video: opt.Video = None,
    video_seconds: opt.VideoSeconds = 30.0,
    json_: opt.Json = False,
    strict: opt.Strict = False,
    quiet: Quiet = False,
) -> None:
    """Track every clip once from its first frame, without exploration noise, and print the metrics.

    Tracking fails when the landmarks, relative to the root, are on average more
    than 0.3 m off, or the root more than 0.5 m. Totals are also given separately
    for training clips and for held-out clips.

    Exits with 0 if every clip was evaluated, 1 with --strict if tracking a clip
    failed, 2 for wrong usage.
    """
    files = _Files(report=report, video=video, video_seconds=video_seconds)
    simulation = _Simulation(num_envs=num_envs, held_out=held_out, trained_ground=trained_ground, to_end=to_end)
    filters = ClipFilters(
        include=include or (), exclude=exclude or (), group=group, split=split, body=body and body.value, limit=limit,
        infeasible=infeasible,
    )  # fmt: skip
    check_selection(dataset, filters)
    _check_files(files, trained_ground=trained_ground)
    check_policy(source)
    result = _evaluate(source, dataset, filters, engine, simulation, files, json_=json_, quiet=quiet)
    raise typer.Exit(1 if strict and not result.tracked else 0)


class _Simulation(TypedDict):
    """How to simulate; keywords of `evaluate_policy`."""

    num_envs: int | None
    held_out: bool
    trained_ground: bool
    to_end: bool


class _Files(TypedDict):
    """Files to write."""

    report: Path | None
    video: Path | None
    video_seconds: float


def _evaluate(
    source: Path,
    dataset: Path,
    filters: ClipFilters,
    engine: EngineName,
    simulation: _Simulation,
    files: _Files,
    *,
    json_: bool,
    quiet: bool,
) -> "PolicyEvaluation":
    """Evaluate, write the files and print the result."""
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.pipelines.device import disable_gpu_preallocation, enable_compilation_cache

    disable_gpu_preallocation()
    with ProgressDisplay(hidden=quiet or json_) as display:
        from musclemap.cli.output.eval_table import print_evaluation
        from musclemap.pipelines.train.dataset import select_clips
        from musclemap.pipelines.train.evaluation import evaluate_policy, find_policy
        from musclemap.pipelines.train.physics_setup import report_mujoco_warnings

        enable_compilation_cache()
        report_mujoco_warnings(lambda text: None if quiet else echo(f"mm-eval: {text}", err=True))
        keep = _recordings(files)
        selection = select_clips(dataset, **filters)
        result = evaluate_policy(
            find_policy(source), selection, engine=engine.value, recording=keep, progress=display.count(), **simulation
        )
    echo_lines((f"mm-eval: {line}" for line in _left_out(result)), err=True)
    written = _write(result, source, files, hidden=quiet or json_)
    if json_:
        echo_json({**result.to_dict(), "written": written})
    elif not quiet:
        print_evaluation(result)
        echo_lines(written)
    return result


def _check_files(files: _Files, *, trained_ground: bool) -> None:
    """Refuse files that cannot be written, before anything heavy is imported.

    Raises:
        SettingsError: If there is such a file.
    """
    report, video = files["report"], files["video"]
    for name, path, ending in (("--report", report, ".html"), ("--video", video, ".mp4")):
        if path is not None:
            check_output_file(name, path, ending)
    if video and trained_ground:
        raise SettingsError("--video shows flat ground; leave --trained-ground out")


def _recordings(files: _Files) -> "RecordingOptions":
    """Return which clips to record for the files to write."""
    from musclemap.pipelines.report.policy_report import MAX_CURVES
    from musclemap.pipelines.train.evaluation import RecordingOptions

    report, video = files["report"], files["video"]
    return RecordingOptions(worst=MAX_CURVES if report else 0, seconds=files["video_seconds"] if video else 0.0)


def _left_out(result: "PolicyEvaluation") -> list[str]:
    lines = [f"left out {name}: {reason}" for name, reason in list(result.left_out.items())[:NAMED]]
    return lines + [f"and {len(result.left_out) - NAMED} more"] * (len(result.left_out) > NAMED)


def _write(result: "PolicyEvaluation", source: Path, files: _Files, *, hidden: bool) -> list[str]:
    """Write the video and the report; returns their paths."""
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.pipelines.rendering.policy_film import FilmClip, save_policy_film
    from musclemap.pipelines.report.policy_report import write_policy_report

    report, video = files["report"], files["video"]
    if video is not None:
        by_name = {judged.result.score.name: judged for judged in result.clips}
        film_clips = [FilmClip(clip=by_name[name].clip, result=by_name[name].result) for name in result.film]
        with ProgressDisplay(hidden=hidden) as display:
            longest, count = files["video_seconds"], display.count("images")
            save_policy_film(video, film_clips, result.body, longest=longest, progress=count)
    if report is not None:
        write_policy_report(report, result, run=source if source.is_dir() else source.parent)
    return [str(path) for path in (video, report) if path is not None]


if __name__ == "__main__":
    app()
