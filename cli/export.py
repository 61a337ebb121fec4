"""`mm-export`: export clips and policies to the formats of other programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import typer

from musclemap.cli.output.terminal_text import echo, echo_json, echo_lines
from musclemap.errors import SettingsError
from musclemap.pipelines.wording import counted

from .options import export as opt
from .options.checks import check_policy, one_output, refuse_verbose_and_quiet, selected_clips
from .options.export import WITH_FINGERS, To
from .options.shared import Json, Quiet
from .options.variants import AddedMass, Alterations, JointRange, Strength, alterations
from .program import Program

if TYPE_CHECKING:
    from musclemap.pipelines.export import ExportResult
    from musclemap.pipelines.export_record import ExportedClip
    from musclemap.skeletons.variants.variant import BodyVariant

app = Program("mm-export", kept="the files written so far are kept, repeat the command for the others")


_EXAMPLES = (
    "mm-export out/ tables/ --to csv",
    "mm-export out/ opensim/ --to opensim --include '*walk*'",
    "mm-export --policy run/ --to onnx -o policy.onnx",
)


@app.command(examples=_EXAMPLES)
def export(
    source: opt.Source = None,
    out: opt.Out = None,
    *,
    output: opt.Output = None,
    to: opt.Format,
    policy: opt.Policy = None,
    fingers: opt.Fingers = False,
    include: opt.Include = None,
    exclude: opt.Exclude = None,
    limit: opt.Limit = None,
    body: opt.BodyFilter = None,
    feasible_only: opt.FeasibleOnly = False,
    tracked: opt.Tracked = False,
    strength: Strength = None,
    joint_range: JointRange = None,
    added_mass: AddedMass = None,
    json_: Json = False,
    verbose: opt.Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Write clips in another program's format, each under its own path, and the results to export.json.

    Some formats have several files per clip: NAME.mot, NAME_grf.mot and so on.

    With --tracked, --strength, --joint-range and --added-mass choose the track of a
    body that they altered.

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
            "--exclude": bool(exclude),
            "--limit": limit is not None,
            "--body": body is not None,
            "--feasible-only": feasible_only,
            "--tracked": tracked,
            "--strength": bool(strength),
            "--joint-range": bool(joint_range),
            "--added-mass": bool(added_mass),
        }
        unused = [name for name, is_given in given.items() if is_given]
        target = one_output(source, output)
        _export_policy(policy, target, out, to, unused, json_=json_, quiet=quiet)
        return
    from musclemap.datasets.output_folder import refuse_own_source

    altered = alterations(strength, joint_range, added_mass)
    altered.refuse_without(tracked=tracked)
    source, folder = _checked_folder(source, one_output(out, output))
    if fingers and to not in WITH_FINGERS:
        raise SettingsError(f"{to.value} does not support fingers; formats that do: {', '.join(WITH_FINGERS)}")
    refuse_own_source(source, folder)
    chosen = selected_clips(source, include or (), exclude or (), limit, listed=True)
    variant = _variant(source, chosen, altered, body=body and body.value)
    filters = _Filters(include=include or (), exclude=exclude or (), limit=limit)
    result = _export_clips(
        source, folder, to, filters, body=body and body.value, fingers=fingers, feasible_only=feasible_only,
        tracked=tracked, variant=variant, verbose=verbose and not json_, hidden=quiet or json_,
    )  # fmt: skip
    echo_lines(result.problems, err=True)
    if json_:
        echo_json(result.to_dict())
    elif not quiet:
        written = [clip for clip in result.clips if clip.status == "ok"]
        clips, frames = counted(len(written), "clip"), sum(clip.nframe for clip in written)
        echo(f"{clips} as {to.value} in {folder}, {frames:,} frames; {len(result.refused)} refused")
    raise typer.Exit(1 if result.refused or result.problems else 0)


def _variant(
    source: Path, chosen: frozenset[str] | None, altered: Alterations, *, body: str | None
) -> "BodyVariant":  # fmt: skip
    """What alters the bodies of the tracks, by the names of the parts of the first clip's body."""
    from musclemap.skeletons.variants.variant import UNALTERED

    if not altered:
        return UNALTERED
    from musclemap.datasets.clip import read_clip
    from musclemap.pipelines.viewer.clips import find_clips

    clips = find_clips(source, body=body)
    name = next((name for name in clips.names if chosen is None or name in chosen), clips.names[0])
    return altered.variant(read_clip(clips.root / name).model)


class _Filters(TypedDict):
    """Clips to export; keywords of `export_clips`."""

    include: Sequence[str]
    exclude: Sequence[str]
    limit: int | None


def _export_clips(
    source: Path,
    out: Path,
    to: To,
    filters: "_Filters",
    *,
    body: str | None,
    fingers: bool,
    feasible_only: bool,
    tracked: bool,
    variant: "BodyVariant",
    verbose: bool,
    hidden: bool,
) -> "ExportResult":
    from musclemap.cli.output.progress import ProgressDisplay

    with ProgressDisplay(hidden=hidden) as display:
        from musclemap.pipelines.export import export_clips

        count = display.count()

        def show(clip: "ExportedClip", done: int, total: int) -> None:
            _print_clip(clip, verbose=verbose)
            count(done, total)

        return export_clips(
            source,
            out,
            to=to.value,
            fingers=fingers,
            body=body,
            feasible_only=feasible_only,
            tracked=tracked,
            variant=variant,
            progress=show,
            **filters,
        )


def _checked_folder(source: Path | None, out: Path | None) -> tuple[Path, Path]:
    """Return the clips and the output folder, or refuse arguments that are no source and folder."""
    if source is None:
        raise typer.BadParameter("CLIPS and OUT are missing: the clips to export, and a folder")
    if not source.exists():
        raise typer.BadParameter(f"there is no folder and no clip at {source}")
    if out is None or out.is_file():
        raise typer.BadParameter(f"{out} is a file; OUT is a folder" if out else "OUT, a folder, is missing")
    return source, out


def _export_policy(
    policy: Path | None, out: Path | None, extra: Path | None, to: To, unused: list[str], *, json_: bool, quiet: bool
) -> None:
    """Write a policy to the first path of the command line."""
    if policy is None or to is not To.onnx or out is None or extra is not None or unused:
        right = "to export a policy: --policy FILE --to onnx -o OUT"
        raise typer.BadParameter(f"{unused[0]} is for clips" if unused else right)
    check_policy(policy)
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
