"""Manifests of bundles: a single reader, for those on a server and those in a folder.

    {"format": "musclemap-bundle", "version": 1, "name": "walks", "licence": "CC-BY-4.0",
     "files": [{"path": "clips/walk.h5", "size": 12345, "sha256": "...", "split": "train"}, ...]}

The file is untrusted: everything is checked before anything is used.
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
from .paths import check_distinct, checked_path
from .session import check_url
from .transport import RemoteFile, Transport

MANIFEST = "MANIFEST.json"
FORMAT, VERSION = "musclemap-bundle", 1
SPLITS: tuple[str, ...] = ("train", "val", "test")

MAX_MANIFEST_BYTES = 1 << 24
"""About 70,000 files. In memory a manifest can take fifty times as much."""

MAX_TEXT = 1 << 16
"""Characters of the name or the licence, which may cover many motions."""

MAX_FILE_BYTES = 1 << 50


@dataclass(frozen=True, kw_only=True)
class BundleFile:
    """One file of a bundle: path below the folder, bytes, hash, and the split of a clip, or empty."""

    path: PurePosixPath
    size: int
    sha256: str
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class BundleManifest:
    """Content of a bundle's manifest.

    Attributes:
        url: URL or path of the manifest; the files are relative to it.
        name: Name of the bundle, or empty.
        licence: Licence, or "unknown".
        files: Files, sorted by path.
        content: Bytes of the manifest.
    """

    url: str
    name: str
    licence: str
    files: tuple[BundleFile, ...]
    content: bytes

    @property
    def size(self) -> int:
        """Total bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def sha256(self) -> str:
        """Hash of the manifest, which determines those of all files."""
        return hashlib.sha256(self.content).hexdigest()

    def remote(self, file: BundleFile) -> RemoteFile:
        """URL, size and hash of a file."""
        return RemoteFile(url=urljoin(self.url, quote(file.path.as_posix())), size=file.size, sha256=file.sha256)


def read_bundle(url: str, transport: Transport, *, sha256: str | None = None) -> BundleManifest:
    """Read a manifest from a server.

    Args:
        url: URL of the manifest or of its folder.
        transport: Downloads it.
        sha256: Expected hash.

    Raises:
        DownloadError: If it cannot be downloaded, is not a manifest, or has another hash; the message says which.
    """
    check_url(url)
    if not urlsplit(url).path.endswith(".json"):
        url = urljoin(url if url.endswith("/") else url + "/", MANIFEST)
    content = transport.read(url, max_bytes=MAX_MANIFEST_BYTES)
    actual = hashlib.sha256(content).hexdigest()
    if sha256 is not None and actual != sha256.lower():
        raise DownloadError(f"{url} is not the expected manifest: its SHA-256 is {actual}, not {sha256.lower()}")
    return parse_bundle(content, url=url)


def read_local_bundle(folder: Path) -> BundleManifest:
    """Read the manifest of a bundle's folder.

    Raises:
        DownloadError: If the manifest is missing or damaged; the message says which.
    """
    path = folder / MANIFEST
    try:
        content = read_bytes(path, limit=MAX_MANIFEST_BYTES)
    except FileError as error:
        raise DownloadError(str(error)) from error
    return parse_bundle(content, url=str(path))


def parse_bundle(content: bytes, *, url: str) -> BundleManifest:
    """Parse and check a manifest.

    Args:
        content: Bytes of the manifest.
        url: URL or path of the manifest, for messages and for the URLs of its files.

    Raises:
        DownloadError: If it is not a valid manifest; the message says what is wrong.
    """
    try:
        stored = parse_json(content, limit=MAX_MANIFEST_BYTES)
    except FileError as error:
        raise DownloadError(f"{url} is not a manifest: {error}") from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        stated = stored.get("format") if isinstance(stored, dict) else type(stored).__name__
        raise DownloadError(f"{url} is not a bundle's manifest: its format is {shown(stated)}, not {FORMAT!r}")
    version = stored.get("version")
    if type(version) is not int or version != VERSION:
        raise DownloadError(f"{url} has version {shown(version)}; this release reads version {VERSION}")
    listed = stored.get("files")
    if not isinstance(listed, list) or not listed:
        raise DownloadError(f"{url} lists no files")
    files = tuple(sorted((_file(item, url) for item in listed), key=lambda file: file.path))
    check_distinct(file.path for file in files)
    name, licence = _text(stored, "name", "", url), _text(stored, "licence", "unknown", url)
    return BundleManifest(url=url, name=name, licence=licence, files=files, content=content)


def _text(stored: Mapping[str, Any], key: str, default: str, url: str) -> str:
    value = stored.get(key)
    if value is None:
        return default
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise DownloadError(f"{url}: {key} is {shown(value)}, not a text of at most {MAX_TEXT} characters")
    return value


def _file(item: Any, url: str) -> BundleFile:
    if not isinstance(item, dict):
        raise DownloadError(f"{url}: a file is listed as {shown(item)}, not with its path, size and sha256")
    path, size, sha256 = checked_path(item.get("path")), item.get("size"), item.get("sha256")
    if path.as_posix().casefold() == MANIFEST.casefold():
        raise DownloadError(f"{url} lists itself as a file")
    if type(size) is not int or not 0 <= size < MAX_FILE_BYTES:
        raise DownloadError(f"{url}: the size of {path} is {shown(size)}, not a number of bytes")
    if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise DownloadError(f"{url}: the sha256 of {path} is {shown(sha256)}, not 64 hexadecimal digits")
    split = item.get("split", "")
    if split not in ("", *SPLITS) or not isinstance(split, str):
        raise DownloadError(f"{url}: the split of {path} is {shown(split)}, not one of {', '.join(SPLITS)}")
    return BundleFile(path=path, size=size, sha256=sha256, split=split)
