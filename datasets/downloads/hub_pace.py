"""A least speed, and a largest answer, for what huggingface_hub downloads over HTTP.

The library waits a while for every read and begins its count of attempts again with every byte, so a server that sends
a few bytes now and then would hold it for ever. Its HTTP client is made here, with a hook that watches every body.
Answers' headers, and the storage that the optional package hf_xet reads by itself, are not watched.
"""

import time
from collections.abc import Iterator
from typing import Any

from .pace import Patience
from .transport import Unreachable

LARGEST_REDIRECT, LARGEST_LISTING = 1 << 20, 1 << 28
"""Bytes of a redirect's body and of a page of a listing, which the library reads into memory."""


def watch_hub(patience: Patience) -> None:
    """Let huggingface_hub end downloads that are too slow, in this process and from the next request on."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def make() -> Any:
        client = default_client_factory()
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "response": [*hooks["response"], lambda answer: _watch(answer, patience)]}
        return client

    set_client_factory(make)


def _watch(answer: Any, patience: Patience) -> None:
    """Put a counter between the network and whoever reads the body."""
    stream = answer.stream
    base = next((kind for kind in type(stream).__mro__ if kind.__name__ == "SyncByteStream"), None)
    if base is None:  # a body that is in memory already
        return
    longest = None
    if answer.has_redirect_location:
        longest = LARGEST_REDIRECT
    elif answer.request.url.path.startswith("/api/"):
        longest = LARGEST_LISTING
    answer.stream = type("WatchedStream", (_Watched, base), {})(stream, str(answer.request.url), patience, longest)


class _Watched:
    """A body that ends with an error if too little of it comes, or too much."""

    def __init__(self, stream: Any, url: str, patience: Patience, longest: int | None) -> None:
        self._stream, self._url, self._patience, self._longest = stream, url, patience, longest

    def __iter__(self) -> Iterator[bytes]:
        window, total = max(self._patience.window, 2.0 * self._patience.timeout), 0
        began, nbyte = time.monotonic(), 0
        for chunk in self._stream:
            nbyte += len(chunk)
            total += len(chunk)
            if self._longest is not None and total > self._longest:
                raise Unreachable(f"{self._url} answers with more than {self._longest} bytes")
            now = time.monotonic()
            if now - began >= window:
                if nbyte < self._patience.least * (now - began):
                    raise Unreachable(f"{self._url} does not come (the server is too slow); run again to go on")
                began, nbyte = now, 0
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """As the stream's."""
        self._stream.close()
