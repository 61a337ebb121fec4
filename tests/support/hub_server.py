"""A server on loopback with byte ranges, the endpoints of the hub, and injected faults."""

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PAGE = 2
"""Files per page of a listing: few, so that there are several pages."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Fault of one response.

    Attributes:
        kind: "drop" (close the connection after half of the body), "stall" (pause after half), "alter" (change a byte),
            "short" (send half as if complete), "long" (send too much), "status" (send `status`), "ignore_range",
            "wrong_range", "range_416", "encoded" (claim gzip for a plain body), or "wait" (until `Server.go` is set).
        status: Status code for "status".
        code: X-Error-Code for "status".
    """

    kind: str
    status: int = 500
    code: str = ""


@dataclass(kw_only=True)
class Server:
    """Content and request log of the server.

    Attributes:
        url: URL of the server.
        files: Content of plain files by path.
        repositories: Content by path, for each repository.
        plain: Paths in repositories that are stored in git itself, without a SHA-256.
        licence: Licence in the cards.
        token: Token required for repositories, or empty.
        faults: Faults by path, in order; each is used once.
        requests: Method, path and Range of every request.
        go: Event that ends every "wait" and "stall".
        max_concurrent: Largest number of bodies sent at the same time.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    plain: set[str] = field(default_factory=set)
    licence: str | None = "other"
    token: str = ""
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    max_concurrent: int = 0
    _active: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ranges(self, path: str) -> list[str]:
        """Range headers of the requests for a path; empty for the whole file."""
        return [range_ for method, requested, range_ in self.requests if method == "GET" and requested == path]

    def bodies(self) -> list[str]:
        """Paths of the files whose content was requested."""
        return [path for method, path, _ in self.requests if method == "GET" and not path.startswith("/api/")]

    def bundle(self, content: dict[str, bytes], *, folder: str = "/b", **changes: object) -> str:
        """Serve a bundle; returns the URL of its manifest."""
        self.files |= {f"{folder}/{path}": data for path, data in content.items()}
        listed = [
            {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for path, data in content.items()
        ]
        manifest = {"format": "musclemap-bundle", "version": 1, "licence": "CC0-1.0", "files": listed, **changes}
        self.files[f"{folder}/MANIFEST.json"] = json.dumps(manifest).encode()
        return f"{self.url}{folder}/MANIFEST.json"

    @contextmanager
    def body(self) -> Iterator[None]:
        """Count a body while it is sent."""
        with self._lock:
            self._active += 1
            self.max_concurrent = max(self.max_concurrent, self._active)
        yield
        with self._lock:
            self._active -= 1


def git_blob(content: bytes) -> str:
    """Git's object id of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Server

    def log_message(self, format: str, *args: object) -> None:
        """Suppress log messages."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        self.state.requests.append((self.command, path, self.headers.get("Range", "")))
        fault = self.state.faults[path].pop(0) if self.state.faults.get(path) else Fault(kind="")
        if fault.kind == "status":
            self.refuse(fault.status, fault.code)
        elif path in self.state.files:
            self.content(self.state.files[path], fault)
        elif path.startswith("/api/datasets/"):
            self.api(path.removeprefix("/api/datasets/"), parse_qs(parts.query))
        elif path.startswith("/datasets/"):
            self.resolve(path.removeprefix("/datasets/"), fault)
        else:
            self.refuse(404, "")

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def allowed(self, name: str) -> bool:
        if name not in self.state.repositories:
            self.refuse(404, "RepoNotFound")
        elif self.state.token and not self.headers.get("Authorization"):
            self.refuse(401, "GatedRepo")
        elif self.state.token and self.headers["Authorization"] != f"Bearer {self.state.token}":
            self.refuse(403, "GatedRepo")
        else:
            return True
        return False

    def api(self, rest: str, query: dict[str, list[str]]) -> None:
        owner, name, *more = rest.split("/")
        repository = f"{owner}/{name}"
        if not self.allowed(repository):
            return
        if more and more[1] not in ("main", COMMIT):
            self.refuse(404, "RevisionNotFound")
            return
        if not more or more[0] == "revision":
            card = {} if self.state.licence is None else {"license": self.state.licence}
            self.json({"id": repository, "sha": COMMIT, "gated": "manual", "cardData": card, "siblings": []})
            return
        listed = sorted(self.state.repositories[repository].items())
        start = int(query.get("cursor", ["0"])[0])
        entries = [self.entry(path, content) for path, content in listed[start : start + PAGE]]
        headers = {}
        if start + PAGE < len(listed):
            headers["Link"] = f'<{self.state.url}{quote(urlsplit(self.path).path)}?cursor={start + PAGE}>; rel="next"'
        self.json(entries, **headers)

    def entry(self, path: str, content: bytes) -> dict[str, object]:
        entry = {"type": "file", "path": path, "size": len(content), "oid": git_blob(content)}
        if path not in self.state.plain:
            digest = hashlib.sha256(content).hexdigest()
            entry |= {"lfs": {"oid": digest, "size": len(content), "pointerSize": 130}}
        return entry

    def resolve(self, rest: str, fault: Fault) -> None:
        owner, name, _, _, path = rest.split("/", 4)
        if not self.allowed(f"{owner}/{name}"):
            return
        content = self.state.repositories[f"{owner}/{name}"].get(path)
        if content is None:
            self.refuse(404, "EntryNotFound")
            return
        digest = git_blob(content) if path in self.state.plain else hashlib.sha256(content).hexdigest()
        self.content(content, fault, **{"X-Repo-Commit": COMMIT, "ETag": f'"{digest}"'})

    def json(self, value: object, **headers: str) -> None:
        self.content(json.dumps(value).encode(), Fault(kind=""), **headers)

    def content(self, content: bytes, fault: Fault, **headers: str) -> None:
        size, requested = len(content), self.headers.get("Range", "")
        start = int(requested.removeprefix("bytes=").rstrip("-")) if requested and fault.kind != "ignore_range" else 0
        if fault.kind == "range_416" or start > size:
            self.refuse(416, "")
            return
        if fault.kind == "wrong_range":
            start = max(start - 1, 0)
        if fault.kind == "alter":
            content = bytes([content[0] ^ 1]) + content[1:]
        body = content[start:]
        half = body[: len(body) // 2]
        body = {"short": half, "long": body + b"!" * 70_000}.get(fault.kind, body)
        self.send_response(206 if requested and fault.kind != "ignore_range" else 200)
        if requested and fault.kind != "ignore_range":
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        for key, value in {"Content-Length": str(len(body)), "Accept-Ranges": "bytes", **headers}.items():
            self.send_header(key, value)
        if fault.kind == "encoded":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if self.command == "HEAD":
            return
        with self.state.body():
            if fault.kind == "wait":
                self.state.go.wait(10)
            try:
                self.wfile.write(half if fault.kind in ("drop", "stall") else body)
                self.wfile.flush()
            except OSError:  # the client has disconnected
                self.close_connection = True
                return
            if fault.kind == "stall":
                self.state.go.wait(10)
            if fault.kind in ("drop", "stall"):
                self.close_connection = True


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server on a free port of loopback."""
    state = Server()
    handler = type("Handler", (_Handler,), {"state": state})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    state.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.go.set()
        http.shutdown()
        http.server_close()
        thread.join()
