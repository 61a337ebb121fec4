"""Bundles from a server: a manifest with the name, size and SHA-256 of every file, and the files beside it.

The manifest comes first and is put into the folder last: a folder that has one has everything it lists.
"""

import errno
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from musclemap.datasets.atomic_file import remove_leftovers, write_atomically
from musclemap.datasets.folder_lock import locked
from musclemap.errors import FileError
from musclemap.failures import Failure, attempt
from musclemap.files import read_bytes
from musclemap.reason_codes import ReasonCode

from .bundle_manifest import LONGEST_MANIFEST, MANIFEST, Bundle, BundleFile
from .errors import DownloadError
from .paths import place_below
from .transport import Remote, Transport, Unreachable, sha256_of

LINES = "manifest.jsonl"
"""What a conversion's folder has, and most bundles."""

PARTS = ".musclemap-download"

LOST_IN_A_ROW = 8
"""Files that a server does not bring, one after the other, until it is asked for no more."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


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


def fetch_bundle(
    bundle: Bundle,
    out: Path,
    transport: Transport,
    *,
    workers: int = 4,
    requested: Callable[[str], bool] = lambda _: True,
    progress: Callable[[Moved], None] | None = None,
) -> Fetched:
    """Bring the files of a bundle that are not here, several at a time.

    Each is put in place whole, after its hash was checked. Run again after an interruption it goes on where it stopped.
    The manifest is put in place when all its files are; with `requested` it is not.

    Args:
        bundle: From `read_bundle`.
        out: Folder.
        transport: Brings the files.
        workers: How many at a time.
        requested: Tells of a path whether it is wanted.
        progress: Called now and then, never by two threads at a time.

    Raises:
        DownloadError: The folder cannot be written to, is in use, has too little room, or holds a conversion.
    """
    chosen = [file for file in bundle.files if requested(file.path.as_posix())]
    if not chosen:
        raise DownloadError(f"none of the {len(bundle.files)} files is wanted; one is {bundle.files[0].path}")
    _refuse_conversion(bundle, out)
    with _only_one(out):
        marker = out / MANIFEST
        places = {file: place_below(out, file.path) for file in chosen}
        kept = [file for file in chosen if _is_here(file, places[file])]
        missing = _by_hash([file for file in chosen if file not in set(kept)])
        if marker.is_file() and (missing or _content(marker) != bundle.content):
            marker.unlink()  # from here on the folder is not what it says
        _check_room(out, missing)
        tally = _Tally(chosen, kept, progress)
        tally.moved(_parts(out, missing))
        transport.on_bytes = tally.moved
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
    lost = 0
    with ThreadPoolExecutor(max_workers=workers) as pool:
        jobs = {
            pool.submit(_tried, bundle.remote(same[0]), [places[f] for f in same], out, transport): same
            for same in missing
        }
        pending = set(jobs)
        try:
            while pending:
                for job in _ended(pending, tally):
                    pending.discard(job)
                    failure = job.result()
                    if failure is None:
                        lost = 0
                        tally.done(jobs[job])
                        continue
                    failed |= {f.path.as_posix(): failure.message for f in jobs[job]}
                    lost += isinstance(failure.error, Unreachable)
                    if lost >= LOST_IN_A_ROW or _is_full(failure.error):
                        transport.stop.set()
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


def _tried(remote: Remote, places: Sequence[Path], out: Path, transport: Transport) -> Failure | None:
    """Bring one file; None where it is there. Whatever goes wrong with it is its own failure."""
    result = attempt(lambda: _fetch_one(remote, places, out, transport), code=ReasonCode.DOWNLOAD)
    return result if isinstance(result, Failure) else None


def _is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL


def _content(path: Path) -> bytes | None:
    """Bytes of a manifest that is here; None where it is none."""
    try:
        return read_bytes(path, limit=LONGEST_MANIFEST)
    except FileError:
        return None


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
