"""Who gets an answer from the viewer: those who have its whole address, and no page of another origin."""

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
class Served:
    """A server of viser's."""

    port: int
    token: str = ""

    def ask(self, path: str, *headers: tuple[str, str]) -> tuple[int, bytes]:
        """Status and text for a request with just these headers."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        line.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            line.putheader(name, value)
        line.endheaders()
        answer = line.getresponse()
        text = b"" if answer.status == 101 else answer.read()
        line.close()
        return answer.status, text


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    logger = logging.getLogger("websockets.server")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """Guarded."""
    guard = Guard("127.0.0.1")
    with guarding(guard):
        server = viser.ViserServer(host="127.0.0.1", port=free_port(), verbose=False)
    check_guarded("127.0.0.1", server.get_port(), guard)
    yield Served(server.get_port(), guard.token)
    server.stop()


REFUSED = {
    "no token": ("/", "127.0.0.1:PORT", ()),
    "no token, but a file": ("/index.html", "127.0.0.1:PORT", ()),
    "a wrong token": ("/A0_a0-A0_a0-A0_a0-A0_a0-A0_a0-00/", "127.0.0.1:PORT", ()),
    "half a token": ("/HALF/", "127.0.0.1:PORT", ()),
    "a token and more": ("/TOKENx/", "127.0.0.1:PORT", ()),
    "a token elsewhere": ("/x/TOKEN/?token=TOKEN", "127.0.0.1:PORT", (("Cookie", "token=TOKEN"),)),
    "a token with a way round": ("/../TOKEN/", "127.0.0.1:PORT", ()),
    "no host": ("/TOKEN/", None, ()),
    "two hosts": ("/TOKEN/", "127.0.0.1:PORT", (("Host", "127.0.0.1:PORT"),)),
    "a foreign host": ("/TOKEN/", "evil.example:PORT", ()),
    "a foreign host without port": ("/TOKEN/", "evil.example", ()),
    "a foreign host that looks like ours": ("/TOKEN/", "127.0.0.1.evil.example:PORT", ()),
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
    "the name of loopback": ("/TOKEN/?darkMode", "localhost:PORT", (("Origin", "http://localhost:PORT"),)),
    "whatever the case": ("/TOKEN/", "LocalHost:PORT", (("Origin", "http://localhost:PORT"),)),
    "a port that SSH forwards": ("/TOKEN/", "localhost:9999", (("Origin", "http://localhost:9999"),)),
    "the sixth version": ("/TOKEN/", "[::1]:PORT", (("Origin", "http://[::1]:PORT"),)),
}


def filled(served: Served, case: tuple[str, str | None, tuple[tuple[str, str], ...]]) -> tuple[str, list]:
    path, host, headers = case
    pairs = [*([("Host", host)] if host else []), *headers]
    words = {"PORT": str(served.port), "TOKEN": served.token, "HALF": served.token[:16]}

    def fill(text: str) -> str:
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    return fill(path), [(name, fill(value)) for name, value in pairs]


@pytest.mark.parametrize("case", REFUSED)
def test_refused(served: Served, case: str) -> None:
    path, headers = filled(served, REFUSED[case])
    for more in ((), UPGRADE, [(name, value.replace("websocket", "WebSocket")) for name, value in UPGRADE]):
        status, text = served.ask(path, *headers, *more)
        assert status == 403
        assert text.startswith(b"This viewer ")
        assert len(text.splitlines()) == 1
        assert served.token.encode() not in text


@pytest.mark.parametrize("case", ANSWERED)
def test_answered(served: Served, case: str) -> None:
    path, headers = filled(served, ANSWERED[case])
    status, text = served.ask(path, *headers)
    assert status == 200
    assert b"<title>Viser</title>" in text
    assert served.ask(path, *headers, *UPGRADE)[0] == 101


def test_the_page_may_talk_to_its_server_only(served: Served) -> None:
    line = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    line.request("GET", f"/{served.token}/")
    headers = line.getresponse().headers
    line.close()
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["connect-src"].split() == ["'self'", f"ws://127.0.0.1:{served.port}", "data:", "blob:"]
    assert not [each for value in policy.values() for each in value.split() if "*" in each or each.startswith("http")]
    assert policy["frame-ancestors"] == "'none'"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_a_viewer_for_the_network_still_wants_the_token() -> None:
    guard = Guard("0.0.0.0")

    def refused(path: str, host: str, **headers: str) -> bool:
        return bool(guard.refusal(Request(path, Headers(Host=host, **headers))))

    whole = f"/{guard.token}/"
    for host in ("192.168.0.7:8080", "[fe80::1]:8080", "localhost:8080", f"{socket.gethostname()}:8080"):
        assert not refused(whole, host)
        assert not refused(whole, host, Origin=f"http://{host}")
        assert refused(whole, host, Origin="http://evil.example")
        assert refused("/", host)
    for host in ("evil.example:8080", "192.168.0.7.evil.example", "1.2.3", "[::1", "a b", ""):
        assert refused(whole, host)


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {Guard("127.0.0.1").token for _ in range(50)}
    assert len(tokens) == 50
    assert {len(token) for token in tokens} == {32}  # 24 bytes


def test_a_server_that_is_not_guarded_is_found_out() -> None:
    """As if viser started its server in another way than the one that the guard goes into."""
    server = viser.ViserServer(host="127.0.0.1", port=free_port(), verbose=False)
    try:
        with pytest.raises(GuardError, match="cannot be closed to others"):
            check_guarded("127.0.0.1", server.get_port(), Guard("127.0.0.1"))
    finally:
        server.stop()


def test_servers_of_others_are_left_alone() -> None:
    from websockets.asyncio import server

    before = server.serve
    with guarding(Guard("127.0.0.1")):
        assert server.serve is not before
    assert server.serve is before
    with pytest.raises(KeyError), guarding(Guard("127.0.0.1")):
        raise KeyError
    assert server.serve is before
