"""What can be had: the list in the package, whose gaps are told as gaps."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from musclemap.errors import FileError, SettingsError
from musclemap.files import check_fields, read_json_object

from .errors import DownloadError

_FILE = Path(__file__).resolve().parent / "catalogue.json"
FORMAT, VERSION = "musclemap-catalogue", 1
KINDS = ("huggingface", "bundle", "by hand")

UNKNOWN = "not known"

LONGEST_CATALOGUE = 1 << 20
"""Bytes."""

_NEEDED = ("name", "kind", "what", "where", "page")
_TEXT, _NUMBER, _HASHES = (str, type(None)), (int, type(None)), (dict, type(None))

_KINDS_OF_FIELDS: dict[str, type | tuple[type, ...]] = {
    "name": str, "kind": str, "what": str, "where": _TEXT, "page": str, "folder": _TEXT, "model": _TEXT, "gated": bool,
    "revision": _TEXT, "licence": _TEXT, "licence_note": str, "size": _NUMBER, "sha256": _HASHES,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing to download. What nobody has looked at is None, never a guess.

    Attributes:
        name: What to call it on the command line.
        kind: "huggingface" (trajectories that are converted), "bundle" (clips of ours) or "by hand".
        what: A sentence.
        where: Repository of the hub, or URL of the bundle's manifest; None where it is fetched by hand.
        page: Page for people: terms, access.
        folder: Folder of the repository that is taken; names of motions are below it.
        model: Body that the motions are of.
        gated: Whether access has to be asked for.
        revision: Commit, branch or tag that is taken unless another is asked for.
        licence: Licence, or None where it is not known before the download.
        licence_note: What else is known of the terms.
        size: Bytes.
        sha256: Hash of each file by its path, or of the bundle's manifest as "MANIFEST.json".
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
    """Read a catalogue, the package's own unless another is given.

    Raises:
        DownloadError: The file is none.
    """
    try:
        stored = read_json_object(path, limit=LONGEST_CATALOGUE)
        check_fields(stored, {"format": str, "version": int, "entries": list}, where=str(path))
        entries = tuple(_entry(item, where=f"{path}: entry {k}") for k, item in enumerate(stored["entries"]))
    except FileError as error:
        raise DownloadError(f"{path} is no catalogue: {error}") from error
    wrong = [entry.name for entry in entries if entry.kind not in KINDS]
    if (stored["format"], stored["version"]) != (FORMAT, VERSION) or wrong:
        raise DownloadError(f"{path} is no catalogue that this version reads: {', '.join(wrong) or 'other format'}")
    return entries


def _entry(item: Any, *, where: str) -> Entry:
    if not isinstance(item, dict):
        raise FileError(f"{where} is no object")
    given = {field.name: item[field.name] for field in fields(Entry) if field.name in item}
    check_fields(item, {name: _KINDS_OF_FIELDS[name] for name in (*_NEEDED, *given)}, where=where)
    hashes = given.get("sha256") or {}
    if not all(isinstance(value, str) for value in hashes.values()):
        raise FileError(f"{where}: sha256 is not one text a file")
    return Entry(**given)


def find_entry(name: str) -> Entry:
    """Entry of a name.

    Raises:
        SettingsError: There is none; the message lists those there are.
    """
    entries = {entry.name: entry for entry in load_catalogue()}
    if name not in entries:
        raise SettingsError(
            f"there is nothing named {name!r}; there are: {', '.join(entries)}; a bundle is given by the URL of its "
            "MANIFEST.json, a data set of the hub as hf://OWNER/NAME"
        )
    return entries[name]
