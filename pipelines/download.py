"""Downloads a data set from the hub and converts it: select trajectories, fetch them, import each as a clip."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from musclemap.datasets.downloads.catalogue import Entry
from musclemap.datasets.downloads.errors import DownloadError
from musclemap.datasets.downloads.file_filter import FileFilter
from musclemap.datasets.downloads.hub import HubDataSet, HubDownload, HubFile, fetch_files, list_data_set
from musclemap.datasets.downloads.paths import checked_path
from musclemap.datasets.groups import load_group
from musclemap.datasets.groups import select as select_members
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.output_folder import read_entries
from musclemap.datasets.selection import clip_name
from musclemap.datasets.summary import Summary
from musclemap.retarget.config import RetargetConfig

from .import_trajectories import TrajectoryImporter, TrajectorySource, import_trajectories, up_to_date

ORIGINALS = "originals"
"""Folder below the output for the downloaded files; it may be deleted once the clips exist."""


@dataclass(frozen=True, kw_only=True)
class TrajectorySelection:
    """Selected trajectories of a data set.

    Attributes:
        data_set: The data set at its commit.
        files: The selected files, by the name that their clips get.
        missing: Members of the motion list that the data set does not have.
    """

    data_set: HubDataSet
    files: Mapping[str, HubFile]
    missing: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Total size of the files [bytes]."""
        return sum(file.size for file in self.files.values())


@dataclass(frozen=True, kw_only=True)
class DownloadResult:
    """Result of a download.

    Attributes:
        selection: The selected trajectories.
        originals: Folder of the downloaded files.
        fetched: Downloaded files, and reasons of the failed ones.
        summary: Summary of the conversion; None if no clips were requested.
        refused: Names that are not allowed as file names here, with the reason.
    """

    selection: TrajectorySelection
    originals: Path
    fetched: HubDownload
    summary: Summary | None
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every selected file was downloaded and, if clips were requested, has its clip."""
        return not self.fetched.failed and not self.refused and (self.summary is None or self.summary.complete)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        data_set = self.selection.data_set
        return {
            "repository": data_set.repository,
            "revision": data_set.revision,
            "licence": data_set.licence,
            "originals": str(self.originals),
            "files": {path: str(local) for path, local in self.fetched.paths.items()},
            "failed": dict(self.fetched.failed) | dict(self.refused),
            "missing": list(self.selection.missing),
            "clips": None if self.summary is None else self.summary.to_dict(),
        }


def select_trajectories(entry: Entry, file_filter: FileFilter, *, revision: str | None = None) -> TrajectorySelection:
    """List the trajectories of a data set and select those that match a filter.

    Args:
        entry: Catalogue entry of kind "huggingface".
        file_filter: Which trajectories to select.
        revision: Branch, tag or commit; None for the catalogue's revision or, if it has none, the main branch.

    Raises:
        DownloadError: If the data set cannot be listed, or no trajectory matches.
        SettingsError: If the motion list does not exist.
    """
    members = load_group(file_filter.group) if file_filter.group is not None else None
    data_set = list_data_set(entry.where or "", revision=revision or entry.revision)
    prefix = f"{entry.folder}/" if entry.folder else ""
    trajectories = {
        file.path.removeprefix(prefix): file
        for file in data_set.files
        if file.path.startswith(prefix) and file.path.lower().endswith(".npz")
    }
    names = [name for name in sorted(trajectories) if file_filter.matches(name)]
    missing: tuple[str, ...] = ()
    if members is not None:
        in_list = select_members(names, members)
        names, missing = list(in_list.names), in_list.missing
    if not names:
        example = f"; one is {min(trajectories)}" if trajectories else f"; it has {len(data_set.files)} other files"
        raise DownloadError(
            f"none of {len(trajectories)} trajectories of {data_set.repository} below {prefix or '/'} matches{example}"
        )
    files = {name: trajectories[name] for name in names[: file_filter.limit]}
    return TrajectorySelection(data_set=data_set, files=files, missing=missing)


def download_data_set(
    selection: TrajectorySelection,
    entry: Entry,
    out: Path,
    *,
    config: RetargetConfig,
    convert: bool = True,
    overwrite: bool = False,
    workers: int = 4,
    device: Any = None,
    on_download: Callable[[int, int], None] | None = None,
    on_clip: Callable[[ManifestEntry, int, int], None] | None = None,
) -> DownloadResult:
    """Download the selected trajectories and import them as clips. Existing, up-to-date files are kept.

    Args:
        selection: From `select_trajectories`.
        entry: Catalogue entry.
        out: Output folder: clips and manifest, and the downloaded files below `ORIGINALS`.
        config: Settings of the conversion.
        convert: Whether to make clips.
        overwrite: Make clips again that are up to date, too.
        workers: Number of simultaneous downloads.
        device: JAX device for the checks.
        on_download: Called with the number of finished files and their size [bytes].
        on_clip: Called after each clip with its manifest line, the number of finished clips, and the total.

    Raises:
        AccessError: If the data set is gated.
        DownloadError: If the folder for downloads cannot be written to.
        OutputError: If the output folder cannot be written to, or another run is writing to it.
    """
    originals = out / ORIGINALS
    refused = _refused(selection)
    files = {name: file for name, file in selection.files.items() if name not in refused}
    importer, needed = None, dict(files)
    sources = {name: _trajectory_source(name, file, selection, entry, originals) for name, file in files.items()}
    if convert:
        importer = TrajectoryImporter(config, device=device)
        entries = read_entries(out)
        if not overwrite:
            done = [n for n, s in sources.items() if n in entries and up_to_date(importer, s, out, entries[n])]
            needed = {name: file for name, file in files.items() if name not in set(done)}
    fetched = fetch_files(selection.data_set, list(needed.values()), originals, workers=workers, progress=on_download)
    summary = None
    if importer is not None:
        failed = {name: fetched.failed[file.path] for name, file in files.items() if file.path in fetched.failed}
        available = [source for name, source in sources.items() if name not in failed]
        summary = import_trajectories(
            available, out, importer, unavailable=failed | refused, overwrite=overwrite, progress=on_clip
        )
    return DownloadResult(selection=selection, originals=originals, fetched=fetched, summary=summary, refused=refused)


def _trajectory_source(
    name: str, file: HubFile, selection: TrajectorySelection, entry: Entry, originals: Path
) -> TrajectorySource:
    data_set = selection.data_set
    licence = data_set.licence or entry.licence or "unknown"
    return TrajectorySource(
        path=originals.joinpath(*PurePosixPath(file.path).parts),
        name=name,
        clip=clip_name(name),
        collection=data_set.repository,
        file=file.path,
        revision=data_set.revision,
        licence=f"{licence} ({entry.licence_note})" if entry.licence_note else licence,
        sha256=file.sha256,
    )


def _refused(selection: TrajectorySelection) -> dict[str, str]:
    """Names that lead out of the folder, cannot be written, or have the same clip as an earlier name."""
    refused, owners = {}, dict[str, str]()
    for name, file in selection.files.items():
        owner = owners.setdefault(clip_name(name), name)
        if owner != name:
            refused[name] = f"{owner} has the same clip"
        try:
            checked_path(file.path)
            checked_path(name)
        except DownloadError as error:
            refused[name] = str(error)
    return refused
