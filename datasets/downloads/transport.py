"""One file over HTTP, by its SHA-256: it arrives whole or stays a part that the next run continues.

A part is named by the hash of the whole, so what it continues is never in question, and it counts as nothing until all
of it has that hash.
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
from .pace import Pace, Patience
from .session import Session

CHUNK = 1 << 14
"""Bytes read at a time; what came of a chunk before the connection broke is lost. Far fewer than the least that has to
come in a window, so that counting whole chunks is exact enough."""

PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Wait after the first attempt that brought nothing [s]; doubled after each, up to the longest."""

LONGEST_REASON = 100
"""Letters of a server's own words that are shown."""

_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers that may be others in a moment (RFC 9110, RFC 6585)."""

_DROPPED = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError,
            requests.exceptions.ContentDecodingError)  # fmt: skip


class Altered(DownloadError):
    """All bytes came, and they are others than announced."""


class Unreachable(DownloadError):
    """A server was asked again and again, and does not answer, or too slowly."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file somewhere else.

    Attributes:
        url: Where it is.
        size: Bytes.
        sha256: Hash.
    """

    url: str
    size: int
    sha256: str


@dataclass(kw_only=True)
class Transport:
    """Downloads files; used by many threads at a time, each with connections of its own.

    Attributes:
        patience: How long a server is waited for.
        stop: Set by whoever wants every download to end; the parts stay.
        on_bytes: Called with the number of bytes that came; less than zero where bytes that had come were thrown away.
    """

    patience: Patience = field(default_factory=Patience)
    stop: threading.Event = field(default_factory=threading.Event)
    on_bytes: Callable[[int], None] = lambda _: None
    _own: threading.local = field(default_factory=threading.local)

    def fetch(self, remote: Remote, part: Path) -> None:
        """Bring a file to `part`, going on from what is there; returns when its hash is right.

        Raises:
            AccessError: The server lets nobody in, or not this user.
            DownloadError: The server does not have the file, does not answer, or has another; the message says which.
        """
        for again in (True, False):
            self._complete(remote, part)
            result = _sha256(part)
            if result == remote.sha256:
                with part.open("rb+") as file:
                    os.fsync(file.fileno())
                return
            self._drop(part)
            if not again:
                raise Altered(f"{remote.url} is not what was announced: SHA-256 {result} in place of {remote.sha256}")

    def text(self, url: str, *, longest: int) -> bytes:
        """Content of a small file whose hash is not known.

        Raises:
            AccessError: As `fetch`.
            DownloadError: As `fetch`, or it is longer than `longest` bytes.
        """
        fruitless = 0
        while True:
            try:
                with self._answer(url, {}, longest=self.patience.listing) as (answer, pace):
                    _raise_for(answer)
                    content = bytearray()
                    for chunk in answer.iter_content(CHUNK):
                        pace.came(len(chunk))
                        content += chunk
                        if len(content) > longest:
                            raise DownloadError(f"{url} is longer than {longest} bytes; it is no list of files")
                return bytes(content)
            except (*_DROPPED, _Passing, _TooSlow) as error:
                fruitless = self._wait(fruitless, url, error)

    def _complete(self, remote: Remote, part: Path) -> None:
        """Go on until all bytes are there, as long as attempts bring something that had never come before."""
        fruitless = 0
        if part.is_file() and part.stat().st_size > remote.size:
            self._drop(part)
        part.touch()
        farthest = part.stat().st_size
        while (had := part.stat().st_size) < remote.size:
            if self.stop.is_set():
                raise DownloadError(f"{remote.url} was stopped after {had} of {remote.size} bytes")
            began = time.monotonic()
            try:
                self._continue(remote, part, had)
                error: Exception = DownloadError("the body ended early")
            except (*_DROPPED, _Passing, _TooSlow) as caught:
                error = caught
            now = part.stat().st_size
            if now == remote.size:
                return
            enough = now - farthest >= max(self.patience.least * (time.monotonic() - began), 1.0)
            fruitless = 0 if enough else self._wait(fruitless, remote.url, error)
            farthest = max(farthest, now)

    def _continue(self, remote: Remote, part: Path, had: int) -> None:
        """One request: append what comes, or start anew where the server cannot go on."""
        requested = {"Range": f"bytes={had}-"} if had else {}
        with self._answer(remote.url, requested) as (answer, pace):
            if had and answer.status_code == 416:  # the file there is shorter than the part: it is another one
                self._drop(part)
                part.touch()
                raise _Passing("416: the server has no such range")
            _raise_for(answer)
            if had and not _goes_on(answer, had, remote.size):
                self._drop(part)
                had = 0
                if answer.status_code == 206:  # another range than asked for
                    part.touch()
                    raise _Passing("206: the server sent another range than asked for")
            with part.open("ab") as file:
                for chunk in answer.iter_content(CHUNK):
                    pace.came(len(chunk))
                    had += len(chunk)
                    if had > remote.size:
                        file.close()
                        self._drop(part)
                        raise Altered(f"{remote.url} is longer than the {remote.size} bytes announced")
                    file.write(chunk)
                    self.on_bytes(len(chunk))
                    if self.stop.is_set():
                        return

    @contextmanager
    def _answer(
        self, url: str, headers: dict[str, str], *, longest: float | None = None
    ) -> Iterator[tuple[requests.Response, Pace]]:
        """An answer whose body is to be read and counted inside; too slow a one ends with `_TooSlow`."""
        with self.patience.pace(longest=longest) as pace:
            try:
                with self._get(url, headers) as answer:
                    yield answer, pace
            except _DROPPED as error:
                if pace.slow:
                    raise _TooSlow from error
                raise
            if pace.slow:  # a body without a length seems to end where its connection does
                raise _TooSlow

    def _get(self, url: str, headers: dict[str, str]) -> requests.Response:
        session = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = Session()
        # a compressed body has other bytes than the file, and ranges of it are ranges of something else
        headers = {"Accept-Encoding": "identity", **headers}
        try:
            return session.ask(url, headers=headers, timeout=self.patience.timeout)
        except _DROPPED:
            raise
        except (requests.RequestException, HTTPError, ValueError) as error:
            raise DownloadError(f"{url} cannot be asked for: {error}") from error

    def _wait(self, fruitless: int, url: str, error: Exception) -> int:
        """Count an attempt that brought nothing, and wait; give up after too many."""
        if fruitless + 1 >= self.patience.tries:
            raise Unreachable(f"{url} does not come ({_words(error)}); run again to go on") from error
        self.stop.wait(min(PAUSE * 2**fruitless, LONGEST_PAUSE))
        if self.stop.is_set():
            raise DownloadError(f"{url} was stopped") from error
        return fruitless + 1

    def _drop(self, part: Path) -> None:
        if part.is_file():
            self.on_bytes(-part.stat().st_size)
            part.unlink()


class _Passing(Exception):
    """The server says that it cannot now."""


class _TooSlow(Exception):
    """Bytes came, and fewer than the least speed allows."""


def sha256_of(path: Path) -> str | None:
    """Hash of a file; None where there is none."""
    return _sha256(path) if path.is_file() else None


def _raise_for(answer: requests.Response) -> None:
    """Raise for an answer that brings no file, in words."""
    code, url = answer.status_code, answer.url
    if code in (401, 403):
        meaning = "wants to know who asks" if code == 401 else "does not let you in"
        raise AccessError(f"{url} {meaning} ({code}); ask whoever gave you the address for access")
    if code in _PASSING:
        raise _Passing(f"{code} {_reason(answer)}")
    if code == 404 or code == 410:
        raise DownloadError(f"{url} does not exist ({code})")
    if code not in (200, 206):
        raise DownloadError(f"{url} answers {code} {_reason(answer)}")


def _reason(answer: requests.Response) -> str:
    """The server's own words for its answer, which may be of any length."""
    return str(answer.reason or "")[:LONGEST_REASON]


def _goes_on(answer: requests.Response, had: int, size: int) -> bool:
    """Whether a body is the rest of a file, from the byte asked for."""
    said = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if answer.status_code != 206 or said is None:
        return False
    return int(said[1]) == had and said[2] in ("*", str(size))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _words(error: Exception) -> str:
    """Why an attempt failed, without the layers of libraries that said so."""
    if isinstance(error, _TooSlow):
        return "the server is too slow"
    if isinstance(error, requests.Timeout):
        return "the server is silent"
    if isinstance(error, requests.ConnectionError) and "Read timed out" in str(error):
        return "the server is silent"
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "the connection is refused or breaks off"
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return "the body is not encoded as the server says"
    return str(error)
