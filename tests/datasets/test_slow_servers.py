"""No server can block a download for ever, however slowly it sends, and no server gets secrets of another."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from musclemap.datasets.downloads import hub as hub_module
from musclemap.datasets.downloads import speed_guard, transport
from musclemap.datasets.downloads.bundle import MAX_UNREACHABLE, fetch_bundle
from musclemap.datasets.downloads.bundle_manifest import parse_bundle, read_bundle
from musclemap.datasets.downloads.errors import DownloadError
from musclemap.datasets.downloads.hub_speed_guard import watch_hub
from musclemap.datasets.downloads.session import MAX_REDIRECTS, Session
from musclemap.datasets.downloads.speed_guard import TransferLimits
from musclemap.datasets.downloads.transport import RemoteFile, Transport, Unreachable

from ..support.hostile.raw_server import OK, Answer, drip, raw_serving

HASTY = TransferLimits(timeout=0.15, tries=2, window=0.3, min_speed=1000.0, listing=2.0)
ENOUGH = 6.0
"""Maximum duration of each test [s]; without limits each would take hours."""

SIZE = 100_000
BODY = b"x" * SIZE


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAUSE", 0.01)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def dripping_headers(connection: socket.socket, path: str, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    drip(connection, b"X-Wait: " + b"a" * 9999, over)


def dripping_status(connection: socket.socket, path: str, over: threading.Event) -> None:
    drip(connection, b"HTTP/1.1 200 " + b"O" * 9999, over)


def dripping_body(connection: socket.socket, path: str, over: threading.Event) -> None:
    connection.sendall(OK + b"Content-Length: %d\r\n\r\n" % SIZE)
    drip(connection, BODY, over)


def dripping_body_without_length(connection: socket.socket, path: str, over: threading.Event) -> None:
    connection.sendall(OK + b"\r\n")
    drip(connection, BODY, over)


def dripping_chunks(connection: socket.socket, path: str, over: threading.Event) -> None:
    connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    drip(connection, b"1;" + b"e" * 9999, over)


def endless_informal_answers(connection: socket.socket, path: str, over: threading.Event) -> None:
    while not over.wait(0.01):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def slow_redirects(connection: socket.socket, path: str, over: threading.Event) -> None:
    over.wait(0.12)
    connection.sendall(b"HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")


def one_byte_per_connection(connection: socket.socket, path: str, over: threading.Event) -> None:
    over.wait(0.1)
    connection.sendall(OK + b"Content-Length: %d\r\n\r\nx" % SIZE)


SLOW = [
    dripping_headers, dripping_status, dripping_body, dripping_body_without_length, dripping_chunks,
    endless_informal_answers, slow_redirects, one_byte_per_connection,
]  # fmt: skip


@pytest.mark.parametrize("answer", SLOW)
def test_server_below_the_minimum_speed_is_given_up(answer, tmp_path: Path) -> None:
    with raw_serving(answer) as server:
        began = time.monotonic()
        with pytest.raises(DownloadError, match=r"too slow|silent|broken|redirects"):
            read_bundle(server.url(), Transport(limits=HASTY))
        assert time.monotonic() - began < ENOUGH
        began = time.monotonic()
        remote = RemoteFile(url=server.url("/x"), size=SIZE, sha256=hashlib.sha256(BODY).hexdigest())
        with pytest.raises(DownloadError, match=r"too slow|silent|broken|ended early|redirects"):
            Transport(limits=HASTY).fetch(remote, tmp_path / "part")
        assert time.monotonic() - began < ENOUGH
    assert (tmp_path / "part").stat().st_size < SIZE


def test_endless_manifest_is_given_up() -> None:
    """Fast enough at every moment, but never finished."""

    def answer(connection: socket.socket, path: str, over: threading.Event) -> None:
        connection.sendall(OK + b"\r\n")
        while not over.wait(0.02):
            connection.sendall(b" " * 200)

    limits = TransferLimits(timeout=0.15, tries=2, window=0.3, min_speed=1000.0, listing=0.8)
    with raw_serving(answer) as server:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="too slow"):
            read_bundle(server.url(), Transport(limits=limits))
        assert time.monotonic() - began < ENOUGH


def test_steady_server_above_the_minimum_speed_succeeds(tmp_path: Path) -> None:
    def answer(connection: socket.socket, path: str, over: threading.Event) -> None:
        connection.sendall(OK + b"Content-Length: %d\r\n\r\n" % SIZE)
        for start in range(0, SIZE, 5000):
            over.wait(0.05)
            connection.sendall(BODY[start : start + 5000])

    with raw_serving(answer) as server:
        remote = RemoteFile(url=server.url("/x"), size=SIZE, sha256=hashlib.sha256(BODY).hexdigest())
        Transport(limits=HASTY).fetch(remote, tmp_path / "part")
        assert len(server.asked) == 1
    assert (tmp_path / "part").read_bytes() == BODY


def test_window_is_at_least_twice_the_timeout() -> None:
    assert TransferLimits(timeout=50.0).guard()._window == 100.0
    assert TransferLimits().guard()._window == 60.0


def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    with raw_serving(dripping_body) as server, pytest.raises(Unreachable):
        read_bundle(server.url(), Transport(limits=HASTY))
    deadline = time.monotonic() + 2.0
    while any(t.name == "musclemap-speed-guard" for t in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [t for t in threading.enumerate() if t.name == "musclemap-speed-guard"]
    assert getattr(speed_guard._current, "guard", None) is None


def test_unreachable_server_is_given_up_after_a_few_files(tmp_path: Path) -> None:
    content = [(f"{k}.h5", f"content {k}".encode()) for k in range(40)]
    files = [{"path": p, "size": len(c), "sha256": hashlib.sha256(c).hexdigest()} for p, c in content]
    with raw_serving(dripping_headers) as server:
        manifest = json.dumps({"format": "musclemap-bundle", "version": 1, "files": files}).encode()
        bundle = parse_bundle(manifest, url=server.url())
        began = time.monotonic()
        fetched = fetch_bundle(bundle, tmp_path / "out", Transport(limits=HASTY), workers=4)
        assert time.monotonic() - began < 2 * ENOUGH
        assert len(server.asked) <= HASTY.tries * (MAX_UNREACHABLE + 4)
    assert fetched.failed.keys() == {path for path, _ in content}
    assert any("was stopped" in reason for reason in fetched.failed.values())


# Redirects, and which servers get the password


def redirecting(target: str, *, body: bytes = b"") -> Answer:
    def answer(connection: socket.socket, path: str, over: threading.Event) -> None:
        head = f"HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: {target}\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode("latin-1") + body)

    return answer


def plain(connection: socket.socket, path: str, over: threading.Event) -> None:
    connection.sendall(OK + b"Content-Length: 2\r\n\r\n{}")


def test_password_is_sent_only_to_its_own_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with raw_serving(plain) as other:
        for host in ("127.0.0.1", "localhost"):
            with raw_serving(redirecting(other.url("/x", host=host))) as first:
                assert Transport().read(first.url(user="ann:s%C3%A9cret@"), max_bytes=10) == b"{}"
                assert "Authorization: Basic YW5uOnPDqWNyZXQ=" in first.asked[0]  # ann:sécret
        assert len(other.asked) == 2
        assert not any("authorization" in request.lower() for request in other.asked)
        assert not any("YW5u" in request for request in other.asked)


def test_password_is_sent_again_after_a_redirect_on_the_same_server() -> None:
    def answer(connection: socket.socket, path: str, over: threading.Event) -> None:
        (plain if path == "/there" else redirecting("/there"))(connection, path, over)

    with raw_serving(answer) as server:
        assert Transport().read(server.url(user="ann:pw@"), max_bytes=10) == b"{}"
        assert [request.count("Authorization: Basic") for request in server.asked] == [1, 1]


def test_user_in_a_redirect_is_not_sent() -> None:
    with raw_serving(plain) as other, raw_serving(redirecting(other.url("/x", user="eve:evil@"))) as first:
        assert Transport().read(first.url(), max_bytes=10) == b"{}"
        assert "authorization" not in other.asked[0].lower()


def test_redirects_are_limited(tmp_path: Path) -> None:
    with raw_serving(redirecting("/again")) as server:
        with pytest.raises(DownloadError, match=f"redirects more than {MAX_REDIRECTS} times"):
            Transport().read(server.url(), max_bytes=10)
        assert len(server.asked) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[::1", "http://127.0.0.1:x/"])
def test_redirect_to_another_scheme_is_refused(target: str) -> None:
    with raw_serving(redirecting(target)) as server, pytest.raises(DownloadError):
        Transport().read(server.url(), max_bytes=10)


def test_redirect_away_from_https_is_refused() -> None:
    from musclemap.datasets.downloads.session import _redirect_target

    with pytest.raises(DownloadError, match="from https to http"):
        _redirect_target("https://example.org/a", "http://example.org/b?sig=secret")
    assert _redirect_target("http://example.org/a", "https://example.org/b") == "https://example.org/b"


def test_body_of_a_redirect_is_not_read() -> None:
    """It may have any size, and the library would keep it in memory."""
    sent: list[int] = []

    def answer(connection: socket.socket, path: str, over: threading.Event) -> None:
        if path == "/there":
            plain(connection, path, over)
            return
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 9999999999\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b"x" * 65536)
            sent.append(65536)

    with raw_serving(answer) as server:
        assert Transport().read(server.url(), max_bytes=10) == b"{}"
        time.sleep(0.1)
    assert sum(sent) < 20_000_000


@pytest.mark.parametrize("url", ["http://[::1", "http://a:b/", "http:///x", "http://" + "a" * 70 + ".invalid/", "x"])
def test_invalid_url_is_a_download_error(url: str) -> None:
    with pytest.raises(DownloadError):
        Transport(limits=HASTY).read(url, max_bytes=10)


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: -5\r\n\r\n", b"Content-Length: 1, 2\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
     b"Content-Encoding: gzip, gzip, gzip, gzip, gzip, gzip, gzip\r\n\r\nx", b"\r\n" + b"\x00" * 100],
)  # fmt: skip
def test_malformed_responses_are_download_errors(head: bytes) -> None:
    def answer(connection: socket.socket, path: str, over: threading.Event) -> None:
        connection.sendall(OK + head)

    with raw_serving(answer) as server, pytest.raises(DownloadError):
        read_bundle(server.url(), Transport(limits=HASTY))


def test_session_follows_no_redirect_by_itself() -> None:
    with raw_serving(redirecting("/there")) as server:
        answer = Session().get(server.url(), stream=True, allow_redirects=True, timeout=2.0)
        assert answer.status_code == 302


# The hub


def hub(body: Answer) -> Answer:
    """Respond as the hub does; `body` sends the files."""
    entry = {"type": "file", "path": "a.npz", "size": SIZE, "oid": "0" * 40,
             "lfs": {"oid": hashlib.sha256(BODY).hexdigest(), "size": SIZE, "pointerSize": 130}}  # fmt: skip
    commit = "0123456789abcdef0123456789abcdef01234567"

    def answer(connection: socket.socket, path: str, over: threading.Event) -> None:
        if path.startswith("/api/") and "/tree/" in path:
            data = json.dumps([{**entry, "path": f"{k}.npz"} for k in range(40)]).encode()
        elif path.startswith("/api/"):
            data = json.dumps(
                {"id": "o/n", "sha": commit, "siblings": [], "cardData": {"license": ["mit", 7]}}
            ).encode()
        else:
            body(connection, path, over)
            return
        connection.sendall(OK + b"Content-Length: %d\r\n\r\n%s" % (len(data), data))

    return answer


@pytest.fixture
def hub_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replace the library's client and restore it afterwards; no token, no cache, no waiting."""
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    for name in ("HF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.setattr(hub_module, "PAUSE", 0.0)
    watch_hub(HASTY)
    yield
    set_client_factory(default_client_factory)


def hub_dripping(connection: socket.socket, path: str, over: threading.Event) -> None:
    head = OK + b'X-Repo-Commit: 0123456789abcdef0123456789abcdef01234567\r\nETag: "%s"\r\n' % (b"0" * 64)
    connection.sendall(head + b"Content-Length: %d\r\n\r\n" % SIZE)
    drip(connection, BODY, over)


@pytest.mark.usefixtures("hub_alone")
def test_hub_below_the_minimum_speed_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_serving(hub(hub_dripping)) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url("", user="ann:s3cret@"))
        data_set = hub_module.list_data_set("o/n")
        assert data_set.licence == "mit, 7"
        began = time.monotonic()
        downloaded = hub_module.fetch_files(data_set, data_set.files, tmp_path / "out", workers=4)
        assert time.monotonic() - began < 4 * ENOUGH
    assert len(downloaded.failed) == 40
    reasons = " ".join(downloaded.failed.values())
    assert "too slow" in reasons
    assert "in a row" in reasons
    assert "s3cret" not in reasons


@pytest.mark.usefixtures("hub_alone")
@pytest.mark.parametrize(
    "data",
    [b"[1", b"[]", b'{"id": "o/n", "sha": 7}', b'{"id": "o/n", "sha": "../../x"}', b"[" * 100_000,
     b'{"id": ["o/n"], "sha": "0123456789abcdef0123456789abcdef01234567", "siblings": 3, "cardData": [1]}'],
)  # fmt: skip
def test_malformed_hub_response_is_a_download_error(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(connection: socket.socket, path: str, over: threading.Event) -> None:
        connection.sendall(OK + b"Content-Length: %d\r\n\r\n%s" % (len(data), data))

    monkeypatch.setattr(time, "sleep", lambda _: None)
    with raw_serving(answer) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url(""))
        with pytest.raises(DownloadError):
            hub_module.list_data_set("o/n")


@pytest.mark.usefixtures("hub_alone")
@pytest.mark.parametrize(
    "change", [{"size": "9"}, {"size": -1}, {"lfs": {"oid": "../x", "size": 1, "pointerSize": 1}}, {"path": 7}]
)
def test_hub_listing_with_wrong_types_is_a_download_error(change: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"type": "file", "path": "a.npz", "size": 1, "oid": "0" * 40, **change}
    sent = {"id": "o/n", "sha": "0123456789abcdef0123456789abcdef01234567", "siblings": []}

    def answer(connection: socket.socket, path: str, over: threading.Event) -> None:
        data = json.dumps([entry] if "/tree/" in path else sent).encode()
        connection.sendall(OK + b"Content-Length: %d\r\n\r\n%s" % (len(data), data))

    with raw_serving(answer) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url(""))
        with pytest.raises(DownloadError):
            hub_module.list_data_set("o/n")
