"""Access control of the viewer: only browsers with the address that mm-view prints, and no other web page.

Every program on the machine, and every web page that its user opens, can reach a server on loopback. So every request,
for a file or for the websocket, must name a host that the viewer serves (otherwise a page could point its own name at
this machine: DNS rebinding), must not come from a page of another origin, and must carry the token.

The token is the first component of the path. A cookie is weaker: browsers send the cookies of a host to all its ports,
and on a shared machine another port may belong to another user. viser's page opens its websocket at the path from which
it was loaded.
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
"""A Host header in lower case: name or address, and port. SSH forwarding may change the port."""

_CHECK_SECONDS = 10.0

_patching = threading.Lock()


class GuardError(MusclemapError):
    """The installed viser cannot be guarded, so nothing is served."""


class Guard:
    """Accepts or refuses every request to the viewer.

    Attributes:
        token: First component of the path of every accepted request.
    """

    def __init__(self, host: str) -> None:
        """Create a token for a viewer at a host address or name; "0.0.0.0" and "::" mean all addresses."""
        self.token = secrets.token_urlsafe(24)
        self._all_addresses = host in ("0.0.0.0", "::")
        names = {f"[{host}]" if ":" in host else host, *([socket.gethostname()] if self._all_addresses else [])}
        self._names = {*_LOOPBACK, *(name.lower() for name in names)}

    def refusal(self, request: Request) -> str:
        """Reason to refuse a request, in one sentence; empty if it is accepted."""
        hosts, origins = request.headers.get_all("Host"), request.headers.get_all("Origin")
        if len(hosts) != 1 or not self._serves(hosts[0]):
            return "This viewer does not serve this host: open the address that mm-view printed."
        if origins and [origin.lower() for origin in origins] != [f"http://{hosts[0]}".lower()]:
            return "This viewer does not serve other pages: open the address that mm-view printed."
        first = request.path.partition("?")[0].lstrip("/").partition("/")[0]
        if not hmac.compare_digest(first.encode("utf-8", "replace"), self.token.encode()):
            return "This viewer requires its token: open the complete address that mm-view printed."
        return ""

    def wrap(self, handler: Callable[[ServerConnection, Request], Any] | None) -> Callable[..., Any]:
        """Wrap a request handler: it gets accepted requests only, with the token removed from the path."""

        async def answer(connection: ServerConnection, request: Request) -> Response | None:
            refusal = self.refusal(request)
            if refusal:
                return connection.respond(HTTPStatus.FORBIDDEN, f"{refusal}\n")
            path = request.path.lstrip("/").removeprefix(self.token)
            response = handler(connection, dataclasses.replace(request, path=path or "/")) if handler else None
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
        return match[1] in self._names or (self._all_addresses and _is_address(match[1].strip("[]")))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _page_headers(host: str) -> dict[str, str]:
    """Headers that stop the page from loading from or connecting to other hosts, and other pages from framing it."""
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
    """Guard the server that viser starts within this context.

    viser has no setting for this. It passes its request handler to `websockets.asyncio.server.serve`; the context
    replaces that function to wrap the handler, and leaves servers of other packages alone. `check_guarded` verifies
    the result.
    """
    with _patching:
        serve = websockets.asyncio.server.serve

        def guarded(handler: Any, *arguments: Any, process_request: Any = None, **options: Any) -> Any:
            if str(handler.__module__).partition(".")[0] == "viser":
                process_request = guard.wrap(process_request)
            return serve(handler, *arguments, process_request=process_request, **options)

        websockets.asyncio.server.serve = guarded  # type: ignore[assignment, misc]
        try:
            yield
        finally:
            websockets.asyncio.server.serve = serve  # type: ignore[misc]


def check_guarded(host: str, port: int, guard: Guard) -> None:
    """Request the page and a websocket from a running viewer, with and without the token.

    Raises:
        GuardError: If the viewer accepts a request without the token or refuses the page with it.
    """
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "bm90IGEgcmVhbCBvbmUuLg==", "Sec-WebSocket-Protocol": f"viser-v{version('viser')}",
    }  # fmt: skip
    expected = (("/", {}, 403), ("/", upgrade, 403), (f"/{guard.token}/", {}, 200))
    statuses = [(path, headers, _status(address, port, path, headers)) for path, headers, _ in expected]
    if statuses != list(expected):
        raise GuardError(
            f"access to viser {version('viser')} cannot be restricted, so nothing is served; use viser 1.1"
        )


def _status(host: str, port: int, path: str, headers: dict[str, str]) -> int:
    with closing(http.client.HTTPConnection(host, port, timeout=_CHECK_SECONDS)) as connection:
        try:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
