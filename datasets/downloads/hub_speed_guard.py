"""A minimum speed and a maximum response size for what huggingface_hub downloads over HTTP.

The library's time-out applies to each read and its retry count restarts with every byte, so a server that sends a few
bytes now and then would block it for ever. Its HTTP client is therefore created here, with a hook that watches every
body. Response headers are not watched, nor is the storage that the optional package hf_xet reads by itself.
"""

import time
from collections.abc import Iterator
from typing import Any

from .speed_guard import TransferLimits
from .transport import Unreachable

MAX_REDIRECT_BYTES, MAX_LISTING_BYTES = 1 << 20, 1 << 28
"""Bytes of a redirect's body and of one page of a listing, which the library reads into memory."""


def watch_hub(limits: TransferLimits) -> None:
    """Make huggingface_hub abort downloads that are too slow, in this process, from the next request on."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def make() -> Any:
        client = default_client_factory()
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "response": [*hooks["response"], lambda response: _watch(response, limits)]}
        return client

    set_client_factory(make)


def _watch(response: Any, limits: TransferLimits) -> None:
    """Put a byte counter between the network and the reader of the body."""
    stream = response.stream
    base = next((kind for kind in type(stream).__mro__ if kind.__name__ == "SyncByteStream"), None)
    if base is None:  # the body is already in memory
        return
    max_bytes = None
    if response.has_redirect_location:
        max_bytes = MAX_REDIRECT_BYTES
    elif response.request.url.path.startswith("/api/"):
        max_bytes = MAX_LISTING_BYTES
    response.stream = type("WatchedStream", (_Watched, base), {})(stream, str(response.request.url), limits, max_bytes)


class _Watched:
    """A body that raises an error if it is too slow or too long."""

    def __init__(self, stream: Any, url: str, limits: TransferLimits, max_bytes: int | None) -> None:
        self._stream, self._url, self._limits, self._max_bytes = stream, url, limits, max_bytes

    def __iter__(self) -> Iterator[bytes]:
        window, total = max(self._limits.window, 2.0 * self._limits.timeout), 0
        began, nbyte = time.monotonic(), 0
        for chunk in self._stream:
            nbyte += len(chunk)
            total += len(chunk)
            if self._max_bytes is not None and total > self._max_bytes:
                raise Unreachable(f"{self._url} responds with more than {self._max_bytes} bytes")
            now = time.monotonic()
            if now - began >= window:
                if nbyte < self._limits.min_speed * (now - began):
                    raise Unreachable(f"cannot download {self._url} (the server is too slow); run again to resume")
                began, nbyte = now, 0
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()
