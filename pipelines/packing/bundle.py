"""Writes bundles to disk, atomically and reproducibly: the same clips give the same bytes."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import musclemap
from musclemap.datasets.downloads.bundle_manifest import FORMAT, MANIFEST, VERSION, read_local_bundle
from musclemap.datasets.downloads.errors import DownloadError
from musclemap.datasets.formats.spreadsheet import safe_cell
from musclemap.datasets.manifest import Manifest
from musclemap.datasets.output_folder import MANIFEST as CONVERSION_MANIFEST
from musclemap.datasets.output_folder import OutputError
from musclemap.errors import SettingsError

from .atomic_folder import replace_folder
from .card import dataset_card, escaped, licence_of, plain_text
from .contents import PackContents, PackedClip, PackOptions
from .croissant import COLUMNS, croissant, missing_properties
from .parquet import write_tables
from .splits import SPLITS

CHECKSUMS = "SHA256SUMS"


@dataclass(frozen=True, kw_only=True)
class BundleMetadata:
    """Name and description of a bundle.

    Attributes:
        name: Name.
        version: Version of the data, MAJOR.MINOR.PATCH.
        description: Description; if empty, one is generated from the contents.
        properties: `url`, `creator`, `date_published` and `citation` for the Croissant metadata, as far as known.
    """

    name: str
    version: str = "1.0.0"
    description: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A written bundle: its folder, hash of its manifest, size [bytes], and required metadata that are missing."""

    out: Path
    sha256: str
    size: int
    lacking: tuple[str, ...]


def write_bundle(
    root: Path,
    contents: PackContents,
    out: Path,
    options: PackOptions,
    metadata: BundleMetadata,
    *,
    overwrite: bool = False,
    parquet: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Bundle:
    """Write a bundle.

    Args:
        root: Folder of the clips.
        contents: Clips of the bundle, from `select_contents`.
        out: Folder to create.
        options: Options that the contents were selected with; they are recorded in the manifest.
        metadata: Name and description.
        overwrite: Replace an earlier bundle.
        parquet: Also write the frames of all clips as Parquet tables.
        progress: Called after each clip with the number of finished clips and the total.

    Raises:
        SettingsError: If `out` exists already, or the tables cannot hold these clips.
        OutputError: If the bundle cannot be written or a clip was changed meanwhile; nothing is left at `out` then.
    """
    check_output_folder(out, root, overwrite=overwrite)
    out = Path(os.path.abspath(out))  # "." has no name
    try:
        with replace_folder(out) as temporary:
            for number, clip in enumerate(contents.clips, start=1):
                _copy(root / (clip.entry.clip or ""), temporary / clip.path, sha256=clip.entry.clip_sha256)
                if progress is not None:
                    progress(number, len(contents.clips))
            frames = write_tables(root, contents, temporary) if parquet else {}
            tables = _tables(contents, options, metadata, frames)
            for path, data in tables.items():
                _write(temporary / path, data)
    except BlockingIOError as error:
        raise OutputError(f"another run is packing into {out}; wait for it, or choose another folder") from error
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error
    return Bundle(
        out=out,
        sha256=hashlib.sha256(tables[MANIFEST]).hexdigest(),
        size=sum(len(data) for data in tables.values())
        + sum(clip.size for clip in contents.clips)
        + sum(size for size, _, _ in frames.values()),
        lacking=tuple(missing_properties(metadata.properties)),
    )


def check_output_folder(out: Path, root: Path, *, overwrite: bool) -> None:
    """Check that a bundle may be written to a folder, before any work is done.

    Raises:
        SettingsError: If `out` is the clips' folder, or below or above it, or holds files that must not be replaced.
    """
    if out.resolve().is_relative_to(root.resolve()):
        raise SettingsError(f"{out} is inside the folder of the clips; choose another folder")
    if root.resolve().is_relative_to(out.resolve()):
        raise SettingsError(f"the clips are inside {out}, which would be replaced; choose another folder")
    if not out.exists() and not out.is_symlink():
        return
    if out.is_dir() and not out.is_symlink() and not any(out.iterdir()):
        return
    if not _is_bundle(out):
        raise SettingsError(f"{out} exists and is not a bundle; choose another folder")
    if not overwrite:
        raise SettingsError(f"{out} exists; --overwrite replaces the bundle")


def _is_bundle(out: Path) -> bool:
    """Whether a folder is a valid bundle, and so may be replaced."""
    if out.is_symlink():
        return False
    try:
        read_local_bundle(out)
    except DownloadError:
        return False
    return True


def _copy(source: Path, target: Path, *, sha256: str | None) -> None:
    data = source.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise OutputError(f"{source} changed while it was being packed; run mm-pack again")
    _write(target, data)


def _write(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _tables(
    contents: PackContents, options: PackOptions, metadata: BundleMetadata, frames: Mapping[str, tuple[int, str, str]]
) -> dict[str, bytes]:  # fmt: skip
    """Contents of all files except clips and frames, by path. The last, MANIFEST.json, has the hashes of all others.

    `frames` are the files of `write_tables`.
    """
    private = any(clip.terms.objection for clip in contents.clips)
    software = musclemap.__version__
    description = _text(metadata.description) or plain_text(_default_description(contents))
    lines = Manifest(entries=tuple(replace(clip.entry, clip=clip.path) for clip in contents.clips))
    files = {
        "README.md": dataset_card(
            metadata.name,
            contents,
            private=private,
            software=software,
            description=description if metadata.description else escaped(description),
            tables=frames,
        ).encode(),
        "clips.csv": _csv(contents),
        CONVERSION_MANIFEST: b"".join(entry.to_line() for entry in lines.entries),
        **{f"splits/{split}.txt": _split_list(contents, split) for split in SPLITS},
    }
    types = {".md": "text/markdown", ".csv": "text/csv", ".jsonl": "application/jsonlines", ".txt": "text/plain"}
    described = {path: (len(data), _sha256(data), types[Path(path).suffix]) for path, data in files.items()}
    described |= frames
    files["croissant.json"] = croissant(
        metadata.name,
        contents,
        described,
        description=description,
        version=metadata.version,
        properties=metadata.properties,
    ).encode()
    files[CHECKSUMS] = _checksums(contents, files, frames)
    files[MANIFEST] = _manifest(contents, files, frames, options, metadata, private=private)
    return files


def _default_description(contents: PackContents) -> str:
    hours = sum(clip.facts["seconds"] for clip in contents.clips) / 3600
    subjects = len({clip.subject for clip in contents.clips})
    models = ", ".join(sorted({str(clip.facts["model"]) for clip in contents.clips}))
    return (
        f"{len(contents.clips)} reference clips of human motion ({hours:.3f} h, {subjects} subjects) for the "
        f"muscle-driven body {models}, made from motion capture with musclemap."
    )


def _csv(contents: PackContents) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for clip in sorted(contents.clips, key=lambda clip: clip.path):
        row = {**clip.facts, "clip": clip.path, "split": clip.split, "subject": _text(clip.subject),
                "source": _text(clip.entry.source), "licence": _text(clip.terms.licence),
                "sha256": clip.entry.clip_sha256}  # fmt: skip
        writer.writerow(["" if row[column] is None else safe_cell(row[column]) for column in COLUMNS])
    return stream.getvalue().encode()


def _split_list(contents: PackContents, split: str) -> bytes:
    return "".join(f"{path}\n" for path in sorted(c.path for c in contents.clips if c.split == split)).encode()


def _checksums(
    contents: PackContents, files: Mapping[str, bytes], frames: Mapping[str, tuple[int, str, str]]
) -> bytes:  # fmt: skip
    """Contents of SHA256SUMS in the format of `sha256sum`: all files except MANIFEST.json, which lists this file."""
    checksums = {path: _sha256(data) for path, data in files.items()}
    checksums |= {path: sha256 for path, (_, sha256, _) in frames.items()}
    checksums |= {clip.path: clip.entry.clip_sha256 or "" for clip in contents.clips}
    return "".join(f"{checksums[path]}  {path}\n" for path in sorted(checksums)).encode()


def _manifest(
    contents: PackContents, files: Mapping[str, bytes], frames: Mapping[str, tuple[int, str, str]],
    options: PackOptions, metadata: BundleMetadata, *, private: bool,
) -> bytes:  # fmt: skip
    listed = [{"path": path, "size": len(data), "sha256": _sha256(data)} for path, data in files.items()]
    listed += [{"path": path, "size": size, "sha256": sha256} for path, (size, sha256, _) in frames.items()]
    listed += [_listed(clip) for clip in contents.clips]
    stored = {
        "format": FORMAT,
        "version": VERSION,
        "name": metadata.name,
        "data_version": metadata.version,
        "licence": licence_of(contents),
        "private": private,
        "musclemap": musclemap.__version__,
        "chosen": {
            "infeasible": options.infeasible, "groups": dict(options.groups),
            "shares": {} if options.groups else dict(options.shares), "seed": options.seed,
            "shared_subjects": options.shared_subjects, "stated_licences": dict(options.stated_licences),
        },
        "splits": {split: sum(clip.split == split for clip in contents.clips) for split in SPLITS},
        "left_out": [{"source": o.source, "code": o.code, "reason": o.reason} for o in contents.left_out],
        "files": sorted(listed, key=lambda item: str(item["path"])),
    }  # fmt: skip
    return (json.dumps(stored, indent=1, sort_keys=True) + "\n").encode()


def _listed(clip: PackedClip) -> dict[str, Any]:
    return {
        "path": clip.path, "size": clip.size, "sha256": clip.entry.clip_sha256, "split": clip.split,
        "subject": clip.subject, "licence": clip.terms.licence,
        "licence_from": "stated" if clip.terms.stated else "clip",
    }  # fmt: skip


def _text(name: str) -> str:
    """Text as valid UTF-8: bytes of a file name that are not UTF-8 are replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
