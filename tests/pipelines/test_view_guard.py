"""The viewer answers only requests with its complete address, and none from pages of another origin."""

import http.client
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import viser
from websockets.datastructures import Headers
from websockets.http11 import Request

from musclemap.pipelines.viewer.guard import Guard, GuardError, check_guarded, guarding

UPGRADE = (
    ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "bm90IGEgcmVhbCBvbmUuLg=="), ("Sec-WebSocket-Protocol", f"viser-v{viser.__version__}"),
)  # fmt: skip


@dataclass(frozen=True)
class RunningServer:
    """A running viser server."""

    port: int
    token: str = ""

    def request(self, path: str, *headers: tuple[str, str]) -> tuple[int, bytes]:
        """Send a request with exactly these headers; returns status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        text = b"" if response.status == 101 else response.read()
        connection.close()
        return response.status, text


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    logger = logging.getLogger("websockets.server")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def served() -> Iterator[RunningServer]:
    """A guarded server."""
    guard = Guard("127.0.0.1")
    with guarding(guard):
        server = viser.ViserServer(host="127.0.0.1", port=free_port(), verbose=False)
    check_guarded("127.0.0.1", server.get_port(), guard)
    yield RunningServer(server.get_port(), guard.token)
    server.stop()


REFUSED = {
    "no token": ("/", "127.0.0.1:PORT", ()),
    "no token, path of a file": ("/index.html", "127.0.0.1:PORT", ()),
    "a wrong token": ("/A0_a0-A0_a0-A0_a0-A0_a0-A0_a0-00/", "127.0.0.1:PORT", ()),
    "half a token": ("/HALF/", "127.0.0.1:PORT", ()),
    "a token with a suffix": ("/TOKENx/", "127.0.0.1:PORT", ()),
    "a token elsewhere": ("/x/TOKEN/?token=TOKEN", "127.0.0.1:PORT", (("Cookie", "token=TOKEN"),)),
    "a token after a parent folder": ("/../TOKEN/", "127.0.0.1:PORT", ()),
    "no host": ("/TOKEN/", None, ()),
    "two hosts": ("/TOKEN/", "127.0.0.1:PORT", (("Host", "127.0.0.1:PORT"),)),
    "a foreign host": ("/TOKEN/", "evil.example:PORT", ()),
    "a foreign host without port": ("/TOKEN/", "evil.example", ()),
    "a foreign host that starts like ours": ("/TOKEN/", "127.0.0.1.evil.example:PORT", ()),
    "a foreign user": ("/TOKEN/", "127.0.0.1@evil.example", ()),
    "another address": ("/TOKEN/", "192.168.0.1:PORT", ()),
    "a foreign origin": ("/TOKEN/", "127.0.0.1:PORT", (("Origin", "http://evil.example"),)),
    "a foreign origin and host": ("/TOKEN/", "evil.example:PORT", (("Origin", "http://evil.example:PORT"),)),
    "an origin without name": ("/TOKEN/", "127.0.0.1:PORT", (("Origin", "null"),)),
    "an empty origin": ("/TOKEN/", "127.0.0.1:PORT", (("Origin", ""),)),
    "another port's page": ("/TOKEN/", "127.0.0.1:PORT", (("Origin", "http://127.0.0.1:3000"),)),
    "another name's page": ("/TOKEN/", "127.0.0.1:PORT", (("Origin", "http://localhost:PORT"),)),
    "another scheme's page": ("/TOKEN/", "127.0.0.1:PORT", (("Origin", "https://127.0.0.1:PORT"),)),
    "two origins": (
        "/TOKEN/", "127.0.0.1:PORT", (("Origin", "http://127.0.0.1:PORT"), ("Origin", "http://evil.example"))
    ),
}  # fmt: skip

ANSWERED = {
    "the address": ("/TOKEN/", "127.0.0.1:PORT", ()),
    "the page's own websocket": ("/TOKEN", "127.0.0.1:PORT", (("Origin", "http://127.0.0.1:PORT"),)),
    "localhost": ("/TOKEN/?darkMode", "localhost:PORT", (("Origin", "http://localhost:PORT"),)),
    "mixed case": ("/TOKEN/", "LocalHost:PORT", (("Origin", "http://localhost:PORT"),)),
    "a port forwarded by SSH": ("/TOKEN/", "localhost:9999", (("Origin", "http://localhost:9999"),)),
    "IPv6": ("/TOKEN/", "[::1]:PORT", (("Origin", "http://[::1]:PORT"),)),
}


def fill_placeholders(
    served: RunningServer, case: tuple[str, str | None, tuple[tuple[str, str], ...]]
) -> tuple[str, list]:
    path, host, headers = case
    pairs = [*([("Host", host)] if host else []), *headers]
    values = {"PORT": str(served.port), "TOKEN": served.token, "HALF": served.token[:16]}

    def fill(text: str) -> str:
        for placeholder, value in values.items():
            text = text.replace(placeholder, value)
        return text

    return fill(path), [(name, fill(value)) for name, value in pairs]


@pytest.mark.parametrize("case", REFUSED)
def test_refused(served: RunningServer, case: str) -> None:
    path, headers = fill_placeholders(served, REFUSED[case])
    for extra in ((), UPGRADE, [(name, value.replace("websocket", "WebSocket")) for name, value in UPGRADE]):
        status, text = served.request(path, *headers, *extra)
        assert status == 403
        assert text.startswith(b"This viewer ")
        assert len(text.splitlines()) == 1
        assert served.token.encode() not in text


@pytest.mark.parametrize("case", ANSWERED)
def test_answered(served: RunningServer, case: str) -> None:
    path, headers = fill_placeholders(served, ANSWERED[case])
    status, text = served.request(path, *headers)
    assert status == 200
    assert b"<title>Viser</title>" in text
    assert served.request(path, *headers, *UPGRADE)[0] == 101


def test_page_may_connect_to_its_own_server_only(served: RunningServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request("GET", f"/{served.token}/")
    headers = connection.getresponse().headers
    connection.close()
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["connect-src"].split() == ["'self'", f"ws://127.0.0.1:{served.port}", "data:", "blob:"]
    assert not [
        source for value in policy.values() for source in value.split() if "*" in source or source.startswith("http")
    ]
    assert policy["frame-ancestors"] == "'none'"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_viewer_on_all_addresses_still_requires_the_token() -> None:
    guard = Guard("0.0.0.0")

    def refused(path: str, host: str, **headers: str) -> bool:
        return bool(guard.refusal(Request(path, Headers(Host=host, **headers))))

    path = f"/{guard.token}/"
    for host in ("192.168.0.7:8080", "[fe80::1]:8080", "localhost:8080", f"{socket.gethostname()}:8080"):
        assert not refused(path, host)
        assert not refused(path, host, Origin=f"http://{host}")
        assert refused(path, host, Origin="http://evil.example")
        assert refused("/", host)
    for host in ("evil.example:8080", "192.168.0.7.evil.example", "1.2.3", "[::1", "a b", ""):
        assert refused(path, host)


def test_tokens_are_long_and_unique() -> None:
    tokens = {Guard("127.0.0.1").token for _ in range(50)}
    assert len(tokens) == 50
    assert {len(token) for token in tokens} == {32}  # 24 bytes


def test_unguarded_server_is_detected() -> None:
    """As if viser started its server in a way that the guard does not intercept."""
    server = viser.ViserServer(host="127.0.0.1", port=free_port(), verbose=False)
    try:
        with pytest.raises(GuardError, match="cannot be restricted"):
            check_guarded("127.0.0.1", server.get_port(), Guard("127.0.0.1"))
    finally:
        server.stop()


def test_guarding_restores_the_patched_function() -> None:
    from websockets.asyncio import server

    before = server.serve
    with guarding(Guard("127.0.0.1")):
        assert server.serve is not before
    assert server.serve is before
    with pytest.raises(KeyError), guarding(Guard("127.0.0.1")):
        raise KeyError
    assert server.serve is before
