"""Who may look at the clips: whoever has the address that mm-view prints, and no web page of anybody else.

A server on loopback can be reached by every program of the machine and by every web page that its user opens. So each
request, for a file as for the websocket, must name a host that the viewer serves under (else a page could point its own
name at this machine: DNS rebinding), must not come from a page of another origin, and must carry the token.

The token is the first part of the path. A cookie would do too, but browsers send the cookies of a host to all of its
ports, and on a shared machine another port may be another user's. viser's page opens its websocket at the path that it
was loaded from.
"""

import dataclasses
import hmac
import http.client
import inspect
import ipaddress
import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import websockets.asyncio.server
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from musclemap.errors import MusclemapError

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
"""A Host header in lower case: name or address, and port. The port may be another where SSH forwards it."""

_CHECK_SECONDS = 10.0

_changing = threading.Lock()


class GuardError(MusclemapError):
    """Nothing is served: this viser cannot be guarded."""


class Guard:
    """Decides on every request to the viewer.

    Attributes:
        token: First part of the path of every request that is answered.
    """

    def __init__(self, host: str) -> None:
        """Make a token for a viewer that serves at an address or name; "0.0.0.0" and "::" stand for all addresses."""
        self.token = secrets.token_urlsafe(24)
        self._everywhere = host in ("0.0.0.0", "::")
        names = {f"[{host}]" if ":" in host else host, *([socket.gethostname()] if self._everywhere else [])}
        self._names = {*_LOOPBACK, *(name.lower() for name in names)}

    def refusal(self, request: Request) -> str:
        """Why a request is refused, in one sentence; empty if it is not."""
        hosts, origins = request.headers.get_all("Host"), request.headers.get_all("Origin")
        if len(hosts) != 1 or not self._serves(hosts[0]):
            return "This viewer does not serve under that name: open the address that mm-view printed."
        if origins and [origin.lower() for origin in origins] != [f"http://{hosts[0]}".lower()]:
            return "This viewer does not serve the pages of others: open the address that mm-view printed."
        first = request.path.partition("?")[0].lstrip("/").partition("/")[0]
        if not hmac.compare_digest(first.encode("utf-8", "replace"), self.token.encode()):
            return "This viewer wants its token: open the whole address that mm-view printed."
        return ""

    def before(self, inner: Callable[[ServerConnection, Request], Any] | None) -> Callable[..., Any]:
        """Put the guard in front of what answers requests; what that sees is the path behind the token."""

        async def answer(connection: ServerConnection, request: Request) -> Response | None:
            refusal = self.refusal(request)
            if refusal:
                return connection.respond(HTTPStatus.FORBIDDEN, f"{refusal}\n")
            path = request.path.lstrip("/").removeprefix(self.token)
            response = inner(connection, dataclasses.replace(request, path=path or "/")) if inner else None
            if inspect.isawaitable(response):
                response = await response
            if response is not None:
                response.headers.update(_page_headers(request.headers["Host"]))
            return response

        return answer

    def _serves(self, host: str) -> bool:
        match = _HOST.fullmatch(host.lower())
        if match is None:
            return False
        return match[1] in self._names or (self._everywhere and _is_address(match[1].strip("[]")))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _page_headers(host: str) -> dict[str, str]:
    """The page loads nothing from elsewhere, talks to nobody else, and stands in no frame of another page."""
    policy = (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:", f"connect-src 'self' ws://{host} data: blob:",
        "frame-src 'none'", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'", "form-action 'none'",
    )  # fmt: skip
    return {
        "Content-Security-Policy": "; ".join(policy), "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
    }  # fmt: skip


@contextmanager
def guarding(guard: Guard) -> Iterator[None]:
    """Put a guard in front of the server that viser starts in this block.

    viser has no setting for that. It gives what answers requests to `websockets.asyncio.server.serve`, which is where
    the guard goes in; servers of others pass. Whether it worked is for `check_guarded` to say.
    """
    with _changing:
        serve = websockets.asyncio.server.serve

        def guarded(handler: Any, *arguments: Any, process_request: Any = None, **options: Any) -> Any:
            if str(handler.__module__).partition(".")[0] == "viser":
                process_request = guard.before(process_request)
            return serve(handler, *arguments, process_request=process_request, **options)

        websockets.asyncio.server.serve = guarded  # type: ignore[assignment, misc]
        try:
            yield
        finally:
            websockets.asyncio.server.serve = serve  # type: ignore[misc]


def check_guarded(host: str, port: int, guard: Guard) -> None:
    """Ask a viewer that has started for its page and for a websocket, with and without the token.

    Raises:
        GuardError: It gives either away without the token, or nothing with it.
    """
    there = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "bm90IGEgcmVhbCBvbmUuLg==", "Sec-WebSocket-Protocol": f"viser-v{version('viser')}",
    }  # fmt: skip
    expected = (("/", {}, 403), ("/", upgrade, 403), (f"/{guard.token}/", {}, 200))
    result = [(path, headers, _status(there, port, path, headers)) for path, headers, _ in expected]
    if result != list(expected):
        raise GuardError(
            f"viser {version('viser')} cannot be closed to others, so nothing is served; musclemap was made for 1.1"
        )


def _status(host: str, port: int, path: str, headers: dict[str, str]) -> int:
    with closing(http.client.HTTPConnection(host, port, timeout=_CHECK_SECONDS)) as line:
        try:
            line.request("GET", path, headers=headers)
            return line.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
