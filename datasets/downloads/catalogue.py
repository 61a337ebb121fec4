"""Catalogue of downloadable data sets, shipped with the package. Unknown facts are stated as unknown."""

import difflib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from musclemap.errors import FileError, SettingsError
from musclemap.files import check_fields, read_json_object

from .errors import DownloadError

_FILE = Path(__file__).resolve().parent / "catalogue.json"
FORMAT, VERSION = "musclemap-catalogue", 1
KINDS = ("huggingface", "bundle", "built-in", "by hand")

UNKNOWN = "not known"

MAX_CATALOGUE_BYTES = 1 << 20
"""Bytes."""

_NEEDED = ("name", "kind", "what", "where", "page")
_TEXT, _NUMBER, _HASHES = (str, type(None)), (int, type(None)), (dict, type(None))

_KINDS_OF_FIELDS: dict[str, type | tuple[type, ...]] = {
    "name": str, "kind": str, "what": str, "where": _TEXT, "page": str, "folder": _TEXT, "model": _TEXT, "gated": bool,
    "revision": _TEXT, "licence": _TEXT, "licence_note": str, "size": _NUMBER, "sha256": _HASHES,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One item of the catalogue. Facts that nobody has checked are None, never a guess.

    Attributes:
        name: Name on the command line.
        kind: "huggingface" (trajectories, converted after the download), "bundle" (our clips), "built-in" (in the
            package, or made by it) or "by hand".
        what: One-sentence description.
        where: Repository of the hub, or URL of the bundle's manifest; None otherwise.
        page: Web page with terms and access; empty for a built-in data set.
        folder: Folder of the repository to download; names of motions are relative to it.
        model: Body of the motions.
        gated: Whether access must be requested.
        revision: Default commit, branch or tag.
        licence: Licence, or None if it is unknown before the download.
        licence_note: Further known terms.
        size: Bytes.
        sha256: Hash of each file by its path, or of the bundle's manifest under "MANIFEST.json".
    """

    name: str
    kind: str
    what: str
    where: str | None
    page: str
    folder: str | None = None
    model: str | None = None
    gated: bool = False
    revision: str | None = None
    licence: str | None = None
    licence_note: str = ""
    size: int | None = None
    sha256: dict[str, str] | None = None


def load_catalogue(path: Path = _FILE) -> tuple[Entry, ...]:
    """Read a catalogue, by default the one in the package.

    Raises:
        DownloadError: If the file is not a valid catalogue.
    """
    try:
        stored = read_json_object(path, limit=MAX_CATALOGUE_BYTES)
        check_fields(stored, {"format": str, "version": int, "entries": list}, where=str(path))
        entries = tuple(_entry(item, where=f"{path}: entry {k}") for k, item in enumerate(stored["entries"]))
    except FileError as error:
        raise DownloadError(f"{path} is not a catalogue: {error}") from error
    unknown = [entry.name for entry in entries if entry.kind not in KINDS]
    if (stored["format"], stored["version"]) != (FORMAT, VERSION) or unknown:
        raise DownloadError(
            f"{path} is not a catalogue that this release reads: {', '.join(unknown) or 'other format'}"
        )
    return entries


def _entry(item: Any, *, where: str) -> Entry:
    if not isinstance(item, dict):
        raise FileError(f"{where} is not an object")
    given = {field.name: item[field.name] for field in fields(Entry) if field.name in item}
    check_fields(item, {name: _KINDS_OF_FIELDS[name] for name in (*_NEEDED, *given)}, where=where)
    hashes = given.get("sha256") or {}
    if not all(isinstance(value, str) for value in hashes.values()):
        raise FileError(f"{where}: sha256 does not have one text per file")
    return Entry(**given)


def find_entry(name: str) -> Entry:
    """Find an item of the catalogue by name.

    Raises:
        SettingsError: If the name is unknown; the message lists the known names.
    """
    entries = {entry.name: entry for entry in load_catalogue()}
    if name not in entries:
        close = difflib.get_close_matches(name[:100], entries, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise SettingsError(
            f"the catalogue has no {name!r}{meant}; it has: {', '.join(entries)}; give a bundle as the URL of its "
            "MANIFEST.json, a data set of the hub as hf://OWNER/NAME"
        )
    return entries[name]
