"""Publishes a data set on the Hugging Face hub, as a bundle with Parquet tables that the hub shows."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from musclemap.datasets.downloads.bundle_manifest import MANIFEST, read_local_bundle
from musclemap.datasets.downloads.hub import endpoint
from musclemap.errors import MusclemapError, SettingsError
from musclemap.failures import Failure, attempt
from musclemap.files import read_json_object
from musclemap.pipelines.wording import counted


class PublishError(MusclemapError):
    """The hub did not accept a data set; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What to publish, and how; the arguments of `Dataset.to_hub`."""

    private: bool
    infeasible: bool
    licences: tuple[str, ...]
    shares: Mapping[str, float] | None
    seed: int
    description: str
    parquet: bool


class Published(Protocol):
    """The part of a data set that is needed to publish it."""

    @property
    def name(self) -> str: ...
    @property
    def root(self) -> Path | None: ...
    @property
    def rows(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def names(self) -> tuple[str, ...]: ...


def push_to_hub(data: Published, repository: str, publication: Publication) -> str:
    """See `Dataset.to_hub`."""
    if data.root is None:
        raise SettingsError(f"{data.name} is in every installation; there is nothing to publish")
    if (data.root / MANIFEST).is_file():
        _check_whole_bundle(data, private=publication.private)
        return _upload(data.root, repository, private=publication.private)
    with tempfile.TemporaryDirectory(prefix="musclemap-") as folder:
        out = Path(folder) / repository.rpartition("/")[2]
        _pack(data, out, publication)
        return _upload(out, repository, private=publication.private)


def _check_whole_bundle(data: Published, *, private: bool) -> None:
    assert data.root is not None
    if {*data.names} != {file.path.as_posix() for file in read_local_bundle(data.root).files if file.split}:
        raise SettingsError(f"{data.name} is a bundle, which is uploaded as a whole: give mm.open({data.name!r})")
    if read_json_object(data.root / MANIFEST).get("private") is not False and not private:
        raise SettingsError(f"{data.name} was packed to be kept private; private=True uploads it as such")


def _pack(data: Published, out: Path, publication: Publication) -> None:
    from musclemap.pipelines.packing.bundle import BundleMetadata, write_bundle
    from musclemap.pipelines.packing.contents import PackOptions, select_contents
    from musclemap.pipelines.packing.licences import parse_statements
    from musclemap.pipelines.packing.splits import SPLITS, parse_shares

    assert data.root is not None
    given: dict[str, Any] = {}
    if publication.shares is not None:
        if unknown := sorted(set(publication.shares) - set(SPLITS)):
            raise SettingsError(f"there is no split {unknown[0]!r}; the splits are {', '.join(SPLITS)}")
        given["shares"] = parse_shares(",".join(str(publication.shares.get(split, 0.0)) for split in SPLITS))
    options = PackOptions(
        private=publication.private, infeasible=publication.infeasible, seed=publication.seed,
        stated_licences=parse_statements(publication.licences), **given,
    )  # fmt: skip
    contents = select_contents(data.root, options)
    names = set(data.names)
    contents = replace(contents, clips=tuple(clip for clip in contents.clips if clip.entry.clip in names))
    sources = {row["source"] for row in data.rows}
    faults = [fault for fault in contents.faults if fault.source in sources]
    if faults:
        clips = counted(len(faults), "clip")
        raise SettingsError(
            f"{clips} cannot be published, such as {faults[0].source}: {faults[0].reason}; leave them out with "
            "filter(), state their licences with licences=, or publish with private=True"
        )
    if not contents.clips:
        raise SettingsError(f"no clip of {data.name} is left to publish")
    metadata = BundleMetadata(name=out.name, description=publication.description)
    write_bundle(data.root, contents, out, options, metadata, parquet=publication.parquet)


def _upload(folder: Path, repository: str, *, private: bool) -> str:
    from huggingface_hub import HfApi

    def upload() -> None:
        api = HfApi(endpoint=endpoint())
        api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, repo_type="dataset", commit_message="Upload from musclemap"
        )

    done = attempt(upload)
    if isinstance(done, Failure):
        raise PublishError(f"the hub did not accept {repository}: {done.message}") from done.error
    return f"{endpoint()}/datasets/{repository}"
