"""`mm-validate`: check whether clips are feasible for the body, and report why not."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musclemap.cli.output.terminal_text import echo, echo_json
from musclemap.pipelines.wording import counted

from .options.checks import check_device, selected_clips
from .options.shared import (
    CHUNK,
    CLIPS_HELP,
    FORCES,
    MUSCLE_COST,
    BodyFilter,
    ComputeDevice,
    Config,
    Device,
    Exclude,
    Forces,
    Include,
    Json,
    Limit,
    MuscleCost,
    Quiet,
    set_option,
)
from .program import Program
from .report import try_report

if TYPE_CHECKING:
    from musclemap.pipelines.validation import CheckedClip, ValidationResult
    from musclemap.retarget.config import RetargetConfig

app = Program("mm-validate", kept="verdicts of the clips checked so far are kept")


_EXAMPLES = (
    "mm-validate out/                          # verdicts, in place",
    "mm-validate out/ --muscles                # muscle activations too",
    "mm-validate walk.h5 --dry-run --json",
)


@app.command(examples=_EXAMPLES)
def validate(
    source: Annotated[
        Path, typer.Argument(metavar="CLIPS", help=CLIPS_HELP, exists=True, show_default=False)
    ],
    muscles: Annotated[
        bool, typer.Option("--muscles", help="Compute muscle activations by static optimisation and store them.")
    ] = False,
    muscle_cost: Annotated[MuscleCost | None, MUSCLE_COST] = None,
    forces: Annotated[Forces | None, FORCES] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a clip is infeasible.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change no clip and no manifest.")] = False,
    chunk: Annotated[int | None, CHUNK] = None,
    include: Include = None,
    exclude: Exclude = None,
    limit: Limit = None,
    body: BodyFilter = None,
    device: ComputeDevice = None,
    report: Annotated[bool, typer.Option(help="Update the folder's report.html if it has a manifest.")] = True,
    config: Config = None,
    set_: Annotated[list[str] | None, set_option("validation.cutoff=8")] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check clips on their body: limits, contacts, rates, muscle lengths, forces.

    Verdicts of clips in the folder's manifest are stored in the clip and the
    manifest; other verdicts are only printed.

    Exits with 0 if every clip was checked, 1 if some could not be checked (or, with
    --strict, are infeasible), 2 for wrong usage.
    """
    check_device(device)
    names = selected_clips(source, include or (), exclude or (), limit)
    settings = _settings(config, set_ or [], muscle_cost, forces, chunk)
    result = _validate(
        source, settings, device, names, body=body and body.value, muscles=muscles, write=not dry_run,
        silent=json_ or quiet,
    )  # fmt: skip
    html = None
    if report and result.written:
        html = try_report(source, command="mm-validate", limits=settings.validation.thresholds, hidden=quiet or json_)
    if json_:
        echo_json(result.to_dict())
    elif quiet:
        for clip in result.clips:
            if clip.verdict is None or (strict and clip.verdict == "infeasible"):
                _print_clip(clip)
    else:
        echo(_totals(result))
        if html is not None:
            echo(f"Report: {html}")
    bad = result.counts["unchecked"] + (result.counts["infeasible"] if strict else 0)
    raise typer.Exit(1 if bad else 0)


def _validate(
    source: Path,
    settings: "RetargetConfig",
    device: Device | None,
    names: "frozenset[str] | None",
    *,
    body: str | None,
    muscles: bool,
    write: bool,
    silent: bool,
) -> "ValidationResult":
    from musclemap.cli.output.progress import ProgressDisplay

    with ProgressDisplay(hidden=silent) as display:
        from musclemap.pipelines.device import choose_device, enable_compilation_cache
        from musclemap.pipelines.validation import validate_clips

        enable_compilation_cache()
        done = 0

        def show(clip: "CheckedClip") -> None:
            nonlocal done
            done += 1
            _print_clip(clip)
            display.update(None, counted(done, "clip"), line=counted(done, "clip"))

        return validate_clips(
            source,
            config=settings,
            muscles=muscles or settings.validation.muscles,
            write=write,
            body=body,
            device=choose_device(device),
            names=names,
            progress=None if silent else show,
        )


def _settings(
    path: Path | None,
    assignments: list[str],
    muscle_cost: MuscleCost | None,
    forces: Forces | None,
    chunk: int | None,
) -> "RetargetConfig":
    """Defaults, overridden by the file, then by --set, then by the options of their own."""
    from musclemap.pipelines.device import disable_gpu_preallocation

    disable_gpu_preallocation()  # before the settings import JAX
    from musclemap.retarget.config import RetargetConfig
    from musclemap.settings import load_settings, override

    settings = load_settings(RetargetConfig, path, assignments)
    own = {
        "validation.muscle_cost": muscle_cost and muscle_cost.value,
        "validation.forces": forces and forces.value,
        "validation.chunk_size": chunk,
    }
    return override(settings, [f"{name}={value}" for name, value in own.items() if value is not None])


def _print_clip(checked: "CheckedClip") -> None:
    """Print a line for a clip, and one per reason."""
    echo(f"{checked.verdict or 'unchecked':<11} {checked.clip}", err=checked.verdict is None)
    if checked.problem:
        echo(f"            {checked.problem}", err=True)
    from musclemap.retarget.checks.reason_text import reason_text

    for reason in checked.reasons:
        at = f", {reason['at']}" if reason.get("at") else ""
        frames = ", ".join(f"{start}-{stop - 1}" for start, stop in reason["frames"][:3])
        where = f"; frames {frames}{' and more' if len(reason['frames']) > 3 else ''}" if frames else ""
        echo(f"            {reason['rule']} {reason['value']:.4g}, limit {reason['limit']:.4g}{at}{where}")
        if text := reason_text(reason, fps=checked.fps):
            echo(f"              {text}")


def _totals(result: "ValidationResult") -> str:
    counts = ", ".join(f"{count} {word}" for word, count in result.counts.items())
    speed = result.nframe / max(result.seconds, 1e-9)
    frames = f"{counted(result.nframe, 'frame')} in {result.seconds:.1f} s ({speed:.0f} frames/s)"
    return f"{counted(len(result.clips), 'clip')}: {counts}; {frames}"


if __name__ == "__main__":
    app()
