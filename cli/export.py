"""`mm-export`: export clips and policies to the formats of other programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from musclemap.cli.output.terminal_text import echo, echo_json, echo_lines

from .options import export as opt
from .options.checks import check_clips, refuse_verbose_and_quiet
from .options.export import To
from .options.shared import Json, Quiet
from .program import Program

if TYPE_CHECKING:
    from musclemap.pipelines.export import ExportedClip, ExportResult

app = Program("mm-export")


@app.command()
def export(
    source: opt.Source,
    out: opt.Out = None,
    *,
    to: opt.Format,
    policy: opt.Policy = None,
    fingers: opt.Fingers = False,
    include: opt.Include = None,
    body: opt.BodyFilter = None,
    feasible_only: opt.FeasibleOnly = False,
    tracked: opt.Tracked = False,
    json_: Json = False,
    verbose: opt.Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Write clips in another program's format, each under its own path, and the results to export.json.

    Some formats have several files per clip: NAME.mot, NAME_grf.mot and so on.

    Damaged clips and clips of another body are named with their reason; the others
    are written. With --policy, the command writes a policy's network instead, from
    observation to muscle excitations, and checks it against the policy.

    Exits with 0 if every clip was written, 1 if some were refused (each is named
    with its reason), 2 for wrong usage.
    """
    refuse_verbose_and_quiet(verbose=verbose, quiet=quiet)
    if policy is not None or to is To.onnx:
        given = {
            "--fingers": fingers,
            "--include": bool(include),
            "--body": body is not None,
            "--feasible-only": feasible_only,
            "--tracked": tracked,
        }
        unused = [name for name, is_given in given.items() if is_given]
        _export_policy(policy, source, out, to, unused, json_=json_, quiet=quiet)
        return
    folder = _checked_folder(source, out)
    check_clips(source)
    result = _export_clips(
        source, folder, to, include or [], body=body and body.value, fingers=fingers, feasible_only=feasible_only,
        tracked=tracked, verbose=verbose and not json_, hidden=quiet or json_,
    )  # fmt: skip
    echo_lines(result.problems, err=True)
    if json_:
        echo_json(result.to_dict())
    elif not quiet:
        written = [clip for clip in result.clips if clip.status == "ok"]
        frames = sum(clip.nframe for clip in written)
        echo(f"{len(written)} clips as {to.value} in {folder}, {frames:,} frames; {len(result.refused)} refused")
    raise typer.Exit(1 if result.refused or result.problems else 0)


def _export_clips(
    source: Path,
    out: Path,
    to: To,
    include: Sequence[str],
    *,
    body: str | None,
    fingers: bool,
    feasible_only: bool,
    tracked: bool,
    verbose: bool,
    hidden: bool,
) -> "ExportResult":
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.pipelines.export import export_clips

    with ProgressDisplay(hidden=hidden) as display:
        count = display.count()

        def show(clip: "ExportedClip", done: int, total: int) -> None:
            _print_clip(clip, verbose=verbose)
            count(done, total)

        return export_clips(
            source,
            out,
            to=to.value,
            fingers=fingers,
            include=tuple(include),
            body=body,
            feasible_only=feasible_only,
            tracked=tracked,
            progress=show,
        )


def _checked_folder(source: Path, out: Path | None) -> Path:
    """Return the output folder, or refuse arguments that are no source and folder."""
    if not source.exists():
        raise typer.BadParameter(f"there is no folder and no clip at {source}")
    if out is None or out.is_file():
        raise typer.BadParameter(f"{out} is a file; OUT is a folder" if out else "OUT, a folder, is missing")
    return out


def _export_policy(
    policy: Path | None, out: Path, extra: Path | None, to: To, unused: list[str], *, json_: bool, quiet: bool
) -> None:
    """Write a policy to the first path of the command line."""
    if policy is None or to is not To.onnx or extra is not None or unused:
        right = "to export a policy: --policy FILE --to onnx OUT"
        raise typer.BadParameter(f"{unused[0]} is for clips" if unused else right)
    from musclemap.pipelines.export_policy import export_policy

    result = export_policy(policy, out)
    if json_:
        echo_json(result.to_dict())
    elif not quiet:
        echo(f"{result.file}: {result.nobs} observations to {result.nu} excitations of {result.body}")


def _print_clip(clip: "ExportedClip", *, verbose: bool) -> None:
    """Print refusals and notes to stderr, and with `verbose` a line per written clip to stdout."""
    if clip.status != "ok":
        echo(f"refused {clip.clip}: {clip.reason}", err=True)
    for note in clip.notes:
        echo(f"note {clip.clip}: {note}", err=True)
    if verbose and clip.status == "ok":
        echo(f"{clip.file}: {clip.nframe} frames")


if __name__ == "__main__":
    app()
