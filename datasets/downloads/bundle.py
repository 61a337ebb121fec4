"""Bundles: a manifest with the name, size and SHA-256 of every file, and the files beside it on some server.

    {"format": "musclemap-bundle", "version": 1, "name": "walks", "licence": "CC-BY-4.0",
     "files": [{"path": "clips/walk.h5", "size": 12345, "sha256": "..."}, ...]}

The manifest comes first and is put into the folder last: a folder that has one has everything it lists.
"""

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from musclemap.datasets.atomic_file import remove_leftovers, write_atomically
from musclemap.datasets.folder_lock import locked

from .errors import DownloadError
from .paths import check_together, checked_path, place_below
from .transport import Remote, Transport, check_url, sha256_of

MANIFEST = "MANIFEST.json"
FORMAT, VERSION = "musclemap-bundle", 1
LONGEST_MANIFEST = 1 << 26
"""Bytes; about 300,000 files."""

LINES = "manifest.jsonl"
"""What a conversion's folder has, and most bundles."""

PARTS = ".musclemap-download"

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, kw_only=True)
class BundleFile:
    """One file of a bundle: path below the folder, bytes, hash."""

    path: PurePosixPath
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What a manifest says.

    Attributes:
        url: Where the manifest is; files are beside it.
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


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How far a download is: files and bytes that are here, and those there are."""

    nfile: int
    files: int
    nbyte: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What came of a bundle.

    Attributes:
        out: The folder.
        done: Files that were brought.
        kept: Files that were there already, whole.
        failed: Files that are not there, each with the reason.
    """

    out: Path
    done: tuple[str, ...]
    kept: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)


def read_bundle(url: str, transport: Transport, *, sha256: str | None = None) -> Bundle:
    """Read a manifest.

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
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise DownloadError(f"{url} is not the manifest that was meant: its SHA-256 is {found}, not {sha256.lower()}")
    return parse_bundle(content, url=url)


def parse_bundle(content: bytes, *, url: str) -> Bundle:
    """Make sense of a manifest; everything in it is checked before anything is used.

    Raises:
        DownloadError: It is none; the message says what is wrong.
    """
    try:
        stored = json.loads(content)
    except ValueError as error:
        raise DownloadError(f"{url} is no manifest: {error}") from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        found = stored.get("format") if isinstance(stored, dict) else type(stored).__name__
        raise DownloadError(f"{url} is no manifest of a bundle: its format is {found!r}, not {FORMAT!r}")
    if stored.get("version") != VERSION:
        raise DownloadError(f"{url} has version {stored.get('version')!r}; this reads version {VERSION}")
    listed = stored.get("files")
    if not isinstance(listed, list) or not listed:
        raise DownloadError(f"{url} lists no files")
    files = sorted((_file(item, url) for item in listed), key=lambda file: file.path)
    check_together(file.path for file in files)
    text = lambda key, default: stored[key] if isinstance(stored.get(key), str) else default  # noqa: E731
    return Bundle(
        url=url, name=text("name", ""), licence=text("licence", "unknown"), files=tuple(files), content=content
    )


def fetch_bundle(
    bundle: Bundle,
    out: Path,
    transport: Transport,
    *,
    workers: int = 4,
    wanted: Callable[[str], bool] = lambda _: True,
    progress: Callable[[Moved], None] | None = None,
) -> Fetched:
    """Bring the files of a bundle that are not here, several at a time.

    Each is put in place whole, after its hash was checked. Run again after an interruption it goes on where it stopped.
    The manifest is put in place when all its files are; with `wanted` it is not.

    Args:
        bundle: From `read_bundle`.
        out: Folder.
        transport: Brings the files.
        workers: How many at a time.
        wanted: Tells of a path whether it is wanted.
        progress: Called now and then, never by two threads at a time.

    Raises:
        DownloadError: The folder cannot be written to, is in use, has too little room, or holds a conversion.
    """
    chosen = [file for file in bundle.files if wanted(file.path.as_posix())]
    if not chosen:
        raise DownloadError(f"none of the {len(bundle.files)} files is wanted; one is {bundle.files[0].path}")
    _refuse_conversion(bundle, out)
    with _only_one(out):
        marker = out / MANIFEST
        places = {file: place_below(out, file.path) for file in chosen}
        kept = [file for file in chosen if _is_here(file, places[file])]
        missing = _by_hash([file for file in chosen if file not in set(kept)])
        if marker.is_file() and (missing or marker.read_bytes() != bundle.content):
            marker.unlink()  # from here on the folder is not what it says
        _check_room(out, missing)
        tally = _Tally(chosen, kept, progress)
        tally.moved(_parts(out, missing))
        transport.told = tally.moved
        failed = _fetch_all(bundle, out, transport, missing, places, workers, tally)
        if not failed:
            shutil.rmtree(out / PARTS, ignore_errors=True)
        if not failed and len(chosen) == len(bundle.files):
            write_atomically(marker, bundle.content)
    done = [f.path.as_posix() for same in missing for f in same if f.path.as_posix() not in failed]
    here = tuple(f.path.as_posix() for f in kept)
    return Fetched(out=out, done=tuple(sorted(done)), kept=here, failed=dict(sorted(failed.items())))


def _refuse_conversion(bundle: Bundle, out: Path) -> None:
    """Refuse a folder whose list of clips is not this bundle's, and that no download has begun: it would be lost."""
    lines = out / LINES
    if (out / MANIFEST).exists() or (out / PARTS).exists() or not lines.is_file():
        return
    ours = [file for file in bundle.files if file.path.as_posix() == LINES]
    if ours and not _is_here(ours[0], lines):
        raise DownloadError(f"{out} holds the clips of a conversion, which would be replaced; choose another folder")


class _Tally:
    """Adds up bytes and files; its callers are many threads, so what it tells is told by the main one."""

    def __init__(
        self, chosen: Sequence[BundleFile], kept: Sequence[BundleFile], progress: Callable[[Moved], None] | None
    ) -> None:
        self._files, self._size = len(chosen), sum(file.size for file in chosen)
        self._nfile, self._nbyte = len(kept), sum(file.size for file in kept)
        self._progress = progress
        self.tell()

    def moved(self, nbyte: int) -> None:
        self._nbyte += nbyte  # a lost update between threads shows in a bar for a moment, and nowhere else

    def done(self, same: Sequence[BundleFile]) -> None:
        self._nfile += len(same)
        self._nbyte += same[0].size * (len(same) - 1)
        self.tell()

    def tell(self) -> None:
        if self._progress is not None:
            nbyte = min(self._nbyte, self._size)
            self._progress(Moved(nfile=self._nfile, files=self._files, nbyte=nbyte, size=self._size))


def _fetch_all(
    bundle: Bundle, out: Path, transport: Transport, missing: Sequence[Sequence[BundleFile]],
    places: Mapping[BundleFile, Path], workers: int, tally: _Tally,
) -> dict[str, str]:  # fmt: skip
    """Reasons of the files that did not come, by path."""
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(max_workers=workers) as pool:
        jobs = {
            pool.submit(_fetch_one, bundle.remote(same[0]), [places[f] for f in same], out, transport): same
            for same in missing
        }
        pending = set(jobs)
        try:
            while pending:
                for job in _ended(pending, tally):
                    pending.discard(job)
                    error = job.exception()
                    if isinstance(error, OSError) and error.errno in _FULL:
                        transport.stop.set()
                    if isinstance(error, DownloadError | OSError):
                        failed |= {f.path.as_posix(): str(error) for f in jobs[job]}
                    elif error is not None:
                        raise error
                    else:
                        tally.done(jobs[job])
        except BaseException:
            transport.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return failed


def _ended(pending: set[Any], tally: _Tally) -> Iterator[Any]:
    """Jobs that ended within a moment."""
    try:
        yield from as_completed(set(pending), timeout=0.5)
    except TimeoutError:
        tally.tell()


def _fetch_one(remote: Remote, places: Sequence[Path], out: Path, transport: Transport) -> None:
    """Bring one file to all places that want it."""
    part = out / PARTS / f"{remote.sha256}.part"
    transport.fetch(remote, part)
    for place in places[1:]:
        copy = part.with_suffix(".copy")
        shutil.copyfile(part, copy)
        _put(copy, place)
    _put(part, places[0])


def _put(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    source.replace(place)


def _file(item: Any, url: str) -> BundleFile:
    if not isinstance(item, dict):
        raise DownloadError(f"{url}: a file is listed as {item!r}, not with its path, size and sha256")
    path, size, sha256 = checked_path(item.get("path")), item.get("size"), item.get("sha256")
    if path.as_posix().casefold() == MANIFEST.casefold():
        raise DownloadError(f"{url} lists itself as a file")
    if type(size) is not int or not 0 <= size < 1 << 50:
        raise DownloadError(f"{url}: the size of {path} is {size!r}, not a number of bytes")
    if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise DownloadError(f"{url}: the sha256 of {path} is {sha256!r}, not 64 hexadecimal digits")
    return BundleFile(path=path, size=size, sha256=sha256)


def _is_here(file: BundleFile, place: Path) -> bool:
    return place.is_file() and place.stat().st_size == file.size and sha256_of(place) == file.sha256


def _by_hash(files: Sequence[BundleFile]) -> list[list[BundleFile]]:
    """Files with the same content together: they come once."""
    same: dict[str, list[BundleFile]] = {}
    for file in files:
        same.setdefault(file.sha256, []).append(file)
    for files_ in same.values():
        if len({file.size for file in files_}) > 1:
            names = " and ".join(str(file.path) for file in files_[:2])
            raise DownloadError(f"{names} have one hash and two sizes")
    return list(same.values())


def _check_room(out: Path, missing: Sequence[Sequence[BundleFile]]) -> None:
    needed = sum(same[0].size * len(same) for same in missing)
    needed -= _parts(out, missing)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise DownloadError(f"{out} has room for {free:,} bytes; {needed:,} are to come")


def _parts(out: Path, missing: Sequence[Sequence[BundleFile]]) -> int:
    """Bytes of missing files that an earlier run brought."""
    parts = [out / PARTS / f"{same[0].sha256}.part" for same in missing]
    return sum(part.stat().st_size for part in parts if part.is_file())


@contextmanager
def _only_one(out: Path) -> Iterator[None]:
    """Make a folder and keep other runs out of it, conversions too."""
    try:
        with locked(out):
            remove_leftovers(out)
            (out / PARTS).mkdir(exist_ok=True)
            yield
    except BlockingIOError as error:
        raise DownloadError(f"another run is writing to {out}; wait for it, or choose another folder") from error
    except OSError as error:
        raise DownloadError(f"cannot write to {out}: {error.strerror or error}") from error
