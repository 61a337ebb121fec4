"""`mm-retarget`: motion capture in, checked reference clips out."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musclemap.cli.output.terminal_text import echo, echo_json, echo_lines

from .options import Device
from .program import Program

if TYPE_CHECKING:
    from musclemap.retarget.config import RetargetConfig

app = Program("mm-retarget")

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


class Hands(StrEnum):
    """What the fingers do."""

    locked = "locked"
    tracked = "tracked"


_FOR_MANY = "Many processes and machines"


@app.command()
def retarget(
    source: Annotated[Path, typer.Argument(help="Folder of AMASS files (.npz), or one file.", show_default=False)],
    out: Annotated[
        Path | None, typer.Argument(help="Folder for the clips and manifest.jsonl.", show_default=False)
    ] = None,
    body_models: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Body models of the SMPL family, as downloaded; else a mean skeleton."),
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second of the clips; 100 unless given.")] = None,
    hands: Annotated[Hands | None, typer.Option(help="Fingers at rest (the default), or following the source.")] = None,
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only files whose path or name matches; may be repeated.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="No files that match.")] = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only members of a group of motions; a wrong name lists them.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first N files.")] = None,
    device: Annotated[Device | None, typer.Option(help="A GPU is used where JAX can, unless this says cpu.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes; one a GPU, or one a core, unless given.", rich_help_panel=_FOR_MANY),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Dask scheduler that runs already.", rich_help_panel=_FOR_MANY),
    ] = None,
    scheduler_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File that a scheduler wrote.", rich_help_panel=_FOR_MANY)
    ] = None,
    clip_seconds: Annotated[
        float,
        typer.Option(min=0.0, help="Longest time a clip may take; 0 for any.", rich_help_panel=_FOR_MANY),
    ] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make again what is up to date.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read everything, write nothing.")] = False,
    status: Annotated[
        bool, typer.Option("--status", help="mm-retarget --status OUT: tell what is done, failed or stale there.")
    ] = False,
    muscles: Annotated[
        bool, typer.Option("--muscles", help="Look for muscle activations too; without it, clips keep those they have.")
    ] = False,
    chunk: Annotated[
        int | None, typer.Option(min=1, help="Frames checked together; bounds the memory.", show_default="2048")
    ] = None,
    report: Annotated[bool, typer.Option(help="Write OUT/report.html, a page about all clips.")] = True,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings (TOML).")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as solver.sweeps=6; may be repeated."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A line for every file, and doubts.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what went wrong.")] = False,
) -> None:
    """Convert motions to clips of MyoFullBody.

    Clips that are up to date are kept; a run that was interrupted goes on where it stopped.

    Exit status: 0 every file has its clip, 1 some have none (each is named with its reason), 2 wrong use. With --status
    1 where something has failed or is stale.
    """
    if verbose and quiet:
        raise typer.BadParameter("-v and -q exclude each other")
    if status:
        requested = _settings(config, set_ or (), fps=fps, hands=hands, muscles=muscles, chunk=chunk)
        _tell_status(out or source, requested, device=device, json_=json_)
        return
    if out is None:
        raise typer.BadParameter("OUT is missing: the folder for the clips")
    from musclemap.cli.output.conversion_report import print_doubts, print_failures, print_summary
    from musclemap.cli.output.progress_bar import show_progress
    from musclemap.datasets.selection import select
    from musclemap.pipelines.archive import convert_archive
    from musclemap.pipelines.cluster.worker_pool import worker_pool_for
    from musclemap.pipelines.device import choose_device, keep_compilations, share_gpu_memory

    from .report import try_page

    share_gpu_memory()
    keep_compilations()
    try:
        settings = _settings(config, set_ or (), fps=fps, hands=hands, muscles=muscles, chunk=chunk)
        pool = selection = None
        if not dry_run:
            selection = select(source, include=include or (), exclude=exclude or (), group=group, limit=limit)
            pool = worker_pool_for(
                selection.items, workers=workers, scheduler=scheduler, scheduler_file=scheduler_file, device=device,
                clip_seconds=clip_seconds, on_message=lambda text: echo(f"mm-retarget: {text}", err=True),
            )  # fmt: skip
        with show_progress(hidden=quiet or dry_run, verbose=verbose) as progress:
            summary = convert_archive(
                source,
                out,
                config=settings,
                body_models=body_models,
                include=include or (),
                exclude=exclude or (),
                group=group,
                limit=limit,
                overwrite=overwrite,
                dry_run=dry_run,
                progress=progress,
                device=choose_device(device) if pool is None else None,
                pool=pool,
                selection=selection,
            )
    except KeyboardInterrupt as error:
        echo("mm-retarget: interrupted; the same command goes on from here", err=True)
        raise typer.Exit(INTERRUPTED) from error
    page = None
    if report and not dry_run and summary.entries:
        page = try_page(out, command="mm-retarget", limits=settings.validation.thresholds, hidden=quiet)
    if verbose:
        print_doubts(summary)
    if json_:
        echo_json(summary.to_dict())
    elif not quiet:
        print_summary(summary, dry_run=dry_run)
        if page is not None:
            echo(f"Report: {page}")
    print_failures(summary)
    raise typer.Exit(0 if summary.complete else 1)


def _tell_status(out: Path, requested: "RetargetConfig", *, device: Device | None, json_: bool) -> None:
    """Say what a folder holds; clips count as stale where a run with these settings would make them again."""
    from musclemap.pipelines.convert.status import folder_status, status_lines
    from musclemap.pipelines.device import choose_device
    from musclemap.retarget.retargeter import software_versions
    from musclemap.settings import to_dict

    software = software_versions(choose_device(device).platform)
    result = folder_status(out, requested={"config": to_dict(requested), "software": software})
    if json_:
        echo_json(result.to_dict())
    else:
        echo_lines(status_lines(result))
    raise typer.Exit(1 if result.failed or result.stale else 0)


def _settings(
    path: Path | None, assignments: "list[str] | tuple[()]", *, fps: float | None, hands: Hands | None, muscles: bool,
    chunk: int | None,
) -> "RetargetConfig":  # fmt: skip
    """Defaults, then the file, then --set, then the options that have a name of their own."""
    from musclemap.retarget.config import RetargetConfig
    from musclemap.settings import load_settings, override

    settings = override(load_settings(RetargetConfig, path) if path else RetargetConfig(), assignments)
    own = {
        "fps": fps,
        "hands": hands and hands.value,
        "validation.muscles": "true" if muscles else None,
        "validation.chunk_size": chunk,
    }
    return override(settings, [f"{name}={value}" for name, value in own.items() if value is not None])


if __name__ == "__main__":
    app()
