"""What can be had: the list in the package, whose gaps are told as gaps."""

import json
from dataclasses import dataclass, fields
from pathlib import Path

from musclemap.skeletons.errors import SettingsError

from .errors import DownloadError

_FILE = Path(__file__).resolve().parent / "catalogue.json"
FORMAT, VERSION = "musclemap-catalogue", 1
KINDS = ("huggingface", "bundle", "by hand")

UNKNOWN = "not known"


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
        stored = json.loads(path.read_text(encoding="utf-8"))
        known = {field.name for field in fields(Entry)}
        entries = tuple(Entry(**{k: v for k, v in entry.items() if k in known}) for entry in stored["entries"])
        right = (stored["format"], stored["version"]) == (FORMAT, VERSION)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DownloadError(f"{path} is no catalogue: {error}") from error
    wrong = [entry.name for entry in entries if entry.kind not in KINDS]
    if not right or wrong:
        raise DownloadError(f"{path} is no catalogue that this version reads: {', '.join(wrong) or 'other format'}")
    return entries


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
