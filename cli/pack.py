"""`mm-pack`: pack clips into a bundle that can be published or kept."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from musclemap.cli.output.terminal_text import echo, echo_json
from musclemap.pipelines.wording import counted

from .options import pack as opt
from .options.checks import one_output, refuse_unused
from .options.shared import Json, Quiet
from .program import Program

if TYPE_CHECKING:
    from musclemap.pipelines.packing.bundle import Bundle, BundleMetadata
    from musclemap.pipelines.packing.contents import PackContents, PackOptions

app = Program("mm-pack", kept="no bundle was written")

NAMED = 50
"""Number of clips listed by name on the terminal; MANIFEST.json lists all."""


_EXAMPLES = (
    "mm-pack out/ bundle/ --dry-run",
    "mm-pack out/ bundle/ --licence 'walks/*=CC-BY-4.0' --shares 0.8,0.1,0.1",
    "mm-pack out/ -o bundle/ --private --parquet",
)


@app.command(examples=_EXAMPLES)
def pack(
    ctx: typer.Context,
    source: opt.Source,
    out: opt.Out = None,
    output: opt.Output = None,
    licence: opt.Licence = None,
    private: opt.Private = False,
    infeasible: opt.Infeasible = False,
    shares: opt.Shares = "0.8,0.1,0.1",
    seed: opt.Seed = 0,
    train: opt.Train = None,
    val: opt.Val = None,
    test: opt.Test = None,
    shared_subjects: opt.SharedSubjects = False,
    name: opt.Name = None,
    data_version: opt.DataVersion = "1.0.0",
    description: opt.Description = "",
    url: opt.Url = None,
    creator: opt.Creator = None,
    date: opt.Date = None,
    citation: opt.Citation = None,
    parquet: opt.Parquet = False,
    overwrite: opt.Overwrite = False,
    dry_run: opt.DryRun = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Pack clips with hashes, train, val and test splits, a data set card and Croissant metadata.

    Clips whose licence forbids redistribution or is unknown are refused.
    Infeasible clips are left out. The same clips and options give the same bytes.
    `mm-download` downloads the bundle from a server.

    Exits with 0 if every requested clip was packed, 1 if clips are damaged or
    refused for their licence (each is named), 2 for wrong usage or if no clip is left.
    """
    out = one_output(out, output)
    if out is None:
        raise typer.BadParameter("OUT is missing: the folder of the new bundle")
    stated = {"url": _checked_url(url), "creator": creator, "date_published": _checked_date(date), "citation": citation}
    groups = {split: group for split, group in (("train", train), ("val", val), ("test", test)) if group is not None}
    _check_splits(ctx, by_groups=any(groups.values()))
    options = _pack_options(shares, licence or [], groups, private, infeasible, seed, shared_subjects)
    metadata = _bundle_metadata(name or out.resolve().name, data_version, description, stated)
    contents, bundle = _write(
        source, out, options, metadata, overwrite=overwrite, parquet=parquet, dry_run=dry_run, hidden=quiet or json_
    )
    _print_result(contents, bundle, options, json_=json_, quiet=quiet)
    raise typer.Exit(1 if contents.faults else 0)


def _check_splits(ctx: typer.Context, *, by_groups: bool) -> None:
    """Refuse options of the other way to split."""
    unused, subject = (("shares", "seed"), "groups") if by_groups else (("shared_subjects",), "shares of subjects")
    refuse_unused(ctx, [name for name in ctx.params if name not in unused], subject=subject)


def _pack_options(
    shares: str,
    licences: Sequence[str],
    groups: Mapping[str, str],
    private: bool,
    infeasible: bool,
    seed: int,
    shared_subjects: bool,
) -> "PackOptions":
    from musclemap.pipelines.packing.contents import PackOptions
    from musclemap.pipelines.packing.licences import parse_statements
    from musclemap.pipelines.packing.splits import parse_shares

    return PackOptions(
        private=private,
        infeasible=infeasible,
        stated_licences=parse_statements(licences),
        groups=groups,
        shares=parse_shares(shares),
        seed=seed,
        shared_subjects=shared_subjects,
    )


def _bundle_metadata(name: str, version: str, description: str, stated: Mapping[str, str | None]) -> "BundleMetadata":
    from musclemap.pipelines.packing.bundle import BundleMetadata

    known = {key: value for key, value in stated.items() if value is not None}
    return BundleMetadata(name=name, version=version, description=description, properties=known)


def _write(
    source: Path,
    out: Path,
    options: "PackOptions",
    metadata: "BundleMetadata",
    *,
    overwrite: bool,
    parquet: bool,
    dry_run: bool,
    hidden: bool,
) -> tuple["PackContents", "Bundle | None"]:
    """Select the clips and write the bundle; None instead of the bundle in a dry run."""
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.pipelines.packing.bundle import check_output_folder, write_bundle
    from musclemap.pipelines.packing.contents import select_contents
    from musclemap.pipelines.packing.parquet import check_pyarrow

    check_output_folder(out, source, overwrite=overwrite)
    if parquet:
        check_pyarrow()
    with ProgressDisplay(hidden=hidden) as display:
        contents = select_contents(source, options, progress=display.count())
    if dry_run:
        return contents, None
    with ProgressDisplay(hidden=hidden) as display:
        progress = display.count()
        bundle = write_bundle(
            source, contents, out, options, metadata, overwrite=overwrite, parquet=parquet, progress=progress
        )
        return contents, bundle


def _print_result(
    contents: "PackContents", bundle: "Bundle | None", options: "PackOptions", *, json_: bool, quiet: bool
) -> None:
    for fault in contents.faults[:NAMED]:
        echo(f"{fault.code} {fault.source}: {fault.reason}", err=True)
    if len(contents.faults) > NAMED:
        echo(f"and {len(contents.faults) - NAMED} more", err=True)
    if json_:
        echo_json(_to_dict(contents, bundle))
    elif not quiet:
        _print_summary(contents, bundle, options)


def _checked_url(url: str | None) -> str | None:
    """Check the web address that is published with the data. It must not contain a user or password."""
    from musclemap.urls import has_user, shown_url

    if url is not None and (not url.startswith(("http://", "https://")) or has_user(url)):
        raise typer.BadParameter(
            f"{shown_url(url)} is no address to publish: it has to start with http:// or https:// and contain no user "
            "or password",
            param_hint="--url",
        )
    return url


def _checked_date(text: str | None) -> str | None:
    from datetime import date

    if text is None:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise typer.BadParameter(f"a date has the form YYYY-MM-DD, not {text!r}", param_hint="--date") from None


def _print_summary(contents: "PackContents", bundle: "Bundle | None", options: "PackOptions") -> None:
    splits = Counter(clip.split for clip in contents.clips)
    hours = sum(clip.facts["seconds"] for clip in contents.clips) / 3600
    sizes = ", ".join(f"{splits[split]} {split}" for split in ("train", "val", "test"))
    subjects = len({clip.subject for clip in contents.clips})
    echo(f"{counted(len(contents.clips), 'clip')} ({sizes}), {hours:.3f} h, {counted(subjects, 'subject')}")
    codes = Counter(one.code for one in contents.left_out)
    if codes:
        echo("left out: " + ", ".join(f"{count} {code}" for code, count in sorted(codes.items())))
    empty = [split for split, share in options.shares.items() if share > 0 and not splits[split]]
    if empty and not options.groups:
        echo(f"no clip is in {' and '.join(empty)}: there are too few subjects", err=True)
    if bundle is None:
        echo("nothing was written")
        return
    if bundle.lacking:
        lacking = ", ".join(bundle.lacking)
        echo(f"croissant.json lacks {lacking}, which a publication needs: see --url, --creator, --date", err=True)
    echo(f"{bundle.out}: {bundle.size / 1e6:,.1f} MB, MANIFEST.json {bundle.sha256}")


def _to_dict(contents: "PackContents", bundle: "Bundle | None") -> dict[str, Any]:
    clips = [
        {
            "source": clip.entry.source,
            "path": clip.path,
            "split": clip.split,
            "subject": clip.subject,
            "licence": clip.terms.licence,
            "licence_from": "stated" if clip.terms.stated else "clip",
        }
        for clip in contents.clips
    ]
    written = (
        {"out": str(bundle.out), "sha256": bundle.sha256, "size": bundle.size, "lacking": bundle.lacking}
        if bundle
        else None
    )
    return {"bundle": written, "clips": clips, "left_out": [asdict(one) for one in contents.left_out]}


if __name__ == "__main__":
    app()
