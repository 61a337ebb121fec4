"""Manifests of bundles: the one reader, used for those of a server and for those in a folder.

    {"format": "musclemap-bundle", "version": 1, "name": "walks", "licence": "CC-BY-4.0",
     "files": [{"path": "clips/walk.h5", "size": 12345, "sha256": "...", "split": "train"}, ...]}

Everything is checked before anything is used, as whoever wrote it may be mistaken or hostile.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from musclemap.errors import FileError
from musclemap.files import parse_json, read_bytes, shown

from .errors import DownloadError
from .paths import check_together, checked_path
from .session import check_url
from .transport import Remote, Transport

MANIFEST = "MANIFEST.json"
FORMAT, VERSION = "musclemap-bundle", 1
SPLITS: tuple[str, ...] = ("train", "val", "test")

LONGEST_MANIFEST = 1 << 24
"""Bytes; about 70,000 files. Read into memory it can take fifty times as much."""

LONGEST_TEXT = 1 << 16
"""Letters of the name or the licence, which may be those of many motions."""

LARGEST_FILE = 1 << 50


@dataclass(frozen=True, kw_only=True)
class BundleFile:
    """One file of a bundle: path below the folder, bytes, hash, and of a clip the split it belongs to, or empty."""

    path: PurePosixPath
    size: int
    sha256: str
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What a manifest says.

    Attributes:
        url: Where the manifest is, an address or a path; files are beside it.
        name: Of the bundle, or empty.
        licence: Or "unknown".
        files: Sorted by path.
        content: The manifest's bytes.
    """

    url: str
    name: str
    licence: str
    files: tuple[BundleFile, ...]
    content: bytes

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def sha256(self) -> str:
        """Hash of the manifest, which fixes those of all files."""
        return hashlib.sha256(self.content).hexdigest()

    def remote(self, file: BundleFile) -> Remote:
        """Where a file is."""
        return Remote(url=urljoin(self.url, quote(file.path.as_posix())), size=file.size, sha256=file.sha256)


def read_bundle(url: str, transport: Transport, *, sha256: str | None = None) -> Bundle:
    """Read a manifest from a server.

    Args:
        url: Of the manifest, or of the folder it is in.
        transport: Brings it.
        sha256: What its hash has to be.

    Raises:
        DownloadError: It does not come, is none, or has another hash; the message says which.
    """
    check_url(url)
    if not urlsplit(url).path.endswith(".json"):
        url = urljoin(url if url.endswith("/") else url + "/", MANIFEST)
    content = transport.text(url, longest=LONGEST_MANIFEST)
    result = hashlib.sha256(content).hexdigest()
    if sha256 is not None and result != sha256.lower():
        raise DownloadError(f"{url} is not the manifest that was meant: its SHA-256 is {result}, not {sha256.lower()}")
    return parse_bundle(content, url=url)


def read_local_bundle(folder: Path) -> Bundle:
    """Read the manifest of a bundle's folder.

    Raises:
        DownloadError: There is none, or it is damaged; the message says which.
    """
    path = folder / MANIFEST
    try:
        content = read_bytes(path, limit=LONGEST_MANIFEST)
    except FileError as error:
        raise DownloadError(str(error)) from error
    return parse_bundle(content, url=str(path))


def parse_bundle(content: bytes, *, url: str) -> Bundle:
    """Make sense of a manifest.

    Args:
        content: The manifest's bytes.
        url: Where it is, for messages and for the addresses of its files.

    Raises:
        DownloadError: It is none; the message says what is wrong.
    """
    try:
        stored = parse_json(content, limit=LONGEST_MANIFEST)
    except FileError as error:
        raise DownloadError(f"{url} is no manifest: {error}") from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        result = stored.get("format") if isinstance(stored, dict) else type(stored).__name__
        raise DownloadError(f"{url} is no manifest of a bundle: its format is {shown(result)}, not {FORMAT!r}")
    version = stored.get("version")
    if type(version) is not int or version != VERSION:
        raise DownloadError(f"{url} has version {shown(version)}; this reads version {VERSION}")
    listed = stored.get("files")
    if not isinstance(listed, list) or not listed:
        raise DownloadError(f"{url} lists no files")
    files = tuple(sorted((_file(item, url) for item in listed), key=lambda file: file.path))
    check_together(file.path for file in files)
    name, licence = _text(stored, "name", "", url), _text(stored, "licence", "unknown", url)
    return Bundle(url=url, name=name, licence=licence, files=files, content=content)


def _text(stored: Mapping[str, Any], key: str, default: str, url: str) -> str:
    value = stored.get(key)
    if value is None:
        return default
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise DownloadError(f"{url}: {key} is {shown(value)}, not a text of at most {LONGEST_TEXT} letters")
    return value


def _file(item: Any, url: str) -> BundleFile:
    if not isinstance(item, dict):
        raise DownloadError(f"{url}: a file is listed as {shown(item)}, not with its path, size and sha256")
    path, size, sha256 = checked_path(item.get("path")), item.get("size"), item.get("sha256")
    if path.as_posix().casefold() == MANIFEST.casefold():
        raise DownloadError(f"{url} lists itself as a file")
    if type(size) is not int or not 0 <= size < LARGEST_FILE:
        raise DownloadError(f"{url}: the size of {path} is {shown(size)}, not a number of bytes")
    if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise DownloadError(f"{url}: the sha256 of {path} is {shown(sha256)}, not 64 hexadecimal digits")
    split = item.get("split", "")
    if split not in ("", *SPLITS) or not isinstance(split, str):
        raise DownloadError(f"{url}: the split of {path} is {shown(split)}, not one of {', '.join(SPLITS)}")
    return BundleFile(path=path, size=size, sha256=sha256, split=split)
