"""`mm-track`: find the muscle excitations by which a body follows clips in the simulator."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import typer

from musclemap.cli.output.terminal_text import echo, echo_json, echo_lines
from musclemap.entry_points import INTERRUPTED
from musclemap.errors import SettingsError

from .options import track as opt
from .options.checks import check_assignments, check_clip_file, check_output_file, refuse_unused
from .options.shared import Quiet
from .options.variants import AddedMass, JointRange, Strength, alterations
from .program import Program

if TYPE_CHECKING:
    from musclemap.imitation.tracking.track_config import TrackConfig
    from musclemap.pipelines.track.tracking import TrackingRun
    from musclemap.pipelines.train.dataset import ListedClip
    from musclemap.skeletons.variants.variant import BodyVariant

app = Program("mm-track", kept="finished tracks are kept, repeat the command to resume")

_SELECTING = (
    "out", "clip", "include", "exclude", "group", "split", "body", "limit", "json_", "quiet",
    "strength", "joint_range", "added_mass",
)  # fmt: skip
"""Parameters that choose clips, the body that tracks them and the form of the output."""

_USED = {
    "--replay": (*_SELECTING, "replay"),
    "--status": (*_SELECTING, "status", "infeasible", "seconds", "seed", "hands", "config", "set_"),
    "--dry-run": (*_SELECTING, "dry_run", "infeasible", "seconds", "seed", "hands", "config", "set_", "overwrite"),
}
"""Parameters that have an effect with each of these options."""


_EXAMPLES = (
    "mm-track out/                      # all clips, ten minutes each",
    "mm-track out/ walk_1.2             # one clip, by a part of its name",
    "mm-track out/ --seconds 120 -j 4 --video tracked.mp4",
    "mm-track out/ --status",
)


@app.command(examples=_EXAMPLES)
def track(
    ctx: typer.Context,
    out: opt.Out,
    clip: opt.ClipName = None,
    include: opt.Include = None,
    exclude: opt.Exclude = None,
    group: opt.Group = None,
    split: opt.Split = None,
    body: opt.BodyFilter = None,
    limit: opt.Limit = None,
    infeasible: opt.Infeasible = False,
    seconds: opt.Seconds = None,
    seed: opt.Seed = None,
    hands: opt.Hands = False,
    strength: Strength = None,
    joint_range: JointRange = None,
    added_mass: AddedMass = None,
    config: opt.Config = None,
    set_: opt.Assignments = None,
    workers: opt.Workers = None,
    scheduler: opt.Scheduler = None,
    scheduler_file: opt.SchedulerFile = None,
    overwrite: opt.Overwrite = False,
    replay: opt.Replay = False,
    dry_run: opt.DryRun = False,
    status: opt.Status = False,
    video: opt.Video = None,
    video_seconds: opt.VideoSeconds = 30.0,
    json_: opt.Json = False,
    quiet: Quiet = False,
) -> None:
    """Find muscle excitations by which the body follows clips in the simulator.

    Writes CLIPS/tracks/CLIP: excitations, the motion that they cause, and metrics.
    --strength, --joint-range and --added-mass alter the body that is simulated, not
    the clip that it follows; its track is kept beside that of the clip's own body.
    Tracks that are up to date are kept. To resume an interrupted run, repeat its
    command.

    Exits with 0 if every clip was tracked to its end, 1 if some were not (each is
    named with its reason), 2 for wrong usage, 130 if interrupted (finished tracks
    are kept). Infeasible clips are skipped; with --replay, exits with 0 if every
    motion is the same bit for bit.
    """
    for option, is_given in (("--replay", replay), ("--status", status), ("--dry-run", dry_run)):
        if is_given:
            refuse_unused(ctx, _USED[option], subject=f"runs with {option}")
    chosen = body and body.value
    filters = _Filters(
        include=include or (), exclude=exclude or (), group=group, split=split, body=chosen, limit=limit
    )  # fmt: skip
    listed = _listed(out, clip, filters)
    variant = alterations(strength, joint_range, added_mass).variant_for(out, listed)
    if replay:
        raise typer.Exit(_replay(out, listed, variant, json_=json_, quiet=quiet))
    if video is not None:
        check_output_file("--video", video, ".mp4")
    check_assignments(set_ or ())
    settings = _settings(config, set_ or [], variant, seconds=seconds, seed=seed, hands=hands)
    options = _Options(infeasible=infeasible, overwrite=overwrite, dry_run=dry_run or status)
    cluster = _Cluster(count=workers, scheduler=scheduler, scheduler_file=scheduler_file)
    result = _track(out, listed, settings, options, cluster, hidden=quiet or json_)
    written = _film(result, out, listed, settings, video, video_seconds, hidden=quiet or json_) if video else []
    _print_result(result, settings, written, plan=dry_run, json_=json_, quiet=quiet)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(0 if result.complete or (dry_run and not result.counts["failed"]) else 1)


class _Filters(TypedDict):
    """Clips to track; keywords of `list_clips`."""

    include: Any
    exclude: Any
    group: str | None
    split: str | None
    body: str | None
    limit: int | None


class _Options(TypedDict):
    """What to track; keywords of `track_clips`."""

    infeasible: bool
    overwrite: bool
    dry_run: bool


class _Cluster(TypedDict):
    """Processes that track; keywords of `TrackWorkers`."""

    count: int | None
    scheduler: str | None
    scheduler_file: Path | None


def _listed(out: Path, clip: str | None, filters: _Filters) -> "list[ListedClip]":
    """List the selected clips.

    Raises:
        SettingsError: If there are none.
    """
    from musclemap.pipelines.train.dataset import list_clips
    from musclemap.pipelines.viewer.clips import ClipFolder

    check_clip_file(out)
    if clip is None:
        return list_clips(out, **filters)
    if any(filters.values()):
        raise SettingsError("CLIP names one clip; leave out --include, --exclude, --group, --split, --body and --limit")
    listed = list_clips(out)
    folder = ClipFolder(root=out, names=tuple(item.path for item in listed))
    name = folder.find(clip)
    return [item for item in listed if item.path == name]


def _settings(
    path: Path | None,
    assignments: list[str],
    variant: "BodyVariant",
    *,
    seconds: float | None,
    seed: int | None,
    hands: bool,
) -> "TrackConfig":
    """Defaults, overridden by the file, then by --set, then by the options of their own."""
    from musclemap.pipelines.device import disable_gpu_preallocation

    disable_gpu_preallocation()
    from musclemap.imitation.tracking.track_config import TrackConfig
    from musclemap.settings import load_settings, override

    settings = load_settings(TrackConfig, path, assignments)
    own = {"tracking.seconds": seconds, "tracking.seed": seed, "physics.hands": "free" if hands else None}
    settings = override(settings, [f"{name}={value}" for name, value in own.items() if value is not None])
    physics = replace(settings.physics, variant=settings.physics.variant.altered_by(variant))
    return replace(settings, physics=physics)


def _track(
    out: Path,
    listed: "list[ListedClip]",
    settings: "TrackConfig",
    options: _Options,
    cluster: _Cluster,
    *,
    hidden: bool,
) -> "TrackingRun":
    from musclemap.cli.output.progress import ProgressDisplay

    with ProgressDisplay(hidden=hidden) as display:
        from musclemap.cli.output.track_table import tracking_listener
        from musclemap.pipelines.track.run_options import TrackWorkers
        from musclemap.pipelines.track.tracking import track_clips
        from musclemap.pipelines.train.physics_setup import report_mujoco_warnings

        say = lambda text: None if hidden else echo(f"mm-track: {text}", err=True)  # noqa: E731
        report_mujoco_warnings(say)
        workers = TrackWorkers(**cluster, on_message=say)
        report = tracking_listener(display, seconds=settings.tracking.seconds)
        return track_clips(out, listed, settings, workers=workers, report=report, **options)


def _film(
    result: "TrackingRun", out: Path, listed: "list[ListedClip]", settings: "TrackConfig", video: Path, longest: float,
    *, hidden: bool,
) -> list[str]:  # fmt: skip
    """Write the video; returns its path, or nothing if no clip has a track."""
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.pipelines.track.film import save_track_film

    done = {outcome.clip for outcome in result.outcomes if outcome.track is not None}
    shown = [item for item in listed if item.path in done]
    if not shown or result.interrupted:
        echo("mm-track: no video, because no clip has a track" if not shown else "mm-track: no video", err=True)
        return []
    with ProgressDisplay(hidden=hidden) as display:
        variant = settings.physics.variant
        save_track_film(video, out, shown, longest=longest, variant=variant, progress=display.count("images"))
    return [str(video)]


def _print_result(
    result: "TrackingRun", settings: "TrackConfig", written: list[str], *, plan: bool, json_: bool, quiet: bool
) -> None:
    from musclemap.cli.output.track_table import compensation_lines, plan_lines, print_tracks, problem_lines

    if json_:
        echo_json({**result.to_dict(), "written": written, "compensation": _compensation(result)})
    elif plan:
        echo_lines(plan_lines(result, seconds=settings.tracking.seconds))
    elif not quiet:
        print_tracks(result)
        echo_lines(line for clip, facts in _compensation(result).items() for line in compensation_lines(clip, facts))
        echo_lines(written)
    echo_lines((f"mm-track: {line}" for line in problem_lines(result, plan=plan)), err=True)


def _compensation(result: "TrackingRun") -> dict[str, dict[str, Any]]:
    """By clip, how the muscles of an altered body differ from those of the clip's own body."""
    from musclemap.cli.output.track_table import NAMED
    from musclemap.pipelines.track.compensation import compensation_of

    altered = [outcome for outcome in result.outcomes if outcome.variant and outcome.track is not None]
    found = {outcome.clip: compensation_of(result.root, outcome) for outcome in altered[:NAMED]}
    return {clip: one.to_dict() for clip, one in found.items() if one is not None}


def _replay(out: Path, listed: "list[ListedClip]", variant: "BodyVariant", *, json_: bool, quiet: bool) -> int:
    """Replay tracks and print the result; returns the exit status."""
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.cli.output.track_table import replay_line
    from musclemap.pipelines.track.replaying import replay_tracks

    with ProgressDisplay(hidden=quiet or json_) as display:
        results = replay_tracks(out, listed, variant=variant, progress=display.count())
    if json_:
        echo_json({"out": str(out), "clips": [result.to_dict() for result in results]})
    else:
        for result in results:
            if not (quiet and result.identical):
                echo(replay_line(result), err=result.difference is None)
    return 0 if all(result.identical for result in results) else 1


if __name__ == "__main__":
    app()
