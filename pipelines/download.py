"""A data set of the hub brought here and made into clips: chosen, downloaded, converted, each file with its line."""

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

from .import_trajectories import Origin, TrajectoryImporter, import_trajectories, up_to_date

ORIGINALS = "originals"
"""Folder below the output for files as they were downloaded; it may be deleted once the clips are there."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Trajectories of a data set that are wanted.

    Attributes:
        data_set: The data set at its commit.
        files: The wanted files by the name their clips go by.
        missing: Members of the motion list that the data set does not have.
    """

    data_set: HubDataSet
    files: Mapping[str, HubFile]
    missing: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(file.size for file in self.files.values())


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """What came of a data set.

    Attributes:
        chosen: What was wanted.
        originals: Where downloaded files lie.
        brought: Files that came, and reasons of those that did not.
        summary: Of the conversion; None where none was wanted.
        refused: Names that no file here may have, with the reason.
    """

    chosen: Chosen
    originals: Path
    brought: HubDownload
    summary: Summary | None
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether all that was wanted is here, as a clip where clips were wanted."""
        return not self.brought.failed and not self.refused and (self.summary is None or self.summary.complete)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        data_set = self.chosen.data_set
        return {
            "repository": data_set.repository,
            "revision": data_set.revision,
            "licence": data_set.licence,
            "originals": str(self.originals),
            "files": {path: str(place) for path, place in self.brought.paths.items()},
            "failed": dict(self.brought.failed) | dict(self.refused),
            "missing": list(self.chosen.missing),
            "clips": None if self.summary is None else self.summary.to_dict(),
        }


def choose_files(entry: Entry, file_filter: FileFilter, *, revision: str | None = None) -> Chosen:
    """List the trajectories of a data set that are wanted.

    Args:
        entry: Of the catalogue, of kind "huggingface".
        wish: Which.
        revision: Branch, tag or commit; the catalogue's, or the main branch, if None.

    Raises:
        DownloadError: The data set cannot be listed, or nothing in it is wanted.
        SettingsError: There is no such motion list.
    """
    members = load_group(file_filter.group) if file_filter.group is not None else None
    data_set = list_data_set(entry.where or "", revision=revision or entry.revision)
    prefix = f"{entry.folder}/" if entry.folder else ""
    there = {
        file.path.removeprefix(prefix): file
        for file in data_set.files
        if file.path.startswith(prefix) and file.path.lower().endswith(".npz")
    }
    names = [name for name in sorted(there) if file_filter.matches(name)]
    missing: tuple[str, ...] = ()
    if members is not None:
        part = select_members(names, members)
        names, missing = list(part.names), part.missing
    if not names:
        example = f"; one is {min(there)}" if there else f"; it has {len(data_set.files)} other files"
        raise DownloadError(f"none of {len(there)} trajectories of {data_set.repository} below {prefix or '/'} is "
                            f"wanted{example}")  # fmt: skip
    return Chosen(data_set=data_set, files={name: there[name] for name in names[: file_filter.limit]}, missing=missing)


def download_data_set(
    chosen: Chosen,
    entry: Entry,
    out: Path,
    *,
    config: RetargetConfig,
    convert: bool = True,
    overwrite: bool = False,
    workers: int = 4,
    device: Any = None,
    moved: Callable[[int, int], None] | None = None,
    converted: Callable[[ManifestEntry, int, int], None] | None = None,
) -> Downloaded:
    """Bring what was chosen and make clips of it. What is here and up to date is neither brought nor made again.

    Args:
        chosen: From `choose_files`.
        entry: Of the catalogue.
        out: Output folder: clips and manifest, and below `ORIGINALS` the files as they came.
        config: For the conversion.
        convert: Whether clips are made.
        overwrite: Make again what is up to date.
        workers: Downloads at a time.
        device: JAX device of the checks.
        moved: Called with the number of files that are settled, and their bytes.
        converted: Called after each clip with its line, how many are done, and of how many.

    Raises:
        AccessError: The data set is gated.
        DownloadError: The folder cannot be written to.
        OutputError: The folder cannot be written to, or another run is writing to it.
    """
    originals = out / ORIGINALS
    refused = _refused(chosen)
    files = {name: file for name, file in chosen.files.items() if name not in refused}
    importer, needed = None, dict(files)
    origins = {name: _origin(name, file, chosen, entry, originals) for name, file in files.items()}
    if convert:
        importer = TrajectoryImporter(config, device=device)
        entries = read_entries(out)
        if not overwrite:
            done = [n for n, o in origins.items() if n in entries and up_to_date(importer, o, out, entries[n])]
            needed = {name: file for name, file in files.items() if name not in set(done)}
    brought = fetch_files(chosen.data_set, list(needed.values()), originals, workers=workers, progress=moved)
    summary = None
    if importer is not None:
        lost = {name: brought.failed[file.path] for name, file in files.items() if file.path in brought.failed}
        here = [origin for name, origin in origins.items() if name not in lost]
        summary = import_trajectories(
            here, out, importer, unavailable=lost | refused, overwrite=overwrite, progress=converted
        )
    return Downloaded(chosen=chosen, originals=originals, brought=brought, summary=summary, refused=refused)


def _origin(name: str, file: HubFile, chosen: Chosen, entry: Entry, originals: Path) -> Origin:
    data_set = chosen.data_set
    licence = data_set.licence or entry.licence or "unknown"
    return Origin(
        path=originals.joinpath(*PurePosixPath(file.path).parts),
        name=name,
        clip=clip_name(name),
        collection=data_set.repository,
        file=file.path,
        revision=data_set.revision,
        licence=f"{licence} ({entry.licence_note})" if entry.licence_note else licence,
        sha256=file.sha256,
    )


def _refused(chosen: Chosen) -> dict[str, str]:
    """Names that would lead out of the folder, cannot be written, or have the clip of an earlier one."""
    refused, owners = {}, dict[str, str]()
    for name, file in chosen.files.items():
        owner = owners.setdefault(clip_name(name), name)
        if owner != name:
            refused[name] = f"{owner} has the same clip"
        try:
            checked_path(file.path)
            checked_path(name)
        except DownloadError as error:
            refused[name] = str(error)
    return refused
