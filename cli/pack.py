"""`mm-pack`: a bundle of clips that can be published, or kept."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from musclemap.cli.output.terminal_text import echo, echo_json

from .option_checks import refuse_unread
from .program import Program

if TYPE_CHECKING:
    from musclemap.pipelines.packing.bundle import Bundle
    from musclemap.pipelines.packing.contents import Contents, Wishes

app = Program("mm-pack")

NAMED = 50
"""Clips named one by one on the terminal; MANIFEST.json has all."""

_SPLITS, _LABEL = "Splits", "What the metadata say"


@app.command()
def pack(
    ctx: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of a conversion, with its manifest.jsonl.", exists=True, file_okay=False, show_default=False
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Folder of the bundle; it is made.", show_default=False)],
    licence: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB=LICENCE",
            help="Licence of sources that do not tell theirs, such as 'walks/*=CC-BY-4.0'; may be repeated.",
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Also take clips whose licence forbids passing on, or is unknown.")
    ] = False,
    infeasible: Annotated[bool, typer.Option("--infeasible", help="Also take infeasible clips.")] = False,
    shares: Annotated[
        str,
        typer.Option(
            metavar="TRAIN,VAL,TEST",
            help="How much of the time each gets; people stay together.",
            rich_help_panel=_SPLITS,
        ),
    ] = "0.8,0.1,0.1",
    seed: Annotated[int, typer.Option(help="Another number divides people otherwise.", rich_help_panel=_SPLITS)] = 0,
    train: Annotated[
        str | None,
        typer.Option(
            metavar="GROUP", help="Group of motions, or a file of them; without it, the rest.", rich_help_panel=_SPLITS
        ),
    ] = None,
    val: Annotated[str | None, typer.Option(metavar="GROUP", help="The same.", rich_help_panel=_SPLITS)] = None,
    test: Annotated[str | None, typer.Option(metavar="GROUP", help="The same.", rich_help_panel=_SPLITS)] = None,
    shared_subjects: Annotated[
        bool, typer.Option("--shared-subjects", help="Groups may have people in common.", rich_help_panel=_SPLITS)
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of the bundle.", show_default="the folder's", rich_help_panel=_LABEL)
    ] = None,
    data_version: Annotated[str, typer.Option(help="Version of the data.", rich_help_panel=_LABEL)] = "1.0.0",
    description: Annotated[str, typer.Option(help="In words.", rich_help_panel=_LABEL)] = "",
    url: Annotated[str | None, typer.Option(help="Page of the data set.", rich_help_panel=_LABEL)] = None,
    creator: Annotated[str | None, typer.Option(help="Who made it.", rich_help_panel=_LABEL)] = None,
    date: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Day of publication.", rich_help_panel=_LABEL)
    ] = None,
    citation: Annotated[str | None, typer.Option(help="How to cite it.", rich_help_panel=_LABEL)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier bundle.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be packed, write nothing.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what went wrong.")] = False,
) -> None:
    """Pack clips: files with their hashes, train, val and test, a data set card, and Croissant metadata.

    Clips whose licence forbids passing on, or is unknown, are refused; infeasible ones are left out. The same clips and
    options give the same bytes. The bundle is what `mm-download` takes from a server.

    Exit status: 0 all that was asked for is packed, 1 clips are damaged or refused for their licence (each is named),
    2 wrong use, or nothing to pack.
    """
    from musclemap.cli.output.clip_count import show_count
    from musclemap.pipelines.packing.bundle import Label, check_place, write_bundle
    from musclemap.pipelines.packing.contents import Wishes, choose
    from musclemap.pipelines.packing.licences import parse_statements
    from musclemap.pipelines.packing.splits import parse_shares

    message = {"url": _page(url), "creator": creator, "date_published": _day(date), "citation": citation}
    groups = {"train": train, "val": val, "test": test}
    if any(groups.values()):
        refuse_unread(ctx, [name for name in ctx.params if name not in ("shares", "seed")], what="groups")
    else:
        refuse_unread(ctx, [name for name in ctx.params if name != "shared_subjects"], what="shares of people")
    wishes = Wishes(
        private=private, infeasible=infeasible, stated=parse_statements(licence or ()),
        groups={split: group for split, group in groups.items() if group is not None},
        shares=parse_shares(shares), seed=seed, shared_subjects=shared_subjects,
    )  # fmt: skip
    label = Label(
        name=name or out.resolve().name, version=data_version, description=description,
        stated={key: value for key, value in message.items() if value is not None},
    )  # fmt: skip
    check_place(out, source, overwrite=overwrite)
    with show_count(hidden=quiet or json_) as count:
        contents = choose(source, wishes, progress=count)
    bundle = None
    if not dry_run:
        with show_count(hidden=quiet or json_) as count:
            bundle = write_bundle(source, contents, out, wishes, label, overwrite=overwrite, progress=count)
    _name_faults(contents)
    if json_:
        echo_json(_plain(contents, bundle))
    elif not quiet:
        _summarise(contents, bundle, wishes)
    raise typer.Exit(1 if contents.faults else 0)


def _page(url: str | None) -> str | None:
    """The address of a page that is published with the data: without a password, and of the web."""
    from musclemap.urls import has_user, shown_url

    if url is not None and (not url.startswith(("http://", "https://")) or has_user(url)):
        raise typer.BadParameter(
            f"{shown_url(url)} is no address to publish: it has to begin with http:// or https:// and hold no user or "
            "password", param_hint="--url",
        )  # fmt: skip
    return url


def _day(text: str | None) -> str | None:
    from datetime import date

    if text is None:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise typer.BadParameter(f"a day is written YYYY-MM-DD, not {text!r}", param_hint="--date") from None


def _name_faults(contents: "Contents") -> None:
    for one in contents.faults[:NAMED]:
        echo(f"{one.code} {one.source}: {one.reason}", err=True)
    if len(contents.faults) > NAMED:
        echo(f"and {len(contents.faults) - NAMED} more", err=True)


def _summarise(contents: "Contents", bundle: "Bundle | None", wishes: "Wishes") -> None:
    splits = Counter(clip.split for clip in contents.clips)
    hours = sum(clip.facts["seconds"] for clip in contents.clips) / 3600
    message = ", ".join(f"{splits[split]} {split}" for split in ("train", "val", "test"))
    echo(f"{len(contents.clips)} clips ({message}), {hours:.3f} h, {len({c.subject for c in contents.clips})} people")
    codes = Counter(one.code for one in contents.left_out)
    if codes:
        echo("left out: " + ", ".join(f"{count} {code}" for code, count in sorted(codes.items())))
    empty = [split for split, share in wishes.shares.items() if share > 0 and not splits[split]]
    if empty and not wishes.groups:
        echo(f"no clip is in {' and '.join(empty)}: there are too few people", err=True)
    if bundle is None:
        echo("nothing was written")
        return
    if bundle.lacking:
        echo(f"croissant.json lacks {', '.join(bundle.lacking)}, which a publication has to tell: see --url, "
                   "--creator, --date", err=True)  # fmt: skip
    echo(f"{bundle.out}: {bundle.size / 1e6:,.1f} MB, MANIFEST.json {bundle.sha256}")


def _plain(contents: "Contents", bundle: "Bundle | None") -> dict[str, Any]:
    clips = [
        {"source": clip.entry.source, "path": clip.path, "split": clip.split, "subject": clip.subject,
         "licence": clip.terms.licence, "licence_from": "stated" if clip.terms.stated else "clip"}
        for clip in contents.clips
    ]  # fmt: skip
    made = (
        {"out": str(bundle.out), "sha256": bundle.sha256, "size": bundle.size, "lacking": bundle.lacking}
        if bundle
        else None
    )
    return {"bundle": made, "clips": clips, "left_out": [asdict(one) for one in contents.left_out]}


if __name__ == "__main__":
    app()
