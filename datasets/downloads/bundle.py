"""Downloads bundles: a manifest with the name, size and SHA-256 of every file, and the files in the same folder.

The manifest is downloaded first and written last: a folder with a manifest has every file that the manifest lists.
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

from .bundle_manifest import MANIFEST, MAX_MANIFEST_BYTES, BundleFile, BundleManifest
from .errors import DownloadError
from .paths import path_below
from .transport import RemoteFile, Transport, Unreachable, sha256_of

CLIP_MANIFEST = "manifest.jsonl"
"""Manifest of clips, in the folder of a conversion and in most bundles."""

PARTS_FOLDER = ".musclemap-download"

MAX_UNREACHABLE = 8
"""The download stops after this many files in a row for which the server could not be reached."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, kw_only=True)
class DownloadProgress:
    """Progress of a download: files and bytes present, and their totals."""

    nfile: int
    files: int
    nbyte: int
    size: int


@dataclass(frozen=True, kw_only=True)
class BundleDownload:
    """Outcome of the download of a bundle.

    Attributes:
        out: Output folder.
        done: Files that were downloaded.
        kept: Files that were already complete.
        failed: Reason for each file that is missing.
    """

    out: Path
    done: tuple[str, ...]
    kept: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)


def fetch_bundle(
    bundle: BundleManifest,
    out: Path,
    transport: Transport,
    *,
    workers: int = 4,
    requested: Callable[[str], bool] = lambda _: True,
    progress: Callable[[DownloadProgress], None] | None = None,
) -> BundleDownload:
    """Download the missing files of a bundle, several at a time.

    Each file is moved to its path once it is complete and its hash is verified. A run after an interruption resumes.
    The manifest is written when all its files are present, so not if `requested` leaves some out.

    Args:
        bundle: Manifest from `read_bundle`.
        out: Output folder.
        transport: Downloads the files.
        workers: Number of parallel downloads.
        requested: Returns whether to download a path.
        progress: Called regularly, never by two threads at a time.

    Raises:
        DownloadError: If the folder is not writable, is in use, lacks free space, or holds a conversion.
    """
    selected = [file for file in bundle.files if requested(file.path.as_posix())]
    if not selected:
        raise DownloadError(f"none of the {len(bundle.files)} files is selected; one is {bundle.files[0].path}")
    _refuse_conversion(bundle, out)
    with _exclusive(out):
        marker = out / MANIFEST
        paths = {file: path_below(out, file.path) for file in selected}
        kept = [file for file in selected if _is_complete(file, paths[file])]
        missing = _group_by_hash([file for file in selected if file not in set(kept)])
        if marker.is_file() and (missing or _content(marker) != bundle.content):
            marker.unlink()  # it does not describe the folder any more
        _check_free_space(out, missing)
        counter = _ProgressCounter(selected, kept, progress)
        counter.add_bytes(_partial_bytes(out, missing))
        transport.on_bytes = counter.add_bytes
        failed = _fetch_all(bundle, out, transport, missing, paths, workers, counter)
        if not failed:
            shutil.rmtree(out / PARTS_FOLDER, ignore_errors=True)
        if not failed and len(selected) == len(bundle.files):
            write_atomically(marker, bundle.content)
    done = [f.path.as_posix() for copies in missing for f in copies if f.path.as_posix() not in failed]
    return BundleDownload(
        out=out,
        done=tuple(sorted(done)),
        kept=tuple(f.path.as_posix() for f in kept),
        failed=dict(sorted(failed.items())),
    )


def _refuse_conversion(bundle: BundleManifest, out: Path) -> None:
    """Refuse a folder that holds a conversion, whose list of clips the bundle would overwrite."""
    lines = out / CLIP_MANIFEST
    if (out / MANIFEST).exists() or (out / PARTS_FOLDER).exists() or not lines.is_file():
        return
    listed = [file for file in bundle.files if file.path.as_posix() == CLIP_MANIFEST]
    if listed and not _is_complete(listed[0], lines):
        raise DownloadError(f"{out} holds the clips of a conversion, which would be replaced; choose another folder")


class _ProgressCounter:
    """Counts bytes and files. Many threads add bytes; only the main thread reports."""

    def __init__(
        self,
        selected: Sequence[BundleFile],
        kept: Sequence[BundleFile],
        progress: Callable[[DownloadProgress], None] | None,
    ) -> None:
        self._files, self._size = len(selected), sum(file.size for file in selected)
        self._nfile, self._nbyte = len(kept), sum(file.size for file in kept)
        self._progress = progress
        self.report()

    def add_bytes(self, nbyte: int) -> None:
        self._nbyte += nbyte  # a race between threads only makes the progress bar wrong for a moment

    def add_files(self, copies: Sequence[BundleFile]) -> None:
        self._nfile += len(copies)
        self._nbyte += copies[0].size * (len(copies) - 1)
        self.report()

    def report(self) -> None:
        if self._progress is not None:
            nbyte = min(self._nbyte, self._size)
            self._progress(DownloadProgress(nfile=self._nfile, files=self._files, nbyte=nbyte, size=self._size))


def _fetch_all(
    bundle: BundleManifest, out: Path, transport: Transport, missing: Sequence[Sequence[BundleFile]],
    paths: Mapping[BundleFile, Path], workers: int, counter: _ProgressCounter,
) -> dict[str, str]:  # fmt: skip
    """Download all missing files; return the reason for each failure, by path."""
    failed: dict[str, str] = {}
    unreachable = 0
    with ThreadPoolExecutor(max_workers=workers) as pool:
        jobs = {
            pool.submit(_try_fetch, bundle.remote(copies[0]), [paths[f] for f in copies], out, transport): copies
            for copies in missing
        }
        pending = set(jobs)
        try:
            while pending:
                for job in _finished(pending, counter):
                    pending.discard(job)
                    failure = job.result()
                    if failure is None:
                        unreachable = 0
                        counter.add_files(jobs[job])
                        continue
                    failed |= {f.path.as_posix(): failure.message for f in jobs[job]}
                    unreachable += isinstance(failure.error, Unreachable)
                    if unreachable >= MAX_UNREACHABLE or _is_full(failure.error):
                        transport.stop.set()
        except BaseException:
            transport.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return failed


def _finished(pending: set[Any], counter: _ProgressCounter) -> Iterator[Any]:
    """Jobs that finish within half a second; reports progress after a longer wait."""
    try:
        yield from as_completed(set(pending), timeout=0.5)
    except TimeoutError:
        counter.report()


def _try_fetch(remote: RemoteFile, paths: Sequence[Path], out: Path, transport: Transport) -> Failure | None:
    """Download one file; return None on success. Any error becomes the failure of this file alone."""
    result = attempt(lambda: _fetch_one(remote, paths, out, transport), code=ReasonCode.DOWNLOAD)
    return result if isinstance(result, Failure) else None


def _is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL


def _content(path: Path) -> bytes | None:
    """Bytes of an existing manifest, or None if it cannot be read."""
    try:
        return read_bytes(path, limit=MAX_MANIFEST_BYTES)
    except FileError:
        return None


def _fetch_one(remote: RemoteFile, paths: Sequence[Path], out: Path, transport: Transport) -> None:
    """Download one content and put it at every path that has it."""
    part = out / PARTS_FOLDER / f"{remote.sha256}.part"
    transport.fetch(remote, part)
    for path in paths[1:]:
        copy = part.with_suffix(".copy")
        shutil.copyfile(part, copy)
        _move(copy, path)
    _move(part, paths[0])


def _move(source: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    source.replace(path)


def _is_complete(file: BundleFile, path: Path) -> bool:
    return path.is_file() and path.stat().st_size == file.size and sha256_of(path) == file.sha256


def _group_by_hash(files: Sequence[BundleFile]) -> list[list[BundleFile]]:
    """Group files with identical content, which is downloaded once."""
    groups: dict[str, list[BundleFile]] = {}
    for file in files:
        groups.setdefault(file.sha256, []).append(file)
    for files_ in groups.values():
        if len({file.size for file in files_}) > 1:
            names = " and ".join(str(file.path) for file in files_[:2])
            raise DownloadError(f"{names} have the same hash but different sizes")
    return list(groups.values())


def _check_free_space(out: Path, missing: Sequence[Sequence[BundleFile]]) -> None:
    needed = sum(copies[0].size * len(copies) for copies in missing)
    needed -= _partial_bytes(out, missing)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise DownloadError(f"{out} has {free:,} bytes free; {needed:,} are needed")


def _partial_bytes(out: Path, missing: Sequence[Sequence[BundleFile]]) -> int:
    """Bytes of the missing files that an earlier run downloaded."""
    parts = [out / PARTS_FOLDER / f"{copies[0].sha256}.part" for copies in missing]
    return sum(part.stat().st_size for part in parts if part.is_file())


@contextmanager
def _exclusive(out: Path) -> Iterator[None]:
    """Create a folder and lock out other runs, including conversions."""
    try:
        with locked(out):
            remove_leftovers(out)
            (out / PARTS_FOLDER).mkdir(exist_ok=True)
            yield
    except BlockingIOError as error:
        raise DownloadError(f"another run is writing to {out}; wait for it, or choose another folder") from error
    except OSError as error:
        raise DownloadError(f"cannot write to {out}: {error.strerror or error}") from error
