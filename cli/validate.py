"""`mm-validate`: are clips feasible on the body, and if not, why."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musclemap.cli.output.terminal_text import echo, echo_json

from .options import Device
from .program import Program

if TYPE_CHECKING:
    from musclemap.pipelines.validation import Checked, Validation

app = Program("mm-validate")


@app.command()
def validate(
    source: Annotated[
        Path, typer.Argument(help="Folder of clips, or one clip (.h5).", exists=True, show_default=False)
    ],
    muscles: Annotated[
        bool, typer.Option("--muscles", help="Look for the activations that would do it; stored with the clips.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit status 1 if any clip is infeasible.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change no clip and no manifest.")] = False,
    chunk: Annotated[int | None, typer.Option(min=1, help="Frames checked together; bounds the memory.")] = None,
    device: Annotated[Device | None, typer.Option(help="A GPU is used where JAX can, unless this says cpu.")] = None,
    report: Annotated[
        bool, typer.Option(help="Write the folder's report.html anew, where there is a manifest.")
    ] = True,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings (TOML).")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as validation.cutoff=8; may be repeated."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what went wrong.")] = False,
) -> None:
    """Check clips on the full body: limits, contacts, rates, muscles' lengths, forces.

    Clips that the folder's manifest lists get the verdict, in the clip and in the manifest; others are only told of.

    Exit status: 0 every clip was checked, 1 some could not be (or, with --strict, are infeasible), 2 wrong use.
    """
    from musclemap.pipelines.device import choose_device, keep_compilations, share_gpu_memory
    from musclemap.pipelines.validation import validate_clips
    from musclemap.retarget.config import RetargetConfig
    from musclemap.settings import load_settings, override

    from .report import try_page

    share_gpu_memory()
    keep_compilations()
    settings = override(load_settings(RetargetConfig, config) if config else RetargetConfig(), set_ or ())
    if chunk is not None:
        settings = override(settings, [f"validation.chunk_size={chunk}"])
    result = validate_clips(
        source,
        config=settings,
        muscles=muscles or settings.validation.muscles,
        write=not dry_run,
        device=choose_device(device),
        progress=None if json_ or quiet else _tell,
    )
    page = None
    if report and result.written:
        page = try_page(source, command="mm-validate", limits=settings.validation.thresholds, hidden=quiet or json_)
    if json_:
        echo_json(result.to_dict())
    else:
        if quiet:
            for clip in result.clips:
                if clip.verdict is None or (strict and clip.verdict == "infeasible"):
                    _tell(clip)
        else:
            echo(_totals(result))
            if page is not None:
                echo(f"Report: {page}")
    bad = result.counts["unchecked"] + (result.counts["infeasible"] if strict else 0)
    raise typer.Exit(1 if bad else 0)


def _tell(checked: "Checked") -> None:
    """A line for a clip, and one for each reason."""
    echo(f"{checked.verdict or 'unchecked':<11} {checked.clip}", err=checked.verdict is None)
    if checked.problem:
        echo(f"            {checked.problem}", err=True)
    for reason in checked.reasons:
        at = f", {reason['at']}" if reason.get("at") else ""
        frames = ", ".join(f"{start}-{stop - 1}" for start, stop in reason["frames"][:3])
        where = f"; frames {frames}{' and more' if len(reason['frames']) > 3 else ''}" if frames else ""
        echo(f"            {reason['rule']} {reason['value']:.4g}, limit {reason['limit']:.4g}{at}{where}")


def _totals(result: "Validation") -> str:
    counts = ", ".join(f"{count} {word}" for word, count in result.counts.items())
    speed = result.nframe / max(result.seconds, 1e-9)
    frames = f"{result.nframe:,} frames in {result.seconds:.1f} s ({speed:.0f} frames/s)"
    return f"{len(result.clips)} clips: {counts}; {frames}"


if __name__ == "__main__":
    app()
