"""`mm-retarget`: convert motion capture to checked reference clips."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import typer

from musclemap.cli.output.terminal_text import echo, echo_json, echo_lines
from musclemap.entry_points import INTERRUPTED
from musclemap.errors import BodyModelError, SettingsError

from .options import retarget as opt
from .options import variants as size_opt
from .options.checks import check_device, one_output, refuse_verbose_and_quiet
from .options.shared import ComputeDevice, Config, Device, Json, Quiet
from .options.variants import AddedMass, Alterations, JointRange, Strength, alterations
from .program import Program

if TYPE_CHECKING:
    from musclemap.datasets.selection import Selection
    from musclemap.datasets.summary import Summary
    from musclemap.retarget.config import RetargetConfig

app = Program("mm-retarget", kept="finished clips are kept, repeat the command to resume")

_EXAMPLES = (
    "mm-retarget amass/ out/                       # a folder, with all below it",
    "mm-retarget walk.bvh out/ --up y --units cm   # one file, and what it does not say",
    "mm-retarget amass/ out/ --include '*walk*' --limit 10 --dry-run",
    "mm-retarget amass/ out/ --body-models smplh/ -j 4",
    "mm-retarget --status out/                     # done, failed, stale",
)


@app.command(examples=_EXAMPLES)
def retarget(
    source: opt.Source,
    out: opt.Out = None,
    output: opt.Output = None,
    body_models: opt.BodyModels = None,
    up: opt.Up = None,
    units: opt.UnitsOption = None,
    source_fps: opt.SourceFps = None,
    ground: opt.GroundOption = None,
    joint_map: opt.JointMapFile = None,
    save_joint_map: opt.SaveJointMap = None,
    body: opt.BodyOption = None,
    chest: opt.ChestOption = None,
    strength: Strength = None,
    joint_range: JointRange = None,
    added_mass: AddedMass = None,
    height: size_opt.Height = None,
    sex: size_opt.SexOption = None,
    age: size_opt.Age = None,
    subjects: size_opt.Subjects = None,
    scale_body: size_opt.ScaleBodyOption = None,
    force_file: opt.ForceFile = None,
    mass: opt.Mass = None,
    static_trial: opt.StaticTrialOption = None,
    fps: opt.Fps = None,
    hands: opt.HandsOption = None,
    treadmill: opt.TreadmillOption = None,
    dynamics: opt.DynamicsOption = None,
    include: opt.Include = None,
    exclude: opt.Exclude = None,
    group: opt.Group = None,
    limit: opt.Limit = None,
    device: ComputeDevice = None,
    workers: opt.Workers = None,
    scheduler: opt.Scheduler = None,
    scheduler_file: opt.SchedulerFile = None,
    clip_seconds: opt.ClipSeconds = 0.0,
    overwrite: opt.Overwrite = False,
    dry_run: opt.DryRun = False,
    status: opt.Status = False,
    muscles: opt.Muscles = False,
    muscle_cost: opt.MuscleCostOption = None,
    forces: opt.ForcesOption = None,
    chunk: opt.Chunk = None,
    report: opt.Report = True,
    config: Config = None,
    set_: opt.Assignments = None,
    json_: Json = False,
    verbose: opt.Verbose = False,
    quiet: Quiet = False,
    list_formats: opt.ListFormats = False,
) -> None:
    """Convert motions to reference clips of a muscle-driven body.

    Clips that are up to date are kept. To resume an interrupted run, repeat its command.

    Exits with 0 if every file has a clip, 1 if some have none (each is named with
    its reason), 2 for wrong usage, 130 if interrupted (finished clips are kept);
    with --status, 1 if anything failed or is stale.
    """
    out = one_output(out, output)
    refuse_verbose_and_quiet(verbose=verbose, quiet=quiet)
    check_device(device)
    if save_joint_map is not None:
        _save_joint_map(source, save_joint_map)
        raise typer.Exit
    filters = _Filters(include=include or (), exclude=exclude or (), group=group, limit=limit)
    known = _Source(
        up=up, units=units, source_fps=source_fps, ground=ground, joint_map=joint_map, force_file=force_file, mass=mass,
        static_trial=static_trial,
    )  # fmt: skip
    size = size_opt.Size(height=height, mass=mass, sex=sex, age=age, subjects=subjects, scale_body=scale_body)
    settings = _settings(
        config, set_ or (), known, body=body, chest=chest, fps=fps, hands=hands, treadmill=treadmill,
        dynamics=dynamics, muscles=muscles, muscle_cost=muscle_cost, forces=forces, chunk=chunk,
        altered=alterations(strength, joint_range, added_mass),
        size=size,
    )  # fmt: skip
    _check_inputs(group, body_models)
    if status:
        _check_status(out or source)
    selection = None if status else _select(source, out, filters)
    if selection is None or out is None:
        raise typer.Exit(_print_status(out or source, settings, device=device, json_=json_))
    cluster = _Cluster(workers=workers, scheduler=scheduler, scheduler_file=scheduler_file, clip_seconds=clip_seconds)
    conversion = _Conversion(config=settings, body_models=body_models, overwrite=overwrite, dry_run=dry_run)
    shown = _Output(json=json_, verbose=verbose, quiet=quiet, report=report and not dry_run, dry_run=dry_run)
    summary = _convert(source, out, selection, filters, cluster, conversion, shown, device=device)
    _print_result(summary, out, shown, limits=settings.validation.thresholds)
    if mass is not None and not (size or dry_run or quiet):
        from musclemap.cli.output.conversion_report import print_idle_mass

        print_idle_mass(summary)
    raise typer.Exit(0 if summary.complete else 1)


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What is known about the source files."""

    up: opt.UpAxis | None
    units: str | None
    source_fps: float | None
    ground: opt.Ground | None
    joint_map: Path | None
    force_file: str | None
    mass: float | None
    static_trial: str | None


class _Filters(TypedDict):
    """Source files to convert; keywords of `select` and `convert_archive`."""

    include: Sequence[str]
    exclude: Sequence[str]
    group: str | None
    limit: int | None


class _Cluster(TypedDict):
    """Processes that convert; keywords of `worker_pool_for`."""

    workers: int | None
    scheduler: str | None
    scheduler_file: Path | None
    clip_seconds: float


class _Conversion(TypedDict):
    """How to convert; keywords of `convert_archive`."""

    config: "RetargetConfig"
    body_models: Path | None
    overwrite: bool
    dry_run: bool


@dataclass(frozen=True, kw_only=True)
class _Output:
    """What to print and write."""

    json: bool
    verbose: bool
    quiet: bool
    report: bool
    dry_run: bool


def _save_joint_map(source: Path, path: Path) -> None:
    """Write the joint map of one BVH file, to be edited."""
    from musclemap.datasets.amass.limits import MAX_FILE_BYTES
    from musclemap.datasets.formats.readers.bvh import find_joint_map
    from musclemap.datasets.formats.readers.skeletons.joint_map import save_joint_map
    from musclemap.files import read_bytes

    found = find_joint_map(read_bytes(source, limit=MAX_FILE_BYTES))
    save_joint_map(path, found)
    by = "guessed from the skeleton's shape" if found.family == "guess" else f"by the names of {found.family}"
    echo(f"{path}: {len(found.joints)} joints of {source}, {by}")


def _check_inputs(group: str | None, body_models: Path | None) -> None:
    """Refuse a group that does not exist, and a folder without body models.

    Raises:
        MusclemapError: If one of them is given.
    """
    if group is not None:
        from musclemap.datasets.groups import load_group

        load_group(group)
    if body_models is not None:
        from musclemap.skeletons.smpl.body_model import find_body_models

        if not find_body_models(body_models):
            raise BodyModelError(f"no body model of the SMPL family below {body_models}")


def _check_status(out: Path) -> None:
    """Refuse a folder without a manifest, before anything heavy is imported."""
    from musclemap.datasets.output_folder import MANIFEST, has_lines

    if not has_lines(out):
        raise SettingsError(f"there is no {MANIFEST} in {out}; give the output folder of mm-retarget")


def _select(source: Path, out: Path | None, filters: _Filters) -> "Selection":
    """List the files to convert; wrong use ends here, before anything heavy is imported.

    Raises:
        typer.BadParameter: If OUT is missing or a file.
        SourceError: If there is nothing to convert.
    """
    from musclemap.datasets.formats.readers.other_files import refuse_other_file

    refuse_other_file(source)
    if out is None:
        raise typer.BadParameter("OUT is missing: the folder for the clips")
    if out.is_file():
        raise typer.BadParameter(f"cannot write to {out}: it is a file; give the folder for the clips")
    from musclemap.datasets.output_folder import refuse_own_source

    refuse_own_source(source, out)
    from musclemap.datasets.formats.readers.table import refuse_no_motion
    from musclemap.datasets.selection import select

    if source.is_file():
        refuse_no_motion(source)
    return select(source, **filters)


def _convert(
    source: Path,
    out: Path,
    selection: "Selection",
    filters: _Filters,
    cluster: _Cluster,
    conversion: _Conversion,
    output: _Output,
    *,
    device: Device | None,
) -> "Summary":
    from musclemap.cli.output.progress import ProgressDisplay

    hidden = output.quiet or output.dry_run
    try:
        with ProgressDisplay(hidden=hidden) as display:
            from musclemap.cli.output.conversion_report import conversion_listener
            from musclemap.pipelines.archive import convert_archive
            from musclemap.pipelines.cluster.worker_pool import worker_pool_for
            from musclemap.pipelines.device import choose_device, enable_compilation_cache

            enable_compilation_cache()
            pool = None
            if not output.dry_run:
                say = lambda text: echo(f"mm-retarget: {text}", err=True)  # noqa: E731
                pool = worker_pool_for(selection.items, device=device, on_message=say, **cluster)
            return convert_archive(
                source,
                out,
                progress=conversion_listener(display, verbose=output.verbose and not hidden),
                device=choose_device(device) if pool is None else None,
                pool=pool,
                selection=selection,
                **filters,
                **conversion,
            )
    except KeyboardInterrupt as error:
        echo("mm-retarget: interrupted; finished clips are kept, repeat the command to resume", err=True)
        raise typer.Exit(INTERRUPTED) from error


def _print_result(summary: "Summary", out: Path, output: _Output, *, limits: tuple[str, ...]) -> None:
    """Write the HTML report, then print the summary and the failures."""
    from musclemap.cli.output.conversion_report import print_doubts, print_failures, print_summary, reading_lines

    from .report import try_report

    html = None
    if output.report and summary.entries:
        html = try_report(out, command="mm-retarget", limits=limits, hidden=output.quiet)
    if not output.quiet:
        print_doubts(summary, every=output.verbose)
    if output.json:
        echo_json(summary.to_dict())
    elif not output.quiet:
        if output.dry_run and output.verbose:
            echo_lines(reading_lines(summary))
        print_summary(summary, dry_run=output.dry_run)
        if html is not None:
            echo(f"Report: {html}")
    print_failures(summary)


def _print_status(out: Path, settings: "RetargetConfig", *, device: Device | None, json_: bool) -> int:
    """Report what a folder holds; returns the exit status.

    A clip is stale if a run with these settings would convert it again.
    """
    from musclemap.pipelines.convert.status import folder_status, status_lines
    from musclemap.pipelines.device import choose_device
    from musclemap.retarget.software import software_versions
    from musclemap.settings import to_dict

    software = software_versions(choose_device(device).platform)
    result = folder_status(out, requested={"config": to_dict(settings), "software": software})
    if json_:
        echo_json(result.to_dict())
    else:
        echo_lines(status_lines(result))
    return 1 if result.failed or result.stale else 0


def _settings(
    path: Path | None,
    assignments: Sequence[str],
    known: _Source,
    *,
    body: opt.Body | None,
    chest: opt.Chest | None,
    fps: float | None,
    hands: opt.Hands | None,
    treadmill: opt.Treadmill | None,
    dynamics: opt.Dynamics | None,
    muscles: bool,
    muscle_cost: opt.MuscleCost | None,
    forces: opt.Forces | None,
    chunk: int | None,
    altered: Alterations,
    size: size_opt.Size,
) -> "RetargetConfig":
    """Defaults, overridden by the file, then by --set, then by the options of their own."""
    from musclemap.pipelines.device import disable_gpu_preallocation

    disable_gpu_preallocation()  # before the settings import JAX
    from musclemap.datasets.formats.readers.skeletons.joint_map import load_joint_map
    from musclemap.retarget.config import RetargetConfig
    from musclemap.settings import load_settings, override

    settings = load_settings(RetargetConfig, path, assignments)
    joints = None if known.joint_map is None else json.dumps(load_joint_map(known.joint_map).pairs)
    own = {
        "source.up": known.up and known.up.value,
        "source.units": known.units,
        "source.fps": known.source_fps,
        "source.ground": known.ground and known.ground.value,
        "source.joints": joints,
        "body.name": body and body.value,
        "body.chest": chest and chest.value,
        "source.force_file": known.force_file,
        "source.mass": known.mass,
        "source.static_trial": known.static_trial,
        "fps": fps,
        "hands": hands and hands.value,
        "treadmill": treadmill and treadmill.value,
        "dynamics.enabled": dynamics and str(dynamics is opt.Dynamics.on).lower(),
        "validation.muscles": "true" if muscles else None,
        "validation.muscle_cost": muscle_cost and muscle_cost.value,
        "validation.forces": forces and forces.value,
        "validation.chunk_size": chunk,
    }
    settings = override(settings, [f"{name}={value}" for name, value in own.items() if value is not None])
    variant = settings.body.variant
    altered.check(settings.body.name)
    if altered:
        from musclemap.skeletons.bodies import BODY_OPTIONS

        variant = variant.altered_by(altered.variant(BODY_OPTIONS[settings.body.name]))
    changed: dict[str, Any] = {}
    if size:
        changed = {"subjects": size.subjects_text} if size.subjects else {}  # first: a wrong file is found at once
        variant = variant.altered_by(size.variant)
        changed |= {"scale": "body"} if size.scale_body else {}
    return replace(settings, body=replace(settings.body, variant=variant, **changed))


if __name__ == "__main__":
    app()
