"""`mm-download`: download data sets as clips, and report what you have to download by hand."""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from musclemap.cli.output.terminal_text import echo, echo_json, echo_lines
from musclemap.errors import SettingsError
from musclemap.pipelines.wording import counted
from musclemap.urls import shown_url

from .builtin_data import write_builtin
from .options import download as opt
from .options.checks import one_output, refuse_unused, refuse_verbose_and_quiet
from .options.shared import Device, Json, Quiet
from .program import Program

if TYPE_CHECKING:
    from musclemap.datasets.downloads.bundle_manifest import BundleManifest
    from musclemap.datasets.downloads.catalogue import Entry
    from musclemap.datasets.downloads.file_filter import FileFilter
    from musclemap.pipelines.download import DownloadResult, TrajectorySelection
    from musclemap.retarget.config import RetargetConfig

app = Program("mm-download", kept="complete files are kept, repeat the command to resume")

LICENCE_LENGTH = 200
"""Characters of a licence that are printed; --json has them all."""

_ALWAYS = ("what", "out", "json_", "verbose", "quiet")
_FILES = (*_ALWAYS, "include", "exclude", "group", "limit", "workers", "sha256", "dry_run")  # some refused by message
_USED = {
    "list": (*_ALWAYS, "list_"),
    "check": (*_ALWAYS, "check", "body_models", "group"),
    "bundle": (*_FILES, "timeout"),
    "huggingface": (*_FILES, "revision", "convert", "overwrite", "device", "config", "set_"),
    "built-in": (*_ALWAYS, "include", "exclude", "limit", "dry_run"),
}
"""Parameters that each use of the command takes."""

_KINDS = {
    "huggingface": "Hugging Face data set", "bundle": "bundle", "built-in": "built-in data set",
    "by hand": "to be downloaded by hand",
}  # fmt: skip


_EXAMPLES = (
    "mm-download builtin-walk walk/            # a clip, its muscles and a policy; no network",
    "mm-download --list",
    "mm-download hf://OWNER/NAME out/ --include '*walk*' --limit 10",
    "mm-download --check amass amass/ --body-models smplh/",
)


@app.command(examples=_EXAMPLES)
def download(
    ctx: typer.Context,
    what: opt.What = None,
    out: opt.Out = None,
    output: opt.Output = None,
    list_: opt.List = False,
    check: opt.Check = None,
    body_models: opt.BodyModels = None,
    include: opt.Include = None,
    exclude: opt.Exclude = None,
    group: opt.Group = None,
    limit: opt.Limit = None,
    workers: opt.Workers = 4,
    sha256: opt.Sha256 = None,
    timeout: opt.Timeout = 30.0,
    revision: opt.Revision = None,
    convert: opt.Convert = True,
    overwrite: opt.Overwrite = False,
    device: opt.CheckDevice = None,
    config: opt.Config = None,
    set_: opt.Assignments = None,
    dry_run: opt.DryRun = False,
    json_: Json = False,
    verbose: opt.Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Download data sets: bundles of clips, or trajectories from the hub, which are converted to clips.

    Every file is complete and matches its announced hash, or is not written. Repeat
    the command to resume an interrupted download. Motions and body models that only
    their owners distribute are never downloaded: --check reports which are missing.
    Built-in data sets (builtin-arm, builtin-walk) need no network.

    Exits with 0 if everything is present, 1 if files are missing (each is named with
    its reason), 2 for wrong usage or without access.
    """
    refuse_verbose_and_quiet(verbose=verbose, quiet=quiet)
    out, shown = one_output(out, output), _Output(json=json_, quiet=quiet, verbose=verbose)
    if list_ or check is not None:
        raise typer.Exit(_list_or_check(ctx, what, out, body_models, group, shown, list_=list_, check=check))
    if what is None or out is None:
        raise SettingsError("give the data set to download and the folder for it; --list prints the catalogue")
    filters = _file_filter(include or [], exclude or [], group, limit)
    transfer = _Transfer(filters, workers, timeout, sha256, dry_run)
    conversion = _Conversion(revision, convert, overwrite, device, config, set_ or [])
    raise typer.Exit(_download(ctx, what, out, transfer, conversion, shown))


@dataclass(frozen=True, kw_only=True)
class _Output:
    """How much to print."""

    json: bool
    quiet: bool
    verbose: bool

    @property
    def text(self) -> bool:
        """Whether to print text on stdout."""
        return not (self.json or self.quiet)

    @property
    def hidden(self) -> bool:
        """Whether to hide the progress."""
        return self.json or self.quiet


@dataclass(frozen=True)
class _Transfer:
    """What to download, and how."""

    filters: "FileFilter"
    workers: int
    timeout: float
    sha256: str | None
    dry_run: bool


@dataclass(frozen=True)
class _Conversion:
    """How to convert trajectories of the hub."""

    revision: str | None
    convert: bool
    overwrite: bool
    device: Device | None
    config: Path | None
    assignments: list[str]


def _list_or_check(
    ctx: typer.Context,
    what: str | None,
    out: Path | None,
    body_models: Path | None,
    group: str | None,
    output: _Output,
    *,
    list_: bool,
    check: opt.Archive | None,
) -> int:
    """Print the catalogue, or check an archive; returns the exit status."""
    if list_ and (check is not None or what is not None):
        raise SettingsError("--list stands alone")
    if check is not None and (what is None or out is not None):
        raise SettingsError(f"--check {check} takes one folder: that of the archive")
    refuse_unused(ctx, _USED["list" if list_ else "check"], subject="--list and --check")
    return _list(output) if list_ else _check(Path(what or ""), body_models, group, output)


def _list(output: _Output) -> int:
    from musclemap.datasets.downloads.catalogue import UNKNOWN, load_catalogue

    entries = load_catalogue()
    if output.json:
        echo_json([asdict(entry) for entry in entries], indent=2)
        return 0
    for entry in entries:
        note = f" ({entry.licence_note})" if entry.licence_note else ""
        hashes = f"{len(entry.sha256)} files" if entry.sha256 else f"{UNKNOWN} before the download"
        lines = [
            entry.name,
            f"  {entry.what}",
            f"  {_KINDS[entry.kind]}"
            + (f", {entry.page}" if entry.page else "")
            + (", access on request" if entry.gated else ""),
            f"  licence: {entry.licence or UNKNOWN}{note}",
        ]
        if entry.kind not in ("by hand", "built-in"):
            size = f"{entry.size:,} bytes" if entry.size is not None else UNKNOWN
            lines.append(f"  size: {size}; hashes: {hashes}; revision: {entry.revision or 'the newest'}")
        echo_lines(lines)
    return 0


def _check(root: Path, body_models: Path | None, group: str | None, output: _Output) -> int:
    from musclemap.cli.output.download_report import archive_lines
    from musclemap.datasets.downloads.amass_check import check_archive

    state = check_archive(root, body_models=body_models, groups=(group,) if group else ())
    if output.json:
        echo_json(state.to_dict(), indent=2)
    else:
        echo_lines(archive_lines(state, brief=output.quiet))
    return 0 if state.complete else 1


def _file_filter(include: list[str], exclude: list[str], group: str | None, limit: int | None) -> "FileFilter":
    from musclemap.datasets.downloads.file_filter import FileFilter

    return FileFilter(include=tuple(include), exclude=tuple(exclude), group=group, limit=limit)


def _download(
    ctx: typer.Context, what: str, out: Path, transfer: _Transfer, conversion: _Conversion, output: _Output
) -> int:
    """Download a bundle or a data set of the hub; returns the exit status."""
    if what.startswith(("http://", "https://")):
        refuse_unused(ctx, _USED["bundle"], subject="bundles")
        return _download_bundle(what, out, transfer, output)
    entry = _find_entry(what)
    if entry.kind == "bundle":
        refuse_unused(ctx, _USED["bundle"], subject="bundles")
        announced = (entry.sha256 or {}).get("MANIFEST.json")
        known = replace(transfer, sha256=transfer.sha256 or announced)
        return _download_bundle(entry.where or "", out, known, output)
    if entry.kind == "built-in":
        refuse_unused(ctx, _USED["built-in"], subject="built-in data sets")
        return write_builtin(entry.name, out, transfer.filters, dry_run=transfer.dry_run, **asdict(output))
    refuse_unused(ctx, _USED["huggingface"], subject="data sets of the hub")
    settings = _settings(conversion.config, conversion.assignments)
    if transfer.sha256 is not None:
        raise SettingsError("--sha256 is for bundles; for a data set of the hub, --revision fixes every file")
    return _download_data_set(entry, out, transfer, conversion, settings, output)


def _find_entry(what: str) -> "Entry":
    """Return the catalogue entry, or a new one for hf://OWNER/NAME."""
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
            f"{entry.name} has to be downloaded by hand from {entry.page}: its licence forbids redistribution; "
            "`mm-download --check amass DIR --body-models DIR` reports what is missing"
        )
    return entry


def _settings(config: Path | None, assignments: list[str]) -> "RetargetConfig":
    from musclemap.retarget.config import RetargetConfig
    from musclemap.settings import load_settings

    return load_settings(RetargetConfig, config, assignments)


def _download_bundle(url: str, out: Path, transfer: _Transfer, output: _Output) -> int:
    from musclemap.cli.output.download_report import bundle_listener, print_failed_files
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.datasets.downloads.bundle import fetch_bundle
    from musclemap.datasets.downloads.bundle_manifest import read_bundle
    from musclemap.datasets.downloads.speed_guard import TransferLimits
    from musclemap.datasets.downloads.transport import Transport

    filters = transfer.filters
    if filters.group is not None or filters.limit is not None:
        raise SettingsError("--group and --limit are for data sets of the hub; a bundle takes --include and --exclude")
    transport = Transport(limits=TransferLimits(timeout=transfer.timeout))
    bundle = read_bundle(url, transport, sha256=transfer.sha256)
    if transfer.dry_run:
        _print_bundle_plan(bundle, filters, output)
        return 0
    started = time.perf_counter()
    with ProgressDisplay(hidden=output.hidden) as display:
        fetched = fetch_bundle(
            bundle,
            out,
            transport,
            workers=transfer.workers,
            requested=filters.matches,
            progress=bundle_listener(display),
        )
    print_failed_files(fetched.failed)
    if output.json:
        facts = {"done": fetched.done, "kept": fetched.kept, "failed": dict(fetched.failed), "out": str(out)}
        echo_json({**facts, "url": shown_url(bundle.url), "licence": bundle.licence, "sha256": bundle.sha256})
    elif output.text:
        echo_lines(f"present: {name}" for name in (fetched.done if output.verbose else ()))
        counts = f"{counted(len(fetched.done), 'file')} downloaded, {len(fetched.kept)} already present"
        seconds = time.perf_counter() - started
        echo(f"{counts}, {len(fetched.failed)} missing; licence {_short(bundle.licence)}; {out}, {seconds:.1f} s")
    return 1 if fetched.failed else 0


def _print_bundle_plan(bundle: "BundleManifest", filters: "FileFilter", output: _Output) -> None:
    from musclemap.cli.output.download_report import amount

    selected = [file for file in bundle.files if filters.matches(file.path.as_posix())]
    size = sum(file.size for file in selected)
    if output.json:
        facts = {"url": shown_url(bundle.url), "licence": bundle.licence, "sha256": bundle.sha256}
        echo_json({**facts, "files": len(selected), "size": size})
    elif output.text:
        files = counted(len(selected), "file")
        echo(f"{files}, {amount(size)}, licence {_short(bundle.licence)}; nothing was downloaded")


def _short(text: str) -> str:
    return text if len(text) <= LICENCE_LENGTH else f"{text[:LICENCE_LENGTH]}..."


def _download_data_set(
    entry: "Entry",
    out: Path,
    transfer: _Transfer,
    conversion: _Conversion,
    settings: "RetargetConfig",
    output: _Output,
) -> int:
    from musclemap.cli.output.download_report import clip_listener, file_listener, quiet_hub
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.pipelines.device import choose_device, disable_gpu_preallocation, enable_compilation_cache
    from musclemap.pipelines.download import download_data_set, select_trajectories

    quiet_hub()
    selection = select_trajectories(entry, transfer.filters, revision=conversion.revision or entry.revision)
    if transfer.dry_run:
        _print_selection(selection, entry, output)
        return 0
    if conversion.convert:
        disable_gpu_preallocation()
        enable_compilation_cache()
    with ProgressDisplay(hidden=output.hidden) as display:
        result = download_data_set(
            selection,
            entry,
            out,
            config=settings,
            convert=conversion.convert,
            overwrite=conversion.overwrite,
            workers=transfer.workers,
            device=choose_device(conversion.device) if conversion.convert else None,
            on_download=file_listener(display, selection),
            on_clip=clip_listener(display, verbose=output.verbose),
        )
    _print_result(result, output)
    return 0 if result.complete else 1


def _print_selection(selection: "TrajectorySelection", entry: "Entry", output: _Output) -> None:
    from musclemap.cli.output.download_report import amount

    data_set = selection.data_set
    if output.json:
        facts = {"repository": data_set.repository, "revision": data_set.revision, "licence": data_set.licence}
        echo_json({**facts, "files": list(selection.files), "size": selection.size})
    elif output.text:
        echo_lines(selection.files if output.verbose else ())
        source = f"{data_set.repository} at {data_set.revision[:12]}"
        licence = data_set.licence or entry.licence or "unknown"
        files, size = counted(len(selection.files), "file"), amount(selection.size)
        echo(f"{files}, {size}, from {source}, licence {licence}; nothing was downloaded")


def _print_result(result: "DownloadResult", output: _Output) -> None:
    from musclemap.cli.output.conversion_report import print_failures, print_summary
    from musclemap.cli.output.download_report import amount, print_failed_files

    selection = result.selection
    data_set = selection.data_set
    if result.summary is not None:
        print_failures(result.summary)
    else:
        print_failed_files({**result.fetched.failed, **result.refused})
    if selection.missing:
        absent = f"{len(selection.missing)} motions of the list are not in {data_set.repository}"
        echo(f"{absent}; the first is {selection.missing[0]}", err=True)
    if output.json:
        echo_json(result.to_dict())
    elif output.text:
        if result.summary is not None:
            print_summary(result.summary)
        files = f"{len(result.fetched.paths)} of {len(selection.files)} files ({amount(selection.size)})"
        source = f"{data_set.repository} at {data_set.revision[:12]}, licence {data_set.licence or 'unknown'}"
        echo(f"{files} from {source}; originals in {result.originals}")


if __name__ == "__main__":
    app()
