"""Bundles on disk: written beside their place and renamed into it, with the same bytes from the same clips."""

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
from musclemap.datasets.output_folder import MANIFEST as LINES
from musclemap.datasets.output_folder import OutputError
from musclemap.errors import SettingsError

from .card import card, escaped, licence_of, plain_text
from .contents import Contents, Packed, Wishes
from .croissant import COLUMNS, absent, croissant
from .folder_in_place import folder_in_place_of
from .splits import SPLITS

SUMS = "SHA256SUMS"


@dataclass(frozen=True, kw_only=True)
class Label:
    """What a bundle is called.

    Attributes:
        name: Name.
        version: Of the data, MAJOR.MINOR.PATCH.
        description: In words; without one it is made from the numbers.
        stated: `url`, `creator`, `date_published`, `citation`, for the metadata.
    """

    name: str
    version: str = "1.0.0"
    description: str = ""
    stated: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that was written: its folder, the hash of its manifest, bytes, and what its metadata lack."""

    out: Path
    sha256: str
    size: int
    lacking: tuple[str, ...]


def write_bundle(
    root: Path,
    contents: Contents,
    out: Path,
    wishes: Wishes,
    label: Label,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Bundle:
    """Write a bundle.

    Args:
        root: Folder of the clips.
        contents: What to write, from `choose`.
        out: Folder to make.
        wishes: What the contents were chosen by; they are told in the manifest.
        label: What it is called.
        overwrite: Replace an earlier bundle.
        progress: Called after each clip with the number done and that of all.

    Raises:
        SettingsError: There is something at `out` already.
        OutputError: It cannot be written, or a clip was changed meanwhile. Nothing is left at `out` then.
    """
    check_place(out, root, overwrite=overwrite)
    out = Path(os.path.abspath(out))  # "." has no name
    try:
        with folder_in_place_of(out) as temporary:
            for number, clip in enumerate(contents.clips, start=1):
                _copy(root / (clip.entry.clip or ""), temporary / clip.path, sha256=clip.entry.clip_sha256)
                if progress is not None:
                    progress(number, len(contents.clips))
            tables = _tables(contents, wishes, label)
            for path, data in tables.items():
                _write(temporary / path, data)
    except BlockingIOError as error:
        raise OutputError(f"another run is packing into {out}; wait for it, or choose another place") from error
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error
    return Bundle(
        out=out,
        sha256=hashlib.sha256(tables[MANIFEST]).hexdigest(),
        size=sum(len(data) for data in tables.values()) + sum(clip.size for clip in contents.clips),
        lacking=tuple(absent(label.stated)),
    )


def check_place(out: Path, root: Path, *, overwrite: bool) -> None:
    """Refuse a place where a bundle must not be written, before any work is done.

    Raises:
        SettingsError: It is the clips' folder, or below or above it, or there is something already.
    """
    if out.resolve().is_relative_to(root.resolve()):
        raise SettingsError(f"{out} is in the folder of the clips; choose another place")
    if root.resolve().is_relative_to(out.resolve()):
        raise SettingsError(f"the clips are in {out}, which would be replaced; choose another place")
    if not out.exists() and not out.is_symlink():
        return
    if out.is_dir() and not out.is_symlink() and not any(out.iterdir()):
        return
    if not _is_bundle(out):
        raise SettingsError(f"{out} is there already and is no bundle; choose another place")
    if not overwrite:
        raise SettingsError(f"{out} is a bundle already; --overwrite replaces it")


def _is_bundle(out: Path) -> bool:
    """Whether a folder is a bundle, which may be replaced; what only looks like one is left alone."""
    if out.is_symlink():
        return False
    try:
        read_local_bundle(out)
    except DownloadError:
        return False
    return True


def _copy(source: Path, place: Path, *, sha256: str | None) -> None:
    data = source.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise OutputError(f"{source} was changed while it was packed; pack again")
    _write(place, data)


def _write(place: Path, data: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _tables(contents: Contents, wishes: Wishes, label: Label) -> dict[str, bytes]:
    """All files that are not clips, each from those before it; MANIFEST.json, the last, has the hash of every other."""
    private = any(clip.terms.objection for clip in contents.clips)
    software, about = musclemap.__version__, _text(label.description) or plain_text(_description(contents))
    lines = Manifest(entries=tuple(replace(clip.entry, clip=clip.path) for clip in contents.clips))
    files = {
        "README.md": card(
            label.name,
            contents,
            private=private,
            software=software,
            description=about if label.description else escaped(about),
        ).encode(),
        "clips.csv": _csv(contents),
        LINES: b"".join(entry.to_line() for entry in lines.entries),
        **{f"splits/{split}.txt": _split_list(contents, split) for split in SPLITS},
    }
    types = {".md": "text/markdown", ".csv": "text/csv", ".jsonl": "application/jsonlines", ".txt": "text/plain"}
    described = {path: (len(data), _sha256(data), types[Path(path).suffix]) for path, data in files.items()}
    files["croissant.json"] = croissant(
        label.name, contents, described, description=about, version=label.version, stated=label.stated
    ).encode()
    files[SUMS] = _sums(contents, files)
    files[MANIFEST] = _manifest(contents, files, wishes, label, private=private)
    return files


def _description(contents: Contents) -> str:
    hours = sum(clip.facts["seconds"] for clip in contents.clips) / 3600
    people = len({clip.subject for clip in contents.clips})
    models = ", ".join(sorted({str(clip.facts["model"]) for clip in contents.clips}))
    return (
        f"{len(contents.clips)} reference clips of human motion ({hours:.3f} h, {people} people) for the muscle-driven "
        f"body {models}, made from motion capture with musclemap."
    )


def _csv(contents: Contents) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for clip in sorted(contents.clips, key=lambda clip: clip.path):
        row = {**clip.facts, "clip": clip.path, "split": clip.split, "subject": _text(clip.subject),
                "source": _text(clip.entry.source), "licence": _text(clip.terms.licence),
                "sha256": clip.entry.clip_sha256}  # fmt: skip
        writer.writerow(["" if row[column] is None else safe_cell(row[column]) for column in COLUMNS])
    return stream.getvalue().encode()


def _split_list(contents: Contents, split: str) -> bytes:
    return "".join(f"{path}\n" for path in sorted(c.path for c in contents.clips if c.split == split)).encode()


def _sums(contents: Contents, files: Mapping[str, bytes]) -> bytes:
    """As `sha256sum` writes it: every file but the manifest, which in turn has the hash of this one."""
    sums = {path: _sha256(data) for path, data in files.items()}
    sums |= {clip.path: clip.entry.clip_sha256 or "" for clip in contents.clips}
    return "".join(f"{sums[path]}  {path}\n" for path in sorted(sums)).encode()


def _manifest(
    contents: Contents, files: Mapping[str, bytes], wishes: Wishes, label: Label, *, private: bool
) -> bytes:  # fmt: skip
    listed = [{"path": path, "size": len(data), "sha256": _sha256(data)} for path, data in files.items()]
    listed += [_listed(clip) for clip in contents.clips]
    stored = {
        "format": FORMAT,
        "version": VERSION,
        "name": label.name,
        "data_version": label.version,
        "licence": licence_of(contents),
        "private": private,
        "musclemap": musclemap.__version__,
        "chosen": {
            "infeasible": wishes.infeasible, "groups": dict(wishes.groups),
            "shares": {} if wishes.groups else dict(wishes.shares), "seed": wishes.seed,
            "shared_subjects": wishes.shared_subjects, "stated_licences": dict(wishes.stated),
        },
        "splits": {split: sum(clip.split == split for clip in contents.clips) for split in SPLITS},
        "left_out": [{"source": o.source, "code": o.code, "reason": o.reason} for o in contents.left_out],
        "files": sorted(listed, key=lambda item: str(item["path"])),
    }  # fmt: skip
    return (json.dumps(stored, indent=1, sort_keys=True) + "\n").encode()


def _listed(clip: Packed) -> dict[str, Any]:
    return {
        "path": clip.path, "size": clip.size, "sha256": clip.entry.clip_sha256, "split": clip.split,
        "subject": clip.subject, "licence": clip.terms.licence,
        "licence_from": "stated" if clip.terms.stated else "clip",
    }  # fmt: skip


def _text(name: str) -> str:
    """A name that may hold bytes that are no UTF-8, in text that is."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
