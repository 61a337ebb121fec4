"""Downloads one file over HTTP and checks its SHA-256. An incomplete file remains as a part that the next run resumes.

A part is named after the hash of the complete file, so a resumed download always belongs to it. The part becomes the
file only when it is complete and has that hash.
"""

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError

from .errors import AccessError, DownloadError
from .session import Session
from .speed_guard import SpeedGuard, TransferLimits

READ_SIZE = 1 << 14
"""Bytes per read; an incomplete read is lost if the connection breaks. Far fewer than the minimum per window, so
counting whole reads is accurate enough."""

PAUSE, MAX_PAUSE = 1.0, 60.0
"""Wait after the first attempt that fetched nothing [s]; it doubles after each, up to the maximum."""

MAX_REASON = 100
"""Characters of a server's own message that are shown."""

_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""Status codes that may change after a while (RFC 9110, RFC 6585)."""

_BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError,
           requests.exceptions.ContentDecodingError)  # fmt: skip


class ContentMismatch(DownloadError):
    """All bytes arrived but do not match the expected size or hash."""


class Unreachable(DownloadError):
    """A server did not respond in several attempts, or was too slow."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file on a server.

    Attributes:
        url: URL of the file.
        size: Bytes.
        sha256: Hash.
    """

    url: str
    size: int
    sha256: str


@dataclass(kw_only=True)
class Transport:
    """Downloads files; safe for many threads at a time, each of which has its own connections.

    Attributes:
        limits: Time and speed limits.
        stop: Set it to end all downloads; the parts remain.
        on_bytes: Called with the number of bytes received; negative if received bytes were discarded.
    """

    limits: TransferLimits = field(default_factory=TransferLimits)
    stop: threading.Event = field(default_factory=threading.Event)
    on_bytes: Callable[[int], None] = lambda _: None
    _local: threading.local = field(default_factory=threading.local)

    def fetch(self, remote: RemoteFile, part: Path) -> None:
        """Download a file to `part`, resuming an existing part; returns when the hash is correct.

        Raises:
            AccessError: If the server requires a login or refuses this user.
            DownloadError: If the server does not have the file, does not respond, or sends different content; the
                message says which.
        """
        for again in (True, False):
            self._complete(remote, part)
            actual = _sha256(part)
            if actual == remote.sha256:
                with part.open("rb+") as file:
                    os.fsync(file.fileno())
                return
            self._discard(part)
            if not again:
                raise ContentMismatch(
                    f"{remote.url} has unexpected content: SHA-256 {actual} instead of {remote.sha256}"
                )

    def read(self, url: str, *, max_bytes: int) -> bytes:
        """Download a small file whose hash is unknown.

        Raises:
            AccessError: As `fetch`.
            DownloadError: As `fetch`, or if the file is longer than `max_bytes`.
        """
        failures = 0
        while True:
            try:
                with self._response(url, {}, max_seconds=self.limits.listing) as (response, guard):
                    _check_status(response)
                    content = bytearray()
                    for chunk in response.iter_content(READ_SIZE):
                        guard.count(len(chunk))
                        content += chunk
                        if len(content) > max_bytes:
                            raise DownloadError(f"{url} is longer than {max_bytes} bytes; it is not a list of files")
                return bytes(content)
            except (*_BROKEN, _TransientError, _TooSlow) as error:
                failures = self._wait(failures, url, error)

    def _complete(self, remote: RemoteFile, part: Path) -> None:
        """Retry until all bytes are present, as long as attempts make progress."""
        failures = 0
        if part.is_file() and part.stat().st_size > remote.size:
            self._discard(part)
        part.touch()
        farthest = part.stat().st_size
        while (offset := part.stat().st_size) < remote.size:
            if self.stop.is_set():
                raise DownloadError(f"{remote.url} was stopped after {offset} of {remote.size} bytes")
            began = time.monotonic()
            try:
                self._resume(remote, part, offset)
                error: Exception = DownloadError("the body ended early")
            except (*_BROKEN, _TransientError, _TooSlow) as caught:
                error = caught
            size = part.stat().st_size
            if size == remote.size:
                return
            progressed = size - farthest >= max(self.limits.min_speed * (time.monotonic() - began), 1.0)
            failures = 0 if progressed else self._wait(failures, remote.url, error)
            farthest = max(farthest, size)

    def _resume(self, remote: RemoteFile, part: Path, offset: int) -> None:
        """Send one request and append its body, starting from zero if the server cannot resume."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with self._response(remote.url, headers) as (response, guard):
            if offset and response.status_code == 416:  # the server's file is shorter than the part: another file
                self._discard(part)
                part.touch()
                raise _TransientError("416: the server has no such range")
            _check_status(response)
            if offset and not _is_rest(response, offset, remote.size):
                self._discard(part)
                offset = 0
                if response.status_code == 206:
                    part.touch()
                    raise _TransientError("206: the server sent another range than requested")
            with part.open("ab") as file:
                for chunk in response.iter_content(READ_SIZE):
                    guard.count(len(chunk))
                    offset += len(chunk)
                    if offset > remote.size:
                        file.close()
                        self._discard(part)
                        raise ContentMismatch(f"{remote.url} is longer than the expected {remote.size} bytes")
                    file.write(chunk)
                    self.on_bytes(len(chunk))
                    if self.stop.is_set():
                        return

    @contextmanager
    def _response(
        self, url: str, headers: dict[str, str], *, max_seconds: float | None = None
    ) -> Iterator[tuple[requests.Response, SpeedGuard]]:
        """Open a response, whose body the caller reads and counts. Raises `_TooSlow` below the minimum speed."""
        with self.limits.guard(max_seconds=max_seconds) as guard:
            try:
                with self._get(url, headers) as response:
                    yield response, guard
            except _BROKEN as error:
                if guard.too_slow:
                    raise _TooSlow from error
                raise
            if guard.too_slow:  # an aborted body without a length looks complete
                raise _TooSlow

    def _get(self, url: str, headers: dict[str, str]) -> requests.Response:
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = Session()
        # sizes, hashes and ranges are those of the uncompressed file
        headers = {"Accept-Encoding": "identity", **headers}
        try:
            return session.get_response(url, headers=headers, timeout=self.limits.timeout)
        except _BROKEN:
            raise
        except (requests.RequestException, HTTPError, ValueError) as error:
            raise DownloadError(f"{url} cannot be requested: {error}") from error

    def _wait(self, failures: int, url: str, error: Exception) -> int:
        """Wait after an attempt without progress and return the new count; raise after too many."""
        if failures + 1 >= self.limits.tries:
            raise Unreachable(f"cannot download {url} ({_describe(error)}); run again to resume") from error
        self.stop.wait(min(PAUSE * 2**failures, MAX_PAUSE))
        if self.stop.is_set():
            raise DownloadError(f"{url} was stopped") from error
        return failures + 1

    def _discard(self, part: Path) -> None:
        if part.is_file():
            self.on_bytes(-part.stat().st_size)
            part.unlink()


class _TransientError(Exception):
    """The server cannot serve the request at the moment."""


class _TooSlow(Exception):
    """The response was slower than the minimum speed."""


def sha256_of(path: Path) -> str | None:
    """Hash of a file; None if there is no file."""
    return _sha256(path) if path.is_file() else None


def _check_status(response: requests.Response) -> None:
    """Raise for a response that is not a file, with a message for the user."""
    code, url = response.status_code, response.url
    if code in (401, 403):
        problem = "requires a login" if code == 401 else "refuses access"
        raise AccessError(f"{url} {problem} ({code}); ask the person who gave you the URL for access")
    if code in _TRANSIENT:
        raise _TransientError(f"{code} {_reason(response)}")
    if code == 404 or code == 410:
        raise DownloadError(f"{url} does not exist ({code})")
    if code not in (200, 206):
        raise DownloadError(f"{url} responds with {code} {_reason(response)}")


def _reason(response: requests.Response) -> str:
    """The server's own reason phrase, shortened."""
    return str(response.reason or "")[:MAX_REASON]


def _is_rest(response: requests.Response, offset: int, size: int) -> bool:
    """Whether a body is the rest of a file from the requested byte on."""
    sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if response.status_code != 206 or sent is None:
        return False
    return int(sent[1]) == offset and sent[2] in ("*", str(size))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _describe(error: Exception) -> str:
    """Why an attempt failed, without the wrapping of the HTTP libraries."""
    if isinstance(error, _TooSlow):
        return "the server is too slow"
    if isinstance(error, requests.Timeout):
        return "the server is silent"
    if isinstance(error, requests.ConnectionError) and "Read timed out" in str(error):
        return "the server is silent"
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "the connection is refused or broken"
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return "the body is not encoded as the server claims"
    return str(error)
