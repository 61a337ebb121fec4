"""`mm-export`: clips, and policies, in the formats of other programs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musclemap.cli.output.terminal_text import echo, echo_json

from .program import Program

if TYPE_CHECKING:
    from musclemap.pipelines.export import ExportedClip

app = Program("mm-export")


class To(StrEnum):
    """Formats."""

    musclemimic = "musclemimic"
    mjlab = "mjlab"
    csv = "csv"
    mot = "mot"
    bvh = "bvh"
    onnx = "onnx"


@app.command()
def export(
    source: Annotated[
        Path, typer.Argument(help="Folder of clips, or one clip (.h5); left out with --policy.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Argument(help="Folder for the files; with --policy also a file (.onnx).", show_default=False),
    ] = None,
    *,
    to: Annotated[
        To,
        typer.Option(
            "--to",
            help="musclemimic: trajectory .npz of MuscleMimic and LocoMuJoCo. mjlab: motion .npz. "
            "csv: one row a frame. mot: OpenSim motion in degrees. bvh: skeleton of the 17 landmarks. "
            "onnx: network of a policy.",
            show_default=False,
        ),
    ],
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A policy in place of clips, or the folder of its run.")
    ] = None,
    fingers: Annotated[bool, typer.Option("--fingers", help="Keep the finger joints (mjlab, csv, mot).")] = False,
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only these clips; may be repeated.")
    ] = None,
    feasible_only: Annotated[
        bool, typer.Option("--feasible-only", help="Refuse clips that the checks found infeasible.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A line for every clip.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what went wrong.")] = False,
) -> None:
    """Write clips in another program's format, each under its own path, and what became of each in export.json.

    Clips that are damaged or of another body are named with their reason, and the rest goes on. With --policy a network
    is written instead, from an observation to the muscles' excitations, and compared with the policy on the way.

    Exit status: 0 every clip was written, 1 some were refused, 2 wrong use.
    """
    if verbose and quiet:
        raise typer.BadParameter("-v and -q exclude each other")
    if policy is not None or to is To.onnx:
        given = {"--fingers": fingers, "--include": bool(include), "--feasible-only": feasible_only}
        unfit = [name for name, is_given in given.items() if is_given]
        _export_policy(policy, source, out, to, unfit, json_=json_, quiet=quiet)
        return
    out = _checked(source, out)
    from musclemap.cli.output.clip_count import show_count
    from musclemap.pipelines.export import export_clips

    with show_count(hidden=quiet or json_) as count:

        def message(clip: "ExportedClip", done: int, total: int) -> None:
            _tell(clip, verbose=verbose and not json_)
            count(done, total)

        made = export_clips(
            source, out, to=to.value, fingers=fingers, include=tuple(include or ()), feasible_only=feasible_only,
            progress=message,
        )  # fmt: skip
    for problem in made.problems:
        echo(problem, err=True)
    if json_:
        echo_json(made.to_dict())
    elif not quiet:
        written = [clip for clip in made.clips if clip.status == "ok"]
        frames = sum(clip.nframe for clip in written)
        echo(f"{len(written)} clips as {to.value} in {out}, {frames:,} frames; {len(made.refused)} refused")
    raise typer.Exit(1 if made.refused or made.problems else 0)


def _checked(source: Path, out: Path | None) -> Path:
    if not source.exists():
        raise typer.BadParameter(f"there is no folder and no clip at {source}")
    if out is None or out.is_file():
        raise typer.BadParameter(f"{out} is a file; OUT is a folder" if out else "OUT, a folder, is missing")
    return out


def _export_policy(
    policy: Path | None, out: Path, more: Path | None, to: To, unfit: list[str], *, json_: bool, quiet: bool
) -> None:
    """Write a policy; without a source the first path is where to."""
    if policy is None or to is not To.onnx or more is not None or unfit:
        why = f"{unfit[0]} is for clips" if unfit else "a policy is written by --policy FILE --to onnx OUT"
        raise typer.BadParameter(why)
    from musclemap.pipelines.export_policy import export_policy

    made = export_policy(policy, out)
    if json_:
        echo_json(made.to_dict())
    elif not quiet:
        echo(f"{made.file}: {made.nobs} observations to {made.nu} excitations of {made.body}")


def _tell(clip: "ExportedClip", *, verbose: bool) -> None:
    """A refused clip and what is left out of a file go to stderr; with `verbose` every clip has its line."""
    if clip.status != "ok":
        echo(f"refused {clip.clip}: {clip.reason}", err=True)
    for note in clip.notes:
        echo(f"note {clip.clip}: {note}", err=True)
    if verbose and clip.status == "ok":
        echo(f"{clip.file}: {clip.nframe} frames")


if __name__ == "__main__":
    app()
