"""`mm-download`: data that others prepared, brought here and made into clips; and what has to be fetched by hand."""

import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musclemap.cli.output.terminal_text import echo, echo_json, echo_lines
from musclemap.errors import SettingsError
from musclemap.urls import shown_url

from .option_checks import refuse_unread
from .options import Device
from .program import Program

if TYPE_CHECKING:
    from musclemap.datasets.downloads.catalogue import Entry
    from musclemap.datasets.downloads.file_filter import FileFilter
    from musclemap.datasets.downloads.speed_guard import TransferLimits
    from musclemap.pipelines.download import Chosen, Downloaded
    from musclemap.retarget.config import RetargetConfig

app = Program("mm-download")

_BUNDLES, _HUB, _CHECKS = "Bundles", "Data sets of the Hugging Face hub", "What is here already"


LONGEST_WORDS = 200
"""Letters of a licence that are shown."""

_ALWAYS = ("what", "out", "json_", "verbose", "quiet")
_SOME = (*_ALWAYS, "include", "exclude", "group", "limit", "workers", "sha256", "dry_run")  # a few refused in words
_READ = {
    "list": (*_ALWAYS, "list_"),
    "check": (*_ALWAYS, "check", "body_models", "group"),
    "bundle": (*_SOME, "timeout"),
    "huggingface": (*_SOME, "revision", "convert", "overwrite", "device", "config", "set_"),
}
"""Parameters that each kind of call reads."""


class Archive(StrEnum):
    """Archives that are fetched by hand."""

    amass = "amass"


@app.command()
def download(
    ctx: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(
            help="Name of the catalogue, hf://OWNER/NAME or hf://OWNER/NAME@REVISION, or URL of a bundle's "
            "MANIFEST.json; with --check the folder of the archive.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Argument(help="Folder to write to.", show_default=False)] = None,
    list_: Annotated[bool, typer.Option("--list", help="What there is, under which licence, and where.")] = False,
    check: Annotated[
        Archive | None,
        typer.Option(help="Tell what of an archive is here, and what to fetch by hand.", rich_help_panel=_CHECKS),
    ] = None,
    body_models: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of body models to look at.", rich_help_panel=_CHECKS)
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only these files; may be repeated.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Not these; may be repeated.")] = None,
    group: Annotated[str | None, typer.Option(metavar="NAME", help="Only motions of this list.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="The first N files.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Downloads at a time.")] = 4,
    sha256: Annotated[
        str | None, typer.Option(metavar="HASH", help="What the manifest's hash must be.", rich_help_panel=_BUNDLES)
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Longest silence.", rich_help_panel=_BUNDLES)
    ] = 30.0,
    revision: Annotated[
        str | None, typer.Option(metavar="REV", help="Branch, tag or commit.", rich_help_panel=_HUB)
    ] = None,
    convert: Annotated[
        bool, typer.Option(help="Make clips of trajectories, and check them.", rich_help_panel=_HUB)
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make clips again that are up to date.", rich_help_panel=_HUB)
    ] = False,
    device: Annotated[
        Device | None, typer.Option(help="Where clips are checked.", rich_help_panel=_HUB, show_default="GPU if any")
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings (TOML).", rich_help_panel=_HUB)] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as default_fps=100.", rich_help_panel=_HUB),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would come, bring nothing.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A line for every file.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what went wrong.")] = False,
) -> None:
    """Bring data sets here: bundles of clips, or trajectories of the hub, which become clips.

    Files arrive whole, with the hash that was announced, or not at all; a run that was interrupted goes on where it
    stopped. Motions and body models whose owners give them out only by themselves are never downloaded: --check tells
    which are missing and where to get them.

    Exit status: 0 all is here, 1 some of it is not (each is named with its reason), 2 wrong use or no access.
    """
    if verbose and quiet:
        raise typer.BadParameter("-v and -q exclude each other")
    from musclemap.datasets.downloads.speed_guard import TransferLimits

    shown = _Shown(json=json_, quiet=quiet, verbose=verbose)
    if list_ or check is not None:
        _refuse_more(list_, check, what, out)
        refuse_unread(ctx, _READ["list" if list_ else "check"], what="--list and --check")
        status = _list(shown) if list_ else _check(Path(what or ""), body_models, group, shown)
    else:
        if what is None or out is None:
            raise SettingsError("what to download, and the folder for it, must be given; --list tells what there is")
        from musclemap.datasets.downloads.file_filter import FileFilter

        limits = TransferLimits(timeout=timeout)
        file_filter = FileFilter(include=tuple(include or ()), exclude=tuple(exclude or ()), group=group, limit=limit)
        if what.startswith(("http://", "https://")):
            refuse_unread(ctx, _READ["bundle"], what="bundles")
            status = _bundle(what, out, file_filter, sha256, limits, workers, dry_run, shown)
        else:
            entry = _entry(what)
            kind = "data sets of the hub" if entry.kind == "huggingface" else "bundles"
            refuse_unread(ctx, _READ[entry.kind], what=kind)
            settings = _settings(config, set_ or [])
            status = _trajectories(
                entry, out, file_filter, shown, settings=settings, revision=revision or entry.revision, convert=convert,
                overwrite=overwrite, workers=workers, device=device, dry_run=dry_run, sha256=sha256,
                limits=limits,
            )  # fmt: skip
    raise typer.Exit(status)


class _Shown:
    """How much is told."""

    def __init__(self, *, json: bool, quiet: bool, verbose: bool) -> None:
        self.json, self.quiet, self.verbose = json, quiet, verbose

    @property
    def words(self) -> bool:
        """Whether there are words on stdout."""
        return not (self.json or self.quiet)


def _refuse_more(list_: bool, check: Archive | None, what: str | None, out: Path | None) -> None:
    if list_ and (check is not None or what is not None):
        raise SettingsError("--list stands alone")
    if check is not None and (what is None or out is not None):
        raise SettingsError(f"--check {check} takes one folder, where the archive is")


def _list(shown: _Shown) -> int:
    from musclemap.datasets.downloads.catalogue import UNKNOWN, load_catalogue

    entries = load_catalogue()
    if shown.json:
        echo_json([asdict(entry) for entry in entries], indent=2)
        return 0
    for entry in entries:
        note = f" ({entry.licence_note})" if entry.licence_note else ""
        how = {"huggingface": "Hugging Face data set", "bundle": "bundle", "by hand": "to be fetched by hand"}
        hashes = f"{len(entry.sha256)} files" if entry.sha256 else f"{UNKNOWN} before the download"
        lines = [
            entry.name,
            f"  {entry.what}",
            f"  {how[entry.kind]}, {entry.page}" + (", access has to be asked for" if entry.gated else ""),
            f"  licence: {entry.licence or UNKNOWN}{note}",
        ]
        if entry.kind != "by hand":
            size = f"{entry.size:,} bytes" if entry.size is not None else UNKNOWN
            lines.append(f"  size: {size}; hashes: {hashes}; revision: {entry.revision or 'the newest'}")
        echo_lines(lines)
    return 0


def _check(root: Path, body_models: Path | None, group: str | None, shown: _Shown) -> int:
    from musclemap.cli.output.download_report import archive_lines
    from musclemap.datasets.downloads.amass_check import check_archive

    state = check_archive(root, body_models=body_models, groups=(group,) if group else ())
    if shown.json:
        echo_json(state.to_dict(), indent=2)
    else:
        for line in archive_lines(state, brief=shown.quiet):
            echo(line)
    return 0 if state.complete else 1


def _entry(what: str) -> "Entry":
    """The thing that is meant, which need not be in the catalogue if it is a data set of the hub."""
    from musclemap.datasets.downloads.catalogue import Entry, find_entry

    if what.startswith("hf://"):
        name, _, revision = what.removeprefix("hf://").removeprefix("datasets/").partition("@")
        page = f"https://huggingface.co/datasets/{name}"
        return Entry(
            name=name, kind="huggingface", what="", where=name, page=page, gated=False, revision=revision or None
        )
    entry = find_entry(what)
    if entry.kind == "by hand":
        raise SettingsError(
            f"{entry.name} has to be fetched by hand from {entry.page}: its licence allows nobody to pass it on; "
            "`mm-download --check amass DIR --body-models DIR` tells what is missing"
        )
    return entry


def _settings(config: Path | None, assignments: list[str]) -> "RetargetConfig":
    from musclemap.retarget.config import RetargetConfig
    from musclemap.settings import load_settings, override

    return override(load_settings(RetargetConfig, config) if config else RetargetConfig(), assignments)


def _bundle(
    url: str,
    out: Path,
    file_filter: "FileFilter",
    sha256: str | None,
    limits: "TransferLimits",
    workers: int,
    dry_run: bool,
    shown: _Shown,
) -> int:
    from musclemap.cli.output.download_report import amount, print_lost, show_moved
    from musclemap.datasets.downloads.bundle import fetch_bundle
    from musclemap.datasets.downloads.bundle_manifest import read_bundle
    from musclemap.datasets.downloads.transport import Transport

    if file_filter.group is not None or file_filter.limit is not None:
        raise SettingsError("--group and --limit are for data sets of the hub; a bundle takes --include and --exclude")
    transport = Transport(limits=limits)
    bundle = read_bundle(url, transport, sha256=sha256)
    if dry_run:
        requested = [file for file in bundle.files if file_filter.matches(file.path.as_posix())]
        size = sum(file.size for file in requested)
        message = {
            "url": shown_url(bundle.url),
            "licence": bundle.licence,
            "sha256": bundle.sha256,
            "files": len(requested),
        }
        if shown.json:
            echo_json({**message, "size": size})
        elif shown.words:
            echo(f"{len(requested)} files, {amount(size)}, licence {_short(bundle.licence)}; nothing was downloaded")
        return 0
    started = time.perf_counter()
    with show_moved(hidden=shown.quiet or shown.json) as progress:
        fetched = fetch_bundle(
            bundle, out, transport, workers=workers, requested=file_filter.matches, progress=progress
        )
    print_lost(fetched.failed)
    if shown.json:
        message = {"done": fetched.done, "kept": fetched.kept, "failed": dict(fetched.failed), "out": str(out)}
        echo_json({**message, "url": shown_url(bundle.url), "licence": bundle.licence, "sha256": bundle.sha256})
    elif shown.words:
        for name in fetched.done if shown.verbose else ():
            echo(f"here {name}")
        counts = (
            f"{len(fetched.done)} files downloaded, {len(fetched.kept)} here already, {len(fetched.failed)} missing"
        )
        echo(f"{counts}; licence {_short(bundle.licence)}; {out}, {time.perf_counter() - started:.1f} s")
    return 1 if fetched.failed else 0


def _short(text: str) -> str:
    """Words of others, cut off where they are long; --json has them whole."""
    return text if len(text) <= LONGEST_WORDS else f"{text[:LONGEST_WORDS]}..."


def _trajectories(
    entry: "Entry", out: Path, file_filter: "FileFilter", shown: _Shown, *, settings: "RetargetConfig",
    revision: str | None,
    convert: bool, overwrite: bool, workers: int, device: Device | None, dry_run: bool, sha256: str | None,
    limits: "TransferLimits",
) -> int:  # fmt: skip
    if entry.kind == "bundle":
        known = (entry.sha256 or {}).get("MANIFEST.json")
        return _bundle(entry.where or "", out, file_filter, sha256 or known, limits, workers, dry_run, shown)
    if sha256 is not None:
        raise SettingsError("--sha256 is for bundles; of a data set of the hub --revision fixes every file")
    from musclemap.cli.output.download_report import amount, calm_hub, show_converted, show_files
    from musclemap.pipelines.device import choose_device, keep_compilations, share_gpu_memory
    from musclemap.pipelines.download import choose_files, download_data_set

    calm_hub()
    chosen = choose_files(entry, file_filter, revision=revision)
    if dry_run:
        _tell_chosen(chosen, entry, shown, amount(chosen.size))
        return 0
    if convert:
        share_gpu_memory()
        keep_compilations()
    hidden = shown.quiet or shown.json
    with show_files(chosen, hidden=hidden) as moved, show_converted(hidden=hidden, verbose=shown.verbose) as converted:
        came = download_data_set(
            chosen, entry, out, config=settings, convert=convert, overwrite=overwrite, workers=workers,
            device=choose_device(device) if convert else None, moved=moved, converted=converted,
        )  # fmt: skip
    _tell(came, shown, amount(chosen.size))
    return 0 if came.complete else 1


def _tell_chosen(chosen: "Chosen", entry: "Entry", shown: _Shown, size: str) -> None:
    data_set = chosen.data_set
    if shown.json:
        message = {"repository": data_set.repository, "revision": data_set.revision, "licence": data_set.licence}
        echo_json({**message, "files": list(chosen.files), "size": chosen.size})
    elif shown.words:
        for name in chosen.files if shown.verbose else ():
            echo(name)
        licence = data_set.licence or entry.licence or "not known"
        echo(f"{len(chosen.files)} files, {size}, of {data_set.repository} at {data_set.revision[:12]}, licence "
                   f"{licence}; nothing was downloaded")  # fmt: skip


def _tell(came: "Downloaded", shown: _Shown, size: str) -> None:
    from musclemap.cli.output.conversion_report import print_failures, print_summary
    from musclemap.cli.output.download_report import print_lost

    data_set = came.chosen.data_set
    if came.summary is not None:
        print_failures(came.summary)
    else:
        print_lost({**came.brought.failed, **came.refused})
    if came.chosen.missing:
        echo(f"{len(came.chosen.missing)} motions of the list are not in {data_set.repository}; the first is "
                   f"{came.chosen.missing[0]}", err=True)  # fmt: skip
    if shown.json:
        echo_json(came.to_dict())
    elif shown.words:
        if came.summary is not None:
            print_summary(came.summary)
        where = f"{data_set.repository} at {data_set.revision[:12]}, licence {data_set.licence or 'not told'}"
        echo(f"{len(came.brought.paths)} files here of {len(came.chosen.files)} wanted ({size}) from {where}; "
                   f"as they came in {came.originals}")  # fmt: skip


if __name__ == "__main__":
    app()
